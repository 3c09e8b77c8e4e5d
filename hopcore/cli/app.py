"""The command line: ``hopcore demo``, ``hopcore retrieve``, ``hopcore experiment ...``.

Results go to the standard output, as a table or, with ``--json``, as one JSON object; progress goes
to the standard error. Bad input is raised; :mod:`hopcore.__main__` makes one line of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from hopcore.cli.annealing import annealing_studies
from hopcore.cli.bags import bag_studies
from hopcore.cli.phase import phase
from hopcore.cli.retrieve import retrieve
from hopcore.cli.temperature import temperature_studies
from hopcore.cli.train import train
from hopcore.cli.transition import transition_studies
from hopcore.experiments import retrieval
from hopcore.experiments import tables as report
from hopcore.experiments.data import datasets
from hopcore.experiments.demo import run_demo
from hopcore.experiments.diffusion import report as diffusion_report
from hopcore.experiments.diffusion import trials as diffusion
from hopcore.experiments.diffusion.studies import STUDIES, Strength, Study
from hopcore.experiments.options import (
    AsJson,
    Backend,
    Corruption,
    Data,
    Device,
    Seed,
    show_json,
    tracked,
)
from hopcore.experiments.parsing import integers, numbers, one_of, positive, unlike
from hopcore.files._files import place_of, write_whole
from hopcore.graphs._graph import NORMALIZATIONS

app = typer.Typer(
    help="Modern Hopfield networks: store patterns, retrieve them from corrupted queries.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
experiment = typer.Typer(help="Measured experiments on real data.", no_args_is_help=True)
app.add_typer(experiment, name="experiment")
experiment.add_typer(bag_studies)
experiment.add_typer(annealing_studies)
experiment.add_typer(temperature_studies)
experiment.add_typer(transition_studies)
app.command()(retrieve)
app.command()(train)
app.command()(phase)


@app.command()
def demo(
    seed: Seed = 0,
    stored: Annotated[int, typer.Option(help="How many digits are stored, up to 1,797.")] = 256,
    out: Annotated[Path, typer.Option(help="The picture, a PNG file.")] = Path("hopcore-demo.png"),
    backend: Backend = "numpy",
    as_json: AsJson = False,
) -> None:
    """Store handwritten digits, corrupt them, retrieve them, and draw what happened."""
    place_of(out)
    result = run_demo(seed=seed, stored=stored, backend=backend)
    report.draw_demo(result, out)
    if as_json:
        facts = {"backend": backend, "stored": stored, "seed": seed, "picture": str(out)}
        show_json(facts | {"rows": [row._asdict() for row in result.rows]})
    else:
        Console().print(report.demo_table(result))
        typer.echo(f"The picture: {out}")


@experiment.command("retrieval")
def experiment_retrieval(
    dataset: Annotated[str, typer.Option(help="digits or mnist.")] = "mnist",
    data: Data = None,
    stored: Annotated[str, typer.Option(help="Sizes of the memory.")] = "128,256,512,1024",
    beta: Annotated[str, typer.Option(help="Inverse temperatures.")] = "1,0.1",
    separation: Annotated[str, typer.Option()] = "softmax,entmax:1.5,sparsemax",
    max_steps: Annotated[str, typer.Option(help="Numbers of updates.")] = "5",
    seeds: Annotated[int, typer.Option(min=1, help="Memories drawn of each size.")] = 10,
    corruption: Corruption = "half",
    backend: Backend = "numpy",
    device: Device = None,
    csv: Annotated[Path | None, typer.Option(help="Every trial, as CSV.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="The summary, as a markdown table.")] = None,
    as_json: AsJson = False,
) -> None:
    """How many stored images come back from their upper half, by beta, memory and separation.

    Lists have commas between their values.
    """
    for path in (csv, markdown):
        if path is not None:
            place_of(path)
    images = datasets.load(dataset, data)
    grid = {
        "stored": integers(stored, "stored"),
        "betas": numbers(beta, "beta"),
        "separations": separation.split(","),
        "max_steps": integers(max_steps, "max-steps"),
    }
    count = seeds * int(np.prod([len(values) for values in grid.values()]))
    run = retrieval.run_trials(
        images, seeds=seeds, corruption=corruption, backend=backend, device=device, **grid
    )
    trials = list(tracked(run, count))
    settings = retrieval.summary(trials)
    if csv is not None:
        write_whole(csv, lambda file: file.write(retrieval.to_csv(trials).encode()))
    if markdown is not None:
        write_whole(markdown, lambda file: file.write(retrieval.to_markdown(settings).encode()))
    if as_json:
        show_json({"dataset": dataset, "settings": [setting._asdict() for setting in settings]})
    else:
        title = f"{len(images.pixels)} images of {dataset}, {corruption}, {seeds} memories each"
        Console().print(report.setting_table(title, settings))


def add_study(study: Study) -> None:
    """Make a command of a study of diffusion; all have the same options."""

    def command(
        dataset: Annotated[str, typer.Option(help="digits or mnist.")] = "digits",
        data: Data = None,
        stored: Annotated[str, typer.Option(help="Sizes of the memory.")] = study.stored,
        corruption: Annotated[
            str, typer.Option(help="Corruptions, each half or noise:SIGMA.")
        ] = study.corruption,
        level: Annotated[
            str,
            typer.Option(help="Effective inverse temperatures b: beta times the spread."),
        ] = study.level,
        eta: Annotated[
            str, typer.Option(help="Strengths; per mean degree if not normalised.")
        ] = study.eta,
        steps: Annotated[str, typer.Option(help="T, steps of diffusion.")] = study.steps,
        k: Annotated[str, typer.Option("--k", help="Neighbours in the graph.")] = study.neighbours,
        normalization: Annotated[str, typer.Option(help=", ".join(NORMALIZATIONS))] = "none",
        updates: Annotated[int, typer.Option(min=1, help="Updates of the state, at most.")] = 1,
        unseen: Annotated[
            bool, typer.Option("--unseen", help="Query with images that are not stored.")
        ] = False,
        seeds: Annotated[int, typer.Option(min=1, help="Memories drawn of each size.")] = 10,
        backend: Backend = "numpy",
        device: Device = None,
        csv: Annotated[Path, typer.Option(help="Every trial.")] = Path(f"{study.name}.csv"),
        plot: Annotated[Path, typer.Option(help="The picture.")] = Path(f"{study.name}.png"),
        markdown: Annotated[Path | None, typer.Option(help="The summary.")] = None,
        as_json: AsJson = False,
    ) -> None:
        for path in (csv, plot, markdown):
            if path is not None:
                place_of(path)
        strength = Strength(
            unlike(numbers(eta, "eta"), "eta"),
            unlike(integers(steps, "steps"), "steps"),
            unlike(integers(k, "k"), "k"),
            one_of(normalization, NORMALIZATIONS, "normalization"),
        )
        methods = study.methods(strength)
        sizes = unlike(integers(stored, "stored"), "stored")
        levels = positive(unlike(numbers(level, "level"), "level"), "level")
        corruptions = unlike(corruption.split(","), "corruption")
        images = datasets.load(dataset, data)
        run = diffusion.run_trials(
            images, methods, stored=sizes, corruptions=corruptions, levels=levels, updates=updates,
            unseen=unseen, seeds=seeds, backend=backend, device=device,
        )  # fmt: skip
        count = seeds * len(sizes) * len(corruptions) * len(levels) * (1 + len(methods))
        trials = list(tracked(run, count))
        lines = diffusion_report.summary(trials)
        write_whole(csv, lambda file: file.write(diffusion_report.to_csv(trials).encode()))
        notes = [f"{study.name}: {'unseen' if unseen else 'stored'} {dataset}"]
        notes += [corruption] * (study.x != "corruption")
        notes += [f"{normalization} Laplacian"] * (normalization != "none")
        notes += [f"up to {updates} updates"] * (updates > 1)
        title = ", ".join(notes)
        diffusion_report.draw(study, lines, title, plot)
        if markdown is not None:
            table = diffusion_report.to_markdown(lines)
            write_whole(markdown, lambda file: file.write(table.encode()))
        if as_json:
            facts = {"study": study.name, "dataset": dataset, "unseen": unseen}
            show_json(facts | {"lines": [line.facts() for line in lines]})
        else:
            Console().print(diffusion_report.to_table(title, lines))
            typer.echo(f"Every trial: {csv}\nThe picture: {plot}")

    note = "Lists have commas between their values."
    experiment.command(study.name, help=f"{study.title}\n\n{note}")(command)


for each in STUDIES:
    add_study(each)
