"""Memories in files: everything comes back, and what is damaged or newer is refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hopcore
from hopcore.files import read_tensors, write_tensors

STORED = np.random.default_rng(0).standard_normal((30, 4))


@pytest.mark.parametrize(
    "separation", ["softmax", "sparsemax", "normmax:2", "k-subsets:3", "epanechnikov"]
)
def test_everything_comes_back(tmp_path, separation):
    path = tmp_path / "one.memory"
    keys = [*range(29), "ü"]
    bias = None if separation == "epanechnikov" else np.arange(30.0)
    memory = hopcore.Memory(
        STORED, STORED[:, :2], keys=keys, separation=separation, beta=0.7, error=1e-4, bias=bias
    )
    memory.calibrate(noise=0.2)
    memory.remove(3)
    memory.save(path)
    other = hopcore.Memory.load(path)
    assert repr(other) == repr(memory)
    assert (other.keys, other.calibration) == (memory.keys, memory.calibration)
    assert other.separation == memory.separation
    np.testing.assert_array_equal(other.association(STORED), memory.association(STORED))


def test_empty_memories(tmp_path):
    path = tmp_path / "empty.memory"
    hopcore.Memory(np.empty((0, 3), np.float32)).save(path)
    other = hopcore.Memory.load(path)
    assert other.shape == (0, 3)
    assert other.dtype == np.float32


def changed(path, **changes):
    header, arrays = read_tensors(path)
    header.pop("digest")
    write_tensors(path, {**header, **changes}, arrays)


def test_files_that_are_refused(tmp_path):
    path = tmp_path / "one.memory"
    memory = hopcore.Memory(STORED, beta=1.0)

    def refused(message):
        with pytest.raises(ValueError, match=message) as caught:
            hopcore.Memory.load(path)
        assert "\n" not in str(caught.value)

    memory.save(path)
    changed(path, version="2")
    refused("its version 2 is newer than 1")
    memory.save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused("digest")
    path.write_bytes(content[:100])
    refused("whole safetensors")
    memory.save(path)
    changed(path, settings=json.dumps({"similarity": "cosine"}))
    refused("is not a memory of hopcore")
    changed(path, settings="[")
    refused("is not a memory of hopcore")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "one.memory"
    hopcore.Memory(STORED, beta=1.0).save(path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        hopcore.Memory(2.0 * STORED, beta=1.0).save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["one.memory"]
