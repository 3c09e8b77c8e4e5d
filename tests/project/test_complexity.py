"""The measured powers of time and memory: every function runs, and the page shows its record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hopcore
from benchmarks import complexity
from benchmarks import complexity_calls as calls
from hopcore.diffusion import anchored_association

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("function", complexity.FUNCTIONS, ids=lambda function: function.name)
def test_every_function_runs_at_small_sizes(function: complexity.Function) -> None:
    assert set(function.axes) <= set(function.fixed)
    sizes = {"L": 4, "N": 32, "d": 16}
    call = function.make(**{name: sizes[name] for name in function.fixed})
    assert call() is not None
    assert complexity.peak_of(call) > 0


def test_the_rows_of_a_diffused_memory_are_what_their_names_say() -> None:
    """Both graphs of neighbours are one, spectral diffusion has its parts, keys are diffused."""
    array, graph = (
        calls.dense_neighbors(as_sparse=as_sparse)(N=32, d=16)() for as_sparse in (False, True)
    )
    assert isinstance(graph, hopcore.Graph)
    np.testing.assert_array_equal(graph.to_dense(), array)
    np.testing.assert_array_equal(
        calls.dense_laplacian(32)(), hopcore.compute_laplacian(calls.ring(32)).to_dense()
    )
    kernel, stored = calls.spectral_kernel(32)(), calls.normal(32, 16)
    np.testing.assert_array_equal(kernel(stored), calls.spectral_step(32, 16)())
    np.testing.assert_allclose(
        kernel(stored), calls.diffusion("spectral", dense=True)(32, 16)(), rtol=1e-6
    )
    state, laplacian = calls.normal(4, 16), hopcore.compute_normalized_laplacian(calls.ring(32))
    keys = hopcore.apply_diffusion(stored, laplacian, calls.ETA, "iterative", calls.STEPS)
    whole, near = (calls.diffused(mode)(4, 32, 16)().output for mode in ("dense", "graph"))
    wanted = hopcore.association(state, keys, stored, beta=0.25)
    np.testing.assert_allclose(whole, wanted, rtol=1e-4, atol=1e-6)
    wanted = anchored_association(state, keys, stored, beta=0.25, graph=calls.ring(32))
    np.testing.assert_allclose(near, wanted, rtol=1e-4, atol=1e-6)
    assert np.max(np.abs(near - whole)) > 1e-2


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
