"""The energy transformer block as a module."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
from jax.typing import DTypeLike

import hopcore
from hopcore.layers import EnergyTransformerSettings, named_arguments, suggest_names
from hopcore_jax.layers._base import Key, ParameterOwner, as_array


class EnergyTransformer(ParameterOwner):
    """An energy transformer block: tokens follow the gradient of one energy (Hoover et al. 2023).

    Parameters
    ----------
    input_size, num_heads, head_size, quantity, beta, steps, step_size, attends_to_itself, eps
        See :class:`hopcore.layers.EnergyTransformerSettings`.
    key, dtype, inference
        As in :class:`Hopfield`; nothing is dropped.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid.

    Examples
    --------
    >>> import jax
    >>> from hopcore_jax import EnergyTransformer
    >>> layer = EnergyTransformer(input_size=16, num_heads=2, head_size=8, key=jax.random.key(0))
    >>> tokens = jax.random.normal(jax.random.key(1), (3, 5, 16))
    >>> bool((layer.energy(layer(tokens)) < layer.energy(tokens)).all())
    True
    """

    KIND: ClassVar[type] = EnergyTransformerSettings
    settings: EnergyTransformerSettings = eqx.field(static=True)

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        num_heads: int = 8,
        head_size: int = 16,
        quantity: int = 64,
        beta: float | None = None,
        steps: int = 12,
        step_size: float = 0.1,
        attends_to_itself: bool = True,
        eps: float = 1e-5,
        key: Key | None = None,
        dtype: DTypeLike | None = None,
        inference: bool = False,
    ) -> None:
        arguments = named_arguments(EnergyTransformerSettings, locals())
        settings = EnergyTransformerSettings.from_dict(arguments)
        self._own(settings, key, dtype, inference)

    @suggest_names
    def __call__(
        self,
        tokens: jax.Array,
        padding_mask: jax.Array | None = None,
        steps: int | None = None,
    ) -> jax.Array:
        """Return the tokens after some steps down the energy.

        Parameters
        ----------
        tokens : array (..., L, input_size)
            Token features.
        padding_mask : boolean array (..., L), optional
            **True = padding**: such a token takes no part and stays as it is.
        steps : int, optional
            The number of steps; the default is that of the settings.

        Returns
        -------
        array (..., L, input_size)
        """
        return hopcore.layers.energy_transformer(
            self.settings,
            self.arrays(),
            as_array("tokens", tokens),
            padding_mask=padding_mask,
            steps=steps,
        )

    @suggest_names
    def energy(self, tokens: jax.Array, padding_mask: jax.Array | None = None) -> jax.Array:
        """Return the energy of tokens ``(..., L, input_size)``, an array ``(...)``."""
        return hopcore.layers.energy_transformer_energy(
            self.settings,
            self.arrays(),
            as_array("tokens", tokens),
            padding_mask=padding_mask,
        )
