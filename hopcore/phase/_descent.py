r"""The fixed point of a pattern followed in :math:`\beta`, where its weight will not do."""

from __future__ import annotations

import numpy as np

from hopcore.arrays._backend import Array, Backend
from hopcore.memory._retrieval import retrieve
from hopcore.memory._separation import get_separation
from hopcore.phase._hypotheses import HELD
from hopcore.phase._rows import rows_at

STRIDE = 0.9
"""The factor by which beta falls until the pattern is lost."""

STRIDES, HALVES = 80, 12
"""How often at most; and how often the last stride is halved, to 3e-5."""

UPDATES = 3000
"""Of the state at one beta, at most."""


def descended(
    stored: Array, states: Array, rows: np.ndarray, betas: np.ndarray, backend: Backend
) -> np.ndarray:
    """The lowest beta at which patterns are held, from states (n, d) that hold them at ``betas``.

    Parameters
    ----------
    stored : array (N, d)
    states : array (n, d)
    rows : integer array (n,)
        The patterns.
    betas : array (n,)

    Returns
    -------
    array (n,)
    """
    held, lost = betas.copy(), np.zeros(len(betas))
    for _ in range(STRIDES):
        seeking = lost == 0.0
        if not seeking.any():
            break
        trial = np.where(seeking, STRIDE * held, held)
        states, holds = tried(stored, states, rows, trial, backend)
        held, lost = np.where(holds, trial, held), np.where(seeking & ~holds, trial, lost)
    for _ in range(HALVES):
        trial = np.sqrt(held * np.where(lost > 0.0, lost, held))
        states, holds = tried(stored, states, rows, trial, backend)
        held, lost = np.where(holds, trial, held), np.where(holds, lost, trial)
    return held


def tried(
    stored: Array, states: Array, rows: np.ndarray, betas: np.ndarray, backend: Backend
) -> tuple[Array, np.ndarray]:
    """The states at new inverse temperatures where these hold the patterns, and where they do."""
    xp = backend.xp
    heat = backend.astype(backend.asarray(betas, device=backend.device(stored)), stored.dtype)
    eps = float(xp.finfo(stored.dtype).eps)
    found = retrieve(states, stored, heat, max_steps=UPDATES, tol=4.0 * eps**0.6).state
    own = rows_at(stored, rows, backend)
    # The weight of the pattern from the log-sum-exp: no array of all weights is needed.
    level = backend.conjugate(found, stored, heat, None, get_separation("softmax"))
    weight = xp.exp(heat * xp.sum(found * own, axis=-1) - level)
    holds = weight > HELD
    states = xp.where(holds[:, None], found, states)
    return states, np.asarray(backend.to_numpy(backend.astype(holds, stored.dtype))) > 0
