"""The conformance suite can fail: each fault in the statistics of associations is caught."""

from __future__ import annotations

import numpy as np
import pytest
from planting import MUTANTS, Mutant, core, in_torch, mutant

from hopcore.arrays import Backend

BEFORE = len(MUTANTS)


class Statistics(Backend):
    """The portable kernels, with something wrong in the statistics of a block."""

    def wrong(self, conjugate, entropy, square, largest, received):
        raise NotImplementedError

    def statistics_at_once(self, *arguments):
        return self.wrong(*super().statistics_at_once(*arguments))


@mutant("an entropy in bits", "H.entropy")
class InBits(Statistics):
    def wrong(self, conjugate, entropy, *rest):
        return conjugate, entropy / np.log(2.0), *rest


@mutant("an entropy that is l - beta xi.f(xi)", "H.sharp")
class ClosedForm(Backend):
    def statistics_at_once(self, state, stored, beta, mask, separation):
        found = super().statistics_at_once(state, stored, beta, mask, separation)
        scores = self.scores(state, stored, beta, mask)
        weights, conjugate = self.separate(scores, separation)
        mean = np.sum(weights * np.where(scores > -np.inf, scores, 0.0), axis=-1)
        return found[0], np.where(conjugate > -np.inf, conjugate - mean, 0.0), *found[2:]


@mutant("the largest weight for a sum of squares", "H.effective")
class Largest(Statistics):
    def wrong(self, conjugate, entropy, square, largest, received):
        return conjugate, entropy, largest, largest, received


@mutant("the smaller of two largest weights", "H.largest")
class Smaller(Statistics):
    def wrong(self, conjugate, entropy, square, largest, received):
        return conjugate, entropy, square, square, received


@mutant("the mean for a sum of what is received", "H.received H.order")
class Mean(Statistics):
    def wrong(self, conjugate, entropy, square, largest, received):
        return conjugate, entropy, square, largest, received / largest.shape[-1]


@mutant("a first pattern that receives from empty queries", "H.empty")
class Emptied(Statistics):
    def wrong(self, conjugate, entropy, square, largest, received):
        received = np.array(received)
        received[..., 0] += np.sum(largest == 0.0, axis=-1)
        return conjugate, entropy, square, largest, received


@mutant("the conjugate without its sum", "H.energy")
class NoSum(Statistics):
    def wrong(self, conjugate, *rest):
        return conjugate + np.where(conjugate > -np.inf, np.log(rest[2]), 0.0), *rest


@mutant("what the last block receives, alone", "B.blocks H.received")
def last_block(patch):
    right = core("arrays._backend").joined_queries

    def wrong(xp, first, second):
        return *right(xp, first, second)[:-1], second[-1]

    patch.setattr(core("arrays._backend"), "joined_queries", wrong)


@mutant("parts merged without the entropy of their shares", "H.parts")
def no_shares(patch):
    right = core("arrays._weight_statistics").merged_statistics

    def wrong(xp, first, second):
        lse, _, *rest = right(xp, first, second)
        shares = (np.exp(part[0] - np.where(lse > -np.inf, lse, 0.0)) for part in (first, second))
        parts = zip(shares, (first, second), strict=True)
        return lse, sum(share * part[1] for share, part in parts), *rest

    patch.setattr(core("streamed._backend"), "merged_statistics", wrong)


@mutant("statistics of a layer with no mask", "H.layer")
def no_mask(patch):
    layers = core("layers")
    right = layers.hopfield_statistics

    def wrong(*given, **options):
        options.pop("stored_pattern_padding_mask", None)
        return right(*given, **options)

    patch.setattr(layers, "hopfield_statistics", wrong)


@in_torch("weights that are constants for an entropy", "H.gradient")
def constant(patch):
    module = core("arrays._backend")
    right = module.weight_statistics

    def wrong(weights, xp):
        entropy, *rest = right(weights, xp)
        return right(weights.detach(), xp)[0] + 0.0 * entropy, *rest

    patch.setattr(module, "weight_statistics", wrong)


OURS = MUTANTS[BEFORE:]


@pytest.mark.parametrize("mutant", OURS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
