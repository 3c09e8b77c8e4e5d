"""The study of one memory: where it changes with temperature, and which temperature to take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

import hopcore
from hopcore import datasets
from hopcore.arrays._scalar_checks import check_integer
from hopcore.experiments.batched_retrieval import on_device
from hopcore.experiments.data.inputs import read_patterns
from hopcore.experiments.data.patterns import converted
from hopcore.experiments.notes import noted
from hopcore.experiments.parsing import similarity_named
from hopcore.memory._scores import Similarity
from hopcore.phase._patterns import HELD
from hopcore.phase._progress import Track, silent
from hopcore.phase._suggest import Goal, check_question, overview

GOALS: tuple[str, ...] = get_args(Goal)

QUERIES = 1024
"""Noisy queries put to the memory, at most."""

QUANTILES = 0.05, 0.5, 0.95
"""Of the inverse temperatures at which patterns appear."""

FOLLOWED, WORK = 1024, 2e9
"""Patterns that are followed if not told; fewer where they and all others have more values."""

COMMON = 100.0
"""A mean whose square is larger by this factor than the effective scale is worth a note."""

SMALLEST = 4
"""Patterns of a square of fewer pixels a side are not looked at as images."""


class Patterns(NamedTuple):
    """What is stored.

    Attributes
    ----------
    values : array (N, d)
    shape : tuple of int, or None
        The height and width of a pattern that is an image.
    name : str
    notes : list of str
        What was done to the values.
    """

    values: np.ndarray
    shape: tuple[int, int] | None
    name: str
    notes: list[str]


class Answer(NamedTuple):
    """What a memory answers at one inverse temperature to L queries.

    ``own`` says whether an answer holds the query's pattern, with 0.55 of its weight or more.
    """

    beta: float
    state: np.ndarray
    own: np.ndarray


class Study(NamedTuple):
    """What was found out about a memory.

    Attributes
    ----------
    patterns : Patterns
    settings : dict
        Goal, noise (None if not known), similarity and why, backend, seed.
    norms : array (N,)
    scale : float
        :func:`hopcore.phase.effective_scale`.
    critical : CriticalBetas
    suggestions : dict of str to Suggestion
        By goal.
    sweep : Sweep
    noise : float
        The standard deviation of what was added to patterns to make queries, known or not.
    asked : array (L,)
        The patterns of the queries.
    queries : array (L, d)
    answers : dict of str to Answer
        By goal, and ``"critical"``, where half of the patterns have appeared.
    notes : list of str
        Hypotheses of the theory that the patterns break.
    seconds : dict of str to float
        By part of the work.
    """

    patterns: Patterns
    settings: dict[str, Any]
    norms: np.ndarray
    scale: float
    critical: hopcore.phase.CriticalBetas
    suggestions: dict[str, hopcore.phase.Suggestion]
    sweep: hopcore.phase.Sweep
    noise: float
    asked: np.ndarray
    queries: np.ndarray
    answers: dict[str, Answer]
    notes: list[str]
    seconds: dict[str, float]


def from_file(path: Path, stored: int | None, seed: int, dtype: str | None) -> Patterns:
    """Patterns of the user's own, of shape (N, d) or (N, h, w).

    Parameters
    ----------
    path : Path
        As in :func:`hopcore.experiments.data.inputs.read_patterns`.
    stored : int, optional
        So many of them, chosen by the seed; all if not given.
    seed : int
    dtype : str, optional
        Convert to it; else float32 and float64 stay what they are, and the others become float32
        or float64.

    Raises
    ------
    TypeError, ValueError, OSError
        As :func:`hopcore.experiments.data.inputs.read_patterns`; a shape that is none of patterns.
    """
    values = read_patterns(path)
    if values.ndim not in (2, 3) or values.size == 0:
        raise ValueError(f"{path} must be (N, d) or (N, h, w), not empty, got {values.shape}")
    axes = values.shape[1:]
    values = values.reshape(len(values), -1)
    if stored is not None:
        values = datasets.choose(
            datasets.Images(values, (1, 1)), stored, np.random.default_rng(seed)
        ).pixels
    notes = []
    if dtype is None and values.dtype not in (np.float32, np.float64):
        dtype = "float32" if values.dtype.itemsize <= 2 else "float64"
        notes.append(f"{values.dtype} values were converted to {dtype}")
    values = values if dtype is None else converted(values, dtype)
    return Patterns(values, picture_shape(axes), path.name, notes)


def from_dataset(
    name: str, data: Path | None, stored: int, seed: int, dtype: str | None
) -> Patterns:
    """Images of a data set, chosen by the seed; float32 if no dtype is given."""
    rng = np.random.default_rng(seed)
    images = datasets.choose(datasets.load(name, data), stored, rng)
    return Patterns(converted(images.pixels, dtype or "float32"), images.shape, name, [])


def picture_shape(axes: tuple[int, ...]) -> tuple[int, int] | None:
    """The height and width of a pattern that may be an image."""
    if len(axes) == 2:
        return axes[0], axes[1]
    side = math.isqrt(axes[0])
    return (side, side) if side * side == axes[0] and side >= SMALLEST else None


def study(
    patterns: Patterns,
    *,
    goal: str = "retrieve",
    noise: float | None = None,
    similarity: str = "dot",
    betas: int = 100,
    followed: int | None = None,
    seed: int = 0,
    backend: str = "numpy",
    device: str | None = None,
    track: Callable[[str], Track] = lambda what: silent,
) -> Study:
    """Look at a memory through all temperatures.

    Parameters
    ----------
    patterns : Patterns
    goal : {"retrieve", "metastable", "average"}
    noise : float, optional
        Of queries, see :func:`hopcore.suggest_beta`. If it is not known, queries are made with half
        of the deviation that the patterns' values have.
    similarity : str
        As in :func:`hopcore.experiments.parsing.similarity_named`.
    betas : int
        Inverse temperatures of the sweep, >= 2.
    followed : int, optional
        As ``patterns`` of :func:`hopcore.critical_betas` and of :func:`hopcore.phase.sweep`. If not
        given, 1024 or all, and fewer of a memory that is large.
    seed : int
        Draws the noise.
    backend, device : str
        As in :func:`hopcore.experiments.batched_retrieval.run_job`.
    track : callable
        Given the name of a part of the work, shows how far it is.

    Raises
    ------
    TypeError, ValueError
        Patterns as in :func:`hopcore.critical_betas`; numbers out of range; an unknown backend or
        goal.
    """
    check_question(goal, noise)
    if betas < 2:
        raise ValueError(f"a sweep needs at least 2 betas, got {betas}")
    check_integer("followed", followed, 1, optional=True)
    norms = lengths(patterns.values)
    compared, why = similarity_named(similarity, patterns.values)
    count, depth = patterns.values.shape
    if followed is None:
        followed = min(count, FOLLOWED, max(64, int(WORK / (count * depth))))
    chosen = hopcore.backend(backend)
    stored = on_device(chosen, patterns.values, device)
    seconds: dict[str, float] = {}
    notes: list[str] = []

    def timed(what: str, work: Callable[..., Any]) -> Any:
        begun = time.perf_counter()
        with noted(notes):
            found = work(track=track(what))
        seconds[what] = time.perf_counter() - begun
        return found

    scale = hopcore.phase.effective_scale(stored)
    common = float(np.linalg.norm(patterns.values.mean(axis=0, dtype=np.float64)))
    if compared == "dot" and common**2 > COMMON * scale:
        notes.append(
            f"the mean of the patterns has the norm {common:.3g}, far above their differences, "
            f"{math.sqrt(2.0 * scale):.3g}; take it off, lest the longest pattern cover the "
            "others, or use --similarity distance"
        )
    critical = timed(
        "critical",
        partial(hopcore.critical_betas, stored, patterns=followed, similarity=compared),
    )
    seen = timed("overview", partial(overview, stored, similarity=compared))
    suggestions = {
        "retrieve": timed(
            "retrieve",
            partial(hopcore.suggest_beta, stored, noise=noise, similarity=compared),
        ),
        **{name: seen.suggested(name) for name in ("metastable", "average")},
    }
    grid = grid_of(critical, suggestions, betas)
    sweep = timed(
        "sweep",
        partial(hopcore.phase.sweep, stored, grid, patterns=followed, similarity=compared),
    )
    known = noise
    if noise is None:
        noise = 0.5 * math.sqrt(scale / depth)
    rng = np.random.default_rng(seed)
    asked = np.sort(rng.permutation(count)[:QUERIES])
    clean = patterns.values[asked]
    queries = (clean + noise * rng.standard_normal(clean.shape)).astype(clean.dtype)
    places = {name: one.beta for name, one in suggestions.items()}
    median = quantiles(critical)[1]
    if math.isfinite(median):
        places["critical"] = median

    def ask(track: Track) -> dict[str, Answer]:
        start = on_device(chosen, queries, device)
        work = track(places.items(), len(places))
        return {name: answer(chosen, start, stored, asked, beta, compared) for name, beta in work}

    answers = timed("queries", ask)
    settings = {
        "goal": goal,
        "noise": known,
        "similarity": compared,
        "similarity_reason": why if similarity == "auto" else None,
        "backend": backend,
        "seed": seed,
    }
    return Study(
        patterns, settings, norms, scale, critical, suggestions, sweep, noise, asked, queries,
        answers, [*patterns.notes, *notes], seconds,
    )  # fmt: skip


def lengths(values: np.ndarray) -> np.ndarray:
    """The norms of patterns, refused where their squares are beyond the range of the dtype."""
    norms = np.linalg.norm(values.astype(np.float64), axis=-1)
    kind = np.finfo(np.promote_types(values.dtype, np.float32))
    most = float(norms.max())
    if most > math.sqrt(float(kind.max)) / 10.0 or 0.0 < most < 10.0 * math.sqrt(float(kind.tiny)):
        raise ValueError(
            f"patterns have norms up to {most:.3g}, whose squares {kind.dtype} cannot hold; "
            "scale them to about 1"
        )
    return norms


def quantiles(critical: hopcore.phase.CriticalBetas) -> list[float]:
    """Up to where 5, 50 and 95 % of the patterns have appeared; inf where so many never do."""
    found = np.quantile(critical.appear, QUANTILES, method="inverted_cdf")
    return [float(value) for value in found]


def grid_of(
    critical: hopcore.phase.CriticalBetas,
    suggestions: dict[str, hopcore.phase.Suggestion],
    count: int,
) -> np.ndarray:
    """Inverse temperatures from below all that happens to above it."""
    places = [critical.centroid, *(one.beta for one in suggestions.values())]
    first, middle, last = quantiles(critical)
    places += [value for value in (first, middle) if math.isfinite(value)]
    # A few near copies, which appear late or never, shall not blow up the scale.
    if math.isfinite(last):
        places.append(min(last, 10.0 * max(places)))
    return np.geomspace(0.5 * min(places), 1.5 * max(places), count)


def answer(
    chosen: Any, start: Any, stored: Any, asked: np.ndarray, beta: float, similarity: Similarity
) -> Answer:
    """What a memory answers to queries."""
    state = hopcore.retrieve(
        start, stored, beta, similarity=similarity, max_steps=1000, tol=1e-6
    ).state
    weights = hopcore.association_weights(state, stored, beta, similarity=similarity)
    weights = chosen.to_numpy(weights)
    own = weights[np.arange(len(asked)), asked] > HELD
    return Answer(beta, np.asarray(chosen.to_numpy(state)), own)
