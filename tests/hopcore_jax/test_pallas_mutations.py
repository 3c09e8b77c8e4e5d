"""The checks notice faults of kernels in Pallas: each is planted into the interpreted kernels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from planting import CHECKS, complaint

import hopcore
from hopcore_conformance import Subject
from hopcore_jax.kernels.pallas import using_kernels
from hopcore_jax.kernels.pallas._launch import modules

kernels = modules()
tiles = kernels._tiles
MODULES = (
    kernels._tiles,
    kernels._entmax,
    kernels._softmax,
    kernels._entropy,
    kernels._backward,
    kernels._lookup,
)


@pytest.fixture(autouse=True, scope="module")
def interpreted() -> Iterator[None]:
    """Interpret the kernels; XLA need not optimize what is called once."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with using_kernels("pallas-interpret"):
        yield
    jax.config.update("jax_disable_most_optimizations", before)


right_dot, right_change = tiles.dot, kernels._backward.by_scores_of
right_weights = tiles.weights_of


def scores_beyond_the_end(sizes: Any, call: Any, queries: Any, keys: Any, columns: Any) -> Any:
    """The border of the last tile is forgotten: patterns that do not exist have the score 0."""
    return right_dot(sizes, queries.scaled, keys, transposed=True) * queries.after[:, None]


def end_of_whole_tiles(sizes: Any, queries: Any) -> Any:
    """The patterns after the last whole tile are left out."""
    return max(sizes.patterns // 4 * 4, 1)


def support_of_the_last_pattern(slopes: Any) -> Any:
    """A tile is skipped although it has support, if its last pattern has no weight."""
    return jnp.max(slopes[:, -1]) > 0.0


def support_of_large_weights(slopes: Any) -> Any:
    """A tile is skipped although it has support, if its weights are small."""
    return tiles.largest_of(slopes) > 0.9


def dot_in_float16(sizes: Any, left: Any, right: Any, transposed: bool = False) -> Any:
    """Products of bfloat16 overflow as in float16; they become its largest number."""
    return jnp.clip(right_dot(sizes, left, right, transposed), -65504.0, 65504.0)


def sums_in_bfloat16(sizes: Any, left: Any, right: Any, transposed: bool = False) -> Any:
    """Sums are as coarse as bfloat16."""
    found = right_dot(sizes, left, right, transposed)
    bits = lax.bitcast_convert_type(found, jnp.int32) & -65536
    return lax.bitcast_convert_type(bits, jnp.float32)


def steps_that_stop_early(sizes: Any, total: Any, slope: Any) -> Any:
    """Newton's method ends after the first pass."""
    return jnp.zeros_like(total)


def change_without_the_mean(
    sizes: Any, given: Any, saved: Any, weights: Any, slopes: Any, values: Any
) -> Any:
    """The derivative by the scores forgets that weights have the sum 1."""
    without = saved._replace(along=jnp.zeros_like(saved.along))
    return right_change(sizes, given, without, weights, slopes, values)


def slopes_that_are_weights(sizes: Any, scores: Any, root: Any) -> Any:
    """The slopes are those of the softmax, also where weights are sparse."""
    weights, _ = right_weights(sizes, scores, root)
    return weights, weights


class SumsOfFormerScores(kernels._entropy.SoftmaxSums):
    """When the largest score rises, the sum of scores is rescaled but not moved."""

    def rescaled(self, top: Any, level: Any, total: Any, changes: Any) -> Any:
        return super().rescaled(top, level, jnp.zeros_like(total), changes)


def log1p_of_one_plus(x: Any) -> Any:
    """A small number is lost when it is added to 1."""
    return jnp.log(1.0 + x)


@dataclass(frozen=True)
class Fault:
    """A function of the kernels, what replaces it, and a check of a statement that this breaks."""

    name: str
    function: str
    wrong: Any
    check: str
    dtype: str = "float32"

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in MODULES:
            if hasattr(module, self.function):
                monkeypatch.setattr(module, self.function, self.wrong)
        jax.clear_caches()


FORMULA = "test_association_is_its_formula"
GRADIENT = "test_gradients_of_the_update"
JACOBIAN = "test_automatic_jacobian"
EXTREME = "test_extreme_values_stay_finite"
ENTROPY = "test_statistics_are_those_of_the_weights"
SHARP = "test_small_entropies_are_exact"
FAULTS = [
    Fault("a wrong tile border", "scores_of", scores_beyond_the_end, FORMULA),
    Fault("a last tile left out", "end_of", end_of_whole_tiles, FORMULA),
    Fault("a skipped tile that had support", "has_support", support_of_the_last_pattern, FORMULA),
    Fault("a skipped tile of small weights", "has_support", support_of_large_weights, FORMULA),
    Fault("an overflow in bfloat16", "dot", dot_in_float16, EXTREME, "bfloat16"),
    Fault("sums in bfloat16", "dot", sums_in_bfloat16, FORMULA),
    Fault("thresholds of one pass", "newton", steps_that_stop_early, FORMULA),
    Fault("slopes that are weights", "weights_of", slopes_that_are_weights, JACOBIAN),
    Fault("an entropy of former scores", "SoftmaxSums", SumsOfFormerScores, ENTROPY),
    Fault("small entropies rounded off", "log1p", log1p_of_one_plus, SHARP),
    Fault("derivatives without the mean", "by_scores_of", change_without_the_mean, GRADIENT),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_the_fault_is_caught(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(hopcore.backend("jax"), fault.dtype)
    fault.plant(monkeypatch)
    try:
        assert complaint(check_of(fault.check), subject)
    finally:
        jax.clear_caches()


@pytest.mark.parametrize(
    ("name", "dtype"), sorted({(fault.check, fault.dtype) for fault in FAULTS})
)
def test_without_a_fault_the_same_check_passes(name: str, dtype: str) -> None:
    assert complaint(check_of(name), Subject(hopcore.backend("jax"), dtype)) == ""


def check_of(name: str) -> Callable[..., None]:
    """The check of this name."""
    (check,) = [check for check in CHECKS if check.__name__ == name]
    return check
