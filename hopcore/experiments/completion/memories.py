"""Completion without a network: the mean image, and memories of the training images.

A memory is asked by its known coordinates, the pixels of the patches that are not hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore.experiments.completion.patches import error
from hopcore.experiments.models.image_completer import Patches

NEAREST_BETA = 1e6
"""An inverse temperature at which one update gives the nearest stored image."""

GRID = (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""The inverse temperatures among which the validation images choose."""


class Completed(NamedTuple):
    """The pixels that a method gives, and what the validation images chose, if anything.

    Attributes
    ----------
    validation, test : float array (n, L, p)
    chosen : float or None
        The inverse temperature.
    """

    validation: np.ndarray
    test: np.ndarray
    chosen: float | None = None


Memory = Callable[[np.ndarray, Patches, Patches], Completed]
"""``memory(train, validation, test)`` completes the images of the last two."""


def mean_image(train: np.ndarray, validation: Patches, test: Patches) -> Completed:
    """Give each hidden patch the mean of the training images."""
    mean = train.mean(axis=0)
    parts = (np.broadcast_to(mean, one.pixels.shape) for one in (validation, test))
    return Completed._make((*parts, None))


def nearest_image(train: np.ndarray, validation: Patches, test: Patches) -> Completed:
    """Give the hidden patches of the training image whose visible pixels are nearest."""
    parts = (recalled(train, one, NEAREST_BETA, max_steps=1) for one in (validation, test))
    return Completed._make((*parts, None))


def retrieved(train: np.ndarray, validation: Patches, test: Patches) -> Completed:
    """Retrieve with the suggested inverse temperature until each query rests."""
    stored = train.reshape(len(train), -1)
    beta = hopcore.suggest_beta(stored, similarity="distance").beta
    return Completed._make((*(recalled(train, one, beta) for one in (validation, test)), beta))


def averaged(train: np.ndarray, validation: Patches, test: Patches) -> Completed:
    """Make one update, with the inverse temperature that is best on the validation images."""
    tried = {beta: recalled(train, validation, beta, max_steps=1) for beta in GRID}
    best = min(tried, key=lambda beta: error(tried[beta], validation))
    return Completed(tried[best], recalled(train, test, best, max_steps=1), best)


MEMORIES: Mapping[str, Memory] = {
    "mean": mean_image,
    "nearest": nearest_image,
    "retrieve": retrieved,
    "average": averaged,
}
"""The methods by their names."""


def recalled(train: np.ndarray, batch: Patches, beta: float, **options: Any) -> np.ndarray:
    """Return the images that :func:`hopcore.retrieve` makes of the visible patches."""
    known = np.broadcast_to(~batch.hidden[..., None], batch.pixels.shape)
    flat = [array.reshape(len(array), -1) for array in (batch.pixels, train, known)]
    found = hopcore.retrieve(flat[0], flat[1], beta, known=flat[2], **options)
    return np.asarray(found.state).reshape(batch.pixels.shape)
