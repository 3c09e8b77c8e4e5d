"""Entmax of rows of which most scores have weight: the same as by the portable solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.arrays import Backend
from hopcore.memory import _entmax_rows as rows

NUMPY: Any = hopcore.backend("numpy")


def sparsemax(scores: np.ndarray) -> np.ndarray:
    """Weights in extended precision, by sorting."""
    scores = scores.astype(np.longdouble)
    ordered = -np.sort(-scores, axis=-1)
    sums, counts = np.cumsum(ordered, axis=-1), np.arange(1, scores.shape[-1] + 1)
    size = (1 + counts * ordered > sums).sum(axis=-1)
    threshold = (sums[np.arange(len(scores)), size - 1] - 1) / size
    return np.maximum(scores - threshold[:, None], 0)


@pytest.mark.parametrize(
    ("library", "dtype"),
    [
        *(
            (name, dtype)
            for name in ("numpy", "portable", "torch")
            for dtype in ("float32", "float64")
        ),
        ("jax", "float32"),
    ],
)
def test_sparsemax_of_almost_equal_scores_is_right_to_a_few_roundings(
    library: str, dtype: str
) -> None:
    rng = np.random.default_rng(2)
    scores = (1e-3 * rng.standard_normal((5, 3000)) / 3000).astype(dtype)
    if library == "portable":
        weights = Backend.separate(NUMPY, scores, hopcore.Entmax(2.0))[0]
    else:
        pytest.importorskip(library)
        backend = hopcore.backend(library)
        weights = backend.to_numpy(
            hopcore.separate(backend.asarray(scores, dtype=dtype), hopcore.Entmax(2.0))
        )
    wanted = sparsemax(scores)
    apart = float(np.max(np.abs(weights - wanted)) / wanted.max())
    assert apart < 10 * np.finfo(dtype).eps


def portable(scores: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and conjugates in float64, by the solver of all backends."""
    return Backend.separate(NUMPY, scores.astype(np.float64), hopcore.Entmax(alpha))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.sampled_from((128, 129, 500, 3000)))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    alpha = draw(st.sampled_from((1.02, 1.1, 1.3, 1.5, 1.7, 1.95, 2.0)))
    # Narrow enough that most scores have weight.
    scores = (
        rng.standard_normal((5, count))
        * draw(st.sampled_from((0.0, 1e-3, 0.3)))
        / count ** (alpha - 1.0)
    )
    kind = draw(st.sampled_from(("plain", "ties", "outlier", "masked", "shifted")))
    if kind == "ties":
        scores = np.round(scores, 4)
    if kind == "outlier":
        scores[:, 1] = 0.5 / (alpha - 1.0) / count ** (alpha - 1.0)  # none of the sample
    if kind == "masked":
        scores[:, ::3], scores[1] = -np.inf, -np.inf
    if kind == "shifted":
        scores += 1e3
    return scores.astype(dtype), alpha


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_weights_and_conjugates_are_those_of_the_portable_solver(
    case: tuple[np.ndarray, float],
) -> None:
    scores, alpha = case
    weights, conjugate = np.empty_like(scores), np.empty_like(scores[:, 0])
    largest = np.ones_like(scores[:, :1])
    given = scores.copy()
    rows.fill_rows(scores, largest, alpha - 1.0, weights, conjugate, 2)
    np.testing.assert_array_equal(scores, given)
    check(scores, alpha, weights, conjugate)


@settings(max_examples=150, deadline=None)
@given(case=cases(), close=st.booleans(), each_row=st.booleans())
def test_a_start_from_a_sample_leads_to_the_same_weights(
    case: tuple[np.ndarray, float], close: bool, each_row: bool
) -> None:
    scores, alpha = case
    bound = np.ones_like(scores[:, :1])
    if close:
        some = portable(scores, alpha)[0].max(axis=-1, keepdims=True)
        some = np.where(some > 0.0, some * (1.0 + 8.0 * np.finfo(scores.dtype).eps), 1.0)
        bound = some.astype(scores.dtype)
    order = np.full(len(scores), alpha, scores.dtype) if each_row else alpha
    found = hopcore.Entmax(order).evaluate(scores, np, NUMPY.loop, bound)
    # An order of float32 is not the number itself.
    check(scores, float(np.max(order)), *found)


def check(scores: np.ndarray, alpha: float, weights: np.ndarray, conjugate: np.ndarray) -> None:
    """Compare results with those of the portable solver."""
    eps = float(np.finfo(scores.dtype).eps)
    wanted, level = portable(scores, alpha)
    size = np.maximum(wanted.max(axis=-1, keepdims=True), eps)
    assert np.max(np.abs(weights - wanted) / size) <= 40.0 * eps / (alpha - 1.0) ** 0.5
    assert ((weights >= 0.0) & np.isfinite(weights)).all()
    near = np.isfinite(level)
    np.testing.assert_array_equal(near, np.isfinite(conjugate))
    apart = np.abs(conjugate[near] - level[near])
    assert (apart <= 40.0 * eps * (1.0 + np.abs(level[near]))).all()


def test_the_dense_road_is_taken_and_few_steps_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = 1e-3 * np.random.default_rng(0).standard_normal((64, 4096)).astype(np.float32)
    steps: list[int] = []
    right = rows.step

    def step(near: np.ndarray, *given: Any) -> np.ndarray:
        steps.append(near.size)
        return right(near, *given)

    monkeypatch.setattr(rows, "step", step)
    for alpha in (1.3, 1.5):
        steps.clear()
        NUMPY.separate(scores, hopcore.Entmax(alpha))
        assert 64 * 4096 < sum(steps) < 4.5 * 64 * 4096


def test_few_steps_are_enough_from_the_start_of_a_sample() -> None:
    scores = 0.05 * np.random.default_rng(0).standard_normal((64, 4096)).astype(np.float32)
    steps: list[int] = []

    def loop(running: Any, step: Any, carry: Any, most: int) -> Any:
        steps.append(0)
        while running(carry) and steps[-1] < most:
            carry = step(carry)
            steps[-1] += 1
        return carry

    for alpha in (1.3, 1.5):
        steps.clear()
        hopcore.Entmax(alpha).evaluate(scores, np, loop, np.ones_like(scores[:, :1]))
        assert steps[1] <= 3  # steps[0] are those of the sample
        steps.clear()
        hopcore.Entmax(alpha).evaluate(scores, np, loop)
        assert steps[0] > 5


@pytest.mark.parametrize(
    "fault", ["the start is the result", "each score of the sample counts once"]
)
def test_a_fault_is_noticed(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    scores = 1e-3 * np.random.default_rng(1).standard_normal((8, 4096))
    if fault == "the start is the result":
        monkeypatch.setattr(rows, "root", lambda near, start, *rest: start)
    else:
        right = rows.step
        monkeypatch.setattr(rows, "step", lambda *given: right(*given[:4]))
        monkeypatch.setattr(rows, "root", lambda near, start, *rest: start)
    weights, _ = NUMPY.separate(scores, hopcore.Entmax(1.5))
    wanted, _ = portable(scores, 1.5)
    assert np.abs(weights - wanted).max() > 1e-6 * wanted.max()
