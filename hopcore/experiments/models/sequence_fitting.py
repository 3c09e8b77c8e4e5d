"""How studies train classifiers of sequences: the rate, the optimiser, and a step that must end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hopcore.experiments.data.sequences import Sequences
from hopcore.training import _trainer as training
from hopcore.training._trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class SequenceFitting:
    """How classifiers of sequences are built and trained.

    Attributes
    ----------
    width, hidden, num_heads : int
        As in :class:`hopcore.experiments.models.sequence_classifier.SequenceClassifier`.
    steps, batch_size : int
        Each step has a batch of new sequences.
    learning_rate : float
        It rises in the first tenth of the steps and falls to 0 in the second half.
    backend, device
        What trains.
    """

    width: int = 64
    hidden: int = 128
    num_heads: int = 4
    steps: int = 300
    batch_size: int = 32
    learning_rate: float = 3e-3
    backend: str = "torch"
    device: Any = None

    def rate(self, step: int) -> float:
        """Return the factor of the learning rate in a step, the first of which is 1."""
        rise = min(1.0, 10.0 * step / self.steps)
        return rise * min(1.0, 2.0 * (self.steps - step + 1) / self.steps)

    def trainer(self, model: Any, seed: int) -> Trainer:
        """Return the trainer of a model whose first parameters a seed draws."""
        return training.trainer(
            self.backend, model, model.first_parameters(seed=seed), seed=seed,
            learning_rate=self.learning_rate, weight_decay=0.0, device=self.device,
        )  # fmt: skip

    def step(self, trainer: Trainer, batch: Sequences, step: int) -> Any:
        """Learn from a batch, and return the outputs; raise if the loss is not finite."""
        loss, outputs, _ = trainer.step(batch, rate=self.rate(step))
        if not math.isfinite(float(loss)):
            raise ValueError(f"the loss is {float(loss)} in step {step}; try a smaller rate")
        return outputs
