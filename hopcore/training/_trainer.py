"""Training in any library: batches, the loop over a trainer's steps, losses, measures.

A *model* consists of pure functions of parameters in the Array API. A *trainer* owns the parameters
in one library, which provides gradients and an optimiser. It is found by the name of the library;
hopcore itself imports none of these libraries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import MOST_SEED, as_integer, as_number
from hopcore.layers._networks import Noise
from hopcore.layers._parameters import Parameters

Samples = TypeVar("Samples", bound=tuple[Any, ...])
"""A named tuple of arrays whose first axis counts the samples."""

Dropout = Callable[[Array, float], Array]
"""``dropout(values, rate)`` applies the dropout of a trainer."""


class Conditions(NamedTuple):
    """The conditions of a call of a model: temperatures, path, dropout and noise.

    Attributes
    ----------
    temperatures : mapping of str to float or array ()
        The temperatures by the names that the model gives them; for a missing one, the model uses
        its own.
    hard : bool
        Whether to choose one stored pattern instead of averaging them.
    dropout : Dropout or None
        Dropout, only during training.
    noise : Noise or None
        Gumbel noise for the scores, or None.

    Examples
    --------
    >>> from hopcore.training import Conditions
    >>> Conditions(hard=True).temperatures
    {}
    """

    temperatures: Mapping[str, Any] = {}
    hard: bool = False
    dropout: Dropout | None = None
    noise: Noise | None = None


class Model(Protocol):
    """A model that can be trained; hashable, so that a library may compile it once."""

    def outputs(self, parameters: Parameters, batch: Any, conditions: Conditions = ...) -> Array:
        """Return the outputs of the model for each sample."""
        ...

    def objective(
        self, parameters: Parameters, batch: Any, conditions: Conditions
    ) -> tuple[Array, Array]:
        """Return the loss of the batch, one number, and the outputs."""
        ...


class Step(NamedTuple):
    """The results of a training step, measured before the step, on the device.

    Attributes
    ----------
    loss : array ()
    outputs : array
    norm : array ()
        The norm of the gradient with respect to all parameters together, before clipping.
    """

    loss: Array
    outputs: Array
    norm: Array


class Trainer(Protocol):
    """The parameters in one library, and the steps that train them."""

    def step(
        self,
        batch: Any,
        temperatures: Mapping[str, float] = ...,
        *,
        rate: float = 1.0,
        hard: bool = False,
        gumbel: bool = False,
    ) -> Step:
        """Train on one batch of NumPy arrays, with ``rate`` times the learning rate."""
        ...

    def values(
        self, batch: Any, temperatures: Mapping[str, float] = ..., *, hard: bool = False
    ) -> np.ndarray:
        """Return the outputs for a batch, without dropout and noise."""
        ...

    def parameters(self) -> dict[str, np.ndarray]:
        """The current parameters."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Everything on which the next step depends: parameters, optimiser, random numbers."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state of a trainer of the same library and model."""
        ...


def trainer(
    backend: str,
    model: Model,
    parameters: Mapping[str, np.ndarray],
    *,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    clip_norm: float | None = None,
    seed: int = 0,
    device: Any = None,
) -> Trainer:
    """Return a trainer of a library, with AdamW (Loshchilov and Hutter 2019).

    Parameters
    ----------
    backend : str
        ``"torch"`` or ``"jax"``, or X if a package ``hopcore_X`` has a module ``training`` with a
        ``Trainer``.
    model : Model
    parameters : mapping of str to NumPy array
        The initial parameters, which are copied.
    learning_rate, weight_decay : float
        The learning rate and the weight decay of AdamW.
    clip_norm : float, optional
        The norm to which the gradient of all parameters together is clipped.
    seed : int
        The seed of dropout and noise.
    device
        The device, as the library names it.

    Returns
    -------
    Trainer

    Raises
    ------
    ValueError
        No library with this name can train, or a rate is not valid.
    ModuleNotFoundError
        The library is not installed; the message names the extra.

    Examples
    --------
    >>> from hopcore.training import trainer
    >>> trainer("numpy", None, {})
    Traceback (most recent call last):
    ...
    ValueError: nothing trains on 'numpy'; torch and jax do
    """
    for name, value in (("learning_rate", learning_rate), ("weight_decay", weight_decay)):
        as_number(name, value, 0.0)
    if clip_norm is not None:
        as_number("clip_norm", clip_norm, positive=True)
    seed = as_integer("seed", seed, 0, MOST_SEED)
    if not str(backend).isidentifier():
        raise ValueError(f"nothing trains on {backend!r}; torch and jax do")
    place = f"hopcore_{backend}.training"
    try:
        found = import_module(place)
    except ModuleNotFoundError as missing:
        if place.startswith(str(missing.name)):
            raise ValueError(f"nothing trains on {backend!r}; torch and jax do") from None
        raise ModuleNotFoundError(
            f"training on {backend} needs {missing.name}; install it: "
            f"pip install 'hopcore[{backend}]'",
            name=missing.name,
        ) from missing
    return found.Trainer(
        model,
        parameters,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        seed=seed,
        device=device,
    )


def train(
    trainer: Trainer,
    data: tuple[Any, ...],
    *,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator,
) -> Iterator[float]:
    """Train on the data epoch by epoch, in a new order in each epoch.

    Parameters
    ----------
    trainer : Trainer
    data : named tuple of arrays
    epochs, batch_size : int
        At least 1. The sizes of batches differ by at most one sample.
    rng : numpy.random.Generator
        The generator of the orders.

    Yields
    ------
    float
        The mean loss of the samples of an epoch.

    Raises
    ------
    ValueError
        There are no samples or no epochs, or the loss is no longer finite.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be >= 1, got {epochs}")
    for epoch in range(1, epochs + 1):
        total = 0.0
        for step, batch in enumerate(batches(data, batch_size, rng), start=1):
            loss = float(trainer.step(batch).loss)
            check_finite("loss", loss, epoch, step, "a smaller learning rate or a larger beta")
            total += len(batch[0]) * loss
        yield total / len(data[0])


def check_finite(name: str, value: float, epoch: int, step: int, remedy: str) -> None:
    """Raise a ValueError with advice if the results of a step are no longer finite."""
    if not math.isfinite(value):
        raise ValueError(f"the {name} is {value} in epoch {epoch}, step {step}; try {remedy}")


def batches(
    data: Samples, batch_size: int, rng: np.random.Generator | None = None
) -> Iterator[Samples]:
    """Yield batches of at most ``batch_size`` samples, whose sizes differ by at most one.

    Parameters
    ----------
    data : named tuple of arrays
    batch_size : int
    rng : numpy.random.Generator, optional
        The generator of the order; without it, the order does not change.

    Yields
    ------
    named tuple of arrays

    Raises
    ------
    ValueError
        There are no samples, or the batch size is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from typing import NamedTuple
    >>> from hopcore.training._trainer import batches
    >>> Data = NamedTuple("Data", [("x", np.ndarray)])
    >>> [batch.x.tolist() for batch in batches(Data(np.arange(5)), 4)]
    [[0, 1, 2], [3, 4]]
    """
    count = len(data[0])
    if count == 0 or batch_size < 1:
        raise ValueError(f"batches need samples and a size >= 1, got {count} and {batch_size}")
    order = np.arange(count) if rng is None else rng.permutation(count)
    for rows in np.array_split(order, math.ceil(count / batch_size)):
        yield chosen(data, rows)


def chosen(data: Samples, rows: np.ndarray) -> Samples:
    """Some of the samples."""
    return type(data)(*(array[rows] for array in data))


def scores(
    trainer: Trainer,
    data: tuple[Any, ...],
    batch_size: int = 512,
    temperatures: Mapping[str, float] | None = None,
    *,
    hard: bool = False,
) -> np.ndarray:
    """Return the outputs for all samples, computed batch by batch."""
    found = [
        trainer.values(batch, temperatures or {}, hard=hard) for batch in batches(data, batch_size)
    ]
    return np.concatenate(found)


def accuracy(scores: np.ndarray, target: np.ndarray) -> float:
    """Return the share of samples whose score is positive exactly if the target is 1."""
    return float(np.mean((scores > 0) == (target > 0.5)))


def auc(scores: np.ndarray, target: np.ndarray) -> float:
    """The area under the ROC curve: the share of pairs of unlike targets that are in order.

    Equal scores count half (Mann and Whitney).

    Parameters
    ----------
    scores : array (n,)
    target : array (n,)
        0 or 1.

    Raises
    ------
    ValueError
        All targets are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.training._trainer import auc
    >>> auc(np.asarray([0.1, 0.4, 0.4, 0.8]), np.asarray([0, 0, 1, 1]))
    0.875
    """
    positive = np.asarray(target) > 0.5
    above, below = int(positive.sum()), int((~positive).sum())
    if above == 0 or below == 0:
        raise ValueError(f"an AUC needs both targets, got {above} positive and {below} negative")
    from scipy.stats import rankdata  # noqa: PLC0415  half a second that other calls save

    ranks = rankdata(scores)[positive].sum()
    return float((ranks - above * (above + 1) / 2) / (above * below))
