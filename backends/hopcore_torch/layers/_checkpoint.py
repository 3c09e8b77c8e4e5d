"""Modules in files that every framework can read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import hopcore
from hopcore.layers import HopfieldSettings, parameter_shapes
from hopcore.schedules import LearnableTemperature
from hopcore_torch.layers._base import parameter_of
from hopcore_torch.layers._decoder import HopfieldDecoderLayer
from hopcore_torch.layers._diffused import DiffusedHopfield
from hopcore_torch.layers._encoder import HopfieldEncoderLayer
from hopcore_torch.layers._energy_transformer import EnergyTransformer
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.layers._networks import HNL, HNM, VectorQuantizer
from hopcore_torch.layers._pooling import HopfieldLayer, HopfieldPooling

MODULES: dict[type, Any] = {
    module.KIND: module
    for module in (
        Hopfield,
        HopfieldPooling,
        HopfieldLayer,
        HopfieldEncoderLayer,
        HopfieldDecoderLayer,
        HNL,
        HNM,
        VectorQuantizer,
        EnergyTransformer,
    )
}
"""The module of each kind of settings."""


def save_layer(path: str | Path, layer: nn.Module) -> None:
    """Write a layer into a file; see :func:`hopcore.save_layer`.

    Parameters
    ----------
    path : str or Path
    layer : Hopfield, HopfieldPooling, HopfieldLayer, HopfieldEncoderLayer, HNL, HNM, ...

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from hopcore_torch import Hopfield, load_layer, save_layer
    >>> place = pathlib.Path(tempfile.mkdtemp()) / "layer.safetensors"
    >>> save_layer(place, Hopfield(input_size=4))
    >>> load_layer(place).input_size
    4
    """
    settings: Any = getattr(layer, "settings", None)
    if type(settings) not in MODULES or not hasattr(layer, "arrays"):
        raise TypeError(
            f"layer must be one of hopcore_torch, got {type(layer).__name__}; write "
            "save_layer(path, layer)"
        )
    settings = current_settings(layer)
    parameters = {name: parameter_of(layer, name).detach() for name in parameter_shapes(settings)}
    hopcore.save_layer(path, settings, parameters)


def current_settings(layer: Any) -> Any:
    """Return the settings of a layer, with its current inverse temperatures."""
    settings = layer.settings
    if not isinstance(settings, HopfieldSettings):
        parts = getattr(settings, "PARTS", {})
        return replace(
            settings,
            **{name: current_settings(getattr(layer, part)) for part, name in parts.items()},
        )
    if isinstance(settings.scaling, LearnableTemperature):
        return settings
    current = (
        layer.scaling
        if isinstance(layer.scaling, torch.Tensor)
        else torch.tensor(layer.scaling, dtype=torch.float64)
    )
    initial = torch.tensor(settings.beta, dtype=torch.float64).to(current.dtype)
    if settings.learnable_scaling or torch.equal(initial, current.detach().cpu()):
        return settings
    value = current.tolist()
    return replace(settings, scaling=tuple(value) if isinstance(value, list) else value)


def load_layer(path: str | Path, *, dtype: torch.dtype | None = None, device: Any = None) -> Any:
    """Load a layer from a file that any framework wrote; see :func:`hopcore.load_layer`.

    Parameters
    ----------
    path : str or Path
    dtype : torch.dtype, optional
        The dtype of the parameters; the default is that of the file.
    device : optional
        The device of the parameters.

    Returns
    -------
    torch.nn.Module
        The layer in training mode, like a new layer.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from hopcore_torch import HopfieldPooling, load_layer, save_layer
    >>> place = pathlib.Path(tempfile.mkdtemp()) / "layer.safetensors"
    >>> save_layer(place, HopfieldPooling(input_size=4, quantity=2))
    >>> load_layer(place).quantity
    2
    """
    name = None if dtype is None else str(dtype).removeprefix("torch.")
    settings, parameters = hopcore.load_layer(path, backend="torch", dtype=name)
    kind = MODULES[type(settings)]
    if kind is Hopfield and settings.diffusion is not None:
        kind = DiffusedHopfield
    given = next((x.dtype for x in parameters.values()), dtype)
    layer = kind.of(settings, dtype=given, device=device)
    layer.load_state_dict(parameters, strict=True)
    return layer
