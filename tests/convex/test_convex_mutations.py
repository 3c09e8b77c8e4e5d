"""The conformance suite can fail: each fault in memories of two convex functions is caught."""

from __future__ import annotations

from typing import Any

import pytest
from planting import MUTANTS, Mutant, core, mutant

from hopcore.convex import ConvexMemory, LayeredMemory, LogCosh, Polynomial

BEFORE = len(MUTANTS)


@mutant("a polynomial whose gradient has its own power", "C.lagrangian C.energy")
def own_power(monkeypatch: pytest.MonkeyPatch) -> None:
    rectified = core("convex._lagrangians").rectified

    def wrong(self: Any, inputs: Any, before: Any, backend: Any) -> Any:
        return rectified(inputs, backend) ** self.power

    monkeypatch.setattr(Polynomial, "activation", wrong)


@mutant("a conjugate of the hyperbolic tangent without its half", "C.lagrangian C.descent C.layers")
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LogCosh.conjugate
    monkeypatch.setattr(LogCosh, "conjugate", lambda *given: -2.0 * right(*given))


@mutant("an energy without that of the state", "C.descent C.modern")
def no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    right = ConvexMemory._energy

    def wrong(self: Any, inputs: Any) -> Any:
        return right(self, inputs) - self.visible.conjugate(inputs.state, inputs.backend)

    monkeypatch.setattr(ConvexMemory, "_energy", wrong)


@mutant("a layer that is driven by the first coupling alone", "C.layers")
def one_coupling(monkeypatch: pytest.MonkeyPatch) -> None:
    right = LayeredMemory._updated

    def wrong(self: Any, states: Any, name: str, backend: Any) -> Any:
        few = object.__new__(LayeredMemory)
        own = [coupling for coupling in self.couplings if name in coupling[:2]]
        object.__setattr__(few, "layers", self.layers)
        object.__setattr__(few, "couplings", own[:1])
        return right(few, states, name, backend)

    monkeypatch.setattr(LayeredMemory, "_updated", wrong)


@mutant("neurons that all change at once", "C.classical")
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(state: Any, patterns: Any, *, max_sweeps: int) -> Any:
        memory = ConvexMemory(core("convex").Quadratic(), core("convex").AbsoluteSum())
        return -memory.update(state, patterns)

    suite = __import__("hopcore_conformance.checks.test_convex", fromlist=["x"])
    monkeypatch.setattr(suite, "asynchronous_retrieve", wrong)


@mutant("an activation that need only be the largest", "C.certain")
def only_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    certain = core("convex._certain")

    def wrong(activation: Any, state: Any, stored: Any, backend: Any) -> Any:
        active, xp = activation(state @ stored.T), backend.xp
        own = xp.eye(stored.shape[0]) > 0.0
        return active[own] > xp.max(xp.where(own, -1.0, active), axis=-1)

    monkeypatch.setattr(certain, "outweighs", wrong)


@mutant("a certain sweep whose wrong neurons do not count", "C.certain")
def no_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    right = core("convex._certain").dominated_in_sweeps

    def wrong(inputs: Any) -> Any:
        return right(inputs._replace(state=inputs.stored))

    monkeypatch.setattr(core("convex._classical"), "dominated_in_sweeps", wrong)


OURS = MUTANTS[BEFORE:]


@pytest.mark.parametrize("mutant", OURS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
