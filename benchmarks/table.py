"""Results as a plain text table and as the page docs/benchmarks.md."""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.rows import ROWS

COLUMNS = (
    "case", "ours", "ms", "peer ms", "wall", "cpu", "MiB", "peer MiB", "apart", "figure", "target", "met",
)  # fmt: skip
PACKAGES = ("hopcore", "numpy", "torch", "jax", "difflayers", "entmax")


def cells(result: dict[str, Any]) -> dict[str, str]:
    """One result, ready to print."""
    ours, peer = result["ours"], result["peer"] or {}
    failed = ours["failed"] or peer.get("failed", "")
    met = {True: "met", False: "missed", None: "failed" if failed else ""}[result["met"]]
    return {
        "case": " ".join(filter(None, (result["case"], ours["note"] and f"({ours['note']})"))),
        "ours": ours["side"],
        "ms": milliseconds(ours["wall"]),
        "peer ms": milliseconds(peer.get("wall")),
        "wall": number(result["wall_ratio"], ".3g"),
        "cpu": number(result["cpu_ratio"], ".3g"),
        "MiB": mebibytes(ours["scratch"]),
        "peer MiB": mebibytes(peer.get("scratch")),
        "apart": number(result["apart"], ".0e"),
        "figure": failed or result["figure"],
        "target": result["target"],
        "met": met,
    }


def number(value: float | None, form: str) -> str:
    return "" if value is None or math.isnan(value) else format(value, form)


def milliseconds(seconds: float | None) -> str:
    return number(None if seconds is None else 1e3 * seconds, ".3g")


def mebibytes(size: int | None) -> str:
    return number(None if size is None else size / 2**20, ".1f")


def text(results: list[dict[str, Any]]) -> str:
    """The results of one row as an aligned table under its name."""
    rows = [dict(zip(COLUMNS, COLUMNS, strict=True)), *map(cells, results)]
    shown = [name for name in COLUMNS if name == "met" or any(row[name] for row in rows[1:])]
    width = {name: max(len(row[name]) for row in rows) for name in shown}
    left = ("case", "ours", "figure", "target", "met")
    return "\n".join(
        "  ".join(
            row[name].ljust(width[name]) if name in left else row[name].rjust(width[name])
            for name in shown
        ).rstrip()
        for row in rows
    )


def heading(name: str) -> str:
    """A row's name, what it compares, and with whom."""
    row = ROWS[name]
    peer = f"; peer: {row.peer}" if row.peer else ""
    return f"{name}: {row.about}{peer}"


def machine() -> dict[str, Any]:
    """What ran: the class of machine, not which one, and the versions of the packages."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": platform.machine() + vector_unit(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def vector_unit() -> str:
    """The widest vectors the processor has, where Linux tells."""
    try:
        with open("/proc/cpuinfo") as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:
        return ""
    return next((f" {name}" for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")


def markdown(record: dict[str, Any]) -> str:
    """The page docs/benchmarks.md of a record written with ``--json``."""
    about = record["machine"]
    packages = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    lines = [
        "# Benchmarks",
        "",
        "Speed and memory beside the limit or the peer, measured in one run:",
        "",
        "```",
        "python -m benchmarks --json benchmarks/results.json",
        "python -m benchmarks --markdown benchmarks/results.json > docs/benchmarks.md",
        "```",
        "",
        f"This run: {about['cores']} cores, {about['processor']}, {about['system']}, "
        f"Python {about['python']}; {packages}.",
        "",
        "Each side runs in a process of its own and the sides take turns. *ms* are medians; *wall* and *cpu* "
        "are medians of the ratio of our time to the peer's, on the clock and summed over threads. *MiB* is "
        "what a call adds to resident memory at its peak, its result included (in JAX: the temporary memory "
        "that its compiler states). *apart* is the largest difference between the two results, relative. "
        "A case reads batch x L x S x d. Speed depends on the machine; ratios less so.",
        "",
    ]
    by_row: dict[str, list[dict[str, Any]]] = {}
    for result in record["results"]:
        by_row.setdefault(result["row"], []).append(result)
    for name, results in by_row.items():
        rows = list(map(cells, results))
        shown = [c for c in COLUMNS if c == "met" or c != "target" and any(row[c] for row in rows)]
        row = ROWS[name]
        lines += [
            f"## {name}",
            "",
            f"{row.about[0].upper()}{row.about[1:]}. "
            + (f"Peer: {row.peer}. " if row.peer else "")
            + f"Target: {row.target}.",
            "",
            "| " + " | ".join(shown) + " |",
            "|" + "---|" * len(shown),
            *("| " + " | ".join(row[c] for c in shown) + " |" for row in rows),
            "",
        ]
    return "\n".join(lines)
