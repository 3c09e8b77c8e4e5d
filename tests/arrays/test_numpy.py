"""The NumPy backend: tiles, threads and supports against the portable oracle."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import array_api_compat.numpy as np_xp
import numpy as np
import pytest

import hopcore
from hopcore.arrays import _numpy as numpy_backend
from hopcore.arrays import _numpy_tiles as numpy_tiles
from hopcore.arrays import _threads as threads
from hopcore.memory import get_separation

Backend = hopcore.Backend
ORACLE = Backend("portable", np_xp)
SEPARATIONS = [
    "softmax",
    "sparsemax",
    hopcore.Entmax(1.5),
    hopcore.Entmax(1.2),
    hopcore.Entmax(4.0),
]

SHAPES = [
    # state, stored, projection, beta, mask
    ((7, 5), (9, 5), (9, 3), (7,), (7, 9)),
    ((2, 3, 7, 5), (9, 5), (9, 5), (3, 1), None),
    ((2, 3, 7, 5), (3, 9, 5), (2, 1, 9, 4), (3, 1), (2, 1, 1, 9)),
    ((0, 5), (9, 5), (9, 5), (), None),
    ((0, 7, 5), (9, 5), (9, 5), (), None),
    ((40, 5), (300, 5), (300, 4), (), None),
    ((40, 5), (300, 5), (300, 4), (40,), (40, 300)),
    ((40, 5), (300, 5), (300, 4), (), (300,)),
    ((2, 2, 30, 5), (300, 5), (300, 4), (2, 1), None),
    ((2, 2, 30, 5), (2, 300, 5), (300, 4), (), (2, 1, 1, 300)),
    ((30, 5), (4, 300, 5), (4, 300, 5), (4, 30), (30, 1)),
]


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
@pytest.mark.parametrize("case", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [0.05, 30.0])
@pytest.mark.parametrize("road", ["at once", "in tiles"])
def test_every_road_agrees_with_the_portable_oracle(case, separation, scale, road, monkeypatch):
    if road == "in tiles":
        monkeypatch.setattr(numpy_backend, "SERIAL", 0)
        for name, value in {"ROWS": 16, "COLUMNS": 32}.items():
            monkeypatch.setattr(numpy_tiles, name, value)
    rng = np.random.default_rng(0)
    state, stored, projection, beta, mask = case
    state, stored, projection = (rng.normal(size=s) for s in (state, stored, projection))
    beta = scale if beta == () else scale * rng.uniform(0.5, 1.5, size=beta)
    if mask is not None:
        mask = rng.random(mask) > 0.4
        mask[..., :1] = False
    function = get_separation(separation)
    expected, conjugate = ORACLE.associate(state, stored, projection, beta, mask, function, True)
    got = hopcore.association(
        state, stored, projection, beta=beta, mask=mask, separation=separation
    )
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-11)
    lse = hopcore.backend("numpy").conjugate(state, stored, beta, mask, function)
    np.testing.assert_allclose(lse, conjugate, rtol=1e-10, atol=1e-10)


def test_overlapping_calls_leave_blas_as_it_was():
    before = [library["num_threads"] for library in threads.blas().info()]
    rng = np.random.default_rng(0)
    state, stored = rng.normal(size=(600, 8)), rng.normal(size=(4000, 8))
    expected = hopcore.update(state, stored, 0.5)
    wrong = []

    def call():
        if not np.array_equal(hopcore.update(state, stored, 0.5), expected):
            wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(6)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert not wrong
    assert [library["num_threads"] for library in threads.blas().info()] == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_works_after_a_fork():
    program = """
import os, numpy as np, hopcore
state, stored = np.ones((600, 4)), np.ones((4000, 4))
hopcore.update(state, stored, 1.0)
child = os.fork()
if child == 0:
    hopcore.update(state, stored, 1.0)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_scratch_does_not_grow_with_the_memory():
    """2,000 x 100,000 scores would be 760 MiB; the tiles take a few."""
    program = """
import numpy as np, hopcore
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
rng = np.random.default_rng(0)
state, stored = rng.normal(size=(2000, 16)).astype("f"), rng.normal(size=(100_000, 16)).astype("f")
hopcore.energy(state[:600], stored[:4000], 1.0), hopcore.update(state[:600], stored[:4000], 1.0)
before = peak()
hopcore.energy(state, stored, 1.0), hopcore.update(state, stored, 1.0)
print(peak() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 20


def test_inputs_may_be_read_only_and_strided():
    rng = np.random.default_rng(0)
    state, stored = rng.normal(size=(8, 10))[::2, ::-2], rng.normal(size=(5, 9)).T[:, :5].copy()
    stored.flags.writeable = state.flags.writeable = False
    expected = hopcore.update(np.ascontiguousarray(state), np.array(stored), 1.0)
    np.testing.assert_allclose(hopcore.update(state, stored, 1.0), expected, rtol=1e-12)


def test_integers_are_converted():
    stored = np.eye(4, 3)
    found = hopcore.energy(np.ones((2, 3), dtype=np.int64), stored, 1.0)
    np.testing.assert_array_equal(found, hopcore.energy(np.ones((2, 3)), stored, 1.0))


@pytest.mark.parametrize("kind", [np.complex64, np.float16, np.longdouble, object])
def test_other_dtypes_are_refused(kind):
    with pytest.raises(TypeError, match="real floating"):
        hopcore.energy(np.ones((2, 3), dtype=kind), np.ones((4, 3)), 1.0)


def test_masked_arrays_and_matrices_are_refused():
    with pytest.raises(TypeError, match="mask="):
        hopcore.energy(np.ma.masked_array(np.ones((2, 3))), np.ones((4, 3)), 1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_features_whose_squares_overflow_are_normalised(dtype: str) -> None:
    """Rows of any length in one array, with an eps that counts for the short ones."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4, 6)).astype(dtype)
    most = float(np.finfo(dtype).max)
    sizes = np.asarray([[1e-3], [1.0], [most**0.6], [most / 8.0]]).astype(dtype)
    weight, bias = rng.normal(size=(2, 6)).astype(dtype)
    numpy = hopcore.backend("numpy")
    with np.errstate(all="raise"):
        found = numpy.layer_norm(rows * sizes, weight, bias, 1e-5)
    wanted = [
        numpy.layer_norm(row[None] * (size if size <= 1.0 else 1.0), weight, bias, eps)[0]
        for row, size, eps in zip(rows, sizes.ravel(), (1e-5, 1e-5, 0.0, 0.0), strict=True)
    ]
    np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("queries", "patterns", "tiled"), [(1, 300_000, 0), (100, 5_000, 0), (128, 4_096, 1)]
)
def test_tiles_are_for_many_queries(queries, patterns, tiled, monkeypatch):
    used = []
    right = numpy_backend.in_tiles
    monkeypatch.setattr(
        numpy_backend, "in_tiles", lambda *given: (used.append(given), right(*given))[1]
    )
    stored = np.zeros((patterns, 2), np.float32)
    hopcore.association(stored[:queries], stored, beta=1.0)
    assert len(used) == tiled
