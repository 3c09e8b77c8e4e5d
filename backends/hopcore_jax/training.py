"""Training with JAX: ``jax.grad``, optax's AdamW and one compiled step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hopcore.layers import Noise
from hopcore.training import Conditions, Dropout, Model, Step
from hopcore_jax.kernels._backend import device_named

NONE: Mapping[str, float] = {}
"""No temperatures."""


class Trainer:
    """Trains a model of :mod:`hopcore`; see :func:`hopcore.training.trainer`.

    The step is compiled once for a model and the shapes of a batch, whichever trainer asks.

    Parameters
    ----------
    model : Model
        Hashable.
    parameters : mapping of str to NumPy array
    learning_rate, weight_decay : float
    clip_norm : float, optional
    seed : int
        The seed of dropout and noise.
    device : optional
        A ``jax.Device``, or its name: ``"cpu"``, ``"cuda:0"``, ...

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.models.bag_classifier import BagClassifier, Bags
    >>> from hopcore_jax.training import Trainer
    >>> model = BagClassifier(input_size=1, embedding=(4,), layer=None)
    >>> bags = Bags(np.eye(2, dtype=np.float32)[..., None], np.eye(2) < 0, np.ones(2, np.float32))
    >>> trainer = Trainer(model, model.first_parameters(seed=0), learning_rate=0.1, weight_decay=0)
    >>> losses = [float(trainer.step(bags).loss) for _ in range(5)]
    >>> losses[-1] < losses[0], trainer.values(bags).shape
    (True, (2,))
    """

    def __init__(
        self,
        model: Model,
        parameters: Mapping[str, np.ndarray],
        *,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        clip_norm: float | None = None,
        seed: int = 0,
        device: Any = None,
    ) -> None:
        self.model = model
        self.device = device_named(device) if isinstance(device, str) else device
        self.learning_rate = learning_rate
        self.optimizer = adamw(weight_decay, clip_norm)
        self._parameters = self._arrays(dict(parameters))
        self._state = self.optimizer.init(self._parameters)
        self._key = self._arrays(jax.random.key(seed))

    def step(
        self,
        batch: Any,
        temperatures: Mapping[str, float] = NONE,
        *,
        rate: float = 1.0,
        hard: bool = False,
        gumbel: bool = False,
    ) -> Step:
        """One step of AdamW; loss, outputs and norm before it, on the device."""
        way = Way(self.model, self.optimizer, hard, gumbel)
        self._parameters, self._state, self._key, found = stepped(
            way, self._parameters, self._state, self._key, self._arrays(batch),
            numbers(temperatures), np.float32(self.learning_rate * rate),
        )  # fmt: skip
        return found

    def values(
        self, batch: Any, temperatures: Mapping[str, float] = NONE, *, hard: bool = False
    ) -> np.ndarray:
        """Return the outputs, without dropout and noise."""
        batch = self._arrays(batch)
        found = outputs(self.model, hard, self._parameters, batch, numbers(temperatures))
        return np.asarray(found)

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of the parameters."""
        return {name: np.array(value) for name, value in self._parameters.items()}

    def state(self) -> dict[str, np.ndarray]:
        """Copies of parameters, state of the optimiser, and the key, by their names."""
        found = {f"parameters.{name}": value for name, value in self.parameters().items()}
        for place, leaf in enumerate(jax.tree.leaves(self._state)):
            found[f"optimizer.{place}"] = np.array(leaf)
        found["key"] = np.array(jax.random.key_data(self._key))
        return found

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a result of :meth:`state`."""
        names = self._parameters
        self._parameters = self._arrays({name: state[f"parameters.{name}"] for name in names})
        leaves, tree = jax.tree.flatten(self._state)
        leaves = [state[f"optimizer.{place}"] for place in range(len(leaves))]
        self._state = self._arrays(jax.tree.unflatten(tree, leaves))
        self._key = self._arrays(jax.random.wrap_key_data(jnp.asarray(state["key"])))

    def _arrays(self, tree: Any) -> Any:
        return jax.device_put(tree, self.device)


class Way(NamedTuple):
    """What a step is compiled for."""

    model: Model
    optimizer: optax.GradientTransformation
    hard: bool
    gumbel: bool


@cache
def adamw(weight_decay: float, clip_norm: float | None) -> optax.GradientTransformation:
    """AdamW but for the learning rate; the same object for the same settings, compiled once."""
    clip = optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm)
    decay = optax.add_decayed_weights(weight_decay)
    return optax.chain(clip, optax.scale_by_adam(), decay)


@partial(jax.jit, static_argnums=0)
def stepped(
    way: Way,
    parameters: dict[str, jax.Array],
    state: Any,
    key: jax.Array,
    batch: Any,
    temperatures: dict[str, jax.Array],
    learning_rate: jax.Array,
) -> tuple[dict[str, jax.Array], Any, jax.Array, Step]:
    """Parameters, optimiser and key after a step, and what was found before it."""
    key, own = jax.random.split(key)
    noise = noise_of(own) if way.gumbel else None
    conditions = Conditions(temperatures, way.hard, dropout_of(own), noise)

    def loss_of(parameters: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return way.model.objective(parameters, batch, conditions)

    (loss, outputs), gradient = jax.value_and_grad(loss_of, has_aux=True)(parameters)
    change, state = way.optimizer.update(gradient, state, parameters)
    parameters = jax.tree.map(lambda p, c: p - learning_rate * c, parameters, change)
    norm = jnp.sqrt(sum(jnp.vdot(x, x) for x in jax.tree.leaves(gradient)))
    return parameters, state, key, Step(loss, outputs, norm)


@partial(jax.jit, static_argnums=(0, 1))
def outputs(
    model: Model,
    hard: bool,
    parameters: dict[str, jax.Array],
    batch: Any,
    temperatures: dict[str, jax.Array],
) -> jax.Array:
    """The outputs, compiled."""
    return model.outputs(parameters, batch, Conditions(temperatures, hard))


def numbers(temperatures: Mapping[str, float]) -> dict[str, np.float32]:
    """Temperatures as arrays, so that another one is no cause to compile again."""
    return {name: np.float32(value) for name, value in temperatures.items()}


def dropout_of(key: jax.Array) -> Dropout:
    """Return dropout that uses a new key at each call."""
    calls = iter(range(2**31))

    def dropout(values: jax.Array, rate: float) -> jax.Array:
        kept = jax.random.bernoulli(jax.random.fold_in(key, next(calls)), 1.0 - rate, values.shape)
        return jnp.where(kept, values / (1.0 - rate), 0.0)

    return dropout


def noise_of(key: jax.Array) -> Noise:
    """Gumbel noise with a key of its own at each call, other than those of the dropout."""
    calls = iter(range(2**31))
    other = jax.random.fold_in(key, 2**31 - 1)

    def noise(shape: tuple[int, ...], like: jax.Array) -> jax.Array:
        return gumbel(shape, like, jax.random.fold_in(other, next(calls)))

    return noise


def gumbel(shape: tuple[int, ...], like: jax.Array, key: jax.Array) -> jax.Array:
    """Return Gumbel noise with the shape and dtype of an array.

    Examples
    --------
    >>> import jax, jax.numpy as jnp
    >>> from hopcore_jax.training import gumbel
    >>> gumbel((2, 3), jnp.ones(1), jax.random.key(0)).shape
    (2, 3)
    """
    return jax.random.gumbel(key, shape, like.dtype)
