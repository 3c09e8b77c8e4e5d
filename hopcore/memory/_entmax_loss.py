r"""The loss of which entmax weights are the predictions: the Fenchel-Young loss of its negentropy.

.. math:: L(z, y) = \Omega^*(z) + \Omega(e_y) - z_y = \Omega^*(z) - z_y, \qquad
    \nabla_z L = w(z) - e_y

with :math:`e_y` the corner of the simplex that stands for class y, where :math:`\Omega` is 0.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_same_device, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._scalar_checks import as_integer, is_number, short_repr
from hopcore.memory._entmax import Entmax
from hopcore.memory._separation import get_separation, scores_and_function

REDUCTIONS = "mean", "sum", "none"


@suggest_names
def entmax_loss(
    scores: Array,
    target: Array,
    alpha: Any = 1.5,
    *,
    reduction: Literal["mean", "sum", "none"] = "mean",
    ignore_index: int | None = None,
) -> Array:
    r"""Return the Fenchel-Young loss of entmax: :math:`L(z, y) = \Omega^*(z) - z_y`.

    With :math:`\alpha = 1` it is the cross-entropy of the softmax, with :math:`\alpha = 2` the
    sparsemax loss.

    Parameters
    ----------
    scores : array (..., classes)
        The scores z; -inf marks a class that is not available.
    target : integer array (...)
        y, the class of each sample, from 0.
    alpha : float or array broadcastable to (...)
        The order of the entmax, at least 1 and finite: 1 is the softmax, 2 is sparsemax, as in
        :class:`hopcore.Entmax`.
    reduction : {"mean", "sum", "none"}
        Whether the losses of all samples are averaged, added or returned.
    ignore_index : int, optional
        The target that marks samples to ignore: their loss is 0, and the mean leaves them out.

    Returns
    -------
    array (), or (...) without a reduction
        In at least float32. The loss is never negative. It is exactly 0 if the score of the target
        is :math:`1/(\alpha - 1)` or more above all others, and inf if that score is -inf. The mean
        over an empty batch is 0.

    Raises
    ------
    TypeError, ValueError
        Scores or an alpha that :func:`hopcore.separate` refuses; targets that are not integers or,
        where values can be seen, not classes; an unknown reduction.

    Notes
    -----
    The gradient with respect to the scores is :math:`w(z) - e_y`; no solver is differentiated.

    Source: Blondel, Martins and Niculae 2020, "Learning with Fenchel-Young losses".

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> scores, target = np.asarray([[0.0, 0.0], [9.0, 2.0]]), np.asarray([1, 0])
    >>> hopcore.entmax_loss(scores, target, 2, reduction="none")
    array([0.25, 0.  ])
    """
    if reduction not in REDUCTIONS:
        known = ", ".join(map(repr, REDUCTIONS))
        raise ValueError(f"reduction must be one of {known}, got {short_repr(reduction)}")
    if ignore_index is not None:
        ignore_index = as_integer("ignore_index", ignore_index, -(2**31), 2**31 - 1)
    plain = is_number(alpha) and float(alpha) == 1.0
    backend, scores, function = scores_and_function(
        scores, get_separation("softmax") if plain else Entmax(alpha)
    )
    xp, classes = backend.xp, scores.shape[-1]
    check_target(backend, scores, target, ignore_index)
    counts = None if ignore_index is None else target != ignore_index
    # Subtract scores first, so that a constant in all of them adds no rounding error.
    top = backend.constant(xp.max(scores, axis=-1, keepdims=True))
    near = scores - xp.where(top == -math.inf, 0.0, top)
    picked = target[..., None] == xp.arange(classes, device=backend.device(scores))
    own = xp.sum(xp.where(picked, near, xp.zeros_like(near)), axis=-1)
    loss = backend.separate(near, function)[1] - own
    # Only the value is clipped at 0: if rounding makes it negative, the gradient stays correct.
    now = backend.constant(loss)
    loss = loss + xp.where(now < 0.0, -now, 0.0)
    loss = xp.where(own == -math.inf, math.inf, loss)
    if counts is not None:
        loss = xp.where(counts, loss, 0.0)
    if reduction == "none":
        return loss
    total = xp.sum(loss)
    if reduction == "sum":
        return total
    if counts is None:
        return total / max(1, math.prod(shape(loss)))
    count = xp.sum(xp.astype(counts, loss.dtype))
    return total / xp.where(count > 0.0, count, 1.0)


def check_target(backend: Backend, scores: Array, target: Any, ignore_index: int | None) -> None:
    """Raise if targets are not one class for each sample."""
    other = backend_of_input("target", target)
    if other is not backend or "int" not in str(target.dtype):
        raise TypeError(
            f"target must be an integer array of {backend.name}, got {target.dtype} of {other.name}"
        )
    check_same_device(backend, scores, "target", target)
    if shape(target) != shape(scores)[:-1]:
        raise ValueError(
            f"there must be one target for each sample, got {shape(target)} for {shape(scores)}"
        )
    if not backend.can_read_values(target):
        return
    right = (target >= 0) & (target < scores.shape[-1])
    if ignore_index is not None:
        right = right | (target == ignore_index)
    if not bool(backend.xp.all(right)):
        bad = target[backend.xp.nonzero(~right)][0] if target.ndim else target
        raise ValueError(
            f"targets must be classes from 0 to {scores.shape[-1] - 1}, got {int(bad)}; "
            "ignore_index says which number marks samples that do not count"
        )
