"""Return the statistics of all Hopfield layers of a model beside its output."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import jax

import hopcore
from hopcore_jax.layers import HopfieldDecoderLayer, HopfieldEncoderLayer

__all__ = ["with_statistics"]


Keep = Callable[[str, hopcore.Statistics[jax.Array]], None]
"""Keeps the statistics of the layer with this name."""


class Watched:
    """A layer that keeps the statistics of its last call."""

    def __init__(self, layer: Any, name: str, keep: Keep) -> None:
        self._layer, self._name, self._keep = layer, name, keep

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        asked = signature(self._layer.statistics).parameters
        known = {name: value for name, value in named.items() if name in asked}
        self._keep(self._name, self._layer.statistics(*given, **known))
        return self._layer(*given, **named)


class WatchedParts(Watched):
    """A transformer layer, which makes its associations anew in every call, with watched ones."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._layer, name)
        if not has_statistics(found):
            return found
        return Watched(found, f"{self._name}.{name}".lstrip("."), self._keep)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return type(self._layer).__call__(self, *given, **named)  # its parts are looked up here


def with_statistics(
    model: Callable[..., Any],
) -> Callable[..., tuple[Any, dict[str, hopcore.Statistics[jax.Array]]]]:
    """Return a model as a function that also returns the statistics of its Hopfield layers.

    Parameters
    ----------
    model : callable pytree
        Such as an ``equinox.Module`` that holds :class:`hopcore_jax.Hopfield`, ``HopfieldPooling``,
        ``HopfieldLayer`` or a transformer layer, or is one.

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
    if not any(map(is_watched, jax.tree_util.tree_leaves(model, is_leaf=is_watched))):
        raise ValueError(
            f"a {type(model).__name__} has no layer with statistics, such as hopcore_jax.Hopfield"
        )

    def call(*arguments: Any, **named: Any) -> tuple[Any, dict[str, Any]]:
        found: dict[str, Any] = {}

        def keep(name: str, statistics: hopcore.Statistics[jax.Array]) -> None:
            found[name] = statistics

        def watched(path: Any, leaf: Any) -> Any:
            if not is_watched(leaf):
                return leaf
            kind = Watched if has_statistics(leaf) else WatchedParts
            return kind(leaf, jax.tree_util.keystr(path).lstrip("."), keep)

        seen: Any = jax.tree_util.tree_map_with_path(watched, model, is_leaf=is_watched)
        return seen(*arguments, **named), found

    return call


def is_watched(layer: Any) -> bool:
    """Whether a part of a model is a layer with statistics, or a transformer layer."""
    return has_statistics(layer) or isinstance(layer, HopfieldEncoderLayer | HopfieldDecoderLayer)


def has_statistics(layer: Any) -> bool:
    """Whether a part of a model is a layer with statistics."""
    return callable(getattr(layer, "statistics", None))
