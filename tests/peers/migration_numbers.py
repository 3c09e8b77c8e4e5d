"""What the page on difflayers says is the same or renamed: the numbers of both, row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import difflayers
import torch
from difflayers import graph as peer_graph
from test_difflayers import diffused, patterns, peer_operator

import hopcore
import hopcore_torch

Check = Callable[[], None]

X = patterns()
Q = patterns(5, seed=1)
V = patterns(24, 3, seed=2)
K = 3
W = peer_graph.build_knn_graph(peer_graph.build_similarity_matrix(X), K)
L = peer_graph.compute_laplacian(W)
ETA = 0.07


def near(found: Any, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def config(**changes: Any) -> Check:
    """Patterns diffused under a configuration, as both are told to."""

    def check() -> None:
        settings = {"use_normalized_laplacian": False, "eta": 0.05, **changes}
        near(diffused(X, **settings), peer_operator(X, **settings)(X))

    return check


def modes() -> None:
    for mode in ("factored", "simple", "iterative", "spectral"):
        config(diffusion_mode=mode)()


def to_dict() -> None:
    given = {"eta": 0.3, "steps": 7, "diffusion_mode": "spectral", "logit_eta": 0.2}
    found, expected = (x.DiffusionConfig(**given).to_dict() for x in (hopcore, difflayers))
    assert found == expected


def graph() -> None:
    weights, degrees, _ = difflayers.GraphBuilder(k=K).build(X)
    found = hopcore.GraphBuilder(X).cosine_similarity().knn(K).build()
    near(found.W, weights)
    near(found.deg, degrees)


def laplacians() -> None:
    chain = hopcore.GraphBuilder(X).knn(K)
    for normalized, one, made in (
        (True, hopcore.compute_normalized_laplacian, chain.normalized_laplacian().build().L),
        (False, hopcore.compute_laplacian, chain.laplacian().build().L),
    ):
        expected = difflayers.LaplacianBuilder(normalized=normalized).build(W)
        near(one(W), expected)
        near(made, expected)


def cached() -> None:
    settings = {"k_neighbors": K, "use_normalized_laplacian": False, "diffusion_mode": "simple"}
    found = hopcore.GraphCache(hopcore.DiffusionConfig(**settings)).get(X)
    weights, degrees, _, laplacian, _ = difflayers.GraphCache(
        difflayers.DiffusionConfig(**settings)
    ).get(X)
    near(found.W.to_dense(), weights)
    near(found.deg, degrees)
    near(found.L.to_dense(), laplacian)


def forgotten() -> None:
    cache = hopcore.GraphCache(hopcore.DiffusionConfig())
    cache.get(X)
    assert len(cache) == 1
    cache.clear()
    assert len(cache) == 0


def layer_forgets() -> None:
    for package in (difflayers, hopcore_torch):
        layer = package.DiffusedHopfield(8)
        before = layer(X[None])
        assert layer.invalidate_cache() is None
        near(layer(X[None]), before)


def operators() -> None:
    simple = difflayers.SimpleDiffusion(ETA).precompute(L)
    near(hopcore.SimpleDiffusion(L, ETA)(X), simple(X))
    spectral = difflayers.SpectralDiffusion(ETA).precompute(L)
    near(hopcore.SpectralDiffusion(L, ETA)(X), spectral(X))
    for steps in (1, 4):
        factored = difflayers.FactoredDiffusion(ETA, steps).precompute_from_graph(W, W.sum(1))
        near(hopcore.FactoredDiffusion(W, W.sum(1), ETA, steps)(X), factored(X))
        iterative = difflayers.IterativeDiffusion(ETA, steps).precompute(L)
        near(hopcore.IterativeDiffusion(L, ETA, steps)(X), iterative(X))


def created() -> None:
    for mode in ("simple", "iterative", "spectral"):
        expected = difflayers.DiffusionOperator.create(mode, ETA, 4).precompute(L)(X)
        near(hopcore.diffusion_operator(L, ETA, mode, 4)(X), expected)


def applied() -> None:
    for mode in ("simple", "iterative", "spectral"):
        expected = difflayers.apply_diffusion(X, L, ETA, mode, 4)
        near(hopcore.apply_diffusion(X, L, ETA, mode, 4), expected)
        named = {"eta": ETA, "mode": mode, "steps": 4}
        near(hopcore.apply_diffusion(X, L, **named), expected)


def similarity() -> None:
    near(hopcore.build_similarity_matrix(X), peer_graph.build_similarity_matrix(X))


def neighbours() -> None:
    compared = peer_graph.build_similarity_matrix(X)
    near(hopcore.build_knn_graph(compared, k=K), peer_graph.build_knn_graph(compared, k=K))


def attention() -> None:
    found = hopcore.AttentionOperator(beta=0.3)(Q, X, V)
    near(found, difflayers.AttentionOperator(beta=0.3)(Q, X, V))


def engine() -> None:
    for steps in (1, 4):
        settings = {"steps": steps, "eta": ETA, "use_normalized_laplacian": False}
        operator = difflayers.SimpleDiffusion(ETA).precompute(L)
        theirs = difflayers.DynamicsEngine(
            operator, difflayers.AttentionOperator(0.3), steps
        ).run_dynamics(Q, X, X, diffuse_query=False)
        ours = hopcore.DynamicsEngine(
            hopcore.FactoredDiffusion(W, W.sum(1), ETA),
            hopcore.AttentionOperator(0.3),
            hopcore.DiffusionConfig(**settings),
        ).run(Q, X, X)
        near(ours[1], theirs[1])
        if steps == 1:  # later ones overwrite the query there
            near(ours[0], theirs[0])


def one_tensor() -> None:
    operator = difflayers.IterativeDiffusion(ETA, 4).precompute(L)
    expected = difflayers.DynamicsEngine(operator).run_diffusion(X)
    near(hopcore.IterativeDiffusion(L, ETA, 4)(X), expected)


def tracker_forgets() -> None:
    tracker = hopcore.EnergyTracker()
    hopcore.diffused_retrieve(Q, X, 0.3, config=hopcore.DiffusionConfig(), tracker=tracker)
    assert tracker.energies
    tracker.clear()
    assert tracker.energies == []


def every(check: Check, *keys: str) -> dict[str, Check]:
    return dict.fromkeys(keys, check)


NUMBERS: dict[str, dict[str, Check]] = {
    "DiffusedHopfield": {"invalidate_cache()": layer_forgets},
    "DiffusionConfig": {
        "eta": config(eta=0.11),
        "k_neighbors": config(k_neighbors=2),
        "steps": config(steps=6),
        "diffusion_mode": modes,
        "to_dict()": to_dict,
    },
    "GraphBuilder": every(graph, "k", "build(X)"),
    "LaplacianBuilder": every(laplacians, "normalized", "build(W)"),
    "GraphCache": {"config": cached, "invalidate()": forgotten},
    "Operators": {
        **every(operators, "eta", "steps", "precompute(L)", "__call__(X)"),
        **every(operators, "precompute_from_graph(W)", "precompute_from_graph(deg)"),
        **every(created, "create(mode)", "create(eta)", "create(steps)"),
    },
    "Functions": {
        "build_similarity_matrix(X)": similarity,
        **every(neighbours, "build_knn_graph(S)", "build_knn_graph(k)"),
        **every(laplacians, "compute_laplacian(A)", "compute_normalized_laplacian(A)"),
        **every(applied, *(f"apply_diffusion({x})" for x in ("X", "L", "eta", "mode", "steps"))),
    },
    "AttentionOperator": every(attention, "beta", "__call__(Q)", "__call__(K)", "__call__(V)"),
    "DynamicsEngine": {
        **every(engine, "diffusion_op", "attention_op", "steps"),
        "run_diffusion(X)": one_tensor,
    },
    "EnergyTracker": {"reset()": tracker_forgets},
}
"""By the headings of the page's tables, and their rows."""
