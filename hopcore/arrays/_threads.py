"""Tiles of work on all cores, each a Python thread with BLAS held to one thread.

The exponentials of an association are as dear as its products; BLAS threads would leave them to one
core. NumPy releases the lock in both.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def blas() -> ThreadpoolController:
    """The BLAS libraries of the process; looking for them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


class _Held:
    """How many calls hold BLAS to one thread, since the first sets and the last restores."""

    lock = threading.Lock()
    calls = 0
    limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread; safe for calls that overlap in several threads."""
    with _Held.lock:
        if _Held.calls == 0:
            _Held.limit = blas().limit(limits=1)
        _Held.calls += 1
    try:
        yield
    finally:
        with _Held.lock:
            _Held.calls -= 1
            if _Held.calls == 0:
                _Held.limit.restore_original_limits()


def cores() -> int:
    """How many cores the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_all_cores(work: Callable[[Any], None], places: list[Any]) -> None:
    """Do the work of every place, on as many threads as the process may use."""
    threads = min(cores(), len(places))
    if threads <= 1:
        for place in places:
            work(place)
        return
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, places):
            pass
