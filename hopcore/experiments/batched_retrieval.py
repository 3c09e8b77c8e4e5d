"""One retrieval job: NumPy arrays in and out, any backend between, a few queries at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore.arrays._backend import Array
from hopcore.memory._scores import Similarity
from hopcore.memory._separation import Separation

CHUNK = 1024
"""Queries retrieved at once: a progress bar moves, and a device works on enough of them."""

SUCCESS = 0.9
"""A pattern is retrieved if its cosine with the retrieved state is larger (Santos et al. 2024)."""

Track = Callable[[Iterable[slice], int], Iterable[slice]]
"""Passes on so many parts of the queries and shows how far they are."""


class Outcome(NamedTuple):
    """What a job found.

    Attributes
    ----------
    found : Retrieval
        ``state, steps, converged, residual, energy``, as NumPy arrays.
    before : array (L,)
        The energy of the queries; nan where some of their values are not known.
    seconds : float
        From the arrays on the device to the arrays back on the host.
    answers : dict of str to array (L,)
        ``index`` and ``certain``, and ``certificate`` and ``accepted`` where the memory gives them,
        of a :class:`hopcore.Memory`; empty for plain patterns.
    """

    found: hopcore.Retrieval
    before: np.ndarray
    seconds: float
    answers: dict[str, np.ndarray]


def run_job(
    queries: np.ndarray,
    stored: np.ndarray | hopcore.Streamed | hopcore.Memory,
    beta: float,
    *,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    known: np.ndarray | None = None,
    max_steps: int = 100,
    tol: float = 1e-6,
    backend: str = "numpy",
    device: str | None = None,
    track: Track = lambda parts, total: parts,
) -> Outcome:
    """Retrieve queries from a memory on a backend chosen by its name.

    Parameters
    ----------
    queries : array (L, d)
        Where the states start.
    stored : array (S, d), Streamed or Memory
        Stored patterns, of the queries' dtype.
    beta, separation, similarity, max_steps, tol
        As in :func:`hopcore.retrieve`.
    known : boolean array (L, d), optional
        Which values of the queries are known, as in :func:`hopcore.retrieve`.
    backend, device : str
        As in :func:`hopcore.backend` and as the backend's library calls its devices.
    track : callable
        Gets the parts of the queries and how many they are; shows the progress.

    Raises
    ------
    TypeError, ValueError
        As :func:`hopcore.retrieve`; an unknown backend; a device or dtype it does not have.
    """
    chosen = hopcore.backend(backend)
    prepared = isinstance(stored, hopcore.Memory)
    if prepared or isinstance(stored, hopcore.Streamed):
        memory: Any = stored
    else:
        memory = on_device(chosen, stored, device)
    parts = [slice(start, start + CHUNK) for start in range(0, max(len(queries), 1), CHUNK)]
    done: list[tuple[np.ndarray, ...]] = []
    names: list[str] = []
    begun = time.perf_counter()
    for part in track(parts, len(parts)):
        state = on_device(chosen, queries[part], device)
        found = hopcore.retrieve(
            state,
            memory,
            beta,
            separation=separation,
            similarity=similarity,
            known=None if known is None else on_device(chosen, known[part], device),
            max_steps=max_steps,
            tol=tol,
        )
        before = math.nan * found.energy
        if known is None:
            before = hopcore.energy(
                state, memory, beta, separation=separation, similarity=similarity
            )
        answers = answers_of(found) if prepared else {}
        names = list(answers)
        done.append(tuple(map(chosen.to_numpy, (before, *found, *answers.values()))))
    seconds = time.perf_counter() - begun
    before, *fields = (np.concatenate(pieces) for pieces in zip(*done, strict=True))
    count = len(fields) - len(names)
    named = dict(zip(names, fields[count:], strict=True))
    return Outcome(hopcore.Retrieval(*fields[:count]), before, seconds, named)


def answers_of(found: hopcore.Retrieval) -> dict[str, Array]:
    """Return what a prepared memory says of each query, besides the fields of the retrieval."""
    certificate = getattr(found, "certificate", None)  # of states of NumPy and an error alone
    answers = {"index": found.index, "certain": found.certain}
    others = {"certificate": certificate, "accepted": found.accepted}
    return answers | {name: value for name, value in others.items() if value is not None}


def on_device(backend: hopcore.Backend, values: np.ndarray, device: str | None) -> Array:
    """The values as an array of the backend, in their own dtype, or an error that says why not."""
    kind = values.dtype.name
    try:
        array = backend.asarray(values, dtype=kind, device=device)
    except (ValueError, TypeError):
        raise
    except Exception as error:  # each library has its own type for a device that is not there
        reason = f"{type(error).__name__} {error}"
        raise ValueError(f"{backend.name} has no {kind} on device {device!r}: {reason}") from error
    if kind not in str(array.dtype):
        raise ValueError(f"{backend.name} made {array.dtype} of {kind}; convert it first")
    return array


def cosine(states: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """The cosine of each state with its pattern; 0 where either is zero."""
    states, patterns = states.astype(np.float64), patterns.astype(np.float64)
    length = np.linalg.norm(states, axis=-1) * np.linalg.norm(patterns, axis=-1)
    return np.sum(states * patterns, axis=-1) / np.where(length > 0, length, 1.0)


def nearest(states: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """The row of the stored pattern that is nearest to each state, in Euclidean distance."""
    offset = 0.5 * np.sum(stored**2, axis=-1)
    parts = [states[start : start + CHUNK] for start in range(0, max(len(states), 1), CHUNK)]
    return np.concatenate([np.argmax(part @ stored.T - offset, axis=-1) for part in parts])
