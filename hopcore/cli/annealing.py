"""Trainings that anneal, on the command line: ``hopcore experiment annealing`` and its kin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from hopcore.experiments.annealing import gradients as annealing_gradients
from hopcore.experiments.annealing import report as annealing_report
from hopcore.experiments.annealing import temperature_floor
from hopcore.experiments.annealing import trials as annealing
from hopcore.experiments.annealing.gradients import Gradient
from hopcore.experiments.annealing.report import Point
from hopcore.experiments.annealing.trials import Arm, Trial
from hopcore.experiments.data import datasets
from hopcore.experiments.options import (
    AsJson,
    Batch,
    Data,
    Dataset,
    Device,
    Epochs,
    Markdown,
    Rate,
    Seeds,
    Trains,
    show_json,
    tracked,
)
from hopcore.experiments.parsing import integers, one_of, unlike
from hopcore.files._csv import to_csv
from hopcore.files._files import place_of, write_whole
from hopcore.training._config import PATHS

annealing_studies = typer.Typer()

ANNEALINGS: dict[str, Callable[..., list[Arm]]] = {
    "schedules": annealing.schedules,
    "survival": annealing.survival,
    "sizes": annealing.sizes,
}
GRADIENTS = "gradients"
"""Not a comparison of arms, but what temperature does to some of them once they are trained."""

FLOORS: dict[str, Callable[..., list[Arm]]] = {
    "fixes": temperature_floor.fixes,
    "causes": temperature_floor.causes,
    "cures": temperature_floor.cures,
}

Names = Annotated[str | None, typer.Option("--arm", help="Some of the arms; else all.")]
Csv = Annotated[
    Path | None, typer.Option(help="Every trial; else NAME-STUDY.csv. Epochs: ...-epochs.csv.")
]
Plot = Annotated[Path | None, typer.Option(help="The picture; else NAME-STUDY.png.")]


@annealing_studies.command("annealing")
def experiment_annealing(
    study: Annotated[str, typer.Option(help=", ".join([*ANNEALINGS, GRADIENTS]))] = "schedules",
    dataset: Dataset = "digits",
    data: Data = None,
    arm: Names = None,
    epochs: Epochs = 40,
    batch_size: Batch = 32,
    rate: Rate = "cosine",
    seeds: Seeds = 5,
    backend: Trains = "torch",
    device: Device = None,
    csv: Csv = None,
    plot: Plot = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Which schedule of the temperature is best, what annealing needs. Commas between values."""
    one_of(study, [*ANNEALINGS, GRADIENTS], "study")
    arms = ANNEALINGS.get(study, annealing.annealed)(
        epochs=epochs, batch_size=batch_size, rate=rate
    )
    about = About("annealing", study, dataset, data, seeds, backend, device)
    run = run_gradients if study == GRADIENTS else run_study
    run(about, chosen(arms, arm), Files(csv, plot, markdown), as_json)


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
    """Does what trains softly collapse when it is asked hard? Commas between values."""
    counts = unlike(integers(epochs, "epochs"), "epochs")
    arms = FLOORS[one_of(study, FLOORS, "study")](counts, batch_size=batch_size)
    about = About("temperature-floor", study, dataset, data, seeds, backend, device)
    run_study(about, chosen(arms, arm), Files(csv, plot, markdown), as_json)


class About(NamedTuple):
    """A study: the command's name and its own, its images and seeds, what trains."""

    command: str
    study: str
    dataset: str
    data: Path | None
    seeds: int
    backend: str
    device: str | None

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.command}-{self.study}"

    @property
    def title(self) -> str:
        """What its table and its picture are called."""
        return f"{self.command}: {self.study}, {self.dataset}"

    def show(self, facts: list[dict[str, Any]], table: Table, notes: str, as_json: bool) -> None:
        """The results, as JSON or as a table."""
        if as_json:
            about = {"command": self.command, "study": self.study, "dataset": self.dataset}
            show_json(about | {"lines": facts})
        else:
            Console().print(table)
            typer.echo(notes)


class Files(NamedTuple):
    """Where things are written, as it was given."""

    csv: Path | None
    plot: Path | None
    markdown: Path | None

    def places(self, name: str) -> tuple[Path, Path]:
        """Where the CSV and the picture go, once it is known that all three can be written."""
        csv, plot = self.csv or Path(f"{name}.csv"), self.plot or Path(f"{name}.png")
        for path in (csv, plot, self.markdown):
            if path is not None:
                place_of(path)
        return csv, plot


def chosen(arms: list[Arm], names: str | None) -> list[Arm]:
    """The arms of some names, or all."""
    if names is None:
        return arms
    known = list(dict.fromkeys(one.name for one in arms))
    wanted = unlike([one_of(name, known, "arm") for name in names.split(",")], "arm")
    return [one for one in arms if one.name in wanted]


def run_study(about: About, arms: list[Arm], files: Files, as_json: bool) -> None:
    """Train every arm, write the files, show the summary."""
    csv, plot = files.places(about.name)
    each = csv.with_stem(f"{csv.stem}-epochs")
    images = datasets.load(about.dataset, about.data)
    run = annealing.run_trials(
        about.dataset, images, arms, seeds=about.seeds, backend=about.backend, device=about.device
    )
    outcomes = list(tracked(run, about.seeds * len(arms)))
    trials = [outcome.trial for outcome in outcomes]
    lines, found = annealing_report.summary(trials), annealing_report.points(outcomes)
    write_text(csv, to_csv(trials, Trial))
    write_text(each, to_csv(found, Point))
    write_text(files.markdown, annealing_report.to_markdown(lines))
    annealing_report.draw(about.title, found, plot)
    notes = f"Every trial: {csv}\nEvery epoch: {each}\nThe picture: {plot}"
    table = annealing_report.to_table(about.title, lines)
    about.show([line.facts() for line in lines], table, notes, as_json)


def run_gradients(about: About, arms: list[Arm], files: Files, as_json: bool) -> None:
    """Train every arm, measure its gradients, write the files, show the summary."""
    csv, plot = files.places(about.name)
    images = datasets.load(about.dataset, about.data)
    run = annealing_gradients.measure(
        about.dataset, images, arms, seeds=about.seeds, backend=about.backend, device=about.device
    )
    count = about.seeds * len(arms) * len(PATHS) * len(annealing_gradients.TEMPERATURES)
    found = list(tracked(run, count))
    write_text(csv, to_csv(found, Gradient))
    write_text(files.markdown, annealing_gradients.to_markdown(found))
    annealing_gradients.draw(about.title, found, plot)
    notes = f"Every measurement: {csv}\nThe picture: {plot}"
    table = annealing_gradients.to_table(about.title, found)
    about.show([one._asdict() for one in found], table, notes, as_json)


def write_text(path: Path | None, text: str) -> None:
    """Write a text, whole or not at all, where a place was given."""
    if path is not None:
        write_whole(path, lambda file: file.write(text.encode()))
