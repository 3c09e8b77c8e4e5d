"""The arms of the study of temperature floors: a bottleneck that trains softly and is asked hard.

All anneal both temperatures of the bottleneck by a factor after every epoch, from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hopcore.arrays._backend import Array
from hopcore.experiments.annealing.trials import Arm, Build
from hopcore.experiments.models.vq_classifier import VQ
from hopcore.layers._parameters import Parameters
from hopcore.training._classifier import Classifier, Images
from hopcore.training._config import TrainConfig
from hopcore.training._trainer import Conditions

ANNEALED: dict[str, Any] = {
    "schedule": "geometric",
    "temp_start": 1.0,
    "factor": 0.97,
    "floor": 0.1,
}
"""0.97 after every epoch, and never below 0.1."""

BARE: dict[str, Any] = {"rate": "constant", "clip_norm": None}
"""A learning rate that stays, and gradients as they are."""

FAST: dict[str, Any] = {"factor": 0.85, "floor": 0.01}
"""Down to 0.01 within 29 epochs."""


@dataclass(frozen=True, kw_only=True)
class Unbound(VQ):
    """The bottleneck without the losses that draw codes and features to each other.

    Examples
    --------
    >>> from hopcore.experiments.annealing.temperature_floor import Unbound
    >>> Unbound(size=64).quantity
    32
    """

    def objective(
        self, parameters: Parameters, batch: Images, conditions: Conditions
    ) -> tuple[Array, Array]:
        """The cross entropy alone."""
        return Classifier.objective(self, parameters, batch, conditions)


def vq(kind: type[VQ] = VQ, **settings: Any) -> Build:
    """A bottleneck with some settings of its own."""
    return lambda shape: kind(size=math.prod(shape), **settings)


def each(
    model: str,
    base: TrainConfig,
    arms: dict[str, tuple[Build, dict[str, Any]]],
    epochs: Sequence[int],
) -> list[Arm]:
    """The arms of one model, for each number of epochs."""
    return [
        Arm(model, name, build, replace(base, epochs=count, **own))
        for count in epochs
        for name, (build, own) in arms.items()
    ]


def of_words(arm: Arm) -> Arm:
    """Return an arm that reconstructs the letters of words instead of classifying images.

    Examples
    --------
    >>> from hopcore.experiments.annealing.temperature_floor import jump, of_words
    >>> model = of_words(jump([30])[0]).build((8, 27))
    >>> model.size, model.answers, model.classes
    (216, 8, 27)
    """

    def build(shape: tuple[int, int]) -> Classifier:
        answers, classes = shape
        model: Any = arm.build(shape)
        return replace(model, answers=answers, classes=classes)

    return arm._replace(build=build)


def fixes(epochs: Sequence[int], **settings: Any) -> list[Arm]:
    """A floor of 0.1, and what is said to help against it.

    Parameters
    ----------
    epochs : sequence of int
        Numbers of epochs, each with all arms.
    **settings
        Of :class:`hopcore.training.TrainConfig`, for all arms.
    """
    arms: dict[str, tuple[Build, dict[str, Any]]] = {
        "floor 0.1": (vq(), {}),
        "floor 0.5": (vq(), {"floor": 0.5}),
        "frozen after 15": (vq(), {"freeze_after": 15}),
        "aligned": (vq(alignment=1.0), {}),
        "hard path": (vq(), {"path": "hard"}),
    }
    return each("VQ", TrainConfig(**(ANNEALED | settings)), arms, epochs)


def jump(epochs: Sequence[int], **settings: Any) -> list[Arm]:
    """Two ways to end the annealing after 15 epochs: stay, or jump to the floor of 0.5.

    Parameters
    ----------
    epochs, **settings
        As of :func:`fixes`.
    """
    own: dict[str, tuple[Build, dict[str, Any]]] = {
        "floor 0.1": (vq(), {}),
        "floor 0.5": (vq(), {"floor": 0.5}),
        "frozen after 15": (vq(), {"freeze_after": 15}),
        "at 0.5 after 15": (vq(), {"floor": 0.5}),
    }
    arms = each("VQ", TrainConfig(**(ANNEALED | settings)), own, epochs)
    return [arm._replace(floor_after=15) if arm.name.startswith("at ") else arm for arm in arms]


def causes(epochs: Sequence[int], **settings: Any) -> list[Arm]:
    """Trainings that might collapse, bare, each with one change, at two learning rates.

    Parameters
    ----------
    epochs, **settings
        As of :func:`fixes`.
    """
    arms: dict[str, tuple[Build, dict[str, Any]]] = {
        "bare": (vq(), {}),
        "to 0.01": (vq(), FAST),
        "no commitment": (vq(commitment=0.0), {}),
        "unbound": (vq(Unbound), {}),
        "8 codes": (vq(quantity=8), {}),
        "4 symbols": (vq(symbols=4), {}),
        "2 groups": (vq(groups=2, code_size=32), {}),
    }
    base = TrainConfig(**(ANNEALED | BARE | settings))
    return [
        arm
        for rate in (1e-3, 1e-2)
        for arm in each(f"VQ, rate {rate:g}", replace(base, learning_rate=rate), arms, epochs)
    ]


def cures(epochs: Sequence[int], **settings: Any) -> list[Arm]:
    """Two trainings that collapse, and what is said to help against it.

    Parameters
    ----------
    epochs, **settings
        As of :func:`fixes`.
    """
    base = replace(TrainConfig(**(ANNEALED | BARE | settings)), learning_rate=1e-2)
    found = []
    kinds: dict[str, tuple[TrainConfig, dict[str, Any]]] = {
        "VQ, to 0.01": (replace(base, **FAST), {}),
        "VQ, no commitment": (base, {"commitment": 0.0}),
    }
    for model, (config, own) in kinds.items():
        arms: dict[str, tuple[Build, dict[str, Any]]] = {
            "as it is": (vq(**own), {}),
            "floor 0.5": (vq(**own), {"floor": 0.5}),
            "frozen after 15": (vq(**own), {"freeze_after": 15}),
            "aligned": (vq(**own, alignment=1.0), {}),
            "hard path": (vq(**own), {"path": "hard"}),
            "clipping": (vq(**own), {"clip_norm": 1.0}),
            "cosine rate": (vq(**own), {"rate": "cosine"}),
            "cosine rate + clipping": (vq(**own), {"clip_norm": 1.0, "rate": "cosine"}),
        }
        found += each(model, config, arms, epochs)
    return found
