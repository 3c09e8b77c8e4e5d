"""hopcore itself, on any array library."""

from __future__ import annotations

from typing import Any

import numpy as np

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays, native, prepared


def separation(case: Case) -> Any:
    """The separation function of a case."""
    name = case.separation
    return name if isinstance(name, str) else hopcore.Entmax(name)


def association(case: Case, library: str) -> Prepared:
    chosen = separation(case)

    def call(state: Any, stored: Any) -> Any:
        return hopcore.association(state, stored, beta=case.beta, separation=chosen)

    return prepared(library, call, *native(library, *arrays(case)), note=support(case))


def softmax_association(case: Case, library: str) -> Prepared:
    """The association of the same sizes with the softmax, whatever the case says."""

    def call(state: Any, stored: Any) -> Any:
        return hopcore.association(state, stored, beta=case.beta)

    return prepared(library, call, *native(library, *arrays(case)))


def association_backward(case: Case, library: str) -> Prepared:
    """Association and the gradient by both patterns; torch only."""
    state, stored = (value.requires_grad_() for value in native(library, *arrays(case)))

    def call() -> Any:
        state.grad = stored.grad = None
        hopcore.association(state, stored, beta=case.beta).sum().backward()
        return stored.grad

    return Prepared(call)


def retrieve(case: Case, library: str) -> Prepared:
    chosen = separation(case)

    def call(state: Any, stored: Any) -> Any:
        return hopcore.retrieve(state, stored, case.beta, separation=chosen)

    values = native(library, *arrays(case))
    ready = prepared(library, call, *values)
    steps = np.asarray(ready.call().steps)
    return Prepared(ready.call, ready.temporary, f"steps mean {steps.mean():.1f} max {steps.max()}")


def energy(case: Case, library: str) -> Prepared:
    def call(state: Any, stored: Any) -> Any:
        return hopcore.energy(state, stored, case.beta)

    return prepared(library, call, *native(library, *arrays(case)))


def energy_gradient(case: Case, library: str) -> Prepared:
    def call(state: Any, stored: Any) -> Any:
        return hopcore.energy_gradient(state, stored, case.beta)

    return prepared(library, call, *native(library, *arrays(case)))


def support(case: Case) -> str:
    """How many patterns a query attends to, where the separation leaves any out."""
    if case.separation == "softmax":
        return ""
    state, stored = arrays(case)
    weights = hopcore.association_weights(
        state[..., :8, :], stored, case.beta, separation=separation(case)
    )
    return f"support {np.mean(np.sum(weights > 0, axis=-1)):.0f}"
