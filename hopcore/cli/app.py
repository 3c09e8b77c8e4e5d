"""The command line: ``hopcore demo``, ``hopcore retrieve``, ``hopcore experiment ...``.

Results go to the standard output, as a table or, with ``--json``, as one JSON object; progress goes
to the standard error. Bad input is raised; :mod:`hopcore.__main__` makes one line of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import hopcore
from hopcore.cli.evaluate import evaluate
from hopcore.cli.phase import phase
from hopcore.cli.predict import predict
from hopcore.cli.retrieve import retrieve
from hopcore.cli.train import train
from hopcore.experiments.demo import demo_table, draw_demo, run_demo
from hopcore.experiments.options import (
    METHOD,
    OUTPUT,
    AsJson,
    Backend,
    Compared,
    Seed,
    examples,
    option,
    show_json,
)
from hopcore.experiments.outputs import check_outputs, say_written
from hopcore.experiments.registry import COMMANDS, EXAMPLES
from hopcore.files._extensions import PICTURES

MEMORIES, CLASSIFIERS, STUDIES = "Memories", "Classifiers", "Studies"
"""The panels in which the help shows commands."""

app = typer.Typer(
    help="Modern Hopfield networks: store patterns, and retrieve them from corrupted queries.",
    epilog=examples("demo", "retrieve patterns.npy queries.npy --out found.npz", "train --help"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
experiment = typer.Typer(
    help="Repeat the studies of the documentation. Each uses real data and gives a table and a "
    "picture.",
    epilog=examples("experiment latch", "experiment retrieval --dataset digits --csv trials.csv"),
    no_args_is_help=True,
)


def show_version(wanted: bool) -> None:
    """Print the version and exit if it was asked for."""
    if wanted:
        typer.echo(f"hopcore {hopcore.__version__}")
        raise typer.Exit


@app.callback()
def start(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command(rich_help_panel=MEMORIES, epilog=examples("demo", "demo --stored 500 --out demo.pdf"))
def demo(
    seed: Seed = 0,
    similarity: Compared = "dot",
    stored: Annotated[
        int, option(METHOD, "The number of handwritten digits to store, at most 1,797.")
    ] = 256,
    backend: Backend = "numpy",
    out: Annotated[Path, option(OUTPUT, "The picture: .png, .pdf or .svg.")] = Path(
        "hopcore-demo.png"
    ),
    as_json: AsJson = False,
) -> None:
    """Store handwritten digits, corrupt them, retrieve them, and draw the result."""
    check_outputs({"--out": out}, extensions={"--out": PICTURES})
    result = run_demo(seed=seed, stored=stored, similarity=similarity, backend=backend)
    draw_demo(result, out)
    if as_json:
        compared = {"similarity": result.similarity, "similarity_reason": result.reason}
        facts = {"backend": backend, "stored": stored, "seed": seed, "picture": str(out)}
        show_json(facts | compared | {"rows": [row._asdict() for row in result.rows]})
    else:
        console = Console()
        console.print(demo_table(result))
        if similarity == "auto":
            chosen = f"similarity = {result.similarity} was chosen: {result.reason}."
            console.print(chosen, markup=False, highlight=False)
        say_written(out, "a picture of some digits, corrupted and retrieved")


app.command(
    rich_help_panel=MEMORIES,
    epilog=examples(
        "retrieve patterns.npy queries.npy --out found.npz",
        "retrieve faces/ query.png --plot found.png",
        "retrieve images.npy halves.npy --known known.npy",
        "retrieve --dataset digits --corruption noise:0.5",
    ),
)(retrieve)
app.command(
    rich_help_panel=MEMORIES,
    epilog=examples(
        "phase patterns.npy --plot report.png", "phase --dataset digits --noise 0.5 --csv betas.csv"
    ),
)(phase)
app.command(
    rich_help_panel=CLASSIFIERS,
    epilog=examples(
        "train --dataset digits --epochs 40",
        "train --model mlp --out my-run --plot my-run.png",
        "train --resume my-run",
    ),
)(train)
app.command(
    rich_help_panel=CLASSIFIERS,
    epilog=examples("evaluate my-run", "evaluate my-run --split validation --json"),
)(evaluate)
app.command(
    rich_help_panel=CLASSIFIERS,
    epilog=examples("predict my-run images.npy --out classes.csv", "predict my-run scans/"),
)(predict)
app.add_typer(experiment, name="experiment", rich_help_panel=STUDIES)
for name, study in COMMANDS.items():
    experiment.command(name, epilog=examples(f"experiment {EXAMPLES[name]}"))(study)
