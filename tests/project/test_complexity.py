"""The measured powers of time and memory: every function runs, and the page shows its record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import complexity

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("function", complexity.FUNCTIONS, ids=lambda function: function.name)
def test_every_function_runs_at_small_sizes(function: complexity.Function) -> None:
    assert set(function.axes) <= set(function.fixed)
    sizes = {"L": 4, "N": 32, "d": 16}
    call = function.make(**{name: sizes[name] for name in function.fixed})
    assert call() is not None
    assert complexity.peak_of(call) > 0


def test_the_slope_of_a_power_law_is_its_power() -> None:
    sizes = [2, 4, 8, 16, 32]
    assert complexity.slope(sizes, [3.0 * size**1.5 for size in sizes]) == pytest.approx((1.5, 0.0))
    noisy = [size**2.0 * factor for size, factor in zip(sizes, (1, 1.1, 0.9, 1, 1), strict=True)]
    found, error = complexity.slope(sizes, noisy)
    fit, covariance = np.polyfit(np.log(sizes), np.log(noisy), 1, cov="unscaled")
    rest = np.log(noisy) - np.polyval(fit, np.log(sizes))
    assert found == pytest.approx(fit[0])
    assert error == pytest.approx(np.sqrt(covariance[0, 0] * np.sum(rest**2) / 3))


def test_the_page_shows_the_record() -> None:
    record = json.loads((ROOT / "benchmarks" / "results" / "complexity.json").read_text())
    page = (ROOT / "docs" / "benchmarks" / "complexity.md").read_text()
    assert complexity.markdown(record) in page
    every = [(function.name, axis) for function in complexity.FUNCTIONS for axis in function.axes]
    assert [(power["function"], power["axis"]) for power in record["powers"]] == every
