"""Where memories of real images have their transition, beside what theory says of others.

Of every memory that is drawn the patterns are followed to the inverse temperature at which each
appears (:func:`hopcore.critical_betas`), and what might tell it beforehand is computed: the number
of patterns and their mean square distance (spec P5), a pattern's separation, its nearest
neighbour, and its local saddle-node.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore import datasets
from hopcore.datasets._images import Images
from hopcore.experiments.transition.local_saddle_node import local_saddle_node
from hopcore.memory import Similarity
from hopcore.phase._patterns import HypothesisWarning

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Of the patterns of a memory."""


class Place(NamedTuple):
    """One memory: its source, what is done to the images, how many, and who they are."""

    data: str
    images: str
    patterns: int
    seed: int


class Trial(NamedTuple):
    """What was found of one memory; inverse temperatures as they are, not as effective ones.

    ``scale`` turns them into effective ones; ``saddle_node``, ``coexistence`` are theory's for as
    many patterns with that scale, ``centroid`` is 1 / lambda_max(Cov). ``appear05`` to ``appear95``
    are quantiles over the patterns that were followed, inf where too many never appear; ``never``
    is their share and ``ordered`` that of those with a coexistence. ``ratio05``, ``ratio50``,
    ``ratio95`` are quantiles of appear over :func:`local_saddle_node`. ``by_...`` are rank
    correlations of appear, where finite, with the local saddle-node, the separation, the distance
    to the nearest other pattern, and the norm.
    """

    data: str
    images: str
    patterns: int
    seed: int
    followed: int
    scale: float
    saddle_node: float
    coexistence: float
    centroid: float
    appear05: float
    appear25: float
    appear50: float
    appear75: float
    appear95: float
    never: float
    ordered: float
    ratio05: float
    ratio50: float
    ratio95: float
    by_local: float
    by_separation: float
    by_distance: float
    by_norm: float

    @property
    def place(self) -> Place:
        """Which memory."""
        return Place(*self[:4])


class Pattern(NamedTuple):
    """One pattern of a memory and what might tell where it appears."""

    data: str
    images: str
    patterns: int
    seed: int
    pattern: int
    appear: float
    local: float
    separation: float
    distance: float
    norm: float


def raw(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As they are."""
    return pixels


def centred(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Without their mean."""
    return pixels - pixels.mean(axis=0)


def unit(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Without their mean, and of norm 1."""
    found = centred(pixels, rng)
    length = np.linalg.norm(found, axis=-1, keepdims=True)
    return found / np.where(length > 0, length, 1.0)


def random(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random directions of norm 1 instead, as many and as deep: nearly equidistant."""
    return unit(rng.standard_normal(pixels.shape), rng)


IMAGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "raw": raw,
    "distance": raw,
    "centred": centred,
    "unit": unit,
    "random": random,
}
"""What can be done to images: theory asks for equal norms, and distances.

``distance`` leaves them as they are, too, and compares states with them by distance.
"""


def similarity_of(kind: str) -> Similarity:
    """Return how states are compared with images of a kind."""
    return "distance" if kind == "distance" else "dot"


def places(
    data: str, kinds: Sequence[str], sizes: Sequence[int], seeds: int, most: int
) -> list[Place]:
    """The memories of a study; of all images there is one memory, whatever the seed."""
    every = product(sizes, kinds, range(seeds))
    return [Place(data, kind, size, seed) for size, kind, seed in every if seed == 0 or size < most]


def run(
    images: Images, wanted: Sequence[Place], followed: int, done: Container[Place] = ()
) -> Iterator[tuple[Trial, list[Pattern]]]:
    """Draw every memory that is not done, follow its patterns, compare."""
    for place in wanted:
        if place not in done:
            yield run_one(images, place, followed)


def run_one(images: Images, place: Place, followed: int) -> tuple[Trial, list[Pattern]]:
    """One memory."""
    rng = np.random.default_rng(place.seed)
    drawn = datasets.choose(images, place.patterns, rng)
    stored = IMAGES[place.images](drawn.pixels, rng).astype(np.float32)
    with warnings.catch_warnings():
        # That images have different norms is what is studied.
        warnings.simplefilter("ignore", HypothesisWarning)
        similarity = similarity_of(place.images)
        found = hopcore.critical_betas(stored, patterns=followed, similarity=similarity)
    rows = found.pattern
    wide = stored.astype(np.float64)
    separation, distance = neighbours(wide, rows, similarity)
    each = {
        "local": local_saddle_node(wide, rows, similarity),
        "separation": separation,
        "distance": distance,
        "norm": np.linalg.norm(wide[rows], axis=-1),
    }
    columns = zip(rows.tolist(), found.appear, *each.values(), strict=True)
    patterns = [Pattern(*place, row, *map(float, values)) for row, *values in columns]
    return trial(place, stored, found, each), patterns


def trial(
    place: Place,
    stored: np.ndarray,
    found: hopcore.phase.CriticalBetas,
    each: dict[str, np.ndarray],
) -> Trial:
    """The summary of one memory."""
    scale, theory = hopcore.phase.effective_scale(stored), hopcore.transition(place.patterns)
    finite = np.isfinite(found.appear) & np.isfinite(each["local"])
    known = found.appear[finite]
    ratios = known / each["local"][finite]
    # A quantile between a number and inf is one of them.
    low = [float(np.quantile(found.appear, q, method="inverted_cdf")) for q in QUANTILES]
    ratio = [float(np.quantile(ratios, q)) for q in (0.05, 0.5, 0.95)]
    ranks = [rank_correlation(known, values[finite]) for values in each.values()]
    never, ordered = np.mean(~np.isfinite(found.appear)), np.mean(np.isfinite(found.coexist))
    values: list[Any] = [
        *place, len(found.pattern), scale, theory.saddle_node / scale,
        theory.coexistence / scale, found.centroid, *low, float(never), float(ordered), *ratio,
        *ranks,
    ]  # fmt: skip
    return Trial(*values)


def neighbours(
    stored: np.ndarray, rows: np.ndarray, similarity: Similarity
) -> tuple[np.ndarray, np.ndarray]:
    """Separations of some patterns, and distances to their nearest others."""
    scores = stored[rows] @ stored.T
    squares = np.sum(stored**2, axis=-1)
    itself = rows[:, None] == np.arange(len(stored))
    apart = squares[rows, None] + squares - 2.0 * scores
    separation = squares[rows] - np.where(itself, -math.inf, scores).max(axis=-1)
    nearest = np.where(itself, math.inf, apart).min(axis=-1)
    nearest = np.maximum(nearest, 0.0)
    return 0.5 * nearest if similarity == "distance" else separation, np.sqrt(nearest)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's, of values without ties; nan of fewer than 3."""
    if len(one) < 3:
        return math.nan
    ranks = (np.argsort(np.argsort(values)) - 0.5 * (len(one) - 1) for values in (one, other))
    first, second = (values / np.linalg.norm(values) for values in ranks)
    return float(first @ second)


class Fit(NamedTuple):
    """How a quantile of the effective inverse temperature goes with the number of patterns.

    ``slope`` is that of b by ln N, ``power`` that of ln b by ln N, each with its standard error;
    ``theory`` is the slope of the saddle-node's b at the same numbers, ``kept`` and ``kept_power``
    are the shares of the variance that the two straight lines explain.
    """

    quantile: str
    slope: float
    slope_error: float
    kept: float
    power: float
    power_error: float
    kept_power: float
    theory: float


def fit(trials: Sequence[Trial], quantile: str) -> Fit:
    """Straight lines through a quantile of all memories of one kind, by ln N."""
    logs = np.log([one.patterns for one in trials])
    level = np.asarray([getattr(one, quantile) * one.scale for one in trials])
    known = np.isfinite(level)
    theory = [hopcore.phase.saddle_node_beta(one.patterns) for one in trials]
    slope, error, kept = line(logs[known], level[known])
    power, power_error, kept_power = line(logs[known], np.log(level[known]))
    ideal = line(logs, np.asarray(theory))[0]
    return Fit(quantile, slope, error, kept, power, power_error, kept_power, ideal)


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """The slope of a straight line, its standard error, the share of the variance explained."""
    if len(set(x.tolist())) < 3:
        return math.nan, math.nan, math.nan
    away, up = x - x.mean(), y - y.mean()
    square = float(away @ away)
    slope = float(away @ up) / square
    rest = float(np.sum((up - slope * away) ** 2))
    error = math.sqrt(rest / (len(x) - 2) / square)
    return slope, error, 1.0 - rest / float(up @ up)
