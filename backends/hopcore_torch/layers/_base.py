"""How modules own the parameters of a layer that :mod:`hopcore` defines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from hopcore.layers import HopfieldSettings, Parameter, layer_parameters


def tensor(parameter: Parameter, **where: Any) -> nn.Parameter:
    """Return a parameter without its first value."""
    return nn.Parameter(torch.empty(parameter.shape, **where), requires_grad=parameter.trainable)


def start(module: nn.Module, parameters: Mapping[str, Parameter], draw: Any = None) -> None:
    """Give the parameters of a module their first values; ``draw`` is a ``torch.Generator``."""
    for name, parameter in parameters.items():
        value = parameter_of(module, name)
        with torch.no_grad():
            if parameter.start is None:
                value.normal_(0.0, parameter.spread, generator=draw)
            else:
                value.copy_(torch.as_tensor(parameter.start, dtype=torch.float64))


def parameter_of(module: nn.Module, name: str) -> torch.Tensor:
    """Return the parameter of a dotted name below a module; see :meth:`ParameterOwner.arrays`."""
    *path, leaf = name.split(".")
    owner: Any = module
    for part in path:
        owner = getattr(owner, part)
    value = owner._parameters.get(leaf)
    if value is None:
        value = owner.__dict__.get(leaf)
    return getattr(owner, leaf) if value is None else value


def dropout(module: nn.Module, rate: float) -> Any:
    """Return dropout of association weights while a module is trained, or None."""
    return partial(F.dropout, p=rate) if rate > 0.0 and module.training else None


Places = list[tuple[list[str], list[tuple[str, str]]]]
"""Paths to modules, each with the names and attributes of its parameters."""


class ParameterOwner(nn.Module):
    """A module whose parameters are those of settings, by the same names."""

    settings: Any
    _places: Places

    def _own(self, settings: Any, names: Iterable[str], prefix: str = "") -> None:
        """Initialise the module, and remember where parameters of these names are.

        Its own names are those without the prefix.
        """
        nn.Module.__init__(self)
        self.settings = settings
        leaves: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for name in names:
            *path, leaf = name.removeprefix(prefix).split(".")
            leaves.setdefault(tuple(path), []).append((name, leaf))
        self._places = [(list(path), within) for path, within in leaves.items()]

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return the parameters by their names, as the functions of :mod:`hopcore` take them.

        Modules and parameters are read from the dictionaries of their owner, which is ten times
        faster than its attributes and not hidden by a property of the same name. Replicas of a
        module have their parameters among the attributes of the object, parametrisations compute
        them as an attribute.
        """
        parameters = {}
        for path, leaves in self._places:
            owner: Any = self
            for part in path:
                inner = owner._modules.get(part)
                owner = getattr(owner, part) if inner is None else inner
            for name, leaf in leaves:
                value = owner._parameters.get(leaf)
                if value is None:
                    value = owner.__dict__.get(leaf)
                parameters[name] = getattr(owner, leaf) if value is None else value
        return parameters

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the parameters again."""
        start(self, layer_parameters(self.settings), generator)

    def extra_repr(self) -> str:
        """The settings that are not the usual ones."""
        return describe(self.settings)


def describe(settings: Any) -> str:
    """Return the settings that differ from their default."""
    plain = type(settings)
    changes = []
    for name, field in plain.__dataclass_fields__.items():
        value = getattr(settings, name)
        if value != field.default and not isinstance(value, HopfieldSettings):
            changes.append(f"{name}={value!r}")
    return ", ".join(changes)


def split_scaling(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], nn.Parameter | None]:
    """Return arguments of a constructor, and the parameter that was handed in as scaling."""
    plain = dict(arguments)
    scaling, parameter = plain.get("scaling"), None
    if isinstance(scaling, nn.Parameter):
        parameter, plain["learnable_scaling"] = scaling, True
        if scaling.ndim > 1:
            raise ValueError(
                f"scaling must be one number, or one for each head, got {tuple(scaling.shape)}"
            )
    elif isinstance(scaling, torch.Tensor) and scaling.requires_grad:
        raise TypeError("a scaling that is trained must be a torch.nn.Parameter, got a tensor")
    return plain, parameter
