"""The conformance suite can fail: faults in memories with a metric."""

from __future__ import annotations

import pytest
from planting import MUTANTS, Mutant, core, mutant

BEFORE = len(MUTANTS)


def change(patch, name, wrong):
    """Replace a method of a metric, or a name of its module."""
    module = core("memory._metric")
    place = module.Metric if hasattr(module.Metric, name) else module
    patch.setattr(place, name, wrong(getattr(place, name)))


@mutant("states that are not mapped as patterns are", "K.metric")
def half(patch):
    def wrong(right):
        def mapped(self, *given):
            state, memory, values, single = right(self, *given)
            return 0.5 * state, memory, values, single

        return mapped

    change(patch, "_mapped", wrong)


@mutant("an update that stays among mapped patterns", "K.metric")
def among_mapped(patch):
    def wrong(right):
        def mapped(self, *given):
            state, memory, values, single = right(self, *given)
            return state, memory, (1.0 + 1e-3) * values, single

        return mapped

    change(patch, "_mapped", wrong)


@mutant("each pair counted twice", "K.metric")
def twice(patch):
    def wrong(right):
        return lambda beta, scores: right(beta, scores) + 0.6931471805599453 / beta

    change(patch, "lse", wrong)


OURS = MUTANTS[BEFORE:]


@pytest.mark.parametrize("mutant", OURS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
