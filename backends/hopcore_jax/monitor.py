"""Return the statistics of all Hopfield layers of a model beside its output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

import hopcore

__all__ = ["with_statistics"]


class Watched:
    """A layer that keeps the statistics of its last call."""

    def __init__(self, layer: Any, keep: Callable[[hopcore.Statistics[jax.Array]], None]) -> None:
        self._layer, self._keep = layer, keep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def __call__(
        self,
        input: Any,
        stored_pattern_padding_mask: Any = None,
        association_mask: Any = None,
        **others: Any,
    ) -> Any:
        masks = stored_pattern_padding_mask, association_mask
        self._keep(self._layer.statistics(input, *masks))
        return self._layer(input, *masks, **others)


def with_statistics(
    model: Callable[..., Any],
) -> Callable[..., tuple[Any, dict[str, hopcore.Statistics[jax.Array]]]]:
    """Return a model as a function that also returns the statistics of its Hopfield layers.

    Parameters
    ----------
    model : callable pytree
        Such as an ``equinox.Module`` that holds :class:`hopcore_jax.Hopfield`, ``HopfieldPooling``
        or ``HopfieldLayer``, or is one. Layers within a transformer layer are not seen.

    Returns
    -------
    callable
        Takes the arguments of the model, and returns its output and a dictionary of
        :class:`hopcore.Statistics` by the places of the layers in the model. A layer that is called
        several times has the statistics of the last call. It may be traced: ``jax.jit``, and
        ``jax.grad`` with ``has_aux=True``, work as usual.

    Raises
    ------
    ValueError
        The model has no such layer.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax import HopfieldPooling
    >>> from hopcore_jax.monitor import with_statistics
    >>> layer = HopfieldPooling(4, num_heads=2, key=jax.random.key(0))
    >>> output, found = jax.jit(with_statistics(layer))(jnp.ones((8, 5, 4)))
    >>> output.shape, found[""].entropy.shape
    ((8, 4), (8, 2, 1))
    """
    places = jax.tree_util.tree_leaves_with_path(model, is_leaf=has_statistics)
    if not any(has_statistics(leaf) for _, leaf in places):
        raise ValueError(
            f"a {type(model).__name__} has no layer with statistics, such as hopcore_jax.Hopfield"
        )

    def call(*arguments: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        found: dict[str, Any] = {}

        def watched(path: Any, leaf: Any) -> Any:
            if not has_statistics(leaf):
                return leaf
            name = jax.tree_util.keystr(path).lstrip(".")
            return Watched(leaf, lambda statistics: found.update({name: statistics}))

        seen: Any = jax.tree_util.tree_map_with_path(watched, model, is_leaf=has_statistics)
        return seen(*arguments, **named), found

    return call


def has_statistics(layer: Any) -> bool:
    """Whether a part of a model is a layer with statistics."""
    return callable(getattr(layer, "statistics", None))
