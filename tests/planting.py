"""Faults for the conformance suite, and how they are planted: a mutant is a wrong kernel (a backend
of its own, beside the right reference) or a wrong formula in the core (then the reference is as
wrong, and the mathematics has to notice).
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from hypothesis import Phase, settings

import hopcore
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

    def has_dynamic_shapes(self, array):
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


class InTorch(Mutant):
    """A fault of the core that only a library with derivatives shows."""

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> Subject:
        pytest.importorskip("torch")
        self.fault(monkeypatch)
        return Subject(hopcore.backend("torch"), self.dtype)


MUTANTS: list[Mutant] = []


def mutant(
    name: str,
    breaks: str,
    dtype: str = "float64",
    library: str = "numpy",
    kind: type[Mutant] = Mutant,
) -> Callable[[Any], Any]:
    """Register a wrong kernel (a backend class) or a wrong core (a function of monkeypatch)."""

    def register(fault: Any) -> Any:
        MUTANTS.append(kind(name, breaks, fault, dtype, library))
        return fault

    return register


def in_torch(name: str, breaks: str) -> Callable[[Any], Any]:
    """Register a fault of the core, or of torch's modules, that only torch shows."""
    return mutant(name, breaks, kind=InTorch)


def all_mutants() -> list[Mutant]:
    """The mutants of all test files, imported as pytest imports them."""
    for path in sorted(Path(__file__).parent.glob("*/test_*mutations.py")):
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        importlib.import_module(path.stem)
    return MUTANTS


def core(name: str) -> Any:
    """A module of hopcore; some share their name with a function."""
    return importlib.import_module(f"hopcore.{name}")


def everywhere(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str, wrong: Callable[[Any], Any]
) -> None:
    """Replace a function of a module by ``wrong`` of it, wherever the function was imported."""
    right = getattr(core(module), name)
    getattr(hopcore, name, None)  # looked up for the first time later, it would stay wrong
    replacement = wrong(right)
    for user in [m for key, m in sys.modules.items() if key.split(".")[0] == "hopcore"]:
        if vars(user).get(name) is right:
            monkeypatch.setattr(user, name, replacement)


def after(monkeypatch: Any, module: str, name: str, change: Callable[..., Any]) -> None:
    """Change what a function of the core returns; ``change`` gets the result and the arguments."""

    def wrong(right: Any) -> Any:
        return lambda *args, **options: change(right(*args, **options), *args)

    everywhere(monkeypatch, module, name, wrong)


def change_fields(monkeypatch: Any, module: str, name: str, change: Callable[..., Any]) -> None:
    """Change some fields of the named tuple that a function of the core returns."""
    after(monkeypatch, module, name, lambda result, *args: result._replace(**change(result, *args)))


def change_settings(monkeypatch: Any, module: str, name: str, **changes: Any) -> None:
    """Change the settings that are the first argument of a function of the core."""

    def wrong(right: Any) -> Any:
        def other(config: Any, *args: Any, **options: Any) -> Any:
            new = {key: change(config) for key, change in changes.items()}
            return right(replace(config, **new), *args, **options)

        return other

    everywhere(monkeypatch, module, name, wrong)


def change_method(monkeypatch: Any, kind: type, name: str, change: Callable[..., Any]) -> None:
    """Change what a method returns; ``change`` gets the result, the object and the arguments."""
    right = getattr(kind, name)

    def wrong(self: Any, *args: Any, **options: Any) -> Any:
        return change(right(self, *args, **options), self, *args)

    monkeypatch.setattr(kind, name, wrong)
