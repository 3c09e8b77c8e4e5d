"""Shared by the checks of diffusion-augmented retrieval: cases, and their rounding errors.

Most cases use one graph with fixed edges, so that libraries that compile do so once: a triangle, a
tail, and an isolated node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace, device
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import Problem, masks, memory, problems, queries
from hopcore_conformance.checks import tolerance
from hopcore_conformance.oracle import diffused as dense
from hopcore_conformance.subject import Subject

Array = np.ndarray

ENDS = np.asarray([[0, 0, 1, 2, 3], [1, 2, 2, 3, 4]])
NODES = 6
MODES = ("factored", "simple", "iterative", "spectral", "chebyshev", "implicit")
LAPLACIANS = (True, False)
"""Normalised and not."""

GATE = {"adaptive_temperature": 2.0, "adaptive_threshold": 0.8}
"""The threshold of an adaptive eta, in the middle of the entropies of the cases."""


@dataclass(frozen=True)
class Case:
    """A problem whose stored patterns lie on the graph; ``edges`` are the weights of ``ENDS``."""

    p: Problem
    edges: Array

    @property
    def weights(self) -> Array:
        """The adjacency (N, N)."""
        found = np.zeros((NODES, NODES))
        found[ENDS[0], ENDS[1]] = self.edges
        return found + found.T

    @property
    def most(self) -> float:
        """The largest degree."""
        return float(np.max(np.sum(self.weights, axis=-1)))

    def on(self, subject: Subject) -> Case:
        """The case with values that the subject's dtype holds exactly."""
        return Case(self.p.on(subject), subject.rounded(self.edges))

    def but(self, **changes: Any) -> Case:
        """The case with some parts of its problem replaced."""
        return replace(self, p=self.p.but(**changes))

    def operator(self, config: hopcore.DiffusionConfig, eta: float | None = None) -> Array:
        """The operator (N, N) of a configuration, by its formula."""
        matrix = dense.laplacian(self.weights, config.use_normalized_laplacian)
        strength = config.eta if eta is None else eta
        return dense.operator(matrix, strength, config.diffusion_mode, config.steps)


@st.composite
def cases(draw: st.DrawFn, *, heats: tuple[float, float] = (0.1, 8.0), **options: Any) -> Case:
    """Problems of three queries and six patterns, on the graph with weights of 0.2 to 1."""
    given = problems(separations=("softmax",), shapes=((3, NODES, 4),), heats=heats, **options)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Case(without_unattended(draw(given)), rng.uniform(0.2, 1.0, size=ENDS.shape[1]))


def without_unattended(p: Problem) -> Problem:
    """The problem with zeros where no query may attend, as diffusion uses it."""
    if p.mask is None:
        return p
    attended = np.any(p.mask, axis=0)[:, None]
    projection = None if p.projection is None else np.where(attended, p.projection, 0.0)
    return p.but(stored=np.where(attended, p.stored, 0.0), projection=projection)


def case_of(seed: int, heat: float = 4.0, masked: bool = False) -> Case:
    """A case of fixed values, since each new case would be compiled again."""
    rng = np.random.default_rng(seed)
    stored = memory(rng, "normal", NODES, 4)
    state = queries(rng, "near", stored, 3)
    beta = float(heat / np.max(np.sum(stored**2, axis=-1)))
    mask = masks(rng, 3, stored) if masked else None
    p = Problem(state, stored, beta, mask, "softmax", rng.normal(size=(NODES, 3)))
    return Case(without_unattended(p), rng.uniform(0.2, 1.0, size=ENDS.shape[1]))


def gate(config: hopcore.DiffusionConfig) -> dict[str, float]:
    """The gate of a configuration, as the argument of the formula."""
    return {"temperature": config.adaptive_temperature, "threshold": config.adaptive_threshold}


def graph_of(weights: Any, ends: Array = ENDS, nodes: int = NODES) -> hopcore.Graph:
    """The graph with edge weights that are already an array of a library."""
    xp = array_namespace(weights)
    index = xp.asarray(ends, dtype=xp.int32, device=device(weights))
    return hopcore.Graph.from_edges(index, weights, nodes)


def run(
    subject: Subject, case: Case, config: hopcore.DiffusionConfig, *wanted: str, **options: Any
) -> tuple[Array, ...]:
    """Some fields of the result of ``diffused_retrieve`` on the graph of a case."""

    def call(*arrays: Any, edges: Any, **given: Any) -> tuple[Any, ...]:
        found = hopcore.diffused_retrieve(*arrays, config=config, graph=graph_of(edges), **given)
        return tuple(getattr(found, name) for name in wanted)

    mask = {} if case.p.mask is None else {"mask": case.p.mask}
    return subject(call, *case.p.arrays, edges=case.edges, **mask, **options)


def spread_error(
    subject: Subject, features: Array, config: hopcore.DiffusionConfig, largest: float
) -> float:
    """The error of diffused features as a Frobenius norm; ``largest`` bounds the eigenvalues.

    No operator of a check expands. Each step sums N terms, and returns features in their dtype; a
    series is cut at 1e-6, and conjugate gradients end at 10 roundings of a column.
    """
    steps = config.steps if config.diffusion_mode in ("factored", "iterative") else 1
    tail = {"chebyshev": 1e-6 + 64 * subject.fine, "implicit": 16 * subject.fine}
    reach = 1.0 + config.eta * largest
    each = subject.eps + (16 + 2 * len(features)) * reach * subject.fine
    total = steps * each + tail.get(config.diffusion_mode, 16 * reach * subject.fine)
    return float(np.linalg.norm(features)) * total + subject.least


def keys_error(subject: Subject, case: Case, config: hopcore.DiffusionConfig) -> float:
    """Error of the diffused stored patterns of a case, as a Frobenius norm."""
    largest = 2.0 if config.use_normalized_laplacian else 2.0 * case.most
    return spread_error(subject, case.p.stored, config, largest)


def association_error(
    subject: Subject, p: Problem, off: float, values: Array | None = None, worse: float = 0.0
) -> Array:
    """Error (L,) of the association with the errors ``off`` of keys and ``worse`` of values."""
    values = p.stored if values is None else values
    wrong = 2.0 * np.asarray(p.beta) * tolerance.norm(p.state) * off
    longest = np.max(tolerance.norm(values))
    moved = longest * np.minimum(len(values) * wrong, 2.0)
    return tolerance.association(subject, p, values) + moved + worse


def iterated(subject: Subject, p: Problem, off: float, steps: int) -> Array:
    """Error (L,) after some updates in a memory with the error ``off``: f is Lipschitz (E4)."""
    each = np.max(association_error(subject, p, off, None, off))
    slope = np.max(np.asarray(p.beta)) * np.linalg.norm(p.stored, ord=2) ** 2 / 2.0
    return np.full(len(p.state), each * sum((1.0 + slope) ** i for i in range(steps)))


def no_half(subject: Subject, why: str) -> None:
    """Skip in half precision."""
    if subject.dtype not in ("float32", "float64"):
        pytest.skip(f"{subject.dtype}: {why}")
