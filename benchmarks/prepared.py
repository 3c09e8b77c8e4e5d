"""Prepared memories that leave patterns out: what ``python -m benchmarks prepared`` measures."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import hopcore
from benchmarks import prepared_streamed, scale
from benchmarks.table import machine

Array = np.ndarray
STREAMED = Path(__file__).with_name("results") / "prepared-streamed.json"
"""The record of memories in files, which is the last part of the page."""

ROUNDS, QUERIES = 3, 4
"""Rounds in which the arms take turns, and the queries of a round."""

ERROR = 1e-6
COLUMNS = [
    "memory", "queries", "beta", "plain ms", "error=0 ms", "error=1e-6 ms", "plain / error=1e-6",
    "error=0 / error=1e-6", "answered", "visited", "bytes read", "largest error",
    "largest certificate",
]  # fmt: skip


def mnist(quick: bool) -> Array:
    """The test images of MNIST, from the folder ``HOPCORE_MNIST``; without it, digits."""
    folder = os.environ.get("HOPCORE_MNIST")
    images = hopcore.datasets.mnist(folder) if folder else hopcore.datasets.digits()
    pixels = images.pixels.reshape(len(images.pixels), -1).astype(np.float32)
    return pixels[: 500 if quick else None]


def asked(stored: Array, kind: str, rng: np.random.Generator) -> Array:
    """Queries of a kind."""
    chosen = stored[rng.integers(len(stored), size=QUERIES)]
    if kind == "left half":
        side = round(stored.shape[1] ** 0.5)
        left = np.arange(stored.shape[1]) % side < side // 2
        return np.where(left, chosen, 0).astype(stored.dtype)
    noise = float(kind.rpartition(" ")[2])
    return (chosen + noise * rng.standard_normal(chosen.shape)).astype(stored.dtype)


def taking_turns(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median CPU time of each arm in seconds; arms take turns, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, work in arms.items():
            begin = time.process_time()
            work()
            if number:
                times[name].append(time.process_time() - begin)
    return {name: float(np.median(found)) for name, found in times.items()}


def case(name: str, memories: tuple[Any, Any, Any], kind: str, beta: float, rounds: int) -> list:
    """One line: times, what is read, errors and certificates for single queries."""
    stored, dense, partial = memories
    states = asked(stored, kind, np.random.default_rng(1))

    def every(memory: Any, **options: Any) -> Callable[[], object]:
        def work() -> None:
            for state in states:
                hopcore.association(state, memory, beta=beta, **options)

        return work

    arms = {
        "plain": every(stored, similarity="distance"),
        "dense": every(dense),
        "partial": every(partial),
    }
    times = taking_turns(arms, rounds)
    plain, kept, left = (1e3 * times[name] / len(states) for name in arms)
    fresh = copy.copy(partial)  # which has not learned yet that trying is in vain
    needed, share = fresh.visits(states, beta=beta)
    answered = share < 1.0
    visited: Any = int(np.median(needed[answered])) if answered.any() else "-"
    read = f"{np.median(share[answered]):.1%}" if answered.any() else "-"
    outputs, certificates = fresh.association(states, beta=beta, return_certificate=True)
    exact = hopcore.association(
        states.astype(np.float64), stored.astype(np.float64), beta=beta, similarity="distance"
    )
    error = float(np.linalg.norm(outputs - exact, axis=-1).max())
    return [
        name, kind, f"{beta:.3g}", plain, kept, left, plain / left, kept / left,
        f"{answered.sum()} of {len(states)}", visited, read, error, float(certificates.max()),
    ]  # fmt: skip


def batches(
    name: str, memories: tuple[Any, Any, Any], kind: str, beta: float, size: int, rounds: int
) -> list:
    """One line: time for each query of a batch."""
    stored, dense, partial = memories
    rng = np.random.default_rng(2)
    states = np.concatenate([asked(stored, kind, rng) for _ in range(size // QUERIES)])
    options = {"beta": beta}
    times = taking_turns(
        {
            "plain": lambda: hopcore.association(states, stored, similarity="distance", **options),
            "dense": lambda: hopcore.association(states, dense, **options),
            "partial": lambda: hopcore.association(states, partial, **options),
        },
        rounds,
    )
    each = [1e3 * value / len(states) for value in times.values()]
    return [name, kind, f"{beta:.3g}", len(states), *each, each[0] / each[2], each[1] / each[2]]


def changes(name: str, stored: Array) -> list:
    """One line: the time of making a memory, and of changes."""
    begin = time.process_time()
    memory = hopcore.Memory(stored, beta=1.0, error=ERROR)
    made = time.process_time() - begin
    count, taken = 500, []
    for work in (
        lambda i: memory.add(stored[i], keys=f"new {i}"),
        lambda i: memory.update(f"new {i}", stored[i - 1]),
        lambda i: memory.remove(f"new {i}"),
    ):
        begin = time.process_time()
        for i in range(count):
            work(i)
        taken.append(1e3 * (time.process_time() - begin) / count)
    return [name, made, *taken]


def run(*, quick: bool) -> dict[str, Any]:
    """Measure everything; the record of the page."""
    rounds = 2 if quick else ROUNDS
    rng = np.random.default_rng(0)
    images = mnist(quick)
    data = {
        f"MNIST {images.shape[0]:,} x {images.shape[1]}"
        if images.shape[1] == 784
        else "digits": images,
        "normal 20,000 x 64": rng.standard_normal((1000 if quick else 20_000, 64), np.float32),
    }
    low, warm, batch, built = [], [], [], []
    for name, stored in data.items():
        beta = hopcore.suggest_beta(stored[:2000], similarity="distance").beta
        memories = (
            stored,
            hopcore.Memory(stored, beta=beta),
            hopcore.Memory(stored, beta=beta, error=ERROR),
        )
        kinds = ["noise 0.3", "left half"] if "MNIST" in name else ["noise 0.3"]
        low += [case(name, memories, kinds[0], beta * f, rounds) for f in (0.003, 0.03)]
        for kind in kinds:
            warm += [case(name, memories, kind, beta * f, rounds) for f in (0.3, 1.0, 3.0)]
        batch += [
            batches(name, memories, kinds[0], beta * f, size, rounds)
            for size in (32, 256)
            for f in (0.003, 1.0)
        ]
        built.append(changes(name, stored))
    record: dict[str, Any] = {"command": f"python -m benchmarks prepared{' --quick' * quick}"}
    record |= {"record": "prepared.json", "machine": machine()}
    return record | {"tables": tables(low, warm, batch, built)}


def tables(low: list, warm: list, batch: list, built: list) -> list[scale.Table]:
    """The tables of the page."""
    return [
        {
            "title": "Where nothing can be left out",
            "about": "Single queries at 0.003 and 0.03 times the suggested beta. Many patterns "
            "have weight there, so all of them are read. Target: at least 0.9 x the speed of a "
            "call that never leaves out anything.",
            "columns": COLUMNS,
            "lines": low,
        },
        {
            "title": "At the temperatures of retrieval",
            "about": "Single queries at 0.3, 1 and 3 times the beta that `suggest_beta` gives for "
            "2,000 patterns. Target: 4 x faster than a plain call on MNIST at the suggested beta.",
            "columns": COLUMNS,
            "lines": warm,
        },
        {
            "title": "Batches",
            "about": "Queries that are associated together; the time is that of one of them. "
            "Batches of more than 15 queries are remembered apart from the single queries before, "
            "of which some, such as left halves, needed all patterns.",
            "columns": [
                "memory", "queries", "beta", "batch", "plain ms", "error=0 ms", "error=1e-6 ms",
                "plain / error=1e-6", "error=0 / error=1e-6",
            ],
            "lines": batch,
        },
        {
            "title": "Making and changing a memory",
            "about": "The time of `Memory(stored, error=1e-6)` in seconds, and of the change of "
            "one pattern in milliseconds, on average over 500 changes.",
            "columns": ["memory", "made, s", "add, ms", "update, ms", "remove, ms"],
            "lines": built,
        },
    ]  # fmt: skip


PAGE = """\
# Benchmarks: prepared memories

This page compares associations with a {{class}}`hopcore.Memory` that leaves patterns out
(`error=1e-6`) with one that does not (`error=0`) and with a plain call on an array. It is the
output of

```sh
export OMP_NUM_THREADS=1 HOPCORE_MNIST=FOLDER
{command} --cores 1 --json benchmarks/results/{record}
python -m benchmarks --markdown benchmarks/results/{record} > docs/benchmarks/prepared.md
```

Cores used: {cores}; processor: {processor}; {system}; Python {python}; {packages}.

The machine was busy with other work. So times are CPU times of a query, on one thread, of arms that
take turns; each is the median of 3 rounds of 4 queries. All memories are float32 and
compared by distance. *answered* is the number of queries for which few patterns were enough,
*visited* the median number of patterns of which their associations are averages, and *bytes read*
the share of the bytes of the patterns that a query reads: the sketch, and the patterns that it
could not exclude. The *largest error* is the largest distance of an association from one in
float64, the *largest certificate* what the memory stated.
"""


def markdown(record: dict[str, Any]) -> str:
    """The page of a record."""
    about = dict(record["machine"])
    packages = ", ".join(f"{name} {value}" for name, value in about.pop("versions").items())
    names = {key: record[key] for key in ("command", "record")}
    parts = [PAGE.format(packages=packages, **names, **about), *scale.sections(record)]
    if STREAMED.exists():
        parts.append(prepared_streamed.markdown(json.loads(STREAMED.read_text())))
    return "\n".join(parts)
