"""Runs rows: one process per side, the sides of a case in turns, medians of ratios."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from benchmarks.cases import Case, Row, Side
from benchmarks.worker import Opening, Taken, serve

PATIENCE = 120.0
"""Seconds after which a side that has not answered is given up."""
PAUSE = 0.01
"""Seconds between two sides, in which the last one's thread pool goes to sleep."""


class SideFailed(Exception):
    """A side could not do its work; the text says why."""


class Worker:
    """A process that measures, started when it is first asked for something."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection
        self.connection, child = context.Pipe()
        self.process = context.Process(target=serve, args=(child,), daemon=True)
        self.process.start()
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
        self.running: dict[tuple[str, str, bool], Worker] = {}

    def of(self, side: Side, peer: bool) -> Worker:
        """The process of a side; a new one if it was given up."""
        key = (side.module, side.library, peer)
        if key not in self.running or not self.running[key].process.is_alive():
            self.running[key] = Worker()
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
    """None where there is no target or a side failed."""


@dataclass
class _Turns:
    """The measurements of one side, round by round."""

    measured: Measured
    opening: Opening | None = None
    taken: list[Taken] = field(default_factory=list)


def run_row(row: Row, workers: Workers, *, quick: bool) -> Iterator[Result]:
    """The results of a row, case by case; where it asks for them, the fitted exponents instead."""
    measured: dict[str, list[tuple[Case, Result]]] = {}
    for case in row.quick if quick else row.cases:
        for result in run_case(row, case, workers, seconds=0.5 if quick else 1.5):
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


def run_case(row: Row, case: Case, workers: Workers, *, seconds: float) -> list[Result]:
    """Measure all sides of a case in turns, for about so many seconds."""
    sides = [*((side, False) for side in row.ours), *([(row.peer, True)] if row.peer else [])]
    turns = [_Turns(Measured(str(side))) for side, _ in sides]
    active: list[tuple[Worker, _Turns]] = []
    for (side, peer), turn in zip(sides, turns, strict=True):
        worker = workers.of(side, peer)
        try:
            opening = turn.opening = worker.ask((side, case))
        except SideFailed as failure:
            turn.measured.failed = str(failure)
            continue
        turn.measured.scratch, turn.measured.note = opening.scratch, opening.note
        active.append((worker, turn))
    once = PAUSE + sum(turn.opening.seconds + PAUSE for _, turn in active if turn.opening)
    rounds = max(3 if once < 2 * seconds else 1, min(11, int(seconds / once)))
    for k in range(rounds):
        # There and back, so that no side always comes after the same other.
        for worker, turn in active[:: -1 if k % 2 else 1]:
            if turn.measured.failed:
                continue
            time.sleep(PAUSE)
            try:
                turn.taken.append(worker.ask(None))
            except SideFailed as failure:
                turn.measured.failed = str(failure)
    for turn in turns:
        if turn.taken and not turn.measured.failed:
            turn.measured.wall = median(taken.wall for taken in turn.taken)
            turn.measured.cpu = median(taken.cpu for taken in turn.taken)
    peer = turns.pop() if row.peer else None
    return [compare(row, case, turn, peer) for turn in turns]


def compare(row: Row, case: Case, ours: _Turns, peer: _Turns | None) -> Result:
    """One line of the table, from the rounds that both sides took."""
    result = Result(row.name, str(case), row.target, ours.measured, peer.measured if peer else None)
    if ours.measured.failed or peer is None or peer.measured.failed:
        return result
    pairs = list(zip(ours.taken, peer.taken, strict=True))
    result.wall_ratio = median(a.wall / b.wall for a, b in pairs)
    result.cpu_ratio = median(a.cpu / b.cpu for a, b in pairs)
    result.apart = apart(ours.opening, peer.opening) if row.same else None
    added = 1e6 * median(getattr(a, row.clock) - getattr(b, row.clock) for a, b in pairs)
    judge(result, row, added, row.scratch_limit(case))
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
    else:
        result.figure = f"{ratio:.2f} x, {added:+.1f} us"
        if row.added is not None:
            verdicts.append(added <= row.added)
    if limit is not None and result.ours.scratch is not None:
        result.figure += f", {result.ours.scratch / 2**20:.1f} MiB"
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
        times = ", ".join(f"{1e3 * seconds:.3g}" for _, seconds in line)
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
