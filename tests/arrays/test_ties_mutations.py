"""The conformance suite can fail: faults in the order of equal scores, and at kinks, are caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from planting import MUTANTS, Mutant, change_method, core, everywhere, in_torch, mutant

import hopcore
from hopcore.arrays import Backend
from hopcore.layers import ACTIVATIONS
from hopcore_conformance import Subject
from hopcore_conformance.sharded import subject_of

KNOWN = len(MUTANTS)


# The order of equal scores.


@mutant("the last of equal values", "B.ties G.knn")
class Last(Backend):
    def top_k(self, values, k):
        found, places = super().top_k(np.flip(values, axis=-1), k)
        return found, values.shape[-1] - 1 - places


@mutant("equal maxima of groups that lie apart", "B.ties")
class Apart(Backend):
    def largest(self, scores, k):
        groups = scores.shape[-1] // 8
        if groups <= 4 * k:
            return super().largest(scores, k)
        # Every eighth score is of one group; the members of a later one may come first.
        turned = np.arange(8 * groups).reshape(8, groups).T.reshape(-1)
        order = np.concatenate([turned, np.arange(8 * groups, scores.shape[-1])])
        return order[super().largest(scores[..., order], k)]


def flipped(right: Any) -> Any:
    return lambda weights: np.flip(right(np.flip(weights, axis=-1)), axis=-1)


@mutant("the last of equal weights", "B.ties N4")
def last_weight(monkeypatch):
    everywhere(monkeypatch, "layers._recall", "straight_through", flipped)


@mutant("the last of equally near codes", "B.ties Q2")
def last_code(monkeypatch):
    def wrong(right):
        def quantize(settings, parameters, features, **options):
            turned = {"codebook": np.flip(parameters["codebook"], axis=-2)}
            found = right(settings, turned, features, **options)
            return found._replace(codes=settings.quantity - 1 - found.codes)

        return quantize

    everywhere(monkeypatch, "layers._quantizer", "quantize", wrong)


@mutant("the last of equal anchors", "B.ties")
def last_anchor(monkeypatch):
    def wrong(right):
        def nearest(inputs):
            last = inputs.stored.shape[-2] - 1
            return last - right(inputs._replace(stored=np.flip(inputs.stored, axis=-2)))

        return nearest

    everywhere(monkeypatch, "diffusion._graph_attention", "nearest_pattern", wrong)


@mutant("moving on at exactly the tolerance", "B.ties")
def restless(monkeypatch):
    def wrong(right):
        def iterate(inputs, update, max_steps, tol, **options):
            return right(inputs, update, max_steps, tol * (1.0 - 1e-12), **options)

        return iterate

    everywhere(monkeypatch, "memory._stopping_loop", "iterate_to_fixed_point", wrong)


class InPieces(Mutant):
    """A fault of memories that are read in pieces."""

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> Subject:
        self.fault(monkeypatch)
        return subject_of("streamed", self.dtype, None, False)


@mutant("neighbours of the last piece", "B.ties", kind=InPieces)
def last_piece(monkeypatch):
    merge = core("streamed._neighbors").merge

    def wrong(k, one, other):
        (values, places), (others, there) = one, other
        found, chosen = merge(k, (values, -places), (others, -there))
        return found, -chosen

    monkeypatch.setattr(core("streamed._neighbors"), "merge", wrong)


# Derivatives at kinks.


@in_torch("a pattern at the end of the support counts", "B.kinks")
def larger_support(monkeypatch):
    def nearer(result, *_):
        return result[0] * (1.0 - 2.0**-50), *result[1:]

    change_method(monkeypatch, hopcore.Entmax, "_near", nearer)


@mutant("M is the first of equally long patterns", "B.kinks", library="torch")
def first_longest(right):
    class First(right):
        def largest_square(self, stored, mask):
            squares = self.square_lengths(stored)
            if mask is None:
                return squares.max(dim=-1, keepdim=True).values
            return (squares[..., None, :] * mask).max(dim=-1).values

    return First


@mutant("equal features become nan", "B.kinks", library="torch")
def undefined(right):
    class Undefined(right):
        def layer_norm(self, features, weight, bias, eps):
            centred = features - features.mean(-1, keepdim=True)
            return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()

    return Undefined


@in_torch("a sigmoid by the absolute value", "B.kinks")
def folded(monkeypatch):
    def sigmoid(values, backend):
        small = backend.xp.exp(-backend.xp.abs(values))
        return backend.xp.where(values > 0, 1.0 / (1.0 + small), small / (1.0 + small))

    monkeypatch.setitem(ACTIVATIONS, "sigmoid", sigmoid)


@in_torch("a relu that rises at 0", "B.kinks")
def rising(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "relu", lambda values, backend: values * (values >= 0))


@in_torch("orthogonal patterns that attract", "B.kinks")
def attracted(monkeypatch):
    def wrong(right):
        def similarity(x, *, mask=None):
            found = right(x, mask=mask)
            product = x @ x.mT
            return found + (product - product.detach()) * ((product == 0) & (found == 0))

        return similarity

    everywhere(monkeypatch, "graphs._knn", "build_similarity_matrix", wrong)


@in_torch("the root of 0", "B.kinks")
def root(monkeypatch):
    everywhere(
        monkeypatch,
        "arrays._memory_kernels",
        "norm",
        lambda right: lambda vectors, xp: xp.sqrt(xp.sum(vectors * vectors, axis=-1)),
    )


@in_torch("the first of equally large soft weights", "B.kinks")
def first_weight(monkeypatch):
    def wrong(right):
        def quantize(settings, parameters, features, **options):
            found = right(settings, parameters, features, **options)
            return found._replace(divergence=-found.weights.max(dim=-1).values.log().mean())

        return quantize

    everywhere(monkeypatch, "layers._quantizer", "quantize", wrong)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
