"""Record what the heads of a model do while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Self

import torch

from hopcore.training import AttentionRecords
from hopcore_torch.layers import Hopfield

__all__ = ["AttentionMonitor"]


class AttentionMonitor(AttentionRecords):
    """Records the mean statistics of every Hopfield layer and head of a model while it trains.

    Every call of the model in training mode is a step. Padding is left out where a sequence
    associates with itself; calls in evaluation mode are not recorded.

    Parameters
    ----------
    model : torch.nn.Module
        It contains :class:`hopcore_torch.Hopfield`, by itself or within other layers.
    every : int
        Record each step that is a multiple of this number; statistics cost several
        times as much as the association itself.

    Attributes
    ----------
    records : list of AttentionRecord
        A row for each step, layer and head.
    step : int
        How many calls there have been.

    Raises
    ------
    TypeError, ValueError
        The model has no such layer, or ``every`` is no integer of at least 1.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HopfieldPooling
    >>> from hopcore_torch.monitor import AttentionMonitor
    >>> model = torch.nn.Sequential(HopfieldPooling(4, num_heads=2), torch.nn.Linear(4, 1))
    >>> with AttentionMonitor(model) as monitor:
    ...     for _ in range(3):
    ...         model(torch.ones(8, 5, 4)).sum().backward()
    >>> [(row.step, row.layer, row.head) for row in monitor.records][-1], len(monitor.records)
    ((2, '0.hopfield', 1), 6)
    """

    def __init__(self, model: torch.nn.Module, every: int = 1) -> None:
        super().__init__(every)
        self.model, self.step = model, 0
        self._layers = {
            name: layer for name, layer in model.named_modules() if isinstance(layer, Hopfield)
        }
        if not self._layers:
            raise ValueError(
                f"a {type(model).__name__} has no hopcore_torch.Hopfield among its modules"
            )
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        """Watch the layers until the end of the block."""
        for name, layer in self._layers.items():

            def look(layer: Any, given: Any, named: Any, _: Any, name: str = name) -> None:
                if self.model.training and self.is_due(self.step):
                    self._record(name, layer, given, named)

            self._hooks.append(layer.register_forward_hook(look, with_kwargs=True))

        def count(*_: Any) -> None:
            self.step += self.model.training

        self._hooks.append(self.model.register_forward_hook(count))
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the layers as they were."""
        while self._hooks:
            self._hooks.pop().remove()

    @torch.no_grad()
    def _record(self, name: str, layer: Any, given: Any, named: dict[str, Any]) -> None:
        asked = signature(layer.statistics)
        named = {key: value for key, value in named.items() if key in asked.parameters}
        found = layer.statistics(*given, **named)
        self.add(self.step, name, found, ignored_queries(asked.bind(*given, **named).arguments))


def ignored_queries(arguments: Mapping[str, Any]) -> torch.Tensor | None:
    """Return the padding of the queries: that of the patterns, where these are the queries."""
    if "input" in arguments:
        values, padding = arguments["input"], arguments.get("stored_pattern_padding_mask")
        itself = isinstance(values, torch.Tensor) or values[0] is values[1]
    else:
        key, padding = arguments.get("key"), arguments.get("key_padding_mask")
        itself = key is None or key is arguments["query"]
    return padding if itself and padding is not None and padding.dtype == torch.bool else None
