"""The base of modules that own the parameters of a layer of :mod:`hopcore`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from hopcore.layers import HopfieldSettings, LookupSettings, Parameter, layer_parameters
from hopcore.schedules import LearnableTemperature

Device: TypeAlias = torch.device | str | int | None
"""The device of parameters: a device, its name or its number; None is torch's default."""

AssociationMask: TypeAlias = torch.Tensor | Literal["causal"]
"""Which patterns a query may not attend to: a tensor, or all later ones."""

Scaling: TypeAlias = float | tuple[float, ...] | torch.Tensor | LearnableTemperature
"""An inverse temperature, one for each head, a parameter, or a learned temperature."""

COMPUTE_PARAMETERS = BasePruningMethod, SpectralNorm, WeightNorm
"""Hooks of torch that compute a parameter before a call, and do nothing else."""


def tensor(parameter: Parameter, **where: Any) -> nn.Parameter:
    """Return a parameter without an initial value."""
    return nn.Parameter(torch.empty(parameter.shape, **where), requires_grad=parameter.trainable)


def start(module: nn.Module, parameters: Mapping[str, Parameter], draw: Any = None) -> None:
    """Set the initial values of the parameters of a module; ``draw`` is a ``torch.Generator``."""
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


class Place(NamedTuple):
    """A module below a layer whose parameters the layer reads without calling it."""

    name: str
    path: list[str]
    leaves: list[tuple[str, str]]
    """The names of its parameters, and their attributes."""
    kind: type | None = None
    """Its class when the layer was made; None where hooks and replacements take effect anyway."""
    eps: float | None = None
    """The number that its normalisation adds to a variance."""


class ParameterOwner(nn.Module):
    """A module whose parameters are those of settings, by the same names."""

    settings: Any
    _places: list[Place]

    def _own(self, settings: Any, names: Iterable[str], prefix: str = "") -> None:
        """Initialise the module, and store where parameters of these names are.

        Its own names are those without the prefix.
        """
        nn.Module.__init__(self)
        self.settings = settings
        leaves: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for name in names:
            *path, leaf = name.removeprefix(prefix).split(".")
            leaves.setdefault(tuple(path), []).append((name, leaf))
        self._places = [
            Place(prefix + ".".join(path), list(path), within) for path, within in leaves.items()
        ]

    def _watch(self, *names: str) -> None:
        """Start to watch for hooks, replacements and a new eps of submodules, and of those named.

        A linear map or a normalisation that was changed is called; other changes are refused.
        """
        known = {place.name for place in self._places}
        for name in names:
            if name not in known:
                self._places.append(Place(name, name.split("."), []))
        for at, place in enumerate(self._places):
            if place.path:
                owner = self._below(place.path)
                eps = getattr(owner, "eps", None)
                self._places[at] = place._replace(kind=type(owner), eps=eps)

    def _below(self, path: Iterable[str]) -> Any:
        """Return a module below this one, or None."""
        owner: Any = self
        for part in path:
            owner = getattr(owner, part)
        return owner

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; torch would register a module under a property's name, unused."""
        if isinstance(value, nn.Module) and hasattr(getattr(type(self), name, None), "__set__"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return the parameters by their names, as the functions of :mod:`hopcore` take them.

        Modules and parameters are read from the dictionaries of their owner, which is ten times
        faster than its attributes and not hidden by a property of the same name. Replicas of a
        module have their parameters among the attributes of the object, parametrisations compute
        them as an attribute. A submodule that was changed stands for its parameters.
        """
        parameters: dict[str, Any] = {}
        changed: dict[str, Any] = {}
        for place, path, leaves, kind, eps in self._places:
            owner: Any = self
            for part in path:
                inner = owner._modules.get(part)
                owner = getattr(owner, part) if inner is None else inner
            # Written out, since a function for each submodule would cost more than the check.
            below: Any = owner
            touched: Any = kind is not None and type(below) is not kind
            if kind is not None and below is not None and not touched:
                touched = (
                    below._forward_pre_hooks
                    or below._forward_hooks
                    or below._backward_hooks
                    or below._backward_pre_hooks
                    or "forward" in below.__dict__
                    or (eps is not None and below.eps != eps)
                )
            if touched and takes_place(place, below, kind):
                changed[place] = owner
                continue
            for name, leaf in leaves:
                value = owner._parameters.get(leaf)
                if value is None:
                    value = owner.__dict__.get(leaf)
                parameters[name] = getattr(owner, leaf) if value is None else value
        if changed:
            parameters.update(changed)  # last, where nobody asks for their dtype
        return parameters

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the parameters again."""
        start(self, layer_parameters(self.settings), generator)

    def extra_repr(self) -> str:
        """Show the settings that differ from their default."""
        return describe(self.settings)


def takes_place(name: str, module: Any, kind: type | None) -> bool:
    """Whether a changed submodule is called instead of its parameters read, or raise if neither.

    Hooks that only compute a parameter, such as those of pruning, run here.
    """
    if module is None or kind is type(None):
        was, now = ("nothing", "a module") if module is not None else ("a module", "None")
        raise ValueError(
            f"{name} was {was} when the layer was made and is {now}, which has no effect: make a "
            "new layer with other settings, or put torch.nn.Identity() there"
        )
    if kind is not None and issubclass(kind, nn.Linear | nn.LayerNorm):
        return True
    hooks = list(module._forward_pre_hooks.values())
    others = module._forward_hooks or module._backward_hooks or module._backward_pre_hooks
    same = type(module) is kind or parametrize.is_parametrized(module)
    plain = same and not others and "forward" not in module.__dict__
    if plain and all(isinstance(hook, COMPUTE_PARAMETERS) for hook in hooks):
        for hook in hooks:
            hook(module, ())
        return False
    what = "has hooks or a forward of its own" if same else f"became a {type(module).__name__}"
    raise ValueError(
        f"{name} {what}, which has no effect, since a layer reads its parameters and never calls "
        "it: put it on the layer itself, or use torch.nn.utils.parametrize"
    )


def describe(settings: Any) -> str:
    """Return the settings that differ from their default."""
    plain = type(settings)
    changes = []
    for name, field in plain.__dataclass_fields__.items():
        value = getattr(settings, name)
        if value != field.default and not isinstance(value, HopfieldSettings | LookupSettings):
            changes.append(f"{name}={value!r}")
    return ", ".join(changes)


def split_scaling(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], nn.Parameter | None]:
    """Return the arguments of a constructor, and the parameter that was passed as scaling."""
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
