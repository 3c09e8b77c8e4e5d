"""One reader of files that are not trusted: plain files only, of the announced size."""

from __future__ import annotations

import gzip
import os
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from hostile import little_memory

import hopcore
from hopcore.datasets._idx import read_idx
from hopcore.experiments.data.bag_files import read_bags
from hopcore.experiments.study import read_rows
from hopcore.files import from_csv, read_array, read_tensors
from hopcore.files._arrays import read_archive
from hopcore.files._plain import read_text
from hopcore.training import read_run

linux = pytest.mark.skipif(sys.platform != "linux", reason="FIFOs and limits of memory")


class Row(NamedTuple):
    """A row of a table."""

    seed: int
    loss: float | None


READERS: dict[str, Callable[[Path], Any]] = {
    "array": read_array,
    "archive": read_archive,
    "text": read_text,
    "rows": lambda path: read_rows(path, Row),
    "idx": read_idx,
    "bags": read_bags,
    "tensors": read_tensors,
    "run": read_run,
    "layer": hopcore.load_layer,
    "streamed": hopcore.Streamed,
    "hdf5": lambda path: hopcore.Streamed(f"{path}.h5:x"),
}


@pytest.fixture(params=["fifo", "socket", "device", "link to a device", "folder"])
def special(request: Any, tmp_path: Path) -> Iterator[Path]:
    """Something that is not a plain file."""
    path, what, listener = tmp_path / "x", request.param, None
    if what == "fifo":
        os.mkfifo(path)
    elif what == "socket":
        listener = socket.socket(socket.AF_UNIX)
        os.chdir(tmp_path)
        listener.bind("x")
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    (tmp_path / "x.h5").symlink_to(path)
    yield Path("/dev/zero") if what == "device" else path
    if listener is not None:
        listener.close()


@linux
@pytest.mark.parametrize("reader", READERS)
def test_only_plain_files_are_read(
    special: Path, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(special.parent)
    if reader == "hdf5":
        pytest.importorskip("h5py")
        if str(special) == "/dev/zero":
            pytest.skip("a device has no suffix")
    if reader == "streamed" and special.is_dir():
        pytest.skip("a folder may be an array of Zarr")
    with pytest.raises(OSError, match=r"not a plain file|Is a directory") as error:
        READERS[reader](special)
    assert "\n" not in str(error.value)


@linux
def test_a_fifo_that_comes_later_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.eye(2))
    before = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: before)
    with pytest.raises(OSError, match="is not a plain file"):
        read_array(path)


def npy(header: str, content: bytes = b"") -> bytes:
    """Return a ``.npy`` file with any header."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


HUGE = {
    "values": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 8)}"),
    "axes": npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**80}, 0)}}"),
    "negative": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8)}", bytes(64)),
    "empty items": npy("{'descr': '|S0', 'fortran_order': False, 'shape': (1099511627776,)}"),
    "header": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'",
}


@linux
@pytest.mark.parametrize("what", HUGE)
def test_the_size_that_an_array_announces_is_compared_first(tmp_path: Path, what: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(HUGE[what])
    with little_memory():
        with pytest.raises(ValueError, match=r"a\.npy is not a whole \.npy file of numbers: \S"):
            read_array(path)
        with pytest.raises((ValueError, TypeError), match=r"a\.npy (is|must)"):
            hopcore.Streamed(path)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2", "<f2"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0), (2, 3, 4)])
def test_arrays_are_read_as_numpy_reads_them(
    tmp_path: Path, shape: tuple[int, ...], dtype: str, order: Any
) -> None:
    values = np.asarray(np.arange(24)[: int(np.prod(shape))].reshape(shape), dtype, order=order)
    np.save(tmp_path / "a.npy", values)
    found = read_array(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, np.load(tmp_path / "a.npy"))
    assert (found.shape, found.dtype) == (shape, values.dtype.newbyteorder("="))
    assert found.flags.writeable


def bomb(shape: tuple[int, ...], size: int) -> bytes:
    """Return zeros of a size, compressed, behind the header of an IDX file."""
    header = b"\0\0\x08" + bytes([len(shape)]) + b"".join(x.to_bytes(4, "big") for x in shape)
    zeros = gzip.compress(bytes(1 << 20))  # parts one after another are one file
    rest = gzip.compress(bytes(size % (1 << 20)))
    return gzip.compress(header) + size // (1 << 20) * zeros + rest


@linux
def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    with little_memory():
        # More than was announced: read up to there.
        path.write_bytes(bomb((2, 3, 3), 1 << 29))
        with pytest.raises(ValueError, match=r"must hold 18 bytes .*, got more than 18"):
            read_idx(path)
        # As much as was announced, and suspiciously much.
        path.write_bytes(bomb((1 << 15, 1 << 7, 1 << 7), 1 << 29))
        with pytest.raises(ValueError, match=r"would grow from .* to 536870912 bytes"):
            read_idx(path)
        # Announced only.
        path.write_bytes(bomb((1 << 31, 1 << 31), 100))
        with pytest.raises(ValueError, match="would grow from"):
            read_idx(path)


def test_honest_images_are_unpacked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    header = b"\0\0\x08\x03" + b"".join(x.to_bytes(4, "big") for x in images.shape)
    (tmp_path / "i.gz").write_bytes(gzip.compress(header + images.tobytes()))
    (tmp_path / "i").write_bytes(header + images.tobytes())
    for name in ("i", "i.gz"):
        np.testing.assert_array_equal(read_idx(tmp_path / name), images)


@linux
def test_an_archive_is_not_unpacked_beyond_measure(tmp_path: Path) -> None:
    path = tmp_path / "bags.npz"
    header = npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({1 << 26},)}}")
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("features.npy", "w") as file,
    ):
        file.write(header)
        for _ in range(1 << 9):
            file.write(bytes(1 << 20))
    with little_memory(), pytest.raises(ValueError, match=r"would grow from .* bytes, more than"):
        read_archive(path, ["features"])


def test_archives_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    given = {"a": np.eye(3), "b/c": np.asfortranarray(np.arange(6).reshape(2, 3))}
    for save in (np.savez, np.savez_compressed):
        save(path, **given)
        found = read_archive(path)
        assert set(found) == set(given)
        for name, value in given.items():
            np.testing.assert_array_equal(found[name], value)
        assert list(read_archive(path, ["b/c"])) == ["b/c"]
    with pytest.raises(ValueError, match=r"no \.npz file of a, none: it has no none"):
        read_archive(path, ["a", "none"])
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz is no whole \.npz file"):
        read_archive(path)
    np.savez(path, o=np.asarray([{}], dtype=object))
    with pytest.raises(ValueError, match="never unpickled"):
        read_archive(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the columns must be seed, loss, got"),
        ("seed\n1\n", "the columns must be seed, loss, got"),
        ("seed,loss\n1\n", r"a line must have 2 cells, got \['1'\]"),
        ("seed,loss\n1,2,3\n", "a line must have 2 cells"),
        ("seed,loss\nx,2\n", "line 2, column seed: must be int, got 'x'"),
        ("seed,loss\n1,2\n\n3,y\n", "line 4, column loss: must be float, got 'y'"),
        ("seed,loss\n1,2\n,3\n", "line 3, column seed: must be int, got an empty cell"),
        ("seed,loss\n" + "1" * 200_000 + ",1\n", "field larger than field limit"),
    ],
)
def test_tables_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        from_csv(text, Row)
    assert "\n" not in str(error.value)


class Arm(NamedTuple):
    arm: Literal["soft", "hard"]
    run: int


def test_a_column_of_choices() -> None:
    assert from_csv("arm,run\nhard,1\n", Arm) == [Arm("hard", 1)]
    with pytest.raises(ValueError, match="column arm: must be one of soft, hard, got 'warm'"):
        from_csv("arm,run\nwarm,1\n", Arm)


def test_an_empty_cell_is_none_where_a_column_may_be_empty(tmp_path: Path) -> None:
    assert from_csv("seed,loss\n1,\n", Row) == [Row(1, None)]
    (tmp_path / "a.csv").write_text("seed,loss\n,1\n")
    with pytest.raises(ValueError, match=r"a\.csv: line 2, column seed: must be int, got an empty"):
        read_rows(tmp_path / "a.csv", Row)


def test_text_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"seed,loss\n\xff\n")
    with pytest.raises(ValueError, match=r"a\.csv is not text in UTF-8"):
        read_rows(tmp_path / "a.csv", Row)
