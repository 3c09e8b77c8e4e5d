"""Modules in files that every framework can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp

import hopcore
from hopcore_jax.layers._base import ParameterOwner
from hopcore_jax.layers._diffused import DiffusedHopfield
from hopcore_jax.layers._energy_transformer import EnergyTransformer
from hopcore_jax.layers._hopfield import Hopfield
from hopcore_jax.layers._networks import HNL, HNM, VectorQuantizer
from hopcore_jax.layers._pooling import HopfieldLayer, HopfieldPooling
from hopcore_jax.layers._transformer import HopfieldDecoderLayer, HopfieldEncoderLayer

MODULES: dict[type, type[ParameterOwner]] = {
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


def save_layer(path: str | Path, layer: ParameterOwner) -> None:
    """Write a layer into a file; see :func:`hopcore.save_layer`.

    Parameters
    ----------
    path : str or Path
    layer : Hopfield, HopfieldPooling, HopfieldLayer, HopfieldEncoderLayer, HNL, HNM, ...

    Examples
    --------
    >>> import jax, pathlib, tempfile
    >>> from hopcore_jax import Hopfield, load_layer, save_layer
    >>> place = pathlib.Path(tempfile.mkdtemp()) / "layer.safetensors"
    >>> save_layer(place, Hopfield(input_size=4, key=jax.random.key(0)))
    >>> load_layer(place).input_size
    4
    """
    if not isinstance(layer, ParameterOwner) or type(layer.settings) not in MODULES:
        raise TypeError(
            f"layer must be one of hopcore_jax, got {type(layer).__name__}; write "
            "save_layer(path, layer)"
        )
    hopcore.save_layer(path, layer.settings, layer.parameters)


def load_layer(path: str | Path, *, dtype: Any = None) -> Any:
    """Load a layer from a file that any framework wrote; see :func:`hopcore.load_layer`.

    Parameters
    ----------
    path : str or Path
    dtype : optional
        The dtype of the parameters; the default is that of the file.

    Returns
    -------
    equinox.Module

    Examples
    --------
    >>> import jax, pathlib, tempfile
    >>> from hopcore_jax import HopfieldPooling, load_layer, save_layer
    >>> place = pathlib.Path(tempfile.mkdtemp()) / "layer.safetensors"
    >>> save_layer(place, HopfieldPooling(input_size=4, quantity=2, key=jax.random.key(0)))
    >>> load_layer(place).quantity
    2
    """
    if dtype is None:
        settings, parameters = hopcore.load_layer(path)  # float64 only where JAX has it
    else:
        name = jnp.dtype(dtype).name
        settings, parameters = hopcore.load_layer(path, backend="jax", dtype=name)
    kind = MODULES[type(settings)]
    if kind is Hopfield and settings.diffusion is not None:
        kind = DiffusedHopfield
    return kind.of(settings, parameters=parameters)
