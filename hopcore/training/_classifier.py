"""The base of classifiers of images, and their input.

Every call takes conditions (:class:`hopcore.training.Conditions`); classifiers without a memory
ignore them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hopcore.arrays._backend import Array
from hopcore.arrays._reprs import one_line
from hopcore.layers._losses import cross_entropy
from hopcore.layers._parameters import Parameters
from hopcore.layers._settings import Settings
from hopcore.training._trainer import Conditions

ANY = Conditions()


class Images(NamedTuple):
    """Images with their classes.

    Attributes
    ----------
    pixels : float32 array (n, height * width)
    target : integer array (n, ...)
        The class of each sample; for samples with several answers, such as the letters of a word, a
        row of classes for each.
    """

    pixels: Array
    target: Array

    def __repr__(self) -> str:
        return one_line(self)


class Classifier(Settings):
    """The base of classifiers: the objective is the cross entropy; there is no memory."""

    KIND = ""
    TEMPERATURES: tuple[str, ...] = ()

    def outputs(self, parameters: Parameters, batch: Images, conditions: Conditions = ANY) -> Array:
        """The logits, ``(n, classes)`` or ``(n, answers, classes)``."""
        raise NotImplementedError

    def objective(
        self, parameters: Parameters, batch: Images, conditions: Conditions
    ) -> tuple[Array, Array]:
        """The cross entropy, and the logits."""
        outputs = self.outputs(parameters, batch, conditions)
        return cross_entropy(outputs, batch.target), outputs

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Return the initial parameters."""
        raise NotImplementedError

    def parameter_shapes(self) -> dict[str, tuple[int, ...]] | None:
        """The shapes of the parameters, by their names, or None if they are known once made.

        A resumed run compares them with its files before it allocates arrays.
        """
        return None

    def memory(self, parameters: Parameters) -> tuple[float, int] | None:
        """Return the scale and the number of patterns (:func:`hopcore.layers.effective_memory`)."""
        return None
