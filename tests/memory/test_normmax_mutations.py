"""The conformance suite can fail: faults in normmax are caught."""

from __future__ import annotations

import numpy as np
import pytest
from planting import MUTANTS, Mutant, in_torch, mutant

import hopcore
from hopcore.arrays import Backend
from hopcore_conformance.oracle import normmax as plain

KNOWN = len(MUTANTS)


def is_normmax(separation: object) -> bool:
    return isinstance(separation, hopcore.Normmax)


@mutant("entmax of the same order in place of normmax", "F4 F5")
class Tsallis(Backend):
    def separate(self, scores, separation):
        if is_normmax(separation):
            separation = hopcore.Entmax(separation.alpha)
        return super().separate(scores, separation)


@mutant("the powers of normmax without a root", "F4 F5")
class Powers(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        if is_normmax(separation):
            weights = weights**separation.alpha
            weights = weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1e-300)
        return weights, conjugate


@mutant("a threshold of normmax slightly low", "F4 F5")
class SlightlyLow(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        if is_normmax(separation):
            weights = np.where(scores > -np.inf, weights + 1e-7, weights)
            weights = weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1e-30)
        return weights, conjugate


@mutant("a slightly smaller order of normmax", "F4")
class OtherOrder(Backend):
    def separate(self, scores, separation):
        if is_normmax(separation):
            separation = hopcore.Normmax(1.0 + 0.999 * (separation.alpha - 1.0))
        return super().separate(scores, separation)


@mutant("the threshold as the conjugate of normmax", "F4 F5")
class Threshold(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        return weights, conjugate - 1.0 if is_normmax(separation) else conjugate


@mutant("the level of entmax in the energy of normmax", "F4 F2")
def level(monkeypatch):
    def uniform(self, count, xp):
        return (1.0 - count ** (1.0 - self.alpha)) / (self.alpha * (self.alpha - 1.0))

    monkeypatch.setattr(hopcore.Normmax, "uniform", uniform)


@in_torch("the Jacobian of entmax for normmax", "F4")
def jacobian(monkeypatch):
    def tangent(self, weights, change, xp):
        return hopcore.Entmax(self.alpha).tangent(weights, change, xp)

    monkeypatch.setattr(hopcore.Normmax, "tangent", tangent)


@in_torch("a Jacobian of normmax that is not multiplied by the norm", "F4")
def unnormed(monkeypatch):
    true = hopcore.Normmax.tangent

    def tangent(self, weights, change, xp):
        norm = 1.0 + self.negentropy(weights, xp)[..., None]
        bad = true(self, weights, change, xp)
        return bad / xp.where(norm > 0.0, norm, 1.0) ** (self.alpha - 1.0)

    monkeypatch.setattr(hopcore.Normmax, "tangent", tangent)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)


def test_a_search_for_the_support_that_ends_too_early_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Portable kernels have no such search, so this is about NumPy's own.
    rng = np.random.default_rng(0)
    state, stored = rng.normal(size=(5, 3)), rng.normal(size=(700, 3))

    def off() -> float:
        found = hopcore.association(state, stored, beta=1.3, separation=hopcore.Normmax(2.0))
        wanted = plain.weights(1.3 * state @ stored.T, 2.0) @ stored
        return float(np.max(np.abs(found - wanted)))

    assert off() < 1e-13
    true = hopcore.Normmax.lowest

    def higher(self, scores, weights, xp):
        top = xp.max(scores, axis=-1, keepdims=True)
        return top - 0.5 * (top - true(self, scores, weights, xp))

    monkeypatch.setattr(hopcore.Normmax, "lowest", higher)
    assert off() > 1e-3
