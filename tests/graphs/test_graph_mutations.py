"""The conformance suite can fail: each fault in graphs and diffused retrieval is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planting import MUTANTS, Mutant, core, everywhere, mutant

import hopcore
from hopcore.arrays import Backend

KNOWN = len(MUTANTS)


# Wrong kernels. The reference is right.


@mutant("a neighbour short", "G.knn")
class Short(Backend):
    def nearest(self, patterns, k, mask):
        return super().nearest(patterns, k, mask)[..., : max(1, k - 1)]


@mutant("neighbours of the first sample for all", "G.batch J.alone")
class FirstSample(Backend):
    def nearest(self, patterns, k, mask):
        found = super().nearest(patterns, k, mask)
        return found if found.ndim == 2 else np.broadcast_to(found[:1], found.shape)


@mutant("the mask of the graph forgotten", "G.batch J.alone")
def unmasked(monkeypatch):
    def wrong(right):
        return lambda backend, patterns, mask: right(backend, patterns, None)

    everywhere(monkeypatch, "graphs._knn", "unit_patterns", wrong)


@mutant("some mutual edges twice", "G.knn")
class Doubled(Backend):
    def pair_products(self, left, right, where):
        found = super().pair_products(left, right, where)
        return found * (1.0 + (where.rows % 2 == where.columns % 2))


@mutant("a row loses its last entry", "G1 G.laplacian D.explicit D2 D3")
class Lossy(Backend):
    def row_sum(self, where, values):
        kept = np.ones(values.shape[0])
        kept[where.indptr[1:] - 1] = 0.0
        return super().row_sum(where, values * kept.reshape(-1, *(1,) * (values.ndim - 1)))


@mutant("the heat kernel of twice the time", "D.heat D3")
class Hot(Backend):
    def heat_kernel(self, matrix):
        return super().heat_kernel(matrix + 0.5 * matrix @ matrix)


# A wrong core. The reference is as wrong, so only the mathematics can notice.


@mutant("patterns that are not normalised", "G.similarity G.knn")
def long_patterns(monkeypatch):
    everywhere(
        monkeypatch, "graphs._knn", "unit_patterns", lambda right: lambda backend, x, mask: x
    )


@mutant("negative cosines count", "G.similarity")
def negative(monkeypatch):
    def wrong(right):
        return lambda x, *, mask=None: right(x, mask=mask) + 0.1 * (right(-x, mask=mask) < 0.2)

    everywhere(monkeypatch, "graphs._knn", "build_similarity_matrix", wrong)


@mutant("a Laplacian scaled once", "G.laplacian G2 D.heat")
def half_scaled(monkeypatch):
    def wrong(right):
        def laplacian(graph, normalization):
            found = right(graph, normalization)
            if normalization == "none":
                return found
            return replace(found, values=right(graph, "none").values)

        return laplacian

    everywhere(monkeypatch, "graphs._laplacian", "laplacian_of", wrong)


@mutant("eigenvalues end at the degree", "G2")
def low_bound(monkeypatch):
    right = hopcore.Laplacian.bound.fget
    monkeypatch.setattr(hopcore.Laplacian, "bound", property(lambda self: 0.5 * right(self)))


@mutant("an isolated node keeps a diagonal", "G.laplacian D.linear")
def diagonal(monkeypatch):
    def wrong(right):
        def laplacian(graph, normalization):
            found = right(graph, normalization)
            own = graph.entries.rows == graph.entries.columns
            return replace(found, values=np.where(own & (found.values == 0), 1.0, found.values))

        return laplacian

    everywhere(monkeypatch, "graphs._laplacian", "laplacian_of", wrong)


@mutant("the Dirichlet energy without its half", "G3 J.energy")
def double_energy(monkeypatch):
    everywhere(
        monkeypatch,
        "graphs._dirichlet_energy",
        "dirichlet_energy",
        lambda right: lambda x, L: 2.0 * right(x, L),
    )


@mutant("a dense matrix that forgets its last column", "G.convert")
def lost_column(monkeypatch):
    def wrong(right):
        def dense(graph, values):
            found = np.array(right(graph, values))
            found[..., -1] = 0.0
            return found

        return dense

    everywhere(monkeypatch, "graphs._edges", "dense", wrong)


@mutant("always one step", "D.explicit J0")
def one_step(monkeypatch):
    right = core("diffusion._explicit").Explicit._stepped
    monkeypatch.setattr(
        core("diffusion._explicit").Explicit,
        "_stepped",
        lambda self, x, steps: right(self, x, min(steps, 1)),
    )


@mutant("steps twice as long", "D.explicit D1")
def long_steps(monkeypatch):
    right = core("diffusion._explicit").Explicit.__init__

    def wrong(self, laplacian, eta, steps):
        right(self, laplacian, eta, steps)
        self._matrix = self.laplacian.shifted(1.0, -2.0 * self.eta)

    monkeypatch.setattr(core("diffusion._explicit").Explicit, "__init__", wrong)


@mutant("the implicit step gives up", "D.implicit D3")
def impatient(monkeypatch):
    monkeypatch.setattr(hopcore.ImplicitDiffusion, "_max_steps", lambda self, tol, nodes: 1)


@mutant("samples are averaged", "D.linear J.alone")
def averaged(monkeypatch):
    def wrong(right):
        def by_nodes(graph, features, work):
            if features.ndim > 2:
                features = 0.5 * (features + np.mean(features, axis=0, keepdims=True))
            return right(graph, features, work)

        return by_nodes

    everywhere(monkeypatch, "graphs._edges", "by_nodes", wrong)


@mutant("features below 0 are cut", "D.linear D.explicit D2")
def cut(monkeypatch):
    def wrong(right):
        return lambda graph, x, work: right(graph, np.where(x > 0, x, 0.0), work)

    everywhere(monkeypatch, "graphs._edges", "by_nodes", wrong)


@mutant("no bound of eta", "D.refused D1")
def boundless(monkeypatch):
    everywhere(
        monkeypatch, "diffusion._eta_checks", "check_stable", lambda right: lambda *given: None
    )


@mutant("the scale of the random walk inverted", "D2 D.explicit G.laplacian")
def inverted(monkeypatch):
    def wrong(right):
        def laplacian(graph, normalization):
            found = right(graph, normalization)
            return found if found.scale is None else replace(found, scale=1.0 / found.scale)

        return laplacian

    everywhere(monkeypatch, "graphs._laplacian", "laplacian_of", wrong)


@mutant("a Chebyshev degree too few", "D4 D.heat")
def low_degree(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._chebyshev",
        "heat_degree",
        lambda right: lambda reach, tol: max(0, right(reach, tol) - 1),
    )


@mutant("the heat kernel of the square of the time", "D.heat D3 J7")
def squared_time(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._eta_checks",
        "check_eta",
        lambda right: lambda L, eta: right(L, eta) ** 2,
    )


@mutant("intermediate results overwrite the query", "J0 J.limit")
def overwritten(monkeypatch):
    right = hopcore.DynamicsEngine.advance

    def wrong(self, inputs, **options):
        moved, *rest = right(self, inputs, **options)
        if self.values == "untied" and moved.projection.shape == moved.stored.shape:
            moved = moved._replace(state=self.associate(moved, None))
        return moved, *rest

    monkeypatch.setattr(hopcore.DynamicsEngine, "advance", wrong)


@mutant("diffusion sharpens", "J1 J2 J7")
def sharpening(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._eta_checks",
        "check_eta",
        lambda right: lambda L, eta: -right(L, eta),
    )


@mutant("untied values follow the keys", "J0 J3")
def tied(monkeypatch):
    right = hopcore.DynamicsEngine.__init__

    def wrong(self, *given, values="untied"):
        right(self, *given, values="tied" if values == "untied" else values)

    monkeypatch.setattr(hopcore.DynamicsEngine, "__init__", wrong)


@mutant("tied values stay behind", "J4 J7")
def untied(monkeypatch):
    right = hopcore.DynamicsEngine.__init__

    def wrong(self, *given, values="untied"):
        right(self, *given, values="untied" if values == "tied" else values)

    monkeypatch.setattr(hopcore.DynamicsEngine, "__init__", wrong)


@mutant("half the weight of the joint energy", "J5")
def light(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._energy_tracker",
        "joint_weight",
        lambda right: lambda *given, **options: 0.5 * right(*given, **options),
    )


@mutant("an entropy of its own sign", "J8")
def entropy(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._adaptive_eta",
        "association_entropy",
        lambda right: lambda *x: -right(*x),
    )


@mutant("logit diffusion that is not renormalised", "J9")
def unnormalised(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._graph_attention",
        "diffused_weights",
        lambda right: lambda inputs, operator: 1.1 * right(inputs, operator),
    )


@mutant("an anchor without its neighbours", "J10")
def alone(monkeypatch):
    def wrong(right):
        return lambda inputs, graph, anchors: right(
            inputs, replace(graph, weights=0.0 * graph.weights), anchors
        )

    everywhere(monkeypatch, "diffusion._graph_attention", "anchored", wrong)


@mutant("a little diffusion without any", "J.limit")
def always(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._eta_checks",
        "check_eta",
        lambda right: lambda L, eta: right(L, eta) + 0.01,
    )


@mutant("graphs found by their sum", "J.cache")
def by_sum(monkeypatch):
    everywhere(
        monkeypatch,
        "diffusion._cache",
        "same",
        lambda right: lambda backend, a, b: a.shape == b.shape and bool(abs(a.sum() - b.sum()) < 1),
    )


@mutant("energies of the step before", "J.energy")
def late(monkeypatch):
    right = hopcore.EnergyTracker.record

    def wrong(self, inputs, laplacian):
        found = right(self, inputs, laplacian)
        if self.history:
            self.history[-1] = self.history[max(0, len(self.history) - 2)]
        return found

    monkeypatch.setattr(hopcore.EnergyTracker, "record", wrong)


# Wrong derivatives.


@mutant("no derivative of the edges", "G.gradient D.gradient", library="torch")
def detached(right):
    class Detached(right):
        def pair_products(self, left, right, where):
            return super().pair_products(left.detach(), right.detach(), where) + 0.0 * left.sum()

    return Detached


@mutant("a neighbour sum differentiated twice over", "D.gradient", library="torch")
def doubled(right):
    class Doubled(right):
        def neighbour_sum(self, where, values, features):
            found = super().neighbour_sum(where, values, features)
            return 2.0 * found - found.detach()

    return Doubled


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
