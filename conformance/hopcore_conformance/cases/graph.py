r"""Inputs of the checks of graphs and diffusion, and the rounding errors of their results.

Shapes are small and few: the number of entries of a graph is a shape, too, and some libraries
compile once for each.

Rounding. An operator is :math:`s^{-1} f(S) s` with a symmetric S of largest eigenvalue
:math:`\lambda`, s the roots of the degrees (random walk) or 1, and :math:`\|f(S)\|_2 \le 1`. With u
the rounding of the precise dtype and N nodes:

- Entries of S are sums, roots and quotients with at most N + 6 rounding errors. So the error of S
  is at most :math:`(N + 6) u \lambda` (entry by entry, and the absolute values of S have norm at
  most :math:`2 \lambda`), and a product with S adds the same error again.
- The resulting error of f is at most :math:`\eta \|\Delta S\|` for the heat kernel and the
  resolvent (both have a derivative of norm at most :math:`\eta`), and :math:`T \eta \|\Delta S\|`
  for T explicit steps. Explicit steps also round their results, which adds :math:`T (N + 6) u`.
- The term :math:`c_k T_k` of a Chebyshev series has the error of :math:`k^2` products, and
  :math:`\sum_k |c_k| k^2 = \eta \lambda / 2`. Eigenvalues and conjugate gradients are backward
  stable: they add an error of S of a few N u :math:`\lambda`.

The total error is :math:`(N + 6) u (T + \eta \lambda T)` times a small constant (:data:`SLACK`),
relative to the norm of a column of features, and times the ratio of the largest to the smallest s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hopcore_conformance.cases.memory import generators
from hopcore_conformance.oracle import graph as plain
from hopcore_conformance.subject import Subject

Array = np.ndarray

NODES, WIDTH = 6, 3
"""Nodes and features of a small graph."""

PATTERNS = ("normal", "duplicates", "one zero", "offset", "integers", "same")
"""Kinds of patterns to make graphs of."""

GRAPHS = ("some edges", "all edges", "star", "path", "two parts", "isolated", "scales", "no edges")
"""Kinds of adjacencies."""

SLACK = 12.0
"""Steps of the estimates above that each count as one, the oracle's own rounding among them."""


@dataclass(frozen=True)
class Memory:
    """Patterns (..., N, d) to make graphs from, k, and the mask."""

    patterns: Array
    k: int
    mask: Array | None = None

    def on(self, subject: Subject) -> Memory:
        """The same with values that the subject's dtype holds exactly."""
        return Memory(subject.rounded(self.patterns), self.k, self.mask)


@dataclass(frozen=True)
class Field:
    """Features (..., N, d) on graphs with weights (..., N, N)."""

    weights: Array
    features: Array

    def __repr__(self) -> str:
        with np.printoptions(floatmode="unique", threshold=300):
            given = [f"    {field.name}={getattr(self, field.name)!r}," for field in fields(self)]
        return "\n".join(["Field(", *given, ")"])

    def on(self, subject: Subject) -> Field:
        """The same with values that the subject's dtype holds exactly."""
        return Field(subject.rounded(self.weights), subject.rounded(self.features))

    def laplacian(self, normalization: str) -> Array:
        """The Laplacians (..., N, N)."""
        return plain.laplacian(self.weights, normalization)

    def largest(self, normalization: str) -> float:
        """The largest eigenvalue, or 1 where all are 0."""
        return plain.largest(self.weights, normalization) or 1.0


def patterns_of(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> Array:
    """Patterns (..., N, d) of a kind."""
    patterns = rng.normal(size=shape)
    if kind == "duplicates":
        patterns = patterns[..., np.arange(shape[-2]) // 2, :]
    elif kind == "one zero":
        patterns[..., 1, :] = 0.0
    elif kind == "offset":
        patterns = patterns + 3.0
    elif kind == "integers":
        patterns = np.round(patterns)
    elif kind == "same":
        patterns = np.broadcast_to(patterns[..., :1, :], shape).copy()
    return patterns


@st.composite
def memories(
    draw: st.DrawFn, *, batch: tuple[int, ...] = (), masked: bool | None = False
) -> Memory:
    """Small memories; with a mask, without one, or either (None)."""
    rng = draw(generators())
    shape = (*batch, NODES, WIDTH)
    patterns = patterns_of(rng, draw(st.sampled_from(PATTERNS)), shape)
    patterns *= draw(st.sampled_from((1.0, 100.0, 1e-3)))
    with_mask = draw(st.booleans()) if masked is None else masked
    mask = rng.random(shape[:-1]) < 0.7 if with_mask else None
    return Memory(patterns, draw(st.sampled_from((1, 2, 4, NODES))), mask)


def adjacency(rng: np.random.Generator, kind: str, count: int = NODES) -> Array:
    """Symmetric weights (N, N) of a kind, with diagonal 0."""
    upper = np.triu(rng.uniform(0.2, 1.0, size=(count, count)), 1)
    near = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    if kind == "some edges":
        upper *= near % 3 != 1
    elif kind == "star":
        upper[1:] = 0.0
    elif kind == "path":
        upper *= near == 1
    elif kind == "two parts":
        upper[: count // 2, count // 2 :] = 0.0
    elif kind == "isolated":
        upper[0] = 0.0
    elif kind == "scales":
        upper = upper * 10.0 ** rng.uniform(-3.0, 1.0, size=upper.shape)
    elif kind == "no edges":
        upper = 0.0 * upper
    return upper + upper.T


@st.composite
def graph_fields(
    draw: st.DrawFn,
    *,
    batch: tuple[int, ...] = (),
    lead: tuple[int, ...] = (),
    kinds: tuple[str, ...] = GRAPHS,
) -> Field:
    """Features with leading axes ``(*lead, *batch)`` on a batch of graphs of successive kinds."""
    rng = draw(generators())
    kind = draw(st.sampled_from(kinds))
    first = kinds.index(kind)
    chosen = (kinds[(first + i) % len(kinds)] for i in range(math.prod(batch)))
    weights = np.stack([adjacency(rng, each) for each in chosen])
    features = rng.normal(size=(*lead, *batch, NODES, WIDTH))
    return Field(weights.reshape(*batch, NODES, NODES), features)


class Networkx:
    """The interface of an undirected networkx graph that hopcore uses."""

    def __init__(self, weights: Array) -> None:
        self.nodes = [f"node {i}" for i in range(weights.shape[0])]
        self._weights = weights

    def is_directed(self) -> bool:
        """An edge has no direction."""
        return False

    def is_multigraph(self) -> bool:
        """Two nodes have one edge."""
        return False

    def edges(self, *, data: str, default: float) -> list[tuple[str, str, float]]:
        """Both ends and the weight of each edge."""
        assert data == "weight"
        assert default == 1.0
        ends = zip(*np.nonzero(np.triu(self._weights)), strict=True)
        return [(self.nodes[i], self.nodes[j], float(self._weights[i, j])) for i, j in ends]


class Pyg:
    """The interface of data of PyG that hopcore uses."""

    def __init__(self, edge_index: Any, edge_weight: Any, num_nodes: int) -> None:
        self.edge_index, self.edge_weight, self.num_nodes = edge_index, edge_weight, num_nodes


def similarity_error(subject: Subject, width: int) -> float:
    """The error of a cosine of patterns of d values: two norms and d products of numbers <= 1."""
    return (2 * width + 12) * subject.fine


def sure_neighbours(subject: Subject, patterns: Array, k: int) -> Array | None:
    """The edges (N, N), or None if rounding could change them or the sign of a cosine."""
    similar = plain.similarity(patterns)
    level = plain.kth_largest(similar, k)[:, None]
    sure = 10 * similarity_error(subject, patterns.shape[-1])
    tied = np.abs(similar - level)[similar != level]
    if np.any(tied < sure) or np.any((similar > 0.0) & (similar < sure)) or np.any(level == 0.0):
        return None
    return (similar >= level) | (similar >= level.T)


def error(
    subject: Subject,
    field: Field,
    normalization: str,
    eta: float | Array,
    *,
    steps: int = 1,
    tol: float = 0.0,
    roundings: int = 1,
) -> Array:
    """Error of diffused features, (..., 1, d): see the head of this file.

    ``tol`` is what the operator may be off by in exact arithmetic, ``roundings`` how often results
    are rounded to the dtype of the features.
    """
    weights = field.weights
    count = field.features.shape[-2]
    largest = np.max(plain.eigenvalues(weights, normalization), axis=-1)
    reach = np.asarray(eta * largest)[..., None, None]
    ratio = np.asarray(skew(weights) if normalization == "random_walk" else 1.0)
    ratio = ratio[..., None, None]
    size = np.linalg.norm(field.features, axis=-2, keepdims=True)
    rounding = SLACK * (count + 6) * subject.fine * steps * (1.0 + reach)
    # The result is rounded to the dtype of the features.
    return ratio * size * (tol + rounding + roundings * subject.eps) + subject.least


def skew(weights: Array) -> Array:
    """The ratio of the largest to the smallest square root of a degree (1 if isolated)."""
    degree = np.sum(weights, axis=-1)
    root = np.sqrt(np.where(degree > 0.0, degree, 1.0))
    return np.max(root, axis=-1) / np.min(root, axis=-1)
