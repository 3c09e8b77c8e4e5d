"""Put Hopfield layers in the place of the attention of a model of torch, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from torch import nn

from hopcore.layers import suggest_names
from hopcore.memory import LearnableAlpha, SeparationName, Similarity
from hopcore_torch.layers._base import Scaling
from hopcore_torch.layers._counterparts import (
    attention_of,
    hopfield_attention_of,
    hopfield_layer_of,
    is_plain,
    transformer_of,
)
from hopcore_torch.layers._decoder import HopfieldDecoderLayer
from hopcore_torch.layers._encoder import HopfieldEncoderLayer
from hopcore_torch.layers._multihead import HopfieldAttention

REPLACED = HopfieldAttention, HopfieldEncoderLayer, HopfieldDecoderLayer
"""What takes the place of attention and of layers of torch."""

Translate = Callable[[nn.Module], nn.Module | None]
"""Return what takes the place of a module, None to look within it, or raise an error."""


@suggest_names
def replace_attention(
    model: nn.Module,
    *,
    separation: SeparationName | float | LearnableAlpha = "softmax",
    similarity: Similarity = "dot",
    scaling: Scaling | None = None,
    learnable_scaling: bool = False,
    update_steps_max: int | tuple[int, ...] | None = 0,
    update_steps_eps: float | tuple[float, ...] = 1e-4,
) -> nn.Module:
    """Put Hopfield layers with the same weights in the place of the attention of a model.

    A ``torch.nn.TransformerEncoderLayer`` becomes a :class:`HopfieldEncoderLayer`, a
    ``TransformerDecoderLayer`` a :class:`HopfieldDecoderLayer`, and every other
    ``MultiheadAttention`` a :class:`HopfieldAttention`, which is called in the same way. With the
    default options, the outputs are the same.

    Parameters
    ----------
    model : torch.nn.Module
        It is changed in place. The parameters are the same objects as before, with other names, so
        that an optimiser goes on and tied ones stay tied.
    separation, similarity, scaling, learnable_scaling, update_steps_max, update_steps_eps
        As in :class:`Hopfield`, for all layers that are put in. The default of ``scaling`` is that
        of attention, one over the root of the size of a head.

    Returns
    -------
    torch.nn.Module
        The model; or what takes its place, if it is itself such a layer.

    Raises
    ------
    TypeError, ValueError
        The model has no attention, or some of it has no exact counterpart: it has hooks, a
        ``forward`` or parameters of its own. The error names the modules, and nothing is changed.

    Notes
    -----
    Layers with parts of their own, such as another activation, hooks, or a subclass of torch's
    layer, keep them, and only their attention is replaced. Modules that occur several times in the
    model still do. No random numbers are drawn. A query that may attend to nothing gets zeros where
    torch returns nan, and the weights that :class:`HopfieldAttention` returns are those before
    dropout.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import replace_attention
    >>> model = torch.nn.Transformer(16, 2, 1, 1, 32, batch_first=True).eval()
    >>> source, target = torch.randn(3, 7, 16), torch.randn(3, 5, 16)
    >>> before = model(source, target)
    >>> torch.allclose(replace_attention(model)(source, target), before, atol=1e-6)
    True
    >>> type(model.encoder.layers[0]).__name__
    'HopfieldEncoderLayer'
    """
    options = {
        "separation": separation,
        "similarity": similarity,
        "scaling": scaling,
        "learnable_scaling": learnable_scaling,
        "update_steps_max": update_steps_max,
        "update_steps_eps": update_steps_eps,
    }
    check_model(model)
    uses = Counter(id(child) for module in model.modules() for child in module.children())

    def hopfield_of(module: nn.Module) -> nn.Module | None:
        if is_plain(module, uses):
            return hopfield_layer_of(module, options)
        if isinstance(module, nn.MultiheadAttention):
            return hopfield_attention_of(module, options)
        return None

    already = any(isinstance(module, REPLACED) for module in model.modules())
    sought = "torch.nn.MultiheadAttention among its modules"
    sought += ": call restore_attention first to choose other options" if already else ""
    return swapped(model, hopfield_of, sought)


@suggest_names
def restore_attention(model: nn.Module) -> nn.Module:
    """Put torch's own attention with the same weights in the place of Hopfield layers.

    The way back of :func:`replace_attention`: the :class:`HopfieldEncoderLayer`,
    :class:`HopfieldDecoderLayer` and :class:`HopfieldAttention` of a model become the layers of
    torch that compute the same.

    Parameters
    ----------
    model : torch.nn.Module
        It is changed in place; the parameters are the same objects as before.

    Returns
    -------
    torch.nn.Module
        The model; or what takes its place, if it is itself such a layer.

    Raises
    ------
    TypeError, ValueError
        The model has no such layers, or torch has no counterpart for one: it has, for example,
        another separation function, updates or normalisations. The error names the modules and
        their settings, and nothing is changed.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import replace_attention, restore_attention
    >>> model = torch.nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
    >>> names = list(model.state_dict())
    >>> list(restore_attention(replace_attention(model)).state_dict()) == names
    True
    """
    check_model(model)

    def torch_of(module: nn.Module) -> nn.Module | None:
        if isinstance(module, HopfieldAttention):
            return attention_of(module)
        if isinstance(module, HopfieldEncoderLayer | HopfieldDecoderLayer):
            return transformer_of(module)
        return None

    return swapped(
        model, torch_of, "HopfieldAttention or transformer layer of hopcore_torch among its modules"
    )


def check_model(model: nn.Module) -> None:
    """Raise an error if a model is no module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")


def swapped(model: nn.Module, translate: Translate, sought: str) -> nn.Module:
    """Return the model with other modules in the place of some, all of them or none.

    A module that occurs several times is translated once.
    """
    found: dict[int, nn.Module | None] = {}
    swaps: list[tuple[nn.Module, str, nn.Module]] = []
    refused: dict[str, list[str]] = {}
    kinds: set[type] = set()

    def visit(module: nn.Module, path: str) -> nn.Module | None:
        if id(module) in found:
            return found[id(module)]
        found[id(module)] = None
        try:
            found[id(module)] = other = translate(module)
        except (TypeError, ValueError) as error:
            refused.setdefault(str(error), []).append(path or "the model itself")
            kinds.add(TypeError if isinstance(error, TypeError) else ValueError)
            return None
        if other is None:
            for name, child in module.named_children():
                inner = visit(child, f"{path}.{name}" if path else name)
                if inner is not None:
                    swaps.extend((module, key, inner) for key in places(module, child))
        return other

    other = visit(model, "")
    if refused:
        reasons = "; ".join(f"{named(paths)}: {reason}" for reason, paths in refused.items())
        raise (TypeError if kinds == {TypeError} else ValueError)(f"nothing was changed: {reasons}")
    if other is None and not swaps:
        raise ValueError(f"a {type(model).__name__} has no {sought}")
    for parent, name, inner in swaps:
        parent._modules[name] = inner
    return model if other is None else other


def named(paths: list[str]) -> str:
    """Return the first of several places in a model, and the number of the others."""
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def places(module: nn.Module, child: nn.Module) -> list[str]:
    """Return the names under which a module has a child."""
    return [name for name, one in module._modules.items() if one is child]
