"""Training by torch: parameters of its own, autograd, ``torch.optim.AdamW``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import hopcore
from hopcore.training import Conditions, Model, Samples, Step

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
