"""A memory larger than what may be held: ``python -m benchmarks.scale_streamed PATTERNS``.

Writes a file of so many patterns of 64 values in float32, a piece at a time, retrieves from it and
removes it. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hopcore
from benchmarks.worker import memory

DIMENSION = 64
QUERIES = (16, 256)
PIECE = 1 << 18


def write(path: Path, patterns: int) -> np.ndarray:
    """Standard normal patterns in a file; some of them are returned."""
    rng = np.random.default_rng(20)
    some = np.empty((0, DIMENSION), np.float32)
    with open(path, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (patterns, DIMENSION)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, patterns, PIECE):
            size = min(PIECE, patterns - start), DIMENSION
            piece = rng.standard_normal(size, dtype=np.float32)
            some = np.concatenate((some, piece))[: max(QUERIES)]
            piece.tofile(file)
        file.flush()
        os.fsync(file.fileno())
    return some


def leave_the_cache(path: Path) -> None:
    """Have the system forget what it holds of the file: the next pass reads the disk."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of a call, and what it returned."""
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def measured(path: Path, patterns: int) -> dict[str, Any]:
    """Time and memory of passes over the file."""
    original = write(path, patterns)
    noise = np.random.default_rng(21).standard_normal(original.shape, dtype=np.float32)
    before = memory("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # resets VmHWM to the memory of now
    stored = hopcore.Streamed(path)
    lines = []
    leave_the_cache(path)
    for where in ("disk", "cache"):
        for queries in QUERIES:
            if where == "disk":
                leave_the_cache(path)
            state = original[:queries] + np.float32(0.3) * noise[:queries]
            seconds, _ = timed(lambda s=state: hopcore.association(s, stored, beta=1.0))
            lines.append({"from": where, "queries": queries, "seconds": seconds})
    state = original[: QUERIES[0]] + np.float32(0.3) * noise[: QUERIES[0]]
    seconds, found = timed(lambda: hopcore.retrieve(state, stored, beta=1.0))
    right = np.abs(found.state - original[: QUERIES[0]]).max(axis=-1) < 1e-3
    return {
        "patterns": patterns,
        "bytes": path.stat().st_size,
        "passes": lines,
        "retrieve": {
            "queries": QUERIES[0],
            "seconds": seconds,
            "updates": int(found.steps.max()),
            "right": int(right.sum()),
        },
        "peak": memory("VmHWM"),
        "above": memory("VmHWM") - before,
    }


def main() -> None:
    """Measure in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(Path(folder, "huge.npy"), int(sys.argv[1])), indent=1))


if __name__ == "__main__":
    main()
