"""Options that several commands share, progress bars and JSON output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

from hopcore.training._config import RATES

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds before a progress bar appears."""

INPUT, METHOD, TRAINING, COMPUTING, OUTPUT = (
    "What to read", "How to do it", "How to train", "Where to compute", "What to write"
)  # fmt: skip
"""The panels in which the help shows options."""


def option(panel: str, text: str, *names: str, **settings: Any) -> Any:
    """Return an option of a command, with its help in one of the panels."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


Seed = Annotated[
    int, option(METHOD, "Seed of the random choice of patterns and of the noise.", min=0)
]
Backend = Annotated[
    str, option(COMPUTING, "The array library: numpy, torch, jax or another one that is installed.")
]
Device = Annotated[
    str | None, option(COMPUTING, "A device of the array library, for example cuda:0.")
]
Compared = Annotated[
    str,
    option(
        METHOD, "How states are compared with stored patterns: dot (product), distance, or auto, "
        "which chooses distance where dot products cannot retrieve all patterns.", "--similarity",
    ),
]  # fmt: skip
SIMILARITIES = ("dot", "distance")
Similarities = Annotated[
    str,
    option(
        METHOD, "How states are compared with stored patterns: dot (product), distance or both, "
        "as a list.", "--similarity",
    ),
]  # fmt: skip
AsJson = Annotated[
    bool, option(OUTPUT, "Print one JSON object instead of text for people.", "--json")
]
Dataset = Annotated[
    str, option(INPUT, "The images: digits (they come with scikit-learn) or mnist (see --data).")
]
Data = Annotated[
    Path | None, option(INPUT, "The folder with the IDX files of MNIST, gzipped or not.")
]
Corruption = Annotated[
    str,
    option(
        METHOD, "How images are corrupted: half (the lower half is erased), or noise:SIGMA (noise "
        "of that standard deviation is added).",
    ),
]  # fmt: skip
Corruptions = Annotated[
    str, option(METHOD, "How images are corrupted; each entry of the list is half or noise:SIGMA.")
]
Sizes = Annotated[str, option(METHOD, "The numbers of stored patterns, one for each memory.")]
Memories = Annotated[
    int, option(METHOD, "The number of memories of each size, with the seeds 0, 1, ...", min=1)
]
TrainingBackend = Annotated[str, option(COMPUTING, "The library that trains: torch or jax.")]
Seeds = Annotated[
    int,
    option(TRAINING, "The number of repetitions, with the seeds 0, 1, ...", min=1),
]
Epochs = Annotated[int, option(TRAINING, "The number of passes over the training samples.", min=1)]
Batch = Annotated[int, option(TRAINING, "The number of samples in a batch.", min=1)]
Rate = Annotated[
    str, option(TRAINING, f"How the learning rate changes over time: {', '.join(RATES)}.")
]
Csv = Annotated[Path | None, option(OUTPUT, "The file with every result; default: NAME.csv.")]
Plot = Annotated[Path | None, option(OUTPUT, "The picture, .png, .pdf or .svg; default: NAME.png.")]
Markdown = Annotated[Path | None, option(OUTPUT, "The summary, as a table in Markdown.")]
Resume = Annotated[
    bool,
    option(
        OUTPUT, "Keep the results that are already in the CSV file and compute the others; give "
        "the same options as before.", "--resume",
    ),
]  # fmt: skip


def tracked(items: Iterable[T], total: int, what: str = "working") -> Iterator[T]:
    """Yield the items; on a terminal, show a progress bar after :data:`PATIENCE` seconds."""
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True)
    task = progress.add_task(what, total=total)
    begun = time.monotonic()
    with ExitStack() as shown:
        for item in items:
            yield item
            progress.advance(task)
            waited = time.monotonic() - begun > PATIENCE
            if waited and console.is_terminal and not progress.live.is_started:
                shown.enter_context(progress)


def untracked(items: Iterable[T], total: int) -> Iterable[T]:
    """Yield the items without a progress bar, because another one shows the progress."""
    return items


def show_json(value: dict[str, Any]) -> None:
    """Print one JSON object on the standard output; raise on nan and inf, which JSON lacks."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
