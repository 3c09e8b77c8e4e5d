"""Training by JAX: parameters of its own, ``jax.grad``, optax's AdamW, one compiled step."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hopcore.training import Dropout, Model
from hopcore_jax.kernels import device_named


class Trainer:
    """Trains a model of :mod:`hopcore`; see :func:`hopcore.training.trainer`.

    The step is compiled once for a model and the shapes of a batch, whichever trainer asks.

    Parameters
    ----------
    model : Model
        Hashable.
    parameters : mapping of str to NumPy array
    learning_rate, weight_decay : float
    seed : int
        Of the dropout.
    device : optional
        A ``jax.Device``, or its name: ``"cpu"``, ``"cuda:0"``, ...

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.classifier import BagClassifier, Bags
    >>> from hopcore_jax.training import Trainer
    >>> model = BagClassifier(input_size=1, embedding=(4,), layer=None)
    >>> bags = Bags(np.eye(2, dtype=np.float32)[..., None], np.eye(2) < 0, np.ones(2, np.float32))
    >>> trainer = Trainer(model, model.first_parameters(seed=0), learning_rate=0.1, weight_decay=0)
    >>> losses = [float(trainer.step(bags)) for _ in range(5)]
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
        seed: int = 0,
        device: Any = None,
    ) -> None:
        self.model = model
        self.device = device_named(device) if isinstance(device, str) else device
        self.optimizer = adamw(learning_rate, weight_decay)
        self._parameters = self._arrays(dict(parameters))
        self._state = self.optimizer.init(self._parameters)
        self._key = self._arrays(jax.random.key(seed))

    def step(self, batch: Any) -> jax.Array:
        """One step of AdamW; the loss before it, on the device."""
        self._parameters, self._state, self._key, loss = stepped(
            self.model, self.optimizer, self._parameters, self._state, self._key,
            self._arrays(batch),
        )  # fmt: skip
        return loss

    def values(self, batch: Any) -> np.ndarray:
        """The outputs, without dropout."""
        return np.asarray(outputs(self.model, self._parameters, self._arrays(batch)))

    def parameters(self) -> dict[str, np.ndarray]:
        """Copies of the parameters."""
        return {name: np.array(value) for name, value in self._parameters.items()}

    def _arrays(self, tree: Any) -> Any:
        return jax.device_put(tree, self.device)


@cache
def adamw(learning_rate: float, weight_decay: float) -> optax.GradientTransformation:
    """AdamW; the same object for the same rates, so that a step is not compiled again."""
    return optax.adamw(learning_rate, weight_decay=weight_decay)


@partial(jax.jit, static_argnums=(0, 1))
def stepped(
    model: Model,
    optimizer: optax.GradientTransformation,
    parameters: dict[str, jax.Array],
    state: Any,
    key: jax.Array,
    batch: Any,
) -> tuple[dict[str, jax.Array], Any, jax.Array, jax.Array]:
    """Parameters, optimiser and key after a step, and the loss before it."""
    key, own = jax.random.split(key)

    def loss_of(parameters: dict[str, jax.Array]) -> jax.Array:
        return model.loss(model.outputs(parameters, batch, dropout_of(own)), batch)

    loss, gradient = jax.value_and_grad(loss_of)(parameters)
    change, state = optimizer.update(gradient, state, parameters)
    return optax.apply_updates(parameters, change), state, key, loss  # type: ignore[return-value]


@partial(jax.jit, static_argnums=0)
def outputs(model: Model, parameters: dict[str, jax.Array], batch: Any) -> jax.Array:
    """The outputs, compiled."""
    return model.outputs(parameters, batch)


def dropout_of(key: jax.Array) -> Dropout:
    """Dropout that draws with a key of its own at each call."""
    calls = iter(range(2**31))

    def dropout(values: jax.Array, rate: float) -> jax.Array:
        kept = jax.random.bernoulli(jax.random.fold_in(key, next(calls)), 1.0 - rate, values.shape)
        return jnp.where(kept, values / (1.0 - rate), 0.0)

    return dropout
