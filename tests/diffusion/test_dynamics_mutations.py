"""More faults in diffused retrieval, planted in the formulas of the core: each is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planting import MUTANTS, Mutant, in_torch, mutant

import hopcore
from hopcore.diffusion import DiffusionOperator
from hopcore.diffusion import _adaptive_eta as adaptive
from hopcore.diffusion import _cache as graph_cache
from hopcore.diffusion import _energy_tracker as tracking
from hopcore.diffusion import _engine as dynamics
from hopcore.diffusion import _graph_attention as anchored
from hopcore.diffusion import _iterated as iterated
from hopcore.diffusion import _retrieve as diffused

KNOWN = len(MUTANTS)


def change_inputs(patch: Any, change: Callable[[Any, Any], Any]) -> None:
    """Change what a loop has after its steps, before it recalls."""
    right = dynamics.DynamicsEngine.advance

    def advance(self, inputs, **options):
        moved, *rest = right(self, inputs, **options)
        return change(self, moved), *rest

    patch.setattr(dynamics.DynamicsEngine, "advance", advance)


@mutant("the heat kernel in every step", "J0 J7")
def repeated(patch):
    patch.setattr(hopcore.SpectralDiffusion, "one_shot", False)


@mutant("queries are diffused over nothing", "J0")
def still_queries(patch):
    patch.setattr(dynamics, "diffused_queries", lambda inputs, config: inputs.state)


@mutant("normalised where it should not be", "J0 J1 J4")
def normalised(patch):
    right = diffused.laplacian_of
    patch.setattr(diffused, "laplacian_of", lambda graph, _: right(graph, "symmetric"))


@mutant("every graph is complete", "J7")
def complete(patch):
    right = diffused.laplacian_of

    def laplacian(graph, normalization):
        others = 1.0 - np.eye(graph.nodes)
        if graph.batch:
            return right(graph, normalization)
        weight = np.sum(graph.to_dense()) / np.sum(others)
        return right(hopcore.Graph.from_dense(weight * others), normalization)

    patch.setattr(diffused, "laplacian_of", laplacian)


def change_operator(patch: Any, change: Callable[..., Any]) -> None:
    right = diffused.diffusion_operator

    def changed(laplacian, eta, mode, steps):
        return change(right, laplacian, eta, mode, steps)

    patch.setattr(diffused, "diffusion_operator", changed)


class Sharpening(DiffusionOperator):
    """Away from the neighbours, by as much as another operator goes towards them."""

    def __init__(self, right: Any) -> None:
        self.right, self.laplacian, self.one_shot = right, right.laplacian, True

    def __call__(self, features: Any) -> Any:
        return 2.0 * features - self.right(features)


@mutant("diffusion backwards", "J0 J1 J4 J7")
def backwards(patch):
    change_operator(patch, lambda right, *given: Sharpening(right(*given)))


@mutant("an explicit step is the heat kernel", "J0 J2 J4")
def always_heat(patch):
    change_operator(patch, lambda right, graph, eta, mode, steps: right(graph, eta, "spectral", 1))


@mutant("2 % more diffusion", "J0 J4 J7")
def stronger(patch):
    change_operator(patch, lambda right, graph, eta, *rest: right(graph, 1.02 * eta, *rest))


@mutant("distances from the patterns before diffusion", "J.distance")
def undiffused(patch):
    right = diffused.iterate_in_memory

    def wrong(moved, projected, updates, tol, scoring):
        keys = moved.stored * (1.0 + 1e-3 * (scoring.similarity == "distance"))
        return right(moved._replace(stored=keys), projected, updates, tol, scoring)

    patch.setattr(diffused, "iterate_in_memory", wrong)


@mutant("a bias of diffused keys that is multiplied with 1.1", "J.distance")
def stronger_bias(patch):
    right = iterated.Scoring.of

    def wrong(scoring, inputs):
        bias = None if scoring.bias is None else 1.1 * scoring.bias
        return right(scoring._replace(bias=bias), inputs)

    patch.setattr(iterated.Scoring, "of", wrong)


@mutant("numbers of a mask that only forbid", "J.distance")
def forgotten_numbers(patch):
    right = iterated.Scoring.of
    patch.setattr(
        iterated.Scoring, "of", lambda scoring, inputs: right(scoring._replace(added=None), inputs)
    )


@mutant("tied values stay as they were", "J4")
def half_tied(patch):
    right = iterated.iterate_to_fixed_point

    def iterate(inputs, *given, **options):
        return right(inputs._replace(projection=0.999 * inputs.projection), *given, **options)

    patch.setattr(iterated, "iterate_to_fixed_point", iterate)


@mutant("2 % less weight on the Dirichlet energy", "J5")
def light(patch):
    right = hopcore.diffusion.joint_weight
    patch.setattr(
        hopcore.diffusion, "joint_weight", lambda *x, **options: 0.98 * right(*x, **options)
    )


@mutant("a factor for explicit steps", "J5")
def with_factor(patch):
    right = hopcore.diffusion.joint_weight

    def weight(laplacian, beta, stored, *, eta=None):
        found = right(laplacian, beta, stored, eta=eta)
        weights = np.asarray(laplacian.to_dense())
        matrices = np.sum(weights, axis=-1)[..., None] * np.eye(weights.shape[-1]) - weights
        largest = np.linalg.eigvalsh(matrices).max()
        return found / (1.0 - 0.5 * eta * largest) if eta else found

    patch.setattr(hopcore.diffusion, "joint_weight", weight)


@mutant("an eta that is not looked at", "J5")
def any_eta(patch):
    right = hopcore.diffusion.joint_weight

    def weight(laplacian, beta, stored, **unread):
        return right(laplacian, beta, stored)

    patch.setattr(hopcore.diffusion, "joint_weight", weight)


@mutant("2 % less weight where explicit steps are large", "J5")
def light_for_large_steps(patch):
    right = hopcore.diffusion.joint_weight

    def weight(laplacian, beta, stored, *, eta=None):
        return (0.98 if eta and eta > 0.4 else 1.0) * right(laplacian, beta, stored, eta=eta)

    patch.setattr(hopcore.diffusion, "joint_weight", weight)


@mutant("an evolving memory is updated before it is diffused", "J5")
def late(patch):
    def change(engine, moved):
        if engine.values != "evolving":
            return moved
        return moved._replace(stored=engine.diffusion.step(moved.stored))

    change_inputs(patch, change)


@mutant("the entropy of the surest query", "J8")
def surest(patch):
    right = adaptive.association_entropy

    def entropy(inputs, bias=None):
        found = right(inputs, bias)
        return 0.0 * found + inputs.xp.min(found, axis=-1, keepdims=True)

    patch.setattr(adaptive, "association_entropy", entropy)


@mutant("entropy in bits", "J8")
def bits(patch):
    right = adaptive.association_entropy
    patch.setattr(adaptive, "association_entropy", lambda *x: right(*x) / np.log(2.0))


@mutant("the threshold is ignored", "J8")
def open_gate(patch):
    right = diffused.adapted_eta
    patch.setattr(
        diffused,
        "adapted_eta",
        lambda inputs, config, *bias: right(inputs, replace(config, adaptive_threshold=0.0), *bias),
    )


@in_torch("an adapted eta without a derivative", "J8")
def detached(patch):
    right = diffused.adapted_eta
    patch.setattr(diffused, "adapted_eta", lambda *given: right(*given).detach())


def change_weights(patch: Any, change: Callable[..., Any]) -> None:
    """Replace what is done with association weights after their diffusion."""

    def weighed(inputs, operator):
        xp, rest = inputs.xp, inputs[2:]
        state, stored, projection, beta, mask = rest
        z = (beta if isinstance(beta, float) else beta[..., None]) * (
            state @ xp.matrix_transpose(stored)
        )
        z = z if mask is None else xp.where(mask, z, -np.inf)
        top = xp.max(z, axis=-1, keepdims=True)
        weights = xp.exp(z - xp.where(xp.isfinite(top), top, 0.0))
        total = xp.sum(weights, axis=-1, keepdims=True)
        weights = weights / xp.where(total > 0, total, 1.0)
        spread = xp.matrix_transpose(operator(xp.matrix_transpose(weights)))
        return change(xp, spread, mask) @ projection

    patch.setattr(dynamics, "diffused_weights", weighed)


def share(xp: Any, weights: Any) -> Any:
    total = xp.sum(weights, axis=-1, keepdims=True)
    return weights / xp.where(total > 0, total, 1.0)


@mutant("weights below zero", "J9")
def unclipped(patch):
    change_weights(
        patch,
        lambda xp, spread, mask: share(xp, spread if mask is None else xp.where(mask, spread, 0.0)),
    )


@mutant("weights on what is masked", "J9")
def unmasked(patch):
    change_weights(patch, lambda xp, spread, mask: share(xp, xp.maximum(spread, 0.0 * spread)))


@mutant("logit_eta is ignored", "J9")
def one_eta(patch):
    right = dynamics.DynamicsEngine.of_weights

    def of_weights(self):
        self.config = replace(self.config, logit_eta=None)
        return right(self)

    patch.setattr(dynamics.DynamicsEngine, "of_weights", of_weights)


@mutant("anchors that are given are ignored", "J10")
def no_anchor(patch):
    right = anchored.anchored
    patch.setattr(anchored, "anchored", lambda inputs, graph, _: right(inputs, graph, None))


@mutant("no query is its own anchor", "J10")
def not_own(patch):
    patch.setattr(dynamics, "own_anchors", lambda state: None)


@mutant("a query attends to everything", "J10")
def everywhere(patch):
    def anchored_to_all(inputs, graph, anchors):
        return hopcore.association(
            inputs.state, inputs.stored, inputs.projection, beta=inputs.beta, mask=inputs.mask
        )

    patch.setattr(anchored, "anchored", anchored_to_all)
    patch.setattr(dynamics, "anchored", anchored_to_all)


@mutant("the mask does not hold along the graph", "J10")
def open_edges(patch):
    right = anchored.anchored
    patch.setattr(
        anchored,
        "anchored",
        lambda inputs, graph, anchors: right(inputs._replace(mask=None), graph, anchors),
    )


@mutant("another temperature as soon as there is diffusion", "J.limit J0")
def another_beta(patch):
    def change(engine, moved):
        return moved._replace(beta=1.03 * moved.beta) if engine.config.eta > 0 else moved

    change_inputs(patch, change)


@mutant("one graph, of the mean over the batch", "J.alone")
def mean_graph(patch):
    right = diffused.knn_graph

    def graph(patterns, k, *, mask=None):
        if patterns.ndim > 2:
            patterns = 0.0 * patterns + patterns.mean(axis=0, keepdims=True)
        return right(patterns, k, mask=mask)

    patch.setattr(diffused, "knn_graph", graph)


@mutant("one eta for the batch", "J.alone")
def mean_eta(patch):
    right = diffused.adapted_eta

    def eta(*given):
        found = right(*given)
        return 0.0 * found + found.mean()

    patch.setattr(diffused, "adapted_eta", eta)


@mutant("samples stop together", "J.energy")
def together(patch):
    right = dynamics.EnergyTracker.record

    def record(self, inputs, laplacian):
        found = right(self, inputs, laplacian)
        return 0.0 * found + found.mean()

    patch.setattr(dynamics.EnergyTracker, "record", record)


@mutant("energies without the log-sum-exp", "J.energy")
def linear(patch):
    def energy(inputs, separation):
        scores = inputs.state @ inputs.xp.matrix_transpose(inputs.stored)
        return -scores.mean(axis=-1)

    patch.setattr(tracking, "energy_of", energy)


@mutant("nothing is recorded before the first step", "J.energy")
def unrecorded(patch):
    class Late(list):
        def append(self, step):
            if len(self) or getattr(self, "begun", False):
                super().append(step)
            self.begun = True

    right = tracking.EnergyTracker.__init__

    def init(self, enabled=True):
        right(self, enabled)
        self.history = Late()

    patch.setattr(tracking.EnergyTracker, "__init__", init)


@mutant("a cache that holds the array itself", "J.cache")
def held(patch):
    right = graph_cache.GraphCache._keep
    seen = graph_cache.GraphCache.get

    def get(self, patterns, **mask):
        self.last = patterns
        return seen(self, patterns, **mask)

    def keep(self, entry):
        right(self, entry._replace(patterns=self.last))

    patch.setattr(graph_cache.GraphCache, "get", get)
    patch.setattr(graph_cache.GraphCache, "_keep", keep)


@mutant("a cache that does not see masks", "J.cache")
def blind(patch):
    right = graph_cache._Entry.holds

    def holds(self, backend, patterns, mask, identity):
        return right(self._replace(mask=None), backend, patterns, None, identity)

    patch.setattr(graph_cache._Entry, "holds", holds)


@mutant("a cache without an end", "J.cache")
def endless(patch):
    right = graph_cache.GraphCache._keep

    def keep(self, entry):
        self.max_entries = 1000
        right(self, entry)

    patch.setattr(graph_cache.GraphCache, "_keep", keep)


@in_torch("a cached graph without a derivative", "J.cache")
def constant_graph(patch):
    def constant(graph, patterns, mask):
        return replace(graph, weights=graph.weights + 0.0 * patterns.sum())

    patch.setattr(graph_cache, "reweighted", constant)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
