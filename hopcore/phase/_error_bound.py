r"""Separations of patterns, and the error bound of one update that follows from them."""

from __future__ import annotations

import math

import numpy as np

from hopcore.arrays._backend import BLOCK, Array, Backend
from hopcore.arrays._library import QUIET, AnyArray
from hopcore.arrays._memory_kernels import norm
from hopcore.arrays._scalar_checks import as_number
from hopcore.memory._retrieval import retrieve
from hopcore.memory._scores import Similarity
from hopcore.phase._fixed_points import tolerance
from hopcore.phase._patterns import checked_memory, origin_of, rows_at, to_host


def separations(
    stored: Array, rows: np.ndarray, backend: Backend, similarity: Similarity = "dot"
) -> tuple[np.ndarray, np.ndarray, float]:
    r"""Return :math:`\Delta_i`, the distance to the best-scoring other pattern, and M^2.

    For distances, M is the largest distance from the mean of the patterns.
    """
    xp, count = backend.xp, stored.shape[0]
    stored = stored - origin_of(stored, similarity, backend)
    squares = backend.square_lengths(stored)
    largest = float(xp.max(squares))
    if count == 1:
        return np.zeros(0), np.zeros(0), largest
    pieces = []
    for part in blocks_of(rows, count):
        patterns, mine = (rows_at(x, part, backend) for x in (stored, squares))
        scores = scores_of_others(patterns, part, stored, similarity, backend)
        rival = xp.argmax(scores, axis=-1)
        apart = norm(patterns - xp.take(stored, rival, axis=0), xp)
        gap = mine - xp.max(scores, axis=-1)
        if similarity == "distance":
            gap = 0.5 * apart * apart  # the same, without the cancellation
        pieces.append([to_host(x, backend) for x in (gap, apart)])
    gap, apart = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return gap, apart, largest


def blocks_of(rows: np.ndarray, count: int) -> list[np.ndarray]:
    """Split rows into blocks whose scores with ``count`` patterns fit into memory."""
    return np.array_split(rows, math.ceil(len(rows) / max(1, BLOCK // count)))


def scores_of_others(
    states: Array, rows: np.ndarray, stored: Array, similarity: Similarity, backend: Backend
) -> Array:
    """Return scores (n, N) at beta = 1; that of a state with the pattern of its row is lowest."""
    xp, device = backend.xp, backend.device(stored)
    lowest = -float(xp.finfo(stored.dtype).max)  # not -inf, at which JAX can be told to stop
    places = xp.arange(stored.shape[0], device=device)
    index = backend.astype(backend.asarray(rows, device=device), places.dtype)
    scores = xp.matmul(states, xp.matrix_transpose(stored))
    if similarity == "distance":
        scores = scores - 0.5 * backend.square_lengths(stored)[None, :]
    return xp.where(places[None, :] == index[:, None], lowest, scores)


def update_error(
    gap: np.ndarray, beta: float, count: int, limit: float, distance: np.ndarray | float
) -> np.ndarray:
    r"""Return :math:`2 (N-1) M e^{-\beta (\Delta - 2 r M)}` with the limit 2 M, and at most that.

    From some distance r on the bound is the limit, whatever beta is.
    """
    distance = np.minimum(distance, gap / limit)
    power = math.log(count - 1.0) - beta * (gap - limit * distance)
    return limit * np.exp(np.minimum(power, 0.0))


@QUIET
def retrieval_error_bound(
    stored: AnyArray,
    beta: float,
    *,
    radius: float = 0.0,
    patterns: np.ndarray | None = None,
    similarity: Similarity = "dot",
) -> np.ndarray:
    r"""Bound the distance of one update from a pattern (theorem 5 of Ramsauer et al. 2021).

    :math:`\|f(\xi) - x_i\| \le 2 (N-1) M e^{-\beta (\Delta_i - 2 r M)}` with
    :math:`\Delta_i = x_i \cdot x_i - \max_{j \ne i} x_i \cdot x_j` and
    :math:`r = \max(\|\xi - x_i\|, \|x_i^* - x_i\|)`, where :math:`x_i^*` is the fixed point at the
    pattern. With distances, :math:`\Delta_i = \min_{j \ne i} \|x_i - x_j\|^2 / 2`, and M is the
    largest distance of a pattern from the mean of all. The bound is never more than 2 M, which
    always holds.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns.
    beta : float
        Inverse temperature, positive.
    radius : float
        The distance of the query from its pattern, >= 0.
    patterns : integer array (n,), optional
        The patterns; all of them if not given.
    similarity : {"dot", "distance"}
        As in :func:`hopcore.association`.

    Returns
    -------
    NumPy array (n,)

    Raises
    ------
    TypeError, ValueError
        Patterns as in :func:`hopcore.phase.minima`, a radius or beta out of range, or an unknown
        similarity.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.phase.retrieval_error_bound(np.eye(3), 20.0, radius=0.1).round(8)
    array([4.5e-07, 4.5e-07, 4.5e-07])

    With distances the short pattern has a bound, too, which no dot product retrieves:

    >>> patterns = np.asarray([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    >>> for similarity in ("dot", "distance"):
    ...     bound = hopcore.phase.retrieval_error_bound(patterns, 20.0, similarity=similarity)
    ...     print(f"{bound[0]:.2g}")
    6
    1.4e-08
    """
    backend, precise = checked_memory(stored, similarity, warn=False)
    radius, beta = as_number("radius", radius, 0.0), as_number("beta", beta, positive=True)
    count = precise.shape[0]
    rows = np.arange(count) if patterns is None else np.asarray(patterns)
    chosen = rows_at(precise, rows, backend)
    rest = retrieve(
        chosen,
        precise,
        beta,
        similarity=similarity,
        max_steps=1000,
        tol=tolerance(precise, backend, None),
    ).state
    away = to_host(norm(rest - chosen, backend.xp), backend)
    gap, _, largest = separations(precise, rows, backend, similarity)
    return update_error(gap, beta, count, 2.0 * math.sqrt(largest), np.maximum(away, radius))
