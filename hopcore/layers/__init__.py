"""Hopfield layers as functions of settings, parameters, patterns and masks; checkpoints.

The functions here are the definition of every layer. The modules of ``hopcore_torch`` and
``hopcore_jax`` own the parameters and call these functions.
"""

from hopcore.arrays._arguments import suggest_names
from hopcore.layers._activations import ACTIVATIONS, ActivationName
from hopcore.layers._attention import attention_statistics, dot_product_attention
from hopcore.layers._checkpoint import SavedLayer, load_layer, save_layer
from hopcore.layers._composed_settings import (
    DecoderSettings,
    EncoderSettings,
    LookupSettings,
    PoolingSettings,
)
from hopcore.layers._energy_transformer import energy_transformer, energy_transformer_energy
from hopcore.layers._hopfield import hopfield, hopfield_projections, hopfield_weights
from hopcore.layers._losses import cross_entropy
from hopcore.layers._module_arguments import (
    CORE,
    DIFFUSION,
    as_numbers,
    attention_mask,
    attention_patterns,
    attention_settings,
    config_or_fields,
    core_settings,
    diffused_arguments,
    hopfield_settings,
    named_arguments,
    quantity_of,
    transformer_arguments,
)
from hopcore.layers._module_mixins import (
    AssociationProperties,
    CoreProperties,
    DecoderMethods,
    DiffusionMethods,
    EncoderMethods,
    LearnedPatternMethods,
)
from hopcore.layers._network_settings import (
    EnergyTransformerSettings,
    HNLSettings,
    HNMSettings,
    QuantizerSettings,
)
from hopcore.layers._networks import (
    Noise,
    effective_memory,
    hnl,
    hnm,
    hnm_cross_entropy_loss,
)
from hopcore.layers._parameters import (
    Parameter,
    check_parameters,
    initial_parameters,
    inner,
    layer_parameters,
    parameter_shapes,
)
from hopcore.layers._pooling import (
    flattened,
    hopfield_lookup,
    hopfield_pooling,
    learned,
    lookup_patterns,
)
from hopcore.layers._quantizer import Quantized, quantize
from hopcore.layers._recall import straight_through
from hopcore.layers._settings import PATTERNS, HopfieldSettings
from hopcore.layers._statistics import hopfield_statistics, mean_statistics
from hopcore.layers._transformer import decoder_layer, encoder_layer
from hopcore.layers._transformer_weights import (
    decoder_weights_cross,
    decoder_weights_self,
    encoder_weights,
)

__all__ = [
    "ACTIVATIONS",
    "CORE",
    "DIFFUSION",
    "PATTERNS",
    "ActivationName",
    "AssociationProperties",
    "CoreProperties",
    "DecoderMethods",
    "DecoderSettings",
    "DiffusionMethods",
    "EncoderMethods",
    "EncoderSettings",
    "EnergyTransformerSettings",
    "HNLSettings",
    "HNMSettings",
    "HopfieldSettings",
    "LearnedPatternMethods",
    "LookupSettings",
    "Noise",
    "Parameter",
    "PoolingSettings",
    "Quantized",
    "QuantizerSettings",
    "SavedLayer",
    "as_numbers",
    "attention_mask",
    "attention_patterns",
    "attention_settings",
    "attention_statistics",
    "check_parameters",
    "config_or_fields",
    "core_settings",
    "cross_entropy",
    "decoder_layer",
    "decoder_weights_cross",
    "decoder_weights_self",
    "diffused_arguments",
    "dot_product_attention",
    "effective_memory",
    "encoder_layer",
    "encoder_weights",
    "energy_transformer",
    "energy_transformer_energy",
    "flattened",
    "hnl",
    "hnm",
    "hnm_cross_entropy_loss",
    "hopfield",
    "hopfield_lookup",
    "hopfield_pooling",
    "hopfield_projections",
    "hopfield_settings",
    "hopfield_statistics",
    "hopfield_weights",
    "initial_parameters",
    "inner",
    "layer_parameters",
    "learned",
    "load_layer",
    "lookup_patterns",
    "mean_statistics",
    "named_arguments",
    "parameter_shapes",
    "quantity_of",
    "quantize",
    "save_layer",
    "straight_through",
    "suggest_names",
    "transformer_arguments",
]
