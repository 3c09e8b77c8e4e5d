"""The process of one side: prepares a case, then measures it each time it is told to."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from benchmarks.cases import Case, Side
from benchmarks.sides import sample

try:
    import resource
except ModuleNotFoundError:  # on Windows
    resource = None

SHORTEST = 0.02
"""Seconds that one measurement lasts at least: a shorter call is repeated within it."""


class Taken(NamedTuple):
    """One call: its seconds on the clock, those of all threads together, and its page faults."""

    wall: float
    cpu: float
    faults: float = 0.0


class Opening(NamedTuple):
    """What is known of a case after its first calls."""

    seconds: float
    """How long a measurement lasts."""
    scratch: int | None
    sample: list[float]
    note: str


def serve(connection: Connection) -> None:
    """Answer requests: a side and a case to prepare, None to measure. A string is a failure."""
    # JAX on a machine with an accelerator would otherwise leave the CPU.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    call: Callable[[], Any] | None = None
    number = 1
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        try:
            if request is not None:
                call = None  # Lets go of the last case's arrays first.
                call, number, opening = prepare(*request)
                connection.send(opening)
            else:
                connection.send(measure(call, number))
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            connection.send(f"{type(error).__name__}: {first}")


def prepare(side: Side, case: Case) -> tuple[Callable[[], Any], int, Opening]:
    """The call of a case, how often to repeat it, and what its first calls tell."""
    module = import_module(f"benchmarks.sides.{side.module}")
    ready = getattr(module, side.work)(case, side.library)
    values = sample(ready.call())
    start = time.perf_counter()
    scratch = peak_scratch(ready.call)
    seconds, number = time.perf_counter() - start, 1
    if seconds < 50 * SHORTEST:  # Reading the memory took part of it; time the call alone.
        number, seconds = repeats(ready.call)
    if ready.temporary is not None:
        scratch = ready.temporary
    return ready.call, number, Opening(seconds, scratch, values, ready.note)


def repeats(call: Callable[[], Any]) -> tuple[int, float]:
    """A number of calls that lasts long enough to be measured, and how long that is."""
    number = 1
    while True:
        seconds = number * measure(call, number).wall
        if seconds >= SHORTEST:
            return number, seconds
        number *= 2


def measure(call: Callable[[], Any] | None, number: int) -> Taken:
    """Mean time of a call over a number of them in a row."""
    if call is None:
        raise RuntimeError("nothing is prepared")
    for _ in range(number // 10):
        call()  # A short call starts with what the caches held before the pause.
    gc.disable()
    try:
        faults = page_faults()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(number):
            call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finally:
        gc.enable()
    return Taken(wall / number, cpu / number, (page_faults() - faults) / number)


def page_faults() -> int:
    """How many pages this process has been given so far; 0 where that is unknown."""
    if resource is None:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def peak_scratch(call: Callable[[], Any]) -> int | None:
    """Bytes by which a call raises resident memory, its result included; None if unknown."""
    gc.collect()
    if sys.platform != "linux":
        call()
        return None
    # What the allocator holds back from earlier calls would hide what this one needs.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # Resets VmHWM to the memory of now.
    except OSError:
        call()
        return None
    before = memory("VmRSS")
    result = call()
    peak = memory("VmHWM")
    del result
    return max(0, peak - before)


def memory(field: str) -> int:
    """A field of the kernel's account of this process, in bytes."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return 1024 * int(line.split()[1])
    raise OSError(f"no {field} in /proc/self/status")
