"""How time and memory grow with the sizes of a call: measured powers beside those of theory.

``python -m benchmarks.complexity --json FILE`` measures, and ``--markdown FILE`` prints the page.

For each function and each of its sizes, the size is doubled three times while the others stay.
The time is CPU time, summed over threads; the memory is the peak of what Python and NumPy allocate
during a call beyond what was there, the result included (tracemalloc). A power is the slope of a
least-squares line through the logarithms, and its standard error is that of the line.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import complexity_calls as calls
from benchmarks.complexity_calls import Call
from benchmarks.table import machine

LEAST, ROUNDS = 0.02, 3
"""The CPU seconds of a measurement at least, for which short calls are repeated; measurements."""


@dataclass(frozen=True)
class Function:
    """A function of hopcore, and the sizes at which it is called.

    ``axes`` has the first size of each axis, which is doubled, and the power that theory gives for
    time and for memory where this size is large; ``fixed`` has the size that the axis has while
    another one is varied.
    """

    name: str
    make: Callable[..., Call]
    fixed: dict[str, int]
    axes: dict[str, tuple[int, str, str]]


class Power(NamedTuple):
    """The measured power of one size, and the sizes, seconds and bytes that it comes from."""

    function: str
    axis: str
    fixed: dict[str, int]
    sizes: list[int]
    seconds: list[float]
    peaks: list[int]
    time: tuple[float, float]
    memory: tuple[float, float]
    theory: tuple[str, str]


QUERIES = {
    "L": (128, "1", "0 to 1"),
    "N": (1024, "1", "0"),
    "d": (64, "1", "0 to 1"),
}
"""Sizes of functions that stream over the patterns: memory for the queries alone."""

FUNCTIONS = (
    Function("association", calls.association, {"L": 512, "N": 4096, "d": 64}, QUERIES),
    Function("retrieve, 5 updates", calls.retrieval, {"L": 256, "N": 2048, "d": 64}, QUERIES),
    Function(
        "anchored_association", calls.anchored, {"L": 512, "N": 4096, "d": 64},
        {"L": (128, "1", "1"), "N": (1024, "1", "1"), "d": (64, "1", "0 to 1")},
    ),
    Function(
        "build_similarity_matrix", calls.similarity, {"N": 1024, "d": 64},
        {"N": (256, "2", "2"), "d": (64, "1", "0")},
    ),
    Function(
        "knn_graph, exact", calls.neighbors, {"N": 2048, "d": 64},
        {"N": (512, "2", "1"), "d": (64, "1", "0 to 1")},
    ),
    *(
        Function(
            name, calls.dense_neighbors(as_sparse=as_sparse), {"N": 1024, "d": 64},
            {"N": (256, "2", "2")},
        )
        for name, as_sparse in (
            ("build_knn_graph, to an array", False), ("build_knn_graph, to a graph", True)
        )
    ),
    Function(
        "compute_laplacian, of an array", calls.dense_laplacian, {"N": 1024},
        {"N": (256, "2", "2")},
    ),
    *(
        Function(
            f"diffusion, {name}", calls.diffusion(mode), {"N": 8192, "d": 64},
            {"N": (4096, "1", "1"), "d": (32, "1", "1")},
        )
        for name, mode in calls.ON_A_GRAPH.items()
    ),
    Function(
        "diffusion, simple, of an array", calls.diffusion("simple", dense=True),
        {"N": 1024, "d": 64}, {"N": (256, "2", "1 to 2"), "d": (32, "1", "1")},
    ),
    Function(
        "diffusion, spectral", calls.diffusion("spectral", dense=True), {"N": 256, "d": 64},
        {"N": (64, "3", "2"), "d": (128, "0 to 1", "0 to 1")},
    ),
    Function(
        "spectral operator, made", calls.spectral_kernel, {"N": 256}, {"N": (64, "3", "2")}
    ),
    Function(
        "spectral operator, applied", calls.spectral_step, {"N": 512, "d": 64},
        {"N": (128, "2", "1"), "d": (64, "1", "1")},
    ),
    Function(
        "diffused_retrieve, all patterns", calls.diffused("dense"),
        {"L": 512, "N": 4096, "d": 64},
        {"L": (128, "0 to 1", "0 to 1"), "N": (1024, "1", "1"), "d": (64, "1", "1")},
    ),
    Function(
        "diffused_retrieve, neighbours of an anchor", calls.diffused("graph"),
        {"L": 512, "N": 4096, "d": 64},
        {"L": (128, "0 to 1", "0 to 1"), "N": (1024, "1", "1"), "d": (64, "1", "0 to 1")},
    ),
    Function(
        "Hopfield layer", calls.layer, {"N": 512, "d": 64},
        {"N": (256, "1 to 2", "1"), "d": (64, "1 to 2", "1")},
    ),
)  # fmt: skip
"""What is measured. Sizes that a function depends on twice have a range of powers."""


def seconds_of(call: Call) -> float:
    """Return the median CPU time of a call."""
    call()
    number = 1
    while (taken := timed(call, number)) < LEAST:
        number = max(2 * number, math.ceil(number * LEAST / max(taken, 1e-9)))
    return median([taken / number, *(timed(call, number) / number for _ in range(ROUNDS - 1))])


def timed(call: Call, number: int) -> float:
    """Return the CPU time of so many calls."""
    gc.disable()
    try:
        begun = time.process_time()
        for _ in range(number):
            call()
        return time.process_time() - begun
    finally:
        gc.enable()


def peak_of(call: Call) -> int:
    """Return the peak of the memory that a call allocates, its result included, in bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return max(1, tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()


def slope(sizes: list[int], values: list[float]) -> tuple[float, float]:
    """Return the slope of the logarithms, and its standard error.

    Examples
    --------
    >>> from benchmarks.complexity import slope
    >>> [round(number, 6) + 0.0 for number in slope([1, 2, 4], [3.0, 12.0, 48.0])]
    [2.0, 0.0]
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float))
    x, y = x - x.mean(), y - y.mean()
    found = float(x @ y / (x @ x))
    if len(sizes) < 3:
        return found, math.nan
    rest = y - found * x
    return found, float(np.sqrt(rest @ rest / (len(sizes) - 2) / (x @ x)))


def measured(function: Function, axis: str, doublings: int) -> Power:
    """Double one size so often, and return the powers of time and memory."""
    first, of_time, of_memory = function.axes[axis]
    sizes = [first * 2**k for k in range(doublings + 1)]
    seconds, peaks = [], []
    for size in sizes:
        call = function.make(**(function.fixed | {axis: size}))
        seconds.append(seconds_of(call))
        peaks.append(peak_of(call))
    fixed = {name: value for name, value in function.fixed.items() if name != axis}
    memory = slope(sizes, [float(peak) for peak in peaks])
    return Power(
        function.name, axis, fixed, sizes, seconds, peaks, slope(sizes, seconds), memory,
        (of_time, of_memory),
    )  # fmt: skip


def run(doublings: int = 3) -> dict[str, Any]:
    """Measure everything; print each power as soon as it is known."""
    powers = []
    for function in FUNCTIONS:
        for axis in function.axes:
            powers.append(measured(function, axis, doublings))
            print(" | ".join(cells(powers[-1]._asdict())), flush=True)
    return {"machine": machine(), "powers": [one._asdict() for one in powers]}


def cells(power: dict[str, Any]) -> list[str]:
    """Return one power as text."""
    fixed = ", ".join(f"{name} = {value}" for name, value in power["fixed"].items())
    ends = f"{power['sizes'][0]} to {power['sizes'][-1]}"
    times = f"{1e3 * power['seconds'][0]:.3g} to {1e3 * power['seconds'][-1]:.3g}"
    peaks = f"{power['peaks'][0] / 2**20:.2g} to {power['peaks'][-1] / 2**20:.2g}"
    (of_time, of_memory), shown = power["theory"], []
    for found, theory in ((power["time"], of_time), (power["memory"], of_memory)):
        shown += [f"{round(found[0], 2) + 0.0:.2f} ± {found[1]:.2f}", theory]
    return [power["function"], power["axis"], ends, fixed, times, *shown[:2], peaks, *shown[2:]]


HEAD = (
    "function", "size", "from", "others", "ms", "time", "theory", "MiB", "memory", "theory",
)  # fmt: skip


def markdown(record: dict[str, Any]) -> str:
    """Return the table of a record, with the machine that it was measured on."""
    rule = ["---"] * 4 + ["---:"] * 6
    rows = [HEAD, rule, *(cells(power) for power in record["powers"])]
    about = record["machine"]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"{about['processor']}; {about['versions']}.\n\n{table}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, or print the table of a record."""
    parser = argparse.ArgumentParser("python -m benchmarks.complexity", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="double each size once only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print the table of FILE")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(markdown(json.loads(options.markdown.read_text())), end="")
        return 0
    record = run(1 if options.quick else 3)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
