"""Training by torch: parameters of its own, autograd, ``torch.optim.AdamW``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

import hopcore
from hopcore.training import AttentionRecords, Conditions, Model, Samples, Step
from hopcore_torch.layers import Hopfield

NONE: Mapping[str, float] = {}
"""No temperatures."""


class Trainer:
    """Trains a model of :mod:`hopcore`; see :func:`hopcore.training.trainer`.

    Parameters
    ----------
    model : Model
    parameters : mapping of str to NumPy array
    learning_rate, weight_decay : float
    clip_norm : float, optional
    seed : int
        Of dropout and noise, which are drawn from a generator of its own.
    device : optional
        ``"cpu"``, ``"cuda"``, ...

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.models.bag_classifier import BagClassifier, Bags
    >>> from hopcore_torch.training import Trainer
    >>> model = BagClassifier(input_size=1, embedding=(4,), layer=None)
    >>> bags = Bags(np.eye(2, dtype=np.float32)[..., None], np.eye(2) < 0, np.ones(2, np.float32))
    >>> trainer = Trainer(model, model.first_parameters(seed=0), learning_rate=0.1, weight_decay=0)
    >>> losses = [float(trainer.step(bags).loss) for _ in range(5)]
    >>> losses[-1] < losses[0], trainer.values(bags).shape
    (True, (2,))
    """

    def __init__(
        self,
        model: Model,
        parameters: Mapping[str, np.ndarray],
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        clip_norm: float | None = None,
        seed: int = 0,
        device: Any = None,
    ) -> None:
        self.model = model
        # Asked of the backend, which has a word for a device that is not there.
        self.device = hopcore.backend("torch").asarray(0.0, device=device or "cpu").device
        self.learning_rate, self.clip_norm = learning_rate, clip_norm
        self._parameters = {
            name: torch.tensor(value, device=self.device, requires_grad=True)
            for name, value in parameters.items()
        }
        self._generator = torch.Generator(self.device).manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            self._parameters.values(), lr=learning_rate, weight_decay=weight_decay
        )

    def step(
        self,
        batch: Any,
        temperatures: Mapping[str, float] = NONE,
        *,
        rate: float = 1.0,
        hard: bool = False,
        gumbel: bool = False,
    ) -> Step:
        """One step of AdamW; loss, outputs and norm before it, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * rate
        noise = self._gumbel if gumbel else None
        conditions = Conditions(temperatures, hard, self._dropout, noise)
        self.optimizer.zero_grad()
        loss, outputs = self.model.objective(self._parameters, self._tensors(batch), conditions)
        loss.backward()
        most = math.inf if self.clip_norm is None else self.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), most)
        try:
            self.optimizer.step()
        except RuntimeError as error:
            if "overflow" not in str(error):
                raise
            raise ValueError(
                f"a step of learning rate {self.learning_rate * rate:g} does not fit into the "
                "dtype of the parameters; try a smaller learning rate"
            ) from None
        return Step(loss.detach(), outputs.detach(), norm)

    @torch.no_grad()
    def values(
        self, batch: Any, temperatures: Mapping[str, float] = NONE, *, hard: bool = False
    ) -> np.ndarray:
        """The outputs, without anything random."""
        conditions = Conditions(temperatures, hard)
        outputs = self.model.outputs(self._parameters, self._tensors(batch), conditions)
        return outputs.numpy(force=True)

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of the parameters."""
        return {name: value.numpy(force=True).copy() for name, value in self._parameters.items()}

    def state(self) -> dict[str, np.ndarray]:
        """Copies of parameters, moments of AdamW and state of the generator, by their names."""
        found = {f"parameters.{name}": value for name, value in self.parameters().items()}
        for name, parameter in self._parameters.items():
            for key, value in self.optimizer.state[parameter].items():
                found[f"optimizer.{key}.{name}"] = value.numpy(force=True).copy()
        found["generator"] = self._generator.get_state().numpy(force=True)
        return found

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what :meth:`state` said."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(torch.as_tensor(state[f"parameters.{name}"]))
                start, end = "optimizer.", f".{name}"
                kept = {
                    key[len(start) : -len(end)]: torch.tensor(value, device=parameter.device)
                    for key, value in state.items()
                    if key.startswith(start) and key.endswith(end)
                }
                check_moments(name, parameter, kept)
                if "step" in kept:  # where torch keeps it
                    kept["step"] = kept["step"].cpu()
                self.optimizer.state[parameter] = kept
        try:
            self._generator.set_state(torch.tensor(state["generator"]))
        except RuntimeError as error:
            raise ValueError(f"not a state of torch's generator: {error}") from None

    def _tensors(self, batch: Samples) -> Samples:
        return type(batch)(*(torch.as_tensor(array, device=self.device) for array in batch))

    def _dropout(self, values: torch.Tensor, rate: float) -> torch.Tensor:
        kept = torch.empty_like(values).bernoulli_(1.0 - rate, generator=self._generator)
        return values * kept / (1.0 - rate)

    def _gumbel(self, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        return gumbel(shape, like, self._generator)


def check_moments(name: str, parameter: torch.Tensor, kept: Mapping[str, torch.Tensor]) -> None:
    """Raise if what is kept of a parameter is neither nothing nor a state of AdamW."""
    wanted = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
    given = {key: tuple(value.shape) for key, value in kept.items() if value.is_floating_point()}
    if kept and given != {key: tuple(shape) for key, shape in wanted.items()}:
        raise ValueError(f"the state of AdamW for {name} must have {wanted}, got {given}")


def gumbel(
    shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    r"""Gumbel noise, :math:`-\ln E` of exponential :math:`E`, as another tensor is.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch.training import gumbel
    >>> gumbel((2, 3), torch.ones(1), torch.Generator().manual_seed(0)).isfinite().all()
    tensor(True)
    """
    drawn = torch.empty(shape, dtype=like.dtype, device=like.device)
    drawn.exponential_(generator=generator)
    # An exponential that rounds to 0 would be an infinite score.
    return -drawn.clamp_min(torch.finfo(like.dtype).tiny).log()


class AttentionMonitor(AttentionRecords):
    """Records the mean statistics of every Hopfield layer and head of a model while it trains.

    Every call of the model in training mode is a step. Padding is left out where a sequence
    associates with itself; calls in evaluation mode are not recorded.

    Parameters
    ----------
    model : torch.nn.Module
        It contains :class:`hopcore_torch.Hopfield`, by itself or within other layers.
    every : int
        Record each step that is a multiple of this number; statistics cost about as much as the
        association itself.

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
    >>> from hopcore_torch.training import AttentionMonitor
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
