"""How modules own the parameters of a layer that :mod:`hopcore` defines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hopcore.parameters import SPREAD, Parameter, layer_parameters
from hopcore.settings import HopfieldSettings


def tensor(found: Parameter, **where: Any) -> nn.Parameter:
    """A parameter without its first value."""
    return nn.Parameter(torch.empty(found.shape, **where), requires_grad=found.trainable)


def start(module: nn.Module, found: Mapping[str, Parameter], draw: Any = None) -> None:
    """Give the parameters of a module their first values; ``draw`` is a ``torch.Generator``."""
    for name, parameter in found.items():
        value = reach(module, name.split("."))
        with torch.no_grad():
            if parameter.start is None:
                value.normal_(0.0, SPREAD, generator=draw)
            else:
                value.copy_(torch.as_tensor(parameter.start, dtype=torch.float64))


def reach(module: Any, path: list[str]) -> Any:
    """What stands at a dotted path below a module."""
    for part in path:
        module = getattr(module, part)
    return module


class Owned(nn.Module):
    """A module whose parameters are those of settings, by the same names."""

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.settings = settings
        self._paths = [(name, name.split(".")) for name in layer_parameters(settings)]

    def arrays(self) -> dict[str, torch.Tensor]:
        """The parameters by their names, as the functions of :mod:`hopcore` take them."""
        return {name: reach(self, path) for name, path in self._paths}

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
        if isinstance(given.get(name), torch.Tensor):
            value = given[name].detach().tolist()
            given[name] = tuple(value) if isinstance(value, list) else value
    return given, own
