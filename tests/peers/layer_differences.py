"""Where difflayers' layers compute something else than hopcore's: by name, when, and why.

``test_layer_differences.py`` or ``test_layer_refusals.py`` has a test for each name that shows what
the peer does and what hopcore does. A difference that drawn layers may have comes with a condition,
by which they are left out of the comparison; drawn layers are free of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from layer_cases import Case


class Difference(NamedTuple):
    """One difference: for which settings, why, and whether a drawn layer has it."""

    settings: str
    reason: str
    found: Callable[[Case], bool] | None = None


def _per_head(case: Case) -> bool:
    scaling = case.steps["scaling"]
    if not isinstance(scaling, torch.Tensor) or case.heads == 1:
        return False
    iterated = torch.as_tensor(case.steps["update_steps_max"]).max() > 0
    return bool((scaling != scaling[0]).any() or iterated or case.static[0])


DIFFERENCES = {
    "scaling_per_head": Difference(
        "scaling: a tensor, num_heads > 1",
        "the peer repeats the tensor along the features of a head instead of along the heads",
        _per_head,
    ),
    "static_patterns_of_several_heads": Difference(
        "*_as_static, num_heads > 1, more than one sample",
        "the peer orders static patterns by head and projected ones by sample, so that samples mix",
        lambda case: any(case.static) and case.heads > 1 and case.batch > 1,
    ),
    "static_values_beside_static_keys": Difference(
        "stored_pattern_as_static, pattern_projection_as_static, num_heads > 1, separate weights",
        "the peer splits the values between the heads, of which each should get them whole",
        lambda case: case.separate and case.static[1] and case.static[2] and case.heads > 1,
    ),
    "pooling_of_sequences_first": Difference(
        "HopfieldPooling, batch_first=False",
        "the peer flattens (quantity, B, d) into (quantity, B d): samples become features",
        lambda case: case.kind == "HopfieldPooling" and not case.batch_first,
    ),
    "bias_pattern": Difference(
        "concat_bias_pattern",
        "it has no effect in the peer, and stops it if one side is static",
        lambda case: case.settings["concat_bias_pattern"],
    ),
    "bias_pattern_of_another_size": Difference(
        "concat_bias_pattern, pattern_size unlike hidden_size",
        "the peer's bias_v has the depth of keys, with which it is no value: it cannot be loaded",
        lambda case: case.settings["concat_bias_pattern"],
    ),
    "sizes_of_a_static_layer": Difference(
        "input_size and other sizes of a layer that projects nothing",
        "the peer forgets them",
    ),
    "stop_rule": Difference(
        "update_steps_max > 1 or None, update_steps_eps",
        "the peer stops on the norm of the weights over all queries and samples, so that a sample "
        "depends on the others; hopcore stops each query by itself, where its state rests",
    ),
    "masked_rows": Difference(
        "masks that leave nothing to attend to",
        "the peer's output and gradients are nan",
    ),
    "byte_masks": Difference("masks of uint8", "the peer raises NameError"),
    "masks_of_other_kinds": Difference(
        "padding masks of numbers, association masks by sample and head in four axes, of integers",
        "the peer refuses them",
    ),
    "kinds_of_numbers": Difference(
        "scaling or update_steps_eps: an int, a tensor (), a numpy number, a Parameter",
        "the peer refuses them, so that nothing learns its inverse temperature",
    ),
    "kinds_of_inputs": Difference(
        "inputs: a list, a Parameter, patterns without a batch or with another one",
        "the peer refuses them",
    ),
    "equal_patterns": Difference(
        "inputs, or outputs of normalisations, that are equal",
        "the peer takes equal patterns for one tensor, and only one of them gets the gradient: so "
        "at first norm_stored_pattern and norm_pattern_projection do not learn",
    ),
    "affine_without_normalisation": Difference(
        "normalize_*=False", "the peer stops unless normalize_*_affine=False is given, too"
    ),
    "affine_association_space": Difference(
        "normalize_hopfield_space_affine without hidden_size", "the peer raises TypeError"
    ),
    "properties_of_lookup": Difference(
        "HopfieldLayer.normalize_hopfield_space", "the peer has no such property"
    ),
    "activations": Difference(
        "association_activation",
        "the peer takes any function of torch by name, and ignores other names, also gelu and silu;"
        " hopcore has relu, gelu, tanh, sigmoid, silu and selu and refuses others",
    ),
    "negative_updates": Difference(
        "update_steps_max < 0", "the peer reads it as None; hopcore refuses it"
    ),
    "shallow_static_patterns": Difference(
        "state and stored patterns static and less deep than hidden_size, values projected",
        "the peer takes a part of the projection only",
    ),
    "connected_static_values": Difference(
        "pattern_projection_as_connected, pattern_projection_as_static",
        "the peer wants the values as deep before the projection of the keys as after it",
    ),
    "arguments_of_wrappers": Difference(
        "HopfieldPooling, HopfieldLayer: normalize_*_eps, num_pattern_repetitions",
        "the peer does not take them",
    ),
    "places_of_arguments": Difference(
        "arguments after the eighth", "hopcore takes them by name alone"
    ),
    "decoder_sizes": Difference("HopfieldDecoderLayer.output_size", "the peer raises"),
}


def differences(case: Case) -> list[str]:
    """The names of the differences that a drawn layer has."""
    return [name for name, one in DIFFERENCES.items() if one.found and one.found(case)]
