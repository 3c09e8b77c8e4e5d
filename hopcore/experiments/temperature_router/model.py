r"""A transformer with two layers beside each other, a hot and a cold one, and a router.

The first layer attends at room temperature, :math:`T = \sqrt{d_k}`. Then each position goes through
one of two layers with parameters of their own, whose temperatures are higher and lower than that.
The last layer is at room temperature again. The router gives each position a score, and sends the
share ``budget`` of the positions of each sequence, those with the largest scores, to the cold
layer. So all routers have exactly the same budget. The layers do not look ahead, but the choice of
the positions is made with the scores of the whole sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._scalar_checks import check_positive
from hopcore.experiments.models.sequence_classifier import SequenceClassifier
from hopcore.layers._parameters import Parameters
from hopcore.layers._settings import HopfieldSettings
from hopcore.schedules._learnable_temperature import LearnableTemperature

ROUTERS = ("entropy", "reversed", "random", "hashed", "room")
"""What the score is: the entropy of the attention in the first layer, by which the uncertain
positions are cooled; its negative, by which they are heated; a pseudo-random number for each place,
the same in all sequences, which is the control with the same budget; a pseudo-random number that
depends on all symbols so far, whose choice says something about them; and the entropy again, with
both layers at room temperature."""


@dataclass(frozen=True, kw_only=True)
class RoutedClassifier(SequenceClassifier):
    """A classifier of sequences whose positions are routed to a hot or a cold layer.

    Attributes
    ----------
    router : str
        One of :data:`ROUTERS`.
    budget : float
        The share of the positions that the cold layer gets.
    hot, cold : float
        The temperatures of the two layers, in units of the room temperature.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import sequences
    >>> from hopcore.experiments.temperature_router.model import RoutedClassifier
    >>> model = RoutedClassifier(length=20, width=16, hidden=32, router="entropy", budget=0.25)
    >>> batch = sequences.copy(np.random.default_rng(0), 3, distance=4)
    >>> cooled = model.cooled(model.first_parameters(seed=0), batch.symbols)
    >>> cooled.shape, cooled.mean()
    ((3, 20), np.float64(0.25))
    """

    layers: int = 4
    router: str = "entropy"
    budget: float = 0.5
    hot: float = 2.0
    cold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__post_init__()
        if self.router not in ROUTERS:
            raise ValueError(f"unknown router {self.router!r}; known: {', '.join(ROUTERS)}")
        if self.layers != 4 or self.learned:
            raise ValueError("a routed classifier has 4 layers with fixed temperatures")
        if not 0.0 <= self.budget <= 1.0:
            raise ValueError(f"budget must be in [0, 1], got {self.budget}")
        check_positive("hot", self.hot)
        check_positive("cold", self.cold)

    @cached_property
    def associations(self) -> tuple[HopfieldSettings, ...]:
        """The settings of the associations: room, hot, cold, room."""
        hot, cold = (1.0, 1.0) if self.router == "room" else (self.hot, self.cold)
        return tuple(
            self._association(LearnableTemperature(factor=factor, per_head=True))
            for factor in (1.0, hot, cold, 1.0)
        )

    def cooled(self, parameters: Parameters, symbols: Array) -> Array:
        """Return which positions go to the cold layer, boolean ``(n, L)``."""
        features, later, backend = self._embedded(parameters, symbols)
        found: list[Array] = []
        self._layer(0, parameters, features, later, found.append)
        return self._chosen(found[0], symbols, later, backend)

    def _features(
        self,
        parameters: Parameters,
        symbols: Array,
        look: Callable[[Array], None] | None = None,
    ) -> tuple[Array, Backend]:
        features, later, backend = self._embedded(parameters, symbols)
        found: list[Array] = []
        features = self._layer(0, parameters, features, later, found.append)
        chosen = self._chosen(found[0], symbols, later, backend)[..., None]
        hot, cold = (self._layer(k, parameters, features, later, look) for k in (1, 2))
        features = backend.xp.where(chosen, cold, hot)
        return self._layer(3, parameters, features, later, look), backend

    def _chosen(self, weights: Array, symbols: Array, later: Array, backend: Backend) -> Array:
        xp = backend.xp
        counts = xp.sum(backend.astype(~later, weights.dtype), axis=1)
        if self.router in ("random", "hashed"):
            known = symbols if self.router == "hashed" else xp.zeros_like(symbols)
            scores = pseudo_random(known, later, weights, backend)
        else:
            logs = xp.log(xp.where(weights > 0.0, weights, xp.ones_like(weights)))
            entropy = -xp.mean(xp.sum(weights * logs, axis=-1), axis=1)
            scores = entropy / xp.log(counts + 1.0)
            scores = -scores if self.router == "reversed" else scores
        number = scores.shape[-1]
        place = xp.arange(number, device=backend.device(scores))
        first = place[None, :] < place[:, None]
        larger = scores[:, None, :] > scores[:, :, None]
        same = (scores[:, None, :] == scores[:, :, None]) & first
        ahead = xp.sum(backend.astype(larger | same, weights.dtype), axis=-1)
        return ahead < round(self.budget * number)


def pseudo_random(symbols: Any, later: Array, weights: Array, backend: Backend) -> Array:
    """Return numbers in [0, 1) that depend on the place and on all symbols so far, ``(n, L)``."""
    xp = backend.xp
    place = xp.sum(backend.astype(~later, weights.dtype), axis=1)
    each = (backend.astype(symbols, weights.dtype) + 1.0) * place * 0.7313
    sums = xp.sum(xp.where(later, xp.zeros_like(each)[:, None, :], each[:, None, :]), axis=-1)
    large = 43758.5453 * xp.sin(12.9898 * sums)
    return large - xp.floor(large)
