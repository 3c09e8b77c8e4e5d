"""Put Hopfield layers in the place of equinox's attention in a model, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax

from hopcore.layers import suggest_names
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_jax.layers._base import Scaling
from hopcore_jax.layers._counterparts import attention_of, with_weights_of
from hopcore_jax.layers._multihead import HopfieldAttention

Model = TypeVar("Model")


@suggest_names
def replace_attention(
    model: Model,
    *,
    separation: SeparationName | float | LearnableAlpha = "softmax",
    similarity: Similarity = "dot",
    scaling: Scaling | None = None,
    learnable_scaling: bool = False,
    update_steps_max: int | tuple[int, ...] | None = 0,
    update_steps_eps: float | tuple[float, ...] = 1e-4,
) -> Model:
    """Return a model with Hopfield layers of the same weights in the place of its attention.

    Every ``equinox.nn.MultiheadAttention`` becomes a :class:`HopfieldAttention`, which is called in
    the same way. With the default options, the outputs are the same.

    Parameters
    ----------
    model : pytree
        Such as an ``equinox.Module``; it is not changed. Weights of attention may have leading
        axes, as those of layers that ``jax.lax.scan`` goes through.
    separation, similarity, scaling, learnable_scaling, update_steps_max, update_steps_eps
        As in :class:`Hopfield`, for all layers that are put in. The default of ``scaling`` is that
        of attention, one over the root of the size of a head.

    Returns
    -------
    pytree
        The model with other layers. Initialise the state of an optimiser anew, because its arrays
        are others.

    Raises
    ------
    TypeError, ValueError
        The model has no attention, or some of it has no exact counterpart: only some of its
        projections have a bias, or its class or a projection is another. The error names the
        places.

    Examples
    --------
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from hopcore_jax import replace_attention
    >>> attention = eqx.nn.MultiheadAttention(2, 8, key=jax.random.key(0))
    >>> x = jax.random.normal(jax.random.key(1), (5, 8))
    >>> bool(jnp.allclose(replace_attention(attention)(x, x, x), attention(x, x, x), atol=1e-6))
    True
    """
    options = {
        "separation": separation,
        "similarity": similarity,
        "scaling": scaling,
        "learnable_scaling": learnable_scaling,
        "update_steps_max": update_steps_max,
        "update_steps_eps": update_steps_eps,
    }

    def hopfield_of(attention: Any) -> HopfieldAttention:
        return HopfieldAttention(with_weights_of(attention, options))

    return swapped(model, eqx.nn.MultiheadAttention, hopfield_of)


@suggest_names
def restore_attention(model: Model) -> Model:
    """Return a model with equinox's attention of the same weights in the place of Hopfield layers.

    The way back of :func:`replace_attention`.

    Parameters
    ----------
    model : pytree
        It is not changed.

    Returns
    -------
    pytree
        The model, in which every :class:`HopfieldAttention` is an
        ``equinox.nn.MultiheadAttention``.

    Raises
    ------
    ValueError
        The model has no :class:`HopfieldAttention`, or one has settings that equinox's attention
        does not have, such as another separation function. The error names the places.

    Examples
    --------
    >>> import equinox as eqx, jax
    >>> from hopcore_jax import replace_attention, restore_attention
    >>> attention = eqx.nn.MultiheadAttention(2, 8, key=jax.random.key(0))
    >>> bool(eqx.tree_equal(restore_attention(replace_attention(attention)), attention))
    True
    """
    return swapped(model, HopfieldAttention, lambda module: attention_of(module.hopfield))


def swapped(model: Any, kind: type, translate: Callable[[Any], Any]) -> Any:
    """Return the model with other modules in the place of those of one kind.

    A module that occurs several times is translated once.
    """
    found: dict[int, Any] = {}
    refused: dict[str, list[str]] = {}
    kinds: set[type] = set()

    def other(path: Any, leaf: Any) -> Any:
        if not isinstance(leaf, kind):
            return leaf
        try:
            if id(leaf) not in found:
                found[id(leaf)] = translate(leaf)
            return found[id(leaf)]
        except (TypeError, ValueError) as error:
            place = jax.tree_util.keystr(path).lstrip(".") or "the model itself"
            refused.setdefault(str(error), []).append(place)
            kinds.add(TypeError if isinstance(error, TypeError) else ValueError)
            return leaf

    changed = jax.tree_util.tree_map_with_path(
        other, model, is_leaf=lambda part: isinstance(part, kind)
    )
    if refused:
        reasons = "; ".join(f"{', '.join(at)}: {reason}" for reason, at in refused.items())
        raise (TypeError if kinds == {TypeError} else ValueError)(f"nothing was changed: {reasons}")
    if not found:
        raise ValueError(f"a {type(model).__name__} has no {kind.__name__} in it")
    return changed
