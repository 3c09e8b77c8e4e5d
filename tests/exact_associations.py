"""Hard memories, and associations in extended precision with which certificates are compared."""

from __future__ import annotations

import numpy as np

KINDS = ("normal", "duplicates", "near ties", "heavy tails", "mean", "signs", "small half")
WIDTHS = (2, 3, 8, 17, 64, 300, 2048)


def patterns(rng, kind, count, depth):
    found = rng.standard_normal((count, depth))
    if kind in ("duplicates", "near ties"):
        found = found[rng.integers(0, max(1, count // 4), count)]
    if kind == "near ties":
        found = found + 1e-6 * rng.standard_normal(found.shape)
    if kind == "heavy tails":
        found = found * np.abs(rng.standard_cauchy((count, 1))) ** 2
    if kind == "mean":
        found = found + 10.0 ** rng.integers(0, 8)
    if kind == "signs":
        found = np.sign(found)
    if kind == "small half":
        found[:, depth // 2 :] *= 1e-4
    return found


def exact(state, memory, beta):
    """The association in extended precision, from differences of scores, which do not cancel."""
    wide = np.longdouble
    state, stored, values = (x.astype(wide) for x in (state, memory.patterns, memory.values))
    first = stored[int(np.argmax(stored @ state))]
    if memory.similarity == "distance":
        first = stored[int(np.argmin(((state - stored) ** 2).sum(axis=1)))]
    scores = wide(beta) * ((stored - first) @ state)
    if memory.similarity == "distance":
        sums = (stored - state) + (first - state)
        scores = -wide(beta) / 2 * ((stored - first) * sums).sum(axis=1)
    if memory.bias is not None:
        scores = scores + memory.bias
    scores = scores - scores.max()
    if memory.separation.softmax:
        weights = np.exp(scores)
        return weights @ values / weights.sum()
    ordered = np.sort(scores)[::-1]
    sums = np.cumsum(ordered)
    size = np.flatnonzero(1 + np.arange(1, len(scores) + 1) * ordered > sums)[-1]
    return np.maximum(scores - (sums[size] - 1) / (size + 1), 0.0) @ values


def check_certificate(memory, held, state, beta):
    """The certificate of a memory is not violated; ``held`` has its patterns as arrays."""
    try:
        output, certificate = memory.association(state, beta=beta, return_certificate=True)
    except ValueError as refused:
        if "beta must be at most" in str(refused):
            return
        raise
    apart = output.astype(np.longdouble) - exact(state, held, beta)
    assert np.sqrt((apart * apart).sum()) <= certificate
