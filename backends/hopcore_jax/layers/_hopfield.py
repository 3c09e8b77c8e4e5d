"""Hopfield layers: the association of states with stored patterns."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import (
    ActivationName,
    AssociationProperties,
    HopfieldSettings,
    hopfield_settings,
    named_arguments,
    suggest_names,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity, learned_alpha
from hopcore.schedules import learned_temperature
from hopcore_jax.layers._base import Key, ParameterOwner, Scaling, as_array, optional

Patterns = jax.Array | tuple[jax.Array, jax.Array, jax.Array]
"""One array for all patterns, or stored patterns, states and projections."""


class Hopfield(ParameterOwner, AssociationProperties):
    """A Hopfield layer: the association of states with stored patterns, in several heads.

    Parameters
    ----------
    input_size, hidden_size, output_size, pattern_size, num_heads
        Sizes and number of heads, see :class:`hopcore.HopfieldSettings`.
    scaling : float, int, tuple, array or LearnableTemperature, optional
        The inverse temperature: a number or a number for each head, which is trained with
        ``learnable_scaling``, or a learned temperature, which stays positive.
    update_steps_max, update_steps_eps
        The largest number of updates of the state, and the tolerance for convergence.
    learnable_scaling : bool
        Whether ``scaling`` is trained with the layer.
    separation : str or float
        ``"softmax"``, ``"sparsemax"``, or the alpha > 1 of an entmax, whose weights are sparse.
    similarity : {"dot", "distance"}
        How queries are compared with keys: by dot products, or by distances.
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
        Whether the stored patterns pass through layer normalisation, whether its scale and shift
        are learned, and what it adds to the variance.
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
        The same for the states.
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
        The same for the projections.
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
        The same for states and stored patterns in the association space of each head.
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static : bool
        Whether these patterns are already in the association space and are not projected.
    pattern_projection_as_connected : bool
        Whether the values pass through the projection of the stored patterns before their own.
    stored_pattern_size, pattern_projection_size : int, optional
        The numbers of features of the stored patterns and projections; the default is
        ``input_size``.
    batch_first : bool
        Whether inputs have the shape ``(..., L, d)``, and otherwise ``(L, ..., d)``.
    association_activation : str, optional
        The activation function of the output: one of :data:`hopcore.layers.ACTIVATIONS`.
    dropout : float
        The probability with which an association weight is dropped during training.
    input_bias : bool
        Whether projections, including that of the output, have a bias.
    concat_bias_pattern, add_zero_association : bool
        Whether to add a learned pattern, or a pattern of zeros, to the memory of each head.
    disable_out_projection : bool
        Whether the output is the concatenation of the heads, without a projection.
    diffusion : DiffusionConfig, optional
        Diffuse the memory over the graph of its nearest neighbours; its ``beta`` is not used.
    key : jax.random key
        The key of the initial parameters; not needed if no parameter is random.
    dtype : optional
        The dtype of the parameters, and so of the patterns; the default is JAX's own.
    inference : bool
        Whether dropout is switched off.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid, or settings contradict each other.

    Notes
    -----
    The layer is a module of equinox: a pytree of its parameters, with static settings. Call it
    inside ``equinox.filter_jit``; eager calls give the same results several times slower.
    Association weights are dropped only during training, with the ``key`` of the call;
    ``inference`` of the call or of the layer switches dropout off.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import Hopfield
    >>> layer = Hopfield(input_size=8, num_heads=2, key=jax.random.key(0))
    >>> stored, state = jnp.ones((3, 50, 8)), jnp.ones((3, 10, 8))
    >>> layer((stored, state, stored)).shape
    (3, 10, 8)
    """

    KIND: ClassVar[type] = HopfieldSettings
    settings: HopfieldSettings = eqx.field(static=True)

    @suggest_names
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
        diffusion: DiffusionConfig | None = None,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        settings = hopfield_settings(named_arguments(HopfieldSettings, locals()))
        self._own(settings, key, dtype, inference)

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        return self.settings

    @property
    def scaling(self) -> Any:
        """The inverse temperature: the parameter, a number, or one for each head."""
        if "temperature" in self.parameters:
            return 1.0 / self.temperature
        return self.parameters.get("scaling", self.settings.beta)

    @property
    def temperature(self) -> Any:
        """The current temperature, one for all heads or one for each."""
        if "temperature" in self.parameters:
            shared = self.parameters.get("shared_temperature")
            return learned_temperature(self.parameters["temperature"], shared)
        return 1.0 / (
            jnp.asarray(self.scaling) if isinstance(self.scaling, tuple) else self.scaling
        )

    @property
    def alpha(self) -> jax.Array:
        """The current learned alpha, one for all heads or one for each."""
        if "alpha_logit" not in self.parameters:
            raise AttributeError("this layer learns no alpha: separation=LearnableAlpha()")
        return learned_alpha(self.parameters["alpha_logit"])

    @suggest_names
    def __call__(
        self,
        input: Patterns,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
    ) -> jax.Array:
        """Return the association of the states with the stored patterns.

        Parameters
        ----------
        input : array, or tuple of three
            Stored patterns, states and projections, ``(..., S or L, d)``; one array is used for all
            three.
        stored_pattern_padding_mask : array (..., S), optional
            True means that a pattern is ignored; numbers are added to the scores. The masks of the
            core, such as of :func:`hopcore.association`, have the opposite meaning: True means
            attend.
        association_mask : array (L, S), (B H, L, S) or (B, H, L, S), or "causal", optional
            True means that a query may not attend to a pattern; numbers are added to the scores.
            With ``"causal"``, query i attends to the patterns 0 to i alone.
        key : jax.random key, optional
            The key of dropout; needed if there is any.
        inference : bool, optional
            Whether dropout is switched off; the default is the setting of the layer.

        Returns
        -------
        array (..., L, output_size)
        """
        return hopcore.hopfield(
            self.settings,
            self.arrays(),
            *unpack_inputs(input),
            stored_pattern_padding_mask=optional(stored_pattern_padding_mask),
            association_mask=optional(association_mask),
            drop=self._dropout(self.settings.dropout, key, inference),
        )

    @suggest_names
    def association_weights(
        self,
        input: Patterns,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
    ) -> jax.Array:
        """Return how much each query of each head attends to each pattern, ``(..., H, L, S)``."""
        return hopcore.layers.hopfield_weights(
            self.settings,
            self.arrays(),
            *unpack_inputs(input),
            stored_pattern_padding_mask=optional(stored_pattern_padding_mask),
            association_mask=optional(association_mask),
        )

    def statistics(
        self,
        input: Patterns,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
    ) -> hopcore.Statistics[jax.Array]:
        """Return the statistics of each head: ``(..., H, L)``, and received ``(..., H, S)``.

        They are those of the weights of the forward pass without dropout; see
        :func:`hopcore.layers.hopfield_statistics`.
        """
        return hopcore.layers.hopfield_statistics(
            self.settings,
            self.arrays(),
            *unpack_inputs(input),
            stored_pattern_padding_mask=optional(stored_pattern_padding_mask),
            association_mask=optional(association_mask),
        )

    def get_association_matrix(
        self,
        input: Patterns,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
    ) -> jax.Array:
        """:meth:`association_weights` without a gradient."""
        masks = stored_pattern_padding_mask, association_mask
        return lax.stop_gradient(self.association_weights(input, *masks))

    def get_projected_pattern_matrix(self, input: Patterns) -> jax.Array:
        """Return the values of each head, ``(..., H, S, v)``, without a gradient."""
        values = hopcore.layers.hopfield_projections(
            self.settings, self.arrays(), *unpack_inputs(input)
        )
        return lax.stop_gradient(values)


def unpack_inputs(input: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return stored patterns, states and projections."""
    if isinstance(input, jax.Array | np.ndarray):
        patterns = as_array("input", input)
        return patterns, patterns, patterns
    if isinstance(input, tuple | list) and len(input) == 3:
        names = "stored patterns", "state patterns", "pattern projections"
        stored, state, projection = map(as_array, names, input)
        return stored, state, projection
    raise TypeError(
        "input must be one array, or three: stored patterns, state patterns and pattern "
        f"projections; got {type(input).__name__}, of which jnp.asarray(...) makes an array"
    )
