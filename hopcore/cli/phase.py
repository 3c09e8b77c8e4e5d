"""``hopcore phase``: recommend an inverse temperature for a memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hopcore import plots
from hopcore.datasets._sources import files_in
from hopcore.experiments.data.inputs import files_given
from hopcore.experiments.options import (
    INPUT,
    METHOD,
    OUTPUT,
    AsJson,
    Backend,
    Compared,
    Data,
    Device,
    Seed,
    option,
    show_json,
    tracked,
)
from hopcore.experiments.outputs import check_outputs, say_nothing_written, say_written
from hopcore.experiments.phase import analysis
from hopcore.experiments.phase import picture as phase_picture
from hopcore.experiments.phase import report as phase_report
from hopcore.files._files import write_whole
from hopcore.streamed._sources import file_of

STORED = 1000
"""The default number of images of a data set that are stored."""


def phase(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="The stored patterns, instead of --patterns.",
            metavar="PATTERNS",
            show_default=False,
        ),
    ] = None,
    patterns: Annotated[
        Path | None,
        option(
            INPUT, "The stored patterns, (N, d) or images (N, h, w): a .npy or .csv file, a folder "
            "of PNG or JPEG images, FILE.h5:NAME or a folder of Zarr.",
        ),
    ] = None,
    dataset: Annotated[
        str | None, option(INPUT, "Instead of files: store images of digits or mnist.")
    ] = None,
    data: Data = None,
    stored: Annotated[
        int | None,
        option(
            INPUT, "The number of patterns to store, chosen at random; default: all of a file, "
            f"{STORED} of a data set.",
        ),
    ] = None,
    dtype: Annotated[
        str | None, option(INPUT, "Convert the patterns to float16, float32 or float64.")
    ] = None,
    goal: Annotated[
        str, option(METHOD, f"The goal for which beta is chosen: {', '.join(analysis.GOALS)}.")
    ] = "retrieve",
    noise: Annotated[
        float | None,
        option(METHOD, "The standard deviation of the noise in each value of a query, if known."),
    ] = None,
    similarity: Compared = "dot",
    betas: Annotated[
        int, option(METHOD, "The number of inverse temperatures of the sweep.")
    ] = 100,
    followed: Annotated[
        int | None,
        option(
            METHOD, "The number of patterns whose transition is computed; default: all up to "
            "1024, fewer in a large memory.",
        ),
    ] = None,
    seed: Seed = 0,
    backend: Backend = "numpy",
    device: Device = None,
    plot: Annotated[
        Path | None, option(OUTPUT, "A picture of the whole report: .png, .pdf or .svg.")
    ] = None,
    csv: Annotated[
        Path | None, option(OUTPUT, "A table of the results at every inverse temperature: .csv.")
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Recommend an inverse temperature beta for a memory, and give the reason."""
    given = files_given(None if file is None else [file], {"--patterns": patterns})
    patterns = given["--patterns"]
    read = {"--patterns": None if patterns is None else file_of(patterns)}
    check_outputs({"--plot": plot, "--csv": csv}, {**read, **files_in(data)})
    if plot is not None:
        plots.new_figure(1.0, 1.0)  # without matplotlib this fails now, not after the work
    chosen = memory_of(patterns, dataset, data, stored, seed, dtype)
    found = analysis.study(
        chosen, goal=goal, noise=noise, similarity=similarity, betas=betas, followed=followed,
        seed=seed, backend=backend, device=device, track=lambda what: partial(tracked, what=what),
    )  # fmt: skip
    if csv is not None:
        write_whole(csv, lambda file: file.write(phase_report.to_csv(found.sweep).encode()))
    if as_json:
        show_json(phase_report.facts(found))
    else:
        show(found)
    if plot is not None:
        phase_picture.draw(found, plot)
    if as_json:
        return
    if csv is not None:
        say_written(csv, f"the results at {betas} inverse temperatures, on heating and on cooling")
    if plot is not None:
        say_written(plot, "a picture of the whole report")
    if csv is None and plot is None:
        say_nothing_written("--plot FILE.png", "--csv FILE.csv")


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
