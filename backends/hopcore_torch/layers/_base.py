"""How modules own the parameters of a layer that :mod:`hopcore` defines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hopcore.layers import HopfieldSettings, Parameter, layer_parameters


def tensor(found: Parameter, **where: Any) -> nn.Parameter:
    """A parameter without its first value."""
    return nn.Parameter(torch.empty(found.shape, **where), requires_grad=found.trainable)


def start(module: nn.Module, found: Mapping[str, Parameter], draw: Any = None) -> None:
    """Give the parameters of a module their first values; ``draw`` is a ``torch.Generator``."""
    for name, parameter in found.items():
        value = parameter_of(module, name)
        with torch.no_grad():
            if parameter.start is None:
                value.normal_(0.0, parameter.spread, generator=draw)
            else:
                value.copy_(torch.as_tensor(parameter.start, dtype=torch.float64))


def reach(module: Any, path: list[str]) -> Any:
    """What stands at a dotted path below a module."""
    for part in path:
        module = getattr(module, part)
    return module


def parameter_of(module: nn.Module, name: str) -> torch.Tensor:
    """The parameter of a dotted name below a module."""
    *path, leaf = name.split(".")
    return held(reach(module, path), leaf)


def held(owner: nn.Module, leaf: str) -> torch.Tensor:
    """The parameter of a module, also where an attribute of that name says something else.

    From the dictionary of the module, which is ten times faster than its attributes; replicas have
    it among those of the object, parametrisations as an attribute.
    """
    value = owner._parameters.get(leaf)
    if value is None:
        value = owner.__dict__.get(leaf)
    return getattr(owner, leaf) if value is None else value


Places = list[tuple[list[str], list[tuple[str, str]]]]
"""Paths to modules, each with the names and attributes of its parameters."""


def places(names: list[str], prefix: str = "") -> Places:
    """Where parameters are, below a module whose own names begin with a prefix."""
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name in names:
        *path, leaf = name.removeprefix(prefix).split(".")
        found.setdefault(tuple(path), []).append((name, leaf))
    return [(list(path), leaves) for path, leaves in found.items()]


def collected(module: nn.Module, where: Places) -> dict[str, Any]:
    """Parameters by their names."""
    found = {}
    for path, leaves in where:
        owner = reach(module, path)
        for name, leaf in leaves:
            found[name] = held(owner, leaf)
    return found


class Owned(nn.Module):
    """A module whose parameters are those of settings, by the same names."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self._places = places(list(layer_parameters(settings)))

    def arrays(self) -> dict[str, torch.Tensor]:
        """The parameters by their names, as the functions of :mod:`hopcore` take them."""
        return collected(self, self._places)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the parameters again."""
        start(self, layer_parameters(self.settings), generator)

    def extra_repr(self) -> str:
        """The settings that are not the usual ones."""
        return describe(self.settings)


def describe(settings: Any) -> str:
    """The settings that differ from their default."""
    plain = type(settings)
    found = []
    for name, field in plain.__dataclass_fields__.items():
        value = getattr(settings, name)
        if value != field.default and not isinstance(value, HopfieldSettings):
            found.append(f"{name}={value!r}")
    return ", ".join(found)


def scaling_of(settings: Mapping[str, Any]) -> tuple[dict[str, Any], nn.Parameter | None]:
    """Arguments of a constructor as settings, and the parameter that was handed in as scaling."""
    given = dict(settings)
    scaling, own = given.get("scaling"), None
    if isinstance(scaling, nn.Parameter):
        own, given["learnable_scaling"] = scaling, True
        if scaling.ndim > 1:
            raise ValueError(
                f"scaling must be one number, or one for each head, got {tuple(scaling.shape)}"
            )
    elif isinstance(scaling, torch.Tensor) and scaling.requires_grad:
        raise TypeError("a scaling that is trained must be a torch.nn.Parameter, got a tensor")
    for name in ("scaling", "update_steps_max", "update_steps_eps"):
        if hasattr(given.get(name), "tolist"):  # a tensor, or numbers of NumPy
            value = given[name].tolist()
            given[name] = tuple(value) if isinstance(value, list) else value
    return given, own
