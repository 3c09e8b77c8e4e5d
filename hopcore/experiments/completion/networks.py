"""Completion by networks that are trained alike: an energy transformer, its controls, an encoder.

All have the same embedding, decoder, width, heads and hidden units, see the same patches in the
same order, and train for the same number of epochs. The validation images choose the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hopcore.experiments.completion.patches import Split, error, half_hidden
from hopcore.experiments.models.image_completer import PARTS, Completer, Patches
from hopcore.layers._composed_settings import EncoderSettings
from hopcore.layers._network_settings import EnergyTransformerSettings
from hopcore.layers._settings import HopfieldSettings
from hopcore.training import _trainer as training

ENERGY = "energy-transformer"
"""The network that is compared with all others."""

NETWORKS = (ENERGY, "without-attention", "without-memory", "encoder", "encoder-repeated")
"""An energy transformer, two controls in which one of its two energies is switched off, and a
transformer encoder layer, once and as often as the energy transformer makes steps."""

CLIP, BATCH = 1.0, 512
"""The norm to which gradients are clipped, and the number of images that are completed at once."""

Say = Callable[[str], object]
"""What is called with lines that tell how a training goes."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """The sizes of the networks, and how they are trained.

    Attributes
    ----------
    width, heads, hidden : int
        The number of features of a token, of heads, and of stored patterns of a block or hidden
        units of an encoder layer.
    steps, step_size : int, float
        The steps of the energy transformer.
    rates : tuple of float
        The learning rates among which the validation images choose.
    epochs, batch_size : int
    backend, device
        What trains.
    """

    width: int = 32
    heads: int = 4
    hidden: int = 64
    steps: int = 3
    step_size: float = 0.5
    rates: tuple[float, ...] = (1e-2,)
    epochs: int = 120
    batch_size: int = 37
    backend: str = "torch"
    device: Any = None

    def model(self, name: str, tokens: int, pixels: int) -> Completer:
        """Return a network of :data:`NETWORKS`."""
        if name.startswith("encoder"):
            association = HopfieldSettings(
                input_size=self.width, num_heads=self.heads, normalize_stored_pattern=False,
                normalize_state_pattern=False, normalize_pattern_projection=False,
            )  # fmt: skip
            layer = EncoderSettings(
                hopfield=association, dim_feedforward=self.hidden, dropout=0.0, norm_first=True
            )
            repeats = 1 if name == "encoder" else self.steps
            return Completer(tokens=tokens, pixels=pixels, layer=layer, repeats=repeats)
        block = EnergyTransformerSettings(
            input_size=self.width, num_heads=self.heads, head_size=self.width // self.heads,
            quantity=self.hidden, steps=self.steps, step_size=self.step_size,
            attends_to_itself=False,
        )  # fmt: skip
        off = name.removeprefix("without-") if name != ENERGY else None
        return Completer(tokens=tokens, pixels=pixels, layer=block, off=off)


class Descent(NamedTuple):
    """The test images after some steps of a trained energy transformer.

    ``energy`` is the mean over the images, ``rise`` the largest change of the energy of an image
    in this step, None before the first one, and ``error`` that of hidden pixels if they are decoded
    now. The training makes as many steps as the fitting says; those after them are beyond it.
    """

    seed: int
    step: int
    energy: float
    rise: float | None
    error: float


class Fitted(NamedTuple):
    """A trained network: what it completes, its learning rate and its parameters."""

    validation: np.ndarray
    test: np.ndarray
    chosen: float
    model: Completer
    parameters: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """The number of parameters, without those of an energy that is switched off."""
        off = {f"block.{name}" for name in PARTS.get(self.model.off or "", ())}
        return sum(value.size for name, value in self.parameters.items() if name not in off)


def fitted(name: str, split: Split, seed: int, fitting: Fitting, say: Say) -> Fitted:
    """Train a network with each learning rate, and return that with the best validation error."""
    _, tokens, pixels = split.train.shape
    model = fitting.model(name, tokens, pixels)
    best, least = None, math.inf
    for rate in fitting.rates:
        trainer = training.trainer(
            fitting.backend, model, model.first_parameters(seed=seed), learning_rate=rate,
            clip_norm=CLIP, seed=seed, device=fitting.device,
        )  # fmt: skip
        found = math.inf
        for epoch, loss in enumerate(losses(trainer, split, seed, fitting), start=1):
            if epoch == fitting.epochs or epoch % max(1, fitting.epochs // 4) == 0:
                outputs = training.scores(trainer, split.validation, BATCH)
                found = error(outputs, split.validation)
                say(
                    f"seed {seed}, {name}, learning rate {rate:g}: epoch {epoch} of "
                    f"{fitting.epochs}, error {loss:.4f}, validation {found:.4f}"
                )
        if found < least:
            best, least = (rate, trainer), found
    assert best is not None
    rate, trainer = best
    validation, test = (
        training.scores(trainer, part, BATCH) for part in (split.validation, split.test)
    )
    return Fitted(validation, test, rate, model, trainer.parameters())


def losses(trainer: training.Trainer, split: Split, seed: int, fitting: Fitting) -> Iterator[float]:
    """Train, and yield the mean error of each epoch.

    Every epoch hides other patches, and the learning rate falls to 0 as half a cosine.
    """
    rng, train = np.random.default_rng([seed, 2]), split.train
    steps = math.ceil(len(train) / fitting.batch_size)
    for epoch in range(fitting.epochs):
        data, total = Patches(train, half_hidden(len(train), train.shape[1], rng)), 0.0
        for step, batch in enumerate(training.batches(data, fitting.batch_size, rng)):
            done = (epoch + step / steps) / fitting.epochs
            loss = float(trainer.step(batch, rate=(1.0 + math.cos(math.pi * done)) / 2.0).loss)
            training.check_finite("loss", loss, epoch + 1, step + 1, "a smaller learning rate")
            total += len(batch.pixels) * loss
        yield total / len(train)


def descent(found: Fitted, batch: Patches, seed: int, steps: int) -> list[Descent]:
    """Follow the test images down the energy, in float64."""
    parameters = {name: value.astype(np.float64) for name, value in found.parameters.items()}
    exact = Patches(batch.pixels.astype(np.float64), batch.hidden)
    tokens = found.model.embedded(parameters, exact)
    before, rows = None, []
    for step in range(steps + 1):
        energy = found.model.energy(parameters, tokens)
        rise = None if before is None else float(np.max(energy - before))
        outputs = found.model.decoded(parameters, tokens)
        rows.append(Descent(seed, step, float(np.mean(energy)), rise, error(outputs, batch)))
        before, tokens = energy, found.model.moved(parameters, tokens, 1)
    return rows
