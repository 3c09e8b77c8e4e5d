"""Training in any library: batches, the loop over a trainer's steps, losses, measures.

A *model* is pure functions of parameters on the Array API. A *trainer* owns parameters of one
library, which has gradients and an optimiser, and is found by the library's name; hopcore itself
imports none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from hopcore.arrays._backend import Array
from hopcore.arrays._validation import MOST_SEED, as_integer, as_number
from hopcore.layers._networks import Noise
from hopcore.layers._parameters import Parameters

Samples = TypeVar("Samples", bound=tuple[Any, ...])
"""A named tuple of arrays whose first axis counts the samples."""

Dropout = Callable[[Array, float], Array]
"""``dropout(values, rate)``, as a trainer draws it."""


class Conditions(NamedTuple):
    """Under which conditions a model is asked.

    Attributes
    ----------
    temperatures : mapping of str to float or array ()
        By the names the model has for them; what is not there is the model's own.
    hard : bool
        Choose one memory instead of mixing them.
    dropout : Dropout or None
        In training alone.
    noise : Noise or None
        Gumbel noise for the choice, where it is asked for.

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
    """What is trained; hashable, so that a library may compile for each model once."""

    def outputs(self, parameters: Parameters, batch: Any, conditions: Conditions = ...) -> Array:
        """What the model says of each sample."""
        ...

    def objective(
        self, parameters: Parameters, batch: Any, conditions: Conditions
    ) -> tuple[Array, Array]:
        """How wrong that is, one number for the batch, and the outputs."""
        ...


class Step(NamedTuple):
    """What a step of training found before it, on the device.

    Attributes
    ----------
    loss : array ()
    outputs : array
    norm : array ()
        Of the gradient by all parameters together, before it is clipped.
    """

    loss: Array
    outputs: Array
    norm: Array


class Trainer(Protocol):
    """Parameters of one library, and how they are improved."""

    def step(
        self,
        batch: Any,
        temperatures: Mapping[str, float] = ...,
        *,
        rate: float = 1.0,
        hard: bool = False,
        gumbel: bool = False,
    ) -> Step:
        """Improve the parameters by one batch of NumPy arrays; ``rate`` times the learning rate."""
        ...

    def values(
        self, batch: Any, temperatures: Mapping[str, float] = ..., *, hard: bool = False
    ) -> np.ndarray:
        """The outputs for a batch, without anything random."""
        ...

    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters as they are now."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on: parameters, optimiser, random numbers."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state of a trainer of the same library and model."""
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
    """A trainer of a library, with AdamW (Loshchilov and Hutter 2019).

    Parameters
    ----------
    backend : str
        ``"torch"`` or ``"jax"``, or X where a package ``hopcore_X`` has a module ``training`` with
        a ``Trainer``.
    model : Model
    parameters : mapping of str to NumPy array
        Where they start; they are copied.
    learning_rate, weight_decay : float
        Of AdamW.
    clip_norm : float, optional
        Gradients are scaled down to this norm, of all parameters together.
    seed : int
        Of dropout and noise.
    device
        As the library calls its devices.

    Returns
    -------
    Trainer

    Raises
    ------
    ValueError
        No such library trains; a rate that makes no sense.
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
    """Step through the data, epoch by epoch, in a new order each time.

    Parameters
    ----------
    trainer : Trainer
    data : named tuple of arrays
    epochs, batch_size : int
        At least 1; batches are of one size, give or take a sample.
    rng : numpy.random.Generator
        Draws the orders.

    Yields
    ------
    float
        The mean loss of the samples of an epoch.

    Raises
    ------
    ValueError
        No samples, no epochs; the loss is no longer finite.
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
    """Raise a ValueError if what a step found is no longer finite, and say what to try."""
    if not math.isfinite(value):
        raise ValueError(f"the {name} is {value} in epoch {epoch}, step {step}; try {remedy}")


def batches(
    data: Samples, batch_size: int, rng: np.random.Generator | None = None
) -> Iterator[Samples]:
    """The samples in batches of ``batch_size`` at most, all of one size give or take a sample.

    Parameters
    ----------
    data : named tuple of arrays
    batch_size : int
    rng : numpy.random.Generator, optional
        Draws their order; without it they stay as they are.

    Yields
    ------
    named tuple of arrays

    Raises
    ------
    ValueError
        No samples; a batch size below 1.

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
    """The outputs for all samples, a batch at a time."""
    found = [
        trainer.values(batch, temperatures or {}, hard=hard) for batch in batches(data, batch_size)
    ]
    return np.concatenate(found)


def accuracy(scores: np.ndarray, target: np.ndarray) -> float:
    """The share of samples whose score is positive where the target is 1, and only there."""
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
        All targets are alike.

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
