"""Settings of layers that together have every option; few sizes, since some libraries compile."""

from __future__ import annotations

from typing import Any

from hopcore import DiffusionConfig, HopfieldSettings

RAW = {
    "normalize_stored_pattern": False,
    "normalize_state_pattern": False,
    "normalize_pattern_projection": False,
}
STATIC = {
    "stored_pattern_as_static": True,
    "state_pattern_as_static": True,
    "pattern_projection_as_static": True,
}


def settings_of(**given: Any) -> HopfieldSettings:
    """Settings of two heads and depth 6, unless something else is given."""
    return HopfieldSettings(**{"input_size": 6, "num_heads": 2, **given})


SETTINGS: dict[str, HopfieldSettings] = {
    "as it comes": settings_of(),
    "one head, no bias": settings_of(
        num_heads=1,
        hidden_size=4,
        output_size=5,
        input_bias=False,
        normalize_state_pattern_affine=False,
        normalize_stored_pattern_eps=0.1,
        normalize_state_pattern_eps=0.2,
        normalize_pattern_projection_eps=0.3,
    ),
    "every depth its own": settings_of(
        hidden_size=4,
        output_size=5,
        pattern_size=2,
        stored_pattern_size=3,
        pattern_projection_size=7,
        association_activation="tanh",
    ),
    "a temperature for each head": settings_of(
        scaling=(0.3, 2.0),
        normalize_hopfield_space=True,
        normalize_hopfield_space_affine=True,
        normalize_hopfield_space_eps=0.1,
    ),
    "learnable temperatures": settings_of(
        **RAW, scaling=(0.5, 1.5), learnable_scaling=True, normalize_hopfield_space=True
    ),
    "a learnable temperature": settings_of(
        learnable_scaling=True, association_activation="gelu", disable_out_projection=True
    ),
    "connected": settings_of(pattern_projection_as_connected=True),
    "connected, otherwise static": settings_of(
        hidden_size=6,
        state_pattern_as_static=True,
        pattern_projection_as_static=True,
        pattern_projection_as_connected=True,
    ),
    "connected to a static memory": settings_of(
        hidden_size=6, stored_pattern_as_static=True, pattern_projection_as_connected=True
    ),
    "stored patterns static": settings_of(
        hidden_size=6, stored_pattern_as_static=True, concat_bias_pattern=True
    ),
    "state patterns static": settings_of(hidden_size=6, state_pattern_as_static=True),
    "projections static": settings_of(
        hidden_size=6, pattern_projection_as_static=True, concat_bias_pattern=True
    ),
    "static, normalised in their space": settings_of(
        **RAW,
        **STATIC,
        hidden_size=6,
        normalize_hopfield_space=True,
        disable_out_projection=True,
    ),
    "nothing projected": settings_of(
        **RAW,
        **STATIC,
        input_size=None,
        disable_out_projection=True,
        add_zero_association=True,
        scaling=(1.0, 0.4),
    ),
    "sparse": settings_of(separation="sparsemax", scaling=(1.0, 4.0), add_zero_association=True),
    "patterns added": settings_of(
        concat_bias_pattern=True, add_zero_association=True, pattern_size=4
    ),
    "by distance": settings_of(**RAW, similarity="distance", learnable_scaling=True),
    "by distance, patterns added": settings_of(
        similarity="distance",
        scaling=(0.5, 2.0),
        concat_bias_pattern=True,
        add_zero_association=True,
        pattern_size=4,
    ),
    "by distance, sparse": settings_of(
        similarity="distance", separation="sparsemax", normalize_hopfield_space=True, scaling=2.0
    ),
    "in reach": settings_of(
        similarity="distance", separation="epanechnikov:3", scaling=(0.05, 0.3), pattern_size=4
    ),
}
"""Settings that together have every option except updates, dropout and diffusion."""

UPDATES: dict[str, HopfieldSettings] = {
    "two updates": settings_of(update_steps_max=2, update_steps_eps=0.0),
    "at most five": settings_of(
        update_steps_max=5, update_steps_eps=0.05, scaling=2.0, separation=1.5
    ),
    "each head its own": settings_of(
        update_steps_max=(0, 3),
        update_steps_eps=(0.5, 0.02),
        hidden_size=4,
        pattern_size=3,
        concat_bias_pattern=True,
    ),
    "until at rest": settings_of(
        update_steps_max=None, scaling=(0.5, 2.0), normalize_hopfield_space=True
    ),
    "two updates, by distance": settings_of(
        **RAW, similarity="distance", update_steps_max=2, update_steps_eps=0.0, scaling=2.0
    ),
    "at rest, by distance": settings_of(
        similarity="distance",
        update_steps_max=None,
        scaling=(0.2, 0.4),
        separation=1.5,
        concat_bias_pattern=True,
    ),
    "two updates, in reach": settings_of(
        similarity="distance",
        separation="epanechnikov:3",
        update_steps_max=2,
        update_steps_eps=0.0,
        scaling=(3.0, 0.1),
        add_zero_association=True,
    ),
}


def config_of(**given: Any) -> DiffusionConfig:
    """A diffusion over two neighbours that is strong enough to matter."""
    return DiffusionConfig(**{"eta": 0.3, "steps": 2, "k_neighbors": 2, **given})


GATE = {"adaptive_temperature": 2.0, "adaptive_threshold": 1.3}
"""The threshold of an adaptive eta, in the middle of the entropies of the cases."""

DIFFUSED: dict[str, HopfieldSettings] = {
    name: settings_of(**more, diffusion=config_of(**config))
    for name, (config, more) in {
        "factored": ({}, {}),
        "simple": ({"diffusion_mode": "simple"}, {"hidden_size": 4, "pattern_size": 2}),
        "iterative": ({"diffusion_mode": "iterative", "steps": 1}, {"update_steps_max": 1}),
        "spectral": ({"diffusion_mode": "spectral"}, {"add_zero_association": True}),
        "chebyshev": ({"diffusion_mode": "chebyshev"}, {"scaling": (0.5, 2.0)}),
        "implicit": (
            {"diffusion_mode": "implicit", "use_normalized_laplacian": False},
            {"concat_bias_pattern": True},
        ),
        "queries too": ({"diffuse_query": True}, {"pattern_projection_as_connected": True}),
        "eta of each sample": ({"adaptive_eta": True, **GATE}, {}),
        "eta of each query": (
            {"adaptive_eta": "query", "diffusion_mode": "spectral", "diffuse_query": True, **GATE},
            {"association_activation": "relu"},
        ),
        "weights": ({"use_logit_diffusion": True, "logit_eta": 0.4}, {}),
        "weights alone": ({"use_logit_diffusion": True, "diffuse_key": False}, RAW),
        "along the graph": ({"attention_mode": "graph", "eta": 0.1}, {"scaling": (0.5, 2.0)}),
        "keys and queries, by distance": (
            {"diffuse_query": True},
            {"similarity": "distance", "scaling": (0.5, 2.0), "add_zero_association": True},
        ),
    }.items()
}
"""Settings of diffused layers: each mode, and each way to diffuse."""

EVERY = {**SETTINGS, **UPDATES, **DIFFUSED}

WEIGHED = {
    name: EVERY[name]
    for name in (
        *("projections static", "patterns added", "two updates"),
        *("eta of each query", "along the graph", "weights"),
        *("by distance, patterns added", "two updates, by distance", "two updates, in reach"),
    )
}
"""Settings whose weights are looked at: shared values, longer memories, each way to find them."""

SOME = {
    **{name: SETTINGS[name] for name in ("as it comes", "patterns added", "nothing projected")},
    "two updates": settings_of(
        update_steps_max=2, update_steps_eps=0.0, normalize_hopfield_space=True
    ),
    **{name: DIFFUSED[name] for name in ("factored", "eta of each query", "along the graph")},
    "by distance, updated": settings_of(
        **RAW, similarity="distance", update_steps_max=2, update_steps_eps=0.0
    ),
}
"""Settings of the checks whose subject is something else."""

FEW = {
    name: SOME[name] for name in ("as it comes", "two updates", "factored", "by distance, updated")
}
"""Fewer of them."""
