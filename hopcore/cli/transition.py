"""Studies of the temperature transition on real images, on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hopcore.experiments.data import datasets
from hopcore.experiments.options import AsJson, Data, Dataset, Markdown, show_json, tracked
from hopcore.experiments.parsing import integers, one_of, unlike
from hopcore.experiments.suggested_beta import report as suggested_beta_report
from hopcore.experiments.suggested_beta import trials as suggested_beta
from hopcore.experiments.transition import report as transition_report
from hopcore.experiments.transition import states as transition_states
from hopcore.experiments.transition import trials as transition
from hopcore.experiments.transition.trials import IMAGES, Pattern, Trial
from hopcore.files._csv import from_csv, to_csv
from hopcore.files._files import place_of, write_whole

transition_studies = typer.Typer()

Memories = Annotated[int, typer.Option(min=1, help="Memories drawn of each size: seeds 0, 1, ...")]
Sizes = Annotated[str, typer.Option(help="Sizes of the memory.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Keep what is in the CSV; run the rest, same options.")
]


@transition_studies.command("transition")
def experiment_transition(
    dataset: Dataset = "digits",
    data: Data = None,
    stored: Sizes = "10,30,100,300,1000",
    images: Annotated[str, typer.Option(help=f"What is stored: {', '.join(IMAGES)}.")] = ",".join(
        IMAGES
    ),
    seeds: Memories = 5,
    followed: Annotated[int, typer.Option(min=1, help="Patterns followed, at most.")] = 512,
    resume: Resume = False,
    csv: Annotated[Path, typer.Option(help="Every memory.")] = Path("transition.csv"),
    plot: Annotated[Path, typer.Option(help="The picture.")] = Path("transition.png"),
    patterns: Annotated[
        Path | None, typer.Option(help="Each pattern of the largest memory of seed 0, as CSV.")
    ] = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Where patterns appear, beside theory, over the number of patterns. Commas between values.

    With --patterns also a picture beside --plot: what tells where a pattern appears.
    """
    for path in (csv, plot, patterns, markdown):
        if path is not None:
            place_of(path)
    source = datasets.load(dataset, data)
    kinds = unlike([one_of(name, IMAGES, "images") for name in images.split(",")], "images")
    sizes = sorted(unlike(integers(stored, "stored"), "stored"))
    wanted = transition.places(dataset, kinds, sizes, seeds, len(source.pixels))
    trials = kept(csv, Trial) if resume else []
    done = {one.place for one in trials}
    left = [place for place in wanted if place not in done]
    for found, each in tracked(transition.run(source, left, followed), len(left)):
        trials.append(found)
        write_text(csv, to_csv(trials, Trial))
        if patterns is not None and (found.images, found.seed) == (kinds[0], 0):
            write_text(patterns, to_csv(each, Pattern))
    # What is told is what the file says, to its digits.
    trials = kept(csv, Trial)
    transition_report.draw(trials, plot)
    if patterns is not None:
        beside = plot.with_stem(f"{plot.stem}-patterns")
        transition_report.draw_patterns(kept(patterns, Pattern), beside)
    if markdown is not None:
        write_text(markdown, transition_report.to_markdown(trials))
    if as_json:
        show_json({"study": "transition", "dataset": dataset} | transition_report.facts(trials))
    else:
        Console().print(transition_report.to_table(trials))
        typer.echo(f"Every memory: {csv}\nThe picture: {plot}")


@transition_studies.command("suggested-beta")
def experiment_suggested_beta(
    dataset: Dataset = "digits",
    data: Data = None,
    stored: Sizes = "100,1000",
    corruption: Annotated[
        str, typer.Option(help="Corruptions, each half or noise:SIGMA.")
    ] = "noise:0.3,noise:0.6,noise:1.0,half",
    updates: Annotated[str, typer.Option(help="Updates of a query, at most.")] = "1,100",
    seeds: Memories = 5,
    resume: Resume = False,
    csv: Annotated[Path, typer.Option(help="Every retrieval.")] = Path("suggested-beta.csv"),
    plot: Annotated[Path, typer.Option(help="The picture.")] = Path("suggested-beta.png"),
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """What a suggested inverse temperature earns, against a grid's best. Commas between values."""
    for path in (csv, plot, markdown):
        if path is not None:
            place_of(path)
    source = datasets.load(dataset, data)
    sizes = sorted(unlike(integers(stored, "stored"), "stored"))
    corruptions = unlike(corruption.split(","), "corruption")
    counts = sorted(unlike(integers(updates, "updates"), "updates"))
    wanted = suggested_beta.cases(dataset, sizes, corruptions, counts, seeds)
    trials = kept(csv, suggested_beta.Trial) if resume else []
    done = {one.case for one in trials}
    left = [case for case in wanted if case not in done]
    for found in tracked(suggested_beta.run(source, left), len(left)):
        trials.extend(found)
        write_text(csv, to_csv(trials, suggested_beta.Trial))
    trials = kept(csv, suggested_beta.Trial)
    lines = suggested_beta_report.summary(trials)
    suggested_beta_report.draw(trials, plot)
    if markdown is not None:
        write_text(markdown, suggested_beta_report.to_markdown(lines))
    if as_json:
        facts = {"study": "suggested-beta", "dataset": dataset}
        show_json(facts | {"lines": [one.facts() for one in lines]})
    else:
        Console().print(suggested_beta_report.to_table(lines))
        typer.echo(f"Every retrieval: {csv}\nThe picture: {plot}")


@transition_studies.command("transition-states")
def experiment_transition_states(
    dataset: Dataset = "digits",
    data: Data = None,
    stored: Sizes = "300,1000",
    seeds: Memories = 5,
    resume: Resume = False,
    csv: Annotated[Path, typer.Option(help="Every memory.")] = Path("transition-states.csv"),
    plot: Annotated[Path, typer.Option(help="States of the largest memory of seed 0.")] = Path(
        "transition-states.png"
    ),
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """What the states are at the betas suggested for means of patterns. Commas between values."""
    for path in (csv, plot, markdown):
        if path is not None:
            place_of(path)
    source = datasets.load(dataset, data)
    sizes = sorted(unlike(integers(stored, "stored"), "stored"))
    wanted = transition_states.memories(dataset, sizes, seeds)
    trials = kept(csv, transition_states.Trial) if resume else []
    done = {one.memory for one in trials}
    left = [which for which in wanted if tuple(which) not in done]
    for found in tracked(transition_states.run(source, left), len(left)):
        trials.append(found)
        write_text(csv, to_csv(trials, transition_states.Trial))
    trials = kept(csv, transition_states.Trial)
    first = next(which for which in wanted if which.patterns == sizes[-1])
    transition_states.draw(source, first, plot)
    table = transition_states.to_markdown(trials)
    if markdown is not None:
        write_text(markdown, table)
    if as_json:
        facts = {"study": "transition-states", "dataset": dataset}
        show_json(facts | {"trials": [one._asdict() for one in trials]})
    else:
        typer.echo(f"{table}\nEvery memory: {csv}\nThe picture: {plot}")


def kept(path: Path, kind: type) -> list:
    """The rows of a file, or none if there is no such file."""
    return from_csv(path.read_text(encoding="utf-8"), kind) if path.exists() else []


def write_text(path: Path, text: str) -> None:
    """Write a text, whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))
