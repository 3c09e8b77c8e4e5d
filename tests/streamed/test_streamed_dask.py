"""Memories in the blocks of a Dask array: on threads, and on the processes of a cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.__main__ import main
from hopcore.streamed import _dask as streamed_dask

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

RNG = np.random.default_rng(0)
STORED, STATE = RNG.normal(size=(23, 5)), RNG.normal(size=(4, 5))
VALUES = RNG.normal(size=(23, 3))
MASK = RNG.random((4, 23)) < 0.7
UNEVEN = ((5, 1, 0, 10, 7), (2, 3))


def close(got: Any, want: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(got), want, rtol=rtol, atol=1e-12)


def blocks(values: np.ndarray = STORED) -> Any:
    return da.from_array(values, chunks=(UNEVEN[0], 2))


# On the threads of this process


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"], ids=repr)
def test_blocks_change_nothing(separation: Any) -> None:
    stored, other = hopcore.Streamed(blocks()), hopcore.Streamed(STORED, rows=4, dask=True)
    for memory, values in (
        (stored, None),
        (stored, VALUES),
        (stored, hopcore.Streamed(da.from_array(VALUES, chunks=(9, 1)))),
        (stored, hopcore.Streamed(VALUES, rows=2)),
        (other, hopcore.Streamed(da.from_array(VALUES, chunks=(9, 1)))),
        (hopcore.Streamed(STORED, rows=4), hopcore.Streamed(da.from_array(VALUES, chunks=(9, 1)))),
    ):
        whole = None if values is None else VALUES
        for mask in (None, MASK) if values is None else (MASK[:, :1],):
            options: Any = {"beta": 2.0, "mask": mask, "separation": separation}
            got = hopcore.association(STATE, memory, values, **options)
            close(got, hopcore.association(STATE, STORED, whole, **options))


def test_the_scheduler_is_the_default_one() -> None:
    seen = []

    def get(graph: Any, keys: Any, **options: Any) -> Any:
        seen.append(keys)
        return dask.local.get_sync(graph, keys, **options)

    with dask.config.set(scheduler=get):
        got = hopcore.update(STATE, hopcore.Streamed(blocks()), 2.0)
    assert len(seen) == 1
    close(got, hopcore.update(STATE, STORED, 2.0))


def test_axes_of_values_and_blocks_of_other_sizes() -> None:
    images = da.from_array(STORED.reshape(23, 5, 1), chunks=(6, 3, 1))
    stored = hopcore.Streamed(images, rows=9)
    assert (stored.shape, stored.rows) == ((23, 5), 9)
    close(hopcore.energy(STATE, stored, 2.0), hopcore.energy(STATE, STORED, 2.0))


def test_nearest_neighbours_of_blocks() -> None:
    got, want = hopcore.knn_graph(hopcore.Streamed(blocks()), 3), hopcore.knn_graph(STORED, 3)
    for one, other in zip((*got.entries, got.weights), (*want.entries, want.weights), strict=True):
        np.testing.assert_array_equal(one, other)


def test_passes_are_tracked_and_errors_pass() -> None:
    passes = []

    def track(items: Any, total: int) -> Iterator[Any]:
        done = 0
        for item in items:
            yield item
            done += 1
        passes.append((done, total))

    stored = hopcore.Streamed(blocks(), track=track)
    hopcore.update(STATE, stored, 1.0)
    assert passes == [(4, 4)]
    spoilt = STORED.copy()
    spoilt[20, 3] = np.nan
    for options in ({}, {"track": track}):
        with pytest.raises(ValueError, match=r"nan at index \(20, 3\)"):
            hopcore.update(STATE, hopcore.Streamed(blocks(spoilt), **options), 1.0)


def test_blocks_that_cannot_be_patterns() -> None:
    array = blocks()
    for bad, kind, match in (
        (array[array[:, 0] > 0], ValueError, "compute_chunk_sizes"),
        (array[:, 0], ValueError, r"\(S, d\)"),
        (array.astype(int), TypeError, "say what to convert it to"),
        (array > 0, TypeError, "real numbers, got bool"),
        (array.to_delayed()[0, 0], TypeError, "got Delayed"),
    ):
        with pytest.raises(kind, match=match):
            hopcore.Streamed(bad)


# On a cluster


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    options: Any = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    quiet: Any = {"dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(**options, **quiet) as here,
        distributed.Client(here) as client,
    ):
        yield client


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    np.save(tmp_path / "P.npy", STORED)
    np.save(tmp_path / "Q.npy", STATE)
    return tmp_path / "P.npy"


def test_workers_find_the_same(client: Any, memory: Path) -> None:
    for stored in (hopcore.Streamed(memory, rows=4, dask=True), hopcore.Streamed(blocks())):
        for separation in ("softmax", "sparsemax"):
            options: Any = {"mask": MASK, "separation": separation, "max_steps": 1}
            got = hopcore.retrieve(STATE, stored, 2.0, **options)
            want = hopcore.retrieve(STATE, STORED, 2.0, **options)
            close(got.state, want.state)
            close(got.energy, want.energy)
    got = hopcore.knn_graph(hopcore.Streamed(memory, rows=12, dask=True), 3)
    np.testing.assert_array_equal(got.weights, hopcore.knn_graph(STORED, 3).weights)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_workers_serve_states_of_other_libraries(client: Any, library: str) -> None:
    pytest.importorskip(library)
    backend = hopcore.backend(library)
    state = backend.asarray(STATE, dtype="float32")
    stored = hopcore.Streamed(STORED, rows=12, dtype="float32", dask=True)
    got = backend.to_numpy(hopcore.update(state, stored, 2.0))
    close(got, hopcore.update(STATE, STORED, 2.0), 1e-4)


def test_what_moves_does_not_grow_with_the_memory(client: Any, tmp_path: Path) -> None:
    def sent() -> int:
        return sum(
            client.run(lambda dask_worker: dask_worker.transfer_outgoing_bytes_total).values()
        )

    moved = {}
    for patterns in (1 << 10, 1 << 16):
        np.save(tmp_path / "a.npy", RNG.normal(size=(patterns, 8)))
        stored = hopcore.Streamed(tmp_path / "a.npy", rows=patterns // 8, dask=True)
        state, most = RNG.normal(size=(4, 8)), 0
        for _ in range(3):  # which worker does what is not always the same
            before = sent()
            hopcore.update(state, stored, 2.0)
            most = max(most, sent() - before)
        moved[patterns] = most
    # At most each of 8 results (4 queries, output and log-sum-exp) and the task itself, once.
    assert max(moved.values()) < 8 * (4 * (8 + 1) * 8 + 512) + 8192, moved
    assert max(moved.values()) < (1 << 16) * 8 * 8 / 8, moved  # less than one piece


def test_progress_and_errors_of_workers(client: Any, memory: Path) -> None:
    seen = []

    def track(items: Any, total: int) -> Iterator[Any]:
        for item in items:
            yield item
            seen.append((item, total))

    stored = hopcore.Streamed(memory, rows=6, dask=True, track=track)
    hopcore.update(STATE, stored, 1.0)
    assert seen == [(i, 4) for i in range(4)]
    os.truncate(memory, 128 + 40 * 10)
    with pytest.raises(ValueError, match=r"P.npy was truncated .* row 10 of 23"):
        hopcore.update(STATE, stored, 1.0)
    memory.unlink()
    with pytest.raises(FileNotFoundError, match=r"P.npy"):
        hopcore.update(STATE, stored, 1.0)


def test_a_worker_that_is_killed_changes_nothing(client: Any) -> None:
    def slow(block: np.ndarray) -> np.ndarray:
        time.sleep(0.15)
        return block

    array = da.from_array(STORED, chunks=(2, 5)).map_blocks(slow, meta=STORED[:0])
    victim = next(iter(client.run(os.getpid).values()))
    timer = threading.Timer(0.5, os.kill, (victim, signal.SIGKILL))
    timer.start()
    got = hopcore.update(STATE, hopcore.Streamed(array), 2.0)
    timer.join()
    close(got, hopcore.update(STATE, STORED, 2.0))
    client.wait_for_workers(2, timeout=20)
    assert victim not in client.run(os.getpid).values()


def test_the_command_on_a_scheduler(client: Any, memory: Path, capsys: Any) -> None:
    out, folder = memory.with_name("R.npz"), memory.parent
    files = ["retrieve", "--patterns", str(memory), "--queries", str(folder / "Q.npy"), "--json"]
    options = ["--beta", "2", "--out", str(out), "--scheduler", client.scheduler.address]
    with pytest.raises(SystemExit) as ended:
        main([*files, *options])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.err) == (0, "")
    with np.load(out) as found:
        for name, value in hopcore.retrieve(STATE, STORED, 2.0)._asdict().items():
            close(found[name], value, 1e-6)
    out.unlink()
    with pytest.raises(SystemExit):
        main([*files, "--beta", "auto", *options[2:]])
    assert "--beta auto" in capsys.readouterr().err
    os.truncate(memory, 200)
    with pytest.raises(SystemExit) as ended:
        main([*files, *options])
    assert ended.value.code == 2
    assert "P.npy is truncated" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == [memory, folder / "Q.npy"]


def test_a_task_that_kills_workers_is_an_error(client: Any) -> None:
    array = da.from_array(STORED, chunks=(12, 5)).map_blocks(
        lambda block: os._exit(1), meta=STORED[:0]
    )
    with pytest.raises(ConnectionError, match=r"workers of .* were lost"):
        hopcore.update(STATE, hopcore.Streamed(array), 2.0)


def test_a_scheduler_without_workers_is_an_error(
    client: Any, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed_dask, "PATIENCE", 0.5)
    client.cluster.scale(0)
    deadline = time.monotonic() + 60.0
    while client.nthreads():  # workers leave one after another
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(ConnectionError, match="has no workers"):
        hopcore.update(STATE, hopcore.Streamed(memory, dask=True), 2.0)
