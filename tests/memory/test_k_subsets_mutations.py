"""The conformance suite can fail: faults in k-subsets are caught."""

from __future__ import annotations

import numpy as np
import pytest
from planting import MUTANTS, Mutant, in_torch, mutant

import hopcore
from hopcore.arrays import Backend

KNOWN = len(MUTANTS)


def is_budget(separation: object) -> bool:
    return isinstance(separation, hopcore.KSubsets)


@mutant("a budget of one pattern more", "K6 K7")
class OneMore(Backend):
    def separate(self, scores, separation):
        if is_budget(separation):
            separation = hopcore.KSubsets(separation.k + 1)
        return super().separate(scores, separation)


@mutant("sparsemax for every budget", "K6 K7")
class Sparsemax(Backend):
    def separate(self, scores, separation):
        return super().separate(
            scores, hopcore.Entmax(2.0) if is_budget(separation) else separation
        )


@mutant("a threshold of k-subsets slightly low", "K6 K7")
class SlightlyLow(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        if is_budget(separation):
            weights = np.where(scores > -np.inf, weights + 1e-7, weights)
            weights = weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1e-30)
        return weights, conjugate


@mutant("1/k for fewer than k patterns", "K6 K7")
class TooLittle(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        if is_budget(separation):
            weights = np.minimum(weights, 1.0 / separation.k)
        return weights, conjugate


@mutant("the conjugate of shares, not of weights", "K6")
class OfShares(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        return weights, conjugate * separation.k if is_budget(separation) else conjugate


@mutant("the level of sparsemax in the energy of k-subsets", "K6")
def level(monkeypatch):
    monkeypatch.setattr(
        hopcore.KSubsets, "uniform", lambda self, count, xp: 0.5 * (1.0 - 1.0 / count)
    )


@in_torch("whole shares that change with the scores", "K6")
def whole(monkeypatch):
    def tangent(self, weights, change, xp):
        s = xp.astype(weights > 0.0, weights.dtype)
        total = xp.sum(s, axis=-1, keepdims=True)
        mean = xp.sum(s * change, axis=-1, keepdims=True) / xp.where(total > 0.0, total, 1.0)
        return s * (change - mean) / self.k

    monkeypatch.setattr(hopcore.KSubsets, "tangent", tangent)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
