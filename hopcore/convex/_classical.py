"""The classical Hopfield network: binary neurons that are updated one after another."""

from __future__ import annotations

from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._edge import without_row
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, Array, SomeArray
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer
from hopcore.convex._certain import dominated_in_sweeps
from hopcore.convex._memory import inputs_of, paired


@suggest_names
def asynchronous_retrieve(
    state: SomeArray, stored: AnyArray, *, max_sweeps: int = 100
) -> SomeArray:
    r"""Update binary neurons one after another until none changes (Hopfield 1982).

    The weights are :math:`W = \frac1d \sum_i x_i x_i^T` with a diagonal of zeros. Neuron j becomes
    the sign of :math:`\sum_k W_{jk} \xi_k` and stays where that is 0; each change lowers the energy
    :math:`-\tfrac12 \xi^T W \xi`. A network of d neurons stores about :math:`0.138\, d` random
    patterns.

    Parameters
    ----------
    state : array (..., L, d) or (d,)
        States of -1 and 1.
    stored : array (..., S, d)
        Stored patterns of -1 and 1.
    max_sweeps : int
        The largest number of sweeps over all neurons, from 0 to 1,000,000. A sweep goes from the
        first neuron to the last.

    Returns
    -------
    array (..., L, d)
        The states after the last sweep.

    Raises
    ------
    ValueError
        States or patterns with other values than -1 and 1, where values can be read.

    Notes
    -----
    W is never formed: a sweep takes O(L S d) operations, as an update of all neurons at once does,
    and O(L S) memory for the overlaps of states and patterns. It is a loop over d neurons, which is
    slow for libraries that dispatch each operation.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0, 1.0, 1.0, -1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]])
    >>> hopcore.convex.asynchronous_retrieve([1.0, 1.0, -1.0, -1.0, -1.0, -1.0], stored)
    array([ 1.,  1.,  1., -1., -1., -1.])
    """
    max_sweeps = as_integer("max_sweeps", max_sweeps, 0, MOST_STEPS)
    inputs, single = inputs_of(state, stored)
    check_signs(inputs)
    backend, xp, now, memory, *_ = inputs
    columns = xp.matrix_transpose(memory)  # (..., d, S)
    overlaps = xp.matmul(now, columns)  # (..., L, S)
    place = xp.arange(now.shape[-1], device=backend.device(now))

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        now, overlaps, _ = carry
        before = now
        for j in range(now.shape[-1]):
            column = columns[..., j, None, :]  # (..., 1, S)
            own = now[..., j]
            field = xp.sum(overlaps * column, axis=-1) - column.shape[-1] * own
            new = xp.where(field == 0.0, own, xp.sign(field))
            overlaps = overlaps + (new - own)[..., None] * column
            now = xp.where(place == j, new[..., None], now)
        return now, overlaps, xp.any(now != before)

    carry = (now, overlaps, xp.any(xp.abs(now) > 0.0))
    found, *_ = backend.loop(lambda carry: carry[2], sweep, carry, max_sweeps)
    return without_row(backend.copied(found) if found is now else found, single)


@suggest_names
def asynchronous_certain(state: AnyArray, stored: AnyArray) -> Any:
    r"""Return which states :func:`asynchronous_retrieve` certainly takes to their patterns.

    State :math:`\xi_i` has h wrong neurons, compared with the pattern :math:`x_i`. One sweep takes
    it there, and no later one changes it, if

    .. math::
        d - 2h - N > \sum_{j \ne i} \left(
            \tfrac12 |x_j^T \xi_i| + \tfrac12 |x_j^T x_i| + h \right) .

    Parameters
    ----------
    state : array (N, d)
        One state of -1 and 1 for each stored pattern.
    stored : array (N, d)
        Stored patterns of -1 and 1.

    Returns
    -------
    boolean array (N,)
        Whether state i certainly ends at pattern i. The condition is sufficient: a state that is
        not certain may come to its pattern, too.

    Raises
    ------
    ValueError
        There is not one state for each pattern; other values than -1 and 1.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> stored = np.asarray([[1.0] * 12, [1.0] * 6 + [-1.0] * 6])
    >>> state = stored.copy()
    >>> state[:, 0] *= -1.0
    >>> hopcore.convex.asynchronous_certain(state, stored)
    array([ True,  True])
    """
    inputs = paired(state, stored)
    check_signs(inputs)
    return dominated_in_sweeps(inputs)


def check_signs(inputs: Inputs) -> None:
    """Raise if states or patterns have other values than -1 and 1, where values can be read."""
    backend, xp, state, stored, *_ = inputs
    for name, array in (("state", state), ("stored", stored)):
        if backend.can_read_values(array) and not bool(xp.all(xp.abs(array) == 1.0)):
            raise ValueError(f"{name} must hold -1 and 1 only; write xp.sign({name})")
