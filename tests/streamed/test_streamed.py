"""Streamed memories: sources of every kind, every split, what is refused, and what is held."""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.experiments import options as console
from hopcore.streamed._sources import patterns_of

RNG = np.random.default_rng(0)
STORED, STATE = RNG.normal(size=(23, 5)), RNG.normal(size=(4, 5))
VALUES = RNG.normal(size=(23, 3))
MASK = RNG.random((4, 23)) < 0.7
MASK[2] = False
BETA = np.asarray([0.5, 1.0, 2.0, 30.0])
SEPARATIONS = ["softmax", "sparsemax", hopcore.Entmax(1.5), hopcore.Entmax(3.0)]


class Watched:
    """An array of rows, which counts how many of its slices are held at a time."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.reads: list[slice] = []

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.reads.append(rows)
        return self.values[rows]


def close(got: Any, want: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(got), want, rtol=rtol, atol=1e-12)


# Every split and option


@pytest.mark.parametrize("rows", [1, 4, 22, 99])
@pytest.mark.parametrize("separation", SEPARATIONS, ids=repr)
def test_no_split_changes_anything(rows: int, separation: Any) -> None:
    stored = hopcore.Streamed(STORED, rows=rows)
    for beta, masks in ((2.0, (None, MASK[:, :1])), (BETA, (MASK,))):
        for mask in masks:
            options: Any = {"mask": mask, "separation": separation}
            for values in (None, VALUES, hopcore.Streamed(VALUES, rows=7)):
                got = hopcore.association(STATE, stored, values, beta=beta, **options)
                whole = None if values is None else VALUES
                close(got, hopcore.association(STATE, STORED, whole, beta=beta, **options))
            close(
                hopcore.energy(STATE, stored, beta, **options),
                hopcore.energy(STATE, STORED, beta, **options),
            )
            # Where an update lands can hang on a rounding of the one before.
            got = hopcore.retrieve(STATE, stored, beta, max_steps=3, **options)
            want = hopcore.retrieve(STATE, STORED, beta, max_steps=3, **options)
            close(got.state, want.state, 1e-7)
            close(got.energy, want.energy, 1e-7)
            np.testing.assert_array_equal(got.steps, want.steps)


def test_leading_axes_and_parts() -> None:
    states, stored = RNG.normal(size=(2, 3, 4, 5)), hopcore.Streamed(STORED, rows=6)
    values = RNG.normal(size=(3, 23, 2))
    got = hopcore.association(states, stored, values, beta=1.0, return_lse=True)
    for one, other in zip(
        got, hopcore.association(states, STORED, values, beta=1.0, return_lse=True), strict=True
    ):
        close(one, other)


@pytest.mark.parametrize("separation", ["softmax", "sparsemax", hopcore.Entmax(3.0)], ids=repr)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_states_of_other_libraries(library: str, separation: Any) -> None:
    pytest.importorskip(library)
    backend = hopcore.backend(library)
    state, mask = backend.asarray(STATE, dtype="float32"), backend.asarray(MASK)
    stored = hopcore.Streamed(STORED, dtype="float32", rows=6)
    got = hopcore.retrieve(state, stored, 2.0, mask=mask, separation=separation, max_steps=3)
    want = hopcore.retrieve(STATE, STORED, 2.0, mask=MASK, separation=separation, max_steps=3)
    for name in ("state", "energy"):
        found = getattr(got, name)
        assert type(found) is type(state)
        close(backend.to_numpy(found), getattr(want, name), 1e-4)


def test_half_precision_of_torch() -> None:
    torch = pytest.importorskip("torch")
    half, stored = torch.tensor(STATE).half(), STORED.astype(np.float16)
    got = hopcore.energy(half, hopcore.Streamed(stored, rows=4), 2.0)
    want = hopcore.energy(half, torch.tensor(stored), 2.0)
    assert got.dtype == want.dtype == torch.float32
    close(got, want, 1e-5)
    assert hopcore.update(half, hopcore.Streamed(stored, rows=4), 2.0).dtype == torch.float16


def test_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    patterns = RNG.normal(size=(1 << 18, 16)).astype(np.float32)
    np.save(tmp_path / "a.npy", patterns)
    mapped = np.lib.format.open_memmap(tmp_path / "a.npy", "r")
    state = patterns[:2]
    hopcore.retrieve(state, mapped[:100], 9.0)
    tracemalloc.start()
    got = hopcore.retrieve(state, mapped, 9.0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 0.4 * patterns.nbytes
    close(got.state, hopcore.retrieve(state, patterns, 9.0).state)


# What is held, and how often it is read


def test_two_pieces_are_held_and_each_is_read_once() -> None:
    live, most, lock = 0, 0, threading.Lock()

    def gone() -> None:
        nonlocal live
        with lock:
            live -= 1

    class Reader:
        name, shape, dtype = "watched", STORED.shape, STORED.dtype

        def read(self, start: int, stop: int) -> np.ndarray:
            nonlocal live, most
            found = STORED[start:stop].copy()
            weakref.finalize(found, gone)  # views keep it
            with lock:
                live += 1
                most = max(most, live)
            reads.append((start, stop))
            return found

        def aligned(self, rows: int) -> int:
            return 3

        def check_unchanged(self) -> None:
            pass

    reads: list[tuple[int, int]] = []
    stored = hopcore.Streamed(Reader())
    close(hopcore.update(STATE, stored, 1.0), hopcore.update(STATE, STORED, 1.0))
    assert 1 <= most <= 2
    assert live == 0
    assert sorted(reads) == [(start, min(start + 3, 23)) for start in range(0, 23, 3)]


def test_the_longest_pattern_is_looked_for_once() -> None:
    watched = Watched(STORED)
    stored = hopcore.Streamed(watched, rows=23)
    hopcore.energy(STATE, stored, 1.0)
    assert len(watched.reads) == 2
    hopcore.energy(STATE, stored, 1.0)
    assert len(watched.reads) == 3


def test_every_pass_is_tracked(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    passes = []

    def track(pieces: Any, total: int) -> Any:
        passes.append((len(pieces), total))
        return console.tracked(pieces, total)

    monkeypatch.setattr(console, "PATIENCE", 0.0)
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    stored = hopcore.Streamed(STORED, rows=10, track=track)
    found = hopcore.retrieve(STATE, stored, 1.0, max_steps=2, tol=0.0)
    assert passes == [(3, 3)] * 4  # M, two updates, the energy
    close(found.state, hopcore.retrieve(STATE, STORED, 1.0, max_steps=2, tol=0.0).state)
    printed = capsys.readouterr()
    assert "working" in printed.err
    assert printed.out == ""


def test_a_reader_that_is_left_alone_ends() -> None:
    before = set(threading.enumerate())

    def fail(pieces: Any, total: int) -> Any:
        yield next(iter(pieces))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hopcore.update(STATE, hopcore.Streamed(STORED, rows=2, track=fail), 1.0)
    assert set(threading.enumerate()) <= before


def test_work_that_fails_leaves_no_reader() -> None:
    # The traceback holds the call; garbage that is collected by the reader could not end it.
    before = set(threading.enumerate())

    def fail(piece: Any) -> float:
        raise ArithmeticError(str(piece.rows))

    with pytest.raises(ArithmeticError) as failed:
        hopcore.Streamed(STORED, rows=2).reduce(fail, max)
    assert set(threading.enumerate()) <= before
    del failed


# Sources


def sources(folder: Path, values: np.ndarray) -> dict[str, Any]:
    """The same patterns in every kind of source."""
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    np.save(folder / "a.npy", values)
    np.save(folder / "swapped.npy", values.astype(values.dtype.newbyteorder()))
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("group/patterns", data=values, chunks=(4, *values.shape[1:]))
        file["whole"] = values
    array = zarr.create_array(
        folder / "a.zarr", shape=values.shape, chunks=(4, *values.shape[1:]), dtype=values.dtype
    )
    array[:] = values
    return {
        "npy": folder / "a.npy",
        "text": str(folder / "a.npy"),
        "swapped": folder / "swapped.npy",
        "memmap": np.lib.format.open_memmap(folder / "a.npy", "r"),
        "hdf5": folder / "a.h5:group/patterns",
        "contiguous hdf5": folder / "a.h5:whole",
        "zarr": array,
        "zarr folder": folder / "a.zarr",
        "slices": Watched(values),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_sources_are_read_as_they_are(tmp_path: Path, dtype: str) -> None:
    values = np.rint(40 * np.abs(STORED)).astype(dtype).reshape(23, 5, 1)
    kind = "float32" if dtype == "uint8" else dtype
    flat = values.reshape(23, 5).astype(kind)
    state = flat[:3] + np.asarray(0.5, kind)
    want = hopcore.retrieve(state, flat, 0.01)
    for name, source in sources(tmp_path, values).items():
        stored = hopcore.Streamed(source, dtype=kind, rows=5)
        assert (stored.shape, stored.ndim, stored.dtype.name) == ((23, 5), 2, kind), name
        close(hopcore.retrieve(state, stored, 0.01).state, want.state, 1e-5)


def test_pieces_are_whole_chunks(tmp_path: Path) -> None:
    found = sources(tmp_path, np.zeros((23, 1 << 18)))
    for name in ("hdf5", "zarr", "zarr folder"):
        assert hopcore.Streamed(found[name]).rows == 8, name
    assert hopcore.Streamed(found["npy"]).rows == 8
    assert hopcore.Streamed(np.zeros((3, 1 << 22))).rows == 1


def test_bad_files_are_named(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    good, bad = sources(tmp_path, STORED), tmp_path / "bad.npy"

    def refused(source: Any, kind: type[Exception], match: str, **options: Any) -> None:
        with pytest.raises(kind, match=match) as error:
            hopcore.Streamed(source, **options)
        assert "\n" not in str(error.value)

    data = (tmp_path / "a.npy").read_bytes()
    for content, match in (
        (data[:-9], r"bad.npy is truncated: 1039 bytes of 1048"),
        (data[:40], r"bad.npy is not a .npy file"),
        (b"", r"bad.npy is not a .npy file"),
        (b"PK" + data[2:], r"bad.npy is not a .npy file"),
    ):
        bad.write_bytes(content)
        refused(bad, ValueError, match)
    for values, kind, match in (
        (np.asfortranarray(STORED), ValueError, "bad.npy is in Fortran order"),
        (np.asarray([{}, {}], dtype=object), TypeError, "bad.npy must hold real numbers"),
        (STORED + 1j, TypeError, "bad.npy must hold real numbers, got complex128"),
        (STORED.astype(np.int16), TypeError, "bad.npy holds int16; say what to convert it to"),
        (STORED[0], ValueError, r"bad.npy must be \(S, d\), got \(5,\)"),
        (STORED[:0], ValueError, r"bad.npy must hold at least one pattern .* \(0, 5\)"),
    ):
        np.save(bad, values, allow_pickle=True)
        refused(bad, kind, match)
    refused(tmp_path / "none.npy", FileNotFoundError, "none.npy")
    refused(tmp_path, ValueError, "not an array of Zarr")
    refused(tmp_path / "a.h5", ValueError, "a.h5:NAME")
    refused(tmp_path / "a.h5:none", ValueError, "no data set 'none'; known: whole")
    refused(tmp_path / "none.h5:a", FileNotFoundError, "none.h5")
    (tmp_path / "bad.h5").write_bytes(b"no")
    refused(tmp_path / "bad.h5:a", ValueError, "bad.h5 is not a whole HDF5 file")
    refused(good["npy"], ValueError, "dtype must be", dtype="float16")
    refused(good["npy"], ValueError, "rows must be >= 1", rows=0)
    refused([[1.0]], TypeError, "got list")
    refused(STORED[0], ValueError, r"\(S, d\)")
    with h5py.File(tmp_path / "a.h5", "r") as file:
        data_set = file["whole"]
        stored = hopcore.Streamed(data_set)
    refused(data_set, ValueError, "was its file closed")
    with pytest.raises(OSError, match=r"a.h5:whole cannot be read, rows 0 to 23"):
        hopcore.update(STATE, stored, 1.0)


def test_a_file_that_shrinks_is_named_with_the_row(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", STORED)
    stored = hopcore.Streamed(tmp_path / "a.npy", rows=4)
    os.truncate(tmp_path / "a.npy", 128 + 14 * 40 + 1)
    with pytest.raises(ValueError, match=r"a.npy was truncated .* row 14 of 23"):
        hopcore.update(STATE, stored, 1.0)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"a.npy"):
        hopcore.update(STATE, stored, 1.0)


def test_a_source_that_fails_is_named_with_the_rows() -> None:
    class Failing(Watched):
        def __getitem__(self, rows: slice) -> np.ndarray:
            if rows.start == 8:
                raise RuntimeError("the disk\nis gone")
            return super().__getitem__(rows)

    with pytest.raises(OSError, match="rows 8 to 12: the disk is gone"):
        hopcore.update(STATE, hopcore.Streamed(Failing(STORED), rows=4), 1.0)
    short = Watched(STORED[:10])
    short.shape = STORED.shape
    with pytest.raises(ValueError, match=r"rows 8 to 12 must be \(4, 5\), got \(2, 5\)"):
        hopcore.update(STATE, hopcore.Streamed(short, rows=4), 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named_by_its_index(bad: float) -> None:
    values = STORED.copy()
    values[21, 3] = bad
    stored = hopcore.Streamed(values, rows=4)
    for _ in range(2):  # no pass that failed counts as one
        with pytest.raises(ValueError, match=rf"stored must be finite, got {bad} at.*\(21, 3\)"):
            hopcore.update(STATE, stored, 1.0)
    with pytest.raises(ValueError, match=r"projection must be finite.*\(21, 3\)"):
        hopcore.association(STATE, hopcore.Streamed(STORED, rows=4), stored, beta=1.0)
    large = hopcore.Streamed(STORED * 1e300, dtype="float32")
    with pytest.raises(ValueError, match=r"stored must be finite, got -?inf"):
        hopcore.update(STATE.astype(np.float32), large, 1.0)


def test_calls_that_no_stream_can_serve() -> None:
    stored = hopcore.Streamed(STORED, rows=4)
    for call in (
        lambda: hopcore.association_weights(STATE, stored, 1.0),
        lambda: hopcore.update(stored, STORED, 1.0),
        lambda: hopcore.suggest_beta(stored),
        lambda: hopcore.diffused_retrieve(STATE, stored, 1.0),
        lambda: hopcore.build_similarity_matrix(stored),
    ):
        with pytest.raises(TypeError, match="streamed memory"):
            call()
    with pytest.raises(TypeError, match="one library, got numpy and streamed"):
        hopcore.association(STATE, STORED, stored, beta=1.0)
    with pytest.raises(TypeError, match="share one dtype"):
        hopcore.update(STATE.astype(np.float32), stored, 1.0)
    with pytest.raises(ValueError, match="beta must be at most"):
        hopcore.update(STATE, stored, 1e308)


def test_derivatives_are_refused() -> None:
    torch = pytest.importorskip("torch")
    stored, state = hopcore.Streamed(STORED, rows=4), torch.tensor(STATE)
    beta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    with pytest.raises(TypeError, match="no derivatives"):
        hopcore.update(state, stored, beta)
    with pytest.raises(TypeError, match="no derivatives"):
        hopcore.retrieve(state, stored, beta, gradient="implicit")
    close(
        hopcore.retrieve(state, stored, 2.0, gradient="implicit").state,
        hopcore.retrieve(STATE, STORED, 2.0).state,
    )


def test_a_trace_is_refused() -> None:
    jax = pytest.importorskip("jax")
    stored = hopcore.Streamed(STORED, dtype="float32")
    with pytest.raises(TypeError, match="under a trace"):
        jax.jit(lambda x: hopcore.update(x, stored, 1.0))(jax.numpy.asarray(STATE))


# Nearest neighbours


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("nodes", "k", "rows"), [(1, 2, 1), (7, 2, 3), (90, 5, 40), (90, 99, 7)])
def test_the_graph_is_that_of_the_array(nodes: int, k: int, rows: int, dtype: str) -> None:
    patterns = RNG.normal(size=(nodes, 6)).astype(dtype)
    patterns[nodes // 2] = 0.0
    for mask in (None, RNG.random(nodes) < 0.8):
        got = hopcore.knn_graph(hopcore.Streamed(patterns, rows=rows), k, mask=mask)
        want = hopcore.knn_graph(patterns, k, mask=mask)
        assert got.shape == want.shape
        for one, other in zip(
            (*got.entries, got.weights), (*want.entries, want.weights), strict=True
        ):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_a_graph_has_one_bar_and_is_searched_exactly() -> None:
    passes = []
    stored = hopcore.Streamed(STORED, rows=10, track=lambda x, n: passes.append(n) or x)
    hopcore.knn_graph(stored, 3)
    assert passes == [3]
    with pytest.raises(ValueError, match="'nndescent'"):
        hopcore.knn_graph(stored, 3, method="nndescent")
    with pytest.raises(TypeError, match="float16"):
        hopcore.knn_graph(hopcore.Streamed(STORED.astype(np.float16)), 3)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("size", [24, 5000])
def test_few_queries_find_what_is_not_finite_by_what_they_recall(
    library: str, bad: float, sign: float, size: int
) -> None:
    pytest.importorskip(library)
    backend = hopcore.backend(library)
    values = np.resize(STORED, (size, 5)).astype(np.float32)
    values[21, 3] = bad
    state = backend.asarray(np.full((1, 5), sign, dtype=np.float32), dtype="float32")
    stored = hopcore.Streamed(values, rows=max(4, size // 2))
    for call in (hopcore.update, hopcore.energy, hopcore.retrieve):
        with pytest.raises(ValueError, match=rf"stored must be finite, got {bad} at.*\(21, 3\)"):
            call(state, stored, 1.0)


def test_a_memory_is_not_searched_for_nan_in_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[bool] = []

    def noted(*arrays: Any, check: bool = True, **options: Any) -> Any:
        searched.append(check)
        return patterns_of(*arrays, check=check, **options)

    monkeypatch.setattr("hopcore.streamed._streamed.patterns_of", noted)
    stored = hopcore.Streamed(STORED, rows=STORED.shape[0])
    hopcore.update(STATE, stored, 1.0)
    assert searched == [False]
    hopcore.update(STATE, stored, 1.0, mask=np.ones((4, 1), dtype=bool))
    hopcore.association(STATE, stored, hopcore.Streamed(STORED), beta=1.0)
    hopcore.update(np.resize(STATE, (1000, 5)), stored, 1.0)
    assert all(searched[1:])


@pytest.mark.parametrize("call", [hopcore.update, hopcore.energy, hopcore.retrieve])
def test_what_is_masked_may_be_nan_at_every_beta(call: Any) -> None:
    values, mask = STORED.copy(), np.ones((1, STORED.shape[0]), dtype=bool)
    values[21, 3], mask[0, 21] = np.nan, False
    found = [
        call(STATE, stored, 1e13, mask=mask)
        for stored in (values, hopcore.Streamed(values, rows=4))
    ]
    if call is hopcore.retrieve:
        found = [x.state for x in found]
    np.testing.assert_allclose(*found)
    with pytest.raises(ValueError, match="stored must be finite, got nan"):
        call(STATE, hopcore.Streamed(values, rows=4), 1e13)
