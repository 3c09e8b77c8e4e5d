r"""In-context denoising: one association of a prompt's tokens, beside the Bayes optimum.

A prompt has L clean tokens :math:`x_i` of one distribution, and a query :math:`\tilde x` which is
another of its samples with normal noise of variance :math:`\sigma_z^2`. Each prompt has its own
distribution, and what is to be predicted is the sample without noise. The distributions (Smart,
Bietti and Sengupta 2025, "In-context denoising with one-layer transformers"):

- ``linear``: normal of variance :math:`\sigma_0^2` in a random subspace of d dimensions. The best
  prediction is :math:`\frac{\sigma_0^2}{\sigma_0^2 + \sigma_z^2} P \tilde x`, with the projection P
  on the subspace, and its error :math:`\frac dn \frac{\sigma_0^2 \sigma_z^2}{\sigma_0^2 +
  \sigma_z^2}` in each of n coordinates.
- ``sphere``: uniform on a sphere of radius 1 in a random subspace of d dimensions. The best
  prediction is :math:`\frac{I_{d/2}(k)}{I_{d/2-1}(k)} \frac{P \tilde x}{\|P \tilde x\|}` with
  :math:`k = \|P \tilde x\| / \sigma_z^2`.
- ``clusters``: an equal mixture of normals of variance :math:`\sigma_0^2` around random unit
  vectors :math:`\mu_c`. The best prediction is :math:`\frac{\sigma_0^2 \tilde x + \sigma_z^2 \sum_c
  w_c \mu_c}{\sigma_0^2 + \sigma_z^2}` with
  :math:`w = \operatorname{softmax}(\mu_c \cdot \tilde x / (\sigma_0^2 + \sigma_z^2))`.

Bayes predictions know the distribution of the prompt; the others know its tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import hopcore
from hopcore import plots
from hopcore.datasets._images import Images
from hopcore.experiments.papers.rows import Case, Paper, Trial, told
from hopcore.experiments.tables import Summary, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, INNER, CLUSTERS = 16, 8, 8
"""The coordinates of a token, the dimensions of a subspace, and the number of clusters."""

TRAINED, TESTED = 800, 200
"""The number of prompts."""

VARIANCES = {"linear": (2.0, 1.0), "sphere": (1.0, 0.1), "clusters": (0.02, 0.1)}
"""The variance of clean tokens (for the sphere its squared radius) and of the noise, by task."""

BETAS, CHOOSING = np.geomspace(0.01, 100.0, 25), 200
"""The inverse temperatures, and the number of training prompts that choose one of them."""

METHODS = (
    "bayes", "one update", "linear attention", "until at rest", "nearest token", "other context",
    "uniform", "query", "zero",
)  # fmt: skip
"""What is compared. ``one update`` has one inverse temperature and one scale. Its controls are
``other context``, the same with the tokens of another prompt, and ``uniform``, equal weights and a
fitted matrix."""


class Prompts(NamedTuple):
    """Prompts of one task.

    Attributes
    ----------
    tokens : array (p, L, n)
    query, clean : array (p, n)
        The noisy sample, and what is to be predicted.
    best : array (p, n)
        The Bayes prediction.
    """

    tokens: np.ndarray
    query: np.ndarray
    clean: np.ndarray
    best: np.ndarray


def prompts(task: str, count: int, length: int, rng: np.random.Generator) -> Prompts:
    """Draw prompts, in float32."""
    own, noise = VARIANCES[task]
    if task == "clusters":
        centres = rng.standard_normal((count, CLUSTERS, WIDTH))
        centres /= np.linalg.norm(centres, axis=-1, keepdims=True)
        chosen = rng.integers(CLUSTERS, size=(count, length + 1))
        samples = centres[np.arange(count)[:, None], chosen]
        samples = samples + own**0.5 * rng.standard_normal(samples.shape)
        clean, query = noisy(samples, noise, rng)
        best = best_of_clusters(centres, query, own, noise)
    else:
        basis = np.linalg.qr(rng.standard_normal((count, WIDTH, INNER)))[0]
        inside = rng.standard_normal((count, length + 1, INNER))
        if task == "sphere":
            inside /= np.linalg.norm(inside, axis=-1, keepdims=True)
        samples = own**0.5 * inside @ np.swapaxes(basis, 1, 2)
        clean, query = noisy(samples, noise, rng)
        projected = np.einsum("pnd,pmd,pm->pn", basis, basis, query)
        best = best_in_subspace(task, projected, own, noise)
    arrays = samples[:, :-1], query, clean, best
    return Prompts(*(array.astype(np.float32) for array in arrays))


def noisy(
    samples: np.ndarray, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the last token of each prompt, and the token with noise added."""
    clean = samples[:, -1]
    return clean, clean + noise**0.5 * rng.standard_normal(clean.shape)


def best_in_subspace(task: str, projected: np.ndarray, own: float, noise: float) -> np.ndarray:
    """Return the Bayes predictions of the linear task or the sphere, from projected queries."""
    if task == "linear":
        return own / (own + noise) * projected
    from scipy.special import ive  # noqa: PLC0415  not needed by other studies

    length = np.linalg.norm(projected, axis=-1, keepdims=True)
    argument = own**0.5 * length / noise
    ratio = ive(INNER / 2.0, argument) / ive(INNER / 2.0 - 1.0, argument)
    return own**0.5 * ratio * projected / length


def best_of_clusters(
    centres: np.ndarray, query: np.ndarray, own: float, noise: float
) -> np.ndarray:
    """Return the Bayes predictions of a mixture of normals around unit vectors."""
    beta = 1.0 / (own + noise)
    mean = hopcore.association(query[:, None], centres, beta=beta)[:, 0]
    return (own * query + noise * mean) / (own + noise)


def bayes_error(task: str) -> float | None:
    """Return the error of the best prediction where it has a formula."""
    own, noise = VARIANCES[task]
    return INNER / WIDTH * own * noise / (own + noise) if task == "linear" else None


def error(predicted: Any, clean: np.ndarray) -> float:
    """Return the mean squared error of a coordinate."""
    return float(np.mean(np.square(np.asarray(predicted, np.float64) - clean)))


def updated(found: Prompts, beta: float) -> np.ndarray:
    """Return one association of each query with its tokens."""
    return hopcore.association(found.query[:, None], found.tokens, beta=beta)[:, 0]


def scale_of(states: np.ndarray, clean: np.ndarray) -> float:
    """Return the number by which states are multiplied for the least squared error."""
    return float(np.sum(states * clean, dtype=np.float64) / np.sum(states**2, dtype=np.float64))


def fitted(train: Prompts) -> tuple[float, float]:
    """Return the inverse temperature and the scale with the least error on training prompts."""
    best = (np.inf, 0.0, 0.0)
    for beta in BETAS:
        states = updated(train, float(beta))
        scale = scale_of(states, train.clean)
        best = min(best, (error(scale * states, train.clean), float(beta), scale))
    return best[1], best[2]


def measure(case: Case, images: Images | None = None) -> list[Trial]:
    """Return the test error of each method; what is chosen or trained sees training prompts."""
    rng = np.random.default_rng([case.size, case.seed])
    train, test = (prompts(case.task, count, case.size, rng) for count in (TRAINED, TESTED))
    beta, scale = fitted(Prompts(*(array[:CHOOSING] for array in train)))
    means = train.tokens.mean(axis=1), test.tokens.mean(axis=1)
    uniform = np.linalg.lstsq(means[0], train.clean, rcond=None)[0]
    linear = [np.einsum("pln,plm,pm->pn", x.tokens, x.tokens, x.query, optimize=True)
              for x in (train, test)]  # fmt: skip
    rested = hopcore.retrieve(test.query[:, None], test.tokens, beta, max_steps=1000, tol=1e-5)
    nearest = hopcore.association(
        test.query[:, None], test.tokens, beta=1e6, similarity="distance"
    )[:, 0]
    other = test._replace(tokens=np.roll(test.tokens, 1, axis=0))
    predictions = {
        "bayes": (None, test.best),
        "one update": (beta, scale * updated(test, beta)),
        "linear attention": (None, scale_of(linear[0], train.clean) * linear[1]),
        "until at rest": (beta, rested.state[:, 0]),
        "nearest token": (None, nearest),
        "other context": (beta, scale * updated(other, beta)),
        "uniform": (None, means[1] @ uniform),
        "query": (None, test.query),
        "zero": (None, np.zeros_like(test.clean)),
    }
    return [
        Trial(*case, name, at, error(predicted, test.clean))
        for name, (at, predicted) in predictions.items()
    ]


def table(rows: Sequence[Trial]) -> Summary:
    """Return the errors: a column for each task and length of the context."""
    places = list(dict.fromkeys((row.task, row.size) for row in rows))
    found = grouped(rows, lambda row: (row.task, row.size, row.method))
    lines = []
    for method in METHODS:
        cells = [[row.value for row in found.get((*place, method), [])] for place in places]
        lines.append([method, *(told(cell, 4) for cell in cells)])
    betas = [
        float(np.median([row.at or 0.0 for row in found[(*place, "one update")]]))
        for place in places
    ]
    lines.append(["inverse temperature (median)", *(f"{beta:.3g}" for beta in betas)])
    caption = "mean squared error of a coordinate: mean ± 95 % interval over the seeds"
    heads = [f"{task}, L = {size}" for task, size in places]
    return Summary(["prediction"], heads, lines, "in-context denoising", caption)


def panels(rows: Sequence[Trial]) -> dict[str, Callable[[Axes], None]]:
    """Return a panel for each task and length of the context, with the error of each method."""
    groups = grouped(rows, lambda row: (row.task, row.size))
    return {f"{task}, L = {size}": partial(draw_errors, own)
            for (task, size), own in groups.items()}  # fmt: skip


def draw_errors(rows: Sequence[Trial], ax: Axes) -> None:
    """Draw the error of each method, a dot for each seed."""
    names = METHODS[::-1]
    for row in rows:
        if row.method in names:
            color = plots.LINES[0] if row.method in METHODS[:3] else plots.LINES[1]
            ax.plot(row.value, names.index(row.method), ".", color=color, markersize=5)
    best = np.mean([row.value for row in rows if row.method == "bayes"])
    ax.axvline(float(best), color=plots.INK, linewidth=1.0, linestyle="--")
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), labels=names, fontsize=7)
    ax.set_xlabel("mean squared error", fontsize=8)


PAPER = Paper(
    tasks=tuple(VARIANCES),
    sizes=(100,),
    seeds=10,
    measure=measure,
    range=(2, 10_000),
    table=table,
    panels=panels,
    note="A dot for each seed. Dashed: the Bayes optimum",
)
