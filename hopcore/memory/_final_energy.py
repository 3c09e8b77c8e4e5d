r"""The energy of the states that a retrieval returns, from its last update where that is exact.

An update from :math:`\xi` to :math:`\xi' = f(\xi)` also gives the log-sum-exp at :math:`\xi`. With
:math:`\Delta = \xi' - \xi`, the one at the new state is

.. math::
    \operatorname{lse}(\beta X \xi') = \operatorname{lse}(\beta X \xi) + \beta\, \xi' \cdot \Delta
    + \tfrac{\beta^2}{2} \Delta^T C \Delta,

where C is a covariance of stored patterns, so that the last term is at most
:math:`\beta^2 M^2 \|\Delta\|^2 / 2`. Divided by beta it is a rounding error of the energy, whose
terms are as large as :math:`M^2`, if :math:`\beta \|\Delta\|^2` is at most the rounding unit. Only
the other queries need one more pass over the memory.
"""

from __future__ import annotations

from typing import Any

from hopcore.arrays._backend import Array
from hopcore.arrays._beta_checks import EXTREME
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import QUIET
from hopcore.memory._energy import energy_by_conjugate
from hopcore.memory._retrieval_call import RetrievalCall
from hopcore.memory._scores import PLAIN
from hopcore.memory._stopping_loop import Iterated, put_back, select


def gives_conjugate(call: RetrievalCall) -> bool:
    """Whether the updates of a retrieval give log-sum-exps without further work.

    They do so for the softmax of dot products outside of traces, in a library whose kernel computes
    both together. A derivative needs the energy of the last state itself.
    """
    backend, _, state, stored, _, beta, _ = call.inputs
    return (
        call.scores is PLAIN
        and not call.causal
        and call.known is None
        and call.separation.softmax
        and isinstance(beta, float)
        and beta < EXTREME
        and state.dtype == backend.precise[state.dtype]
        and backend.gives_conjugate(state, stored)
    )


def update_with_conjugate(separation: Any, inputs: Inputs) -> tuple[Array, Array]:
    """Return the states after one update, and the first two terms of their log-sum-exps."""
    backend, xp, state, stored, projection, beta, mask = inputs
    new, conjugate = backend.associate(state, stored, projection, beta, mask, separation, True)
    assert conjugate is not None
    return new, conjugate + beta * xp.sum(new * (new - state), axis=-1)


@QUIET  # for every library, since this is never traced
def energy_after(inputs: Inputs, found: Iterated, separation: Any) -> Array:
    """Return the energies of the states that were found with :func:`update_with_conjugate`."""
    backend, xp, inputs = inputs.backend, inputs.xp, inputs._replace(state=found.state)
    conjugate, eps = found.conjugate, float(xp.finfo(found.residual.dtype).eps)
    far = ~(found.residual <= (eps / inputs.beta) ** 0.5)
    if bool(xp.any(far)):
        apart = found.state.ndim == 2 and inputs.stored.ndim == 2
        some = select(inputs, xp.nonzero(far)[0]) if apart else inputs
        exact = backend.conjugate(some.state, some.stored, some.beta, some.mask, separation)
        conjugate = xp.where(far, put_back(exact, far, xp) if apart else exact, conjugate)
    return energy_by_conjugate(inputs, separation, conjugate)
