"""How the study of a memory is shown: tables, JSON, CSV, and which beta to take in one sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

import hopcore
from hopcore.experiments.phase import QUANTILES, Study, quantiles
from hopcore.experiments.report import new_table
from hopcore.phase.sweeps import Branch
from hopcore.tables import csv_of

APART = 0.02
"""A heated and a cooled memory differ if such a share of the patterns is held by one only."""


def estimates(found: Study) -> dict[str, float]:
    """Theory's three inverse temperatures, were the patterns equally far from each other."""
    theory = hopcore.transition(len(found.norms))
    return {name: value / found.scale for name, value in theory._asdict().items()}


def hysteresis(sweep: hopcore.Sweep) -> tuple[float, float, float] | None:
    """Between which betas a heated memory holds more than a cooled one, and by what share."""
    apart = sweep.heated.retrieved - sweep.cooled.retrieved
    inside = sweep.betas[apart > APART]
    return (inside[0], inside[-1], apart.max()) if len(inside) else None


def held(found: Study, beta: float) -> float:
    """The share of the patterns that have appeared by an inverse temperature."""
    return float(np.mean(found.critical.appear <= beta))


def sentence(found: Study) -> str:
    """Which beta to take, and why."""
    goal = found.settings["goal"]
    one, answer = found.suggestions[goal], found.answers[goal]
    text = f"take beta = {one.beta:.4g}: {one.reason}"
    if goal == "retrieve":
        text += (
            f"; {held(found, one.beta):.1%} of the patterns are minima there, and "
            f"{np.mean(answer.own):.1%} of {len(answer.own)} noisy copies come back"
        )
    return text


def facts(found: Study) -> dict[str, Any]:
    """Everything but the sweep and the states, as JSON knows it: null where there is no number."""
    values, critical = found.patterns.values, found.critical
    several = np.isfinite(critical.coexist)
    apart = hysteresis(found.sweep)
    kept = {
        "patterns": found.patterns.name,
        "stored": len(values),
        "dimension": values.shape[1],
        "dtype": values.dtype.name,
        **found.settings,
        "beta": found.suggestions[found.settings["goal"]].beta,
        "why": sentence(found),
        "norms": spread(found.norms),
        "effective_scale": found.scale,
        "estimates": estimates(found),
        "measured": {
            "followed": len(critical.appear),
            "appear": {
                f"{share:g}": beta
                for share, beta in zip(QUANTILES, quantiles(critical), strict=True)
            },
            "never": float(np.mean(np.isinf(critical.appear))),
            "coexist": float(np.median(critical.coexist[several])) if several.any() else None,
            "coexist_share": float(np.mean(several)),
            "centroid": critical.centroid,
            "hysteresis": None if apart is None else list(apart),
        },
        "noise": found.noise,
        "suggestions": {
            goal: {
                **one._asdict(),
                "minima": held(found, one.beta),
                "success": float(np.mean(found.answers[goal].own)),
            }
            for goal, one in found.suggestions.items()
        },
        "notes": found.notes,
        "seconds": found.seconds,
    }
    return plain(kept)


def plain(value: Any) -> Any:
    """The same without what JSON lacks: nan and inf become None."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def spread(values: np.ndarray) -> dict[str, float]:
    """Least, mean and most."""
    return {
        name: float(way(values)) for name, way in
        (("least", np.min), ("mean", np.mean), ("most", np.max))
    }  # fmt: skip


def to_csv(sweep: hopcore.Sweep) -> str:
    """A line for each inverse temperature, the memory heated and cooled."""
    ways = {"heated": sweep.heated, "cooled": sweep.cooled}
    names = [f"{way}_{field}" for way in ways for field in Branch._fields]
    columns = [sweep.betas, *(column for branch in ways.values() for column in branch)]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return csv_of(["beta", *names], rows, digits=8)


# Tables.


def tables(found: Study) -> list[Table]:
    """The memory, where it changes, and which beta to take."""
    return [memory_table(found), change_table(found), goal_table(found)]


def memory_table(found: Study) -> Table:
    """What is stored."""
    values, norms = found.patterns.values, spread(found.norms)
    table = Table(title="The memory", title_justify="left", title_style="bold", show_header=False)
    table.box, table.pad_edge = box.SIMPLE, False
    table.add_row("patterns", f"{len(values):,} of {values.shape[1]:,} values, {values.dtype}")
    table.add_row("norms", "{least:.4g} to {most:.4g}, mean {mean:.4g}".format(**norms))
    table.add_row("effective scale", f"{found.scale:.4g}, half the mean square distance")
    return table


def change_table(found: Study) -> Table:
    """Where it changes: as theory estimates it, as it was measured."""
    guess, critical = estimates(found), found.critical
    first, middle, last = map(number, quantiles(critical))
    several = np.isfinite(critical.coexist)
    level = number(float(np.median(critical.coexist[several]))) if several.any() else "-"
    table = new_table("Where it changes", ["from this beta on"], ["estimate", "measured"])
    table.add_row("patterns become minima: the first 5 %", number(guess["saddle_node"]), first)
    table.add_row("  half of them", "", middle)
    table.add_row("  95 %", "", last)
    table.add_row("a pattern lies lower than the average", number(guess["coexistence"]), level)
    table.add_row("the average is no minimum", number(guess["spinodal"]), number(critical.centroid))
    lines = ["estimate: were all patterns equally far from each other"]
    if len(found.norms) == 2:
        lines.append("two patterns part at one temperature; there is nothing between")
    share, count = float(np.mean(np.isinf(critical.appear))), len(critical.appear)
    if share:
        lines.append(f"{share:.1%} of {count:,} patterns followed never become minima")
    if not several.all():
        lines.append(
            f"lower than the average: the median of the {several.mean():.1%} that ever are so"
        )
    apart = hysteresis(found.sweep)
    if apart is not None:
        lines.append(
            f"from {apart[0]:.3g} to {apart[1]:.3g} it depends on the past: heated, the memory "
            f"holds up to {apart[2]:.0%} of the patterns more than cooled"
        )
    table.caption = "\n".join(lines)
    return table


def goal_table(found: Study) -> Table:
    """What each goal asks for, the wanted one first."""
    table = new_table("Which beta to take", ["to", ""], ["beta", "minima", "come back"])
    table.add_column("why")
    goal = found.settings["goal"]
    for name in sorted(found.suggestions, key=lambda name: name != goal):
        one, answer = found.suggestions[name], found.answers[name]
        table.add_row(
            name, "<" if name == goal else "", number(one.beta), f"{held(found, one.beta):.1%}",
            f"{np.mean(answer.own):.1%}", one.reason, style="bold" if name == goal else None,
        )  # fmt: skip
    best = found.suggestions["retrieve"]
    table.caption = (
        "minima: share of the patterns that are minima at this beta\n"
        f"come back: share of noisy copies (deviation {found.noise:.3g}) that go to their pattern\n"
        f"retrieve: one update errs by {number(best.error)} at most, for noise of this size by "
        f"{number(best.bound)} (theorem 5)\n"
        f"with sparsemax retrieval is exact from beta = {number(1.0 / best.margin)} on"
    )
    return table


def number(value: float) -> str:
    """A number as text; a dash where there is none."""
    return f"{value:.4g}" if math.isfinite(value) else "-"
