r"""Which states certainly end at a pattern of signs, in networks of binary neurons.

The drive of neuron k is :math:`u_k = \sum_j x_{jk} g_j` with the activations g of the hidden
neurons. If pattern i has signs as values and its activation outweighs all others together,
:math:`g_i > \sum_{j \ne i} \|x_j\|_\infty |g_j|`, then the drive has the sign of :math:`x_{ik}` at
every neuron k.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hopcore.arrays import Backend
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import Array, quiet

TOGETHER = 256
"""The number of states whose scores are held at a time."""

LEAD = 1.01
"""How much larger one side must be, so that rounding errors cannot reverse the inequality."""


@quiet
def dominated(inputs: Inputs, hidden: Any) -> Array:
    """Whether one update takes state i to stored pattern i, and later ones keep it, ``(N,)``."""
    backend, xp, state, stored, *_ = inputs

    def activation(scores: Array) -> Array:
        return hidden.activation(scores, None, backend)

    first = outweighs(activation, state, stored, backend)
    later = outweighs(activation, stored, stored, backend)
    return first & later & xp.all(xp.abs(stored) == 1.0, axis=-1)


@quiet
def dominated_in_sweeps(inputs: Inputs) -> Array:
    """Whether one sweep over the neurons takes state i to pattern i, and later ones keep it."""
    backend, xp, state, stored, *_ = inputs
    count, width = stored.shape
    wrong = 0.5 * (width - xp.sum(state * stored, axis=-1))
    found = []
    for rows, own in blocks(state, stored, backend):
        flipped = wrong[rows][:, None]
        before = xp.abs(xp.matmul(state[rows, :], xp.matrix_transpose(stored)))
        after = xp.abs(xp.matmul(stored[rows, :], xp.matrix_transpose(stored)))
        crosstalk = xp.where(own, 0.0, 0.5 * (before + after) + flipped)
        found.append(width - 2.0 * flipped[:, 0] - count > xp.sum(crosstalk, axis=-1))
    return xp.concat(found)


def outweighs(
    activation: Callable[[Array], Array], state: Array, stored: Array, backend: Backend
) -> Array:
    """Whether the activation of pattern i is above the sum of all others at row i of ``state``."""
    xp = backend.xp
    largest = xp.max(xp.abs(stored), axis=-1)
    found = []
    for rows, own in blocks(state, stored, backend):
        active = activation(xp.matmul(state[rows, :], xp.matrix_transpose(stored)))
        alone = xp.sum(xp.where(own, active, 0.0), axis=-1)
        rest = xp.sum(xp.where(own, 0.0, xp.abs(active) * largest), axis=-1)
        found.append((alone > LEAD * rest) & xp.isfinite(alone))
    return xp.concat(found)


def blocks(state: Array, stored: Array, backend: Backend) -> Iterator[tuple[slice, Array]]:
    """Slices of rows, each with a mask ``(rows, N)`` of the pattern with the number of the row."""
    xp, device = backend.xp, backend.device(stored)
    columns = xp.arange(stored.shape[0], device=device)
    for first in range(0, state.shape[0], TOGETHER):
        rows = slice(first, min(first + TOGETHER, state.shape[0]))
        yield rows, columns[rows][:, None] == columns[None, :]
