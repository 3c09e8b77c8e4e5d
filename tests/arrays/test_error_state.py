"""A caller's error state of NumPy, or default dtype of torch, changes and breaks nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import diffusion, layers, phase, schedules
from hopcore.graphs import compute_normalized_laplacian as compute

RNG = np.random.default_rng(0)
CONFIG = hopcore.DiffusionConfig(k_neighbors=2, steps=1)
SETTINGS = layers.HopfieldSettings(input_size=8)
DIFFUSED = replace(SETTINGS, diffusion=hopcore.DiffusionConfig(k_neighbors=2, adaptive_eta=True))

Call = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]

OPTIONS: dict[str, dict[str, Any]] = {
    "graph attention": {"attention_mode": "graph"},
    "adaptive eta": {"adaptive_eta": True},
    "eta of each query": {"adaptive_eta": "query"},
    "logits": {"use_logit_diffusion": True},
    "until settled": {"energy_stop_tol": 0.1, "steps": 5},
    "spectral": {"diffusion_mode": "spectral"},
    "implicit": {"diffusion_mode": "implicit"},
}


def diffused(
    config: hopcore.DiffusionConfig, state: np.ndarray, stored: np.ndarray, mask: np.ndarray
) -> Any:
    return hopcore.diffused_retrieve(state, stored, 50.0, config=config)


def graph_like(patterns: np.ndarray) -> hopcore.Graph:
    """A graph with weights of usual size, for patterns of any size."""
    return hopcore.knn_graph(PLAIN.astype(patterns.dtype), 2).using("symmetric")


def tracked(state: np.ndarray, stored: np.ndarray) -> Any:
    """Retrieve, and return the recorded energies."""
    tracker = hopcore.EnergyTracker()
    hopcore.diffused_retrieve(state, stored, 50.0, config=CONFIG, tracker=tracker)
    return tuple(map(np.asarray, (tracker.energies, tracker.dirichlet, tracker.joint(0.5))))


CALLS: dict[str, Call] = {
    "association": lambda S, X, m: hopcore.association(S, X, beta=50.0),
    "masked": lambda S, X, m: hopcore.association(S, X, beta=50.0, mask=m, return_lse=True),
    "tiles": lambda S, X, m: hopcore.association(np.tile(X, (10, 1)), np.tile(X, (5, 1)), beta=9.0),
    "sparsemax": lambda S, X, m: hopcore.update(S, X, 50.0, mask=m, separation="sparsemax"),
    "normmax": lambda S, X, m: hopcore.update(S, X, 50.0, separation=hopcore.Normmax(1.5)),
    "entmax": lambda S, X, m: hopcore.update(S, X, 50.0, separation=hopcore.Entmax(1.5)),
    "few": lambda S, X, m: hopcore.update(S, X[:9], 50.0, separation=hopcore.Entmax(1.5)),
    "weights": lambda S, X, m: hopcore.association_weights(S, X, 50.0, mask=m),
    "energy": lambda S, X, m: hopcore.energy(S, X, 50.0, mask=m),
    "gradient": lambda S, X, m: hopcore.energy_gradient(S, X, 50.0),
    "retrieve": lambda S, X, m: hopcore.retrieve(S, X, 50.0),
    "masked retrieve": lambda S, X, m: hopcore.retrieve(S, X, 50.0, mask=m),
    "few updates": lambda S, X, m: hopcore.retrieve(S, X, 50.0, max_steps=2, tol=0.0),
    "no update": lambda S, X, m: hopcore.retrieve(S, X, 50.0, max_steps=0),
    "lse": lambda S, X, m: hopcore.lse(50.0, X, mask=X > 0),
    "graph": lambda S, X, m: hopcore.knn_graph(X, 2).weights,
    "diffused": lambda S, X, m: hopcore.diffused_retrieve(S, X, 50.0, config=CONFIG),
    "layer": lambda S, X, m: layers.hopfield(
        SETTINGS, layers.initial_parameters(SETTINGS, dtype=X.dtype.name), X[None]
    ),
    "diffused layer": lambda S, X, m: layers.hopfield(
        DIFFUSED, layers.initial_parameters(DIFFUSED, dtype=X.dtype.name), X[None, :20]
    ),
    "diffused weights": lambda S, X, m: layers.hopfield_weights(
        DIFFUSED, layers.initial_parameters(DIFFUSED, dtype=X.dtype.name), X[None, :20]
    ),
    "spectral": lambda S, X, m: hopcore.SpectralDiffusion(graph_like(X), 1.0)(X),
    "Chebyshev": lambda S, X, m: hopcore.ChebyshevDiffusion(graph_like(X), 1.0)(X),
    "implicit": lambda S, X, m: hopcore.ImplicitDiffusion(graph_like(X), 1.0)(X),
    "explicit": lambda S, X, m: hopcore.IterativeDiffusion(graph_like(X), 0.1)(X),
    "Laplacian": lambda S, X, m: compute(graph_like(X)) @ X,
    "dense Laplacian": lambda S, X, m: hopcore.SpectralDiffusion(
        compute(graph_like(X)).to_dense(), 1.0
    )(X),
    "Dirichlet energy": lambda S, X, m: hopcore.dirichlet_energy(X, graph_like(X)),
    "anchored": lambda S, X, m: diffusion.anchored_association(
        S, X, beta=50.0, graph=graph_like(X)
    ),
    "operator": lambda S, X, m: hopcore.AttentionOperator(50.0, "graph")(
        X, X, X, graph=graph_like(X)
    ),
    "engine": lambda S, X, m: hopcore.DynamicsEngine(
        hopcore.SpectralDiffusion(graph_like(X), 1.0), hopcore.AttentionOperator(50.0), CONFIG
    ).run(X, X),
    "tracked": lambda S, X, m: tracked(S, X),
    **{
        f"diffused, {name}": partial(diffused, replace(CONFIG, **options))
        for name, options in OPTIONS.items()
    },
}

HOST: dict[str, Callable[[], Any]] = {
    "streamed": lambda: hopcore.retrieve(PLAIN[:3], hopcore.Streamed(PLAIN, rows=50), 50.0),
    "minima": lambda: phase.minima(PLAIN[:20], 50.0),
    "sweep": lambda: phase.sweep(PLAIN[:20], [20.0, 500.0]),
    "critical_betas": lambda: hopcore.critical_betas(PLAIN[:20]),
    "suggest_beta": lambda: hopcore.suggest_beta(PLAIN[:20]),
    "error bound": lambda: phase.retrieval_error_bound(PLAIN[:20], 500.0),
    "reduced_map": lambda: phase.reduced_map(PLAIN, 5000.0, 10),
    "cobweb": lambda: phase.cobweb(0.9, 9000.0, 10),
    "Geometric": lambda: schedules.Geometric(1.0, 0.1)(5000),
}

PLAIN = RNG.normal(size=(200, 8))


def parts(result: Any) -> list[np.ndarray]:
    """The arrays of a result."""
    if isinstance(result, tuple):
        return [array for part in result for array in parts(part)]
    return [np.asarray(result)] if not isinstance(result, str) else []


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_vanishing_numbers_do_not_raise(name: str, dtype: str) -> None:
    # Squares that vanish, squares below the smallest normal number, and numbers below it.
    scales = (1e-30, 1e-22, 1e-40) if dtype == "float32" else (1e-200, 1e-160, 1e-310)
    mask = RNG.random((3, 200)) > 0.5
    for scale in (1.0, *scales):
        patterns = (PLAIN * scale).astype(dtype)
        state = patterns[:3] * np.asarray(0.5, dtype)
        wanted = parts(CALLS[name](state, patterns, mask))
        with np.errstate(all="raise"):
            got = parts(CALLS[name](state, patterns, mask))
        for one, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore::hopcore.phase.HypothesisWarning")
@pytest.mark.parametrize("name", HOST)
def test_exponentials_that_vanish_do_not_raise(name: str) -> None:
    wanted = parts(HOST[name]())
    with np.errstate(all="raise"):
        got = parts(HOST[name]())
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_error_state_of_the_caller_stays() -> None:
    with np.errstate(all="raise"):
        before = np.geterr()
        hopcore.retrieve(PLAIN[:3], PLAIN, 50.0)
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.exp(np.float64(-1000.0))


def test_a_default_dtype_of_torch_changes_nothing() -> None:
    torch = pytest.importorskip("torch")
    patterns = torch.tensor(PLAIN[:20], dtype=torch.float32)
    mask = torch.arange(20) < 15
    calls: list[Callable[[], Any]] = [
        lambda: hopcore.retrieve(patterns[:3], patterns, 5.0, mask=mask),
        lambda: hopcore.association(patterns, patterns, beta=5.0, separation="sparsemax"),
        lambda: (hopcore.energy(patterns, patterns, 5.0, mask=mask),),
        lambda: (hopcore.lse(2.0, patterns),),
        lambda: hopcore.diffused_retrieve(patterns, patterns, 5.0, config=CONFIG),
        lambda: (hopcore.knn_graph(patterns, 2).weights,),
    ]
    wanted = [call() for call in calls]
    torch.set_default_dtype(torch.float64)
    try:
        got = [call() for call in calls]
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(got, wanted, strict=True):
        for array, same in zip(one, other, strict=True):
            assert array.dtype == same.dtype
            assert torch.equal(array, same)
