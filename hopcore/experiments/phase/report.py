"""How the study of a memory is shown: tables, JSON, CSV, and which beta to take in one sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

import hopcore
from hopcore.experiments.phase.analysis import QUANTILES, Study, quantiles
from hopcore.experiments.tables import in_percent, new_table
from hopcore.files._csv import csv_of
from hopcore.phase._sweep import Branch

APART = 0.02
"""A heated and a cooled memory differ if such a share of the patterns is held by one only."""

PURPOSES = {
    "retrieve": "To retrieve patterns",
    "metastable": "For states that stand for several patterns each",
    "average": "For one average of all patterns",
}


def estimates(found: Study) -> dict[str, float]:
    """Theory's three inverse temperatures, were the patterns equally far from each other."""
    theory = hopcore.transition(len(found.norms))
    return {name: value / found.scale for name, value in theory._asdict().items()}


def hysteresis(sweep: hopcore.phase.Sweep) -> tuple[float, float, float] | None:
    """Between which betas a heated memory holds more than a cooled one, and by what share."""
    apart = sweep.heated.retrieved - sweep.cooled.retrieved
    inside = sweep.betas[apart > APART]
    return (float(inside[0]), float(inside[-1]), float(apart.max())) if len(inside) else None


def held(found: Study, beta: float) -> float:
    """The share of the patterns that have appeared by an inverse temperature."""
    return float(np.mean(found.critical.appear <= beta))


def coexistence(found: Study) -> tuple[float, float]:
    """Where half of the patterns lie lower than the average, and the share that ever do."""
    levels = found.critical.coexist
    known = np.where(np.isnan(levels), math.inf, levels)
    return float(np.quantile(known, 0.5, method="inverted_cdf")), float(np.mean(known < math.inf))


def sentence(found: Study) -> str:
    """Which beta to take, and why."""
    goal = found.settings["goal"]
    one, answer = found.suggestions[goal], found.answers[goal]
    text = f"{PURPOSES[goal]}, take beta = {one.beta:.4g}: {one.reason}"
    if goal == "retrieve":
        text += (
            f". {in_percent(held(found, one.beta))} of the patterns are minima there, and "
            f"{in_percent(float(np.mean(answer.own)))} of {len(answer.own):,} noisy copies come "
            "back"
        )
    return f"{text}."


def facts(found: Study) -> dict[str, Any]:
    """Everything but the sweep and the states, as JSON knows it: null where there is no number."""
    values, critical = found.patterns.values, found.critical
    level, share = coexistence(found)
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
            "coexist": level,
            "coexist_share": share,
            "centroid": critical.centroid,
            "hysteresis": None if apart is None else list(apart),
        },
        "noise_of_queries": found.noise,
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


def to_csv(sweep: hopcore.phase.Sweep) -> str:
    """A line for each inverse temperature, the memory heated and cooled."""
    ways = {"heated": sweep.heated, "cooled": sweep.cooled}
    names = [f"{way}_{field}" for way in ways for field in Branch._fields]
    columns = [sweep.betas, *(column for branch in ways.values() for column in branch)]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return csv_of(["beta", *names], rows, digits=8)


# Tables.


def printed(found: Study) -> list[Table | str]:
    """The memory, where it changes, and which beta to take: tables and what explains them."""
    change, goals = "\n".join(remarks(found)), "\n".join(explained(found))
    why, chosen = found.settings["similarity_reason"], []
    if why is not None:
        chosen = [f"similarity = {found.settings['similarity']} was chosen: {why}.\n"]
    return [
        memory_table(found), *chosen, change_table(found), f"{change}\n", goal_table(found),
        f"{goals}\n", *(f"Note: {note}." for note in found.notes),
    ]  # fmt: skip


def memory_table(found: Study) -> Table:
    """What is stored."""
    values, norms = found.patterns.values, spread(found.norms)
    name = escape(found.patterns.name)
    table = Table(title=name, title_justify="left", title_style="bold", show_header=False)
    table.box, table.pad_edge = box.SIMPLE, False
    table.add_row("patterns", f"{len(values):,} of {values.shape[1]:,} values, {values.dtype}")
    table.add_row("norms", "{least:.4g} to {most:.4g}, mean {mean:.4g}".format(**norms))
    table.add_row("effective scale", f"{found.scale:.4g}, half the mean square distance")
    return table


def change_table(found: Study) -> Table:
    """Where it changes: as theory estimates it, as it was measured."""
    guess, critical = estimates(found), found.critical
    first, middle, last = quantiles(critical)
    level, _ = coexistence(found)
    table = new_table("Where it changes", ["from this beta on"], ["estimate", "measured"])
    rows = [
        ("patterns become minima: the first 5%", guess["saddle_node"], first),
        ("  half of them", math.nan, middle),
        ("  95%", math.nan, last),
        ("half of them lie lower than the average", guess["coexistence"], level),
        ("the average is no minimum any more", guess["spinodal"], critical.centroid),
    ]
    for name, *values in rows:
        table.add_row(name, *map(number, values))
    return table


def remarks(found: Study) -> list[str]:
    """What is to be said of where a memory changes."""
    count, critical = len(found.norms), found.critical
    never, (_, share) = float(np.mean(np.isinf(critical.appear))), coexistence(found)
    lines = ["estimate: were all patterns equally far apart"]
    if len(critical.appear) < count:
        lines.append(f"measured: {len(critical.appear):,} patterns were followed")
    if count == 2 and np.ptp(found.norms) < 1e-6 * found.norms.max():
        lines.append("two patterns part gradually, at one temperature")
    if never:
        covered = ", or covered by longer ones" if found.settings["similarity"] == "dot" else ""
        lines.append(f"{in_percent(never)} never become minima: copies{covered}")
    if share < 0.5 and count > 2:
        lines.append(
            f"{in_percent(share)} ever lie lower than the state that the average turns into by and "
            "by"
        )
    apart = hysteresis(found.sweep)
    if apart is not None:
        low, high, most = apart
        end = "on" if high == found.sweep.betas[-1] else f"to {high:.3g}"
        lines.append(
            f"from beta = {low:.3g} {end} the answer depends on the past: a memory that is heated "
            f"holds up to {in_percent(most)} more of the patterns than one that is cooled"
        )
    return lines


def goal_table(found: Study) -> Table:
    """What each goal asks for, the wanted one first."""
    table = new_table("Which beta to take", ["to", ""], ["beta", "minima", "come back"])
    table.add_column("why")
    goal = found.settings["goal"]
    for name in sorted(found.suggestions, key=lambda name: name != goal):
        one, answer = found.suggestions[name], found.answers[name]
        table.add_row(
            name, "<" if name == goal else "", number(one.beta),
            in_percent(held(found, one.beta)), in_percent(float(np.mean(answer.own))), one.reason,
            style="bold" if name == goal else None,
        )  # fmt: skip
    return table


def explained(found: Study) -> list[str]:
    """What the columns mean, and what the numbers are held to."""
    best = found.suggestions["retrieve"]
    distance = found.settings["similarity"] == "distance"
    name = "distance from the mean" if distance else "norm"
    most = farthest(found) if distance else float(found.norms.max())
    lines = [
        "minima: share of the patterns that are minima at this beta",
        f"come back: share of noisy copies (deviation {found.noise:.3g}) that go to their pattern",
        f"M, the largest {name}, is {number(most)}; with sparsemax retrieval is exact from "
        f"{number(1.0 / best.margin)} on",
    ]
    if found.settings["noise"] is not None:
        # Never more than 2 M, which is no news.
        says = (
            "nothing" if best.bound > 1.99 * most else f"an error of {number(best.bound)} at most"
        )
        lines.append(f"theorem 5 of Ramsauer et al. says {says} for noise of this size")
    return lines


def farthest(found: Study) -> float:
    """The largest distance of a pattern from the mean of all."""
    values = found.patterns.values.astype(np.float64)
    return float(np.linalg.norm(values - values.mean(axis=0), axis=-1).max())


def number(value: float) -> str:
    """A number as text; a dash where there is none."""
    return f"{value:.4g}" if math.isfinite(value) else "-"
