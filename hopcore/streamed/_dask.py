"""Memories in the blocks of a Dask array: each block is processed on the worker that has it.

A pass is one Dask graph: a task for each block, and a tree of tasks that joins their results. It
runs on the default scheduler: threads, or the workers of a distributed client. Blocks are never
sent to the caller; the states are sent to each worker once, and one result comes back.
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
from hopcore.streamed._sources import Piece, Source, attended_rows, check_real, patterns_of

POLL = 0.1
"""Seconds between two checks of the workers' progress."""

PATIENCE = 15.0
"""Seconds that a scheduler may be without workers; a lost worker is restarted earlier."""


class DaskSource:
    """A source whose pieces Dask processes."""

    parts: list[slice]
    """The rows of each piece if the source determines them; otherwise empty."""

    def delayed(self, parts: list[slice]) -> list[Any]:
        """Delayed tasks that load each piece on the worker that processes it."""
        raise NotImplementedError

    def check_unchanged(self) -> None:
        """See :class:`hopcore.streamed._sources.Source`; changes of a Dask array are not known."""

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
        job = as_node(Job(work, join, memory.dtype))
        task, parts = delayed(work_on_piece, pure=False), memory.parts
        pieces = zip(parts, self.delayed(parts), projections_of_pieces(values, parts), strict=True)
        results = []
        for rows, piece, projection in pieces:
            columns = mask_of_columns(mask, rows)
            columns = columns if columns is mask else as_node(columns)
            results.append(task(job, piece, (rows.start, rows.stop), projection, columns))
        return compute(tree(job, results), results, memory.track)


class DaskBlocks(DaskSource):
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
        self.shape, dtype = tuple(array.shape), np.dtype(array.dtype)
        check_real(self.name, dtype)
        self.dtype = dtype.newbyteorder("=")
        # Every block holds whole patterns.
        chunks: Any = dict.fromkeys(range(1, array.ndim), -1)
        self.array = array.rechunk(chunks if rows is None else chunks | {0: rows})
        ends = np.cumsum([0, *self.array.chunks[0]]).tolist()
        self.parts = [slice(start, stop) for start, stop in pairwise(ends) if start < stop]

    def read(self, start: int, stop: int) -> np.ndarray:
        """See :class:`hopcore.streamed._sources.Source`; these rows are sent to the caller."""
        return np.asarray(self.array[start:stop].compute(), dtype=self.dtype)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See :class:`hopcore.streamed._sources.Source`; these rows are sent to the caller."""
        return np.asarray(self.array[rows].compute(), dtype=self.dtype)

    def aligned(self, rows: int) -> int:
        """The rows of the largest block."""
        return max(self.array.chunks[0], default=rows)

    def delayed(self, parts: list[slice]) -> list[Any]:
        """The blocks of the array."""
        sizes: Any = {0: tuple(rows.stop - rows.start for rows in parts)}
        return list(self.array.rechunk(sizes).to_delayed().ravel())


class DaskPieces(DaskSource):
    """Another source, whose pieces Dask reads."""

    def __init__(self, source: Source) -> None:
        self.source, self.parts = source, []
        self.name, self.shape, self.dtype = source.name, source.shape, source.dtype
        self.read, self.take, self.aligned = source.read, source.take, source.aligned
        self.check_unchanged = source.check_unchanged

    def delayed(self, parts: list[slice]) -> list[Any]:
        """Pieces that the task that processes them reads, so that no worker sends them."""
        return [LazyPiece(self.source, rows.start, rows.stop) for rows in parts]


class LazyPiece:
    """A piece that is read by the task that gets it as an argument."""

    def __init__(self, source: Source, start: int, stop: int) -> None:
        self.source, self.start, self.stop = source, start, stop


class Job:
    """The work on all blocks, which is sent once to each worker and not with every task."""

    def __init__(self, work: Any, join: Any, dtype: np.dtype) -> None:
        self.work, self.join, self.dtype = work, join, dtype


def as_node(value: Any) -> Delayed:
    """Make a value a node of the graph, on which tasks depend."""
    return delayed(value, pure=False, traverse=False)


def work_on_piece(job: Job, piece: Any, ends: tuple[int, int], values: Any, mask: Any) -> Any:
    """Run the task of a block."""
    rows = slice(*ends)
    attended = attended_rows(mask, rows.stop - rows.start)
    patterns = patterns_of(load_piece(piece), job.dtype, rows.start, attended=attended)
    if isinstance(values, tuple):
        raw, dtype = values
        values = patterns_of(
            load_piece(raw), dtype, rows.start, name="projection", attended=attended
        )
    return job.work(Piece(rows, patterns, values, mask))


def join_pair(job: Job, one: Any, other: Any) -> Any:
    """Run the task that joins two results."""
    return job.join(one, other)


def load_piece(piece: Any) -> np.ndarray:
    """Load a piece on the worker that processes it."""
    if isinstance(piece, LazyPiece):
        return piece.source.read(piece.start, piece.stop)
    return np.asarray(piece)


def projections_of_pieces(values: Any, parts: list[slice]) -> list[Any]:
    """Return the projections of each piece: (streamed rows, dtype), an array, or None."""
    if values is None:
        return [None] * len(parts)
    if not hasattr(values, "source"):
        return [as_node(values[..., rows, :]) for rows in parts]
    source = values.dask_source or DaskPieces(values.source)
    return [(rows, values.dtype) for rows in source.delayed(parts)]


def tree(job: Delayed, results: list[Delayed]) -> Delayed:
    """Join the results of all blocks in pairs, then these in pairs, and so on."""
    task = delayed(join_pair, pure=False)
    while len(results) > 1:
        pairs = zip(results[::2], results[1::2], strict=False)
        rest = results[len(results) - len(results) % 2 :]
        results = [task(job, *pair) for pair in pairs] + rest
    return results[0]


def compute(
    result: Delayed, parts: list[Delayed], track: Callable[[Iterable[Any], int], Any] | None
) -> Any:
    """Compute the result with the default scheduler."""
    client = getattr(get_scheduler(), "__self__", None)
    if hasattr(client, "scheduler_info"):
        return compute_on_cluster(client, result, parts, track)
    if track is None:
        return result.compute()
    done: SimpleQueue[bool] = SimpleQueue()
    keys = {part.key for part in parts}

    def after(key: Any, *_: Any) -> None:
        if key in keys:
            done.put(True)

    with ThreadPoolExecutor(1) as aside, Callback(posttask=after):
        waiting = aside.submit(result.compute)
        waiting.add_done_callback(lambda _: done.put(False))
        for _ in track(range(len(parts)), len(parts)):
            if not done.get():
                break
        return waiting.result()


def compute_on_cluster(
    client: Any, result: Delayed, blocks: list[Delayed], track: Callable[..., Any] | None
) -> Any:
    """Compute the result with a distributed client; raise if workers or scheduler are lost."""
    from distributed import KilledWorker, wait  # noqa: PLC0415 - an extra

    scheduler = client.scheduler.address
    # A tracked block is released as soon as it is done: the task that joins it holds it then.
    last, *parts = client.compute([result, *(() if track is None else blocks)])
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
    except CancelledError:  # work without a scheduler is cancelled
        raise ConnectionError(f"the scheduler {scheduler} was lost") from None


class Watch:
    """Checks once a second whether a scheduler still has workers."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.looked = self.seen = time.monotonic()

    def look(self, scheduler: str) -> None:
        """Raise a ConnectionError if the scheduler is gone, or has been without workers."""
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
