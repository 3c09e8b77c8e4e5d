"""The command ``hopcore retrieve``: patterns of one's own from files, or of a data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from hopcore import plots
from hopcore.cli.cluster import cluster
from hopcore.experiments.batched_retrieval import SUCCESS, Outcome, cosine, nearest, run_job
from hopcore.experiments.data.datasets import files_in
from hopcore.experiments.data.patterns import Memory, from_dataset, from_files
from hopcore.experiments.options import (
    AsJson,
    Backend,
    Corruption,
    Data,
    Device,
    Seed,
    show_json,
    tracked,
    untracked,
)
from hopcore.experiments.parsing import number, separation_named
from hopcore.files._files import check_places, write_whole
from hopcore.phase._suggest import suggest_beta
from hopcore.streamed._sources import file_of
from hopcore.streamed._streamed import Streamed

COLUMNS = 12
"""Images in a row of a picture, at most."""


def retrieve(
    patterns: Annotated[
        Path | None,
        typer.Option(
            help="Stored patterns (S, d) or (S, h, w): .npy, FILE.h5:NAME or a folder of Zarr. "
            "More than 256 MiB are never loaded but read a piece at a time, once for each update."
        ),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Queries: .npy of shape (L, d) or (L, h, w).")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Store images of digits or mnist, query corrupted copies."),
    ] = None,
    data: Data = None,
    stored: Annotated[int, typer.Option(help="How many images of the data set are stored.")] = 256,
    corruption: Corruption = "half",
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Results, .npz: state, steps, converged, residual, energy."),
    ] = None,
    beta: Annotated[
        str,
        typer.Option(help="Inverse temperature, or auto: from the patterns, if they are loaded."),
    ] = "auto",
    separation: Annotated[
        str, typer.Option(help="softmax, sparsemax or entmax:ALPHA.")
    ] = "softmax",
    max_steps: Annotated[int, typer.Option(help="At most so many updates.")] = 100,
    tol: Annotated[float, typer.Option(help="At rest when moved by at most tol * M.")] = 1e-6,
    backend: Backend = "numpy",
    device: Device = None,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, float64 or float16; else as the files have it."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="A picture of the first queries, PNG.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that each read and search a part of the patterns."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="The Dask scheduler, tcp://HOST:PORT, whose workers do that instead."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Retrieve patterns: of your own from files, or of a data set from corrupted copies."""
    read = None if patterns is None else file_of(patterns)
    check_places(
        {"--out": out, "--plot": plot},
        {"--patterns": read, "--queries": queries, **files_in(data)},
    )
    function = separation_named(separation)
    chosen = None if beta == "auto" else number(beta, "beta")
    check_sources(patterns, queries, dataset, data, spread=workers is not None or bool(scheduler))
    with cluster(workers, scheduler) as client:
        if patterns is None or queries is None:
            memory = from_dataset(str(dataset), data, stored, corruption, seed, dtype)
        else:
            memory = from_files(patterns, queries, dtype, track=tracked, dask=client is not None)
        streamed = isinstance(memory.stored, Streamed)
        if chosen is None:
            if streamed:
                raise ValueError("--beta auto looks at all patterns at once; give a number")
            chosen = suggest_beta(memory.stored, separation=function).beta
        outcome = run_job(
            memory.queries, memory.stored, chosen, separation=function, max_steps=max_steps,
            tol=tol, backend=backend, device=device, track=untracked if streamed else tracked,
        )  # fmt: skip
    if out is not None:
        write_whole(out, lambda file: np.savez(file, **outcome.found._asdict()))
    if plot is not None:
        rows = {"query": memory.queries, "retrieved": outcome.found.state}
        if memory.original is not None:
            rows = {"original": memory.original, **rows}
        shown = memory.queries if streamed else memory.stored
        limits = float(shown.min()), float(shown.max())
        title = f"{separation}, beta = {chosen:.3g}"
        draw_retrieved(rows, memory.shape, limits, title, plot)
    facts = {
        "backend": backend,
        "separation": separation,
        "beta": chosen,
        **facts_of(memory, outcome),
    }
    if as_json:
        show_json(facts)
    else:
        Console().print(fact_table("Retrieval", facts))


def check_sources(
    patterns: Path | None,
    queries: Path | None,
    dataset: str | None,
    data: Path | None,
    *,
    spread: bool,
) -> None:
    """Refuse anything but files, both of them, or a data set, which is not spread over workers."""
    if dataset is None:
        if patterns is None or queries is None or data is not None:
            raise ValueError("give --patterns and --queries, or --dataset (with --data for mnist)")
    elif patterns is not None or queries is not None:
        raise ValueError("--dataset makes its own queries; leave out --patterns and --queries")
    elif spread:
        raise ValueError("--workers and --scheduler are for --patterns, not for a --dataset")


def facts_of(memory: Memory, outcome: Outcome) -> dict[str, Any]:
    """What one retrieval came to: sizes, means over the queries, time."""
    found = outcome.found
    facts: dict[str, Any] = {
        "dtype": memory.stored.dtype.name,
        "stored": memory.stored.shape[0],
        "queries": len(memory.queries),
        "dimension": memory.stored.shape[1],
        "updates_mean": mean(found.steps),
        "updates_most": int(found.steps.max(initial=0)),
        "converged": mean(found.converged),
        "energy_before": mean(outcome.before),
        "energy_after": mean(found.energy),
        "seconds": outcome.seconds,
    }
    if memory.original is not None:
        facts["success"] = mean(cosine(found.state, memory.original) > SUCCESS)
        facts["same"] = mean(nearest(found.state, memory.stored) == np.arange(len(memory.stored)))
    return facts


def mean(values: np.ndarray) -> float | None:
    """The mean as a number that JSON knows; None where there is none."""
    value = float(np.mean(values, dtype=np.float64)) if values.size else math.nan
    return value if math.isfinite(value) else None


def fact_table(title: str, facts: Mapping[str, object]) -> Table:
    """Names and values of one result."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.box, table.pad_edge = box.SIMPLE, False
    for name, value in facts.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    return table


def draw_retrieved(
    rows: Mapping[str, np.ndarray],
    shape: tuple[int, int],
    limits: tuple[float, float],
    title: str,
    path: Path,
) -> None:
    """The first images of each row, for example query and retrieved, on one scale of grey."""
    count = min(COLUMNS, len(next(iter(rows.values()))))
    if count == 0:
        raise ValueError("there is nothing to draw: no queries")
    size = shape[0] * shape[1]
    images = {}
    for name, flat in rows.items():
        blank = ((0, 0), (0, size - flat.shape[1]))
        images[name] = np.pad(flat[:count], blank, constant_values=np.nan).reshape(-1, *shape)
    height, width = (0.9 * side / max(shape) for side in shape)
    figure = plots.new_figure(max(3.0, count * width + 1.0), len(rows) * height + 0.5)
    plots.heading(plots.gallery(figure.subplots(), images, limits=limits), title)
    plots.save(figure, path)
