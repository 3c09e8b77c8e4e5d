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

Bayes predictions know the distribution of the prompt; the others know its tokens alone. Each of
the others is multiplied by one number for all prompts of a task, and has at most one inverse
temperature for all of them. Both are chosen for each method on the same training prompts, so that
no method is ahead because it was fitted and another one was not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import hopcore
from hopcore import plots
from hopcore.datasets._images import Images
from hopcore.experiments.papers.report import dots
from hopcore.experiments.papers.rows import Case, Paper, Trial, told
from hopcore.experiments.tables import Summary, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, INNER, CLUSTERS = 16, 8, 8
"""The coordinates of a token, the dimensions of a subspace, and the number of clusters."""

TRAINED, TESTED = 200, 200
"""The number of prompts that fit inverse temperatures and scales, and the number that test them."""

VARIANCES = {"linear": (2.0, 1.0), "sphere": (1.0, 0.1), "clusters": (0.02, 0.1)}
"""The variance of clean tokens (for the sphere its squared radius) and of the noise, by task."""

BETAS = np.geomspace(0.01, 100.0, 25)
"""The inverse temperatures from which each method with one chooses."""

METHODS = (
    "Bayes", "one update", "linear attention", "until at rest", "nearest token", "other context",
    "equal weights", "query alone", "zero",
)  # fmt: skip
"""What is compared. ``until at rest`` and ``nearest token`` retrieve. The controls of ``one
update`` are ``other context``, the same with the tokens of another prompt, ``equal weights``, the
mean of the tokens, and ``query alone``, which ignores them."""

TITLES = {"linear": "Points of a subspace", "sphere": "Points of a sphere", "clusters": "Clusters"}
"""The tasks in words."""

COLORS = {name: color for color, names in zip(
    plots.LINES, (METHODS[:3], METHODS[3:5], METHODS[5:]), strict=False) for name in names
}  # fmt: skip
"""The colours of predictions, retrievals and controls."""


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


def rested(found: Prompts, beta: float) -> np.ndarray:
    """Return the states at which updates of the queries end."""
    query = found.query[:, None]
    return hopcore.retrieve(
        query, found.tokens, beta, max_steps=1000, tol=1e-4, energy=False
    ).state[:, 0]


def of_another(found: Prompts, beta: float) -> np.ndarray:
    """Return one association of each query with the tokens of another prompt."""
    return updated(found._replace(tokens=np.roll(found.tokens, 1, axis=0)), beta)


def nearest(found: Prompts) -> np.ndarray:
    """Return the token that is nearest to each query."""
    squares = np.sum(np.square(found.tokens - found.query[:, None]), axis=-1)
    return found.tokens[np.arange(len(squares)), np.argmin(squares, axis=-1)]


def linear_attention(found: Prompts) -> np.ndarray:
    r"""Return :math:`X^T X \tilde x` for the tokens X of each query."""
    scores = found.tokens @ found.query[:, :, None]
    return (np.swapaxes(scores, 1, 2) @ found.tokens)[:, 0]


WARM: dict[str, Callable[[Prompts, float], np.ndarray]] = {
    "one update": updated, "until at rest": rested, "other context": of_another,
}  # fmt: skip
"""The methods that have an inverse temperature."""

PLAIN: dict[str, Callable[[Prompts], np.ndarray]] = {
    "linear attention": linear_attention, "nearest token": nearest,
    "equal weights": lambda found: found.tokens.mean(axis=1),
    "query alone": lambda found: found.query,
}  # fmt: skip
"""The methods whose only parameter is a scale."""


def scale_of(states: np.ndarray, clean: np.ndarray) -> float:
    """Return the number by which states are multiplied for the least squared error."""
    return float(np.sum(states * clean, dtype=np.float64) / np.sum(states**2, dtype=np.float64))


def fitted(method: Callable[[Prompts, float], np.ndarray], train: Prompts) -> tuple[float, float]:
    """Return the inverse temperature and the scale with the least error on training prompts."""
    best = (np.inf, 0.0, 0.0)
    for beta in BETAS:
        states = method(train, float(beta))
        scale = scale_of(states, train.clean)
        best = min(best, (error(scale * states, train.clean), float(beta), scale))
    return best[1], best[2]


def measure(case: Case, images: Images | None = None) -> list[Trial]:
    """Return the test error of each method; what is chosen sees training prompts alone."""
    rng = np.random.default_rng([case.size, case.seed])
    train, test = (prompts(case.task, count, case.size, rng) for count in (TRAINED, TESTED))
    predictions: dict[str, tuple[float | None, np.ndarray]] = {
        "Bayes": (None, test.best), "zero": (None, np.zeros_like(test.clean))
    }  # fmt: skip
    for name, warm in WARM.items():
        beta, scale = fitted(warm, train)
        predictions[name] = beta, scale * warm(test, beta)
    for name, plain in PLAIN.items():
        predictions[name] = None, scale_of(plain(train), train.clean) * plain(test)
    return [
        Trial(*case, name, predictions[name][0], error(predictions[name][1], test.clean))
        for name in METHODS
    ]


def table(rows: Sequence[Trial]) -> Summary:
    """Return the errors: a column for each task and length of the context."""
    places = list(dict.fromkeys((row.task, row.size) for row in rows))
    found = grouped(rows, lambda row: (row.task, row.size, row.method))
    lines = []
    for method in METHODS:
        cells = [[row.value for row in found.get((*place, method), [])] for place in places]
        lines.append([method, *(told(cell, 4) for cell in cells)])
    for method in WARM:
        betas = [
            float(np.median([row.at or 0.0 for row in found[(*place, method)]])) for place in places
        ]
        lines.append([f"beta, {method} (median)", *(f"{beta:.3g}" for beta in betas)])
    caption = "mean squared error of a coordinate: mean ± 95 % interval over the seeds"
    heads = [f"{task}, L = {size}" for task, size in places]
    return Summary(["prediction"], heads, lines, "in-context denoising", caption)


def panels(rows: Sequence[Trial]) -> dict[str, Callable[[Axes], None]]:
    """Return a panel for each task and length of the context, with the error of each method."""
    groups = grouped(rows, lambda row: (row.task, row.size))
    return {f"{TITLES[task]}, {size} tokens": partial(draw_errors, own)
            for (task, size), own in groups.items()}  # fmt: skip


def draw_errors(rows: Sequence[Trial], ax: Axes) -> None:
    """Draw the error of each method, a dot for each seed."""
    found = grouped(rows, lambda row: row.method)
    named = {name: [row.value for row in found[name]] for name in METHODS}
    dots(ax, named, COLORS)
    ax.axvline(float(np.mean(named["Bayes"])), color=plots.INK, linewidth=1.0, linestyle="--")
    ax.set_xlabel("mean squared error of a value", fontsize=8)


PAPER = Paper(
    tasks=tuple(VARIANCES),
    sizes=(100,),
    seeds=10,
    measure=measure,
    range=(2, 10_000),
    table=table,
    panels=panels,
    note="A dot for each seed. Bars: mean and its 95 % interval. Dashed: the mean of Bayes\n"
    "Blue: predictions. Orange: retrievals. Green: controls",
)
