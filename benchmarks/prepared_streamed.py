"""Prepared memories of patterns in a file: ``python -m benchmarks prepared-streamed``.

Writes files of 10,000,000 patterns of 64 values in float32 (``HOPCORE_PATTERNS`` sets another
number), one after the other, compares a Memory of each with full passes over it, and removes it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import hopcore
from benchmarks import scale
from benchmarks.scale_streamed import leave_the_cache
from benchmarks.table import machine

Array = np.ndarray
PATTERNS, QUICK = 10_000_000, 100_000
DIMENSION, CLUSTERS, PIECE = 64, 4096, 1 << 18
ROUNDS, ERROR = 3, 1e-6
CALLS = {1: 2, 16: 1, 64: 1}
"""By the number of queries in a call: the number of calls in a round."""

CERTIFIED = 4
"""The number of queries of a call whose certificates are compared with errors."""

COLUMNS = [
    "patterns", "beta", "queries", "pass, s", "Memory, s", "pass / Memory", "CPU of pass / Memory",
    "answered", "visited", "bytes read, MB", "of a pass", "from the disk, MB",
    "largest error", "largest certificate",
]  # fmt: skip


def normal(rng: np.random.Generator, count: int) -> Iterator[Array]:
    """Yield standard normal patterns."""
    for start in range(0, count, PIECE):
        yield rng.standard_normal((min(PIECE, count - start), DIMENSION), dtype=np.float32)


def clustered(rng: np.random.Generator, count: int) -> Iterator[Array]:
    """Yield patterns of clusters in random order.

    The centres have a standard deviation of 1/k in direction k of 64, and patterns one of 0.02 in
    each value.
    """
    turned = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))[0]
    spread = 1.0 / np.arange(1, DIMENSION + 1)
    centres = (rng.standard_normal((CLUSTERS, DIMENSION)) * spread @ turned).astype(np.float32)
    for piece in normal(rng, count):
        yield centres[rng.integers(CLUSTERS, size=len(piece))] + np.float32(0.02) * piece


def write(path: Path, count: int, pieces: Iterator[Array]) -> None:
    """Write patterns to a file, a piece at a time."""
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, DIMENSION)}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            piece.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def counter(name: str) -> int:
    """Return a counter of bytes that this process has read: ``rchar``, or from a disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)[name])


def read_by(work: Callable[[], object], name: str) -> int:
    """Return the number of bytes that a call reads."""
    before = counter(name)
    work()
    return counter(name) - before


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of a call, and those of the processor."""
    begin = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


class Queries:
    """Noisy patterns, never the same ones twice, since a memory keeps the rows that it read."""

    def __init__(self, stored: hopcore.Streamed, noise: float) -> None:
        self.stored, self.noise, self.rng = stored, noise, np.random.default_rng(1)

    def draw(self, count: int) -> Array:
        """Return queries ``(count, d)``."""
        rows = np.unique(self.rng.integers(self.stored.shape[0], size=2 * count))
        rows = np.sort(self.rng.permutation(rows)[:count])
        chosen = self.stored.source.take(rows)
        return (chosen + self.noise * self.rng.standard_normal(chosen.shape)).astype(np.float32)


def case(
    name: str, path: Path, memory: hopcore.Memory, queries: Queries, beta: float, size: int
) -> list[Any]:
    """One line: calls with ``size`` queries."""
    stored: Any = memory.patterns
    arms: dict[str, Callable[[Array], Any]] = {
        "pass": lambda some: hopcore.association(some, stored, beta=beta, similarity="distance"),
        "Memory": lambda some: memory.association(some, beta=beta),
    }
    found: dict[str, list[Array]] = {arm: [] for arm in arms}
    for number in range(ROUNDS + 1):
        drawn = [queries.draw(size) for _ in range(CALLS[size])]
        for arm, work in arms.items():
            times = [timed(lambda some=some, work=work: work(some)) for some in drawn]
            if number:
                found[arm].append(np.mean(times, axis=0))
    whole, partial = (np.median(found[arm], axis=0) for arm in arms)
    some = queries.draw(size)
    passed = read_by(lambda: arms["pass"](some), "rchar")
    read = read_by(lambda: arms["Memory"](some), "rchar")
    needed, share = memory.visits(some, beta=beta)
    answered = share < 1.0
    cold = queries.draw(size)
    leave_the_cache(path)
    disk = read_by(lambda: arms["Memory"](cold), "read_bytes")
    some = some[:CERTIFIED]
    output, certificate = memory.association(some, beta=beta, return_certificate=True)
    precise = hopcore.Streamed(path, dtype="float64")
    exact = hopcore.association(some.astype(float), precise, beta=beta, similarity="distance")
    error = float(np.linalg.norm(output - exact, axis=-1).max())
    return [
        name, f"{beta:.3g}", size, whole[0], partial[0], whole[0] / partial[0],
        whole[1] / partial[1], f"{answered.sum()} of {size}",
        int(np.median(needed[answered])) if answered.any() else "-", read / 1e6,
        f"{read / passed:.2%}", disk / 1e6, error, float(certificate.max()),
    ]  # fmt: skip


KINDS: tuple[tuple[str, Any, float, tuple[float, ...]], ...] = (
    ("normal", normal, 0.3, (0.03, 1.0)),
    ("clusters", clustered, 0.01, (0.03, 1.0, 3.0)),
)
"""Patterns, the noise of queries, and the factors of the suggested beta."""


def measured(kind: int, count: int) -> tuple[list, list]:
    """Return what was measured with a file, and how it was prepared."""
    name, draw, noise, factors = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "patterns.npy")
        write(path, count, draw(np.random.default_rng(kind), count))
        stored, held = hopcore.Streamed(path), []
        hopcore.association(np.zeros((1, DIMENSION), np.float32), stored, beta=1.0)
        seconds = timed(lambda: held.append(hopcore.Memory(stored, error=ERROR)))
        memory = held[0]
        sizes = path.stat().st_size / 1e6, memory.snapshot().rows.table.nbytes / 1e6
        made = [name, f"{count:,}", *sizes, *seconds, memory.beta]
        queries, lines = Queries(stored, noise), []
        for factor in factors:
            for size in CALLS if factor >= 1.0 else (1,):
                lines.append(case(name, path, memory, queries, factor * memory.beta, size))
                print(*lines[-1], flush=True)
    return lines, made


def run(*, quick: bool) -> dict[str, Any]:
    """Measure everything; the record of the page."""
    count = QUICK if quick else int(os.environ.get("HOPCORE_PATTERNS", PATTERNS))
    found = [measured(kind, count) for kind in range(len(KINDS))]
    command = f"python -m benchmarks prepared-streamed{' --quick' * quick}"
    if count not in (QUICK, PATTERNS):
        command = f"HOPCORE_PATTERNS={count} {command}"
    record = {"command": command, "record": "prepared-streamed.json", "machine": machine()}
    lines = [line for lines, _ in found for line in lines]
    return record | {"tables": tables(count, lines, [made for _, made in found])}


ABOUT = """\
{count:,} patterns of 64 values in float32 in a `.npy` file, beside full passes of
`hopcore.association` over the same `Streamed` file. Standard normal patterns come first, of which
nothing can be left out. Of clusters, nothing can be left out at the first inverse temperature;
these are 4,096 in random order, whose centres have a standard deviation of 1/k in direction k, with
a standard deviation of 0.02 around them. Queries are patterns with noise (standard deviation 0.3
and 0.01), new ones in each call.

The file fits into the memory of this machine, so the times, medians of 3 rounds, are those of a
file in the cache of the operating system; *CPU* is the ratio of processor times, which other work
on the machine disturbs less. On a disk, what counts is what is read: *bytes read* is what a call
asks the operating system for, and *from the disk* what this fetched from the disk after the file
had left its cache. *answered* is the number of queries of a call that few patterns could answer,
and *visited* the median number of patterns of which their associations are averages. Errors and
certificates are the largest of up to 4 queries. A call with more than 23 queries is always one
pass. Target: at least 0.9 x the speed of a pass where nothing can be left out, and at most 1 % of
its bytes for a query in clusters at the suggested beta."""


def tables(count: int, lines: list, made: list) -> list[scale.Table]:
    """The tables of the page."""
    return [
        {
            "title": "Patterns in a file",
            "about": ABOUT.format(count=count),
            "columns": COLUMNS,
            "lines": lines,
        },
        {
            "title": "Preparing a file",
            "about": "The time of `Memory(Streamed(path), error=1e-6)`, what its sketch takes in "
            "memory, and the beta that it suggests from 2,048 patterns.",
            "columns": ["patterns", "number", "file, MB", "sketch, MB", "s", "CPU s", "beta"],
            "lines": made,
        },
    ]  # fmt: skip


HEAD = """\
## Memories in files

What follows is the output of

```sh
export OMP_NUM_THREADS=1
{command} --cores 1 --json benchmarks/results/{record}
```

Cores used: {cores}; processor: {processor}; {system}; Python {python}; {packages}.
"""


def markdown(record: dict[str, Any]) -> str:
    """The last part of the page of prepared memories."""
    about = dict(record["machine"])
    packages = ", ".join(f"{name} {value}" for name, value in about.pop("versions").items())
    names = {key: record[key] for key in ("command", "record")}
    return "\n".join([HEAD.format(packages=packages, **names, **about), *scale.sections(record)])
