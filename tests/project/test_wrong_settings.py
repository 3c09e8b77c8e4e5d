"""Settings that are given an object of the wrong type for a field say so in one line."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import convex, layers, schedules

INNER = hopcore.HopfieldSettings(input_size=8)
LINE = schedules.Linear(1.0, 0.1, 10)
BETWEEN = {"start": 1.0, "end": 0.1, "steps": 10}
NEEDED: dict[str, dict[str, Any]] = {
    "HopfieldSettings": {"input_size": 8},
    **{key: {"hopfield": INNER} for key in ("PoolingSettings", "LookupSettings")},
    **{key: {"hopfield": INNER} for key in ("EncoderSettings", "DecoderSettings")},
    **{key: {"input_size": 8, "output_size": 4} for key in ("HNLSettings", "HNMSettings")},
    "QuantizerSettings": {"input_size": 8},
    "EnergyTransformerSettings": {"input_size": 8},
    "ConvexMemory": {"hidden": convex.Quadratic()},
    "FenchelYoung": {"beta": 2.0},
    "LayeredMemory": {
        "layers": {"a": convex.Norm(), "b": convex.Norm()},
        "couplings": [convex.Coupling("a", "b", np.eye(2))],
    },
    **{key: {"power": 3} for key in ("Polynomial", "PowerNorm")},
    "Entmax": {"alpha": 1.5},
    "KSubsets": {"k": 2},
    "Normmax": {"alpha": 2.0},
    "RandomFeatures": {"size": 4, "beta": 1.0},
    "Constant": {"value": 1.0},
    "Geometric": {"start": 1.0, "factor": 0.5},
    **dict.fromkeys(("Linear", "Cosine", "Exponential"), BETWEEN),
    "PhaseAware": {**BETWEEN, "hot": 0.6, "cold": 0.3},
    "Joined": {"first": LINE, "second": LINE, "at": 3},
}
"""The arguments without which settings cannot be made."""

NO_SETTINGS = {"Graph", "Laplacian", "Metric", "Schedule"}
"""Dataclasses that hold arrays, or that only their kinds can be made of."""

WRONG: list[Any] = [
    object(), "x", "", 3, -1, 2.5, float("nan"), [], [1], {}, {"a": 1}, (), None, True, b"x",
    1 + 2j, len, int, 10**400, np.ones(3), np.ones((2, 2)), INNER,
    layers.PoolingSettings(hopfield=INNER), schedules.Linear(1.0, 0.1, 10),
]  # fmt: skip


def settings_of_packages() -> dict[str, type]:
    found = {}
    for package in ("memory", "convex", "diffusion", "graphs", "schedules", "layers", "training"):
        module = import_module(f"hopcore.{package}")
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and dataclasses.is_dataclass(kind):
                found[name] = kind
    return {name: kind for name, kind in found.items() if name not in NO_SETTINGS}


KINDS = settings_of_packages()
FIELDS = [
    (name, field.name)
    for name, kind in KINDS.items()
    for field in dataclasses.fields(kind)
    if field.init
]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_an_object_of_the_wrong_type_is_refused_in_one_line(name: str, field: str) -> None:
    kind, needed = KINDS[name], NEEDED.get(name, {})
    kind(**needed)
    for wrong in WRONG:
        try:
            kind(**{**needed, field: wrong})
        except (TypeError, ValueError) as error:
            message = str(error)
            assert "\n" not in message
            # A number of the right type may be refused in the words of another field.
            assert field in message or type(wrong) in (int, float), message
        else:
            assert type(wrong) is not object
            assert name == "Entmax" or not isinstance(wrong, np.ndarray)  # an alpha for each query


@pytest.mark.parametrize(
    "kind",
    [
        layers.PoolingSettings, layers.LookupSettings, layers.EncoderSettings,
        layers.DecoderSettings,
    ],
)  # fmt: skip
def test_settings_of_a_layer_within(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"^hopfield must be HopfieldSettings.*, got 3$"):
        kind(hopfield=3)
    with pytest.raises(TypeError, match=r"^hopfield must be HopfieldSettings.*, got \{"):
        kind(hopfield={"input_size": 8})
