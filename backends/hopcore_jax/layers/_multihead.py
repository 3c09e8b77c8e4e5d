"""A Hopfield layer with the call of ``equinox.nn.MultiheadAttention``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from hopcore.layers import suggest_names
from hopcore_jax.layers._base import Key
from hopcore_jax.layers._hopfield import Hopfield


class HopfieldAttention(eqx.Module):
    """A Hopfield layer that is called like ``equinox.nn.MultiheadAttention``.

    :func:`replace_attention` puts it in the place of attention.

    Parameters
    ----------
    hopfield : Hopfield
        The layer, which becomes the field ``hopfield`` of the module.

    Raises
    ------
    TypeError
        The layer is not a :class:`Hopfield`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import Hopfield, HopfieldAttention
    >>> layer = Hopfield(8, num_heads=2, separation="sparsemax", key=jax.random.key(0))
    >>> HopfieldAttention(layer)(jnp.ones((10, 8)), jnp.ones((50, 8)), jnp.ones((50, 8))).shape
    (10, 8)
    """

    hopfield: Hopfield

    def __init__(self, hopfield: Hopfield) -> None:
        if not isinstance(hopfield, Hopfield) or type(hopfield).__call__ is not Hopfield.__call__:
            raise TypeError(f"hopfield must be a Hopfield layer, got {type(hopfield).__name__}")
        self.hopfield = hopfield

    @suggest_names
    def __call__(
        self,
        query: jax.Array,
        key_: jax.Array,
        value: jax.Array,
        mask: jax.Array | None = None,
        *,
        key: Key | None = None,
        inference: bool | None = None,
        process_heads: Callable[..., Any] | None = None,
    ) -> jax.Array:
        """Return the association of states with stored patterns.

        Parameters
        ----------
        query, key_, value : array (L, d), (S, d_k), (S, d_v)
            States, stored patterns and projections; ``jax.vmap`` adds an axis for a batch.
        mask : array (L, S) or (H, L, S), optional
            **True means that a query attends to a pattern**, as in equinox. A query that attends to
            nothing gets zeros; equinox returns the mean of all values.
        key : jax.random key, optional
            The key of dropout; needed if there is any.
        inference : bool, optional
            Whether dropout is switched off; the default is the setting of the layer.
        process_heads
            Refused: a Hopfield layer has no function of its heads.

        Returns
        -------
        array (L, output_size)
        """
        if process_heads is not None:
            raise ValueError(
                "process_heads changes the heads before they associate, which a Hopfield layer "
                "does not: keep equinox.nn.MultiheadAttention there"
            )
        hidden = None if mask is None else ~jnp.asarray(mask, bool)
        patterns = key_, query, value
        return self.hopfield(patterns, None, hidden, key=key, inference=inference)
