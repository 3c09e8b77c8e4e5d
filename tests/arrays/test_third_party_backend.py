"""A backend that a third party registers is found and used; the tutorial's test has it checked."""

from __future__ import annotations

from pathlib import Path

from toys import TOY, install, library, python


def test_it_is_found_by_name_and_from_its_arrays(tmp_path: Path) -> None:
    install(library(tmp_path), (TOY / "toy_hopcore.py").read_text())
    code = """
import numpy as np, hopcore, toy, toy_hopcore
backend = hopcore.backend("toy")
assert type(backend) is toy_hopcore.ToyBackend, backend
right, calls = backend.separate, []
backend.separate = lambda *given: calls.append(given) or right(*given)
stored, state = backend.asarray(np.eye(3)), backend.asarray(np.eye(3)[:2] * 0.9)
assert type(stored) is toy.ToyArray
energy = hopcore.energy(state, stored, 2.0)
assert type(energy) is toy.ToyArray and len(calls) == 1
found = hopcore.retrieve(state, stored, 2.0, separation="sparsemax")
assert type(found.state) is toy.ToyArray and len(calls) > 1
np.testing.assert_array_equal(backend.to_numpy(found.state), np.eye(3)[:2])
wanted = hopcore.energy(np.eye(3)[:2] * 0.9, np.eye(3), 2.0)
np.testing.assert_allclose(backend.to_numpy(energy), wanted, rtol=1e-14)
beside = hopcore.energy(state, np.eye(3), 2.0)
assert type(beside) is toy.ToyArray
np.testing.assert_array_equal(backend.to_numpy(beside), backend.to_numpy(energy))
try:
    hopcore.energy(np.eye(3)[:2], stored, 2.0)
except TypeError as error:
    assert "toy" in str(error) and "numpy" in str(error), error
else:
    raise AssertionError("two libraries in one call")
"""
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


def test_a_library_that_nobody_registered_runs_the_portable_kernels(tmp_path: Path) -> None:
    code = """
import numpy as np, hopcore, toy
state = toy.asarray(np.eye(3))
assert type(hopcore.energy(state, state, 2.0)) is toy.ToyArray
assert type(hopcore.backend("toy")) is hopcore.Backend
"""
    done = python(library(tmp_path), "-c", code)
    assert done.returncode == 0, done.stderr


def test_without_it_the_name_is_unknown(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", "import hopcore; hopcore.backend('toy')")
    assert done.returncode == 1
    assert "unknown backend 'toy'; registered: " in done.stderr
