"""Streamed files that change after they were opened, and files that are none."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.streamed._sources import NpyFile

STORED = np.random.default_rng(0).standard_normal((40, 3))
STATE = np.ones((2, 3))
CHANGED = "has changed since it was opened: make a new Streamed memory of it"

Call = Callable[[hopcore.Streamed], Any]
CALLS: dict[str, Call] = {
    "energy": lambda stored: hopcore.energy(STATE, stored, 1.0),
    "association": lambda stored: hopcore.association(STATE, stored, beta=1.0),
    "sparsemax": lambda stored: hopcore.update(STATE, stored, 1.0, separation="sparsemax"),
    "retrieve": lambda stored: hopcore.retrieve(STATE, stored, 1.0),
    "graph": lambda stored: hopcore.knn_graph(stored, 3).weights,
    "projection": lambda stored: hopcore.association(
        STATE, hopcore.Streamed(STORED, rows=9), stored, beta=1.0
    ),
}


def write(path: Path, values: np.ndarray) -> Path:
    """Write values in place, as a ``.npy`` file or a data set of HDF5."""
    if path.suffix == ".npy":
        np.save(path, values)
        return path
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["x"] = values
    return path


def opened(path: Path, **options: Any) -> hopcore.Streamed:
    """Return a streamed memory of the file."""
    return hopcore.Streamed(path if path.suffix == ".npy" else f"{path}:x", rows=10, **options)


def poisoned() -> np.ndarray:
    """Return the patterns with a nan in the last piece."""
    values = STORED.copy()
    values[35] = np.nan
    return values


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
@pytest.mark.parametrize("call", CALLS)
def test_a_file_that_was_written_again_is_noticed(tmp_path: Path, suffix: str, call: str) -> None:
    path = write(tmp_path / f"a{suffix}", STORED)
    stored = opened(path)
    before = CALLS[call](stored)
    for values in (poisoned(), np.vstack((STORED, STORED)), STORED + 1.0):
        write(path, values)
        for _ in range(2):
            with pytest.raises((ValueError, OSError), match=CHANGED) as error:
                CALLS[call](stored)
            assert "\n" not in str(error.value)
    write(path, STORED)
    again = CALLS[call](opened(path))
    for one, other in zip(*(x if isinstance(x, tuple) else (x,) for x in (before, again)),
                          strict=True):  # fmt: skip
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_a_file_that_was_replaced_is_noticed(tmp_path: Path, suffix: str) -> None:
    """Even by one of the same size and time."""
    path = write(tmp_path / f"a{suffix}", STORED)
    stored = opened(path)
    hopcore.energy(STATE, stored, 1.0)
    other = write(tmp_path / f"b{suffix}", STORED + 1.0)
    shutil.copystat(path, other)
    os.replace(other, path)
    with pytest.raises(ValueError, match=CHANGED):
        hopcore.energy(STATE, stored, 1.0)


def test_a_nan_is_noticed_where_no_time_tells(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npy", STORED)
    stored, before = opened(path), os.stat(path)
    hopcore.energy(STATE, stored, 1.0)
    with open(path, "r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(np.float64(np.nan).tobytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for call in CALLS.values():
        with pytest.raises(ValueError, match=r"must be finite, got nan at index \(39, 2\)"):
            call(stored)


def test_a_nan_in_an_array_is_noticed_in_every_pass() -> None:
    values = STORED.copy()
    stored = hopcore.Streamed(values, rows=10)
    hopcore.energy(STATE, stored, 1.0)
    values[35] = np.nan
    for call in (hopcore.energy, hopcore.update):
        with pytest.raises(ValueError, match=r"stored must be finite, got nan at index \(35, 0\)"):
            call(STATE, stored, 1.0)


def test_a_change_within_a_pass_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npy", STORED)

    def track(pieces: Any, count: int) -> Iterator[Any]:
        for number, piece in enumerate(pieces):
            if number == count - 1:  # the last piece was read already
                write(path, STORED + 1.0)
            yield piece

    stored = opened(path, track=track)
    # The piece that is read ahead may find the file while it is shorter.
    with pytest.raises(ValueError, match=f"{CHANGED}|was truncated after it was opened"):
        hopcore.association(STATE, stored, beta=1.0)


def test_workers_compare_sizes_and_the_caller_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("dask")
    path = write(tmp_path / "a.npy", STORED)
    stored = opened(path, dask=True)
    hopcore.energy(STATE, stored, 1.0)
    source = pickle.loads(pickle.dumps(NpyFile(path)))
    source.original.process = -1  # as it is on another machine
    os.utime(path, ns=(0, 0))
    np.testing.assert_array_equal(source.read(3, 5), STORED[3:5])
    with pytest.raises(ValueError, match=CHANGED):
        hopcore.energy(STATE, stored, 1.0)
    write(path, np.vstack((STORED, STORED)))
    with pytest.raises(ValueError, match=CHANGED):
        source.read(3, 5)


def test_a_mapped_file_that_was_truncated_ends_no_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npy", np.ones((1 << 14, 3)))
    stored = hopcore.Streamed(np.load(path, mmap_mode="r"), rows=1 << 12)
    hopcore.energy(STATE, stored, 1.0)
    os.truncate(path, 4096)
    with pytest.raises(ValueError, match=r"a\.npy was truncated after it was mapped"):
        hopcore.energy(STATE, stored, 1.0)
