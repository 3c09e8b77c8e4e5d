"""Trainings that anneal, on the command line: ``hopcore experiment annealing`` and its kin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from hopcore import datasets
from hopcore.console import AsJson, Data, Device, show_json, tracked
from hopcore.experiments import annealing, annealing_report, temperature_floor
from hopcore.experiments.annealing import Arm, Trial
from hopcore.experiments.annealing_report import Point
from hopcore.experiments.names import integers, one_of, unlike
from hopcore.files import place_of, write_whole

annealing_studies = typer.Typer()

ANNEALINGS: dict[str, Callable[..., list[Arm]]] = {
    "schedules": annealing.schedules,
    "survival": annealing.survival,
    "sizes": annealing.sizes,
}
FLOORS: dict[str, Callable[..., list[Arm]]] = {
    "fixes": temperature_floor.fixes,
    "causes": temperature_floor.causes,
}

Dataset = Annotated[str, typer.Option(help="digits or mnist.")]
Names = Annotated[str | None, typer.Option("--arm", help="Some of the arms; else all.")]
Batch = Annotated[int, typer.Option(min=1, help="Samples in a batch.")]
Seeds = Annotated[int, typer.Option(min=1, help="Seeds 0, 1, ...: images, parameters, batches.")]
Trains = Annotated[str, typer.Option(help="What trains: torch or jax.")]
Csv = Annotated[
    Path | None, typer.Option(help="Every trial; else NAME-STUDY.csv. Epochs: ...-epochs.csv.")
]
Plot = Annotated[Path | None, typer.Option(help="The picture; else NAME-STUDY.png.")]
Markdown = Annotated[Path | None, typer.Option(help="The summary, as a markdown table.")]


@annealing_studies.command("annealing")
def experiment_annealing(
    study: Annotated[str, typer.Option(help=", ".join(ANNEALINGS))] = "schedules",
    dataset: Dataset = "digits",
    data: Data = None,
    arm: Names = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes through the images.")] = 40,
    batch_size: Batch = 32,
    seeds: Seeds = 5,
    backend: Trains = "torch",
    device: Device = None,
    csv: Csv = None,
    plot: Plot = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Which schedule of the temperature trains best, and what annealing needs. Commas between."""
    arms = ANNEALINGS[one_of(study, ANNEALINGS, "study")](epochs=epochs, batch_size=batch_size)
    about = About("annealing", study, dataset, data, seeds)
    run_study(about, chosen(arms, arm), backend, device, Files(csv, plot, markdown), as_json)


@annealing_studies.command("temperature-floor")
def experiment_temperature_floor(
    study: Annotated[str, typer.Option(help=", ".join(FLOORS))] = "fixes",
    dataset: Dataset = "digits",
    data: Data = None,
    arm: Names = None,
    epochs: Annotated[str, typer.Option(help="Numbers of passes through the images.")] = "30,120",
    batch_size: Batch = 32,
    seeds: Seeds = 5,
    backend: Trains = "torch",
    device: Device = None,
    csv: Csv = None,
    plot: Plot = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Does a bottleneck that trains softly collapse when it is asked hard? Commas between."""
    counts = unlike(integers(epochs, "epochs"), "epochs")
    arms = FLOORS[one_of(study, FLOORS, "study")](counts, batch_size=batch_size)
    about = About("temperature-floor", study, dataset, data, seeds)
    run_study(about, chosen(arms, arm), backend, device, Files(csv, plot, markdown), as_json)


class About(NamedTuple):
    """A study: the command's name and its own, its images, its seeds."""

    command: str
    study: str
    dataset: str
    data: Path | None
    seeds: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.command}-{self.study}"


class Files(NamedTuple):
    """Where things are written, as it was given."""

    csv: Path | None
    plot: Path | None
    markdown: Path | None


def chosen(arms: list[Arm], names: str | None) -> list[Arm]:
    """The arms of some names, or all."""
    if names is None:
        return arms
    known = list(dict.fromkeys(one.name for one in arms))
    wanted = unlike([one_of(name, known, "arm") for name in names.split(",")], "arm")
    return [one for one in arms if one.name in wanted]


def run_study(
    about: About,
    arms: list[Arm],
    backend: str,
    device: Any,
    files: Files,
    as_json: bool,
) -> None:
    """Train every arm, write the files, show the summary."""
    csv = files.csv or Path(f"{about.name}.csv")
    plot = files.plot or Path(f"{about.name}.png")
    each = csv.with_stem(f"{csv.stem}-epochs")
    for path in (csv, each, plot, files.markdown):
        if path is not None:
            place_of(path)
    images = datasets.load(about.dataset, about.data)
    run = annealing.run_trials(
        about.dataset, images, arms, seeds=about.seeds, backend=backend, device=device
    )
    outcomes = list(tracked(run, about.seeds * len(arms)))
    trials = [outcome.trial for outcome in outcomes]
    lines, found = annealing_report.summary(trials), annealing_report.points(outcomes)
    for path, rows, kind in ((csv, trials, Trial), (each, found, Point)):
        text = annealing_report.to_csv(rows, kind)
        write_whole(path, lambda file, text=text: file.write(text.encode()))
    title = f"{about.command}: {about.study}, {about.dataset}"
    annealing_report.draw(title, found, plot)
    if files.markdown is not None:
        table = annealing_report.to_markdown(lines)
        write_whole(files.markdown, lambda file: file.write(table.encode()))
    if as_json:
        facts = {"command": about.command, "study": about.study, "dataset": about.dataset}
        show_json(facts | {"lines": [line.facts() for line in lines]})
    else:
        Console().print(annealing_report.to_table(title, lines))
        typer.echo(f"Every trial: {csv}\nEvery epoch: {each}\nThe picture: {plot}")
