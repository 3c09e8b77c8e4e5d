"""Prepared memories that leave patterns out: what ``python -m benchmarks prepared`` measures."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import trim_mean

import hopcore
from benchmarks import prepared_data, prepared_indexes
from benchmarks.prepared_data import HALF, NEAR, UNSEEN, Array, Data
from benchmarks.prepared_page import markdown, tables
from benchmarks.table import machine

__all__ = ["markdown", "run"]

ROUNDS, MOST, QUERIES = 3, 25, 4
"""The least and the largest number of rounds in which arms take turns; the queries of a round."""

FRESH = 15
"""The number of new memories whose first query is measured."""

ENOUGH = 0.4
"""Short calls get more rounds than ROUNDS, until they were measured for so many seconds."""

ERROR = 1e-6
TEXTS_BETA = 100.0
"""That of the texts, of which near copies would make the suggested one useless (over 100,000)."""


class Case(NamedTuple):
    """Patterns, and memories that leave nothing out and that leave patterns out."""

    data: Data
    beta: float
    dense: Any
    partial: Any


def prepared(data: Data, beta: float | None = None) -> Case:
    """Return patterns and their memories, with the beta of :func:`hopcore.suggest_beta`."""
    if beta is None:
        beta = hopcore.suggest_beta(data.stored[:2000], similarity="distance").beta
    errors = 0.0, ERROR
    return Case(data, beta, *(hopcore.Memory(data.stored, beta=beta, error=e) for e in errors))


def taking_turns(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The mean CPU time of each arm in seconds; arms take turns, after one round to warm up.

    A mean contains the attempts that were in vain, as a median would not. One in 25 rounds is left
    out at each end.
    """
    times: dict[str, list[float]] = {name: [] for name in arms}
    names, begin, number = list(arms), time.process_time(), 0
    while number <= rounds or (number <= MOST and time.process_time() - begin < ENOUGH):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]  # each of them is the first in turn
            start = time.process_time()
            arms[name]()
            if number:
                times[name].append(time.process_time() - start)
        number += 1
    return {name: float(trim_mean(found, 0.04)) for name, found in times.items()}


def single(case: Case, kind: str, factor: float, rounds: int) -> list:
    """One line: times, what is read, errors and certificates for single queries."""
    stored, dense, partial = case.data.stored, case.dense, case.partial
    beta = case.beta * factor
    states = case.data.queries[kind](QUERIES, 1)

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
        case.data.name, kind, f"{beta:.3g}", plain, kept, left, plain / left, kept / left,
        f"{answered.sum()} of {len(states)}", visited, read, error,
        float(certificates.max()),
    ]  # fmt: skip


def first(case: Case, kind: str, factor: float, rounds: int) -> list:
    """One line: the first two queries of new memories that were asked at a low beta before."""
    beta, low = case.beta * factor, 1e-6 * case.beta
    states = case.data.queries[kind](2 * FRESH, 4)[: 10 * rounds].reshape(-1, 2, case.data.width)
    stored, similar = case.data.stored, {"similarity": "distance"}
    times: dict[float | None, list[list[float]]] = {None: [], 0.0: [], ERROR: []}
    for pair in states:
        for error, found in times.items():
            memory: Any = stored
            if error is not None:
                memory = hopcore.Memory(stored, beta=case.beta, error=error)
            options: dict[str, Any] = similar if error is None else {}
            for _ in range(3):
                hopcore.association(pair[0], memory, beta=low, **options)
            taken = []
            for state in pair:
                begin = time.process_time()
                hopcore.association(state, memory, beta=beta, **options)
                taken.append(1e3 * (time.process_time() - begin))
            found.append(taken)
    plain, kept, left = (np.median(found, axis=0) for found in times.values())
    return [
        case.data.name, kind, f"{beta:.3g}", plain[0], kept[0], left[0], plain[0] / left[0],
        kept[0] / left[0], kept[1] / left[1],
    ]  # fmt: skip


def batches(case: Case, kind: str, factor: float, size: int, rounds: int) -> list:
    """One line: time for each query of a batch."""
    stored, dense, partial = case.data.stored, case.dense, case.partial
    states, beta = case.data.queries[kind](size, 2), case.beta * factor
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
    ratios = each[0] / each[2], each[1] / each[2]
    return [case.data.name, kind, f"{beta:.3g}", len(states), *each, *ratios]


def changes(name: str, stored: Array, count: int = 500) -> list:
    """One line: the time of making a memory, and of changes."""
    begin = time.process_time()
    memory = hopcore.Memory(stored, beta=1.0, error=ERROR)
    made = time.process_time() - begin
    taken: list[float] = []
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
    rounds, small = (2, 17_000) if quick else (ROUNDS, 0)
    lines: dict[str, list[list]] = {
        name: [] for name in ("vain", "first", "warm", "count", "width", "batch", "made", "indexes")
    }
    for count, width in ((20_000, 64), (20_000, 256), (100_000, 64)):
        case = prepared(prepared_data.normal(small or count, width))
        lines["vain"] += [single(case, NEAR, f, rounds) for f in (0.003, 0.03, 0.3, 1.0, 3.0)]
        if width == 64:
            lines["first"] += [first(case, NEAR, f, rounds) for f in (0.003, 0.3, 3.0)]
        if (count, width) == (20_000, 64):
            lines["batch"] += [
                batches(case, NEAR, f, size, rounds) for size in (32, 256) for f in (0.003, 1.0)
            ]
            lines["made"].append(changes(case.data.name, case.data.stored))
    case = images = prepared(prepared_data.mnist(quick))
    lines["vain"] += [single(case, NEAR, f, rounds) for f in (0.003, 0.03)]
    lines["batch"] += [
        batches(case, NEAR, f, size, rounds) for size in (32, 256) for f in (0.003, 1.0)
    ]
    lines["first"] += [first(case, NEAR, f, rounds) for f in (0.003, 0.03, 1.0)]
    lines["first"] += [first(case, HALF, f, rounds) for f in (0.003, 1.0)]
    for kind in (NEAR, HALF):
        lines["warm"] += [single(case, kind, f, rounds) for f in (0.3, 1.0, 3.0)]
    lines["made"].append(changes(case.data.name, case.data.stored))
    case = prepared(prepared_data.digits())
    lines["warm"].append(single(case, NEAR, 1.0, rounds))
    case = prepared(prepared_data.texts(quick), TEXTS_BETA)
    lines["first"] += [first(case, UNSEEN, f, rounds) for f in (0.1, 1.0, 10.0)]
    lines["warm"] += [single(case, UNSEEN, f, rounds) for f in (0.1, 1.0, 10.0)]
    lines["made"].append(changes(case.data.name, case.data.stored))
    beta = prepared(prepared_data.augmented(small or 10_000, 64, quick)).beta
    for count in (10_000, 100_000, 1_000_000):
        case = prepared(prepared_data.augmented(small or count, 64, quick), beta)
        lines["count"] += [single(case, NEAR, f, rounds) for f in (0.1, 1.0)]
        lines["made"].append(changes(case.data.name, case.data.stored))
    del case
    for width in (16, 64, 256):
        case = prepared(prepared_data.augmented(small or 100_000, width, quick))
        if width == 16:
            lines["first"].append(first(case, NEAR, 0.1, rounds))
        lines["width"] += [single(case, NEAR, f, rounds) for f in (0.1, 1.0)]
    for name, cold in (("mnist", images.beta), ("texts", TEXTS_BETA), ("moved", beta)):
        lines["indexes"] += prepared_indexes.measured(name, cold, quick, rounds)
    record: dict[str, Any] = {"command": f"python -m benchmarks prepared{' --quick' * quick}"}
    record |= {"record": "prepared.json", "machine": machine()}
    return record | {"tables": tables(lines)}
