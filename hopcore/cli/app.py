"""The command line: ``hopcore demo``, ``hopcore retrieve``, ``hopcore experiment ...``.

Results go to the standard output, as a table or, with ``--json``, as one JSON object; progress goes
to the standard error. Bad input is raised; :mod:`hopcore.__main__` makes one line of it. A command
is imported when it is run, so that the help appears at once.
"""

from __future__ import annotations

from typing import Annotated

import typer

import hopcore
from hopcore.cli.lazy import LazyGroup, Listed
from hopcore.experiments.examples import examples

MEMORIES, CLASSIFIERS, STUDIES = "Memories", "Classifiers", "Studies"
"""The panels in which the help shows commands."""

TABLE = {
    "demo": Listed(
        "hopcore.cli.demo:demo",
        MEMORIES,
        "Store handwritten digits, corrupt them, retrieve them, and draw the result.",
        ("demo", "demo --stored 500 --out demo.pdf"),
    ),
    "retrieve": Listed(
        "hopcore.cli.retrieve:retrieve",
        MEMORIES,
        "Retrieve stored patterns from queries: your own files, or corrupted images.",
        (
            "retrieve patterns.npy queries.npy --out found.npz",
            "retrieve faces/ query.png --plot found.png",
            "retrieve images.npy halves.npy --known known.npy",
            "retrieve --memory words.memory queries.npy --out found.csv",
            "retrieve --dataset digits --corruption noise:0.5",
        ),
    ),
    "memory": Listed(
        "hopcore.cli.memory:memory",
        MEMORIES,
        "Make a memory in a file, add and remove patterns, and ask it.",
        ("memory build words.memory patterns.npy", "memory query words.memory q.npy"),
    ),
    "phase": Listed(
        "hopcore.cli.phase:phase",
        MEMORIES,
        "Recommend an inverse temperature beta for a memory, and give the reason.",
        (
            "phase patterns.npy --plot report.png",
            "phase --dataset digits --noise 0.5 --csv betas.csv",
        ),
    ),
    "train": Listed(
        "hopcore.cli.train:train",
        CLASSIFIERS,
        "Train a classifier of images while the temperature of its memory falls.",
        (
            "train --dataset digits --epochs 40",
            "train --model mlp --out my-run --plot my-run.png",
            "train --resume my-run",
        ),
    ),
    "evaluate": Listed(
        "hopcore.cli.evaluate:evaluate",
        CLASSIFIERS,
        "Measure the accuracy of a trained classifier.",
        ("evaluate my-run", "evaluate my-run --split validation --json"),
    ),
    "predict": Listed(
        "hopcore.cli.predict:predict",
        CLASSIFIERS,
        "Classify your own images with a trained classifier.",
        ("predict my-run images.npy --out classes.csv", "predict my-run scans/"),
    ),
    "experiment": Listed(
        "hopcore.cli.experiment:experiment",
        STUDIES,
        "Repeat the studies of the documentation. Each uses real data and gives a table and a "
        "picture.",
        ("experiment latch", "experiment retrieval --dataset digits --csv trials.csv"),
    ),
}
"""All commands, in the order of the help."""


class Commands(LazyGroup):
    """The commands of ``hopcore``."""

    table = TABLE


app = typer.Typer(
    cls=Commands,
    help="Modern Hopfield networks: store patterns, and retrieve them from corrupted queries.",
    epilog=examples("demo", "retrieve patterns.npy queries.npy --out found.npz", "train --help"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
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
