"""The study of temperature profiles on the command line."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hopcore.experiments.data.sequences import TASKS
from hopcore.experiments.options import AsJson, Batch, Device, Trains, show_json, tracked
from hopcore.experiments.parsing import integers, one_of, unlike
from hopcore.experiments.temperature_profiles import files as profiles_files
from hopcore.experiments.temperature_profiles import report as profiles_report
from hopcore.experiments.temperature_profiles import trials as profiles
from hopcore.experiments.temperature_profiles.files import Kept, beside
from hopcore.experiments.temperature_profiles.trials import Fitting
from hopcore.files._files import place_of, write_whole

temperature_studies = typer.Typer()


@temperature_studies.command("temperature-profiles")
def experiment_temperature_profiles(
    task: Annotated[str, typer.Option(help="Of latch, copy and recall.")] = ",".join(TASKS),
    distance: Annotated[str, typer.Option(help="Symbols of noise between.")] = "4,8,16,32",
    arm: Annotated[
        str,
        typer.Option(help="MODE:PROFILE: fixed, learned or quick, and where temperatures start."),
    ] = ",".join(map(str, profiles.ARMS)),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds: first parameters, sequences.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Batches, of one task and distance.")] = 192,
    batch_size: Batch = 24,
    d_model: Annotated[int, typer.Option(min=1, help="Depth of the features.")] = 256,
    d_ff: Annotated[int, typer.Option(min=1, help="Depth of the hidden layers.")] = 512,
    layers: Annotated[int, typer.Option(min=1, help="Encoder layers.")] = 4,
    heads: Annotated[int, typer.Option(min=1, help="Heads of a layer.")] = 4,
    backend: Trains = "torch",
    device: Device = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Keep the trials of the files; run the others, with the same options."
        ),
    ] = False,
    csv: Annotated[Path, typer.Option(help="Every trial.")] = Path("temperature-profiles.csv"),
    plot: Annotated[Path, typer.Option(help="Accuracy and steps to learn.")] = Path(
        "temperature-profiles.png"
    ),
    markdown: Annotated[
        Path | None, typer.Option(help="The summaries, as markdown tables.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Does a transformer remember better if it learns its temperatures? Commas between values.

    Beside CSV, *-temperatures.csv and *-attention.npz are written, after every training.

    Beside the picture, *-temperatures.png and *-attention.png.
    """
    paths = [csv, plot, *([markdown] if markdown else [])]
    for path in paths:
        place_of(path)
    known = {str(one): one for one in profiles.ARMS}
    arms = [known[name] for name in names(arm, known, "arm")]
    fitting = Fitting(
        tasks=names(task, TASKS, "task"),
        distances=sorted(unlike(integers(distance, "distance"), "distance")),
        width=d_model, hidden=d_ff, layers=layers, num_heads=heads, steps=steps,
        batch_size=batch_size, backend=backend, device=device,
    )  # fmt: skip
    kept = profiles_files.read(csv) if resume and csv.exists() else Kept([], [], {})
    kept.check(fitting)
    wanted = range(first_seed, first_seed + seeds)
    left = [place for place in product(arms, wanted) if place not in kept.done]
    run = profiles.run_trials(arms, fitting, wanted, kept.done)
    for outcome in tracked(run, len(left)):
        kept.add(outcome)
        profiles_files.write(kept, csv)
    lines = profiles_report.summary(kept.trials)
    moves = profiles_report.moves(kept.warmths)
    draw(kept, plot)
    if markdown is not None:
        tables = profiles_report.to_markdown(lines), profiles_report.moves_to_markdown(moves)
        write_whole(markdown, lambda file: file.write("\n".join(tables).encode()))
    if as_json:
        facts = {"lines": [one.facts() for one in lines], "moves": [one.facts() for one in moves]}
        show_json({"study": "temperature-profiles", **facts})
    else:
        Console().print(profiles_report.to_table(lines))
        typer.echo(f"Every trial: {csv}\nThe picture: {plot}")


def draw(kept: Kept, plot: Path) -> None:
    """The pictures: of trials, of temperatures where they were learned, of attention."""
    profiles_report.draw(kept.trials, plot)
    if any(one.mode != "fixed" for one in kept.warmths):
        profiles_report.draw_temperatures(kept.warmths, beside(plot, "temperatures"))
    title = f"Attention of each layer and head to one sequence of {profiles.SHOWN}"
    arms = [str(arm) for arm in profiles.ARMS if str(arm) in kept.attention]
    shown = {name: kept.attention[name] for name in arms}
    profiles_report.draw_attention(shown, title, beside(plot, "attention"))


def names(text: str, known: Iterable[str], name: str) -> list[str]:
    """Names with commas between, all known and none twice."""
    return unlike([one_of(part, known, name) for part in text.split(",")], name)
