"""Losses of classifiers, as functions of predictions and targets."""

from __future__ import annotations

from types import ModuleType

from hopcore.arrays._array_checks import backend_of_input, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._library import AnyArray, SomeArray


def cross_entropy(logits: SomeArray, target: AnyArray) -> SomeArray:
    r"""Return the mean of :math:`-\ln \operatorname{softmax}(z)_y` over all samples.

    Parameters
    ----------
    logits : array (..., n, classes)
    target : integer array (..., n)
        The class y of each sample.

    Returns
    -------
    array ()
        0 where there is no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.layers._losses import cross_entropy
    >>> round(float(cross_entropy(np.asarray([[0.0, 0.0], [0.0, 1e4]]), np.asarray([0, 1]))), 6)
    0.346574
    """
    backend = backend_of_input("logits", logits)
    xp = backend.xp
    if shape(target) != shape(logits)[:-1]:
        raise ValueError(
            f"there must be one target for each sample, got {shape(target)} for {shape(logits)}"
        )
    labels: Array = target
    picked = labels[..., None] == xp.arange(logits.shape[-1], device=backend.device(logits))
    logs = log_softmax(logits)
    return -mean(xp.sum(xp.where(picked, logs, xp.zeros_like(logs)), axis=-1), xp)


def logistic_loss(logits: Array, target: Array) -> Array:
    r"""Return the mean over all z of the logistic loss :math:`\log(1 + e^z) - y z`.

    Parameters
    ----------
    logits : array (...)
        The log odds z.
    target : array (...)
        y in [0, 1], of the same library, shape and dtype.

    Returns
    -------
    array ()
        0 where there is no sample.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.layers._losses import logistic_loss
    >>> print(logistic_loss(np.asarray([0.0, 1000.0, -1000.0]), np.asarray([1.0, 1.0, 0.0])) * 3)
    0.6931471805599453
    """
    xp = backend_of_input("logits", logits).xp
    if shape(logits) != shape(target):
        raise ValueError(
            f"logits and target must have one shape, got {shape(logits)} and {shape(target)}"
        )
    return mean(xp.logaddexp(logits, xp.zeros_like(logits)) - target * logits, xp)


def log_softmax(logits: Array) -> Array:
    """Return the logarithm of the softmax over the last axis."""
    backend = backend_of_input("logits", logits)
    xp = backend.xp
    below = logits - backend.constant(xp.max(logits, axis=-1, keepdims=True))
    return below - xp.log(xp.sum(xp.exp(below), axis=-1, keepdims=True))


def divergence(logits: Array, others: Array) -> Array:
    r"""Return the mean divergence (Kullback-Leibler) of the softmaxes of two arrays of logits.

    :math:`\sum_y p_y (\ln p_y - \ln q_y)` with p of ``logits``, q of ``others``.
    """
    xp = backend_of_input("logits", logits).xp
    p, q = log_softmax(logits), log_softmax(others)
    return mean(xp.sum(xp.exp(p) * (p - q), axis=-1), xp)


def mean(values: Array, xp: ModuleType) -> Array:
    """Return the mean of all values, and 0 of none: no sample costs nothing."""
    return xp.sum(values) if 0 in values.shape else xp.mean(values)
