r"""Retrieval of images with a learned metric, and with the same metric before it has learned.

A memory of images with pixels in [0, 1] is queried with its images, of which half the pixels are
set to 0 and the others doubled. After one update at :math:`\beta = 1`, the error of an image is the
sum of the squared differences of its pixels, clipped to [0, 1] (Wu et al. 2024, "Uniform memory
retrieval with larger capacity for modern Hopfield models", U-Hop, and its code).

U-Hop learns a matrix W that separates the first half of the images: gradient descent on the
separation loss of the mapped images, which are divided by their lengths. The matrix starts with
standard normal entries, so that scores are about as many times larger than dot products as an image
has pixels. The controls are this first matrix, and dot products with a higher :math:`\beta`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

import hopcore
from hopcore import datasets, plots
from hopcore.datasets._images import Images
from hopcore.experiments.papers.report import dots
from hopcore.experiments.papers.rows import Case, Paper, Trial, told
from hopcore.experiments.tables import Summary, grouped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EPOCHS = 100
"""The number of steps; the rate is 1 and is divided by the square root of each step's number."""

DOT, LEARNED, UNTRAINED, HOT, DISTANCE, NEAREST = METHODS = (
    "dot, beta 1", "learned metric", "untrained metric", "dot, beta of the metric",
    "distance, beta 1", "nearest",
)  # fmt: skip
"""What is compared. ``dot, beta of the metric`` has the inverse temperature at which dot products
are as large as the scores of the untrained metric, and ``nearest`` returns the nearest image."""

COLORS: dict[str, str] = dict(zip(METHODS, plots.LINES, strict=True))
"""The colour of each method."""


def learned(patterns: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the matrix after gradient descent on the separation loss, from a first matrix."""
    torch = import_module("torch")
    weight = torch.tensor(first, requires_grad=True)
    images = torch.from_numpy(patterns)
    same = hopcore.memory.Metric(torch.eye(len(first)))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    for epoch in range(EPOCHS):
        mapped = hopcore.memory.Metric(weight)(images)
        loss = same.separation_loss(torch.nn.functional.normalize(mapped, dim=-1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] /= (epoch + 1.0) ** 0.5
    return weight.detach().numpy()


def loss_of(weight: np.ndarray, patterns: np.ndarray) -> float:
    """Return the separation loss of mapped patterns that are divided by their lengths."""
    mapped = hopcore.memory.Metric(weight)(patterns)
    unit = mapped / np.linalg.norm(mapped, axis=-1, keepdims=True)
    eye = np.eye(unit.shape[-1], dtype=unit.dtype)
    return float(hopcore.memory.Metric(eye).separation_loss(unit))


def measure(case: Case, images: Images | None) -> list[Trial]:
    """Return the mean error of each method, and the separation losses of both metrics."""
    assert images is not None
    chosen = datasets.choose(images, case.size, case.seed).pixels
    stored = (0.5 * (chosen + 1.0)).astype(np.float32)
    rng = np.random.default_rng([case.size, case.seed])
    queries = 2.0 * stored * (rng.random(stored.shape) < 0.5).astype(np.float32)
    pixels = stored.shape[1]
    first = rng.standard_normal((pixels, pixels)).astype(np.float32)
    half = stored[: max(2, len(stored) // 2)]
    weights = {LEARNED: learned(half, first), UNTRAINED: first}
    states = {
        DOT: hopcore.update(queries, stored, 1.0),
        **{name: hopcore.memory.Metric(w).update(queries, stored, 1.0)
           for name, w in weights.items()},
        HOT: hopcore.update(queries, stored, float(pixels)),
        DISTANCE: hopcore.update(queries, stored, 1.0, similarity="distance"),
        NEAREST: hopcore.update(queries, stored, 1e4, similarity="distance"),
    }  # fmt: skip
    rows = [
        Trial(*case, name, None, float(np.mean(np.sum(
            np.square(np.clip(states[name], 0.0, 1.0) - stored), axis=-1))))
        for name in METHODS
    ]  # fmt: skip
    return rows + [
        Trial(*case, f"separation loss, {name}", None, loss_of(weight, half))
        for name, weight in weights.items()
    ]


def table(rows: Sequence[Trial]) -> Summary:
    """Return the errors: a row for each number of images."""
    found = grouped(rows, lambda row: (row.task, row.size, row.method))
    lines = []
    for task, size in dict.fromkeys((row.task, row.size) for row in rows):
        cells = [[row.value for row in found.get((task, size, name), [])] for name in METHODS]
        lines.append([str(size), *(told(cell, 2) for cell in cells)])
    caption = "sum of squared differences of an image: mean ± 95 % interval over the seeds"
    return Summary(["N"], list(METHODS), lines, "retrieval with a learned metric", caption)


def panels(rows: Sequence[Trial]) -> dict[str, Callable[[Axes], None]]:
    """Return a panel for each number of images, with the error of each method."""
    own = grouped((row for row in rows if row.method in METHODS), lambda row: row.size)
    return {f"{size} stored images": partial(draw_errors, same) for size, same in own.items()}


def draw_errors(rows: Sequence[Trial], ax: Axes) -> None:
    """Draw the error of each method, a dot for each seed."""
    found = grouped(rows, lambda row: row.method)
    dots(ax, {name: [row.value for row in found[name]] for name in METHODS}, COLORS)
    ax.set_xlabel("squared error of an image", fontsize=8)


PAPER = Paper(
    tasks=("images",),
    sizes=(10, 50, 100),
    seeds=10,
    measure=measure,
    range=(4, 10_000),
    table=table,
    panels=panels,
    note="A dot for each seed. Bars: mean and its 95 % interval\n"
    "The seeds are paired, so the differences are known better than the bars say",
    images=True,
)
