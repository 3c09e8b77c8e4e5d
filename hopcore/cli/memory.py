"""``hopcore memory``: a memory in a file, to which patterns are added and which is asked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from hopcore.cli.retrieval_facts import fact_table
from hopcore.cli.retrieve import retrieve
from hopcore.experiments.data.inputs import read_patterns
from hopcore.experiments.examples import examples
from hopcore.experiments.options import INPUT, METHOD, OUTPUT, AsJson, Seed, option, show_json
from hopcore.experiments.outputs import check_outputs, say_written
from hopcore.experiments.parsing import number, separation_named
from hopcore.files._plain import read_text
from hopcore.prepared._file import separation_name
from hopcore.prepared._memory import Memory
from hopcore.streamed._sources import file_of

File = Annotated[Path, typer.Argument(help="The file of the memory.", metavar="FILE")]
Patterns = Annotated[
    Path,
    typer.Argument(
        help="The patterns: a .npy or .csv file, an image or a folder of images, FILE.h5:NAME or "
        "a folder of Zarr.",
        metavar="PATTERNS",
    ),
]
Values = Annotated[
    Path | None,
    option(INPUT, "What is associated with the patterns, a row for each, in the same formats."),
]
KeysFile = Annotated[
    Path | None,
    option(INPUT, "A text file with the name of a pattern on each line; default: numbers."),
]
Dtype = Annotated[str | None, option(INPUT, "Convert patterns and queries to float32 or float64.")]

memory = typer.Typer(
    help="Make a memory in a file, add and remove patterns, and ask it.",
    epilog=examples("memory build words.memory patterns.npy", "memory query words.memory q.npy"),
    no_args_is_help=True,
    add_completion=False,
)


@memory.command("build", epilog=examples("memory build words.memory patterns.npy --error 1e-6"))
def build(
    file: File,
    patterns: Patterns,
    values: Values = None,
    keys: KeysFile = None,
    dtype: Dtype = None,
    similarity: Annotated[
        str, option(METHOD, "How queries are compared with patterns: distance or dot (product).")
    ] = "distance",
    separation: Annotated[
        str, option(METHOD, "The separation function: softmax, sparsemax, entmax:ALPHA, ...")
    ] = "softmax",
    beta: Annotated[
        str, option(METHOD, "The inverse temperature: a number, or auto, from the patterns.")
    ] = "auto",
    error: Annotated[
        float,
        option(METHOD, "How far an answer may be off because patterns are left out; 0: not."),
    ] = 0.0,
) -> None:
    """Make a memory of patterns, and write it to a file."""
    check_outputs({"FILE": file}, read_by({"PATTERNS": patterns, "--values": values}))
    cold: Any = "auto" if beta == "auto" else number(beta, "beta")
    compared: Any = similarity
    with Console(stderr=True).status("reading and preparing the patterns"):
        made = Memory(
            rows_of(patterns, dtype),
            None if values is None else rows_of(values, dtype),
            keys=keys_of(keys),
            similarity=compared,
            separation=separation_named(separation),
            beta=cold,
            error=error,
        )
        made.save(file)
    say_written(file, f"a memory of {len(made):,} patterns, beta = {made.beta:.4g}")


@memory.command("add", epilog=examples("memory add words.memory more.npy --keys names.txt"))
def add(file: File, patterns: Patterns, values: Values = None, keys: KeysFile = None) -> None:
    """Add patterns to a memory."""
    check_outputs({}, read_by({"PATTERNS": patterns, "--values": values}))
    held = Memory.load(file)
    name = held.dtype.name
    own = None if values is None else rows_of(values, name)
    held.add(rows_of(patterns, name), own, keys=keys_of(keys))
    held.save(file)
    say_written(file, f"a memory of {len(held):,} patterns")


@memory.command("remove", epilog=examples("memory remove words.memory 3 apple"))
def remove(
    file: File,
    keys: Annotated[
        list[str], typer.Argument(help="The keys of the patterns to remove.", metavar="KEYS")
    ],
) -> None:
    """Remove patterns from a memory by their keys."""
    held = Memory.load(file)
    held.remove([key_in(held, key) for key in keys])
    held.save(file)
    say_written(file, f"a memory of {len(held):,} patterns")


@memory.command("calibrate", epilog=examples("memory calibrate words.memory --noise 0.1"))
def calibrate(
    file: File,
    queries: Annotated[
        Path | None, option(INPUT, "Queries that the memory should know, instead of --noise.")
    ] = None,
    noise: Annotated[
        float | None, option(INPUT, "The standard deviation of the noise of queries.")
    ] = None,
    false_alarms: Annotated[
        float, option(METHOD, "The largest share of known queries that are not accepted.")
    ] = 0.05,
    seed: Seed = 0,
) -> None:
    """Choose up to which distance from its patterns a memory accepts a query."""
    held = Memory.load(file)
    known = None if queries is None else rows_of(queries, held.dtype.name)
    found = held.calibrate(known, noise=noise, false_alarms=false_alarms, seed=seed)
    held.save(file)
    say_written(file, f"queries up to the distance {found.threshold:.4g} are accepted")


@memory.command("compact", epilog=examples("memory compact words.memory small.memory --m 100"))
def compact(
    file: File,
    smaller: Annotated[
        Path, typer.Argument(help="The file of the smaller memory.", metavar="SMALLER")
    ],
    m: Annotated[
        int | None, option(METHOD, "The number of clusters, each of which becomes a pattern.")
    ] = None,
    error: Annotated[
        float | None,
        option(METHOD, "Instead of --m: how far the associations of --queries may move at most."),
    ] = None,
    queries: Annotated[
        Path | None, option(INPUT, "Queries on which the error is measured, as patterns are read.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Write a smaller memory, whose patterns are means of clusters of patterns."""
    check_outputs({"SMALLER": smaller}, {"FILE": file, **read_by({"--queries": queries})})
    held = Memory.load(file)
    asked = None if queries is None else rows_of(queries, held.dtype.name)
    with Console(stderr=True).status("looking for clusters"):
        found = held.compact(m, error=error, queries=asked, seed=seed)
        found.memory.save(smaller)
    measured = asked is not None and len(asked) > 0
    sure = float(np.max(found.certificate)) if measured else math.inf
    facts = {
        "patterns": len(held),
        "clusters": len(found.memory),
        "largest error": float(np.max(found.error)) if measured else None,
        "certificate": sure if math.isfinite(sure) else None,
    }
    if as_json:
        show_json({**facts, "written": [str(smaller)]})
    else:
        Console().print(fact_table("Compacted", facts))
        say_written(smaller, f"a memory of {len(found.memory):,} patterns")


@memory.command("info", epilog=examples("memory info words.memory", "memory info f.memory --json"))
def info(file: File, as_json: AsJson = False) -> None:
    """Show what a memory holds."""
    held = Memory.load(file)
    known = held.calibration
    facts = {
        "patterns": len(held),
        "dimension": held.shape[1],
        "dtype": held.dtype.name,
        "values": held.values.shape[1] if held.snapshot().has_values else None,
        "similarity": held.similarity,
        "separation": separation_name(held.separation),
        "beta": held.beta,
        "error": held.error,
        "threshold": None if known is None else known.threshold,
        "false_alarms": None if known is None else known.false_alarms,
    }
    if as_json:
        show_json(facts)
    else:
        Console().print(fact_table("Memory", facts))


@memory.command("query", epilog=examples("memory query words.memory queries.npy --out found.csv"))
def query(
    context: typer.Context,
    file: File,
    queries: Annotated[
        Path, typer.Argument(help="The queries, in the formats of patterns.", metavar="QUERIES")
    ],
    beta: Annotated[
        float | None, option(METHOD, "The inverse temperature; default: that of the memory.")
    ] = None,
    out: Annotated[
        Path | None,
        option(
            OUTPUT, "The results, .npz, .json or .csv: state, steps, converged, residual, energy, "
            "index, key, certain, certificate if the memory has an error, and accepted if it is "
            "calibrated; .npy holds the states.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        option(OUTPUT, "A picture of the first queries and their results: .png, .pdf or .svg."),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Retrieve patterns from queries, with the keys of the patterns that were found.

    hopcore retrieve --memory FILE does the same, and has more options.
    """
    check_outputs({"--out": out, "--plot": plot}, {"FILE": file, **read_by({"QUERIES": queries})})
    cold = "auto" if beta is None else str(beta)
    retrieve(context, memory=file, queries=queries, beta=cold, out=out, plot=plot, as_json=as_json)


def read_by(paths: dict[str, Path | None]) -> dict[str, Path | None]:
    """Return the files that are read, by their options."""
    return {name: None if path is None else file_of(path) for name, path in paths.items()}


def rows_of(path: Path, dtype: str | None) -> np.ndarray:
    """Return the patterns of a file, ``(n, d)``; images become rows."""
    found = read_patterns(path)
    flat = found.reshape(len(found), -1) if found.ndim > 2 else found
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"--dtype must be float32 or float64, got {dtype}")
    return flat if dtype is None else flat.astype(dtype)


def keys_of(path: Path | None) -> list[str] | None:
    """Return the lines of a file of keys."""
    return None if path is None else read_text(path).splitlines()


def key_in(held: Memory, text: str) -> str | int:
    """Return the key that is meant by a word of the command line."""
    digits = text.removeprefix("-")
    key = int(text) if text not in held and digits.isdecimal() else text
    if key not in held:
        raise ValueError(f"the memory has no key {key!r}")
    return key
