"""Hopfield layers whose memory is diffused over its graph."""

from __future__ import annotations

from typing import Any

from jax.typing import DTypeLike

from hopcore import DiffusionConfig
from hopcore.diffusion import Adaptive, AttentionMode, Mode
from hopcore.layers import (
    DIFFUSION,
    ActivationName,
    DiffusionMethods,
    HopfieldSettings,
    config_or_fields,
    diffused_arguments,
    named_arguments,
    suggest_names,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_jax.layers._base import Key, Scaling
from hopcore_jax.layers._hopfield import Hopfield


class DiffusedHopfield(Hopfield, DiffusionMethods):
    """A Hopfield layer whose memory is diffused over the graph of its nearest neighbours.

    The layer diffuses the keys of all heads over one graph for each sample. Then it associates like
    a plain layer, with its own inverse temperature, and returns averages of the given values.

    Parameters
    ----------
    input_size
    hidden_size, output_size, pattern_size, num_heads, scaling, update_steps_max, update_steps_eps
    learnable_scaling, separation, similarity, association_activation, dropout, input_bias
    batch_first
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static
    pattern_projection_as_connected, stored_pattern_size, pattern_projection_size
    concat_bias_pattern, add_zero_association, disable_out_projection
    key, dtype, inference
        As in :class:`Hopfield`.
    diffusion_steps : int
        T, the field ``steps`` of the configuration.
    config : DiffusionConfig, optional
        The whole configuration, instead of its fields; its ``beta`` is not used.
    eta, diffusion_mode, attention_mode, k_neighbors, use_normalized_laplacian, use_sparse
    diffuse_key, diffuse_query, use_logit_diffusion, logit_eta, adaptive_eta
    adaptive_temperature, adaptive_threshold, cache_graph, energy_stop_tol
        The other fields of the configuration, see :class:`hopcore.DiffusionConfig`.

    Notes
    -----
    Each call builds its graphs, because patterns cannot be compared under ``jax.jit``. So
    ``cache_graph`` has no effect.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import DiffusedHopfield
    >>> layer = DiffusedHopfield(8, num_heads=2, eta=0.1, k_neighbors=3, key=jax.random.key(0))
    >>> layer(jnp.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    @suggest_names
    @config_or_fields
    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: Scaling | None = None,
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
        *,
        diffusion_steps: int = 3,
        config: DiffusionConfig | None = None,
        eta: float = 0.1,
        diffusion_mode: Mode = "factored",
        attention_mode: AttentionMode = "dense",
        k_neighbors: int = 5,
        use_normalized_laplacian: bool = True,
        use_sparse: bool = False,
        diffuse_key: bool = True,
        diffuse_query: bool = False,
        use_logit_diffusion: bool = False,
        logit_eta: float | None = None,
        adaptive_eta: bool | Adaptive = False,
        adaptive_temperature: float = 5.0,
        adaptive_threshold: float = 1.0,
        cache_graph: bool = True,
        energy_stop_tol: float = 0.0,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_stored_pattern_eps: float = 1e-5,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_state_pattern_eps: float = 1e-5,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_pattern_projection_eps: float = 1e-5,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
        normalize_hopfield_space_eps: float = 1e-5,
        stored_pattern_as_static: bool = False,
        state_pattern_as_static: bool = False,
        pattern_projection_as_static: bool = False,
        pattern_projection_as_connected: bool = False,
        stored_pattern_size: int | None = None,
        pattern_projection_size: int | None = None,
        batch_first: bool = True,
        association_activation: ActivationName | None = None,
        dropout: float = 0.0,
        input_bias: bool = True,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        own = named_arguments(DIFFUSION, locals())
        arguments = named_arguments(HopfieldSettings, locals())
        arguments |= diffused_arguments(own, diffusion_steps, config)
        super().__init__(**arguments, key=key, dtype=dtype, inference=inference)

    def __getattr__(self, name: str) -> Any:
        """The fields of the configuration."""
        if name in DIFFUSION:
            return getattr(self.config, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
