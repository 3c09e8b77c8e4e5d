"""Hopfield layers: association of state patterns with stored patterns, plain and diffused."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import (
    DIFFUSION,
    AssociationProperties,
    DiffusionMethods,
    HopfieldSettings,
    diffused_arguments,
    refuse_arguments,
)
from hopcore.schedules import learned_temperature
from hopcore_jax.layers._base import Key, ParameterOwner, association, optional

Patterns = jax.Array | tuple[jax.Array, jax.Array, jax.Array]
"""One array for all patterns, or stored patterns, state patterns and pattern projections."""


class Hopfield(ParameterOwner, AssociationProperties):
    """A Hopfield layer: state patterns recall from stored patterns, in several heads.

    Parameters
    ----------
    input_size, hidden_size, output_size, pattern_size, num_heads
        Depths and heads, see :class:`hopcore.HopfieldSettings`.
    scaling : float, int, tuple, array or LearnableTemperature, optional
        Inverse temperature: a number, or one for each head, trained with ``learnable_scaling``; or
        a temperature that is learned and stays positive.
    update_steps_max, update_steps_eps
        Updates of the state, and when it rests.
    key : jax.random key
        For the first values of the parameters; not needed where there are none to draw.
    dtype : optional
        Of the parameters, and so of the patterns; JAX's own if not given.
    inference : bool
        Drop nothing.
    **settings
        All other fields of :class:`hopcore.HopfieldSettings`.

    Raises
    ------
    TypeError, ValueError
        Settings that make no sense, or contradict each other.

    Notes
    -----
    A module of equinox: a pytree of its parameters, whose settings are static. Call it inside
    ``equinox.filter_jit``: eager calls give the same, several times slower. Association weights are
    dropped in training alone, with the ``key`` of the call; ``inference`` of call or layer ends it.

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

    def __init__(
        self,
        *args: Any,
        key: Key | None = None,
        dtype: Any = None,
        inference: bool = False,
        **settings: Any,
    ) -> None:
        self._own(association(*args, **settings), key, dtype, inference)

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

    def __call__(
        self,
        input: Patterns,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
        **others: Any,
    ) -> jax.Array:
        """Return what each state pattern recalls.

        Parameters
        ----------
        input : array, or tuple of three
            Stored patterns, state patterns and pattern projections, ``(..., S or L, d)``; one
            array stands for all.
        stored_pattern_padding_mask : array (..., S), optional
            True = ignored; or numbers that are added to the scores. The masks of the core, as of
            :func:`hopcore.association`, are the opposite: True = attend.
        association_mask : array (L, S), (B H, L, S) or (B, H, L, S), optional
            True = not attended; or numbers that are added to the scores.
        key : jax.random key, optional
            For dropout; needed where there is any.
        inference : bool, optional
            Drop nothing; what the layer says, if not given.
        **others
            None: an argument of another library is refused by the name that it has here.

        Returns
        -------
        array (..., L, output_size)
        """
        if others:
            refuse_arguments(others)
        return hopcore.hopfield(
            self.settings,
            self.arrays(),
            *unpack_inputs(input),
            stored_pattern_padding_mask=optional(stored_pattern_padding_mask),
            association_mask=optional(association_mask),
            drop=self._dropout(self.settings.dropout, key, inference),
        )

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


class DiffusedHopfield(Hopfield, DiffusionMethods):
    """A Hopfield layer whose memory is diffused over the graph of its nearest neighbours.

    The keys of all heads are diffused over one graph for each sample; then the layer associates as
    ever, with its own inverse temperature, and recalls the values as given.

    Parameters
    ----------
    *args, **settings
        As in :class:`Hopfield`, and the fields of :class:`hopcore.DiffusionConfig`.
    diffusion_steps : int
        T, the ``steps`` of the configuration.
    config : DiffusionConfig, optional
        The whole configuration, instead of its fields; its ``beta`` is not used.

    Notes
    -----
    Each call builds its graphs: under ``jax.jit`` there is nothing to compare patterns with, so
    that ``cache_graph`` is without effect.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import DiffusedHopfield
    >>> layer = DiffusedHopfield(8, num_heads=2, eta=0.1, k_neighbors=3, key=jax.random.key(0))
    >>> layer(jnp.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        *args: Any,
        diffusion_steps: int | None = None,
        config: DiffusionConfig | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **diffused_arguments(settings, diffusion_steps, config))

    def __getattr__(self, name: str) -> Any:
        """The fields of the configuration."""
        if name in DIFFUSION:
            return getattr(self.config, name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")


def unpack_inputs(input: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return stored patterns, state patterns and pattern projections."""
    if isinstance(input, jax.Array | np.ndarray):
        patterns = jnp.asarray(input)
        return patterns, patterns, patterns
    if isinstance(input, tuple | list) and len(input) == 3:
        return jnp.asarray(input[0]), jnp.asarray(input[1]), jnp.asarray(input[2])
    raise TypeError(
        "input must be one array, or three: stored patterns, state patterns and pattern "
        f"projections; got {type(input).__name__}"
    )
