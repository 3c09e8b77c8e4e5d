"""The conformance suite can fail: each fault in compact kernels is caught."""

from __future__ import annotations

import numpy as np
import pytest
from planting import MUTANTS, Mutant, core, in_torch, mutant

from hopcore.arrays import Backend

BEFORE = len(MUTANTS)


@mutant("a radius of 1 / sqrt(beta)", "K.compact K4 K5")
class SmallerRadius(Backend):
    def separate(self, scores, separation):
        return super().separate(2.0 * scores, separation)


@mutant("weights of the power p instead of p - 1", "K.compact K4")
def one_power_more(monkeypatch):
    module = core("memory._compact")
    right = module.PowerSum.evaluate

    def wrong(self, scores, xp, loop, largest=None):
        _, total = right(self, scores, xp, loop, largest)
        kernel = xp.maximum(scores + 1.0, xp.zeros_like(scores))
        return self.power * kernel**self.power, total

    monkeypatch.setattr(module.PowerSum, "evaluate", wrong)


@mutant("zeros for a state in reach of nothing", "K.reach")
def lost(monkeypatch):
    module = core("memory._stopping_loop")
    right = module.recall

    def wrong(inputs, separation):
        output, found = right(inputs, separation)
        return output, found | ~found

    monkeypatch.setattr(module, "recall", wrong)


@mutant("a finite energy in reach of nothing", "K.reach")
def finite(monkeypatch):
    module = core("memory._compact")
    right = module.log_or_lowest
    wrong = lambda total, xp: np.maximum(right(total, xp), -50.0)  # noqa: E731
    monkeypatch.setattr(module, "log_or_lowest", wrong)


@mutant("the nearest of patterns that are out of reach", "K.reach")
def nearest(monkeypatch):
    module = core("memory._retrieval")
    right = module.best_pattern

    def wrong(*given):
        index, weight = right(*given)
        return np.maximum(index, 0), weight

    monkeypatch.setattr(module, "best_pattern", wrong)


@mutant("scores that are only differences of distances", "K.compact K.reach K4")
def without_own_length(monkeypatch):
    module = core("memory._scores")
    right = module.Scores.query

    def wrong(self, inputs, known=None):
        query = right(self, inputs, known)
        return np.concatenate([query[..., :-1], 0.0 * query[..., -1:]], axis=-1)

    monkeypatch.setattr(module.Scores, "query", wrong)


@mutant("a gradient that is a step", "K4")
def step(monkeypatch):
    module = core("memory._energy")
    right = module.steepness
    wrong = lambda *given: np.where(right(*given) > 0.0, 1.0, 0.0)  # noqa: E731
    monkeypatch.setattr(module, "steepness", wrong)


@in_torch("weights of p = 2 without a derivative", "K4")
def constant_weights(monkeypatch):
    module = core("memory._compact")
    monkeypatch.setattr(module.PowerSum, "tangent", lambda self, weights, change, xp: 0.0 * change)


@mutant("sets that their mean is in reach of, whatever else it reaches", "K5")
def any_set(monkeypatch):
    module = core("phase._compact_minima")

    def wrong(patterns, sets, beta):
        distances = module.square_distances(module.means(patterns, sets), patterns)
        return sets[np.all((distances < 2.0 / beta) | ~sets, axis=1)]

    monkeypatch.setattr(module, "self_consistent", wrong)


@mutant("patterns as the only minima", "K5")
def patterns_alone(monkeypatch):
    module = core("phase._compact_minima")
    right = module.self_consistent

    def wrong(patterns, sets, beta):
        found = right(patterns, sets, beta)
        return found[np.sum(found, axis=1) == 1]

    monkeypatch.setattr(module, "self_consistent", wrong)


@pytest.mark.parametrize("mutant", MUTANTS[BEFORE:], ids=lambda x: x.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
