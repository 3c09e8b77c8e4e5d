"""Classifiers of images: a stack of learned memories, a quantised one, and two plain networks.

All are asked under conditions (:class:`hopcore.training.Conditions`); those without a memory
ignore them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from hopcore.activations import relu
from hopcore.arrays import backend_of_input, shape
from hopcore.backend import Array
from hopcore.classifier import dropped, first_linear, linear
from hopcore.losses import cross_entropy, divergence
from hopcore.network import effective_memory, hnm, straight_through
from hopcore.network_settings import HNMSettings, Plain, QuantizerSettings
from hopcore.parameters import Parameters, initial_parameters, inner
from hopcore.quantizer import Quantized, quantize
from hopcore.separation import separate
from hopcore.setting_checks import number, whole
from hopcore.training import Conditions

ANY = Conditions()


class Images(NamedTuple):
    """Images with their classes.

    Attributes
    ----------
    pixels : float32 array (n, height * width)
    target : integer array (n,)
    """

    pixels: Array
    target: Array


class Classifier(Plain):
    """What classifiers share: cross entropy as their objective, no temperature, no memory."""

    KIND = ""
    TEMPERATURES: tuple[str, ...] = ()

    def outputs(self, parameters: Parameters, batch: Images, conditions: Conditions = ANY) -> Array:
        """The logits, ``(n, classes)``."""
        raise NotImplementedError

    def objective(
        self, parameters: Parameters, batch: Images, conditions: Conditions
    ) -> tuple[Array, Array]:
        """The cross entropy, and the logits."""
        outputs = self.outputs(parameters, batch, conditions)
        return cross_entropy(outputs, batch.target), outputs

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from."""
        raise NotImplementedError

    def memory(self, parameters: Parameters) -> tuple[float, int] | None:
        """Scale and number of patterns of its memory (:func:`hopcore.effective_memory`)."""
        return None


@dataclass(frozen=True, kw_only=True)
class HNM(Classifier):
    """Hopfield network layers, one after another, on the pixels.

    Attributes
    ----------
    size : int
        Pixels of an image.
    classes : int
    widths : tuple of int
        Depths between layers; one layer does better than several.
    quantity : int
        Patterns of a memory.
    num_heads : int
        In hard mode the heads are all that tells images apart: many small ones do better than a few
        large ones.
    hidden_size : int
    dropout : float

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.image_classifiers import HNM, Images
    >>> model = HNM(size=64)
    >>> batch = Images(np.ones((2, 64), np.float32), np.asarray([3, 4]))
    >>> model.outputs(model.first_parameters(seed=0), batch).shape
    (2, 10)
    """

    KIND = "hnm"
    TEMPERATURES = ("memory",)
    size: int
    classes: int = 10
    widths: tuple[int, ...] = ()
    quantity: int = 64
    num_heads: int = 32
    hidden_size: int = 8
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        object.__setattr__(self, "widths", tuple(self.widths))
        _ = self.settings

    @property
    def settings(self) -> HNMSettings:
        """The settings of the layers."""
        return HNMSettings(
            input_size=self.size,
            output_size=self.classes,
            widths=self.widths,
            quantity=self.quantity,
            num_heads=self.num_heads,
            hidden_size=self.hidden_size,
            dropout=self.dropout,
        )

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from."""
        return initial_parameters(self.settings, seed=seed)

    def outputs(self, parameters: Parameters, batch: Images, conditions: Conditions = ANY) -> Array:
        """The logits."""
        drop = None
        if conditions.dropout is not None and self.dropout > 0.0:
            drop = partial(dropped, conditions.dropout, self.dropout)
        return hnm(
            self.settings, parameters, batch.pixels, hard=conditions.hard, drop=drop,
            temperature=conditions.temperatures.get("memory"), noise=conditions.noise,
        )  # fmt: skip

    def memory(self, parameters: Parameters) -> tuple[float, int]:
        """The mean scale of the layers' memories, and their number of patterns."""
        scales = [
            effective_memory(layer, inner(parameters, f"layers.{place}"))[0]
            for place, layer in enumerate(self.settings.layers)
        ]
        return float(np.mean(scales)), self.quantity


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
            whole("widths", width, 1)

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from: He's."""
        rng = np.random.default_rng(seed)
        sizes = self.size, *self.widths, self.classes
        found: dict[str, np.ndarray] = {}
        for place, (columns, rows) in enumerate(pairwise(sizes)):
            found |= first_linear(f"layers.{place}", rows, columns, rng)
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
            whole("channels", one, 1)
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
        height, width = (side >> len(self.channels) for side in self.shape)
        depth = height * width * (1, *self.channels)[-1]
        return found | first_linear("answer", self.classes, depth, rng)

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


@dataclass(frozen=True, kw_only=True)
class VQ(Classifier):
    """A classifier through a bottleneck of two choices: codes of features, symbols of codes.

    An encoder with one hidden layer makes ``groups`` features; each is quantised by a codebook, at
    the temperature ``"codes"``. Each code is sent as one of ``symbols`` points of a plane, the one
    that a linear map gives the largest score, at the temperature ``"symbols"``. A decoder with one
    hidden layer classifies the points it received. Softly, codes are mixed and so are points; hard,
    each is one.

    Attributes
    ----------
    size : int
        Pixels of an image.
    classes : int
    width : int
        Of the hidden layers.
    groups : int
        Features of an image.
    code_size : int
        Their depth.
    quantity : int
        Size of a codebook.
    symbols : int
        Points of the plane.
    commitment : float
        As in :class:`hopcore.QuantizerSettings`.
    alignment : float
        Weight of the Kullback-Leibler divergence of the classes as the hard path has them from
        those of the soft path.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.image_classifiers import VQ, Images
    >>> model = VQ(size=64)
    >>> batch = Images(np.ones((2, 64), np.float32), np.asarray([3, 4]))
    >>> model.outputs(model.first_parameters(seed=0), batch).shape
    (2, 10)
    """

    KIND = "vq"
    TEMPERATURES = ("codes", "symbols")
    size: int
    classes: int = 10
    width: int = 128
    groups: int = 8
    code_size: int = 8
    quantity: int = 32
    symbols: int = 16
    commitment: float = 0.25
    alignment: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("size", "classes", "width", "symbols", "code_size"):
            whole(name, getattr(self, name), 1)
        number("alignment", self.alignment, 0.0)
        _ = self.codes

    @property
    def codes(self) -> QuantizerSettings:
        """The settings of the quantiser."""
        return QuantizerSettings(
            input_size=self.groups * self.code_size,
            groups=self.groups,
            quantity=self.quantity,
            commitment=self.commitment,
        )

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from: He's for the linear maps, normal codes and points."""
        rng = np.random.default_rng(seed)
        found = first_linear("encoder.0", self.width, self.size, rng)
        found |= first_linear("encoder.1", self.groups * self.code_size, self.width, rng)
        codebook = initial_parameters(self.codes, seed=seed)
        found |= {f"codes.{name}": value for name, value in codebook.items()}
        found |= first_linear("symbols", self.symbols, self.code_size, rng)
        found["points"] = rng.normal(0.0, 1.0, (self.symbols, 2)).astype(np.float32)
        found |= first_linear("decoder.0", self.width, 2 * self.groups, rng)
        return found | first_linear("decoder.1", self.classes, self.width, rng)

    def outputs(self, parameters: Parameters, batch: Images, conditions: Conditions = ANY) -> Array:
        """The logits."""
        return self._sent(parameters, batch, conditions)[0]

    def objective(
        self, parameters: Parameters, batch: Images, conditions: Conditions
    ) -> tuple[Array, Array]:
        """Cross entropy, the quantiser's loss, and the alignment of the hard path with the soft."""
        outputs, quantized = self._sent(parameters, batch, conditions)
        loss = cross_entropy(outputs, batch.target) + quantized.commitment
        if self.alignment > 0.0:
            other = self._sent(parameters, batch, conditions._replace(hard=not conditions.hard))[0]
            hard, soft = (outputs, other) if conditions.hard else (other, outputs)
            loss = loss + self.alignment * divergence(soft, hard)
        return loss, outputs

    def _sent(
        self, parameters: Parameters, batch: Images, conditions: Conditions
    ) -> tuple[Array, Quantized]:
        backend = backend_of_input("pixels", batch.pixels)
        xp, hard = backend.xp, conditions.hard
        features = perceptron(inner(parameters, "encoder"), batch.pixels, 2, "")
        quantized = quantize(
            self.codes, inner(parameters, "codes"), features, hard=hard,
            temperature=conditions.temperatures.get("codes"), noise=conditions.noise,
        )  # fmt: skip
        codes = xp.reshape(quantized.values, (-1, self.groups, self.code_size))
        scores = linear(parameters, "symbols", codes)
        scores = scores / conditions.temperatures.get("symbols", 1.0)
        if conditions.noise is not None:
            scores = scores + conditions.noise(shape(scores), scores)
        weights = separate(scores)
        points = xp.matmul(straight_through(weights) if hard else weights, parameters["points"])
        received = xp.reshape(points, (-1, 2 * self.groups))
        return perceptron(inner(parameters, "decoder"), received, 2, ""), quantized


CLASSIFIERS: dict[str, type[Classifier]] = {kind.KIND: kind for kind in (HNM, MLP, CNN, VQ)}
"""The classifiers by their names."""


def perceptron(
    parameters: Parameters, features: Array, count: int, prefix: str = "layers."
) -> Array:
    """So many linear maps with ReLUs between them."""
    backend = backend_of_input("features", features)
    for place in range(count):
        features = relu(features, backend) if place else features
        features = linear(parameters, f"{prefix}{place}", features)
    return features


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
