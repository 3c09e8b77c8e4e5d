"""What ``hopcore retrieve`` shows of a retrieval: facts, the answers of a memory, a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich import box
from rich.table import Table

from hopcore import plots
from hopcore.experiments.batched_retrieval import SUCCESS, Outcome, cosine, nearest
from hopcore.experiments.data.patterns import Memory
from hopcore.experiments.outputs import with_nulls
from hopcore.experiments.tables import in_percent
from hopcore.prepared._memory import Memory as Prepared
from hopcore.streamed._streamed import Streamed

COLUMNS = 12
"""Images in a row of a picture, at most."""

LISTED = 20
"""The queries whose answers are printed, at most."""

SHARES = {"converged", "success", "same", "accepted"}
"""Facts that are shares of the queries, and printed in percent."""


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
    if outcome.answers:
        facts["certain"] = mean(outcome.answers["certain"])
    if "certificate" in outcome.answers:
        facts["largest_certificate"] = finite(outcome.answers["certificate"].max(initial=0.0))
    if "accepted" in outcome.answers:
        facts["accepted"] = mean(outcome.answers["accepted"])
    if memory.original is not None:
        facts["success"] = mean(cosine(found.state, memory.original) > SUCCESS)
        facts["same"] = mean(nearest(found.state, memory.stored) == np.arange(len(memory.stored)))
    return facts


def results_of(memory: Memory, outcome: Outcome) -> dict[str, np.ndarray]:
    """Return the arrays of a retrieval by their names, with the keys where a memory has some."""
    results = {**outcome.found._asdict(), **outcome.answers}
    if isinstance(memory.stored, Prepared):
        keys = keys_of(memory.stored, outcome)
        numbers = all(isinstance(key, int) and abs(key) < 1 << 63 for key in keys)
        words = ["" if key is None else str(key) for key in keys]
        results["key"] = np.asarray(keys, np.int64) if numbers else np.asarray(words, np.str_)
    return results


def answers_of(memory: Memory, outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
    """Return what a prepared memory answers to each query, for JSON; nothing for plain patterns."""
    if not isinstance(memory.stored, Prepared):
        return {}
    columns = {name: with_nulls(values).tolist() for name, values in outcome.answers.items()}
    columns["key"] = keys_of(memory.stored, outcome)
    names = [name for name in ("key", "certain", "certificate", "accepted") if name in columns]
    rows = zip(*(columns[name] for name in names), strict=True)
    return {"answers": [dict(zip(names, row, strict=True)) for row in rows]}


def keys_of(held: Prepared, outcome: Outcome) -> list[Any]:
    """Return the key of the pattern that each query found, or None where there is no pattern."""
    names = held.keys
    return [None if i < 0 else names[i] for i in outcome.answers["index"].tolist()]


def say_answers(found: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print the answers of a memory to the first queries, a line for each."""
    answers = found.get("answers", [])
    for i, answer in enumerate(answers[:LISTED]):
        bound = answer.get("certificate")
        certified = "" if bound is None else f", certificate {bound:.2g}"
        refused = "" if answer.get("accepted", True) else " (not accepted)"
        typer.echo(f"query {i}: {answer['key']}{certified}{refused}")
    if len(answers) > LISTED:
        typer.echo(f"... and {len(answers) - LISTED:,} more")


def mean(values: np.ndarray) -> float | None:
    """The mean as a number that JSON knows; None where there is none."""
    return finite(np.mean(values, dtype=np.float64)) if values.size else None


def finite(value: float) -> float | None:
    """The number, or None for inf and nan, which JSON lacks."""
    return float(value) if math.isfinite(value) else None


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
    values = memory.stored
    if isinstance(values, Prepared):
        values = values.patterns if len(values) else memory.queries
    elif isinstance(values, Streamed):
        values = memory.queries
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
