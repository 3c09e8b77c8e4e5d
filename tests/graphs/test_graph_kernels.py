"""The kernels of graphs that torch and JAX replace: as the portable ones, and differentiable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.arrays import Backend, Rows

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
torch = pytest.importorskip("torch")

LIBRARIES = ("numpy", "torch", "jax")
NORMALIZATIONS = ("none", "symmetric", "random_walk")


def patterns(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("library", LIBRARIES)
def test_kernels_agree_with_the_portable_ones(library: str) -> None:
    backend = hopcore.backend(library)
    portable = hopcore.backend("array_api_strict")
    rng = np.random.default_rng(0)
    dense = np.triu(rng.random((40, 40)) * (rng.random((40, 40)) < 0.2), 1).astype(np.float32)
    graph = hopcore.Graph.from_scipy(_sparse(dense + dense.T), backend=library)
    where = [np.asarray(x) for x in graph.entries]
    given = {
        "neighbour_sum": (np.asarray(graph.weights), patterns(40, 6)),
        "row_sum": (patterns(len(where[1]), 3),),
        "row_max": (patterns(len(where[1])),),
    }
    for name, arrays in given.items():
        got = getattr(backend, name)(graph.entries, *map(backend.asarray, arrays))
        rows = Rows(*(portable.asarray(x, dtype="int32") for x in where))
        wanted = getattr(portable, name)(rows, *map(portable.asarray, arrays))
        np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), atol=1e-5, err_msg=name)
    left, right = patterns(40, 70), patterns(40, 70, seed=1)
    got = backend.pair_products(backend.asarray(left), backend.asarray(right), graph.entries)
    wanted = np.sum(left[where[1]] * right[where[2]], axis=-1)
    np.testing.assert_allclose(np.asarray(got), wanted, atol=1e-4)


def _sparse(matrix: np.ndarray) -> Any:
    from scipy.sparse import csr_array

    return csr_array(matrix)


SIZES = ((3, 7), (2, 200), (2, 2, 90))
"""Few scores, and so many that groups of them are searched first."""


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from(SIZES), k=st.integers(1, 6), levels=st.sampled_from((1, 2, 5, 100)),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_the_first_of_equal_scores_are_the_largest(
    shape: tuple[int, ...], k: int, levels: int, seed: int
) -> None:
    scores = np.random.default_rng(seed).integers(levels, size=shape).astype(np.float32)
    wanted = np.sort(np.argsort(-scores, axis=-1, kind="stable")[..., :k], axis=-1)
    for library in (
        "numpy",
        "torch",
        "array_api_strict",
        *(("jax",) if k == 3 and len(shape) == 2 else ()),
    ):
        backend = hopcore.backend(library)
        array = backend.asarray(scores)
        # The portable search, too, by the library's own kernel for few scores.
        for found in (
            backend.largest(array, k), Backend.largest(backend, array, k),
            backend.top_k(array, k)[1],
        ):  # fmt: skip
            np.testing.assert_array_equal(np.sort(np.asarray(found), axis=-1), wanted)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("count", "k"), [(700, 3), (300, 40), (30, 29)])
def test_the_nearest_are_the_nearest(library: str, count: int, k: int) -> None:
    unit = patterns(2, count, 8)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    backend = hopcore.backend(library)
    mask = np.ones((2, count), bool)
    mask[1, 200:] = False
    found = np.asarray(backend.nearest(backend.asarray(unit), k, backend.asarray(mask)))
    assert found.shape == (2, count, k)
    scores = unit @ unit.swapaxes(-1, -2)
    scores[:, np.arange(count), np.arange(count)] = -np.inf
    scores = np.where(mask[:, None, :], scores, -np.inf)
    wanted = np.sort(scores, axis=-1)[..., -k:]
    got = np.sort(np.take_along_axis(scores, found, axis=-1), axis=-1)
    np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("library", [*LIBRARIES, "array_api_strict"])
def test_where_few_are_left_a_pattern_is_not_its_own_neighbour(library: str) -> None:
    backend = hopcore.backend(library)
    x = patterns(2, 7, 5)
    mask = np.asarray([[True] * 2 + [False] * 5, [True] * 7])
    unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
    given = backend.asarray(unit), 4, backend.asarray(mask)
    chosen = backend.to_numpy(backend.nearest(*given))
    assert not np.any(chosen == np.arange(7)[:, None])
    graph = hopcore.knn_graph(backend.asarray(x), 4, mask=backend.asarray(mask))
    smooth = hopcore.FactoredDiffusion(graph.using("symmetric"), eta=0.5, steps=3)
    alone = hopcore.knn_graph(x[0, :2], 1)
    wanted = hopcore.FactoredDiffusion(alone.using("symmetric"), eta=0.5, steps=3)(x[0, :2])
    found = backend.to_numpy(smooth(backend.asarray(x)))
    np.testing.assert_allclose(found[0, :2], wanted, atol=1e-5)
    np.testing.assert_array_equal(found[0, 2:], x[0, 2:])


def test_a_large_neighbour_sum_is_divided_between_threads(monkeypatch) -> None:
    import hopcore.arrays._numpy_graphs as room

    features = patterns(500, 16)
    graph = hopcore.knn_graph(features, 5)
    whole = graph @ features
    monkeypatch.setattr(room, "PARTS", 1000)
    np.testing.assert_allclose(graph @ features, whole, rtol=1e-6)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("mode", hopcore.diffusion._modes.OPERATORS)
def test_torch_differentiates_operators_twice(mode: Any, normalization: Any) -> None:
    stored = torch.from_numpy(patterns(9, 3).astype(np.float64)).requires_grad_()
    features = torch.from_numpy(patterns(9, 2, seed=1).astype(np.float64)).requires_grad_()

    def diffused(stored: Any, features: Any) -> Any:
        graph = hopcore.knn_graph(stored, 3).using(normalization)
        return hopcore.diffusion_operator(graph, 0.05, mode, 2)(features)

    assert torch.autograd.gradcheck(diffused, (stored, features), atol=1e-5)
    if mode != "implicit":  # by the implicit function theorem, once
        assert torch.autograd.gradgradcheck(diffused, (stored, features), atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_torch_compiles_and_maps_diffused_retrieval() -> None:
    stored = torch.from_numpy(patterns(20, 4))

    def recalled(stored: Any) -> Any:
        return hopcore.diffused_retrieve(stored[:5], stored, 2.0, values="untied").output

    wanted = recalled(stored)
    compiled = torch.compile(recalled, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(stored), wanted, atol=1e-5, rtol=1e-5)
    operator = hopcore.FactoredDiffusion(hopcore.knn_graph(stored, 3), None, 0.05, 2)
    both = torch.stack([stored, 2.0 * stored])
    torch.testing.assert_close(torch.func.vmap(operator)(both)[1], 2.0 * operator(stored))
    tangent = torch.func.jvp(operator, (stored,), (stored,))[1]
    torch.testing.assert_close(tangent, operator(stored))


def test_jax_transforms_neighbour_sums() -> None:
    stored, features = jnp.asarray(patterns(9, 3)), jnp.asarray(patterns(9, 2, seed=1))
    graph = hopcore.knn_graph(stored, 3)
    kernel = graph.backend.neighbour_sum

    def total(values: Any, features: Any) -> Any:
        return jnp.sum(jnp.sin(kernel(graph.entries, values, features)))

    def plain(values: Any, features: Any) -> Any:
        parts = values[:, None] * features[graph.entries.columns]
        return jnp.sum(jnp.sin(jax.ops.segment_sum(parts, graph.entries.rows, 9)))

    symmetric = graph.weights
    for transform in (jax.grad, jax.hessian):
        for by in (0, 1):
            got = jax.jit(transform(total, argnums=by))(symmetric, features)
            np.testing.assert_allclose(got, transform(plain, by)(symmetric, features), atol=1e-4)
    two = jnp.stack([features, 2.0 * features])
    mapped = jax.vmap(lambda x: kernel(graph.entries, symmetric, x))(two)
    np.testing.assert_allclose(mapped[1], 2.0 * mapped[0], rtol=1e-5)
    weights = jnp.stack([symmetric, 3.0 * symmetric])
    mapped = jax.vmap(lambda w, x: kernel(graph.entries, w, x))(weights, two)
    np.testing.assert_allclose(mapped[1], 6.0 * mapped[0], rtol=1e-5)


def test_graphs_go_through_jit_and_vmap() -> None:
    stored = jnp.asarray(patterns(2, 12, 3))
    graph = jax.jit(lambda x: hopcore.knn_graph(x, 3).using("symmetric"))(stored[0])
    assert graph.normalization == "symmetric"
    inside = jax.jit(lambda graph, x: hopcore.FactoredDiffusion(graph, None, 0.1, 2)(x))
    outside = hopcore.FactoredDiffusion(graph, None, 0.1, 2)(stored[0])
    np.testing.assert_allclose(inside(graph, stored[0]), outside, atol=1e-6)

    def recalled(stored: Any) -> Any:
        return hopcore.diffused_retrieve(stored[:5], stored, 2.0, values="untied").output

    mapped = jax.jit(jax.vmap(recalled))(stored)
    np.testing.assert_allclose(mapped[1], jax.jit(recalled)(stored[1]), atol=1e-5)


def test_a_graph_cached_in_inference_mode_can_be_trained_with() -> None:
    stored = torch.from_numpy(patterns(20, 4))
    cache = hopcore.GraphCache(hopcore.DiffusionConfig())
    with torch.inference_mode():
        cache.get(stored)
    trained = stored.clone().requires_grad_()
    graph = cache.get(trained)
    hopcore.FactoredDiffusion(graph.W, graph.deg, 0.1)(trained).sum().backward()
    assert cache.hits == 1
    assert torch.isfinite(trained.grad).all()


def test_a_bound_on_a_device_is_waited_for(monkeypatch) -> None:
    backend = hopcore.backend("torch")
    monkeypatch.setattr(type(backend), "can_read_values", lambda self, array: False)
    graph = hopcore.knn_graph(torch.from_numpy(patterns(20, 4)), 3)
    heat = hopcore.ChebyshevDiffusion(graph, 1.0)
    assert heat.largest == pytest.approx(2.0 * float(graph.deg.max()), rel=1e-5)
