"""Callbacks for Lightning: a temperature that falls, and a log of what the heads do.

:class:`Annealing` sets the temperature of a module before every batch; :class:`AttentionLogger`
logs the statistics and the temperatures of its Hopfield layers. The best and the last state are
kept by Lightning's own ``ModelCheckpoint``. The module needs ``pytorch-lightning`` or
``lightning``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from hopcore.training import AttentionRecord
from hopcore_torch.layers import Hopfield
from hopcore_torch.monitor import AttentionMonitor

if TYPE_CHECKING:
    from pytorch_lightning import Callback
else:
    try:
        from pytorch_lightning import Callback
    except ModuleNotFoundError as missing:
        if missing.name != "pytorch_lightning":
            raise
        try:
            from lightning.pytorch import Callback
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "hopcore_torch.lightning needs Lightning; install it: pip install "
                "pytorch-lightning",
                name="pytorch_lightning",
            ) from None

__all__ = ["Annealing", "AttentionLogger"]

STATISTICS = AttentionRecord._fields[3:-1]
"""The numbers of a record that can be logged."""


class Annealing(Callback):
    """Sets the temperature of a module before every batch, and logs it.

    The callback has no state: it asks the schedule for Lightning's own step. So a training that is
    resumed from a checkpoint goes on at the right temperature.

    Parameters
    ----------
    schedule : callable
        From a step to a temperature, as the schedules of :mod:`hopcore.schedules`.
    attribute : str
        The attribute of the module that gets the temperature, and the name in the log. The module
        passes it to its layers: ``self.model(x, self.temperature)``.

    Raises
    ------
    TypeError
        The schedule cannot be called.
    AttributeError
        The module has no such attribute when the training begins.

    Examples
    --------
    >>> import hopcore
    >>> from hopcore_torch.lightning import Annealing  # doctest: +SKIP
    >>> callback = Annealing(hopcore.Cosine(1.0, 0.01, steps=1000))  # doctest: +SKIP
    >>> trainer = pl.Trainer(callbacks=[callback])  # doctest: +SKIP
    """

    def __init__(self, schedule: Callable[[int], float], *, attribute: str = "temperature") -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                f"schedule must be a function of the step, such as hopcore.Cosine(1.0, 0.01, "
                f"steps=1000), got {type(schedule).__name__}"
            )
        self.schedule, self.attribute = schedule, attribute

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Raise if the module does not have the attribute."""
        if not hasattr(pl_module, self.attribute):
            raise AttributeError(
                f"{type(pl_module).__name__} has no attribute {self.attribute}; set "
                f"self.{self.attribute} = None in __init__, and pass it to the layers"
            )

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Set and log the temperature of the step."""
        temperature = self.schedule(trainer.global_step)
        setattr(pl_module, self.attribute, temperature)
        pl_module.log(self.attribute, temperature)


class AttentionLogger(Callback):
    """Logs the statistics and the temperatures of every Hopfield layer and head.

    The names in the log are ``attention/<layer>/<head>/<statistic>`` and
    ``temperature/<layer>/<i>``, which is 1 / beta of head i; i is 0 if all heads share it.

    Parameters
    ----------
    every : int
        Record the steps of the optimiser that are a multiple of this number.
    statistics : sequence of str
        What is logged, of the fields of :class:`hopcore.training.AttentionRecord`.

    Attributes
    ----------
    records : list of AttentionRecord
        All statistics of the training so far, logged or not; ``monitor.save("heads.csv")`` writes
        them.
    monitor : hopcore_torch.monitor.AttentionMonitor or None
        None before the training.

    Raises
    ------
    ValueError
        An unknown statistic. When the training begins: the module has no Hopfield layer, or
        ``every`` is no integer of at least 1.

    Examples
    --------
    >>> from hopcore_torch.lightning import AttentionLogger  # doctest: +SKIP
    >>> heads = AttentionLogger(every=50)  # doctest: +SKIP
    >>> pl.Trainer(callbacks=[heads]).fit(module, batches)  # doctest: +SKIP
    >>> heads.monitor.save("heads.csv")  # doctest: +SKIP
    """

    def __init__(
        self, *, every: int = 50, statistics: Sequence[str] = ("entropy", "effective", "energy")
    ) -> None:
        super().__init__()
        unknown = [name for name in statistics if name not in STATISTICS]
        if isinstance(statistics, str) or unknown:
            raise ValueError(
                f"statistics must be a list of {', '.join(STATISTICS)}, got {statistics!r}"
            )
        self.every, self.statistics = every, tuple(statistics)
        self.monitor: AttentionMonitor | None = None
        self._logged = 0

    @property
    def records(self) -> list[AttentionRecord]:
        """All records of the training."""
        return [] if self.monitor is None else self.monitor.records

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Watch the layers."""
        self.monitor, self._logged = AttentionMonitor(pl_module, self.every), 0
        self.monitor.__enter__()

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        """Give the records of this batch Lightning's step."""
        if self.monitor is not None:
            self.monitor.step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log what was recorded in this batch."""
        new = self.records[self._logged :]
        if not new:
            return
        self._logged += len(new)
        numbers = {
            f"attention/{row.layer}/{row.head}/{name}": getattr(row, name)
            for row in new
            for name in self.statistics
        }
        pl_module.log_dict({**numbers, **temperatures(pl_module)})

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Leave the layers as they were."""
        if self.monitor is not None:
            self.monitor.__exit__()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Leave the layers as they were, after an error or an interrupt."""
        self.on_train_end(trainer, pl_module)


@torch.no_grad()
def temperatures(model: torch.nn.Module) -> dict[str, float]:
    """Return the temperatures of each layer, by their names in the log."""
    return {
        f"temperature/{name}/{i}": value
        for name, layer in model.named_modules()
        if isinstance(layer, Hopfield)
        for i, value in enumerate(torch.as_tensor(layer.temperature).reshape(-1).tolist())
    }
