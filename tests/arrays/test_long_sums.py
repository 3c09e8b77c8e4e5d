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
