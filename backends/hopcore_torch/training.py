"""Training by torch: parameters of its own, autograd, ``torch.optim.AdamW``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hopcore.training import Model, Samples


class Trainer:
    """Trains a model of :mod:`hopcore`; see :func:`hopcore.training.trainer`.

    Parameters
    ----------
    model : Model
    parameters : mapping of str to NumPy array
    learning_rate, weight_decay : float
    seed : int
        Of the dropout, which is drawn from a generator of its own.
    device : optional
        ``"cpu"``, ``"cuda"``, ...

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.classifier import BagClassifier, Bags
    >>> from hopcore_torch.training import Trainer
    >>> model = BagClassifier(input_size=1, embedding=(4,), layer=None)
    >>> bags = Bags(np.eye(2, dtype=np.float32)[..., None], np.eye(2) < 0, np.ones(2, np.float32))
    >>> trainer = Trainer(model, model.first_parameters(seed=0), learning_rate=0.1, weight_decay=0)
    >>> losses = [float(trainer.step(bags)) for _ in range(5)]
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
        seed: int = 0,
        device: Any = None,
    ) -> None:
        self.model = model
        self.device = torch.device("cpu" if device is None else device)
        self._parameters = {
            name: torch.tensor(value, device=self.device, requires_grad=True)
            for name, value in parameters.items()
        }
        self._generator = torch.Generator(self.device).manual_seed(seed)
        self.optimizer = torch.optim.AdamW(
            self._parameters.values(), lr=learning_rate, weight_decay=weight_decay
        )

    def step(self, batch: Any) -> torch.Tensor:
        """One step of AdamW; the loss before it, on the device."""
        batch = self._tensors(batch)
        self.optimizer.zero_grad()
        outputs = self.model.outputs(self._parameters, batch, self._dropout)
        loss = self.model.loss(outputs, batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def values(self, batch: Any) -> np.ndarray:
        """The outputs, without dropout."""
        return self.model.outputs(self._parameters, self._tensors(batch)).numpy(force=True)

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of the parameters."""
        return {name: value.numpy(force=True).copy() for name, value in self._parameters.items()}

    def _tensors(self, batch: Samples) -> Samples:
        return type(batch)(*(torch.as_tensor(array, device=self.device) for array in batch))

    def _dropout(self, values: torch.Tensor, rate: float) -> torch.Tensor:
        kept = torch.empty_like(values).bernoulli_(1.0 - rate, generator=self._generator)
        return values * kept / (1.0 - rate)
