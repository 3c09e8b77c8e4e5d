"""How ``hopcore retrieve`` retrieves: what was given, what a memory has, or what patterns need."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import typer

from hopcore.experiments.data.inputs import files_given
from hopcore.experiments.data.patterns import Memory
from hopcore.experiments.notes import noted
from hopcore.experiments.parsing import number, separation_named, similarity_named
from hopcore.experiments.tables import in_percent
from hopcore.memory._scores import Similarity
from hopcore.memory._separation import SeparationFunction, get_separation
from hopcore.phase._suggest import suggest_beta
from hopcore.prepared._file import separation_name
from hopcore.prepared._memory import Memory as Prepared
from hopcore.streamed._streamed import Streamed

STORING = (
    "patterns", "dataset", "data", "stored", "dtype", "corruption", "seed", "workers", "scheduler",
)  # fmt: skip
"""Options about the stored patterns. They are refused with a prepared memory, which has its own."""


class Wanted(NamedTuple):
    """What the options ask for; None where they leave it to the patterns or to the memory."""

    separation: SeparationFunction | None
    similarity: str | None
    beta: float | None


class Method(NamedTuple):
    """How queries are compared with patterns, and why; notes on the patterns."""

    separation: SeparationFunction
    similarity: Similarity
    similarity_reason: str
    beta: float
    beta_reason: str
    notes: list[str]


def wanted_by(separation: str | None, similarity: str | None, beta: str) -> Wanted:
    """Return the choices of a command line; None stands for a choice that it does not make."""
    function = None if separation is None else separation_named(separation)
    return Wanted(function, similarity, None if beta == "auto" else number(beta, "beta"))


def method_for(memory: Memory, wanted: Wanted) -> Method:
    """Return how a memory is asked: as the options say, or as the patterns need it."""
    if isinstance(memory.stored, Prepared):
        return own_method(memory.stored, wanted, complete=memory.known is None)
    function = wanted.separation or get_separation("softmax")
    similarity, why = chosen_similarity(wanted.similarity, memory)
    if wanted.beta is not None:
        return Method(function, similarity, why, wanted.beta, "given with --beta", [])
    return Method(function, similarity, why, *suggested(memory.stored, function, similarity))


def own_method(held: Prepared, wanted: Wanted, *, complete: bool) -> Method:
    """Return the method of a prepared memory; raise if an option contradicts it."""
    options = ("separation", wanted.separation), ("similarity", wanted.similarity)
    for name, given in options:
        mine = getattr(held, name)
        if given is not None and given != mine:
            words = [separation_name(x) if name == "separation" else x for x in (given, mine)]
            raise ValueError(
                f"--{name} {words[0]} contradicts the memory, which has {words[1]}: leave it out"
            )
    if held.similarity == "dot" and not complete:
        raise ValueError(
            "the memory compares by dot products, which need all values, but some are not known; "
            "build one with --similarity distance"
        )
    why = "that of the memory"
    beta, reason = (held.beta, why) if wanted.beta is None else (wanted.beta, "given with --beta")
    return Method(held.separation, held.similarity, why, beta, reason, [])


def sentences_on(method: Method, wanted: Wanted, *, prepared: bool) -> list[str]:
    """Return sentences on what was chosen, and not given or the usual choice."""
    said = [f"Note: {note}." for note in method.notes]
    if wanted.beta is None:
        verb = "is" if prepared else "was chosen by"
        said.insert(0, f"beta = {method.beta:.4g} {verb} {method.beta_reason}.")
    unusual = wanted.similarity is None and method.similarity == "distance"
    if not prepared and (wanted.similarity == "auto" or unusual):
        said.insert(0, f"similarity = {method.similarity} was chosen: {method.similarity_reason}.")
    return said


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


def suggested(
    stored: Any, function: SeparationFunction, similarity: Similarity
) -> tuple[float, str, list[str]]:
    """Return the inverse temperature that the patterns suggest, the reason, and notes on them."""
    if isinstance(stored, Streamed):
        raise ValueError("--beta auto needs all patterns in memory; give a number")
    notes: list[str] = []
    with noted(notes):
        found = suggest_beta(stored, separation=function, similarity=similarity)
    return found.beta, f"suggest_beta, goal {found.goal}: {found.reason}", notes


def files_of(
    files: list[Path] | None, memory: Path | None, patterns: Path | None, queries: Path | None
) -> dict[str, Path | None]:
    """Return the files by their options; those without a name take the free places, in order."""
    if memory is None:
        return files_given(files, {"--patterns": patterns, "--queries": queries})
    count = len(files or []) + (queries is not None)
    if count != 1:
        raise ValueError(
            "--memory stands in place of the patterns: give one file more, that of the queries, "
            f"got {count}"
        )
    return {"--memory": memory, "--patterns": None, "--queries": queries or (files or [])[0]}


def check_with_memory(context: typer.Context) -> None:
    """Refuse options that say what is stored, or where, beside a memory."""
    for name in STORING:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ValueError(
                f"--{name} contradicts --memory, which holds its patterns: leave it out"
            )


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
