"""What the commands share: options, progress on the standard error, JSON on the standard output."""

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

Seed = Annotated[int, typer.Option(min=0, help="Chooses the stored patterns and the noise.")]
Backend = Annotated[str, typer.Option(help="numpy, torch, jax, or another registered backend.")]
Device = Annotated[str | None, typer.Option(help="As the backend calls it, for example cuda:0.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Dataset = Annotated[str, typer.Option(help="digits or mnist.")]
Data = Annotated[Path | None, typer.Option(help="The folder of MNIST's IDX files, gzipped or not.")]
Corruption = Annotated[str, typer.Option(help="half (the lower half set to 0) or noise:SIGMA.")]
Trains = Annotated[str, typer.Option(help="What trains: torch or jax.")]
Seeds = Annotated[int, typer.Option(min=1, help="Seeds 0, 1, ...: of data, parameters, batches.")]
Epochs = Annotated[int, typer.Option(min=1, help="Passes through the samples that train.")]
Batch = Annotated[int, typer.Option(min=1, help="Samples in a batch.")]
Rate = Annotated[str, typer.Option(help=f"How the learning rate goes: {', '.join(RATES)}.")]
Markdown = Annotated[Path | None, typer.Option(help="The summary, as a markdown table.")]


def tracked(items: Iterable[T], total: int, what: str = "working") -> Iterator[T]:
    """Pass items on; on a terminal, draw a progress bar once they outlast :data:`PATIENCE`."""
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
    """Pass items on, where others show the progress within each."""
    return items


def show_json(value: dict[str, Any]) -> None:
    """One JSON object on the standard output; nan and inf, which JSON lacks, are refused."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))
