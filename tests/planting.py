"""Faults for the conformance suite, and how they are planted: a mutant is a wrong kernel (a backend
of its own, beside the right reference) or a wrong formula in the core (then the reference is as
wrong, and the mathematics has to notice).
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from hypothesis import Phase, settings

import hopcore_conformance
from hopcore.arrays import BY_TYPE, Backend
from hopcore_conformance import Subject

MODULES = sorted(
    path.stem for path in (Path(str(hopcore_conformance.__file__)).parent / "checks").glob("test_*")
)


def suite() -> list[Callable[..., None]]:
    """All checks, on few examples and without shrinking."""
    profile = settings.get_current_profile_name()
    settings.register_profile(
        "mutations",
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    settings.load_profile("mutations")
    modules = [importlib.import_module(f"hopcore_conformance.checks.{name}") for name in MODULES]
    settings.load_profile(profile)
    return [check for module in modules for check in vars(module).values() if marked(check)]


def marked(value: Any) -> bool:
    return callable(value) and hasattr(value, "statements")


CHECKS = suite()


def arguments(check: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """What pytest would give to a check beside the subject: nothing, or its parameters."""
    columns = []
    for mark in getattr(check, "pytestmark", []):
        names, values = mark.args
        single = isinstance(names, str)
        columns.append([{names: v} if single else dict(zip(names, v, strict=True)) for v in values])
    for row in itertools.product(*columns):
        yield {name: value for part in row for name, value in part.items()}


def complaint(check: Callable[..., None], subject: Subject) -> str:
    """What a check says against a subject; empty if it finds nothing wrong."""
    for given in arguments(check):
        try:
            check(subject=subject, **given)
        except (AssertionError, Warning, pytest.fail.Exception) as found:
            return f"{check.__name__}: {found or type(found).__name__}"
        except pytest.skip.Exception:
            pass
    return ""


class Compacting(Backend):
    """The portable kernels, with finished queries dropped as NumPy's own backend drops them."""

    def compacts(self, array):
        return True


@dataclass(frozen=True)
class Mutant:
    """A fault, the statements it breaks, and how it is planted."""

    name: str
    breaks: str
    fault: Any
    dtype: str
    library: str

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> Subject:
        if self.library == "torch":
            torch = pytest.importorskip("torch")
            backend = self.fault(importlib.import_module("hopcore_torch.kernels").TorchBackend)()
            monkeypatch.setitem(BY_TYPE, torch.Tensor, backend)
            return Subject(backend, self.dtype)
        if isinstance(self.fault, type):
            backend = self.fault("numpy", xp)
        else:
            self.fault(monkeypatch)
            backend = Compacting("numpy", xp)
        monkeypatch.setitem(BY_TYPE, np.ndarray, backend)
        return Subject(backend, self.dtype)

    def must_be_caught(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Fail if all the checks of a statement that the fault breaks let it pass."""
        subject = self.plant(monkeypatch)
        for identifier in self.breaks.split():
            checks = [check for check in CHECKS if identifier in check.statements]
            assert any(complaint(check, subject) for check in checks), f"{identifier} let it pass"


MUTANTS: list[Mutant] = []


def mutant(
    name: str, breaks: str, dtype: str = "float64", library: str = "numpy"
) -> Callable[[Any], Any]:
    """Register a wrong kernel (a backend class) or a wrong core (a function of monkeypatch)."""

    def register(fault: Any) -> Any:
        MUTANTS.append(Mutant(name, breaks, fault, dtype, library))
        return fault

    return register


def core(name: str) -> Any:
    """A module of hopcore; some share their name with a function."""
    return importlib.import_module(f"hopcore.{name}")


def everywhere(
    monkeypatch: pytest.MonkeyPatch, room: str, name: str, wrong: Callable[[Any], Any]
) -> None:
    """Replace a function of a room by what ``wrong`` makes of it, wherever it was imported to."""
    right = getattr(core(room), name)
    replacement = wrong(right)
    for module in [m for key, m in sys.modules.items() if key.split(".")[0] == "hopcore"]:
        if vars(module).get(name) is right:
            monkeypatch.setattr(module, name, replacement)
