r"""Association: the patterns that a state recalls, and the weight of each stored pattern.

With scores :math:`z = \beta X \xi` and a separation function
:math:`w`, the association is :math:`V^T w(\beta X \xi)`; with V = X it is the update f of a modern
Hopfield network (Ramsauer et al. 2021, equation 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain
from typing import Any, Literal, overload

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_alike, check_floating
from hopcore.arrays._backend import Array
from hopcore.arrays._edge import without_axis, without_row
from hopcore.arrays._inputs import Inputs, own
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray, quiet
from hopcore.arrays._long_sums import in_pairs
from hopcore.arrays._merge import merged
from hopcore.arrays._scalar_checks import short_repr
from hopcore.memory._causal import (
    Causal,
    causal_inputs,
    causally_associated,
    causally_updated,
    in_causal_blocks,
    is_causal,
    masked_inputs,
)
from hopcore.memory._compact import recall, weights_of
from hopcore.memory._float_masks import associated, scores_with
from hopcore.memory._own_options import own_options
from hopcore.memory._plain_calls import plain_calls
from hopcore.memory._scores import PLAIN, Scores, Similarity, scores_of
from hopcore.memory._separation import Separation, with_separation
from hopcore.memory._stopping_loop import updated


@overload
def association(
    state: SomeArray,
    stored: AnyArray,
    projection: AnyArray | None = ...,
    *,
    beta: BetaLike,
    mask: AnyArray | Causal | None = ...,
    separation: Separation = ...,
    similarity: Similarity = ...,
    bias: AnyArray | None = ...,
    return_lse: Literal[False] = ...,
) -> SomeArray: ...
@overload
def association(
    state: SomeArray,
    stored: AnyArray,
    projection: AnyArray | None = ...,
    *,
    beta: BetaLike,
    mask: AnyArray | Causal | None = ...,
    separation: Separation = ...,
    similarity: Similarity = ...,
    bias: AnyArray | None = ...,
    return_lse: Literal[True],
) -> tuple[SomeArray, SomeArray]: ...
@plain_calls
@suggest_names
@own_options
@quiet
def association(
    state: SomeArray,
    stored: AnyArray,
    projection: AnyArray | None = None,
    *,
    beta: BetaLike,
    mask: AnyArray | Causal | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
    return_lse: bool = False,
) -> SomeArray | tuple[SomeArray, SomeArray]:
    r"""Associate state patterns with a memory: :math:`V^T w(\beta X \xi)`.

    With the softmax this is attention: queries ``state``, keys ``stored``, values ``projection``.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns (queries); L may be 0. A single query ``(d,)`` gives a result without the
        axis L. Lists, integers and NumPy arrays are converted by the rules of
        :doc:`/spec/inputs`.
    stored : array (..., S, d)
        Stored patterns (keys), S >= 1. Leading axes broadcast.
    projection : array (..., S, v), optional
        Pattern projections (values); the stored patterns themselves if not given.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive: one for all queries, one per head, or one per query.
    mask : boolean or floating array broadcastable to (..., L, S), or "causal", optional
        True where a query may attend to a stored pattern. Masks of layers, and of the attention of
        torch, are True where it may not: negate those, ``~mask``. A mask of floating-point numbers
        is added to the scores, as a bias is, and ``-inf`` forbids a pattern. Unless the numbers are
        the same for all queries, they need all scores at once, which is as much memory again as
        the mask has, and are refused for memories in parts.
    separation : str or separation function
        ``"softmax"``, ``"sparsemax"``, ``"entmax15"``, ``"entmax:1.5"`` or ``Entmax(alpha)``; alpha
        may be an array that broadcasts to (..., L) as beta does, one for each head or query. With
        distances also ``"epanechnikov"`` or ``Epanechnikov(p)``, kernels of finite radius.
    similarity : {"dot", "distance"}
        How queries are compared with stored patterns: by dot products :math:`x_i \cdot \xi`, or
        by distances, :math:`x_i \cdot \xi - \|x_i\|^2 / 2`, which is
        :math:`-\|\xi - x_i\|^2 / 2` up to a number that the weights do not depend on. With
        distances, a long pattern does not hide a shorter one.
    bias : array (S,) or (..., S), optional
        A number added to the score of each stored pattern, in units of scores, so it is not
        multiplied by beta: the logarithm of a prior, or of how many patterns it stands for.
    return_lse : bool
        Also return the log-sum-exp of the scores, for :func:`merge_associations`. Softmax only.

    Returns
    -------
    array (..., L, v)
        The association, in the dtype of the state. A query that may attend to nothing gets zeros,
        and so does one that is in reach of no pattern.
    array (..., L)
        With ``return_lse``: the log-sum-exp of the scores, for dot products
        :math:`\log \sum_i e^{\beta x_i \cdot \xi}`, not divided by beta, in at least float32; -inf
        for a query that may attend to nothing. With distances, it is that of
        :math:`-\beta \|\xi - x_i\|^2 / 2`.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`.

    Notes
    -----
    No array of shape (L, S) is ever stored: besides a block of fixed size, the memory use is
    O(L + S). The scores of float16 and bfloat16 (torch, JAX) are computed in float32.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> hopcore.association(np.asarray([[0.9, 0.1]]), stored, beta=10.0).round(3)
    array([[1., 0.]])
    """
    inputs, single, added, causal = masked_inputs(
        state, stored, projection, beta=beta, mask=mask, paired=False
    )
    inputs, function = with_separation(inputs, separation, similarity)
    scores = scores_of(inputs, similarity, bias, separation=function, added=added)
    scored = inputs if scores is PLAIN else scores.inputs(inputs)
    if return_lse and not function.softmax:
        raise ValueError(
            f"return_lse needs the softmax, whose parts merge exactly, got {short_repr(separation)}"
        )
    if causal:
        return causal_association(function, scores, inputs, return_lse)
    if scores.absolute:
        return without_row(scores.recalled(inputs, recall(scored, function)[0]), single)
    output, conjugate = associated(scored, scores.added, function, return_lse)
    if scores is not PLAIN:
        output = scores.recalled(inputs, output)
    if not return_lse:
        return without_row(output, single)
    conjugate = conjugate_of_output(inputs, scores, output, conjugate)
    return without_row(output, single), without_axis(conjugate, single)


def conjugate_of_output(inputs: Inputs, scores: Scores, output: Array, conjugate: Any) -> Array:
    """Return the log-sum-exp of the scores of a call, with the leading axes of its output."""
    if scores is not PLAIN:
        conjugate = scores.conjugate(inputs, conjugate)
    places = tuple(output.shape[:-1])
    if tuple(conjugate.shape) != places:
        # Some kernels return it without the axes that only the projection has.
        conjugate = inputs.xp.broadcast_to(conjugate, places)
    return conjugate


def causal_association(separation: Any, scores: Scores, inputs: Inputs, return_lse: bool) -> Any:
    """:func:`association` of checked inputs with the mask causal."""
    if not (return_lse or scores.absolute):
        return causally_associated(separation, scores, inputs)

    def work(inputs: Inputs, separation: Any, scores: Scores) -> tuple[Array, ...]:
        scored = scores.inputs(inputs)
        if scores.absolute:
            return (scores.recalled(inputs, recall(scored, separation)[0]),)
        output, conjugate = associated(scored, None, separation, need_conjugate=True)
        output = scores.recalled(inputs, output)
        return output, conjugate_of_output(inputs, scores, output, conjugate)

    found = in_causal_blocks(work, inputs, separation, scores, (-2, -1)[: 1 + return_lse])
    return found if return_lse else found[0]


@plain_calls
@suggest_names
@own_options
@quiet
def update(
    state: SomeArray,
    stored: AnyArray,
    beta: BetaLike,
    *,
    mask: AnyArray | Causal | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
) -> SomeArray:
    r"""One update of a Hopfield network: :math:`f(\xi) = X^T w(\beta X \xi)`.

    Each update lowers the energy by at least :math:`\|f(\xi) - \xi\|^2 / 2`.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns.
    stored : array (..., S, d)
        Stored patterns.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.
    mask, separation, similarity, bias
        As in :func:`association`; ``mask="causal"`` needs as many states as patterns.

    Returns
    -------
    array (..., L, d)
        The new state patterns. With a compact kernel, a state in reach of no pattern stays.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> hopcore.update(np.asarray([[0.9, 0.1]]), stored, 4.0, separation="sparsemax")
    array([[1., 0.]])
    """
    inputs, single, added, causal = masked_inputs(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(inputs, separation, similarity)
    scores = scores_of(inputs, similarity, bias, separation=function, added=added)
    if causal:
        return causally_updated(function, scores, inputs)
    return without_row(updated(function, scores, inputs), single)


@suggest_names
@own_options
def association_weights(
    state: SomeArray,
    stored: AnyArray,
    beta: BetaLike,
    *,
    mask: AnyArray | Causal | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
) -> SomeArray:
    r"""Return how much each query attends to each stored pattern: :math:`w(\beta X \xi)`.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns.
    stored : array (..., S, d)
        Stored patterns.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive.
    mask, separation, similarity, bias
        As in :func:`association`.

    Returns
    -------
    array (..., L, S)
        Weights that sum to one over S; zeros for a query that may attend to nothing. No other
        function returns an array of this size; :func:`association` never stores it.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.association_weights(np.zeros((1, 2)), np.eye(2), 1.0)
    array([[0.5, 0.5]])
    """
    if is_causal(mask):
        inputs = causal_inputs(state, stored, beta=beta, paired=False, all_weights=True)
        single, added = False, None
    else:
        inputs, single, added, _ = masked_inputs(state, stored, beta=beta, mask=mask)
    inputs, function = with_separation(inputs, separation, similarity)
    scores = scores_of(inputs, similarity, bias, separation=function, added=added)
    backend = inputs.backend
    weights = weights_of(backend, scores_with(scores.inputs(inputs), scores.added), function)
    return without_row(backend.astype(weights, inputs.state.dtype), single)


@suggest_names
def merge_associations(
    parts: Iterable[tuple[SomeArray, SomeArray]],
) -> tuple[SomeArray, SomeArray]:
    r"""Merge associations with the pieces of a memory into the association with all of it.

    With outputs :math:`o_k` and log-sum-exps :math:`l_k` of the pieces,
    :math:`l = \log \sum_k e^{l_k}` and :math:`o = \sum_k e^{l_k - l} o_k`. Merging is associative,
    so the pieces may come from a disk or from several devices, in any order. The result is exact
    except for rounding.

    Parameters
    ----------
    parts : iterable of (array (..., L, v), array (..., L))
        The results of ``association(..., return_lse=True)`` for each piece, at least one. They are
        merged in pairs as they arrive, so only few results are stored at a time.

    Returns
    -------
    (array (..., L, v), array (..., L))
        Output and log-sum-exp of the whole memory.

    Raises
    ------
    ValueError
        No parts, or parts of different shapes.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored, state = np.eye(4), np.ones((1, 4))
    >>> pieces = stored[:3], stored[3:]
    >>> parts = (hopcore.association(state, x, beta=1.0, return_lse=True) for x in pieces)
    >>> hopcore.merge_associations(parts)[0]
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    pieces = iter(parts)
    first = next(pieces, None)
    if first is None:
        raise ValueError("merge_associations needs at least one part")
    if not isinstance(first, tuple | list) or len(first) != 2:
        raise TypeError(
            "parts must be pairs (output, log-sum-exp), in an iterable such as a list, got a part "
            f"{short_repr(first)}"
        )
    part, lse = first
    backend = backend_of_input("output", part)
    check_floating(backend, "output", part)
    if tuple(lse.shape) != tuple(part.shape[:-1]):
        raise ValueError(
            "parts must be outputs (..., L, v) with log-sum-exps (..., L), "
            f"got {tuple(part.shape)} and {tuple(lse.shape)}"
        )
    # Half precision is merged in float32, so that rounding errors do not add up.
    wide = backend.precise[part.dtype]

    def checked(piece: tuple[Array, Array]) -> tuple[Array, Array]:
        other, other_lse = piece
        check_alike(backend, part, "output", other)
        if other.shape != part.shape or other_lse.shape != lse.shape:
            raise ValueError(
                "parts must have one shape, got outputs "
                f"{tuple(part.shape)} and {tuple(other.shape)}, "
                f"log-sum-exps {tuple(lse.shape)} and {tuple(other_lse.shape)}"
            )
        return backend.astype(other, wide), other_lse

    whole = in_pairs(partial(merged, backend.xp), map(checked, chain([first], pieces)))
    output = backend.astype(whole[0], part.dtype)
    return own(backend, output, part), own(backend, whole[1], lse)
