"""The demonstration: corrupted handwritten digits, retrieved with three separation functions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

import hopcore
from hopcore import datasets, plots
from hopcore.experiments.batched_retrieval import SUCCESS, cosine, nearest, run_job
from hopcore.experiments.parsing import similarity_named
from hopcore.experiments.tables import SUCCESS_NOTES, Summary, in_percent

CORRUPTIONS = {"noise:0.5": "gaussian noise of deviation 0.5", "half": "lower half removed"}

SEPARATIONS = {
    "softmax": hopcore.Softmax(),
    "entmax:1.5": hopcore.Entmax(1.5),
    "sparsemax": hopcore.Entmax(2.0),
}


class Row(NamedTuple):
    """One line of the table: shares of, and means over, the stored patterns.

    ``success`` is the share with a cosine above
    :data:`~hopcore.experiments.batched_retrieval.SUCCESS`, which a similar pattern can reach too;
    ``same`` is the share whose nearest stored pattern is the original itself.
    """

    corruption: str
    separation: str
    beta: float
    success: float
    same: float
    steps: float
    energy_before: float
    energy_after: float
    seconds: float


class Demo(NamedTuple):
    """The table, and what its picture shows.

    Attributes
    ----------
    rows : list of Row
    images : Images
        The stored digits.
    queries : dict of str to array (S, d)
        By corruption.
    states : dict of (str, str) to array (S, d)
        By corruption and separation: the retrieved states.
    retrieved : dict of (str, str) to boolean array (S,)
        Which of them have a cosine above :data:`~hopcore.experiments.batched_retrieval.SUCCESS`.
    similarity : str
        ``"dot"`` or ``"distance"``: how states are compared with the digits.
    reason : str
        Why this similarity was chosen.
    """

    rows: list[Row]
    images: datasets.Images
    queries: dict[str, np.ndarray]
    states: dict[tuple[str, str], np.ndarray]
    retrieved: dict[tuple[str, str], np.ndarray]
    similarity: str
    reason: str


def run_demo(
    *, seed: int = 0, stored: int = 256, similarity: str = "dot", backend: str = "numpy"
) -> Demo:
    """Store digits, corrupt each in two ways, and retrieve them until they rest.

    Parameters
    ----------
    seed : int
        Chooses the stored digits and the noise; >= 0.
    stored : int
        How many digits are stored, up to 1,797.
    similarity : str
        As in :func:`hopcore.experiments.parsing.similarity_named`.
    backend : str
        As in :func:`hopcore.backend`.

    Raises
    ------
    ValueError
        Too many digits; an unknown backend or similarity.
    ModuleNotFoundError
        scikit-learn is not installed.
    """
    rng = np.random.default_rng(seed)
    images = datasets.choose(datasets.digits(), stored, rng)
    original = images.pixels.astype(np.float32)
    queries = {name: datasets.corrupt(images, name, rng).astype(np.float32) for name in CORRUPTIONS}
    compared, reason = similarity_named(similarity, original)
    demo = Demo([], images, queries, {}, {}, compared, reason)
    itself = np.arange(stored)
    for corruption, start in queries.items():
        for name, separation in SEPARATIONS.items():
            beta = hopcore.suggest_beta(original, separation=separation, similarity=compared).beta
            work = partial(
                run_job, start, original, beta, separation=separation, similarity=compared,
                backend=backend,
            )  # fmt: skip
            work()  # the first may compile; the second is timed
            found, before, seconds, _ = work()
            retrieved = cosine(found.state, original) > SUCCESS
            demo.states[corruption, name] = found.state
            demo.retrieved[corruption, name] = retrieved
            same = nearest(found.state, original) == itself
            row = Row(
                corruption=corruption,
                separation=name,
                beta=beta,
                success=float(np.mean(retrieved)),
                same=float(np.mean(same)),
                steps=float(np.mean(found.steps)),
                energy_before=float(np.mean(before)),
                energy_after=float(np.mean(found.energy)),
                seconds=seconds,
            )
            demo.rows.append(row)
    return demo


def demo_table(demo: Demo) -> Table:
    """Return a table with a row for each corruption and separation."""
    rows = [
        [
            row.corruption, row.separation, f"{row.beta:.1f}", in_percent(row.success),
            in_percent(row.same), f"{row.steps:.1f}",
            f"{row.energy_before:.1f} → {row.energy_after:.1f}", f"{1e3 * row.seconds:.1f}",
        ]
        for row in demo.rows
    ]  # fmt: skip
    title = f"{len(demo.images.pixels)} handwritten digits, each retrieved from a corrupted copy"
    right = ["beta", "cos > 0.9", "same", "steps", "energy", "ms"]
    return Summary(["corruption", "separation"], right, rows, title, SUCCESS_NOTES).terminal()


def draw_demo(demo: Demo, path: Path) -> None:
    """The picture of the demonstration: a panel for each corruption, a row for each stage.

    It shows the first stored image of each digit.
    """
    shown = np.unique(np.asarray(demo.images.labels), return_index=True)[1]
    figure = plots.new_figure(7.4, 7.8)
    panels = figure.subplots(len(CORRUPTIONS), 1)
    any_failed = False

    def images(flat: np.ndarray) -> np.ndarray:
        return flat[shown].reshape(-1, *demo.images.shape)

    for ax, (corruption, title) in zip(panels, CORRUPTIONS.items(), strict=True):
        rows = {
            "original": images(demo.images.pixels),
            "corrupted": images(demo.queries[corruption]),
        }
        failed, shares = {}, []
        for name in SEPARATIONS:
            retrieved = demo.retrieved[corruption, name]
            rows[name] = images(demo.states[corruption, name])
            failed[name] = ~retrieved[shown]
            any_failed |= bool(failed[name].any())
            shares.append(f"{name} {in_percent(float(np.mean(retrieved)))}")
        plots.heading(plots.gallery(rows, failed=failed, ax=ax), title, "   ".join(shares))
    note = f"Percentages: cosine above 0.9, of all {len(demo.images.pixels)} stored digits."
    if any_failed:
        note += " Framed in red: shown here and not retrieved."
    plots.caption(figure, "Handwritten digits, retrieved from corrupted copies", note)
    plots.save(figure, path)
