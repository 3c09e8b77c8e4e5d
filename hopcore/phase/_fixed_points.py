"""The minima of a memory: the fixed points that patterns or other states converge to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import BLOCK, Array, Backend, Beta, beta_of_rows
from hopcore.arrays._inputs import Inputs, check_inputs
from hopcore.arrays._library import QUIET
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import as_number
from hopcore.memory._energy import energy_of
from hopcore.memory._retrieval import retrieve
from hopcore.memory._scores import Similarity, scores_of
from hopcore.memory._separation import get_separation
from hopcore.phase._patterns import checked_memory, origin_of, padded_rows, rows_at, to_host
from hopcore.phase._sharpness import hull_of, largest_variance, mean_curvature

SLOW, SAME = 1e3, (1e-4, 1e-2)
"""States nearer to each other than SLOW tolerances are one; the bounds SAME are in units of M.

A state stops tolerance / (1 - radius) before its fixed point, and two may do so from both sides.
"""

DIRECTIONS = 16
"""The number of directions in which states are compared."""


class Minima(NamedTuple):
    """The K fixed points that L starts converge to, the most common one first.

    Attributes
    ----------
    state : array (K, d)
        The fixed points.
    energy : array (K,)
    share : NumPy array (K,)
        The share of the starts that converge there.
    basin : integer NumPy array (L,)
        The fixed point of each start. Patterns with the same one are a metastable set.
    pattern : integer NumPy array (K,)
        The pattern with the largest weight.
    weight : array (K,)
        That weight. Above 1/2 the state is a pattern rather than a mixture.
    participation : array (K,)
        The number of patterns it mixes, 1 to N: the exponential of the entropy of the weights.
    sharpness : array (K,)
        The mean curvature, :func:`hopcore.phase.normalized_divergence`.
    radius : array (K,)
        The largest eigenvalue of the Jacobian, :func:`hopcore.phase.jacobian_radius`.
    stable : boolean NumPy array (K,)
        Whether the radius is below 1, so that the state is a minimum.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.phase.minima(np.eye(4), 8.0)
    >>> len(found.share), found.stable.all(), found.participation.round(2)
    (4, np.True_, array([1.01, 1.01, 1.01, 1.01]))
    """

    state: Array
    energy: Array
    share: np.ndarray
    basin: np.ndarray
    pattern: np.ndarray
    weight: Array
    participation: Array
    sharpness: Array
    radius: Array
    stable: np.ndarray

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@QUIET
def minima(
    stored: Array,
    beta: float,
    *,
    starts: Array | None = None,
    similarity: Similarity = "dot",
    max_steps: int = 10000,
    tol: float | None = None,
) -> Minima:
    r"""Find the distinct fixed points of a memory.

    Every start is retrieved, and states nearer to each other than 1e-4 M, or 1000 tol M up to
    0.01 M, count as one.

    Parameters
    ----------
    stored : array (N, d)
        N >= 2 patterns.
    beta : float
        Inverse temperature, positive.
    starts : array (L, d), optional
        The first states; the patterns themselves if not given. Minima that no start converges to
        are not found.
    similarity : {"dot", "distance"}
        As in :func:`hopcore.association`. With distances, M is the largest distance of a pattern
        from the mean of all.
    max_steps, tol
        As in :func:`hopcore.retrieve`; tol is 1e-9, in float32 1e-6, if not given. Near a
        transition, where the radius is almost 1, states need many steps.

    Returns
    -------
    Minima

    Warns
    -----
    HypothesisWarning
        Patterns that coincide or, with dot products, have very different norms.

    Raises
    ------
    TypeError, ValueError
        There are fewer than two patterns, or all are alike; nan or inf; inputs do not fit together;
        the similarity is unknown.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> patterns = np.asarray([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]])
    >>> found = hopcore.phase.minima(patterns, 4.0)
    >>> found.share.round(2), found.participation.round(2)
    (array([0.67, 0.33]), array([2.  , 1.01]))
    """
    beta = as_number("beta", beta, positive=True)
    backend, given = checked_memory(stored, similarity)
    origin = origin_of(given, similarity, backend)
    precise = given - origin
    states = precise
    if starts is not None:
        check_inputs(starts, stored, beta=beta)
        states = backend.astype(starts, precise.dtype) - origin
    if states.shape[0] == 0:
        raise ValueError("minima needs at least one start, got none")
    tol = tolerance(precise, backend, tol)
    resting = retrieve(states, precise, beta, similarity=similarity, max_steps=max_steps, tol=tol)
    basin, first = group_states(resting.state, precise, tol, backend)
    share = np.bincount(basin) / len(basin)
    order = np.argsort(-share, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    state = rows_at(resting.state, padded_rows(first[order], precise, backend), backend)
    seen = describe_states(state, precise, beta, similarity, with_radius=True)
    pattern, weight, mixed, sharp, radius, energy = (field[: len(order)] for field in seen)
    return Minima(
        state[: len(order), :] + origin, energy, share[order], place[basin], pattern, weight, mixed,
        sharp, radius, np.asarray(backend.to_numpy(radius)) < 1.0,
    )  # fmt: skip


def tolerance(patterns: Array, backend: Backend, tol: float | None) -> float:
    """Return the tolerance of fixed points: as given, or the default of the dtype."""
    if tol is not None:
        return as_number("tol", tol, 0.0)
    return 1e-9 if float(backend.xp.finfo(patterns.dtype).eps) < 1e-12 else 1e-6


class Description(NamedTuple):
    """The properties of states that follow from their weights; see :class:`Minima`."""

    pattern: np.ndarray
    weight: Array
    participation: Array
    sharpness: Array
    radius: Array
    energy: Array


def describe_states(
    states: Array, stored: Array, beta: Beta, similarity: Similarity, *, with_radius: bool
) -> Description:
    """Describe states (K, d), checked and in the precise dtype, a block of scores at a time."""
    inputs = check_inputs(states, stored, beta=beta)
    scores = scores_of(inputs, similarity, None)
    xp, count = inputs.xp, stored.shape[0]
    centred = stored - xp.mean(stored, axis=0, keepdims=True)
    squares = inputs.backend.square_lengths(centred)
    rows = max(1, BLOCK // count)
    parts = []
    for start in range(0, states.shape[0], rows):
        part = slice(start, min(start + rows, states.shape[0]))
        block = inputs._replace(state=states[part, :], beta=beta_of_rows(inputs.beta, part))
        parts.append(describe_block(scores.inputs(block), centred, squares, with_radius))
    level = energy_of(inputs, get_separation("softmax"), scores)
    pattern, *rest = (list(column) for column in zip(*parts, strict=True))
    weight, mixed, sharp, radius = (xp.concat(column, axis=0) for column in rest)
    return Description(np.concatenate(pattern), weight, mixed, sharp, radius, level)


def describe_block(
    inputs: Inputs, centred: Array, squares: Array, with_radius: bool
) -> tuple[Any, ...]:
    """Describe a block of queries of keys, without their energies."""
    backend, xp, state, keys, _, beta, _ = inputs
    scores = backend.scores(state, keys, beta, None)
    weights, conjugate = backend.separate(scores, get_separation("softmax"))
    # H = lse - sum p z. The lse is subtracted from each score first, which keeps small values.
    entropy = xp.sum(weights * (conjugate[..., None] - scores), axis=-1)
    mean, square = (xp.matmul(weights, values) for values in (centred, squares[:, None]))
    sharpness = mean_curvature(mean, square[:, 0], beta, hull_of(centred), backend)
    radius = sharpness
    if with_radius:
        radius = beta * largest_variance(weights, centred, backend)
    pattern = np.asarray(backend.to_numpy(xp.argmax(weights, axis=-1)))
    weight = xp.max(weights, axis=-1)
    return pattern, weight, xp.exp(xp.where(entropy > 0, entropy, 0.0)), sharpness, radius


def group_states(
    states: Array, stored: Array, tol: float, backend: Backend
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each converged state (L, d), and the first state of each group.

    States are compared in a few fixed random directions: states of one minimum are near each other
    in all of them, states of different minima are not.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415  half a second that other calls save
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415
    from scipy.spatial import KDTree  # noqa: PLC0415

    xp, depth = backend.xp, states.shape[-1]
    frame = np.random.default_rng(0).standard_normal((depth, min(depth, DIRECTIONS)))
    across = backend.asarray(np.linalg.qr(frame)[0], device=backend.device(states))
    seen = xp.matmul(states, backend.astype(across, states.dtype))
    points = to_host(seen, backend)
    largest = to_host(xp.max(backend.square_lengths(stored)), backend)
    near = min(max(SLOW * tol, SAME[0]), SAME[1]) * float(np.sqrt(largest))
    # Unite the many states within one cell of a fine grid, then neighbouring cells.
    _, cell, inverse = np.unique(
        np.floor(points * (4.0 / near)), axis=0, return_index=True, return_inverse=True
    )
    pairs = KDTree(points[cell]).query_pairs(near, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(cell), len(cell)))
    group = connected_components(links, directed=False)[1][inverse.reshape(-1)]
    _, first, basin = np.unique(group, return_index=True, return_inverse=True)
    return basin.reshape(-1), first
