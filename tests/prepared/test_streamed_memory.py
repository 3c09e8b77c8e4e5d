"""Prepared memories of streamed patterns: certificates, what is read, and what is refused."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exact_associations import KINDS, WIDTHS, check_certificate, patterns
from hypothesis import given, settings
from hypothesis import strategies as st

import hopcore
from hopcore.prepared._file_rows import FileRows
from hopcore.streamed._sources import NpyFile

RNG = np.random.default_rng(0)
STORED = RNG.standard_normal((3000, 40)) / np.arange(1, 41)
STATES = STORED[:6] + 0.001 * RNG.standard_normal((6, 40))
BETA = 1e4


@pytest.fixture(autouse=True)
def _small_memories_too(monkeypatch):
    monkeypatch.setattr("hopcore.prepared._snapshot.SMALL", 0)


class Held:
    """The arrays of a memory, as ``exact`` takes them."""

    def __init__(self, memory, stored, values, gone):
        left = np.setdiff1d(np.arange(len(stored)), gone)
        self.patterns, self.values = stored[left], values[left]
        self.bias, self.similarity = memory.bias, memory.similarity
        self.separation = memory.separation


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depth = draw(st.sampled_from(WIDTHS))
    count = draw(st.sampled_from((1, 2, 5, 40, 200, 700) if depth < 2000 else (1, 30)))
    unit = draw(st.sampled_from((1.0, 1.0, 1e-15, 1e15)))
    dtype = draw(st.sampled_from((np.float32, np.float64)))
    stored = (patterns(rng, draw(st.sampled_from(KINDS)), count, depth) * unit).astype(dtype)
    values, bias = stored, None
    rows = draw(st.sampled_from((1, 7, 64, 1000)))
    given_values: Any = None
    if draw(st.booleans()):
        scale = 10.0 ** draw(st.integers(-3, 3))
        values = (rng.standard_normal((count, draw(st.integers(1, 4)))) * scale).astype(dtype)
        given_values = values if draw(st.booleans()) else hopcore.Streamed(values, rows=5)
    if draw(st.booleans()):
        bias = rng.standard_normal(count) * 10.0 ** draw(st.integers(-1, 2))
    memory = hopcore.Memory(
        hopcore.Streamed(stored, rows=rows),
        given_values,
        similarity=draw(st.sampled_from(("distance", "dot"))),
        separation=draw(st.sampled_from(("softmax", "softmax", "sparsemax"))),
        beta=1.0,
        error=unit * 10.0 ** draw(st.floats(-10, 0)),
        bias=bias,
    )
    gone = []
    if count > 4 and draw(st.booleans()):
        gone = rng.choice(count, count // draw(st.sampled_from((3, 2))), replace=False).tolist()
        memory.remove(gone)
    noise = unit * 10.0 ** draw(st.floats(-3, 1))
    state = (stored[rng.integers(count)] + noise * rng.standard_normal(depth)).astype(dtype)
    beta = 10.0 ** draw(st.floats(-4, 6)) / unit / unit
    return memory, Held(memory, stored, values, gone), state, beta


@settings(max_examples=40, deadline=None)
@given(case=cases())
def test_certificates_hold(case):
    check_certificate(*case)


@pytest.mark.full
@settings(max_examples=3000, deadline=None)
@given(case=cases())
def test_certificates_hold_in_many_cases(case):
    check_certificate(*case)


def written(folder: Path, kind: str, array: np.ndarray) -> Any:
    """Patterns as a source of a kind."""
    if kind in ("npy", "memmap"):
        np.save(folder / "a.npy", array)
        path = folder / "a.npy"
        return path if kind == "npy" else np.load(path, mmap_mode="r")
    if kind == "h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "a.h5", "w") as file:
            file.create_dataset("x", data=array, chunks=(64, array.shape[1]))
        return f"{folder / 'a.h5'}:x"
    zarr = pytest.importorskip("zarr")
    made = zarr.create_array(
        store=str(folder / "a.zarr"), shape=array.shape, dtype=array.dtype, chunks=(64, 40)
    )
    made[:] = array
    return folder / "a.zarr"


@pytest.mark.parametrize("kind", ["npy", "memmap", "h5", "zarr"])
def test_rows_of_every_source(tmp_path, kind):
    stored = hopcore.Streamed(written(tmp_path, kind, STORED), rows=500)
    rows = FileRows(stored, "stored")
    for some in ([7], [0, 1, 2], [5, 300, 301, 2999], RNG.integers(0, 3000, 200), np.arange(3000)):
        np.testing.assert_array_equal(rows[np.asarray(some)], STORED[some])
    np.testing.assert_array_equal(rows[9], STORED[9])
    pairs = np.asarray([[5, 5, 9], [2, 9, 2]])
    np.testing.assert_array_equal(rows[pairs], STORED[pairs])
    np.testing.assert_array_equal(rows[100:200], STORED[100:200])
    memory = hopcore.Memory(stored, beta=BETA, error=1e-6)
    plain = hopcore.Memory(STORED, beta=BETA, error=1e-6)
    assert (memory.visits(STATES).patterns < 20).all()
    output, certificate = memory.association(STATES, return_certificate=True)
    wanted, other = plain.association(STATES, return_certificate=True)
    assert (np.linalg.norm(output - wanted, axis=-1) <= certificate + other).all()


@pytest.mark.parametrize("dtype", [">f4", "<f8", "int16"])
def test_files_of_other_numbers_are_converted(tmp_path, dtype):
    array = (1000 * STORED).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    memory = hopcore.Memory(
        hopcore.Streamed(tmp_path / "a.npy", dtype="float32"), beta=0.01, error=1e-3
    )
    array = array.astype(np.float32)
    np.testing.assert_array_equal(memory.snapshot().some(np.asarray([3, 1])), array[[3, 1]])
    np.testing.assert_allclose(memory.association(array[:3]), array[:3], atol=1e-2)


def counted(monkeypatch) -> list[int]:
    """Count the rows that are read from .npy files."""
    read: list[int] = []
    right, single = NpyFile.read, NpyFile.take
    monkeypatch.setattr(
        NpyFile, "read", lambda self, a, b: (read.append(b - a), right(self, a, b))[1]
    )
    monkeypatch.setattr(
        NpyFile, "take", lambda self, rows: (read.append(len(rows)), single(self, rows))[1]
    )
    return read


def test_only_what_may_matter_is_read(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", STORED)
    memory = hopcore.Memory(hopcore.Streamed(tmp_path / "a.npy"), beta=BETA, error=1e-6)
    read = counted(monkeypatch)
    memory.association(STATES)
    assert sum(read) < 0.1 * len(STORED)
    read.clear()
    memory.association(STATES)
    assert sum(read) == 0  # these rows are kept
    memory.association(STATES, beta=0.01)
    # Each query looks at some candidates before all patterns are read, once.
    assert len(STORED) <= sum(read) < 1.1 * len(STORED)
    read.clear()
    memory.association(np.repeat(STATES, 100, axis=0))
    assert sum(read) == len(STORED)  # a pass is faster than 600 looks at the sketch
    assert hopcore.Memory(hopcore.Streamed(tmp_path / "a.npy"), beta=1.0).patterns.shape


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
@pytest.mark.parametrize("similarity", ["distance", "dot"])
@pytest.mark.parametrize("error", [0.0, 1e-9])
def test_functions_agree_with_a_memory_of_arrays(separation, similarity, error):
    options = {"similarity": similarity, "separation": separation, "beta": 50.0, "error": error}
    bias = RNG.standard_normal(len(STORED))
    memory = hopcore.Memory(hopcore.Streamed(STORED, rows=700), bias=bias, **options)
    plain = hopcore.Memory(STORED, bias=bias, **options)
    for one in (memory, plain):
        one.remove([0, 1, 5, 1000, 2999])
    assert len(memory) == 2995
    assert 5 not in memory
    assert memory.keys == plain.keys
    mask = RNG.random((6, 2995)) < 0.5
    for ask in (hopcore.update, hopcore.energy, hopcore.energy_gradient):
        for more in ({}, {"mask": mask}):
            got, wanted = ask(STATES, memory, 50.0, **more), ask(STATES, plain, 50.0, **more)
            np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-7)
    got, wanted = hopcore.retrieve(STATES, memory, 50.0), hopcore.retrieve(STATES, plain, 50.0)
    np.testing.assert_allclose(got.state, wanted.state, atol=1e-6)
    np.testing.assert_array_equal(got.index, wanted.index)
    statistics = zip(
        hopcore.statistics(STATES, memory, 50.0),
        hopcore.statistics(STATES, plain, 50.0),
        strict=True,
    )
    for got, wanted in statistics:
        np.testing.assert_allclose(got, wanted, atol=1e-7)


def test_other_libraries_ask_a_streamed_memory():
    torch = pytest.importorskip("torch")
    memory = hopcore.Memory(hopcore.Streamed(STORED, rows=700), beta=BETA, error=1e-6)
    got = hopcore.retrieve(torch.tensor(STATES), memory, BETA)
    np.testing.assert_array_equal(got.index, np.arange(6))
    state = torch.tensor(STATES)
    output, certificate = memory.association(state, return_certificate=True)
    wanted, bound = memory.association(STATES, return_certificate=True)
    np.testing.assert_array_equal(output, wanted)
    np.testing.assert_array_equal(certificate, bound)
    with pytest.raises(TypeError, match="without a gradient"):
        memory.association(state.requires_grad_(), return_certificate=True)


def test_removal_keys_copies_and_snapshots(tmp_path):
    np.save(tmp_path / "a.npy", STORED)
    stored = hopcore.Streamed(tmp_path / "a.npy")
    memory = hopcore.Memory(stored, beta=BETA, error=1e-6)
    before, other = memory.snapshot(), copy.copy(memory)
    memory.remove([0, 2])
    assert (0 in memory, 1 in memory, 3000 in memory, "a" in memory) == (False, True, False, False)
    assert memory.shape == (2998, 40)
    assert len(other) == before.count == 3000
    found = memory.retrieve(STATES)
    assert [memory.keys[i] for i in found.index[[1, 3]]] == [1, 3]
    assert memory.keys[found.index[0]] != 0
    assert hopcore.retrieve(STATES, before, BETA).index[0] == 0
    assert other.retrieve(STATES).index[2] == 2
    again = pickle.loads(pickle.dumps(memory))
    assert len(again) == 2998
    np.testing.assert_array_equal(again.association(STATES), memory.association(STATES))
    named = hopcore.Memory(stored, keys=[f"row {i}" for i in range(3000)], beta=1.0, error=1e-3)
    named.remove(["row 7", "row 9"])
    assert "row 7" not in named
    with pytest.raises(KeyError, match="no key 'row 7'"):
        named.remove("row 7")
    named.remove(named.keys)
    np.testing.assert_array_equal(named.association(STATES), np.zeros((6, 40)))
    assert named.patterns.shape == (0, 40)


def test_projections_and_calibration(tmp_path):
    labels = RNG.standard_normal((3000, 2))
    np.save(tmp_path / "v.npy", labels)
    stored = hopcore.Streamed(STORED, rows=900)
    for values in (labels, hopcore.Streamed(tmp_path / "v.npy", rows=100)):
        memory = hopcore.Memory(stored, values, beta=BETA, error=1e-6)
        np.testing.assert_allclose(memory.association(STATES), labels[:6], atol=0.02)
        memory.remove(0)
        np.testing.assert_allclose(memory.association(STATES[1:]), labels[1:6], atol=0.02)
        low = memory.association(STATES, beta=0.1, return_certificate=True)
        wanted = hopcore.association(
            STATES, STORED[1:], labels[1:], beta=0.1, similarity="distance"
        )
        assert (np.linalg.norm(low[0] - wanted, axis=-1) <= low[1]).all()
    assert memory.calibrate(noise=0.001, score="energy").score == "energy"
    assert memory.calibrate(noise=0.001).threshold < 0.1
    np.testing.assert_array_equal(memory.accepts([STATES[1], STATES[1] + 3.0]), [True, False])


def test_the_default_beta_is_that_of_a_sample():
    memory = hopcore.Memory(hopcore.Streamed(STORED), error=1e-6)
    places = np.unique(np.linspace(0, 2999, 2048).astype(int))
    assert memory.beta == hopcore.suggest_beta(STORED[places], similarity="distance").beta
    assert hopcore.suggest_beta(memory).beta == memory.beta


REFUSED = {
    "add": (TypeError, "append new ones to the file", lambda m: m.add(STORED[:1])),
    "update": (TypeError, "append new ones to the file", lambda m: m.update(0, STORED[0])),
    "save": (TypeError, "pickle the Memory instead", lambda m: m.save("x")),
    "compact": (TypeError, "prepare a Memory of an array", lambda m: m.compact(3)),
    "weights": (TypeError, "too many", lambda m: hopcore.association_weights(STATES, m, 1.0)),
    "graph": (TypeError, "elsewhere write memory.patterns", lambda m: hopcore.knn_graph(m, 3)),
    "shape": (ValueError, "state", lambda m: m.association(STATES[:, :3])),
}


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_refused_in_one_line(call):
    error, message, ask = REFUSED[call]
    memory = hopcore.Memory(hopcore.Streamed(STORED), beta=1.0, error=1e-6)
    with pytest.raises(error, match=message) as raised:
        ask(memory)
    assert "\n" not in str(raised.value)
    assert len(memory) == 3000


def test_bad_sources_are_refused_in_one_line():
    bad = STORED.copy()
    bad[2500, 3] = np.nan
    with pytest.raises(ValueError, match=r"stored must be finite, got nan at index \(2500, 3\)"):
        hopcore.Memory(hopcore.Streamed(bad), beta=1.0, error=1e-6)
    bad[2500] = 0.0
    values = np.full((3000, 1), np.inf)
    with pytest.raises(ValueError, match=r"(values|projection) must be finite, got inf at index"):
        hopcore.Memory(hopcore.Streamed(bad), hopcore.Streamed(values), beta=1.0, error=1e-6)
    with pytest.raises(ValueError, match="at least one pattern"):
        hopcore.Memory(hopcore.Streamed(STORED[:0]), error=1e-6)
    with pytest.raises(TypeError, match="float32 or float64 in a Memory, got float16"):
        hopcore.Memory(hopcore.Streamed(STORED.astype(np.float16)), error=1e-6)
    with pytest.raises(ValueError, match="a row for each of 3000 patterns"):
        hopcore.Memory(hopcore.Streamed(STORED), hopcore.Streamed(STORED[:5]), error=1e-6)
    with pytest.raises(TypeError, match="values must be float64"):
        hopcore.Memory(
            hopcore.Streamed(STORED), hopcore.Streamed(STORED, dtype="float32"), beta=1.0
        )
    with pytest.raises(TypeError, match="only where stored is"):
        hopcore.Memory(STORED, hopcore.Streamed(STORED))
    with pytest.raises(ValueError, match="bias must hold a number for each pattern"):
        hopcore.Memory(hopcore.Streamed(STORED), beta=1.0, bias=[1.0])
    with pytest.raises(ValueError, match="keys must name each of 3000 patterns"):
        hopcore.Memory(hopcore.Streamed(STORED), beta=1.0, keys=["a"])


def test_dask_arrays_are_refused():
    da = pytest.importorskip("dask.array")
    for stored in (
        hopcore.Streamed(da.from_array(STORED, chunks=(500, 40))),
        hopcore.Streamed(STORED, dask=True),
    ):
        with pytest.raises(TypeError, match="Dask would compute whole blocks"):
            hopcore.Memory(stored, error=1e-6)


@pytest.mark.parametrize("beta", [BETA, 0.01])
def test_files_that_change_are_noticed(tmp_path, beta):
    path = tmp_path / "a.npy"
    np.save(path, STORED)
    memory = hopcore.Memory(hopcore.Streamed(path), beta=beta, error=1e-6)
    memory.association(STATES)
    np.save(path, STORED[::-1])
    with pytest.raises(ValueError, match="has changed since it was opened"):
        memory.association(STATES)
    with pytest.raises(ValueError, match="has changed since it was opened"):
        memory.association(STATES, return_certificate=True)
    os.truncate(path, 5000)
    with pytest.raises(ValueError, match="was truncated after it was opened"):
        memory.association(STATES)


def test_nan_that_comes_later_is_noticed():
    stored = STORED.copy()
    memory = hopcore.Memory(hopcore.Streamed(stored), beta=BETA, error=1e-6)
    stored[3] = np.nan
    with pytest.raises(ValueError, match=r"stored must be finite, got nan at index \(3, 0\)"):
        memory.association(STATES[3])
