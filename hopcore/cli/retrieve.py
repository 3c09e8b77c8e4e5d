"""The command ``hopcore retrieve``: patterns of one's own from files, or of a data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from hopcore import plots
from hopcore.cli.cluster import cluster
from hopcore.datasets._sources import files_in
from hopcore.experiments.batched_retrieval import SUCCESS, Outcome, cosine, nearest, run_job
from hopcore.experiments.data.inputs import files_given
from hopcore.experiments.data.patterns import Memory, from_dataset, from_files
from hopcore.experiments.notes import noted
from hopcore.experiments.options import (
    COMPUTING,
    INPUT,
    METHOD,
    OUTPUT,
    AsJson,
    Backend,
    Corruption,
    Data,
    Device,
    Seed,
    option,
    show_json,
    tracked,
    untracked,
)
from hopcore.experiments.outputs import (
    check_outputs,
    say_nothing_written,
    say_written,
    write_results,
)
from hopcore.experiments.parsing import number, separation_named, similarity_named
from hopcore.experiments.tables import in_percent
from hopcore.memory._scores import Similarity
from hopcore.memory._separation import SeparationFunction
from hopcore.phase._suggest import suggest_beta
from hopcore.streamed._sources import file_of
from hopcore.streamed._streamed import Streamed

COLUMNS = 12
"""Images in a row of a picture, at most."""

SHARES = {"converged", "success", "same"}
"""Facts that are shares of the queries, and printed in percent."""


class Chosen(NamedTuple):
    """The inverse temperature of a retrieval, who chose it and why, and notes on the patterns."""

    beta: float
    reason: str
    notes: list[str]


def retrieve(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="The stored patterns and the queries, instead of --patterns and --queries.",
            metavar="PATTERNS QUERIES",
            show_default=False,
        ),
    ] = None,
    patterns: Annotated[
        Path | None,
        option(
            INPUT, "The stored patterns, (S, d) or images (S, h, w): a .npy or .csv file, a folder "
            "of PNG or JPEG images, FILE.h5:NAME or a folder of Zarr. Files .npy, HDF5 and Zarr of "
            "more than 256 MiB are read in pieces, once for each update.",
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        option(
            INPUT, "The queries, (L, d) or images (L, h, w), in the same formats. A value of nan "
            "is not known, and is recalled from the others.",
        ),
    ] = None,
    known: Annotated[
        Path | None,
        option(
            INPUT, "Which values of the queries are known: booleans, or 0 and 1, of the shape of "
            "the queries or of one of them. The others are recalled.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        option(
            INPUT, "Instead of files: store images of digits or mnist, and query with corrupted "
            "copies of them.",
        ),
    ] = None,
    data: Data = None,
    stored: Annotated[int, option(INPUT, "The number of images of the data set to store.")] = 256,
    dtype: Annotated[
        str | None,
        option(INPUT, "Convert patterns and queries to float16, float32 or float64."),
    ] = None,
    corruption: Corruption = "half",
    seed: Seed = 0,
    beta: Annotated[
        str,
        option(
            METHOD, "The inverse temperature: a number, or auto, which chooses it from the "
            "patterns (but not from files that are read in pieces).",
        ),
    ] = "auto",
    separation: Annotated[
        str,
        option(
            METHOD, "The separation function: softmax, sparsemax, entmax:ALPHA, normmax:ALPHA or "
            "k-subsets:K.",
        ),
    ] = "softmax",
    similarity: Annotated[
        str | None,
        option(
            METHOD, "How queries are compared with patterns: dot (product), distance, or auto, "
            "which chooses distance where dot products cannot retrieve all patterns. Default: dot, "
            "and distance where values of the queries are not known.",
        ),
    ] = None,
    max_steps: Annotated[
        int, option(METHOD, "The largest number of updates of a query.")
    ] = 100,
    tol: Annotated[
        float,
        option(
            METHOD, "A query has converged when an update moves it by at most this number times "
            "the largest norm of a stored pattern.",
        ),
    ] = 1e-6,
    backend: Backend = "numpy",
    device: Device = None,
    workers: Annotated[
        int | None,
        option(
            COMPUTING, "Start this number of processes, each of which processes a part of the "
            "patterns.", min=1,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        option(COMPUTING, "Use the workers of a running Dask scheduler, tcp://HOST:PORT, instead."),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            OUTPUT, "The results: .npz and .json contain state, steps, converged, residual and "
            "energy; .csv has one line for each query; .npy contains only the states.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        option(OUTPUT, "A picture of the first queries and their results: .png, .pdf or .svg."),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Retrieve stored patterns from queries: your own files, or corrupted images."""
    given = files_given(files, {"--patterns": patterns, "--queries": queries})
    patterns, queries = given["--patterns"], given["--queries"]
    inputs = {**given, "--known": known}
    read = {name: None if path is None else file_of(path) for name, path in inputs.items()}
    check_outputs({"--out": out, "--plot": plot}, {**read, **files_in(data)})
    if plot is not None:
        plots.new_figure(1.0, 1.0)  # without matplotlib this fails now, not after the work
    function = separation_named(separation)
    wanted = None if beta == "auto" else number(beta, "beta")
    spread = workers is not None or bool(scheduler)
    check_sources(patterns, queries, known, dataset, data, spread=spread)
    with cluster(workers, scheduler) as client:
        if patterns is None or queries is None:
            memory = from_dataset(str(dataset), data, stored, corruption, seed, dtype)
        else:
            memory = from_files(
                patterns, queries, dtype, known=known, track=tracked, dask=client is not None
            )
        if plot is not None and not len(memory.queries):
            raise ValueError("there is nothing to draw: no queries")
        streamed = isinstance(memory.stored, Streamed)
        compared, why_compared = chosen_similarity(similarity, memory)
        chosen = chosen_beta(wanted, memory.stored, function, compared)
        outcome = run_job(
            memory.queries, memory.stored, chosen.beta, separation=function, similarity=compared,
            known=memory.known, max_steps=max_steps, tol=tol, backend=backend, device=device,
            track=untracked if streamed else tracked,
        )  # fmt: skip
    written: dict[Path, str] = {}
    if out is not None:
        words = write_results(out, outcome.found._asdict())
        written[out] = f"{words} of {len(memory.queries):,} queries"
    if plot is not None:
        title = f"{separation}, similarity {compared}, beta = {chosen.beta:.3g}"
        count = draw_retrieved(memory, outcome.found.state, title, plot)
        written[plot] = f"a picture of the first {count} queries"
    facts = {
        "backend": backend,
        "separation": separation,
        "similarity": compared,
        "beta": chosen.beta,
        **facts_of(memory, outcome),
    }
    if as_json:
        why = {
            "similarity_reason": why_compared,
            "beta_reason": chosen.reason,
            "notes": chosen.notes,
        }
        show_json(facts | why | {"written": [str(path) for path in written]})
    else:
        console = Console()
        console.print(fact_table("Retrieval", facts))
        said = [f"Note: {note}." for note in chosen.notes]
        if wanted is None:
            said.insert(0, f"beta = {chosen.beta:.4g} was chosen by {chosen.reason}.")
        for line in [*sentence_on_similarity(similarity, compared, why_compared), *said]:
            console.print(line, markup=False, highlight=False)
        for path, what in written.items():
            say_written(path, what)
        if not written:
            say_nothing_written("--out FILE.npz", "--plot FILE.png")


def sentence_on_similarity(wanted: str | None, chosen: Similarity, reason: str) -> list[str]:
    """Return a sentence on the similarity if it was chosen, and not given or the usual one."""
    if wanted == "auto" or (wanted is None and chosen == "distance"):
        return [f"similarity = {chosen} was chosen: {reason}."]
    return []


def chosen_similarity(wanted: str | None, memory: Memory) -> tuple[Similarity, str]:
    """Return the similarity that was given, or that the queries or the patterns need, and why."""
    if memory.known is not None:
        if wanted == "dot":
            raise ValueError(
                "--similarity dot compares all values, but some are not known; give distance"
            )
        if wanted in (None, "auto"):
            share = in_percent(float(np.mean(memory.known)))
            return "distance", f"{share} of the values of the queries are known"
    elif wanted is None:
        return "dot", "the default"
    elif wanted == "auto" and isinstance(memory.stored, Streamed):
        raise ValueError("--similarity auto needs all patterns in memory; give dot or distance")
    return similarity_named(str(wanted), memory.stored)


def chosen_beta(
    wanted: float | None, stored: Any, function: SeparationFunction, similarity: Similarity
) -> Chosen:
    """Return the inverse temperature that was given, or the one that the patterns suggest."""
    if wanted is not None:
        return Chosen(wanted, "given with --beta", [])
    if isinstance(stored, Streamed):
        raise ValueError("--beta auto needs all patterns in memory; give a number")
    notes: list[str] = []
    with noted(notes):
        found = suggest_beta(stored, separation=function, similarity=similarity)
    return Chosen(found.beta, f"suggest_beta, goal {found.goal}: {found.reason}", notes)


def check_sources(
    patterns: Path | None,
    queries: Path | None,
    known: Path | None,
    dataset: str | None,
    data: Path | None,
    *,
    spread: bool,
) -> None:
    """Refuse anything but files, both of them, or a data set, which is not spread over workers."""
    if dataset is None:
        if patterns is None or queries is None or data is not None:
            raise ValueError(
                "give --patterns and --queries, or --dataset (with --data for mnist); "
                "hopcore retrieve --help shows examples"
            )
    elif patterns is not None or queries is not None:
        raise ValueError("--dataset makes its own queries; leave out --patterns and --queries")
    elif known is not None:
        raise ValueError("--known is for --queries, not for a --dataset")
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
        table.add_row(name.replace("_", " "), shown(name, value))
    return table


def shown(name: str, value: object) -> str:
    """Return a fact as text."""
    if isinstance(value, float):
        return in_percent(value) if name in SHARES else f"{value:.4g}"
    return "-" if value is None else str(value)


def draw_retrieved(memory: Memory, state: np.ndarray, title: str, path: Path) -> int:
    """Draw the first queries and what was retrieved, on one scale of grey; return their number."""
    rows = {"query": memory.queries, "retrieved": state}
    if memory.original is not None:
        rows = {"original": memory.original, **rows}
    values = memory.queries if isinstance(memory.stored, Streamed) else memory.stored
    shape, count = memory.shape, min(COLUMNS, len(state))
    size = shape[0] * shape[1]
    images = {}
    for name, flat in rows.items():
        blank = ((0, 0), (0, size - flat.shape[1]))
        images[name] = np.pad(flat[:count], blank, constant_values=np.nan).reshape(-1, *shape)
    height, width = (0.9 * side / max(shape) for side in shape)
    figure = plots.new_figure(max(3.0, count * width + 1.0), len(rows) * height + 0.5)
    limits = float(np.nanmin(values)), float(np.nanmax(values))
    plots.heading(plots.gallery(images, limits=limits, ax=figure.subplots()), title)
    plots.save(figure, path)
    return count
