"""Sums over long memories in parts, and numbers that 32 bits cannot hold."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import hopcore
from hopcore.arrays import long_product
from hopcore.arrays._long_sums import in_pairs


def test_results_are_joined_as_a_balanced_tree() -> None:
    joined = in_pairs(lambda a, b: f"({a}{b})", iter("abcdefg"))
    assert joined == "(((ab)(cd))((ef)g))"
    assert in_pairs(operator.add, range(1000)) == sum(range(1000))


@pytest.mark.parametrize("size", [4096, 4097, 5 * 4096, 7 * 4096 + 3])
def test_a_long_product_is_the_product(size: int) -> None:
    rng = np.random.default_rng(0)
    weights, values = rng.normal(size=(2, 3, size)), rng.normal(size=(size, 2))
    np.testing.assert_allclose(
        long_product(np, weights, values), weights @ values, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_copies_in_numpy_and_in_pieces(separation: str) -> None:
    pattern = np.asarray([0.3, 0.21], dtype=np.float32)
    memory = np.broadcast_to(pattern, ((1 << 19) + 1, 2))
    state = np.asarray([[0.25, 0.5]], dtype=np.float32)
    for stored in (memory, hopcore.Streamed(memory, rows=1000)):
        found = hopcore.association(state, stored, beta=0.5, separation=separation)
        np.testing.assert_allclose(found[0], pattern, rtol=2e-4)


def test_a_mask_is_counted_in_integers() -> None:
    numpy = hopcore.backend("numpy")
    mask = np.broadcast_to(np.asarray([[True]]), (1, 100_000))
    assert numpy.count_attended(np.zeros((100_000, 1), np.float32), mask) == 100_000


def test_a_graph_of_more_entries_than_32_bits_number_is_refused() -> None:
    patterns = np.broadcast_to(np.float32([1.0]), (100_000_000, 1))
    with pytest.raises(ValueError, match=r"at most 2147483647, got 2300000000: "):
        hopcore.knn_graph(hopcore.Streamed(patterns, dtype="float32"), 11)


LIBRARIES = "numpy", "torch", "jax", "array_api_strict"


@pytest.mark.parametrize("library", LIBRARIES)
def test_entries_are_numbered_in_64_bits_or_refused(library: str) -> None:
    pytest.importorskip(library)
    backend = hopcore.backend(library)
    assert backend.index_dtype(2**31 - 1) == backend.xp.int32
    if library == "jax" and backend.xp.asarray(0).dtype.itemsize == 4:  # without x64
        with pytest.raises(
            ValueError, match=r"in 32 bits, at most 2147483647, got 2147483648: set"
        ):
            backend.index_dtype(2**31)
    else:
        assert backend.index_dtype(2**31) == backend.xp.int64


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_every_flat_index_asks_for_its_dtype(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes that are indexed reach the function that decides, which refuses them here."""
    pytest.importorskip(library)
    backend, asked = hopcore.backend(library), []

    def refuse(_: object, count: int) -> None:
        asked.append(count)
        raise ValueError("too many entries")

    monkeypatch.setattr(type(backend), "index_dtype", refuse)
    dense = backend.asarray(np.ones((2, 5, 5)) - np.eye(5), dtype="float32")
    settings = hopcore.layers.QuantizerSettings(input_size=6, quantity=7, groups=2)
    features = backend.asarray(np.zeros((1, 6)), dtype="float32")
    codebook = {"codebook": backend.asarray(np.ones((2, 7, 3)), dtype="float32")}
    for call in (
        lambda: hopcore.Graph.from_dense(dense),
        lambda: hopcore.build_knn_graph(dense, 2, as_sparse=True),
        lambda: hopcore.layers.quantize(settings, codebook, features),
    ):
        with pytest.raises(ValueError, match="too many entries"):
            call()
    assert asked == [50, 50, 14]


def test_nodes_of_a_sparse_matrix_that_32_bits_cannot_number_are_refused_at_once() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.coo_array(([1.0, 1.0], ([0, 2**31], [2**31, 0])), shape=(2**31 + 1,) * 2)
    with pytest.raises(
        ValueError, match=r"nodes of graphs .* at most 2147483647, got 2147483649: "
    ):
        hopcore.Graph.from_scipy(matrix)
    with pytest.raises(ValueError, match=r"nodes must be .*2147483647, got 2147483649"):
        hopcore.Graph.from_edges(np.asarray([[0], [2**31]]), np.ones(1), 2**31 + 1)


def test_a_traced_graph_of_too_many_entries_is_refused() -> None:
    jax = pytest.importorskip("jax")
    shape = jax.ShapeDtypeStruct((100_000_000, 1), np.float32)
    with pytest.raises(ValueError, match=r"at most 2147483647, got 2300000000: "):
        jax.eval_shape(lambda x: hopcore.knn_graph(x, 11).weights, shape)


def test_long_products_of_jax_number_patterns_as_far_as_they_go() -> None:
    jax = pytest.importorskip("jax")
    shapes = jax.ShapeDtypeStruct((1, 1), np.float32), jax.ShapeDtypeStruct((2**31, 1), np.float32)
    if jax.config.jax_enable_x64:
        pytest.skip("with x64, JAX numbers patterns in 64 bits")
    with pytest.raises(ValueError, match=r"JAX numbers entries in 32 bits, .* got 2147483648: "):
        jax.jit(lambda q, x: hopcore.update(q, x, 1.0)).trace(*shapes).lower()
