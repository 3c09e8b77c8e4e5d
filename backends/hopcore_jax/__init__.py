"""hopcore for JAX: layers, and the kernels that :mod:`hopcore` finds when it is handed JAX arrays.

For the kernels nothing here needs to be imported. The layers are modules of equinox. Memories over
the devices of a mesh are in :mod:`hopcore_jax.distributed`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hopcore_jax.kernels import JaxBackend

if TYPE_CHECKING:
    from hopcore_jax.attention import LearnableTemperatureAttention, share_room
    from hopcore_jax.checkpoint import load_layer, save_layer
    from hopcore_jax.core import HopfieldCore
    from hopcore_jax.hopfield import DiffusedHopfield, Hopfield
    from hopcore_jax.network import HNL, HNM, VectorQuantizer
    from hopcore_jax.pooling import HopfieldLayer, HopfieldPooling
    from hopcore_jax.transformer import HopfieldDecoderLayer, HopfieldEncoderLayer

__all__ = [  # noqa: RUF022 (as sorted() has it: HNL is no constant)
    "DiffusedHopfield",
    "HNL",
    "HNM",
    "Hopfield",
    "HopfieldCore",
    "HopfieldDecoderLayer",
    "HopfieldEncoderLayer",
    "HopfieldLayer",
    "HopfieldPooling",
    "JaxBackend",
    "LearnableTemperatureAttention",
    "VectorQuantizer",
    "load_layer",
    "save_layer",
    "share_room",
]

ROOMS = {
    "DiffusedHopfield": "hopfield",
    "HNL": "network",
    "HNM": "network",
    "Hopfield": "hopfield",
    "HopfieldCore": "core",
    "HopfieldDecoderLayer": "transformer",
    "HopfieldEncoderLayer": "transformer",
    "HopfieldLayer": "pooling",
    "HopfieldPooling": "pooling",
    "LearnableTemperatureAttention": "attention",
    "VectorQuantizer": "network",
    "load_layer": "checkpoint",
    "save_layer": "checkpoint",
    "share_room": "attention",
}
"""Where the layers are; imported when they are asked for, since JAX arrays do without equinox."""


def __getattr__(name: str) -> Any:
    """A layer by its name."""
    if name not in ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"hopcore_jax.{ROOMS[name]}"), name)
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"the layers need {missing.name}: pip install 'hopcore[jax]'"
        ) from missing


def __dir__() -> list[str]:
    """The public names."""
    return __all__
