"""Check the settings of layers: sizes must agree, and options must be compatible."""

from __future__ import annotations

from typing import Any

PATTERNS = ("stored_pattern", "state_pattern", "pattern_projection")
"""The inputs of a layer, as they occur in the names of settings and parameters."""


def check_sizes(settings: Any) -> None:
    """Raise an error if sizes of a Hopfield layer are missing or do not agree."""
    sizes = settings.stored_size, settings.input_size, settings.projection_size
    for name, size in zip(PATTERNS, sizes, strict=True):
        if size is None and settings.normalizes(name):
            raise ValueError(f"input_size is needed to normalise the {name}")
    if settings.static:
        return
    if settings.input_size is None:
        raise ValueError(
            "input_size is needed unless all three patterns are static, nothing is normalised "
            "and the output is not projected"
        )
    if settings.hidden_size is None and settings.input_size % settings.num_heads:
        raise ValueError(
            f"input_size must be divisible by num_heads if hidden_size is not given, "
            f"got {settings.input_size} and {settings.num_heads}"
        )
    if settings.pattern_projection_as_connected:
        if settings.stored_size != settings.projection_size:
            raise ValueError(
                "connected pattern projections need the size of the stored patterns, "
                f"{settings.stored_size}, got {settings.projection_size}"
            )
        if settings.value_size != settings.head_size:
            raise ValueError(
                "connected pattern projections need pattern_size = hidden_size = "
                f"{settings.head_size}, got {settings.value_size}"
            )


def check_combinations(settings: Any) -> None:
    """Raise an error if options of a Hopfield layer contradict each other."""
    config = settings.diffusion
    ways = [] if config is None else [
        config.use_logit_diffusion,
        config.attention_mode == "graph",
        config.adaptive_eta == "query",
    ]  # fmt: skip
    single = any(ways)
    if sum(ways) > 1:
        raise ValueError(
            "give only one of logit diffusion, attention over the graph and an eta for each query"
        )
    if config is not None and config.adaptive_eta == "query" and config.energy_stop_tol > 0:
        raise ValueError(
            f"an eta for each query needs energy_stop_tol=0, got {config.energy_stop_tol:g}"
        )
    if single and settings.separation != "softmax":
        raise ValueError(
            "logit diffusion, attention over the graph and an eta for each query need the "
            f"softmax, got separation={settings.separation!r}"
        )
    if single and settings.update_steps_max != 0:
        raise ValueError(
            "logit diffusion, attention over the graph and an eta for each query need "
            f"update_steps_max=0, got {settings.update_steps_max!r}"
        )
    by_scores = single or (
        config is not None and (bool(config.adaptive_eta) or config.energy_stop_tol > 0)
    )
    if by_scores and settings.similarity != "dot":
        raise ValueError(
            "logit diffusion, attention over the graph, an adaptive eta and an energy_stop_tol "
            f"above 0 need dot products, got similarity={settings.similarity!r}"
        )
    static = settings.stored_pattern_as_static, settings.state_pattern_as_static
    sizes = settings.stored_size, settings.input_size
    for name, one, size in zip(PATTERNS, static, sizes, strict=False):
        if one and not all(static) and settings.affine(name) and size != settings.head_size:
            raise ValueError(
                f"a static {name} has the size of the association space, {settings.head_size}, "
                f"and its affine normalisation that of the input, {size}: switch one of them off"
            )
    added = settings.concat_bias_pattern or settings.add_zero_association
    if single and added:
        raise ValueError(
            "logit diffusion, attention over the graph and an eta for each query cannot be "
            "combined with concat_bias_pattern or add_zero_association"
        )
    if (
        settings.concat_bias_pattern
        and settings.stored_pattern_as_static
        and settings.pattern_projection_as_static
    ):
        raise ValueError("concat_bias_pattern needs a projected memory, got a static one")
