r"""Sequences: a memory in which each stored pattern recalls its successor.

With stored patterns X and their successors Y, the state that follows :math:`\xi` is
:math:`Y^T w(\beta X \xi)`: an association whose result is the next query.
"""

from __future__ import annotations

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._edge import inputs_at_edge
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer
from hopcore.memory._float_masks import split_mask
from hopcore.memory._scores import Similarity, check_updated, scores_of
from hopcore.memory._separation import Separation, with_separation
from hopcore.memory._stopping_loop import broadcast_state, updated


@suggest_names
def recall_sequence(
    state: SomeArray,
    stored: AnyArray,
    successors: AnyArray,
    beta: BetaLike,
    length: int,
    *,
    mask: AnyArray | None = None,
    separation: Separation = "softmax",
    similarity: Similarity = "dot",
    bias: AnyArray | None = None,
) -> SomeArray:
    r"""Recall the patterns that follow a state: :math:`\xi_{t+1} = Y^T w(\beta X \xi_t)`.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        State patterns, each the beginning of a sequence. Lists, integers and NumPy arrays are
        converted by the rules of :doc:`/spec/inputs`.
    stored : array (..., S, d)
        Stored patterns.
    successors : array (..., S, d)
        What follows each of them, for example ``stored[1:]`` after ``stored[:-1]``.
    beta : float or array broadcastable to (..., L)
        Inverse temperature, positive. If it is so small that associations are averages, the
        sequence fades: a beta that retrieves, such as that of :func:`hopcore.suggest_beta`, is also
        one that follows sequences.
    length : int
        The number of patterns to recall, from 1 to 1,000,000.
    mask, separation, similarity, bias
        As in :func:`hopcore.association`.

    Returns
    -------
    array (length, ..., L, d)
        The patterns that follow the state, without the state. A single query ``(d,)`` gives
        ``(length, d)``.

    Raises
    ------
    TypeError, ValueError
        Inputs that do not fit together, see :func:`hopcore.arrays.check_inputs`; successors that
        are not patterns of the size of the state; a bad length.

    Notes
    -----
    Memory is O(length) beside that of one association. Sequences that share a pattern cannot be
    told apart after it: store patterns together with what distinguishes them.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.eye(3)
    >>> hopcore.recall_sequence([0.9, 0.1, 0.0], stored, stored[[1, 2, 0]], 20.0, 4).round(2)
    array([[0., 1., 0.],
           [0., 0., 1.],
           [1., 0., 0.],
           [0., 1., 0.]])
    """
    length = as_integer("length", length, 1, MOST_STEPS)
    mask, added = split_mask(mask)
    inputs, single = inputs_at_edge(state, stored, successors, beta=beta, mask=mask)
    if inputs.projection.shape[-1] != inputs.state.shape[-1]:
        raise ValueError(
            "successors must be patterns of the size of the state, (..., S, "
            f"{inputs.state.shape[-1]}), got {tuple(inputs.projection.shape)}"
        )
    inputs, function = with_separation(inputs, separation, similarity)
    scores = scores_of(inputs, similarity, bias, separation=function, added=added)
    if length > 1:
        check_updated(inputs, scores)
    inputs = broadcast_state(inputs)
    recalled = []
    for _ in range(length):
        inputs = inputs._replace(state=updated(function, scores, inputs))
        recalled.append(inputs.state[..., 0, :] if single else inputs.state)
    return inputs.xp.stack(recalled, axis=0)
