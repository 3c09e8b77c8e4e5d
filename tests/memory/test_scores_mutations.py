"""The conformance suite can fail: faults in scores by distance, biases and known coordinates."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planting import MUTANTS, Mutant, core, everywhere, in_torch, mutant

from hopcore.arrays import Backend

BEFORE = len(MUTANTS)


@mutant("a forgotten half of the squared length", "K.scores K1 K2 K.distinct K.posterior")
class WithoutHalf(Backend):
    def keys(self, stored, origin, bias, squares=False):
        keys = np.array(super().keys(stored, origin, bias, squares))
        if origin is not None:
            keys[..., stored.shape[-1]] *= 2.0
        return keys


@mutant("lengths of patterns that are not centred", "K3", "float32")
class Uncentred(Backend):
    def origin(self, stored, mask):
        return 0.0 * super().origin(stored, mask)


@mutant("an origin that reads masked patterns", "K.masked")
class ReadsMasked(Backend):
    def origin(self, stored, mask):
        return super().origin(stored, None)


@mutant("the weight of the last pattern beside the index of the best", "K.certain")
def last_weight(patch):
    wrong = lambda xp, scores, weights: (  # noqa: E731
        np.argmax(scores, axis=-1),
        np.max(scores, axis=-1),
        weights[..., -1],
    )
    patch.setattr(core("arrays._backend"), "best_of", wrong)


@mutant("the numbers of a mask without their signs", "K.numbers")
def unsigned(patch):
    right = core("memory._scores").bias_and_added

    def wrong(inputs, bias, added, separation):
        return right(inputs, bias, abs(added), separation)

    patch.setattr(core("memory._scores"), "bias_and_added", wrong)


@mutant("random vectors that are not normal", "K.features")
def not_normal(patch):
    kind = core("memory._random_features").RandomFeatures
    right = kind._empty

    def wrong(self, backend, like):
        vectors, *sums = right(self, backend, like)
        return np.sign(vectors), *sums

    patch.setattr(kind, "_empty", wrong)


@mutant("an energy by distance with the constant of dot products", "K1 K2 K.cooling")
def constant_of_products(patch: pytest.MonkeyPatch) -> None:
    right = core("memory._scores").Scores.conjugate

    def wrong(self: Any, inputs: Any, conjugate: Any) -> Any:
        count = inputs.stored.shape[-2] if self.distance else 1
        return right(self, inputs, conjugate) - math.log(count)

    patch.setattr(core("memory._scores").Scores, "conjugate", wrong)


@mutant("a bias in units of beta", "K.scores K1 K.bias K.posterior K.merge")
def times_beta(patch):
    kind = core("memory._scores").Scores
    right = kind.query

    def wrong(self, inputs, known=None):
        query = np.array(right(self, inputs, known))
        if self.biased:
            query[..., -1] = 1.0
        return query

    patch.setattr(kind, "query", wrong)


@mutant("a bias that changes signs", "K.scores K.bias K.posterior")
class Opposite(Backend):
    def keys(self, stored, origin, bias, squares=False):
        return super().keys(stored, origin, None if bias is None else -bias, squares)


@mutant("a log-sum-exp relative to the origin", "K.merge K.scores")
def relative(patch):
    kind = core("memory._scores").Scores
    right = kind.conjugate

    def wrong(self, inputs, conjugate):
        return (
            right(replace(self, origin=0.0 * self.origin), inputs, conjugate)
            if (self.distance)
            else conjugate
        )

    patch.setattr(kind, "conjugate", wrong)


@mutant("values relative to the origin", "K.scores K2")
class Shifted(Backend):
    def values_for(self, keys, projection):
        width = projection.shape[-1]
        return keys[..., :width] if keys.shape[-1] == width + 1 else projection


@mutant("a unit that is the largest norm", "K.unit")
def norms(patch):
    kind = core("memory._scores").Scores
    patch.setattr(kind, "centred", lambda self, inputs: inputs.stored)


@mutant("the first bias of a batch for all", "K.bias")
class FirstBias(Backend):
    def keys(self, stored, origin, bias, squares=False):
        if bias is not None and bias.ndim > 1:
            bias = 0.0 * bias + bias[:1]
        return super().keys(stored, origin, bias, squares)


@mutant("an index of dot products", "K.index")
def by_products(patch):
    module = core("memory._retrieval")
    right = module.best_pattern

    def wrong(inputs, scores, *rest):
        if scores.keys is not None:
            keys = np.array(scores.keys)
            keys[..., inputs.stored.shape[-1] :] = 0.0
            scores = replace(scores, keys=keys)
        return right(inputs, scores, *rest)

    patch.setattr(module, "best_pattern", wrong)


@mutant("an update that moves known coordinates", "K.known")
def moves(patch):
    def wrong(right):
        def update(separation, scores, unknown, inputs, *others):
            return right(separation, scores, unknown, inputs, *others) * (1.0 + 1e-12)

        return update

    everywhere(patch, "memory._known", "known_update_of", wrong)


@mutant("unknown coordinates that are compared", "K.ignore")
def compared(patch):
    kind = core("memory._scores").Scores
    right = kind.query
    patch.setattr(kind, "query", lambda self, inputs, known=None: right(self, inputs))


@mutant("unknown coordinates that are read", "K.ignore")
def read(patch):
    module = core("memory._retrieval_call")
    patch.setattr(module, "without_unknown", lambda state, known: np.nan_to_num(state))
    kind = core("memory._scores").Scores
    right = kind.query

    def wrong(self, inputs, known=None):
        leak = 0.0 if known is None else 1e-9 * (1.0 - known)
        return right(self, inputs, None if known is None else np.maximum(known, leak))

    patch.setattr(kind, "query", wrong)


@mutant("unknown coordinates that are ignored while they settle", "K.settle")
def ignored(patch):
    def wrong(right):
        def update(separation, scores, unknown, inputs, *others):
            hidden = inputs
            if unknown == "settle":
                hidden = inputs._replace(state=np.where(others[-2 - len(scores.arrays)] > 0.0,
                                                        inputs.state, 0.0))  # fmt: skip
            return right(separation, scores, unknown, hidden, *others)

        return update

    everywhere(patch, "memory._known", "known_update_of", wrong)


@mutant("a step of settling that is too long", "K.settle")
def too_long(patch):
    def wrong(right):
        def update(separation, scores, unknown, inputs, *others):
            new = right(separation, scores, unknown, inputs, *others)
            return inputs.state + 2.5 * (new - inputs.state) if unknown == "settle" else new

        return update

    everywhere(patch, "memory._known", "known_update_of", wrong)


def change_bias(patch, change):
    """Change a checked bias of torch."""

    def wrong(right):
        def checked(inputs, bias):
            found = right(inputs, bias)
            return change(found) if hasattr(found, "detach") else found

        return checked

    everywhere(patch, "memory._scores", "checked_bias", wrong)


@in_torch("a bias without a derivative", "K.gradient")
def constant_bias(patch):
    change_bias(patch, lambda bias: bias.detach() + 0.0 * bias)


@in_torch("a fixed point that does not depend on its keys", "K.gradient")
def constant_keys(patch):
    module = core("memory._stopping_loop")
    right = module.at_fixed_point

    def wrong(found, inputs, update, others):
        fixed = tuple(other.detach() for other in others)
        return right(found, inputs, lambda *given: update(*given[:1], *fixed), others)

    patch.setattr(module, "at_fixed_point", wrong)


@in_torch("a bias that is rounded to float32", "K.scores K.posterior")
def rounded(patch):
    change_bias(patch, lambda bias: bias.float().to(bias.dtype))


OURS = MUTANTS[BEFORE:]


@pytest.mark.parametrize("mutant", OURS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
