"""The retrieval experiment: how many stored images come back when their lower half is missing.

After the experiments of Santos et al. 2024, "Hopfield-Fenchel-Young networks": images in [-1, 1],
the lower half set to 0, a few updates, and success where the cosine with the original is above 0.9.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from rich.console import Console

from hopcore import datasets
from hopcore.datasets._sources import files_in
from hopcore.experiments.batched_retrieval import SUCCESS, cosine, nearest, run_job
from hopcore.experiments.manifest import command_line, manifest_path, write_manifest
from hopcore.experiments.options import (
    METHOD,
    OUTPUT,
    SIMILARITIES,
    AsJson,
    Backend,
    Corruption,
    Data,
    Dataset,
    Device,
    Markdown,
    Memories,
    Similarities,
    Sizes,
    option,
    show_json,
    tracked,
)
from hopcore.experiments.outputs import check_outputs, say_nothing_written, say_written
from hopcore.experiments.parsing import integers, names, numbers, separation_named
from hopcore.experiments.study import write_text
from hopcore.experiments.tables import SUCCESS_NOTES, Summary, grouped, in_percent
from hopcore.files._csv import csv_of
from hopcore.memory import Similarity


class Trial(NamedTuple):
    """One memory, one setting: shares of its patterns.

    ``success`` is the share with a cosine above 0.9, ``same`` the share whose nearest stored
    pattern is the original itself, ``at_start`` the share of queries that were above 0.9 already.
    """

    separation: str
    similarity: Similarity
    beta: float
    stored: int
    max_steps: int
    seed: int
    success: float
    same: float
    at_start: float


class Setting(NamedTuple):
    """Means over the seeds, the standard deviation of a trial's success, and the worst trial."""

    separation: str
    similarity: Similarity
    beta: float
    stored: int
    max_steps: int
    seeds: int
    success: float
    deviation: float
    worst: float
    same: float


def run_trials(
    images: datasets.Images,
    *,
    stored: Sequence[int],
    betas: Sequence[float],
    separations: Sequence[str],
    similarities: Sequence[Similarity] = ("dot",),
    max_steps: Sequence[int] = (5,),
    seeds: int = 10,
    corruption: str = "half",
    backend: str = "numpy",
    device: str | None = None,
) -> Iterable[Trial]:
    """Every combination, seed by seed; a seed draws one memory of each size.

    Parameters
    ----------
    images : Images
        Where the stored patterns are drawn from, without replacement.
    stored : sequence of int
        Sizes of the memory.
    betas : sequence of float
        Inverse temperatures.
    separations : sequence of str
        As on the command line: ``"softmax"``, ``"sparsemax"``, ``"entmax:1.5"``.
    similarities : sequence of str
        As in :func:`hopcore.retrieve`.
    max_steps : sequence of int
        Updates made: exactly so many, unless a query comes exactly to rest.
    seeds : int
        Memories of each size, from the seeds 0, 1, ...
    corruption : str
        As in :func:`hopcore.datasets.corrupt`.
    backend, device : str
        As in :func:`hopcore.experiments.batched_retrieval.run_job`.

    Yields
    ------
    Trial

    Raises
    ------
    ValueError
        A memory larger than the data set; a name that is not known; beta not positive.
    """
    functions = {name: separation_named(name) for name in separations}
    for seed, size in product(range(seeds), stored):
        rng = np.random.default_rng(seed)
        memory = datasets.choose(images, size, rng)
        original = memory.pixels.astype(np.float32)
        queries = datasets.corrupt(memory, corruption, rng).astype(np.float32)
        at_start = float(np.mean(cosine(queries, original) > SUCCESS))
        for similarity, beta, steps, name in product(similarities, betas, max_steps, separations):
            state = run_job(
                queries,
                original,
                beta,
                separation=functions[name],
                similarity=similarity,
                max_steps=steps,
                tol=0.0,
                backend=backend,
                device=device,
            ).found.state
            success = float(np.mean(cosine(state, original) > SUCCESS))
            same = float(np.mean(nearest(state, original) == np.arange(size)))
            yield Trial(name, similarity, beta, size, steps, seed, success, same, at_start)


def summary(trials: Iterable[Trial]) -> list[Setting]:
    """One line for each setting, in the order in which they came."""
    lines = []
    for setting, group in grouped(trials, lambda trial: trial[:5]).items():
        success = np.asarray([trial.success for trial in group])
        deviation = float(np.std(success, ddof=1)) if len(group) > 1 else 0.0
        same = float(np.mean([trial.same for trial in group]))
        level = float(success.mean()), deviation, float(success.min()), same
        lines.append(Setting(*setting, len(group), *level))
    return lines


def to_csv(trials: Iterable[Trial]) -> str:
    """Return every trial as comma-separated values, with all digits and a header."""
    return csv_of(Trial._fields, trials, digits=None)


def to_markdown(settings: Iterable[Setting]) -> str:
    """Return the summary as a table."""
    head = "beta", "stored", "updates", "separation", "similarity"
    head += "retrieved", "deviation", "worst"
    lines = [
        f"| {' | '.join(head)} | same pattern |",
        "|---:|---:|---:|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {s.beta:g} | {s.stored} | {s.max_steps} | {s.separation} | {s.similarity} "
        f"| {in_percent(s.success)} | {in_percent(s.deviation)} | {in_percent(s.worst)} "
        f"| {in_percent(s.same)} |"
        for s in settings
    ]
    return "\n".join(lines) + "\n"


def table(title: str, settings: Iterable[Setting]) -> Summary:
    """Return the summary for a terminal."""
    rows = [
        [s.separation, s.similarity, f"{s.beta:g}", str(s.stored), str(s.max_steps)]
        + [in_percent(share) for share in (s.success, s.deviation, s.worst, s.same)]
        for s in settings
    ]
    right = ["beta", "stored", "steps", "cos > 0.9", "±", "worst", "same"]
    return Summary(["separation", "similarity"], right, rows, title, SUCCESS_NOTES)


def command(
    dataset: Dataset = "mnist",
    data: Data = None,
    stored: Sizes = "128,256,512,1024",
    beta: Annotated[str, option(METHOD, "Inverse temperatures.")] = "1,0.1",
    separation: Annotated[
        str,
        option(
            METHOD,
            "Separation functions, each softmax, sparsemax, entmax:ALPHA, normmax:ALPHA or "
            "k-subsets:K.",
        ),
    ] = "softmax,entmax:1.5,sparsemax",
    similarity: Similarities = "dot",
    max_steps: Annotated[str, option(METHOD, "Numbers of updates of a query.")] = "5",
    seeds: Memories = 10,
    corruption: Corruption = "half",
    backend: Backend = "numpy",
    device: Device = None,
    csv: Annotated[Path | None, option(OUTPUT, "A table of every trial: .csv.")] = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Measure how many stored images are retrieved from their upper half.

    The share depends on beta, the size of the memory and the separation function. Separate the
    values of a list by commas.
    """
    given = dict(locals())
    beside = None if csv is None else manifest_path(csv)
    writes = {"--csv": csv, "--csv (manifest)": beside, "--markdown": markdown}
    check_outputs(writes, files_in(data))
    begun = time.perf_counter()
    images = datasets.load(dataset, data)
    grid = {
        "stored": integers(stored, "stored"),
        "betas": numbers(beta, "beta"),
        "separations": separation.split(","),
        "similarities": names(similarity, SIMILARITIES, "similarity"),
        "max_steps": integers(max_steps, "max-steps"),
    }
    count = seeds * math.prod(len(values) for values in grid.values())
    run = run_trials(
        images, seeds=seeds, corruption=corruption, backend=backend, device=device, **grid
    )
    trials = list(tracked(run, count))
    settings = summary(trials)
    seconds = time.perf_counter() - begun
    write_text(csv, to_csv(trials))
    write_text(markdown, to_markdown(settings))
    if csv is not None:
        line = command_line("retrieval", command, given)
        write_manifest(csv, line, seconds, beside=writes)
    if as_json:
        show_json({"dataset": dataset, "settings": [setting._asdict() for setting in settings]})
    else:
        title = f"{len(images.pixels)} images of {dataset}, {corruption}, {seeds} memories each"
        Console().print(table(title, settings).terminal())
        if csv is not None:
            say_written(csv, "every trial")
            say_written(manifest_path(csv), "how they were made")
        if markdown is not None:
            say_written(markdown, "the summary")
        if csv is None and markdown is None:
            say_nothing_written("--csv FILE.csv", "--markdown FILE.md")
