"""The backend of an array: found by its type, with distributed types registered by name."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hopcore
from hopcore.arrays import BY_TYPE, _discovery, backend_of, register_array_type
from hopcore.arrays._numpy import NumpyBackend

BACKENDS = Path(__file__).parents[2] / "backends"


class Split(np.ndarray):
    """An array type with a backend of its own."""


class SplitBackend(NumpyBackend):
    """The backend of :class:`Split`."""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which :class:`Split` is registered."""
    name = f"{Split.__module__}.{Split.__qualname__}"
    monkeypatch.setattr(_discovery, "_BACKENDS_OF_TYPES", {})
    monkeypatch.setattr(_discovery, "BY_TYPE", dict(BY_TYPE))
    register_array_type(name, f"{__name__}:SplitBackend")
    return name


def test_a_registered_type_and_its_subclasses_have_a_backend_of_their_own(registered: str) -> None:
    class Smaller(Split):
        """A subclass of a registered type."""

    for kind in (Split, Smaller):
        array = np.eye(2).view(kind)
        assert type(backend_of(array)) is SplitBackend
        assert backend_of(array) is backend_of(array.copy())


def test_other_arrays_of_the_library_keep_its_backend(registered: str) -> None:
    assert type(backend_of(np.eye(2))) is NumpyBackend
    assert backend_of(np.eye(2)) is hopcore.backend("numpy")


@pytest.mark.parametrize("adapter", ["hopcore_torch", "hopcore_jax"])
def test_kernels_never_import_distributed(adapter: str) -> None:
    for file in (BACKENDS / adapter / "kernels").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", [])]
            names.append(getattr(node, "module", None) or "")
            assert not any(name.startswith(f"{adapter}.distributed") for name in names), file


@pytest.mark.parametrize("adapter", ["hopcore_torch", "hopcore_jax"])
def test_using_a_library_does_not_import_its_distributed_memories(adapter: str) -> None:
    library = adapter.removeprefix("hopcore_")
    pytest.importorskip(library)
    code = f"""
import sys, hopcore, numpy as np
backend = hopcore.backend({library!r})
state = backend.asarray(np.eye(2), dtype="float32")
assert hopcore.retrieve(state, state, 4.0).steps.shape == (2,)
assert "{adapter}.distributed" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
