"""Runs rows: one process per side, the sides of a case in turns, medians of ratios."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from benchmarks.cases import Case, Row, Side
from benchmarks.table import milliseconds
from benchmarks.worker import Opening, Taken, serve

PATIENCE = 120.0
"""Seconds after which a side that has not answered is given up."""
PAUSE = 0.01
"""Seconds between two sides, in which the last one's thread pool goes to sleep."""


STEADY = 0.05
"""A ratio is not printed where the same code, run twice in a row, differs by a larger share."""
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""With which the allocator of glibc keeps pages, instead of mapping them anew in every call."""

APART = {"MALLOC_MMAP_THRESHOLD_": str(64 << 10)}
"""With which every array is mapped apart, so that gaps in the heap do not count as memory."""


class SideFailed(Exception):
    """A side could not do its work; the text says why."""


class Worker:
    """A process that measures, started when it is first asked for something."""

    def __init__(self, allocator: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, child = context.Pipe()
        self.process = context.Process(target=serve, args=(child,), daemon=True)
        before = {name: os.environ.get(name) for name in allocator}
        os.environ.update(allocator)  # read by the allocator when the process begins
        self.process.start()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        child.close()

    def ask(self, request: tuple[Side, Case] | None) -> Any:
        """The answer to a request: see :func:`benchmarks.worker.serve`."""
        try:
            self.connection.send(request)
            if not self.connection.poll(PATIENCE):
                self.stop()
                raise SideFailed(f"no answer within {PATIENCE:.0f} s")
            result = self.connection.recv()
        except (EOFError, OSError) as ended:
            raise SideFailed("its process ended") from ended
        if isinstance(result, str):
            raise SideFailed(result)
        return result

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.join()


class Workers:
    """The processes of a run: one for each library on either side of a comparison."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str, bool, bool], Worker] = {}

    def of(self, side: Side, peer: bool, memory: bool = False) -> Worker:
        """The process of a side; a new one if it was given up. Memory is measured in its own."""
        key = (side.module, side.library, peer, memory)
        if key not in self.running or not self.running[key].process.is_alive():
            self.running[key] = Worker(APART if memory else ALLOCATOR)
        return self.running[key]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.running.values():
            worker.stop()


@dataclass
class Measured:
    """One side of a case."""

    side: str
    wall: float | None = None
    cpu: float | None = None
    scratch: int | None = None
    note: str = ""
    failed: str = ""
    faults: float | None = None
    """Page faults of a call."""
    twice: float | None = None
    """By which share the first of two calls in a row takes longer or shorter than the second."""


@dataclass
class Result:
    """One line of the table: our side of a case beside the peer's."""

    row: str
    case: str
    target: str
    ours: Measured
    peer: Measured | None
    wall_ratio: float | None = None
    """Median over the rounds of our time over the peer's."""
    cpu_ratio: float | None = None
    apart: float | None = None
    """Largest difference of some values of the two results, relative to the largest of them."""
    figure: str = ""
    """What is held against the target."""
    met: bool | None = None
    """None where there is no target, a side failed, or the machine was not quiet."""
    pairs: int | None = None
    """Bytes of the (L, S) arrays of all heads, where a row compares its memory with them."""


@dataclass
class _Turns:
    """The measurements of one side, round by round."""

    measured: Measured
    opening: Opening | None = None
    taken: list[Taken] = field(default_factory=list)
    again: list[Taken] = field(default_factory=list)
    """The second measurement of each round, right after the first."""

    def mean(self, clock: str) -> list[float]:
        """The mean of both measurements of each round."""
        pairs = zip(self.taken, self.again, strict=True)
        return [(getattr(a, clock) + getattr(b, clock)) / 2 for a, b in pairs]

    def twice(self, clock: str) -> float:
        """By which share the medians of the first and of the second measurements differ."""
        first, second = (
            median(getattr(x, clock) for x in some) for some in (self.taken, self.again)
        )
        return abs(first / second - 1.0)


def run_row(row: Row, workers: Workers, *, quick: bool, steady: float = STEADY) -> Iterator[Result]:
    """The results of a row, case by case; where it asks for them, the fitted exponents instead."""
    measured: dict[str, list[tuple[Case, Result]]] = {}
    for case in row.quick if quick else row.cases:
        for result in run_case(row, case, workers, seconds=0.5 if quick else 1.5, steady=steady):
            if row.exponent is None:
                yield result
            else:
                measured.setdefault(result.ours.side, []).append((case, result))
    for side, results in measured.items():
        failed = [result for _, result in results if result.ours.failed]
        if failed:
            yield failed[0]
        else:
            yield from exponents(row, side, [(c, getattr(r.ours, row.clock)) for c, r in results])


def run_case(
    row: Row, case: Case, workers: Workers, *, seconds: float, steady: float = STEADY
) -> list[Result]:
    """Measure all sides of a case in turns, for about so many seconds."""
    sides = [*((side, False) for side in row.ours), *([(row.peer, True)] if row.peer else [])]
    turns = [_Turns(Measured(str(side))) for side, _ in sides]
    active: list[tuple[Worker, _Turns]] = []
    for (side, peer), turn in zip(sides, turns, strict=True):
        worker = workers.of(side, peer, row.pairs)
        try:
            opening = turn.opening = worker.ask((side, case))
        except SideFailed as failure:
            turn.measured.failed = str(failure)
            continue
        turn.measured.scratch, turn.measured.note = opening.scratch, opening.note
        active.append((worker, turn))
    once = PAUSE + sum(3 * turn.opening.seconds + PAUSE for _, turn in active if turn.opening)
    rounds = max(3 if once < 2 * seconds else 1, min(11, int(seconds / once)))
    for k in range(rounds):
        # A A B B and B B A A, so that no side always comes after the same other. A run before each
        # pair does not count: the first one after another process takes up to 30 % longer.
        for worker, turn in active[:: -1 if k % 2 else 1]:
            if turn.measured.failed:
                continue
            time.sleep(PAUSE)
            try:
                _, first, second = (worker.ask(None) for _ in range(3))
                turn.taken.append(first)
                turn.again.append(second)
            except SideFailed as failure:
                turn.measured.failed = str(failure)
    for turn in turns:
        if turn.taken and not turn.measured.failed:
            turn.measured.wall = median(turn.mean("wall"))
            turn.measured.cpu = median(turn.mean("cpu"))
            turn.measured.faults = median(turn.mean("faults"))
            turn.measured.twice = turn.twice(row.clock)
    peer = turns.pop() if row.peer else None
    return [compare(row, case, turn, peer, steady) for turn in turns]


def compare(
    row: Row, case: Case, ours: _Turns, peer: _Turns | None, steady: float = STEADY
) -> Result:
    """One line of the table, from the rounds that both sides took."""
    result = Result(row.name, str(case), row.target, ours.measured, peer.measured if peer else None)
    result.pairs = case.pairs if row.pairs else None
    limit = row.scratch_limit(case)
    if ours.measured.failed or (peer is not None and peer.measured.failed):
        return result
    if peer is None:
        judge(result, row, 0.0, limit)
        return result
    result.apart = apart(ours.opening, peer.opening) if row.same else None
    differs = max(ours.measured.twice or 0.0, peer.measured.twice or 0.0)
    if differs > steady:
        result.figure = f"not judged: the same code twice differs by {100 * differs:.0f} %"
        return result
    for clock in ("wall", "cpu"):
        pairs = zip(ours.mean(clock), peer.mean(clock), strict=True)
        setattr(result, f"{clock}_ratio", median(a / b for a, b in pairs))
    pairs = zip(ours.mean(row.clock), peer.mean(row.clock), strict=True)
    judge(result, row, 1e6 * median(a - b for a, b in pairs), limit)
    return result


def judge(result: Result, row: Row, added: float, limit: float | None) -> None:
    """Hold the ratio or the microseconds added, and the scratch memory, against the target."""
    ratio = (result.wall_ratio if row.clock == "wall" else result.cpu_ratio) or math.nan
    verdicts = []
    if row.least is not None:
        result.figure = f"{1 / ratio:.2f} x faster"
        verdicts.append(1 / ratio >= row.least)
    elif row.most is not None:
        result.figure = f"{ratio:.2f} x"
        verdicts.append(ratio <= row.most)
    elif not math.isnan(ratio):
        result.figure = f"{ratio:.2f} x, {added:+.1f} us"
        if row.added is not None:
            verdicts.append(added <= row.added)
    if limit is not None and result.ours.scratch is not None:
        memory = f"{result.ours.scratch / 2**20:.1f} MiB"
        result.figure = f"{result.figure}, {memory}" if result.figure else memory
        verdicts.append(result.ours.scratch <= limit)
    result.met = all(verdicts) if verdicts else None


def apart(ours: Opening | None, peer: Opening | None) -> float:
    """How far the sampled values of two results lie apart."""
    if ours is None or peer is None:
        return math.nan
    scale = max(abs(value) for value in peer.sample) or 1.0
    return max(abs(a - b) for a, b in zip(ours.sample, peer.sample, strict=True)) / scale


def exponents(row: Row, side: str, points: list[tuple[Case, float]]) -> Iterator[Result]:
    """The powers of the axes with which the times of one side grow from the first case on."""
    base = points[0][0]
    for axis in row.axes:
        fixed = {
            name: getattr(base, name)
            for name in ("L", "S", "d")
            if name != axis and getattr(base, name)
        }
        line = [
            (getattr(case, axis), seconds)
            for case, seconds in points
            if all(getattr(case, name) == size for name, size in fixed.items())
        ]
        power = slope([(math.log(size), math.log(seconds)) for size, seconds in line])
        sizes = ", ".join(str(size) for size, _ in line)
        times = ", ".join(milliseconds(seconds) for _, seconds in line)
        at = ", ".join(f"{name}={size}" for name, size in fixed.items())
        yield Result(
            row.name,
            f"{axis}={sizes} at {at}: {times} ms",
            row.target,
            Measured(side),
            None,
            figure=f"{axis}^{power:.2f}",
            met=None if row.exponent is None else power <= row.exponent,
        )


def slope(points: list[tuple[float, float]]) -> float:
    """The least-squares slope of y over x; nan for fewer than two points."""
    if len(points) < 2:
        return math.nan
    x0, y0 = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - x0) * (y - y0) for x, y in points) / sum((x - x0) ** 2 for x, _ in points)
