r"""All tolerances of the suite: how much rounding may change a result from its float64 value.

Let u be the rounding unit of scores and energies (``subject.fine``); that of states and
associations is ``subject.eps``. The scores :math:`z = \beta X \xi`, with d terms each, have an
error of at most about :math:`\delta = (d + 4)\, u\, \beta \|\xi\| M`. Conjugates are 1-Lipschitz in
the scores, so the error of the energy is :math:`\delta / \beta` plus the rounding errors of its own
terms. Weights satisfy :math:`w_i^a = (a z_i - \tau)_+` with :math:`a = \alpha - 1` and a threshold
:math:`\tau` that is monotone in z and moves with a shift of z. So
:math:`|\Delta w_i^a| \le 2 a \delta`, which is
:math:`|\Delta w_i| \le 2 \delta` for :math:`a \le 1` (the softmax too) and
:math:`(2 a \delta)^{1/a}` above.

Weights of normmax are :math:`q / \sum_j q_j` with :math:`q_i^a = (z_i - \tau)_+ \le 1`. So
:math:`|\Delta q_i|` is at most :math:`h = 2 \delta / a` for :math:`a \le 1` and
:math:`h = (2 \delta)^{1/a}` above; and as :math:`\sum_j q_j \ge \|q\|_\alpha = 1`, a weight changes
by at most h for its own q and by Nh for those of the sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import hopcore
from hopcore_conformance.cases.compact import CLEAR, Compact
from hopcore_conformance.cases.memory import Problem
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray


def norm(vectors: Array) -> Array:
    """Euclidean norm over the last axis."""
    return np.linalg.norm(vectors, axis=-1)


def scores(subject: Subject, p: Problem) -> Array:
    """Error of the scores of each query, (..., L)."""
    terms = p.state.shape[-1] + 4
    product = terms * subject.fine * p.products
    return np.asarray(p.beta) * (product + underflow(subject, p))


def underflow(subject: Subject, p: Problem) -> Array:
    """The loss of scores and squares that are too small for normal numbers, as an energy."""
    return subject.tiny * p.state.shape[-1] * (1.0 + 1.0 / np.asarray(p.beta))


def weights_of_scores(subject: Subject, error: Any, alpha: float, count: int) -> Array:
    """Error of a weight among ``count``, where the scores have an error; at most 1."""
    a = alpha - 1.0
    # Four roundings of the largest weight, and one for each term of its normalisation.
    error = np.asarray(error) + (4 + count) * subject.fine
    bound = 2.0 * error if a <= 1.0 else (2.0 * a * error) ** (1.0 / a)
    return np.minimum(bound, 1.0)


def normmax_weights(subject: Subject, error: Any, alpha: float, count: int) -> Array:
    """Error of a weight of normmax among ``count``, where the scores have an error; at most 1."""
    a = alpha - 1.0
    error = np.asarray(error) + (4 + count) * subject.fine
    bound = 2.0 * error / a if a <= 1.0 else (2.0 * error) ** (1.0 / a)
    return np.minimum((1 + count) * bound, 1.0)


def weights_of(subject: Subject, error: Any, separation: Any, count: int) -> Array:
    """Error of a weight of a separation function, in the precise dtype."""
    if isinstance(separation, hopcore.Normmax):
        return normmax_weights(subject, error, separation.alpha, count)
    return weights_of_scores(subject, error, plain.order(separation), count)


def weights(subject: Subject, p: Problem) -> Array:
    """Error of a weight of each query, (..., L); weights are returned in the dtype of the state."""
    count = p.stored.shape[-2]
    return weights_of(subject, scores(subject, p), p.separation, count) + subject.eps


def association(subject: Subject, p: Problem, values: Array | None = None) -> Array:
    """Error of the association of each query, as a norm, (..., L).

    The distance of two distributions is at most 2, so the error is at most twice the largest norm.
    """
    values = p.stored if values is None else values
    count = p.stored.shape[-2]
    wrong = weights_of(subject, scores(subject, p), p.separation, count)
    longest = np.max(norm(values), axis=-1)[..., None]
    # A library may round each weight to the dtype of the values before it sums.
    total = np.minimum(count * wrong, 2.0) + (2 + count * subject.fine / subject.eps) * subject.eps
    return longest * total + count * subject.tiny + subject.least


def energy(subject: Subject, p: Problem) -> Array:
    """Error of the energy of each query, (..., L)."""
    u, count = subject.fine, p.stored.shape[-2]
    own = u * (p.state.shape[-1] + 4) * p.squares + u * (8 + count) / np.asarray(p.beta)
    return scores(subject, p) / np.asarray(p.beta) + own + underflow(subject, p)


def conjugate(subject: Subject, z: Array) -> Array:
    """Error of the conjugate of exact scores (..., S)."""
    largest = np.max(np.where(np.isneginf(z), 0.0, np.abs(z)), axis=-1)
    return subject.fine * (8 + z.shape[-1] + 4 * largest)


def difference(p: Problem, step: float) -> float:
    """Error of a central difference, in NumPy float64, of the energy along a unit vector.

    Its second derivative is at most ``1 + beta ||X||_2^2 <= 1 + beta S M^2`` and may jump (sparse
    weights change their support), so that half a step may see another slope.
    """
    heat = float(np.max(p.beta)) * p.stored.shape[-2] * float(np.max(p.radius)) ** 2
    size = float(np.max(norm(p.state)) + np.max(p.radius))
    rounding = float(np.max(energy(reference, p))) / step
    return (1.0 + heat) * step + rounding + 1e-12 * size


def compact(subject: Subject, p: Compact) -> Array:
    """Error of the scores of compact kernels, (L, 1): distances are relative to the mean."""
    mean = np.mean(p.stored, axis=0)
    size = np.max(norm(p.stored - mean)) + norm(p.state - mean) + norm(mean)
    beta = np.broadcast_to(p.beta, p.state.shape[:1])
    return 8.0 * (p.state.shape[-1] + 4) * subject.fine * (beta * size**2 + 1.0)[:, None]


def compact_ratio(subject: Subject, p: Compact) -> Array:
    """Relative error of a sum of powers of kernels, each above CLEAR or 0, (L, 1)."""
    count = p.stored.shape[-2]
    return p.p * compact(subject, p) / CLEAR + (4 + count) * subject.fine
