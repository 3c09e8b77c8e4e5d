"""Memories in the blocks of a Dask array, each of which is worked on where it is.

A pass is one Dask graph: a task for each block, and a tree of tasks that joins what they found. It
runs on the scheduler that is the default, threads or the workers of a distributed client. Blocks
never come to the caller; the states go to each worker once, and one result comes back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import dask.array as da
import numpy as np
from dask.base import get_scheduler
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed

from hopcore.arrays._backend import mask_of_columns
from hopcore.streamed._sources import Piece, Source, patterns_of, real

POLL = 0.1
"""Seconds between two looks at how far the workers are."""

PATIENCE = 15.0
"""Seconds for which a scheduler may have no worker: a lost one is started again in fewer."""


class Spread:
    """A source whose pieces Dask works on."""

    parts: list[slice]
    """The rows of each piece, where the source has pieces of its own; else empty."""

    def delayed(self, parts: list[slice]) -> list[Any]:
        """What brings pieces to where they are worked on."""
        raise NotImplementedError

    def reduce(
        self,
        memory: Any,
        work: Callable[[Piece], Any],
        join: Callable[[Any, Any], Any],
        *,
        values: Any,
        mask: Any,
    ) -> Any:
        """See :meth:`hopcore.streamed.Streamed.reduce`."""
        job = alone(Job(work, join, memory.dtype, memory.checked))
        task, parts = delayed(worked, pure=False), memory.parts
        pieces = zip(parts, self.delayed(parts), projections(values, parts), strict=True)
        found = []
        for rows, piece, beside in pieces:
            shown = mask_of_columns(mask, rows)
            shown = shown if shown is mask else alone(shown)
            found.append(task(job, piece, (rows.start, rows.stop), beside, shown))
        result = computed(tree(job, found), found, memory.track)
        memory.checked = True
        return result


class Blocks(Spread):
    """A Dask array as a source of patterns."""

    name = "stored"

    def __init__(self, array: Any, rows: int | None = None) -> None:
        if not isinstance(array, da.Array):
            raise TypeError(f"a streamed memory needs an array of Dask, got {type(array).__name__}")
        if any(math.isnan(size) for size in array.shape):
            raise ValueError(
                f"stored must have a known shape, got {array.shape}; call compute_chunk_sizes()"
            )
        if array.ndim < 2:
            raise ValueError(f"stored must be (S, d), got {array.shape}")
        self.shape, kind = tuple(array.shape), np.dtype(array.dtype)
        real(self.name, kind)
        self.dtype = kind.newbyteorder("=")
        # Whole patterns in every block.
        chunks: Any = dict.fromkeys(range(1, array.ndim), -1)
        self.array = array.rechunk(chunks if rows is None else chunks | {0: rows})
        ends = np.cumsum([0, *self.array.chunks[0]]).tolist()
        self.parts = [slice(start, stop) for start, stop in pairwise(ends) if start < stop]

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`hopcore.streamed._sources.Source`: these rows do come to the caller."""
        return np.asarray(self.array[start:stop].compute(), dtype=self.dtype)

    def aligned(self, rows: int) -> int:
        """The rows of the largest block."""
        return max(self.array.chunks[0], default=rows)

    def delayed(self, parts: list[slice]) -> list[Any]:
        """Its blocks."""
        sizes: Any = {0: tuple(rows.stop - rows.start for rows in parts)}
        return list(self.array.rechunk(sizes).to_delayed().ravel())


class Pieces(Spread):
    """Another source, which Dask reads."""

    def __init__(self, source: Source) -> None:
        self.source, self.parts = source, []
        self.name, self.shape, self.dtype = source.name, source.shape, source.dtype
        self.read, self.aligned = source.read, source.aligned

    def delayed(self, parts: list[slice]) -> list[Any]:
        """What reads them in the task that works on them: no worker gets them from another."""
        return [Reading(self.source, rows.start, rows.stop) for rows in parts]


class Reading:
    """A piece that is read by the task of which it is an argument."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self.source, self.start, self.stop = source, start, stop


class Job:
    """What is to be done with every block; it travels once to each worker, and not with a task."""

    def __init__(self, work: Any, join: Any, dtype: np.dtype, checked: bool) -> None:
        self.work, self.join, self.dtype, self.checked = work, join, dtype, checked


def alone(value: Any) -> Delayed:
    """A value as a node of the graph, on which tasks depend."""
    return delayed(value, pure=False, traverse=False)


def worked(job: Job, found: Any, ends: tuple[int, int], values: Any, mask: Any) -> Any:
    """The task of a block."""
    rows = slice(*ends)
    patterns = patterns_of(brought(found), job.dtype, rows.start, known=job.checked)
    if isinstance(values, tuple):
        raw, dtype = values
        values = patterns_of(brought(raw), dtype, rows.start, name="projection")
    return job.work(Piece(rows, patterns, values, mask))


def joined(job: Job, one: Any, other: Any) -> Any:
    """The task of a pair of results."""
    return job.join(one, other)


def brought(piece: Any) -> np.ndarray:
    """A piece, where it is worked on."""
    if isinstance(piece, Reading):
        return piece.source.read(piece.start, piece.stop)
    return np.asarray(piece)


def projections(values: Any, parts: list[slice]) -> list[Any]:
    """The projections of each piece: (rows of a streamed memory, their dtype), or an array."""
    if values is None:
        return [None] * len(parts)
    if not hasattr(values, "source"):
        return [alone(values[..., rows, :]) for rows in parts]
    spread = values.spread or Pieces(values.source)
    return [(rows, values.dtype) for rows in spread.delayed(parts)]


def tree(job: Delayed, found: list[Delayed]) -> Delayed:
    """The results of all blocks, joined in pairs, in pairs of these, and so on."""
    task = delayed(joined, pure=False)
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        rest = found[len(found) - len(found) % 2 :]
        found = [task(job, *pair) for pair in pairs] + rest
    return found[0]


def computed(
    result: Delayed, found: list[Delayed], track: Callable[[Iterable[Any], int], Any] | None
) -> Any:
    """The result, by whichever scheduler is the default."""
    client = getattr(get_scheduler(), "__self__", None)
    if hasattr(client, "scheduler_info"):
        return by_workers(client, result, found, track)
    if track is None:
        return result.compute()
    done: SimpleQueue[bool] = SimpleQueue()
    keys = {each.key for each in found}

    def after(key: Any, *_: Any) -> None:
        if key in keys:
            done.put(True)

    with ThreadPoolExecutor(1) as aside, Callback(posttask=after):
        waiting = aside.submit(result.compute)
        waiting.add_done_callback(lambda _: done.put(False))
        for _ in track(range(len(found)), len(found)):
            if not done.get():
                break
        return waiting.result()


def by_workers(
    client: Any, result: Delayed, found: list[Delayed], track: Callable[..., Any] | None
) -> Any:
    """The result, from a distributed client; an error once its workers or scheduler are gone."""
    from distributed import KilledWorker, wait  # noqa: PLC0415 - an extra

    scheduler = client.scheduler.address
    # A part that is followed is let go of as soon as it is done; what joins it has it then.
    last, *parts = client.compute([result, *(() if track is None else found)])
    steps = iter(() if track is None else track(range(len(parts)), len(parts)))
    watch = Watch(client)
    try:
        while not last.done():
            with suppress(TimeoutError):
                wait(last, timeout=POLL)
            left = [part for part in parts if not part.done()]
            for _ in range(len(parts) - len(left)):
                next(steps, None)
            parts = left
            watch.look(scheduler)
        for _ in steps:
            pass
        return last.result()
    except KilledWorker as error:
        reason = " ".join(str(error).split())
        raise ConnectionError(f"workers of {scheduler} were lost: {reason}") from None
    except CancelledError:  # what becomes of work without a scheduler
        raise ConnectionError(f"the scheduler {scheduler} was lost") from None


class Watch:
    """Looks, once a second, whether there is anyone at work."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.looked = self.seen = time.monotonic()

    def look(self, scheduler: str) -> None:
        """Raise a ConnectionError once the scheduler is gone, or has had no workers for long."""
        now = time.monotonic()
        if now - self.looked < 1.0:
            return
        try:
            workers = self.client.nthreads()
        except (OSError, TimeoutError) as error:
            raise ConnectionError(f"the scheduler {scheduler} was lost: {error}") from None
        self.looked = time.monotonic()
        if workers:
            self.seen = self.looked
        elif self.looked - self.seen > PATIENCE:
            raise ConnectionError(f"the scheduler {scheduler} has no workers")
