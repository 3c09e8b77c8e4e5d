"""Memories larger than one device: what ``python -m benchmarks scale`` measures, and its page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.scale_model import Device, Network, Work, update
from benchmarks.scale_processes import PATIENCE, in_processes
from benchmarks.table import grid, machine

Table = dict[str, Any]
"""``title``, ``about``, ``columns`` and ``lines``, the values of the columns in their order."""

TORCH, JAX = (1, 2, 4), (1, 2, 4, 8)
"""How many workers."""


def alone(module: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What ``python -m benchmarks.MODULE ...`` prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
    )
    return json.loads(done.stdout)


def run(*, quick: bool) -> dict[str, Any]:
    """Measure everything; the record of the page."""
    size = "quick" if quick else "full"
    rates = alone("scale_rates")
    torch = {n: in_processes("benchmarks.scale_torch", n, size) for n in TORCH}
    jax = {
        n: alone("scale_jax", size, XLA_FLAGS=f"--xla_force_host_platform_device_count={n}")
        for n in JAX
    }
    streamed = alone("scale_streamed", "100000" if quick else "10000000")
    record: dict[str, Any] = {"command": f"python -m benchmarks scale{' --quick' * quick}"}
    record |= {"record": "scale.json", "machine": machine(), "rates": rates}
    tables = (
        agreement(torch, jax),
        parts(torch, jax),
        traffic(torch, jax),
        times(rates, torch, jax),
    )
    return record | {"tables": [*tables, passes(streamed), recalled(streamed), constants(rates)]}


Found = dict[int, list[dict[str, Any]]]
"""What every one of so many workers found."""


def agreement(torch: Found, jax: dict[int, dict[str, Any]]) -> Table:
    """Results of n workers beside those of one array."""
    lines = []
    for engine, found in (("torch", {n: each[0] for n, each in torch.items()}), ("JAX", jax)):
        for n, of_first in found.items():
            for one in of_first["agreement"]:
                away = list(one["apart"].values())
                met = "met" if max(away) <= 1e-6 else "missed"
                lines.append([engine, n, one["patterns"], one["dtype"], *away, met])
    return {
        "title": "Results",
        "about": "Association, energy and retrieval of noisy patterns with a divided memory, for "
        "softmax, sparsemax and entmax 1.5, compared with the same calls with one array in "
        "the same library. The table shows the largest difference relative to the largest "
        "value. If the number of patterns is not a multiple of the number of workers, the "
        "parts are uneven. Target: 1e-6.",
        "columns": [
            *("engine", "workers", "patterns", "dtype"),
            *("association", "energy", "retrieval", "met"),
        ],
        "lines": lines,
    }


def parts(torch: Found, jax: dict[int, dict[str, Any]]) -> Table:
    """What a worker holds."""
    lines: list[list[Any]] = []
    for n, workers in torch.items():
        most = [max(worker["memory"][key] for worker in workers) for key in ("part", "above")]
        lines.append(["torch", n, workers[0]["memory"]["patterns"], *map(mebibytes, most)])
    for n, found in jax.items():
        lines.append(
            ["JAX", n, found["memory"]["patterns"], mebibytes(found["memory"]["part"]), ""]
        )
    return {
        "title": "Memory",
        "about": "The size of the largest part, and the peak increase of the resident memory of a "
        "torch process while it gets its part and retrieves from it. Simulated devices of "
        "JAX share one process, so their memory cannot be measured separately.",
        "columns": ["engine", "workers", "patterns", "part, MiB", "process, MiB"],
        "lines": lines,
    }


def traffic(torch: Found, jax: dict[int, dict[str, Any]]) -> Table:
    """What a worker sends into the all-reduces of an update."""
    lines = []
    for engine, found in (("torch", {n: each[0] for n, each in torch.items()}), ("JAX", jax)):
        for n, of_first in found.items():
            if n > 1:
                for one in of_first["traffic"]:
                    lines.append(
                        [engine, n, *(one[key] for key in ("separation", "patterns", "bytes"))]
                    )
    return {
        "title": "Bytes of an update",
        "about": "The bytes that each worker passes to all-reduce in one update of 64 states of 64 "
        "values in float32. In torch they are counted when all-reduce is called, and in JAX "
        "in the program that XLA compiled. The softmax needs $4 L (v + 2)$ bytes, here "
        "16,896. Torch adds a byte for each state, which says whether the state has "
        "converged. Other separation functions call all-reduce once for each iteration of "
        "their solver. XLA's program does not contain the number of iterations, so they are "
        "counted only in torch.",
        "columns": ["engine", "workers", "separation", "patterns", "bytes"],
        "lines": lines,
    }


def times(rates: dict[str, float], torch: Found, jax: dict[int, dict[str, Any]]) -> Table:
    """The time of an update, and what the model says."""
    cores = machine()["cores"]
    lines: list[list[Any]] = []
    for n, workers in torch.items():
        for one, seconds in slowest(workers):
            work = Work(one["patterns"], one["states"], one["d"])
            said = predicted(rates, work, n, cores)
            sizes = [one[key] for key in ("patterns", "states", "d")]
            lines.append(["torch", n, *sizes, 1e3 * seconds, 1e3 * said, said / seconds])
    for n, found in jax.items():
        for one in found["times"]:
            sizes = [one[key] for key in ("patterns", "states", "d")]
            lines.append(["JAX", n, *sizes, 1e3 * one["seconds"], "", ""])
    return {
        "title": "Time of an update",
        "about": f"This machine has {cores} cores, and each worker of torch has one thread. So up "
        f"to {cores} workers can be faster than one, and more workers share the cores. All "
        "simulated devices of JAX share the cores, so an update cannot become faster: the "
        "times show the cost of a mesh. *model* is the time that [the "
        "model](../design/scale.md) predicts from the rates below.",
        "columns": ["engine", "workers", "patterns", "states", "d", "ms", "model", "model / ms"],
        "lines": lines,
    }


def slowest(workers: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float]]:
    """What was timed, and how long the worker took that took longest."""
    for i, one in enumerate(workers[0]["times"]):
        yield one, max(worker["times"][i]["seconds"] for worker in workers)


def predicted(rates: dict[str, float], work: Work, n: int, cores: int) -> float:
    """Seconds of an update on n workers of this machine, which share its cores."""
    share = min(1.0, cores / n)
    speeds = {key: share * rates[key] for key in ("flops", "scores", "stream")}
    network = Network(rates["latency"], rates["bandwidth"])
    return update(work, Device("a core", **speeds), network, n)


def passes(streamed: dict[str, Any]) -> Table:
    """Passes over a file."""
    size = streamed["bytes"]
    lines = [
        [one["from"], one["queries"], one["seconds"], size / one["seconds"] / 1e9]
        for one in streamed["passes"]
    ]
    return {
        "title": "Passes over a file",
        "about": f"One association with `hopcore.Streamed` in NumPy: {streamed['patterns']:,} "
        f"patterns of 64 values in float32, a file of {size / 1e9:.2f} GB. *disk* means that "
        "the file was first removed from the cache of the operating system, and *cache* "
        "that it is in this cache.",
        "columns": ["from", "states", "seconds", "GB/s"],
        "lines": lines,
    }


def recalled(streamed: dict[str, Any]) -> Table:
    """Retrieval from a file."""
    found = streamed["retrieve"]
    line = [found["queries"], found["updates"], found["seconds"], found["right"]]
    held = [mebibytes(streamed["peak"]), mebibytes(streamed["above"])]
    return {
        "title": "Retrieval from a file",
        "about": "Retrieval from the same file with noisy patterns (standard deviation 0.3) as "
        "queries, at beta 1. *process* is the peak resident memory of the whole process "
        "over all of these calls, including Python and its libraries, and *calls* is the "
        "increase during the calls. Target: 1,024 MiB.",
        "columns": ["states", "updates", "seconds", "right", "process, MiB", "calls, MiB"],
        "lines": [line + held],
    }


def constants(rates: dict[str, float]) -> Table:
    """The rates of this machine."""
    lines = [
        ["matrix products, one thread", rates["flops"] / 1e9, "GFLOP/s"],
        ["softmax, one thread", rates["scores"] / 1e9, "10^9 scores/s"],
        ["reading, one thread", rates["stream"] / 1e9, "GB/s"],
        ["a message between two workers (gloo)", 1e6 * rates["latency"], "us"],
        ["bytes between two workers (gloo)", rates["bandwidth"] / 1e9, "GB/s"],
    ]
    return {
        "title": "Rates",
        "about": "The rates of this machine, each of which is measured separately (`python -m "
        "benchmarks.scale_rates`).",
        "columns": ["what", "rate", "unit"],
        "lines": lines,
    }


def kept() -> dict[str, Any]:
    """The record of the page in the documentation."""
    return json.loads((Path(__file__).parent / "results" / "scale.json").read_text())


def measured(record: dict[str, Any]) -> Iterator[tuple[int, Work, float]]:
    """Workers of torch, the work of their updates, and the seconds of one."""
    table = next(x for x in record["tables"] if x["title"] == "Time of an update")
    for engine, n, patterns, states, d, milliseconds, *_ in table["lines"]:
        if engine == "torch":
            yield n, Work(patterns, states, d), milliseconds / 1e3


def mebibytes(size: float) -> float:
    return size / 2**20


def cell(value: Any) -> str:
    """A value of a table: counts in full, measurements to three digits."""
    if isinstance(value, float):
        if 0 < value < 1e-4:
            return f"{value:.1e}"
        return f"{value:.3g}" if value < 1e3 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


PAGE = """\
# Benchmarks: memories in parts

This page measures retrieval from memories that are divided over many workers, or streamed from
files. It is the output of

```sh
{command} --json benchmarks/results/{record}
python -m benchmarks --markdown benchmarks/results/{record} > docs/benchmarks/scale.md
```

Cores used: {cores}; processor: {processor}; {system}; Python {python}; {packages}.

The workers of torch are processes (gloo), and those of JAX are simulated devices
(`--xla_force_host_platform_device_count`). Times are the best of several rounds. The
[tutorial](../tutorials/scale.md) shows how to use such memories.
"""


def markdown(record: dict[str, Any]) -> str:
    """The page of a record."""
    about = dict(record["machine"])
    packages = ", ".join(f"{name} {value}" for name, value in about.pop("versions").items())
    names = {key: record[key] for key in ("command", "record")}
    return "\n".join([PAGE.format(packages=packages, **names, **about), *sections(record)])


def sections(record: dict[str, Any]) -> Iterator[str]:
    """A section for each table."""
    for table in record["tables"]:
        lines = [[cell(value) for value in line] for line in table["lines"]]
        shown = grid([table["columns"], *lines])
        yield f"## {table['title']}\n\n{table['about']}\n\n{shown}\n"


def text(record: dict[str, Any]) -> str:
    """The tables alone, for the terminal."""
    return "\n".join(sections(record))
