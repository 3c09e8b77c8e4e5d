"""A backend that a third party registers is found, used, and held to the specification."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOY = Path(__file__).parent / "toy" / "toy.py"


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment in which the toy library is installed, with its entry point."""
    shutil.copy(TOY, tmp_path)
    metadata = tmp_path / "toy-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[hopcore.backends]\ntoy = toy:ToyBackend\n")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def python(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )


def test_it_is_found_by_name_and_from_its_arrays(installed: dict[str, str], tmp_path: Path) -> None:
    code = """
import numpy as np, hopcore, toy
backend = hopcore.backend("toy")
assert type(backend) is toy.ToyBackend, backend
stored, state = backend.asarray(np.eye(3)), backend.asarray(np.eye(3)[:2] * 0.9)
assert type(stored) is toy.ToyArray
energy = hopcore.energy(state, stored, 2.0)
assert type(energy) is toy.ToyArray and backend.associations == 0
found = hopcore.retrieve(state, stored, 2.0, separation="sparsemax")
assert type(found.state) is toy.ToyArray and backend.associations == 2, backend.associations
np.testing.assert_array_equal(backend.to_numpy(found.state), np.eye(3)[:2])
wanted = hopcore.energy(np.eye(3)[:2] * 0.9, np.eye(3), 2.0)
np.testing.assert_allclose(backend.to_numpy(energy), wanted, rtol=1e-14)
try:
    hopcore.energy(state, np.eye(3), 2.0)
except TypeError as error:
    assert "toy" in str(error) and "numpy" in str(error), error
else:
    raise AssertionError("two libraries in one call")
"""
    done = python("-c", code, env=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_it_is_held_to_the_specification(installed: dict[str, str], tmp_path: Path) -> None:
    command = ("-m", "hopcore_conformance", "--backend", "toy", "--max-examples", "5")
    done = python(*command, "-k", "not large", env=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "backend toy, dtype float64, device toybox" in done.stdout
    assert "toy 1.0" in done.stdout


def test_without_it_the_name_is_unknown(tmp_path: Path) -> None:
    code = "import hopcore; hopcore.backend('toy')"
    done = python("-c", code, env=dict(os.environ), cwd=tmp_path)
    assert done.returncode == 1
    assert "unknown backend 'toy'; registered: " in done.stderr
