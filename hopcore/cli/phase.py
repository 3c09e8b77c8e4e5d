"""Which inverse temperature a memory needs, on the command line: ``hopcore phase``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hopcore import plots
from hopcore.experiments.data.datasets import files_in
from hopcore.experiments.options import AsJson, Backend, Data, Device, Seed, show_json, tracked
from hopcore.experiments.phase import analysis
from hopcore.experiments.phase import picture as phase_picture
from hopcore.experiments.phase import report as phase_report
from hopcore.files._files import check_places, write_whole

STORED = 1000
"""Images of a data set that are stored if not told."""


def phase(
    patterns: Annotated[
        Path | None, typer.Option(help="Stored patterns: .npy of shape (N, d) or (N, h, w).")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Or images of digits or mnist.")] = None,
    data: Data = None,
    stored: Annotated[
        int | None,
        typer.Option(help=f"So many of them, drawn; else all of a file, {STORED} of a data set."),
    ] = None,
    goal: Annotated[str, typer.Option(help=", ".join(analysis.GOALS))] = "retrieve",
    noise: Annotated[
        float | None, typer.Option(help="Standard deviation of the queries' noise, if known.")
    ] = None,
    betas: Annotated[int, typer.Option(help="Inverse temperatures of the sweep.")] = 100,
    followed: Annotated[
        int | None, typer.Option(help="Patterns that are followed; else up to 1024, fewer of many.")
    ] = None,
    seed: Seed = 0,
    backend: Backend = "numpy",
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, float64 or float16; else as the file has it."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="The whole report as a picture, PNG.")] = None,
    csv: Annotated[Path | None, typer.Option(help="The sweep, as CSV.")] = None,
    as_json: AsJson = False,
) -> None:
    """Which inverse temperature beta a memory needs, and why."""
    check_places({"--plot": plot, "--csv": csv}, {"--patterns": patterns, **files_in(data)})
    if plot is not None:
        plots.new_figure(1.0, 1.0)  # without matplotlib this fails now, not after the work
    chosen = memory_of(patterns, dataset, data, stored, seed, dtype)
    found = analysis.study(
        chosen, goal=goal, noise=noise, betas=betas, followed=followed, seed=seed,
        backend=backend, device=device, track=lambda what: partial(tracked, what=what),
    )  # fmt: skip
    if csv is not None:
        write_whole(csv, lambda file: file.write(phase_report.to_csv(found.sweep).encode()))
    if as_json:
        show_json(phase_report.facts(found))
    else:
        show(found)
    if plot is not None:
        phase_picture.draw(found, plot)
    if not as_json:
        for name, path in (("The sweep", csv), ("The picture", plot)):
            if path is not None:
                typer.echo(f"{name}: {path}")


def memory_of(
    patterns: Path | None, dataset: str | None, data: Path | None, stored: int | None, seed: int,
    dtype: str | None,
) -> analysis.Patterns:  # fmt: skip
    """The patterns of a file or of a data set, whichever was given."""
    if dataset is None:
        if patterns is None or data is not None:
            raise ValueError("give --patterns, or --dataset (with --data for mnist)")
        return analysis.from_file(patterns, stored, seed, dtype)
    if patterns is not None:
        raise ValueError("give --patterns or --dataset, not both")
    return analysis.from_dataset(dataset, data, STORED if stored is None else stored, seed, dtype)


def show(found: analysis.Study) -> None:
    """Tables, what explains them, and the answer."""
    console = Console()
    for part in phase_report.printed(found):
        console.print(part, markup=False, highlight=False)
    answer = phase_report.sentence(found)
    console.print(answer, style="bold", markup=False, highlight=False)
