"""Hopfield associations as the attention of the models of the transformers library.

:func:`register` makes an attention that every model takes which looks its attention up in the
registry of transformers, as nearly all do::

    hopcore_torch.huggingface.register("hopfield", separation="entmax15")
    model.set_attn_implementation("hopfield")

The module needs the extra ``transformers``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from hopcore.layers import attention_statistics, dot_product_attention
from hopcore.memory import Separation, get_separation
from hopcore.training import AttentionRecords

try:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
except ModuleNotFoundError as missing:
    if missing.name != "transformers":
        raise
    raise ModuleNotFoundError(
        "hopcore_torch.huggingface needs transformers; "
        "install it: pip install 'hopcore[transformers]'",
        name="transformers",
    ) from None

__all__ = ["AttentionMonitor", "register"]

OWN = frozenset({"eager", "sdpa", "flex_attention", "paged|eager"})
"""Names of transformers' own attentions, which are not replaced."""

REFUSED = {
    "softcap": "a soft limit of the scores (softcap)",
    "s_aux": "attention sinks (s_aux)",
    "sinks": "attention sinks (sinks)",
    "head_mask": "a mask of heads (head_mask)",
}
"""Arguments that change the attention in a way that an association does not have."""


class AttentionMonitor(AttentionRecords):
    """Records the mean statistics of every attention and head of a model of transformers.

    Parameters
    ----------
    model : torch.nn.Module
        The model, whose modules name the records.
    every : int
        Record the calls of an attention whose number is a multiple of this; a call of the model is
        one of each attention. Statistics cost several times as much as the attention.

    Attributes
    ----------
    records : list of AttentionRecord
        A row for each recorded call, attention and head. Queries that are padding are left out:
        those that may attend to nothing, and in self-attention those that nobody attends to.

    Raises
    ------
    TypeError, ValueError
        ``every`` is no integer of at least 1.

    Examples
    --------
    >>> monitor = huggingface.AttentionMonitor(model)  # doctest: +SKIP
    >>> huggingface.register("hopfield", monitor=monitor)  # doctest: +SKIP
    >>> model.set_attn_implementation("hopfield")  # doctest: +SKIP
    >>> loss = model(**batch).loss  # doctest: +SKIP
    >>> monitor.save("heads.csv")  # doctest: +SKIP
    """

    def __init__(self, model: torch.nn.Module, every: int = 1) -> None:
        super().__init__(every)
        self._names = {id(module): name for name, module in model.named_modules()}
        self._calls: Counter[str] = Counter()

    @torch.no_grad()
    def record(
        self, module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, options: Any
    ) -> None:
        """Record one call of an attention, with the options of its association."""
        name = self._names.get(id(module))
        if name is None:
            raise ValueError(
                f"the monitor watches another model, which has no such {type(module).__name__}; "
                "register an attention with a monitor of this model"
            )
        step = self._calls[name]
        self._calls[name] += 1
        if not self.is_due(step):
            return
        found = attention_statistics(query, key, **options)
        padding, mask = None, options["mask"]
        beside_others = any(word in name.lower() for word in CROSS)
        if mask is not None and not beside_others and query.shape[-2] == key.shape[-2]:
            # In self-attention, padding is what no query of any head attends to.
            padding = ~mask.any(-2).reshape(mask.shape[0], -1, mask.shape[-1]).any(-2)
        self.add(step, name, found, padding)


CROSS = ("cross", "encdec", "encoder_attn")
"""Parts of the names of modules that attend to another sequence."""


def register(
    name: str = "hopfield",
    *,
    separation: Separation = "softmax",
    beta: float | torch.Tensor | None = None,
    update_steps: int = 0,
    monitor: AttentionMonitor | None = None,
) -> None:
    r"""Register an attention of hopcore under a name that models of transformers accept.

    Parameters
    ----------
    name : str
        For ``model.set_attn_implementation(name)`` or ``from_pretrained(...,
        attn_implementation=name)``. Another call with the same name replaces the attention.
    separation : str or separation function
        ``"softmax"`` computes what the model computes; ``"sparsemax"``, ``"entmax15"`` and others
        give sparse weights to a model that was trained with the softmax.
    beta : float or tensor broadcastable to (batch, heads, L), optional
        The inverse temperature, in place of the scale that the model gives its scores.
    update_steps : int
        Updates of the queries over the keys before the values are recalled, as of a Hopfield
        network: :math:`q \leftarrow K^T w(\beta K q)`. 0 is attention.
    monitor : AttentionMonitor, optional
        Records the entropy, the effective number of keys and the energy of every head in each call.

    Raises
    ------
    ModuleNotFoundError
        transformers is not installed: the extra ``transformers``.
    TypeError, ValueError
        A name of transformers' own, an unknown separation function, a beta that is not positive, or
        a number of updates below 0.

    Notes
    -----
    Masks, causal or padded or of a sliding window, grouped queries, caches of keys and values,
    relative position biases and dropout of the weights are those of the model. A query that may
    attend to nothing recalls zeros, where the eager attention averages all values; such queries are
    padding. A model whose attention limits its scores or has sinks is refused when it is run. The
    weights are not returned (``output_attentions=True`` gives none).

    Examples
    --------
    >>> from hopcore_torch import huggingface  # doctest: +SKIP
    >>> huggingface.register("hopfield", separation="entmax15")  # doctest: +SKIP
    >>> model.set_attn_implementation("hopfield")  # doctest: +SKIP
    """
    if not isinstance(name, str) or not name:
        raise TypeError(
            f"name must be a word for model.set_attn_implementation, got {type(name).__name__}"
        )
    if name in OWN or name.startswith(("flash_attention", "paged|")):
        raise ValueError(f"{name!r} is an attention of transformers itself; choose another name")
    if isinstance(update_steps, bool) or not isinstance(update_steps, int) or update_steps < 0:
        raise ValueError(f"update_steps must be an integer >= 0, got {update_steps!r}")
    if monitor is not None and not isinstance(monitor, AttentionMonitor):
        raise TypeError(f"monitor must be an AttentionMonitor, got {type(monitor).__name__}")
    if isinstance(beta, str | bool) or (isinstance(beta, int | float) and not beta > 0):
        raise ValueError(f"beta must be a positive number or a tensor, got {beta!r}")
    get_separation(separation)
    AttentionInterface.register(name, hopfield_attention(separation, beta, update_steps, monitor))
    AttentionMaskInterface.register(name, sdpa_mask)


def hopfield_attention(
    separation: Separation,
    beta: float | torch.Tensor | None,
    update_steps: int,
    monitor: AttentionMonitor | None = None,
) -> Callable[..., tuple[torch.Tensor, None]]:
    """Return an attention with the arguments that models of transformers pass."""

    def attention(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        dropout: float = 0.0,
        scaling: float | None = None,
        is_causal: bool | None = None,
        position_bias: torch.Tensor | None = None,
        **others: Any,
    ) -> tuple[torch.Tensor, None]:
        refuse_others(module, others)
        if is_causal is None:
            is_causal = getattr(module, "is_causal", True)
        masks = {"mask": attention_mask, "bias": position_bias}
        if attention_mask is not None and attention_mask.dtype != torch.bool:
            numbers = attention_mask.masked_fill(
                attention_mask <= torch.finfo(attention_mask.dtype).min, -torch.inf
            )
            bias = numbers if position_bias is None else numbers + position_bias
            masks = {"mask": None, "bias": bias}
        options: Any = {
            **masks,
            "scale": scaling if beta is None else beta,
            # A query on its own, of a sequence that is being generated, sees all keys.
            "causal": bool(is_causal) and attention_mask is None and query.shape[-2] > 1,
            "separation": separation,
        }
        for _ in range(update_steps):
            query = dot_product_attention(query, key, key, **options)
        if monitor is not None:
            monitor.record(module, query, key, options)
        drop = None if dropout == 0.0 else lambda weights: F.dropout(weights, dropout)
        output = dot_product_attention(query, key, value, **options, drop=drop)
        return output.transpose(1, 2).contiguous(), None

    return attention


def refuse_others(module: torch.nn.Module, others: dict[str, Any]) -> None:
    """Raise if a model asks for what an association does not do."""
    for name, what in REFUSED.items():
        if others.get(name) is not None:
            raise ValueError(
                f"{type(module).__name__} asks for {what}, which an association does not have; "
                "use set_attn_implementation('eager')"
            )
