"""Results as a plain text table and as a page of docs/benchmarks."""

from __future__ import annotations

import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.rows import ROWS

NUMBERS = (
    "ms",
    "peer ms",
    "wall",
    "cpu",
    "MiB",
    "peer MiB",
    "(L, S) MiB",
    "faults",
    "peer faults",
    "apart",
)
COLUMNS = ("case", "ours", *NUMBERS, "figure", "target", "met")
PACKAGES = ("hopcore", "numpy", "torch", "jax", "difflayers", "entmax")
PEERS = (
    "scipy",
    "scikit-learn",
    "pynndescent",
    "equinox",
    "faiss-cpu",
    "vector-quantize-pytorch",
)
"""Packages that a few rows compare with."""


def cells(result: dict[str, Any]) -> dict[str, str]:
    """One result, ready to print."""
    ours, peer = result["ours"], result["peer"] or {}
    failed = ours["failed"] or peer.get("failed", "")
    met = {True: "met", False: "missed", None: "failed" if failed else ""}[result["met"]]
    return {
        "case": " ".join(filter(None, (result["case"], ours["note"] and f"({ours['note']})"))),
        "ours": ours["side"].split()[0],
        "ms": milliseconds(ours["wall"]),
        "peer ms": milliseconds(peer.get("wall")),
        "wall": number(result["wall_ratio"], ".3g"),
        "cpu": number(result["cpu_ratio"], ".3g"),
        "MiB": mebibytes(ours["scratch"]),
        "peer MiB": mebibytes(peer.get("scratch")),
        "(L, S) MiB": mebibytes(result.get("pairs")),
        "faults": number(ours.get("faults"), ".0f"),
        "peer faults": number(peer.get("faults"), ".0f"),
        "apart": number(result["apart"], ".0e"),
        "figure": result["figure"],
        "target": result["target"],
        "met": met,
    }


def number(value: float | None, form: str) -> str:
    return "" if value is None or math.isnan(value) else format(value, form)


def milliseconds(seconds: float | None) -> str:
    """Three significant digits, and no exponent."""
    if seconds is None:
        return ""
    return f"{float(f'{1e3 * seconds:.3g}'):.10g}"


def duration(seconds: float) -> str:
    """Seconds from one second on, milliseconds below."""
    if seconds < 1.0:
        return f"{milliseconds(seconds)} ms"
    return f"{float(f'{seconds:.3g}'):.10g} s"


def mebibytes(size: int | None) -> str:
    return number(None if size is None else size / 2**20, ".1f")


def text(results: list[dict[str, Any]]) -> str:
    """The results of one row as an aligned table under its name."""
    rows = [dict(zip(COLUMNS, COLUMNS, strict=True)), *map(cells, results)]
    shown = [name for name in COLUMNS if name == "met" or any(row[name] for row in rows[1:])]
    width = {name: max(len(row[name]) for row in rows) for name in shown}
    lines = [
        "  ".join(
            row[name].rjust(width[name]) if name in NUMBERS else row[name].ljust(width[name])
            for name in shown
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines + failures(results))


def failures(results: list[dict[str, Any]]) -> list[str]:
    """Which sides failed and why, each reason once."""
    sides = [side for result in results for side in (result["ours"], result["peer"]) if side]
    return list(dict.fromkeys(f"{s['side']} failed: {s['failed']}" for s in sides if s["failed"]))


def heading(name: str) -> str:
    """A row's name, what it compares, and with whom."""
    row = ROWS[name]
    peer = f"; peer: {row.peer}" if row.peer else ""
    return f"{name}: {row.about}{peer}"


def machine() -> dict[str, Any]:
    """What ran: the class of machine, not which one, and the versions of the packages."""
    versions = {}
    for package in (*PACKAGES, *PEERS):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
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
    known = {"avx512f": " AVX-512", "avx2": " AVX2"}
    return next((name for flag, name in known.items() if flag in flags), "")


TITLES = {
    "kernels.md": "Benchmarks: kernels",
    "graphs.md": "Benchmarks: graphs and diffusion",
    "attention.md": "Benchmarks: attention",
    "layers.md": "Benchmarks: layers",
    "memories.md": "Benchmarks: memories and blocks",
    "phase.md": "Benchmarks: the transition",
    "memory-use.md": "Benchmarks: memory of dropout, biases and transforms",
    "users.md": "Benchmarks: what users would pick instead",
}
"""Of the pages that records which are kept become."""

PAGE = """\
# {title}

This page compares the time and memory of hopcore with those of a *peer*, which is another library
or code written by hand for the same task. The page is the output of

```sh
{command} --json benchmarks/results/{record}
python -m benchmarks --markdown benchmarks/results/{record} > docs/benchmarks/{page}
```

Cores used: {cores}; processor: {processor}; {system}; Python {python}; {packages}.

The two sides of a case run in separate processes and take turns. *ms* is the median time of a
call. *wall* and *cpu* are medians of the ratio of hopcore's time to the peer's time, as
wall-clock time and as CPU time summed over threads. *MiB* is the peak increase of resident memory
during a call, including the result (in JAX, the temporary memory that the compiler reports).
*apart* is the largest relative difference between the two results. The sizes of a case are batch
x L x S x d. Absolute times depend on the machine; the ratios depend on it less.
{more}"""

STEADY_RUNS = """
Each side is measured twice in a row in every round, and no ratio is printed where the medians of
the two differ by more than 5 %. The allocator keeps its pages; *faults* counts the pages that a
call is given nevertheless. *(L, S) MiB* is what the scores of all heads would take; beside it,
every array is mapped apart, so that gaps in the heap do not count.
"""


def markdown(record: dict[str, Any]) -> str:
    """The page of a record written with ``--json``."""
    about = dict(record["machine"])
    packages = ", ".join(f"{name} {value}" for name, value in about.pop("versions").items())
    by_row: dict[str, list[dict[str, Any]]] = {}
    for result in record["results"]:
        by_row.setdefault(result["row"], []).append(result)
    names = {"command": record["command"], "record": record["record"]}
    page = record["record"].replace(".json", ".md")
    title = TITLES.get(page, "Benchmarks")
    more = STEADY_RUNS if any(r["ours"].get("twice") is not None for r in record["results"]) else ""
    more += f"\nEach pair begins with {record['begins']}.\n" if "begins" in record else ""
    return "\n".join(
        [
            PAGE.format(title=title, page=page, packages=packages, more=more, **names, **about),
            grid([["row", "target", "met"], *(summary(*row) for row in by_row.items())]) + "\n",
            *(section(*row) for row in by_row.items()),
        ]
    )


def summary(name: str, results: list[dict[str, Any]]) -> list[str]:
    """One row of the benchmarks as one line: how many of its cases met the target."""
    judged = [result["met"] for result in results if result["met"] is not None]
    met = f"{sum(judged)} of {len(judged)}" if judged else ""
    return [f"[{name}](#{name})", results[0]["target"], met]


def section(name: str, results: list[dict[str, Any]]) -> str:
    """One row of the benchmarks as a section with a table."""
    row = ROWS[name]
    peer = f" Peer: {row.peer}." if row.peer else ""
    lines = list(map(cells, results))
    shown = [c for c in COLUMNS if c != "target" and (c == "met" or any(line[c] for line in lines))]
    text = [
        f"## {name}",
        f"{row.about[0].upper()}{row.about[1:]}.{peer} Target: {results[0]['target']}.",
        grid([shown, *([line[c] for c in shown] for line in lines)]),
        *failures(results),
    ]
    return "\n\n".join(text) + "\n"


def grid(lines: list[list[str]]) -> str:
    """A table in Markdown; its first line is the heading."""
    head, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *body))
