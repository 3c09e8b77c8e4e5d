"""Record what the heads of a model do while it trains."""

from __future__ import annotations

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
    ValueError
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
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be an integer of at least 1, got {every!r}")
        self.model, self.every, self.step = model, every, 0
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
                if self.model.training and self.step % self.every == 0:
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
        masks = {key: value for key, value in named.items() if key in MASKS}
        values = named["input"] if "input" in named else given[0]
        found = layer.statistics(values, *given[1:], **masks)
        padding = masks.get(MASKS[0], given[1] if len(given) > 1 else None)
        itself = isinstance(values, torch.Tensor) or values[0] is values[1]
        itself = itself and padding is not None and padding.dtype == torch.bool
        self.add(self.step, name, found, padding if itself else None)


MASKS = "stored_pattern_padding_mask", "association_mask"
"""The masks of a layer, in the order of its arguments."""
