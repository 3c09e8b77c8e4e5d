"""The command ``hopcore retrieve``: patterns of one's own from files, or of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hopcore import plots
from hopcore.cli.cluster import cluster
from hopcore.cli.retrieval_facts import (
    answers_of,
    draw_retrieved,
    fact_table,
    facts_of,
    results_of,
    say_answers,
)
from hopcore.cli.retrieval_method import (
    check_sources,
    check_with_memory,
    files_of,
    method_for,
    sentences_on,
    wanted_by,
)
from hopcore.datasets._sources import files_in
from hopcore.experiments.batched_retrieval import Outcome, run_job
from hopcore.experiments.data.patterns import Memory, from_dataset, from_files, from_memory
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
from hopcore.prepared._file import separation_name
from hopcore.prepared._memory import Memory as Prepared
from hopcore.streamed._sources import file_of
from hopcore.streamed._streamed import Streamed

REASONS = "similarity_reason", "beta_reason", "notes"
"""The fields of a method that are printed with ``--json``, beside the facts."""


def retrieve(
    context: typer.Context,
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
    memory: Annotated[
        Path | None,
        option(
            INPUT, "A memory in a file, which hopcore memory build makes, in place of the stored "
            "patterns. Its beta, its similarity and its separation function are used, and the "
            "results name the key of the pattern that was found.",
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
            "patterns (but not from files that are read in pieces), or takes that of the memory.",
        ),
    ] = "auto",
    separation: Annotated[
        str | None,
        option(
            METHOD, "The separation function: softmax, sparsemax, entmax:ALPHA, normmax:ALPHA or "
            "k-subsets:K. Default: that of the memory, or softmax.",
        ),
    ] = None,
    similarity: Annotated[
        str | None,
        option(
            METHOD, "How queries are compared with patterns: dot (product), distance, or auto, "
            "which chooses distance where dot products cannot retrieve all patterns. Default: that "
            "of the memory, or dot, and distance where values of the queries are not known.",
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
            "energy, and with --memory index, key, certain, certificate and accepted; .csv has one "
            "line for each query; .npy contains only the states.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        option(OUTPUT, "A picture of the first queries and their results: .png, .pdf or .svg."),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Retrieve stored patterns from queries: your own files, or corrupted images."""
    given = files_of(files, memory, patterns, queries)
    patterns, queries = given["--patterns"], given["--queries"]
    inputs = {**given, "--known": known}
    read = {name: None if path is None else file_of(path) for name, path in inputs.items()}
    check_outputs({"--out": out, "--plot": plot}, {**read, **files_in(data)})
    if plot is not None:
        plots.new_figure(1.0, 1.0)  # without matplotlib this fails now, not after the work
    wanted = wanted_by(separation, similarity, beta)
    if memory is None:
        spread = workers is not None or bool(scheduler)
        check_sources(patterns, queries, known, dataset, data, spread=spread)
    else:
        check_with_memory(context)
    with cluster(workers, scheduler) as client:
        if memory is not None and queries is not None:
            asked = from_memory(memory, queries, known=known)
        elif patterns is None or queries is None:
            asked = from_dataset(str(dataset), data, stored, corruption, seed, dtype)
        else:
            asked = from_files(
                patterns, queries, dtype, known=known, track=tracked, dask=client is not None
            )
        if plot is not None and not len(asked.queries):
            raise ValueError("there is nothing to draw: no queries")
        method = method_for(asked, wanted)
        outcome = run_job(
            asked.queries, asked.stored, method.beta, separation=method.separation,
            similarity=method.similarity, known=asked.known, max_steps=max_steps, tol=tol,
            backend=backend, device=device,
            track=untracked if isinstance(asked.stored, Streamed) else tracked,
        )  # fmt: skip
    facts = {
        "backend": backend,
        "separation": separation or separation_name(method.separation),
        "similarity": method.similarity,
        "beta": method.beta,
        **facts_of(asked, outcome),
    }
    written = write(asked, outcome, facts, out, plot)
    answers = answers_of(asked, outcome)
    if as_json:
        why = {name: getattr(method, name) for name in REASONS}
        show_json({**facts, **why, **answers, "written": [str(path) for path in written]})
        return
    say_answers(answers)
    console = Console()
    console.print(fact_table("Retrieval", facts))
    for line in sentences_on(method, wanted, prepared=isinstance(asked.stored, Prepared)):
        console.print(line, markup=False, highlight=False)
    for path, what in written.items():
        say_written(path, what)
    if not written:
        say_nothing_written("--out FILE.npz", "--plot FILE.png")


def write(
    asked: Memory, outcome: Outcome, facts: dict[str, Any], out: Path | None, plot: Path | None
) -> dict[Path, str]:
    """Write the results and the picture of a retrieval; return what is in each file."""
    written: dict[Path, str] = {}
    if out is not None:
        words = write_results(out, results_of(asked, outcome))
        written[out] = f"{words} of {len(asked.queries):,} queries"
    if plot is not None:
        title = "{separation}, similarity {similarity}, beta = {beta:.3g}".format_map(facts)
        count = draw_retrieved(asked, outcome.found.state, title, plot)
        written[plot] = f"a picture of the first {count} queries"
    return written
