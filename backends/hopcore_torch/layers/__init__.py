"""The layers as modules of torch, which own parameters and call functions of hopcore.layers."""

from hopcore_torch.layers._attention import attention
from hopcore_torch.layers._checkpoint import load_layer, save_layer
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._decoder import HopfieldDecoderLayer
from hopcore_torch.layers._diffused import DiffusedHopfield
from hopcore_torch.layers._encoder import HopfieldEncoderLayer
from hopcore_torch.layers._energy_transformer import EnergyTransformer
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.layers._multihead import HopfieldAttention
from hopcore_torch.layers._networks import HNL, HNM, VectorQuantizer
from hopcore_torch.layers._pooling import HopfieldLayer, HopfieldPooling
from hopcore_torch.layers._replace import replace_attention, restore_attention
from hopcore_torch.layers._temperature import LearnableTemperatureAttention, share_temperature

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
    "attention",
    "load_layer",
    "replace_attention",
    "restore_attention",
    "save_layer",
    "share_temperature",
]
