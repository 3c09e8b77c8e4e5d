"""The studies of bags on the command line: ``hopcore experiment bit-pattern`` and its kin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from hopcore.experiments.data import datasets
from hopcore.experiments.mil import report as mil_report
from hopcore.experiments.mil import trials as mil
from hopcore.experiments.options import (
    AsJson,
    Data,
    Dataset,
    Device,
    Epochs,
    Markdown,
    Seeds,
    Trains,
    show_json,
    tracked,
)
from hopcore.experiments.parsing import integers, numbers, one_of, unlike
from hopcore.files._csv import to_csv
from hopcore.files._files import place_of, write_whole

bag_studies = typer.Typer()

ALL_LAYERS = ",".join(mil.LAYERS)
Layers = Annotated[str, typer.Option(help=f"Of {', '.join(mil.LAYERS)}.")]
Csv = Annotated[Path | None, typer.Option(help="Every trial; else NAME.csv.")]
Plot = Annotated[Path | None, typer.Option(help="The picture; else NAME.png.")]


@bag_studies.command("bit-pattern")
def experiment_bit_pattern(
    bags: Annotated[str, typer.Option(help="How many bags train.")] = "384,768,1536",
    layer: Layers = ALL_LAYERS,
    epochs: Epochs = 30,
    seeds: Seeds = 5,
    backend: Trains = "torch",
    device: Device = None,
    csv: Csv = None,
    plot: Plot = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Which of 2048 bags of 16 bit patterns hold one of 8 signals? Commas between values."""
    sizes = unlike(integers(bags, "bags"), "bags")
    fitting = mil.Fitting(width=32, epochs=epochs, backend=backend, device=device)
    study = BagStudy("bit-pattern", "bags", mil.bit_patterns(sizes), len(sizes), layer, seeds)
    run_bag_study(study, fitting, csv, plot, markdown, as_json)


@bag_studies.command("latch")
def experiment_latch(
    length: Annotated[str, typer.Option(help="Lengths of the sequences.")] = "20,50,100",
    layer: Layers = ALL_LAYERS,
    epochs: Epochs = 10,
    seeds: Seeds = 5,
    backend: Trains = "torch",
    device: Device = None,
    csv: Csv = None,
    plot: Plot = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Which of two symbols did a sequence begin with, before the noise? Commas between values."""
    lengths = unlike(integers(length, "length"), "length")
    fitting = mil.Fitting(width=32, epochs=epochs, backend=backend, device=device)
    study = BagStudy("latch", "length", mil.latch_sequences(lengths), len(lengths), layer, seeds)
    run_bag_study(study, fitting, csv, plot, markdown, as_json)


@bag_studies.command("mnist-bags")
def experiment_mnist_bags(
    dataset: Dataset = "digits",
    data: Data = None,
    digit: Annotated[int, typer.Option(min=0, max=9, help="The digit that bags hold.")] = 9,
    bags: Annotated[str, typer.Option(help="How many bags train.")] = "100,400,1200",
    layer: Layers = ALL_LAYERS,
    epochs: Epochs = 40,
    seeds: Seeds = 5,
    backend: Trains = "torch",
    device: Device = None,
    csv: Csv = None,
    plot: Plot = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Which bags of about 10 images of digits hold a nine? Commas between values."""
    sizes = unlike(integers(bags, "bags"), "bags")
    splits = mil.digit_bags(datasets.load(dataset, data), sizes, digit)
    fitting = mil.Fitting(epochs=epochs, backend=backend, device=device)
    study = BagStudy("mnist-bags", "bags", splits, len(sizes), layer, seeds, f", {dataset}")
    run_bag_study(study, fitting, csv, plot, markdown, as_json)


@bag_studies.command("mil")
def experiment_mil(
    data: Annotated[str, typer.Option(help="Files .npz with features, bag and label.")],
    folds: Annotated[int, typer.Option(min=2, help="Of the cross-validation.")] = 10,
    dropout: Annotated[
        str, typer.Option(help="Rates; of several, the training bags choose.")
    ] = "0,0.5,0.75",
    layer: Layers = "mean,pooling",
    epochs: Epochs = 10,
    seeds: Seeds = 5,
    backend: Trains = "torch",
    device: Device = None,
    csv: Csv = None,
    plot: Plot = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Classify bags of features from files, cross-validated. Commas between values."""
    rates = unlike(numbers(dropout, "dropout"), "dropout")
    paths = [Path(name) for name in data.split(",")]
    fitting = mil.Fitting(
        dropouts=rates, normalise=True, epochs=epochs, backend=backend, device=device
    )
    count = len(paths) * folds
    study = BagStudy("mil", "data", mil.files(paths, folds), count, layer, seeds)
    run_bag_study(study, fitting, csv, plot, markdown, as_json)


class BagStudy(NamedTuple):
    """A study of bags: its name, what tells its tasks apart, and ``count`` splits a seed.

    ``note`` is what its title says after the name.
    """

    name: str
    axis: str
    splits: mil.Splits
    count: int
    layer: str
    seeds: int
    note: str = ""


def run_bag_study(
    study: BagStudy,
    fitting: mil.Fitting,
    csv: Path | None,
    plot: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Run a study, write its files, show its summary."""
    csv, plot = csv or Path(f"{study.name}.csv"), plot or Path(f"{study.name}.png")
    for path in (csv, plot, markdown):
        if path is not None:
            place_of(path)
    layers = unlike([one_of(name, mil.LAYERS, "layer") for name in study.layer.split(",")], "layer")
    run = mil.run_trials(study.splits, layers, fitting, seeds=study.seeds)
    trials = list(tracked(run, study.seeds * study.count * len(layers)))
    lines = mil_report.summary(trials)
    write_whole(csv, lambda file: file.write(to_csv(trials, mil.Trial).encode()))
    title = f"{study.name}{study.note}"
    mil_report.draw(title, study.axis, lines, plot, joined=study.axis != "data")
    if markdown is not None:
        table = mil_report.to_markdown(study.axis, lines)
        write_whole(markdown, lambda file: file.write(table.encode()))
    if as_json:
        show_json({"study": study.name, "lines": [line.facts() for line in lines]})
    else:
        Console().print(mil_report.to_table(title, study.axis, lines))
        typer.echo(f"Every trial: {csv}\nThe picture: {plot}")
