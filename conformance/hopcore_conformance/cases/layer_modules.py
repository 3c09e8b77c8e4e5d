"""The layers of a library as its own modules, from ``hopcore_NAME`` if there is one."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

import hopcore
from hopcore_conformance.cases.layers import Case
from hopcore_conformance.subject import Subject

NAMES = {
    hopcore.HopfieldSettings: "Hopfield",
    hopcore.layers.PoolingSettings: "HopfieldPooling",
    hopcore.layers.LookupSettings: "HopfieldLayer",
    hopcore.layers.EncoderSettings: "HopfieldEncoderLayer",
    hopcore.layers.DecoderSettings: "HopfieldDecoderLayer",
}
"""The module of each kind of settings."""

FUNCTIONS: dict[type, Callable[..., Any]] = {
    hopcore.HopfieldSettings: hopcore.hopfield,
    hopcore.layers.PoolingSettings: hopcore.layers.hopfield_pooling,
    hopcore.layers.LookupSettings: hopcore.layers.hopfield_lookup,
    hopcore.layers.EncoderSettings: hopcore.layers.encoder_layer,
    hopcore.layers.DecoderSettings: hopcore.layers.decoder_layer,
}
"""The function of each."""


def package_of(subject: Subject) -> str:
    """The package with the modules of a library, if it exists."""
    return f"hopcore_{subject.backend.name.replace('.', '_')}"


def has_modules(subject: Subject) -> bool:
    """Whether the library has layers as modules; NumPy, for example, has none."""
    package = package_of(subject)
    return find_spec(package) is not None and "Hopfield" in dir(import_module(package))


def module_of(subject: Subject, settings: Any, parameters: dict[str, Any]) -> Any:
    """The module with these settings and parameters, which are arrays of the library."""
    kind = getattr(import_module(package_of(subject)), NAMES[type(settings)])
    if subject.backend.name == "torch":
        some = next(iter(parameters.values()), subject.put(np.zeros(1)))
        module = kind.of(settings, dtype=some.dtype, device=some.device)
        module.load_state_dict(parameters, strict=True)
        return module.eval()
    return kind.of(settings, parameters=parameters, inference=True)


def module_output(subject: Subject, case: Case) -> Any:
    """The result of the module of a case for its patterns and masks."""
    names = list(case.parameters)

    def call(*arrays: Any, **given: Any) -> Any:
        module = module_of(subject, case.settings, dict(zip(names, arrays, strict=True)))
        patterns = [given.pop(name) for name in case.patterns]
        if NAMES[type(case.settings)] in ("Hopfield", "HopfieldPooling"):
            patterns = [patterns[0] if len(patterns) == 1 else tuple(patterns)]
        return module(*patterns, **given)

    return subject(call, *case.parameters.values(), **case.inputs)
