"""A classifier of images or words through a bottleneck: codes of features, symbols of codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import check_integer, check_number
from hopcore.layers._linear_maps import first_linear, linear, linear_shapes, perceptron
from hopcore.layers._losses import cross_entropy, divergence
from hopcore.layers._network_settings import QuantizerSettings
from hopcore.layers._parameters import Parameters, initial_parameters, inner, parameter_shapes
from hopcore.layers._quantizer import Quantized, quantize
from hopcore.layers._recall import straight_through
from hopcore.memory._separation import separate
from hopcore.training._classifier import ANY, Classifier, Images
from hopcore.training._trainer import Conditions


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
    answers : int
        The parts of a sample that are classified, such as the letters of a word; 1 for an image.
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
        As in :class:`hopcore.layers.QuantizerSettings`.
    alignment : float
        Weight of the Kullback-Leibler divergence of the classes as the hard path has them from
        those of the soft path.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.models.image_classifiers import VQ, Images
    >>> model = VQ(size=64)
    >>> batch = Images(np.ones((2, 64), np.float32), np.asarray([3, 4]))
    >>> model.outputs(model.first_parameters(seed=0), batch).shape
    (2, 10)
    """

    KIND = "vq"
    TEMPERATURES = ("codes", "symbols")
    size: int
    classes: int = 10
    answers: int = 1
    width: int = 128
    groups: int = 8
    code_size: int = 8
    quantity: int = 32
    symbols: int = 16
    commitment: float = 0.25
    alignment: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name in ("size", "classes", "answers", "width", "symbols", "code_size"):
            check_integer(name, getattr(self, name), 1)
        check_number("alignment", self.alignment, 0.0)
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
        return found | first_linear("decoder.1", self.answers * self.classes, self.width, rng)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters."""
        found = linear_shapes("encoder.0", self.width, self.size)
        found |= linear_shapes("encoder.1", self.groups * self.code_size, self.width)
        found |= {f"codes.{name}": one for name, one in parameter_shapes(self.codes).items()}
        found |= linear_shapes("symbols", self.symbols, self.code_size)
        found["points"] = self.symbols, 2
        found |= linear_shapes("decoder.0", self.width, 2 * self.groups)
        return found | linear_shapes("decoder.1", self.answers * self.classes, self.width)

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
        logits = perceptron(inner(parameters, "decoder"), received, 2, "")
        if self.answers > 1:
            logits = xp.reshape(logits, (-1, self.answers, self.classes))
        return logits, quantized
