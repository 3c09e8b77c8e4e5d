"""hopcore itself, on any array library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def prepared(library: str, function: Callable[..., Any], case: Case, note: str = "") -> Prepared:
    """A call of a function on state and stored patterns; compiled in JAX."""
    if library == "jax":
        from benchmarks.sides.by_hand_jax import compiled  # noqa: PLC0415 - only where JAX runs

        return compiled(function, *arrays(case), note=note)
    state, stored = map(hopcore.backend(library).asarray, arrays(case))
    return Prepared(lambda: function(state, stored), note=note)


def association(case: Case, library: str) -> Prepared:
    separation = separation_of(case)

    def call(state: Any, stored: Any) -> Any:
        return hopcore.association(state, stored, beta=case.beta, separation=separation)

    return prepared(library, call, case, note=support(case))


def softmax_association(case: Case, library: str) -> Prepared:
    """The association of the same sizes with the softmax, whatever the case says."""

    def call(state: Any, stored: Any) -> Any:
        return hopcore.association(state, stored, beta=case.beta)

    return prepared(library, call, case)


def association_backward(case: Case, library: str) -> Prepared:
    """Association and its gradient by both patterns; torch only."""
    import torch  # noqa: PLC0415 - only where torch runs

    state, stored = (torch.from_numpy(value).requires_grad_() for value in arrays(case))

    def call() -> Any:
        loss = hopcore.association(state, stored, beta=case.beta).sum()
        return torch.autograd.grad(loss, (state, stored))[1]

    return Prepared(call)


def retrieve(case: Case, library: str) -> Prepared:
    def call(state: Any, stored: Any) -> Any:
        return hopcore.retrieve(state, stored, case.beta, separation=separation_of(case))

    ready = prepared(library, call, case)
    steps = np.asarray(ready.call().steps)
    return Prepared(ready.call, ready.temporary, f"steps mean {steps.mean():.1f} max {steps.max()}")


def energy(case: Case, library: str) -> Prepared:
    def call(state: Any, stored: Any) -> Any:
        return hopcore.energy(state, stored, case.beta)

    return prepared(library, call, case)


def statistics(case: Case, library: str) -> Prepared:
    def call(state: Any, stored: Any) -> Any:
        return hopcore.statistics(state, stored, case.beta).entropy

    return prepared(library, call, case)


def energy_gradient(case: Case, library: str) -> Prepared:
    def call(state: Any, stored: Any) -> Any:
        return hopcore.energy_gradient(state, stored, case.beta)

    return prepared(library, call, case)


def separation_of(case: Case) -> Any:
    """The separation function of a case."""
    name = case.separation
    return name if isinstance(name, str) else hopcore.Entmax(name)


def support(case: Case) -> str:
    """How many patterns a query attends to, where the separation leaves any out."""
    if case.separation == "softmax":
        return ""
    state, stored = arrays(case)
    weights = hopcore.association_weights(
        state[..., :8, :], stored, case.beta, separation=separation_of(case)
    )
    return f"support {np.mean(np.sum(weights > 0, axis=-1)):.0f}"
