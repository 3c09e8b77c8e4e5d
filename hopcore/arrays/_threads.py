"""Run tiles of work on all cores, in Python threads whose BLAS calls use one thread each.

The exponentials of an association take as long as its matrix products. If only BLAS used threads,
the exponentials would run on a single core. NumPy releases the interpreter lock in both.
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
    """The BLAS libraries of the process, which take milliseconds to find."""
    return ThreadpoolController().select(user_api="blas")


class _Held:
    """Counts the calls that limit BLAS to one thread: the first sets it, the last restores it."""

    lock = threading.Lock()
    calls = 0
    limit: Any = None


def _forget_held_calls() -> None:
    """Forget, in a forked process, the calls and the lock of other threads of its parent."""
    _Held.lock = threading.Lock()
    if _Held.calls:
        _Held.calls = 0
        _Held.limit.restore_original_limits()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_held_calls)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread; calls in several threads may overlap."""
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
    """The number of cores that the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_all_cores(work: Callable[[Any], None], tiles: list[Any]) -> None:
    """Call ``work`` with every tile, on as many threads as the process may use."""
    threads = min(cores(), len(tiles))
    if threads <= 1:
        for tile in tiles:
            work(tile)
        return
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, tiles):
            pass
