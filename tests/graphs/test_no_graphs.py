"""Batches of no graphs: every function and every operator takes them like any other size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest

import hopcore
from hopcore.diffusion import DiffusionConfig

Ones = Callable[..., Any]
MODES = ("factored", "simple", "iterative", "spectral", "chebyshev", "implicit")
LAPLACIANS = (
    hopcore.compute_laplacian,
    hopcore.compute_normalized_laplacian,
    hopcore.compute_random_walk_laplacian,
)


def of_torch(dtype: str) -> Ones:
    torch = pytest.importorskip("torch")
    return lambda *shape: torch.ones(shape, dtype=getattr(torch, dtype))


LIBRARIES: dict[str, Callable[[], Ones]] = {
    "numpy": lambda: lambda *shape: np.ones(shape),
    "strict": lambda: lambda *shape: array_api_strict.ones(shape),
    "torch": lambda: of_torch("float32"),
    "torch, bfloat16": lambda: of_torch("bfloat16"),
}


@pytest.fixture(params=sorted(LIBRARIES))
def ones(request: pytest.FixtureRequest) -> Ones:
    """Arrays of ones of a library."""
    return LIBRARIES[request.param]()


def test_graphs_of_no_samples(ones: Ones) -> None:
    for lead in ((0,), (3, 0)):
        graph = hopcore.knn_graph(ones(*lead, 5, 4), 2)
        assert (graph.batch, graph.nodes, graph.shape) == (lead, 5, (*lead, 5, 5))
        assert tuple(graph.deg.shape) == (*lead, 5)
        assert tuple(graph.to_dense().shape) == (*lead, 5, 5)
    assert hopcore.knn_graph(ones(0, 5, 4), 2, mask=ones(0, 5) > 0).entries.count == 0
    assert hopcore.knn_graph(ones(0, 1, 4), 2).nodes == 1
    similarity = hopcore.build_similarity_matrix(ones(0, 5, 4))
    assert tuple(hopcore.build_knn_graph(similarity, 2).shape) == (0, 5, 5)
    assert hopcore.Graph.from_dense(similarity).shape == (0, 5, 5)
    with pytest.raises(ValueError, match=r"N >= 1 and d >= 1, got \(2, 0, 4\)"):
        hopcore.knn_graph(ones(2, 0, 4), 2)
    with pytest.raises(ValueError, match=r"N >= 1 and d >= 1, got \(2, 5, 0\)"):
        hopcore.knn_graph(ones(2, 5, 0), 2)


@pytest.mark.parametrize("laplacian", LAPLACIANS, ids=lambda function: function.__name__)
def test_laplacians_of_no_samples(ones: Ones, laplacian: Any) -> None:
    graph = hopcore.knn_graph(ones(0, 5, 4), 2)
    found = laplacian(graph)
    assert tuple((found @ ones(0, 5, 3)).shape) == (0, 5, 3)
    assert tuple(found.to_dense().shape) == (0, 5, 5)
    assert found.bound == (0.0 if found.normalization == "none" else 2.0)
    # Heads share the graph of a sample, as in layers; and a graph meets no features.
    assert tuple((found @ ones(2, 0, 5, 3)).shape) == (2, 0, 5, 3)
    heads = laplacian(hopcore.knn_graph(ones(0, 1, 5, 4), 2))
    assert tuple((heads @ ones(0, 2, 5, 3)).shape) == (0, 2, 5, 3)
    one = laplacian(hopcore.knn_graph(ones(5, 4), 2))
    assert tuple((one @ ones(0, 5, 3)).shape) == (0, 5, 3)
    assert tuple((one @ ones(5, 0)).shape) == (5, 0)


@pytest.mark.parametrize("mode", MODES)
def test_diffusion_of_no_samples(ones: Ones, mode: Any) -> None:
    graph = hopcore.knn_graph(ones(0, 5, 4), 2)
    for given in (graph, hopcore.compute_laplacian(graph), 0.0 * ones(0, 5, 5)):
        diffuse = hopcore.diffusion_operator(given, 0.1, mode, 2)
        assert tuple(diffuse(ones(0, 5, 3)).shape) == (0, 5, 3)
    config = DiffusionConfig(eta=0.1, steps=2, k_neighbors=2, diffusion_mode=mode)
    for state, stored in (((0, 2, 4), (0, 5, 4)), ((0, 4), (5, 4)), ((0, 2, 4), (5, 4))):
        found = hopcore.diffused_retrieve(ones(*state), ones(*stored), 1.0, config=config)
        assert tuple(found.output.shape) == state
        assert tuple(found.energy.shape) == state[:-1]


@pytest.mark.parametrize(
    "options",
    [{"diffuse_query": True}, {"adaptive_eta": True}, {"adaptive_eta": "query"},
     {"use_logit_diffusion": True}, {"attention_mode": "graph"}, {"energy_stop_tol": 1e-3}],
    ids=str,
)  # fmt: skip
def test_every_way_to_diffuse_takes_no_samples(ones: Ones, options: Any) -> None:
    config = DiffusionConfig(eta=0.1, steps=2, k_neighbors=2, **options)
    found = hopcore.diffused_retrieve(ones(0, 2, 4), ones(0, 5, 4), 1.0, config=config)
    assert tuple(found.output.shape) == (0, 2, 4)


def test_no_memory_has_no_scale(ones: Ones) -> None:
    with pytest.raises(ValueError, match=r"at least one memory, got \(0, 5, 4\)"):
        hopcore.phase.effective_scale(ones(0, 5, 4))


def test_derivatives_of_no_samples() -> None:
    torch = pytest.importorskip("torch")
    patterns = torch.ones(0, 5, 4, requires_grad=True)
    weights = hopcore.knn_graph(patterns, 2).to_dense()
    found = hopcore.diffused_retrieve(patterns[:, :2], patterns, 1.0)
    (weights.sum() + found.output.sum()).backward()
    assert patterns.grad is not None
    assert patterns.grad.shape == (0, 5, 4)
