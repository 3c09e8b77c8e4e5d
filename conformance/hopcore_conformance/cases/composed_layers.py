"""Cases of layers made from Hopfield layers: pooling, lookup and transformer layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore.layers import DecoderSettings, EncoderSettings, LookupSettings, PoolingSettings
from hopcore_conformance.cases.layer_options import RAW, config_of, settings_of
from hopcore_conformance.cases.layers import BATCH, PATTERNS, QUERIES, Case, parameters_of

DEEP = settings_of(output_size=5, stored_pattern_size=3, pattern_projection_size=4)

COMPOSED: dict[str, Any] = {
    "pooling": PoolingSettings(hopfield=settings_of()),
    "pooling, two queries": PoolingSettings(hopfield=DEEP, quantity=2, trainable=False),
    "pooling, static queries": PoolingSettings(
        hopfield=settings_of(
            hidden_size=6, state_pattern_as_static=True, batch_first=False, update_steps_max=1
        ),
        quantity=QUERIES,
    ),
    "pooling, diffused": PoolingSettings(hopfield=settings_of(diffusion=config_of()), quantity=2),
    "lookup": LookupSettings(hopfield=settings_of(), quantity=PATTERNS),
    "lookup, separate values": LookupSettings(
        hopfield=DEEP,
        quantity=PATTERNS,
        lookup_weights_as_separated=True,
        lookup_targets_as_trainable=False,
    ),
    "lookup, static memory": LookupSettings(
        hopfield=settings_of(hidden_size=6, stored_pattern_as_static=True, batch_first=False),
        quantity=PATTERNS,
    ),
    "lookup, by distance": LookupSettings(
        hopfield=settings_of(similarity="distance"), quantity=PATTERNS
    ),
    "encoder": EncoderSettings(hopfield=settings_of(**RAW), dim_feedforward=7),
    "encoder, normalised first": EncoderSettings(
        hopfield=settings_of(association_activation="tanh", batch_first=False),
        dim_feedforward=4,
        activation="gelu",
        norm_first=True,
        layer_norm_eps=0.1,
        bias=False,
    ),
    "encoder, lookup": EncoderSettings(
        hopfield=LookupSettings(hopfield=settings_of(), quantity=PATTERNS), dim_feedforward=7
    ),
    "encoder, lookup of separate values": EncoderSettings(
        hopfield=LookupSettings(
            hopfield=settings_of(batch_first=False, pattern_projection_size=5),
            quantity=PATTERNS,
            lookup_weights_as_separated=True,
        ),
        dim_feedforward=4,
        norm_first=True,
    ),
    "decoder": DecoderSettings(
        hopfield=settings_of(**RAW),
        cross=settings_of(num_heads=3, stored_pattern_size=3, pattern_projection_size=3),
        dim_feedforward=7,
        activation="silu",
    ),
    "decoder, by distance": DecoderSettings(
        hopfield=settings_of(**RAW, similarity="distance"), dim_feedforward=4
    ),
    "decoder, lookup": DecoderSettings(
        hopfield=LookupSettings(hopfield=settings_of(), quantity=PATTERNS),
        cross=settings_of(stored_pattern_size=3, pattern_projection_size=3),
        dim_feedforward=7,
    ),
    "decoder, normalised first": DecoderSettings(
        hopfield=settings_of(input_bias=False), dim_feedforward=4, norm_first=True, bias=False
    ),
}
"""Settings of pooling, lookup and transformer layers."""


def composed(name: str, seed: int) -> Case:
    """A case of one of these layers, with masks."""
    settings, rng = COMPOSED[name], np.random.default_rng(seed)
    transformer = isinstance(settings, EncoderSettings | DecoderSettings)
    own = settings.association if transformer else settings.hopfield
    # The masks of a transformer layer hide positions of its sequence, or the memory of its lookup.
    seen = getattr(settings.hopfield, "quantity", QUERIES)
    later = np.triu(np.ones((QUERIES, seen), dtype=bool), 1)
    parameters = parameters_of(settings, rng)

    def patterns(many: int, depth: int | None) -> Any:
        shape = (BATCH, many) if own.batch_first else (many, BATCH)
        return rng.normal(size=(*shape, depth or 6))

    def hidden(*shape: int) -> Any:
        found = rng.random(shape) < 0.4
        found[..., 0] = False
        return found

    padding = "stored_pattern_padding_mask"
    if isinstance(settings, PoolingSettings):
        given = {"stored": patterns(PATTERNS, own.stored_size)}
        if own.stored_size != own.projection_size:
            given["projection"] = patterns(PATTERNS, own.projection_size)
        return Case(settings, parameters, given, {padding: hidden(BATCH, PATTERNS)})
    if isinstance(settings, LookupSettings):
        masks = {"association_mask": hidden(QUERIES, PATTERNS)}
        return Case(settings, parameters, {"state": patterns(QUERIES, 6)}, masks)
    if isinstance(settings, EncoderSettings):
        masks = {
            "src_mask": later,
            "src_key_padding_mask": hidden(BATCH, seen),
        }
        return Case(settings, parameters, {"src": patterns(QUERIES, 6)}, masks)
    given = {"tgt": patterns(QUERIES, 6), "memory": patterns(PATTERNS, settings.cross.stored_size)}
    masks = {
        "tgt_mask": later,
        "memory_mask": hidden(QUERIES, PATTERNS),
        "tgt_key_padding_mask": hidden(BATCH, seen),
        "memory_key_padding_mask": hidden(BATCH, PATTERNS),
    }
    return Case(settings, parameters, given, masks)
