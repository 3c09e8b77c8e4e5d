"""A memory of two convex functions: one of the hidden neurons, one of the state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._discovery import BY_TYPE
from hopcore.arrays._edge import inputs_at_edge, without_axis, without_row
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, Array, SomeArray, quiet
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer, as_number, short_repr
from hopcore.convex._certain import dominated
from hopcore.convex._lagrangians import (
    AbsoluteSum,
    FenchelYoung,
    Lagrangian,
    Quadratic,
    is_lagrangian,
)
from hopcore.memory import Gradient, Retrieval
from hopcore.memory._energy import in_precise
from hopcore.memory._scores import check_updated
from hopcore.memory._stopping_loop import broadcast_state, iterate_to_fixed_point


@suggest_names
@dataclass(frozen=True)
class ConvexMemory:
    r"""A memory with the energy :math:`E(\xi) = \Psi(\xi) - \Phi(X \xi)`.

    Attributes
    ----------
    hidden : Lagrangian
        :math:`\Phi`, of one hidden neuron for each stored pattern.
    visible : Lagrangian
        :math:`\Psi^*`, whose gradient makes the new state; :math:`\Psi` is its conjugate.

    Notes
    -----
    An update lowers the energy by at least the Bregman distance :math:`D_\Psi(\xi, f(\xi))`.

    ======================================  ===================================  ==================
    network                                 hidden                               visible
    ======================================  ===================================  ==================
    Hopfield 1982, all neurons at once      ``Quadratic()``                      ``AbsoluteSum()``
    Hopfield 1984                           ``Quadratic()``                      ``LogCosh(beta)``
    Krotov and Hopfield 2016                ``Polynomial(n)``                    ``AbsoluteSum()``
    Demircigil et al. 2017                  ``Exponential()``                    ``AbsoluteSum()``
    Ramsauer et al. 2021                    ``FenchelYoung(beta)``               ``Quadratic()``
    Hopfield-Fenchel-Young, normalised      ``FenchelYoung(beta, "entmax15")``   ``Norm()``
    ======================================  ===================================  ==================

    Sources: Krotov and Hopfield, "Large associative memory problem in neurobiology and machine
    learning", 2021; Santos et al., "Hopfield-Fenchel-Young networks", 2024.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> memory = hopcore.convex.ConvexMemory(
    ...     hidden=hopcore.convex.Polynomial(4), visible=hopcore.convex.AbsoluteSum()
    ... )
    >>> stored = np.sign(np.random.default_rng(0).normal(size=(30, 50)))
    >>> state = stored[:1].copy()
    >>> state[0, :10] *= -1.0
    >>> bool(np.all(memory.retrieve(state, stored).state == stored[:1]))
    True
    """

    hidden: Lagrangian
    visible: Lagrangian = field(default_factory=Quadratic)

    def __post_init__(self) -> None:
        """Validate the two functions."""
        for name in ("hidden", "visible"):
            given = getattr(self, name)
            if not is_lagrangian(given):
                raise TypeError(
                    f"{name} must be a Lagrangian such as Polynomial(3), got {short_repr(given)}"
                )

    def energy(self, state: SomeArray, stored: AnyArray) -> SomeArray:
        r"""Return the energy of states, :math:`\Psi(\xi) - \Phi(X \xi)`.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns, where :math:`\Psi` is finite: on the sphere for :class:`Norm`, for
            example. Elsewhere the result means nothing.
        stored : array (..., S, d)
            Stored patterns.

        Returns
        -------
        array (..., L)
            In the dtype of the state, or float32 for half precision.
        """
        inputs, single = inputs_of(state, stored, self.hidden)
        return without_axis(self._energy(in_precise(inputs)), single)

    def update(self, state: SomeArray, stored: AnyArray) -> SomeArray:
        r"""Return the states after one update, :math:`\nabla \Psi^*(X^T \nabla \Phi(X \xi))`.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns.
        stored : array (..., S, d)
            Stored patterns.

        Returns
        -------
        array (..., L, d)
            The new states.
        """
        inputs, single = inputs_of(state, stored, self.hidden)
        return without_row(self._update(inputs), single)

    def retrieve(
        self,
        state: SomeArray,
        stored: AnyArray,
        *,
        max_steps: int = 100,
        tol: float = 1e-6,
        gradient: Gradient = "unrolled",
    ) -> Retrieval[SomeArray]:
        """Repeat the update until each state rests.

        Parameters
        ----------
        state : array (..., L, d) or (d,)
            State patterns to start from.
        stored : array (..., S, d)
            Stored patterns.
        max_steps, tol, gradient
            As in :func:`hopcore.retrieve`.

        Returns
        -------
        Retrieval
            ``state, steps, converged, residual, energy``. It has no ``index``.
        """
        max_steps = as_integer("max_steps", max_steps, 0, MOST_STEPS)
        tol = as_number("tol", tol, 0.0)
        inputs, single = inputs_of(state, stored, self.hidden)
        if max_steps > 0:
            check_updated(inputs)
        inputs = broadcast_state(inputs)
        found, steps, residual, converged, *_ = iterate_to_fixed_point(
            inputs, self._update, max_steps, tol, gradient=gradient
        )
        energy = self._energy(in_precise(inputs._replace(state=found)))
        results = steps, converged, residual, energy
        return Retrieval(
            without_row(found, single), *(without_axis(array, single) for array in results)
        )

    def certain(self, state: SomeArray, stored: AnyArray) -> SomeArray | None:
        r"""Return which states a theorem takes to the stored pattern of the same row.

        A state :math:`\xi_i` goes to a pattern :math:`x_i` of -1 and 1 with one update, and stays
        there, if the activation of this pattern outweighs all others together, at the state and at
        the pattern: :math:`g_i > \sum_{j \ne i} \|x_j\|_\infty |g_j|` with
        :math:`g = \nabla \Phi(X \xi)`.

        Parameters
        ----------
        state : array (N, d)
            One state for each stored pattern.
        stored : array (N, d)
            Stored patterns.

        Returns
        -------
        boolean array (N,), or None
            None if ``visible`` is not :class:`AbsoluteSum`, as the theorem is about signs.

        Raises
        ------
        ValueError
            There is not one state for each pattern.

        Notes
        -----
        The activation must be larger by 1 %, so that rounding errors do not matter. The condition
        is sufficient: a state that is not certain may come to its pattern, too.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.convex.ConvexMemory(
        ...     hopcore.convex.Polynomial(5), hopcore.convex.AbsoluteSum()
        ... )
        >>> stored = np.sign(np.random.default_rng(0).normal(size=(9, 50)))
        >>> bool(np.all(memory.certain(stored, stored)))
        True
        """
        if not isinstance(self.visible, AbsoluteSum):
            return None
        return dominated(paired(state, stored, self.hidden), self.hidden)

    @quiet
    def _energy(self, inputs: Inputs) -> Array:
        backend, _, state, stored, *_ = inputs
        if isinstance(self.hidden, FenchelYoung):
            conjugate = backend.conjugate(
                state, stored, self.hidden.beta, None, self.hidden.function
            )
            value = conjugate / self.hidden.beta
        else:

            def block(scores: Array) -> tuple[Any]:
                return (self.hidden.value(scores, backend),)

            value = backend.over_blocks(block, state, stored, 1.0, None)[0]
        return self.visible.conjugate(state, backend) - value

    @quiet
    def _update(self, inputs: Inputs) -> Array:
        backend, _, state, stored, *_ = inputs
        if isinstance(self.hidden, FenchelYoung):
            function = self.hidden.function
            drive = backend.associate(state, stored, stored, self.hidden.beta, None, function)[0]
        else:
            precise = backend.astype(stored, backend.precise[state.dtype])

            def block(scores: Array) -> tuple[Any]:
                return (backend.recalled(self.hidden.activation(scores, None, backend), precise),)

            drive = backend.over_blocks(block, state, stored, 1.0, None)[0]
            drive = backend.astype(drive, state.dtype)
        return backend.astype(self.visible.activation(drive, state, backend), state.dtype)


def inputs_of(
    state: AnyArray, stored: AnyArray, hidden: Lagrangian | None = None
) -> tuple[Inputs, bool]:
    """Check states and stored patterns, which must be one array; see :func:`inputs_at_edge`.

    The inverse temperature, where there is one, must leave the scores finite.
    """
    refuse_parts(stored)
    beta = hidden.beta if isinstance(hidden, FenchelYoung) else 1.0
    return inputs_at_edge(state, stored, beta=beta)


def paired(state: AnyArray, stored: AnyArray, hidden: Lagrangian | None = None) -> Inputs:
    """Check states and stored patterns ``(N, d)``, one state for each pattern."""
    inputs, _ = inputs_of(state, stored, hidden)
    shapes = tuple(inputs.state.shape), tuple(inputs.stored.shape)
    if len(shapes[1]) != 2 or shapes[0] != shapes[1]:
        raise ValueError(
            "one state for each stored pattern is needed, both of shape (N, d), got states "
            f"{shapes[0]} and patterns {shapes[1]}"
        )
    return in_precise(inputs)


def refuse_parts(stored: AnyArray) -> None:
    """Raise if stored patterns are a memory in parts."""
    library = BY_TYPE.get(type(stored))
    if library is not None and library.refusal_as_state:
        raise TypeError(
            "memories of two convex functions take stored patterns that are one array, got "
            f"{type(stored).__name__}"
        )
