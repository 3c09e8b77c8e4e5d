"""hopcore for JAX: layers, and the kernels that :mod:`hopcore` uses for JAX arrays.

The kernels need no import. The layers are modules of equinox, with the names
and arguments of those of :mod:`hopcore_torch`. The functions of diffusion and graphs are those of
:mod:`hopcore`. Memories over the devices of a mesh are in :mod:`hopcore_jax.distributed`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hopcore_jax.kernels._backend import JaxBackend

if TYPE_CHECKING:
    from hopcore_jax.layers import (
        HNL,
        HNM,
        DiffusedHopfield,
        EnergyTransformer,
        Hopfield,
        HopfieldAttention,
        HopfieldCore,
        HopfieldDecoderLayer,
        HopfieldEncoderLayer,
        HopfieldLayer,
        HopfieldPooling,
        LearnableTemperatureAttention,
        VectorQuantizer,
        dot_product_attention,
        load_layer,
        replace_attention,
        restore_attention,
        save_layer,
        share_temperature,
    )

__all__ = [  # noqa: RUF022 (as sorted() has it: HNL is no constant)
    "DiffusedHopfield",
    "EnergyTransformer",
    "HNL",
    "HNM",
    "Hopfield",
    "HopfieldAttention",
    "HopfieldCore",
    "HopfieldDecoderLayer",
    "HopfieldEncoderLayer",
    "HopfieldLayer",
    "HopfieldPooling",
    "JaxBackend",
    "LearnableTemperatureAttention",
    "VectorQuantizer",
    "dot_product_attention",
    "load_layer",
    "replace_attention",
    "restore_attention",
    "save_layer",
    "share_temperature",
]


def __getattr__(name: str) -> Any:
    """Import the layers when one is asked for: JAX arrays do without equinox."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("hopcore_jax.layers"), name)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"the layers need {missing.name}: pip install 'hopcore[jax]'"
        ) from missing


def __dir__() -> list[str]:
    """The public names."""
    return __all__
