"""A transformer that says which symbol follows the last places of a sequence.

Its layers are encoder layers around Hopfield layers, each at a temperature of its own; no place
sees those after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._scalar_checks import check_integer, check_positive
from hopcore.experiments.data.sequences import VOCABULARY, Sequences
from hopcore.layers._composed_settings import EncoderSettings
from hopcore.layers._hopfield import hopfield, hopfield_weights, prepare
from hopcore.layers._linear_maps import linear
from hopcore.layers._losses import cross_entropy
from hopcore.layers._parameters import SPREAD, Parameters, initial_parameters, inner
from hopcore.layers._settings import HopfieldSettings
from hopcore.layers._transformer import encoder_layer
from hopcore.schedules._learnable_temperature import (
    LearnableTemperature,
    Profile,
    temperature_profile,
)
from hopcore.training._trainer import Conditions

ANY = Conditions()

TEMPERATURE = "hopfield_association.temperature"
"""The parameter of an encoder layer that its temperatures come from."""


@dataclass(frozen=True, kw_only=True)
class SequenceClassifier:
    r"""Embeddings of symbols and places, encoder layers that look back alone, a linear map.

    The answer is read from the last places of a sequence, as many as there are targets. Layers
    normalise first, as those of torch with ``norm_first``, and have no dropout.

    Attributes
    ----------
    length : int
        Of the longest sequence.
    width, hidden, layers, num_heads : int
        Depth of the features, and of the hidden layers between; encoder layers, heads of each.
    profile : {"standard", "hot-to-cold", "throbbing", "hot-reasoner"}
        Initial temperatures: one of :data:`hopcore.schedules._learnable_temperature.PROFILES`,
        with a temperature for each head.
    learned : bool
        Temperatures are learned; otherwise they stay.
    pace : float
        Temperatures are softplus(pace * parameter), so that an optimiser whose steps have a size
        of their own moves them by so much more than other parameters.
    vocabulary : int
        Symbols.

    Raises
    ------
    TypeError, ValueError
        Settings that make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import sequences
    >>> from hopcore.experiments.models.sequence_classifier import SequenceClassifier
    >>> model = SequenceClassifier(length=20, width=16, hidden=32, layers=2)
    >>> batch = sequences.copy(np.random.default_rng(0), 3, distance=4)
    >>> model.outputs(model.first_parameters(seed=0), batch).shape
    (3, 8, 21)
    """

    length: int
    width: int = 256
    hidden: int = 512
    layers: int = 4
    num_heads: int = 4
    profile: Profile = "standard"
    learned: bool = False
    pace: float = 1.0
    vocabulary: int = VOCABULARY

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        check_integer("length", self.length, 1)
        check_integer("vocabulary", self.vocabulary, 2)
        check_positive("pace", self.pace)
        _ = self.settings

    @cached_property
    def associations(self) -> tuple[HopfieldSettings, ...]:
        """The settings of the associations of the layers."""
        profile = temperature_profile(self.profile, self.layers, self.num_heads)
        return tuple(self._association(replace(one, per_head=True)) for one in profile)

    @cached_property
    def settings(self) -> tuple[EncoderSettings, ...]:
        """The settings of the layers."""
        return tuple(
            EncoderSettings(
                hopfield=association, dim_feedforward=self.hidden, dropout=0.0, norm_first=True
            )
            for association in self.associations
        )

    def _association(self, temperature: LearnableTemperature) -> HopfieldSettings:
        association = HopfieldSettings(
            input_size=self.width, num_heads=self.num_heads, scaling=temperature,
            normalize_stored_pattern=False, normalize_state_pattern=False,
            normalize_pattern_projection=False,
        )  # fmt: skip
        return association if self.learned else replace(association, scaling=association.beta)

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Parameters to start from, the same for every profile but for the temperatures.

        Weights are drawn so that scores have a deviation of about 1: with much smaller ones every
        association starts as a mean, whatever its temperature, and stays one for long.
        """
        rng = np.random.default_rng(seed)

        def drawn(rows: int, spread: float = 1.0) -> np.ndarray:
            return rng.normal(0.0, spread, (rows, self.width)).astype(np.float32)

        found = {
            "symbols": drawn(self.vocabulary),
            "places": drawn(self.length),
            "norm.weight": np.ones(self.width, np.float32),
            "norm.bias": np.zeros(self.width, np.float32),
            "answer.weight": drawn(self.vocabulary, self.width**-0.5),
            "answer.bias": np.zeros(self.vocabulary, np.float32),
        }
        for place, layer in enumerate(self.settings):
            own = initial_parameters(layer, seed=int(rng.integers(2**31)))
            for name, value in own.items():
                if value.ndim == 2:
                    own[name] = value / np.float32(SPREAD * value.shape[1] ** 0.5)
            if self.learned:
                own[TEMPERATURE] = own[TEMPERATURE] / np.float32(self.pace)
            found |= {f"layers.{place}.{name}": value for name, value in own.items()}
        return found

    def outputs(
        self, parameters: Parameters, batch: Sequences, conditions: Conditions = ANY
    ) -> Array:
        """The logits of the symbols that follow, ``(n, A, vocabulary)``."""
        features, backend = self._features(parameters, batch.symbols)
        features = features[..., -shape(batch.target)[-1] :, :]
        norms = parameters["norm.weight"], parameters["norm.bias"]
        return linear(parameters, "answer", backend.layer_norm(features, *norms, 1e-5))

    def objective(
        self, parameters: Parameters, batch: Sequences, conditions: Conditions
    ) -> tuple[Array, Array]:
        """The cross entropy, and the logits."""
        outputs = self.outputs(parameters, batch, conditions)
        return cross_entropy(outputs, batch.target), outputs

    def attention(self, parameters: Parameters, symbols: Array) -> list[Array]:
        """How much each place attends to each before it, ``(n, H, L, L)`` of each layer."""
        found: list[Array] = []
        self._features(parameters, symbols, found.append)
        return found

    def patterns(self, parameters: Parameters, symbols: Array, layer: int) -> tuple[Array, ...]:
        """The queries, keys and values of the heads of a layer, each ``(n, H, L, d)``."""
        features, later, _ = self._embedded(parameters, symbols)
        for number in range(layer):
            features = self._layer(number, parameters, features, later, None)
        own, found = dict(inner(parameters, f"layers.{layer}")), []

        def associate(values: Array) -> Array:
            core = inner(own, "hopfield_association")
            none = None, None
            found.append(prepare(self.associations[layer], core, values, None, None, none, None))
            return values  # what the layer makes of it is not needed

        encoder_layer(self.settings[layer], own, features, associate=associate)
        inputs = found[0].inputs
        return inputs.state, inputs.stored, inputs.projection

    def temperatures(self, parameters: Parameters) -> np.ndarray:
        """The temperatures ``(layers, heads)``, in units of the usual one, sqrt(d_k)."""
        usual = np.sqrt(self.width // self.num_heads)
        rows = []
        for place, association in enumerate(self.associations):
            betas = np.asarray(association.beta)
            if self.learned:
                theta = self.pace * np.asarray(parameters[f"layers.{place}.{TEMPERATURE}"])
                betas = 1.0 / np.logaddexp(theta, 0.0)
            rows.append(1.0 / (betas * usual))
        return np.stack(rows)

    def _features(
        self,
        parameters: Parameters,
        symbols: Array,
        look: Callable[[Array], None] | None = None,
    ) -> tuple[Array, Backend]:
        features, later, backend = self._embedded(parameters, symbols)
        for number in range(len(self.settings)):
            features = self._layer(number, parameters, features, later, look)
        return features, backend

    def _embedded(self, parameters: Parameters, symbols: Array) -> tuple[Array, Array, Backend]:
        """The embedded symbols, and which places come later than which."""
        count, length = shape(symbols)
        if length > self.length:
            raise ValueError(f"sequences must have {self.length} symbols at most, got {length}")
        embedding = parameters["symbols"]
        backend = backend_of_input("symbols", embedding)
        xp, device = backend.xp, backend.device(embedding)
        rows = xp.take(embedding, xp.reshape(symbols, (-1,)), axis=0)
        features = xp.reshape(rows, (count, length, self.width)) + parameters["places"][:length, :]
        place = xp.arange(length, device=device)
        return features, place[None, :] > place[:, None], backend

    def _layer(
        self,
        number: int,
        parameters: Parameters,
        features: Array,
        later: Array,
        look: Callable[[Array], None] | None,
    ) -> Array:
        """The features after one encoder layer."""
        own = dict(inner(parameters, f"layers.{number}"))
        if self.learned:
            own[TEMPERATURE] = self.pace * own[TEMPERATURE]
        associate = partial(
            associated, self.associations[number], inner(own, "hopfield_association"), later, look
        )
        return encoder_layer(self.settings[number], own, features, associate=associate)


def associated(
    settings: HopfieldSettings,
    parameters: Parameters,
    later: Array,
    look: Callable[[Array], None] | None,
    values: Array,
) -> Array:
    """What each place recalls from those before it; whoever looks is shown the weights."""
    if look is not None:
        look(hopfield_weights(settings, parameters, values, association_mask=later))
    return hopfield(settings, parameters, values, association_mask=later)
