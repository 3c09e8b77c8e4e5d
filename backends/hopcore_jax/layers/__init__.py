"""The layers as modules of equinox, which own parameters and call functions of hopcore.layers."""

from hopcore_jax.layers._attention import dot_product_attention
from hopcore_jax.layers._checkpoint import load_layer, save_layer
from hopcore_jax.layers._core import HopfieldCore
from hopcore_jax.layers._diffused import DiffusedHopfield
from hopcore_jax.layers._energy_transformer import EnergyTransformer
from hopcore_jax.layers._hopfield import Hopfield
from hopcore_jax.layers._multihead import HopfieldAttention
from hopcore_jax.layers._networks import HNL, HNM, VectorQuantizer
from hopcore_jax.layers._pooling import HopfieldLayer, HopfieldPooling
from hopcore_jax.layers._replace import replace_attention, restore_attention
from hopcore_jax.layers._temperature import LearnableTemperatureAttention, share_temperature
from hopcore_jax.layers._transformer import HopfieldDecoderLayer, HopfieldEncoderLayer

__all__ = [
    "HNL",
    "HNM",
    "DiffusedHopfield",
    "EnergyTransformer",
    "Hopfield",
    "HopfieldAttention",
    "HopfieldCore",
    "HopfieldDecoderLayer",
    "HopfieldEncoderLayer",
    "HopfieldLayer",
    "HopfieldPooling",
    "LearnableTemperatureAttention",
    "VectorQuantizer",
    "dot_product_attention",
    "load_layer",
    "replace_attention",
    "restore_attention",
    "save_layer",
    "share_temperature",
]
