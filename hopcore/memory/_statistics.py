r"""Statistics of an association: how sharp it is, and which stored patterns are recalled.

With the association weights :math:`w = w(\beta X \xi)` of a query: their entropy
:math:`-\sum_i w_i \log w_i` between 0 (one pattern) and :math:`\log N` (the mean of all); the
effective number of patterns :math:`1 / \sum_i w_i^2` between 1 and N; and the largest weight. All
are sums over blocks of weights, which are never held together.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._edge import without_axis
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray, quiet
from hopcore.arrays._reprs import one_line
from hopcore.memory._causal import Causal, in_causal_blocks, masked_inputs
from hopcore.memory._compact import conjugate_of, is_absolute
from hopcore.memory._energy import energy_by_conjugate, in_precise
from hopcore.memory._own_options import own_options
from hopcore.memory._scores import PLAIN, Scores, Similarity, scores_of
from hopcore.memory._separation import Separation, with_separation


class Statistics(NamedTuple, Generic[SomeArray]):
    r"""The result of :func:`statistics`; a pytree in JAX and torch.

    Attributes
    ----------
    log_sum_exp : array (..., L)
        :math:`\log \sum_i e^{\beta x_i \cdot \xi}`, not divided by beta; for another separation
        function than the softmax its conjugate :math:`\Omega^*(\beta X \xi)`. -inf for a query that
        may attend to nothing.
    entropy : array (..., L)
        The Shannon entropy of the weights in nats, from 0 to log N.
    effective : array (..., L)
        The effective number of patterns, :math:`1 / \sum_i w_i^2`, from 1 to N; 0 for a query that
        may attend to nothing.
    largest : array (..., L)
        The largest weight, from 1/N to 1; 0 for a query that may attend to nothing.
    received : array (..., S)
        What each stored pattern receives: the sum of its weights over all queries. Masked patterns
        receive 0.
    energy : array (..., L)
        The energy of the state, as :func:`hopcore.energy` returns it.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> found = hopcore.statistics(np.zeros((3, 2)), np.eye(2), 1.0)
    >>> found.effective, found.received
    (array([2., 2., 2.]), array([1.5, 1.5]))
    """

    log_sum_exp: SomeArray
    entropy: SomeArray
    effective: SomeArray
    largest: SomeArray
    received: SomeArray
    energy: SomeArray

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@own_options
def statistics(
    state: SomeArray,
    stored: AnyArray,
    beta: BetaLike,
    *,
    mask: AnyArray | Causal | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
) -> Statistics[SomeArray]:
    r"""Statistics of an association, without its weights: entropy, effective number, and others.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns (queries). A single query ``(d,)`` gives results without the axis L.
    stored : array (..., S, d)
        Stored patterns (keys). Leading axes broadcast. A streamed memory takes one more pass for
        what its patterns receive.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.
    mask : boolean array broadcastable to (..., L, S), or "causal", optional
        True where a query may attend (layers: True where it may not). With ``"causal"``, state i
        attends to the patterns 0 to i alone, and there must be as many states as patterns.
    separation, similarity, bias
        As in :func:`hopcore.association`.

    Returns
    -------
    Statistics
        ``log_sum_exp, entropy, effective, largest, received, energy``, in the dtype of the state,
        but float32 for half precision. Differentiable in torch and JAX.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`.

    Notes
    -----
    No array of shape (L, S) is ever held: memory is O(L + S) beside a block of fixed size. Where
    torch differentiates, the weights of a block are computed again.

    Scores that are off by :math:`\delta` make an entropy H wrong by at most :math:`2 \delta H`, and
    a few roundings of H come on top: a small entropy is as exact as a large one, which
    :math:`l - \beta\, \xi \cdot f(\xi)` is not.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> sharp = hopcore.statistics(np.asarray([[0.9, 0.1]]), stored, beta=10.0)
    >>> sharp.entropy.round(4), sharp.effective.round(4)
    (array([0.003]), array([1.0007]))
    """
    inputs, single, added, causal = masked_inputs(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(inputs, separation, similarity)
    scores = scores_of(inputs, similarity, bias, separation=function, added=added)
    if scores.added is not None:
        raise ValueError(
            "statistics take no mask of numbers for each query; numbers for the patterns are "
            "bias=, and association_weights returns all weights"
        )
    find = causal_statistics if causal else statistics_of
    found = find(inputs, function, scores)
    return Statistics(
        *(
            array if name == "received" else without_axis(array, single)
            for name, array in found._asdict().items()
        )
    )


@quiet
def statistics_of(inputs: Inputs, separation: Any, scores: Scores = PLAIN) -> Statistics[Any]:
    """:func:`statistics` of checked inputs."""
    inputs = in_precise(inputs)
    scored = scores.inputs(inputs)
    backend, _, state, stored, _, beta, mask = scored
    conjugate, entropy, square, largest, received = backend.statistics(
        state, stored, beta, mask, separation
    )
    if is_absolute(separation):
        conjugate = conjugate_of(scored, separation)
    energy = energy_by_conjugate(inputs, separation, conjugate, scores)
    conjugate = scores.conjugate(inputs, conjugate)
    return Statistics(
        conjugate, entropy, effective_number(square, inputs.xp), largest, received, energy
    )


def causal_statistics(inputs: Inputs, separation: Any, scores: Scores) -> Statistics[Any]:
    """:func:`statistics` of checked inputs with the mask causal."""
    patterns = inputs.stored.shape[-2]

    def work(*given: Any) -> tuple[Array, ...]:
        found = statistics_of(*given)
        unseen = patterns - found.received.shape[-1]
        zeros = inputs.xp.zeros_like(found.received[..., :1])
        zeros = inputs.xp.broadcast_to(zeros, (*zeros.shape[:-1], unseen))
        received = inputs.xp.concat([found.received, zeros], axis=-1)
        return found._replace(received=received[..., None, :])

    axes = tuple(-2 if name == "received" else -1 for name in Statistics._fields)
    found = Statistics(*in_causal_blocks(work, inputs, separation, scores, axes))
    return found._replace(received=inputs.xp.sum(found.received, axis=-2))


def effective_number(square: Array, xp: Any) -> Array:
    """Return ``1 / square``, or 0 where the sum of squares is 0."""
    some = square > 0.0
    return xp.where(some, 1.0 / xp.where(some, square, 1.0), 0.0)
