"""Classifiers of images without a memory, to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import check_integer
from hopcore.layers._activations import relu
from hopcore.layers._linear_maps import first_linear, linear, linear_shapes, perceptron
from hopcore.layers._parameters import Parameters
from hopcore.training._classifier import ANY, Classifier, Images
from hopcore.training._trainer import Conditions


@dataclass(frozen=True, kw_only=True)
class MLP(Classifier):
    """Linear maps with ReLUs between them.

    Attributes
    ----------
    size : int
        Pixels of an image.
    classes : int
    widths : tuple of int
        Depths between the maps.
    """

    KIND = "mlp"
    size: int
    classes: int = 10
    widths: tuple[int, ...] = (128,)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        object.__setattr__(self, "widths", tuple(self.widths))
        for width in (self.size, self.classes, *self.widths):
            check_integer("widths", width, 1)

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from: He's."""
        rng = np.random.default_rng(seed)
        sizes = self.size, *self.widths, self.classes
        found: dict[str, np.ndarray] = {}
        for place, (columns, rows) in enumerate(pairwise(sizes)):
            found |= first_linear(f"layers.{place}", rows, columns, rng)
        return found

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters."""
        sizes = self.size, *self.widths, self.classes
        found: dict[str, tuple[int, ...]] = {}
        for place, (columns, rows) in enumerate(pairwise(sizes)):
            found |= linear_shapes(f"layers.{place}", rows, columns)
        return found

    def outputs(self, parameters: Parameters, batch: Images, conditions: Conditions = ANY) -> Array:
        """The logits, whatever the conditions."""
        return perceptron(parameters, batch.pixels, len(self.widths) + 1)


@dataclass(frozen=True, kw_only=True)
class CNN(Classifier):
    """Convolutions of 3 x 3 pixels with ReLUs, each followed by maxima of 2 x 2, and a linear map.

    Attributes
    ----------
    shape : tuple of int
        Height and width of an image, halved by each convolution (odd rows and columns are left).
    classes : int
    channels : tuple of int
        Of the convolutions.
    """

    KIND = "cnn"
    shape: tuple[int, int]
    classes: int = 10
    channels: tuple[int, ...] = (16, 32)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("shape", "channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for one in (*self.channels, self.classes):
            check_integer("channels", one, 1)
        if min(self.shape) >> len(self.channels) < 1:
            raise ValueError(
                f"images of {self.shape} are too small to be halved {len(self.channels)} times"
            )

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from: He's."""
        rng = np.random.default_rng(seed)
        found: dict[str, np.ndarray] = {}
        for place, (before, after) in enumerate(pairwise((1, *self.channels))):
            found |= first_linear(f"convolutions.{place}", after, 9 * before, rng)
        return found | first_linear("answer", self.classes, self.depth, rng)

    @property
    def depth(self) -> int:
        """How many features the last linear map has."""
        height, width = (side >> len(self.channels) for side in self.shape)
        return height * width * (1, *self.channels)[-1]

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters."""
        found: dict[str, tuple[int, ...]] = {}
        for place, (before, after) in enumerate(pairwise((1, *self.channels))):
            found |= linear_shapes(f"convolutions.{place}", after, 9 * before)
        return found | linear_shapes("answer", self.classes, self.depth)

    def outputs(self, parameters: Parameters, batch: Images, conditions: Conditions = ANY) -> Array:
        """The logits, whatever the conditions."""
        backend = backend_of_input("pixels", batch.pixels)
        xp = backend.xp
        features = xp.reshape(batch.pixels, (-1, *self.shape, 1))
        for place in range(len(self.channels)):
            name = f"convolutions.{place}"
            features = relu(linear(parameters, name, patches(features)), backend)
            features = halved(features)
        return linear(parameters, "answer", xp.reshape(features, (features.shape[0], -1)))


def patches(images: Array) -> Array:
    """The 3 x 3 neighbourhoods ``(n, h, w, 9 c)`` of pixels ``(n, h, w, c)``; 0 beyond the edge."""
    backend = backend_of_input("images", images)
    xp, (height, width) = backend.xp, shape(images)[1:3]
    row = xp.zeros_like(images[:, :1, :, :])
    padded = xp.concat([row, images, row], axis=1)
    column = xp.zeros_like(padded[:, :, :1, :])
    padded = xp.concat([column, padded, column], axis=2)
    shifts = [(i, j) for i in range(3) for j in range(3)]
    return xp.concat([padded[:, i : i + height, j : j + width, :] for i, j in shifts], axis=-1)


def halved(images: Array) -> Array:
    """The maxima of squares of 2 x 2 pixels of ``(n, h, w, c)``."""
    xp, (count, height, width, depth) = backend_of_input("images", images).xp, shape(images)
    high, wide = height // 2, width // 2
    images = images[:, : 2 * high, : 2 * wide, :]
    return xp.max(xp.reshape(images, (count, high, 2, wide, 2, depth)), axis=(2, 4))
