"""Data sets and files: what is read, and that nothing damaged, pickled or half written is."""

from __future__ import annotations

import gzip
import os
import pickle
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hopcore import datasets, files
from hopcore.datasets._idx import read_idx

IMAGES = np.random.default_rng(7).integers(0, 256, (6, 4, 3), dtype=np.uint8)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("split", ["t10k", "train"])
@pytest.mark.parametrize("joint", ["-", "."])
@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_under_each_of_its_names(tmp_path, split, joint, zipped):
    raw = gzip.compress(idx(IMAGES)) if zipped else idx(IMAGES)
    (tmp_path / f"{split}-images{joint}idx3-ubyte{'.gz' * zipped}").write_bytes(raw)
    images = datasets.load("mnist", tmp_path)
    assert images.shape == (4, 3)
    np.testing.assert_array_equal(np.rint((images.pixels + 1) * 127.5), IMAGES.reshape(6, 12))
    assert images.pixels.min() >= -1
    assert images.pixels.max() <= 1


def test_mnist_prefers_the_test_set(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:2])))
    assert len(datasets.load("mnist", tmp_path).pixels) == 2


def test_idx_labels_have_one_axis(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx(np.arange(5, dtype=np.uint8)))
    np.testing.assert_array_equal(read_idx(path), np.arange(5))


WHOLE = idx(IMAGES)
DAMAGED = {
    "empty": (b"", "not an IDX file"),
    "text": (b"<html>", "not an IDX file"),
    "of floats": (WHOLE[:2] + b"\x0d" + WHOLE[3:], "not an IDX file of bytes"),
    "within the header": (WHOLE[:9], "header"),
    "truncated": (WHOLE[:-1], "must hold 72 bytes"),
    "too long": (WHOLE + b"\0", "must hold 72 bytes"),
    "a huge shape": (WHOLE[:4] + b"\xff" * 12 + WHOLE[16:], "must hold"),
    "labels": (idx(np.arange(5, dtype=np.uint8)), "must hold images"),
    "no images": (idx(IMAGES[:0]), "must hold images"),
    "truncated gzip": (gzip.compress(WHOLE)[:-12], "damaged"),
    "gzip with a wrong sum": (gzip.compress(WHOLE)[:-8] + bytes(8), "damaged"),
    "gzip of nothing": (b"\x1f\x8b", "damaged"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_idx(tmp_path, what):
    raw, message = DAMAGED[what]
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        datasets.load("mnist", tmp_path)


def test_data_sets_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="holds no t10k-images"):
        datasets.load("mnist", tmp_path)
    with pytest.raises(ValueError, match="--data"):
        datasets.load("mnist")
    with pytest.raises(ValueError, match="for mnist"):
        datasets.load("digits", tmp_path)
    with pytest.raises(ValueError, match="unknown data set 'cifar'"):
        datasets.load("cifar")


def test_choose_draws_without_replacement():
    images = datasets.Images(np.arange(10.0)[:, None], (1, 1), np.arange(10))
    chosen = datasets.choose(images, 10, np.random.default_rng(0))
    assert sorted(chosen.pixels[:, 0]) == list(range(10))
    np.testing.assert_array_equal(chosen.labels, chosen.pixels[:, 0])
    for count in (0, -1, 11):
        with pytest.raises(ValueError, match="between 1 and 10"):
            datasets.choose(images, count, np.random.default_rng(0))


def test_corruptions():
    images = datasets.Images(np.ones((2, 15)), (5, 3))
    half = datasets.corrupt(images, "half", np.random.default_rng(0))
    np.testing.assert_array_equal(half[0], [1] * 6 + [0] * 9)
    np.testing.assert_array_equal(images.pixels, 1)
    many = datasets.Images(np.zeros((100, 100)), (10, 10))
    noise = datasets.corrupt(many, "noise:0.5", np.random.default_rng(0))
    assert abs(noise.std() - 0.5) < 0.02  # 10,000 draws: a standard error of 0.0035
    assert abs(noise.mean()) < 0.02
    for bad in ("noise", "noise:x", "noise:-1", "noise:inf", "noise:nan", "half:2", "upside down"):
        with pytest.raises(ValueError, match="noise:SIGMA"):
            datasets.corrupt(images, bad, np.random.default_rng(0))


# Arrays from files.


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(tmp_path):
    sprung = tmp_path / "sprung"
    np.save(tmp_path / "objects.npy", np.asarray([Trap(sprung)], dtype=object), allow_pickle=True)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Trap(sprung)))
    for name in ("objects.npy", "raw.npy"):
        with pytest.raises(ValueError, match=r"not a whole \.npy file"):
            files.read_array(tmp_path / name)
    assert not sprung.exists()
    np.load(tmp_path / "objects.npy", allow_pickle=True)
    assert sprung.exists()  # the trap works


def test_every_truncation_is_seen(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((2, 3)))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.npy is not a whole \.npy file of numbers: \S"):
            files.read_array(path)


def test_a_damaged_header_is_one_of_the_stated_errors(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.ones((2, 3)))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        raw = bytearray(whole)
        raw[rng.integers(0, 128)] = rng.integers(0, 256)
        path.write_bytes(raw)
        try:
            files.read_array(path)
        except (ValueError, TypeError):
            refused += 1
    assert refused > 100


def test_what_an_array_may_hold(tmp_path):
    path = tmp_path / "a.npy"
    for values, error, message in (
        (np.asarray([1 + 2j]), TypeError, "complex128"),
        (np.asarray(["1"]), TypeError, "real numbers"),
        (np.asarray([True]), TypeError, "bool"),
        (np.asarray([[0.0, np.nan]]), ValueError, r"nan at index \(0, 1\)"),
        (np.asarray([-np.inf]), ValueError, "-inf"),
    ):
        np.save(path, values)
        with pytest.raises(error, match=message):
            files.read_array(path)
    np.save(path, np.asarray([1.0, 2.0], dtype=">f4"))
    assert files.read_array(path).dtype == np.float32
    with pytest.raises(OSError, match="missing"):
        files.read_array(tmp_path / "missing.npy")


# Files written whole.


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half of the n")
        raise RuntimeError("full disk")

    with pytest.raises(RuntimeError, match="full disk"):
        files.write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    files.write_whole(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal on this system")
def test_a_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from hopcore import files\n"
        "def stop(file):\n"
        "    file.write(b'half of the n'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_whole(Path(sys.argv[1]), stop)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="does not exist"):
        files.write_whole(tmp_path / "no" / "a", lambda file: None)
    with pytest.raises(OSError, match="not a plain file"):
        files.write_whole(tmp_path, lambda file: None)
    with pytest.raises(OSError, match="not a plain file"):
        files.write_whole(Path(os.devnull), lambda file: None)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write_whole(tmp_path / "link", lambda file: file.write(b"new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
