"""Scalar arguments: any number gives a finite result, or one line of ValueError or TypeError."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import diffusion, graphs, layers, memory, phase, schedules, training
from hopcore.arrays import _scalar_checks

PATTERNS = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-0.6, 0.8]])
SMALL = PATTERNS.astype(np.float32)
GRAPH = hopcore.knn_graph(PATTERNS, 1)
SMALL_GRAPH = hopcore.knn_graph(SMALL, 1)
EMPTY = hopcore.Graph.from_dense(np.zeros((4, 4), np.float32))

VALUES = [
    *(10**400, 10**5000, -(10**400), 10**30, 2**63, 2**40, 7, 2, 1, 0, -1),
    *(math.nan, math.inf, -math.inf, 1e308, 1e300, 1e155, 1e38, 1e20, 0.5, 1e-30, 1e-300, 5e-324),
    *(True, np.True_, np.float16(2.0), np.float32(0.5), np.float64(0.5), np.int8(3), np.uint64(2)),
    *(np.float64(math.nan), np.float32(math.inf), np.asarray(2.0)),
    *(
        np.asarray(2),
        np.asarray(True),
        "1",
        None,
        1j,
        np.complex64(1),
        [1.0],
        (1,),
        {},
        Fraction(1),
    ),
    *(np.datetime64("2020"), np.timedelta64(3, "s"), np.void(b"a"), object()),
]

CONFIG = diffusion.DiffusionConfig(k_neighbors=1)

RAW = ("not supported between", "unsupported operand", "float() argument", "dtype(")
"""Parts of errors of Python and NumPy, which say nothing of the argument."""

Call = Callable[[Any], Any]

NUMBERS: dict[str, Call] = {
    "association beta": lambda v: memory.association(PATTERNS, PATTERNS, beta=v),
    "association beta float32": lambda v: memory.association(SMALL, SMALL, beta=v),
    "sparsemax beta": lambda v: memory.update(PATTERNS, PATTERNS, v, separation="sparsemax"),
    "weights beta": lambda v: memory.association_weights(SMALL, SMALL, v),
    "retrieve beta": lambda v: memory.retrieve(PATTERNS, PATTERNS, v).state,
    "retrieve tol": lambda v: memory.retrieve(PATTERNS, PATTERNS, 2.0, tol=v).state,
    "lse beta": lambda v: memory.lse(v, PATTERNS),
    "lse beta of large scores": lambda v: memory.lse(v, 1e12 * PATTERNS),
    "lse beta of huge scores": lambda v: memory.lse(v, np.asarray([1e308, -1e308, 0.0])),
    "lse beta float32": lambda v: memory.lse(v, SMALL),
    "Entmax alpha": lambda v: memory.separate(PATTERNS, memory.Entmax(v)),
    "Chebyshev tol": lambda v: diffusion.ChebyshevDiffusion(GRAPH, 0.3, tol=v)(PATTERNS),
    "Chebyshev largest": lambda v: diffusion.ChebyshevDiffusion(GRAPH, 0.3, largest=v)(PATTERNS),
    "implicit tol": lambda v: diffusion.ImplicitDiffusion(GRAPH, 0.3, tol=v)(PATTERNS),
    "diffused beta": lambda v: hopcore.diffused_retrieve(PATTERNS, PATTERNS, v, config=CONFIG),
    "diffused tol": lambda v: hopcore.diffused_retrieve(
        PATTERNS, PATTERNS, 2.0, config=CONFIG, tol=v
    ),
    "joint_weight beta": lambda v: diffusion.joint_weight(GRAPH, v, PATTERNS),
    "joint_weight eta": lambda v: diffusion.joint_weight(GRAPH, 2.0, PATTERNS, eta=v),
    "minima beta": lambda v: phase.minima(PATTERNS, v),
    "minima tol": lambda v: phase.minima(PATTERNS, 2.0, tol=v),
    "cobweb overlap": lambda v: phase.cobweb(v, 6.0, 10, steps=3),
    "reduced_map overlap": lambda v: phase.reduced_map(v, 6.0, 10),
    "reduced_map b": lambda v: phase.reduced_map(0.5, v, 10),
    "reduced_fixed_points b": lambda v: phase.reduced_fixed_points(v, 10),
    "suggest_beta noise": lambda v: phase.suggest_beta(PATTERNS, noise=v),
    "capacity beta": lambda v: phase.capacity(PATTERNS, v, noise=0.1),
    "capacity noise": lambda v: phase.capacity(PATTERNS, 2.0, noise=v),
    "error bound beta": lambda v: phase.retrieval_error_bound(PATTERNS, v),
    "error bound radius": lambda v: phase.retrieval_error_bound(PATTERNS, 2.0, radius=v),
    "divergence beta": lambda v: phase.normalized_divergence(PATTERNS, PATTERNS, v),
    "divergence dimension": lambda v: phase.normalized_divergence(
        PATTERNS, PATTERNS, 2.0, dimension=v
    ),
    "radius beta": lambda v: phase.jacobian_radius(PATTERNS, PATTERNS, v),
    "effective_beta": lambda v: phase.effective_beta(PATTERNS, v),
    "Constant": lambda v: schedules.Constant(v)(3),
    "Linear start": lambda v: schedules.Linear(v, 0.1, 10)(3),
    "Linear end": lambda v: schedules.Linear(1.0, v, 10)(3),
    "Geometric factor": lambda v: schedules.Geometric(1.0, v)(3),
    "Linear floor": lambda v: schedules.Linear(1.0, 0.1, 10, floor=v)(3),
    "temperature factor": schedules.LearnableTemperature,
    "inverse_softplus": schedules.inverse_softplus,
    "scaling": lambda v: layers.HopfieldSettings(input_size=4, scaling=v),
    "dropout": lambda v: layers.HopfieldSettings(input_size=4, dropout=v),
    "config beta": lambda v: diffusion.DiffusionConfig(beta=v),
    "config eta": lambda v: hopcore.diffused_retrieve(
        PATTERNS, PATTERNS, 2.0, config=diffusion.DiffusionConfig(eta=v, k_neighbors=1)
    ),
    "adaptive temperature": lambda v: hopcore.diffused_retrieve(
        PATTERNS,
        PATTERNS,
        2.0,
        config=diffusion.DiffusionConfig(
            k_neighbors=1, adaptive_eta="query", adaptive_temperature=v
        ),
    ),
    "learning_rate": lambda v: training.TrainConfig(learning_rate=v),
    **{
        f"{mode} eta {name}": lambda v, mode=mode, given=given: hopcore.apply_diffusion(
            given[1], given[0], v, mode
        )
        for mode in ("simple", "iterative", "spectral", "chebyshev", "implicit")
        for name, given in {
            "float64": (GRAPH, PATTERNS),
            "float32": (SMALL_GRAPH, SMALL),
            "no edges": (EMPTY, SMALL),
            "normalized": (SMALL_GRAPH.using("symmetric"), SMALL),
            "dense": (graphs.compute_laplacian(GRAPH.to_dense()), PATTERNS),
        }.items()
    },
}

INTEGERS: dict[str, Call] = {
    "retrieve max_steps": lambda v: memory.retrieve(PATTERNS, PATTERNS, 2.0, max_steps=v).state,
    "diffused max_steps": lambda v: (
        hopcore.diffused_retrieve(PATTERNS, PATTERNS, 2.0, config=CONFIG, max_steps=v).state
    ),
    "iterative steps": lambda v: diffusion.IterativeDiffusion(GRAPH, 0.1, v)(PATTERNS),
    "factored steps": lambda v: diffusion.FactoredDiffusion(GRAPH, None, 0.1, v)(PATTERNS),
    "config steps": lambda v: diffusion.DiffusionConfig(steps=v),
    "k_neighbors": lambda v: diffusion.DiffusionConfig(k_neighbors=v),
    "knn k": lambda v: hopcore.knn_graph(PATTERNS, v).deg,
    "dense knn k": lambda v: hopcore.build_knn_graph(hopcore.build_similarity_matrix(PATTERNS), v),
    "builder k": lambda v: hopcore.GraphBuilder(PATTERNS).knn(v).build().deg,
    "nodes": lambda v: (
        hopcore.Graph.from_edges(
            np.asarray([[0], [1]]), np.ones(1), v if not isinstance(v, int) or v < 100 else 10**40
        ).deg
    ),
    "max_entries": lambda v: hopcore.GraphCache(CONFIG, max_entries=v),
    "Streamed rows": lambda v: memory.association(
        PATTERNS, hopcore.Streamed(PATTERNS, rows=v), beta=1.0
    ),
    "minima max_steps": lambda v: phase.minima(PATTERNS, 2.0, max_steps=v),
    "sweep max_steps": lambda v: phase.sweep(PATTERNS, [1.0, 2.0], max_steps=v),
    "sweep patterns": lambda v: phase.sweep(PATTERNS, [1.0, 2.0], patterns=v),
    "critical patterns": lambda v: phase.critical_betas(PATTERNS, patterns=v),
    "cobweb steps": lambda v: phase.cobweb(0.5, 6.0, 10, steps=v),
    "cobweb patterns": lambda v: phase.cobweb(0.5, 6.0, v, steps=3),
    "transition": phase.transition,
    "saddle_node_beta": phase.saddle_node_beta,
    "coexistence_beta": phase.coexistence_beta,
    "centroid_beta": phase.centroid_beta,
    "schedule steps": lambda v: schedules.Linear(1.0, 0.1, v)(3),
    "schedule step": schedules.Linear(1.0, 0.1, 10),
    "schedule warmup": lambda v: schedules.Linear(1.0, 0.1, 10, warmup=v)(3),
    "schedule freeze_after": lambda v: schedules.Linear(1.0, 0.1, 10, freeze_after=v)(3),
    "schedule then": lambda v: schedules.Constant(1.0).then(schedules.Constant(0.5), at=v)(3),
    "num_heads": lambda v: layers.HopfieldSettings(input_size=4, num_heads=v),
    "update_steps_max": lambda v: layers.HopfieldSettings(input_size=4, update_steps_max=v),
    "quantity": lambda v: layers.PoolingSettings(
        hopfield=layers.HopfieldSettings(input_size=4), quantity=v
    ),
    "seed": lambda v: layers.initial_parameters(layers.HopfieldSettings(input_size=4), seed=v),
    "epochs": lambda v: training.TrainConfig(epochs=v),
    "config seed": lambda v: training.TrainConfig(seed=v),
}


def arrays_of(result: Any) -> Iterator[np.ndarray]:
    """All floating arrays in a result that says nothing by nan."""
    if isinstance(result, tuple | list) and not isinstance(result, phase.CriticalBetas):
        for part in result:
            yield from arrays_of(part)
    elif isinstance(result, float | np.ndarray) and np.asarray(result).dtype.kind == "f":
        yield np.asarray(result)


def check_call(call: Call, value: Any) -> None:
    """Raise unless a call gives a finite result without a warning, or one line, in good time."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", phase.HypothesisWarning)
        try:
            result = call(value)
        except (ValueError, TypeError) as error:
            text = str(error)
            assert "\n" not in text, text
            assert len(text) < 300, text
            assert not [raw for raw in RAW if raw in text], text
        else:
            for array in arrays_of(result):
                assert np.all(np.isfinite(array)), result
    assert time.perf_counter() - start < 20.0


@pytest.mark.parametrize("name", [*NUMBERS, *INTEGERS])
def test_every_value_ends_in_a_finite_result_or_in_one_line(name: str) -> None:
    call = NUMBERS.get(name) or INTEGERS[name]
    for value in VALUES:
        try:
            check_call(call, value)
        except BaseException as error:
            error.add_note(f"{name} with {_scalar_checks.short_repr(value)}")
            raise


@pytest.mark.parametrize("value", [np.longdouble(2) ** 16000, 10**400])
def test_a_number_beyond_floats_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(ValueError, match="beta must be positive and finite, got"):
        memory.retrieve(PATTERNS, PATTERNS, value)


def test_steps_end_at_a_documented_number() -> None:
    for most, refused in ((10**6, 10**6 + 1), (np.int64(10**6), 10**30)):
        assert memory.retrieve(PATTERNS, PATTERNS, 2.0, max_steps=most).converged.all()
        with pytest.raises(ValueError, match="max_steps must be <= 1000000, got"):
            memory.retrieve(PATTERNS, PATTERNS, 2.0, max_steps=refused)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lse_is_right_at_every_scale(dtype: str) -> None:
    eps, most = float(np.finfo(dtype).eps), float(np.finfo(dtype).max)
    scores = np.asarray([1.0, 1.0, -3.0], dtype)
    for scale, beta in ((1.0, 1e300), (most / 4.0, 1e300), (most / 4.0, 1.0), (1e-30, 1e30)):
        got = float(memory.lse(beta, scores * np.asarray(scale, dtype)))
        wanted = (
            scale + math.log(2.0 + math.exp(max(-4.0 * scale * min(beta, 1e38), -800.0))) / beta
        )
        assert got == pytest.approx(wanted, rel=4.0 * eps), (scale, beta)
    for beta in (1e-30, 1e-3, 1.0):
        wanted = math.log(math.fsum(math.exp(beta * z) for z in (1.0, 1.0, -3.0))) / beta
        assert float(memory.lse(beta, scores)) == pytest.approx(wanted, rel=8.0 * eps)


def test_the_gradient_of_lse_is_the_softmax() -> None:
    torch = pytest.importorskip("torch")
    scores = torch.tensor([0.3, -1.0, 0.3, 2.0, -math.inf], requires_grad=True)
    memory.lse(2.0, scores).backward()
    assert scores.grad is not None
    wanted = torch.softmax(2.0 * scores.detach(), -1)
    torch.testing.assert_close(scores.grad, wanted, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_other_libraries_take_the_same_numbers(library: str) -> None:
    pytest.importorskip(library)
    patterns = hopcore.backend(library).asarray(PATTERNS, dtype="float32")
    graph = hopcore.knn_graph(patterns, 1)
    calls: list[Call] = [
        lambda v: memory.association(patterns, patterns, beta=v),
        lambda v: memory.lse(v, patterns),
        lambda v: hopcore.apply_diffusion(patterns, graph, v, "implicit"),
        lambda v: hopcore.apply_diffusion(patterns, graph, v, "spectral"),
        lambda v: hopcore.apply_diffusion(patterns, graph, v, "simple"),
    ]
    to_numpy = hopcore.backend(library).to_numpy
    for value in (10**400, 10**30, 1e308, 1e300, 1e38, 1e-300, np.float32(0.5), True, "1", 1j):
        for call in calls:
            check_call(lambda v, call=call: to_numpy(call(v)), value)
