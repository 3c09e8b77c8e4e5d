r"""Fewer patterns in place of many: each cluster becomes its mean, and how far answers move.

A cluster k of patterns :math:`x_i = \mu_k + e_i` with shares :math:`\omega_i` becomes the pattern
:math:`\mu_k` with the mean of its values and the logarithm of its weight as a bias. Relative to the
score of :math:`\mu_k`, the score of :math:`x_i` is :math:`t_i`, which is small where clusters are.
With the new weights :math:`p_k` and the new answer o, the exact answer is off by at most

.. math::
    \frac{\sum_k p_k (\sqrt{m_k}\, \psi(\tau_k)\, \sigma_k + \alpha_k \|\bar v_k - o\|)}
         {1 - \sum_k p_k \alpha_k}, \qquad
    \alpha_k = |\sum_i \omega_i t_i| + \frac{e^{\tau_k} - 1 - \tau_k}{\tau_k^2}\, m_k,

where :math:`m_k \ge \sum_i \omega_i t_i^2`, :math:`\tau_k \ge \max_i |t_i|`,
:math:`\psi(\tau) = (e^\tau - 1) / \tau` and :math:`\sigma_k` is the spread of the values.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import as_integer, as_number
from hopcore.memory._compact import is_absolute
from hopcore.prepared._checks import as_rows
from hopcore.prepared._rows import New
from hopcore.prepared._snapshot import Snapshot

ROUNDS = 25
"""The largest number of steps of k-means."""

BLOCK = 1 << 21
"""How many distances are computed at once."""


class Compacted(NamedTuple):
    """The result of :meth:`hopcore.Memory.compact`.

    Attributes
    ----------
    memory : Memory
        A memory of the means of clusters, with biases.
    clusters : integer array (N,)
        The cluster of each pattern, which is the key of its mean in the new memory.
    error : array (n,)
        For each query that was given, how far the association moved.
    certificate : array (n,)
        For each query, a bound of the error from the second moments of the clusters. It is inf
        where the bound says nothing, because clusters are too wide for the inverse temperature.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> rng = np.random.default_rng(0)
    >>> stored = np.repeat(np.eye(4), 25, axis=0) + 0.01 * rng.standard_normal((100, 4))
    >>> found = hopcore.Memory(stored, beta=4.0).compact(4, queries=np.eye(4))
    >>> found.memory.shape, bool((found.error < 1e-3).all())
    ((4, 4), True)
    >>> bool((found.error <= found.certificate).all())
    True
    """

    memory: Any
    clusters: np.ndarray
    error: np.ndarray
    certificate: np.ndarray

    def __repr__(self) -> str:
        return one_line(self)


class Moments(NamedTuple):
    """What a certificate needs of each cluster: sizes of its patterns and of its values."""

    trace: np.ndarray
    """The mean of the squared distances of the patterns from their mean."""
    radius: np.ndarray
    """The largest of these distances."""
    spread: np.ndarray
    """The root of the mean of the squared distances of the values from their mean."""


def nearest_of(points: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest mean of each point, and the squared distance."""
    found, apart = np.empty(len(points), np.int64), np.empty(len(points))
    half, rows = 0.5 * np.vecdot(means, means), max(1, BLOCK // len(means))
    for first in range(0, len(points), rows):
        some = points[first : first + rows]
        scores = some @ means.T - half
        found[first : first + rows] = best = scores.argmax(axis=-1)
        difference = some - means[best]
        apart[first : first + rows] = np.vecdot(difference, difference)
    return found, apart


def clusters_of(points: np.ndarray, weights: np.ndarray, m: int, seed: int) -> np.ndarray:
    """Return a cluster for each point, by k-means from points that are far apart."""
    generator = np.random.default_rng(seed)
    points = points - points.mean(axis=0)
    chosen = [int(generator.integers(len(points)))]
    apart = nearest_of(points, points[chosen])[1]
    while len(chosen) < m and apart.max() > 0.0:
        chosen.append(int(generator.choice(len(points), p=apart / apart.sum())))
        apart = np.minimum(apart, nearest_of(points, points[chosen[-1:]])[1])
    means = points[chosen]
    place = nearest_of(points, means)[0]
    for _ in range(ROUNDS):
        means = averaged(points, weights, place, len(means))
        before, place = place, nearest_of(points, means)[0]
        if np.array_equal(before, place):
            break
    return np.unique(place, return_inverse=True)[1]


def averaged(points: np.ndarray, weights: np.ndarray, place: np.ndarray, m: int) -> np.ndarray:
    """Return the weighted mean of each cluster; that of an empty one is 0."""
    total = np.bincount(place, weights, m)
    sums = np.zeros((m, points.shape[1]))
    np.add.at(sums, place, points * weights[:, None])
    return sums / np.where(total > 0.0, total, 1.0)[:, None]


def merged_rows(snapshot: Snapshot, m: int, seed: int) -> tuple[New, np.ndarray, Moments]:
    """Return the means of clusters with their biases, the clusters, and their moments."""
    patterns = snapshot.patterns.astype(np.float64)
    bias = np.zeros(len(patterns)) if snapshot.bias is None else snapshot.bias
    level = bias.max()
    weights = np.exp(bias - level)
    place = clusters_of(patterns, weights, m, seed)
    count = int(place.max()) + 1
    total = np.bincount(place, weights, count)
    means = averaged(patterns, weights, place, count).astype(snapshot.dtype)
    values = None
    if snapshot.has_values:
        own = snapshot.values.astype(np.float64)
        values = averaged(own, weights, place, count).astype(snapshot.dtype)
    apart = patterns - means[place]
    squares = np.vecdot(apart, apart)
    shares = weights / total[place]
    trace = np.bincount(place, shares * squares, count)
    radius = np.zeros(count)
    np.maximum.at(radius, place, np.sqrt(squares))
    spread = np.sqrt(trace)
    if values is not None:
        away = snapshot.values - values[place].astype(np.float64)
        spread = np.sqrt(np.bincount(place, shares * np.vecdot(away, away), count))
    biases = level + np.log(total)
    return New(means, values, biases, list(range(count))), place, Moments(trace, radius, spread)


@np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")
def certificates(
    new: New, moments: Moments, states: np.ndarray, beta: float, distance: bool
) -> np.ndarray:
    """Return how far the softmax association of each state may have moved, inf where unknown."""
    means, at = new.patterns.astype(np.float64), states.astype(np.float64)
    values = means if new.values is None else new.values.astype(np.float64)
    assert new.bias is not None
    found = np.empty(len(at))
    for i, state in enumerate(at):
        apart = state - means
        score = -0.5 * np.vecdot(apart, apart) if distance else means @ state
        score = beta * score + new.bias
        share = np.exp(score - score.max())
        share /= share.sum()
        length = np.sqrt(np.vecdot(apart, apart)) if distance else np.linalg.norm(state)
        own = 0.5 * moments.radius if distance else 0.0  # of the square in a distance
        reach = beta * moments.radius * (length + own)
        moment = beta * beta * moments.trace * (length + own) ** 2
        # Means are rounded to the dtype of the memory, so that t has a mean.
        unit = float(np.finfo(new.patterns.dtype).eps)
        shift = beta * unit * np.sqrt(np.vecdot(means, means)) * (length + own)
        if distance:
            shift = shift + 0.5 * beta * moments.trace
        curve = np.where(reach > 1e-3, (np.expm1(reach) - reach) / reach**2, 0.501)
        slope = np.where(reach > 1e-3, np.expm1(reach) / reach, 1.001)
        wrong = shift + curve * moment
        output = share @ values
        away = np.sqrt(np.vecdot(values - output, values - output))
        moved = share @ (np.sqrt(moment) * slope * moments.spread + wrong * away)
        left = 1.0 - share @ wrong
        bound = moved / left if left > 0.0 else math.inf
        bound += 4.0 * unit * float(np.sqrt(np.vecdot(values, values).max()))
        found[i] = math.inf if math.isnan(bound) else bound
    return found


def compacted(
    memory: Any, m: int | None, error: float | None, queries: Any, seed: int
) -> Compacted:
    """Return a compacted memory and what it does to queries; see :meth:`hopcore.Memory.compact`."""
    snapshot: Snapshot = memory.snapshot()
    if (m is None) == (error is None):
        raise ValueError("give the number of patterns, m, or the error that is allowed")
    if error is not None and queries is None:
        raise ValueError("an error can only be measured on queries: give queries=")
    if snapshot.count == 0:
        raise ValueError("a memory without patterns cannot be compacted")
    if is_absolute(snapshot.separation):
        raise ValueError("kernels of finite radius take no bias, which a compacted memory needs")
    size = 1 if m is None else as_integer("m", m, 1)
    limit = math.inf if error is None else as_number("error", error, 0.0)
    states = np.empty((0, snapshot.shape[1]), snapshot.dtype)
    if queries is not None:
        states = as_rows("queries", queries, snapshot.dtype, depth=snapshot.shape[1])
    while True:
        found = merged(memory, snapshot, min(size, snapshot.count), states, seed)
        if size >= snapshot.count or not found.error.max(initial=0.0) > limit:
            return found
        size *= 2


def merged(memory: Any, snapshot: Snapshot, m: int, states: np.ndarray, seed: int) -> Compacted:
    """Return a memory of the means of m clusters."""
    new, place, moments = merged_rows(snapshot, m, as_integer("seed", seed))
    other = type(memory)(
        new.patterns,
        new.values,
        keys=new.keys,
        bias=new.bias,
        similarity=snapshot.similarity,
        separation=snapshot.separation,
        beta=snapshot.beta,
        error=snapshot.error,
    )
    if not len(states):
        return Compacted(other, place, np.empty(0), np.empty(0))
    whole, fewer = memory.association(states), other.association(states)
    moved = np.linalg.norm(fewer.astype(np.float64) - whole, axis=-1)
    bound = np.full(len(states), math.inf)
    if snapshot.separation.softmax:
        bound = certificates(new, moments, states, snapshot.beta, snapshot.similarity == "distance")
    return Compacted(other, place, moved, bound)
