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

Seed = Annotated[int, typer.Option(min=0, help="Seed of the stored patterns and the noise.")]
Backend = Annotated[str, typer.Option(help="numpy, torch, jax, or another registered backend.")]
Device = Annotated[str | None, typer.Option(help="A device of the backend, for example cuda:0.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Dataset = Annotated[str, typer.Option(help="digits or mnist.")]
Data = Annotated[Path | None, typer.Option(help="The folder of MNIST's IDX files, gzipped or not.")]
Corruption = Annotated[str, typer.Option(help="half (the lower half set to 0) or noise:SIGMA.")]
Corruptions = Annotated[str, typer.Option(help="Corruptions, each half or noise:SIGMA.")]
Sizes = Annotated[str, typer.Option(help="Sizes of the memory.")]
Memories = Annotated[int, typer.Option(min=1, help="Memories drawn of each size, seeds 0, 1, ...")]
TrainingBackend = Annotated[str, typer.Option(help="The library that trains: torch or jax.")]
Seeds = Annotated[
    int, typer.Option(min=1, help="Number of seeds (0, 1, ...) of data, parameters and batches.")
]
Epochs = Annotated[int, typer.Option(min=1, help="Passes through the training samples.")]
Batch = Annotated[int, typer.Option(min=1, help="Samples in a batch.")]
Rate = Annotated[str, typer.Option(help=f"Schedule of the learning rate: {', '.join(RATES)}.")]
Csv = Annotated[Path | None, typer.Option(help="The CSV of all results; default: NAME.csv.")]
Plot = Annotated[Path | None, typer.Option(help="The picture, PNG; default: NAME.png.")]
Markdown = Annotated[Path | None, typer.Option(help="The summary, as a markdown table.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Keep the results in the CSV and run the rest, same options."),
]


def tracked(items: Iterable[T], total: int, what: str = "working") -> Iterator[T]:
    """Pass items on; on a terminal, show a progress bar after :data:`PATIENCE` seconds."""
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
    """Pass items on without a progress bar, where another one shows the progress within each."""
    return items


def show_json(value: dict[str, Any]) -> None:
    """Print one JSON object on the standard output; raise on nan and inf, which JSON lacks."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
