"""The cases that difflayers 0.1.1 gets wrong, on hopcore (``nox -s peers``).

Each test shows what hopcore does, and beside it what the peer does, where that is cheap to show.
"""

from __future__ import annotations

import math
from typing import Any

import difflayers
import pytest
import torch
from difflayers.dynamics_engine import DynamicsEngine
from difflayers.graph.laplacian import compute_laplacian

import hopcore
from hopcore import DiffusionConfig

STATIC: dict[str, Any] = {
    "input_size": None,
    "disable_out_projection": True,
    "batch_first": True,
    **{
        name: value
        for part in ("stored_pattern", "state_pattern", "pattern_projection")
        for name, value in (
            (f"{part}_as_static", True),
            (f"normalize_{part}", False),
            (f"normalize_{part}_affine", False),
        )
    },
}
"""The peer's layer without learned projections, as its documentation writes it."""


def patterns(count: int = 24, width: int = 8, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


def peer_operator(stored: torch.Tensor, **settings: Any) -> Any:
    """What the peer diffuses patterns with."""
    config = difflayers.DiffusionConfig(**settings)
    return difflayers.GraphCache(config).get(stored)[-1]


def diffused(stored: torch.Tensor, **settings: Any) -> torch.Tensor:
    """What hopcore diffuses patterns to."""
    config = DiffusionConfig(**settings)
    state = stored[:1]
    keys = hopcore.diffused_retrieve(state, stored, 1.0, config=config, max_steps=0).keys
    assert keys is not None
    return keys


def test_1_the_normalised_laplacian_is_used_in_the_factored_mode() -> None:
    stored = patterns()
    settings = {"eta": 0.05, "steps": 1, "diffusion_mode": "factored"}
    ours, theirs = (
        [find(use_normalized_laplacian=flag) for flag in (True, False)]
        for find in (
            lambda **flag: diffused(stored, **settings, **flag),
            lambda **flag: peer_operator(stored, **settings, **flag)(stored),
        )
    )
    graph = hopcore.knn_graph(stored, 5)
    for found, compute in zip(
        ours, (hopcore.compute_normalized_laplacian, hopcore.compute_laplacian), strict=True
    ):
        laplacian = compute(graph.to_dense())
        torch.testing.assert_close(found, stored - 0.05 * laplacian @ stored)
    assert (ours[0] - ours[1]).norm() > 0.01 * stored.norm()
    assert torch.equal(*theirs)


def test_2_explicit_steps_do_not_diverge_on_hubs() -> None:
    stored = 1.0 + 0.3 * patterns(400, 64)
    settings = {"eta": 0.1, "steps": 10, "k_neighbors": 8}
    with pytest.raises(ValueError, match=r"eta = 0.1 is above 2/lambda_max = 0\.0\d+, where"):
        diffused(stored, **settings, use_normalized_laplacian=False)
    for changes in ({}, {"use_normalized_laplacian": False, "diffusion_mode": "chebyshev"}):
        found = diffused(stored, **settings, **changes)
        assert torch.isfinite(found).all()
        assert found.norm() <= stored.norm() * (1 + 1e-5)
    # Its default, with the normalised Laplacian asked for.
    assert peer_operator(stored, **settings)(stored).norm() > 1e6 * stored.norm()


def test_3_diffusion_steps_do_not_overwrite_the_query() -> None:
    stored = torch.nn.functional.normalize(patterns(64, 32), dim=-1)
    queries = stored + 0.05 * patterns(64, 32, seed=1)
    config = DiffusionConfig(eta=0.15, k_neighbors=10, diffusion_mode="iterative", steps=5)

    def score(output: torch.Tensor) -> float:
        return float((torch.cdist(output, stored).argmin(-1) == torch.arange(64)).float().mean())

    options = {"config": config, "projection": stored, "values": "untied"}
    found = hopcore.diffused_retrieve(queries, stored, 4.0, **options)
    assert torch.equal(found.state, queries)
    assert score(found.output) == 1.0
    assert score(hopcore.association(queries, stored, beta=4.0)) == 1.0
    layer = difflayers.DiffusedHopfield(
        **STATIC,
        scaling=4.0,
        eta=0.15,
        k_neighbors=10,
        diffusion_mode="iterative",
        diffusion_steps=5,
    )
    given = (stored[None], queries[None], stored[None])
    assert score(layer(given)[0]) < 0.1
    assert score(difflayers.Hopfield(**STATIC, scaling=4.0)(given)[0]) == 1.0


def test_4_a_tiny_eta_is_no_diffusion() -> None:
    stored, queries = patterns(), 0.3 * patterns(5, seed=1)
    ours = [
        hopcore.diffused_retrieve(
            queries, stored, 0.5, config=DiffusionConfig(eta=eta), values=values
        ).output
        for values in ("untied", "tied", "evolving")
        for eta in (0.0, 1e-12)
    ]
    for none, tiny in zip(ours[::2], ours[1::2], strict=True):
        torch.testing.assert_close(none, tiny)
    torch.testing.assert_close(ours[0], hopcore.association(queries, stored, beta=0.5))
    none, tiny = (
        difflayers.DiffusedHopfield(**STATIC, scaling=0.5, eta=eta)(
            (stored[None], queries[None], stored[None])
        )
        for eta in (0.0, 1e-12)
    )
    assert (none - tiny).norm() > 0.01 * none.norm()


def test_5_a_sample_does_not_depend_on_its_batch_mates() -> None:
    stored = torch.stack([patterns(seed=seed) for seed in range(3)])
    queries, config = stored[:, :4], DiffusionConfig(eta=0.2)
    together = hopcore.diffused_retrieve(queries, stored, 0.5, config=config, max_steps=1)
    alone = hopcore.diffused_retrieve(queries[:1], stored[:1], 0.5, config=config, max_steps=1)
    torch.testing.assert_close(together.output[:1], alone.output)
    torch.testing.assert_close(together.keys[:1], alone.keys)
    layer = difflayers.DiffusedHopfield(**STATIC, scaling=0.5, eta=0.2)
    both = layer((stored, queries, stored)), layer((stored[:1], queries[:1], stored[:1]))
    assert (both[0][:1] - both[1]).abs().max() > 1e-3


def test_6_padding_does_not_leak() -> None:
    stored, queries = patterns(), patterns(4, seed=1)
    other = torch.cat([stored[:18], 5.0 * patterns(6, seed=2)])
    shown = torch.arange(24) < 18
    config = DiffusionConfig(eta=0.2)
    ours = [
        hopcore.diffused_retrieve(queries, memory, 0.5, config=config, mask=shown, max_steps=1)
        for memory in (stored, other)
    ]
    torch.testing.assert_close(ours[0].output, ours[1].output)
    torch.testing.assert_close(ours[0].keys[:18], ours[1].keys[:18])
    layer = difflayers.DiffusedHopfield(**STATIC, scaling=0.5, eta=0.2)
    theirs = [
        layer((memory[None], queries[None], memory[None]), stored_pattern_padding_mask=~shown[None])
        for memory in (stored, other)
    ]
    assert (theirs[0] - theirs[1]).abs().max() > 1e-2


def test_7_a_cache_is_not_stale() -> None:
    cache = hopcore.GraphCache(DiffusionConfig(k_neighbors=2))
    peer = difflayers.GraphCache(difflayers.DiffusionConfig(k_neighbors=2))
    # Integers: their sum is the same in every order.
    stored = torch.tensor([[4.0, 0.0], [3.0, 1.0], [0.0, 4.0], [2.0, 3.0]])
    ours, theirs = cache.get(stored).W.to_dense(), peer.get(stored)[0].clone()
    torch.testing.assert_close(ours, theirs)
    order = [1, 2, 0, 3]
    stored[:] = stored[order].clone()
    moved = cache.get(stored).W.to_dense()
    torch.testing.assert_close(moved, ours[order][:, order])
    assert not torch.allclose(moved, ours)
    assert torch.equal(peer.get(stored)[0], theirs)
    assert (cache.hits, cache.misses) == (0, 2)
    # Patterns of equal sum in one place, one after the other.
    stored[:] = torch.tensor([[1.0, 3.0], [4.0, 4.0], [2.0, 0.0], [0.0, 3.0]])
    fresh = hopcore.knn_graph(stored, 2).to_dense()
    torch.testing.assert_close(cache.get(stored).W.to_dense(), fresh)
    assert torch.equal(peer.get(stored)[0], theirs)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # the peer's own
def test_8_sparse_and_dense_graphs_are_one() -> None:
    stored = patterns()
    similarity = hopcore.build_similarity_matrix(stored)
    dense = hopcore.build_knn_graph(similarity, 5)
    sparse = hopcore.build_knn_graph(similarity, 5, as_sparse=True)
    torch.testing.assert_close(sparse.to_dense(), dense)
    builder = hopcore.GraphBuilder(stored).cosine_similarity().knn(5, sparse=True)
    torch.testing.assert_close(builder.build().W.to_dense(), dense)
    settings = {"eta": 0.2}
    torch.testing.assert_close(
        diffused(stored, **settings, use_sparse=True), diffused(stored, **settings)
    )
    theirs = [difflayers.GraphBuilder(k=5, use_sparse=flag).build(stored)[0] for flag in (0, 1)]
    torch.testing.assert_close(theirs[0], dense)
    torch.testing.assert_close((theirs[1].to_dense() / dense).nan_to_num().max(), torch.tensor(2.0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "settings", [{}, {"use_logit_diffusion": True}, {"attention_mode": "graph"}]
)
def test_9_no_mode_and_no_dtype_crashes(settings: dict[str, Any], dtype: torch.dtype) -> None:
    stored, queries = patterns().to(dtype), patterns(5, seed=1).to(dtype)
    projection = patterns(24, 3, seed=2).to(dtype)
    config = DiffusionConfig(eta=0.2, **settings)
    found = hopcore.diffused_retrieve(
        queries, stored, 0.5, config=config, projection=projection, values="untied"
    )
    assert found.output.dtype == dtype
    assert found.output.shape == (5, 3)
    assert torch.isfinite(found.output).all()


def test_9_what_the_peer_crashes_on() -> None:
    stored, queries = patterns()[None], patterns(5, seed=1)[None]
    cases = {
        "values to unpack": {"use_logit_diffusion": True},
        "must match the size": {"attention_mode": "graph"},
    }
    for message, settings in cases.items():
        layer = difflayers.DiffusedHopfield(**STATIC, scaling=0.5, **settings)
        with pytest.raises((ValueError, RuntimeError), match=message):
            layer((stored, queries, stored))
    layer = difflayers.DiffusedHopfield(input_size=8).double()
    with pytest.raises(RuntimeError, match="dtype"):
        layer((stored.double(), queries.double(), stored.double()))


def test_10_the_heat_kernel_is_applied_once() -> None:
    stored = patterns()
    laplacian = hopcore.compute_normalized_laplacian(hopcore.knn_graph(stored, 5).to_dense())
    wanted = torch.linalg.matrix_exp(-0.1 * laplacian) @ stored
    settings = {"eta": 0.1, "diffusion_mode": "spectral"}
    for steps in (1, 3):
        torch.testing.assert_close(
            diffused(stored, **settings, steps=steps), wanted, atol=1e-5, rtol=1e-5
        )
    operator = peer_operator(stored, **settings, steps=3)
    engine = DynamicsEngine(operator, difflayers.AttentionOperator(), steps=3)
    _, keys = engine.run_dynamics(stored, stored, stored, diffuse_query=False)
    thrice = torch.linalg.matrix_exp(-0.3 * laplacian) @ stored
    torch.testing.assert_close(keys, thrice, atol=1e-4, rtol=1e-4)


def test_12_tracked_energies_are_the_energy() -> None:
    stored, queries, beta = patterns(), 0.5 * patterns(4, seed=1), 0.5
    config = DiffusionConfig(eta=0.1, steps=3, use_normalized_laplacian=False)
    graph, tracker = hopcore.knn_graph(stored, 5), hopcore.EnergyTracker()
    given = {"config": config, "graph": graph, "tracker": tracker}
    hopcore.diffused_retrieve(queries, stored, beta, **given, values="untied", max_steps=0)
    keys = stored
    assert len(tracker.energies) == 4
    for recorded in tracker.energies:
        assert math.isclose(
            recorded, float(hopcore.energy(queries, keys, beta).mean()), rel_tol=1e-5
        )
        keys = hopcore.SimpleDiffusion(graph, 0.1)(keys)
    # What does fall is the joint energy of an evolving memory.
    tracker.clear()
    start = 0.1 * queries
    hopcore.diffused_retrieve(start, stored, beta, **given, values="evolving")
    joint = tracker.joint(hopcore.diffusion.joint_weight(graph, beta, stored, eta=0.1))
    assert (torch.tensor(joint).diff() <= 1e-6 * max(map(abs, joint))).all()
    # The peer's has no log-sum-exp: it is linear in a state without length.
    peer = difflayers.EnergyTracker(beta=beta, eta=0.0)
    laplacian = compute_laplacian(graph.to_dense())
    once, twice = (peer.step(size * queries, stored, laplacian)[0] for size in (1.0, 2.0))
    assert math.isclose(twice, 2 * once, rel_tol=1e-5)


def test_12_the_energy_of_the_peer_rises() -> None:
    stored, beta = 0.5 + patterns(seed=2), 2.0
    laplacian = compute_laplacian(hopcore.knn_graph(stored, 5).to_dense())
    peer = difflayers.EnergyTracker(beta=beta, eta=0.05)
    engine = DynamicsEngine(
        difflayers.SimpleDiffusion(eta=0.05).precompute(laplacian),
        difflayers.AttentionOperator(beta=beta),
        steps=5,
        energy_tracker=peer,
    )
    engine.run_dynamics(stored[:4], stored, stored, L=laplacian, diffuse_query=False)
    assert peer.history[-1] > min(peer.history) + 1.0
    # A tied memory: what retrieval ends with has less energy than what it began with.
    config = DiffusionConfig(eta=0.05, use_normalized_laplacian=False, diffusion_mode="simple")
    found = hopcore.diffused_retrieve(stored[:4], stored, beta, config=config)
    before = hopcore.energy(stored[:4], found.keys, beta)
    assert (found.energy <= before + 1e-5).all()


def test_13_gradients_go_through_the_weights_of_the_graph() -> None:
    stored = patterns().double().requires_grad_()

    def roughness(x: torch.Tensor) -> torch.Tensor:
        weights = hopcore.GraphCache(DiffusionConfig()).get(x).W.to_dense()
        return (weights * torch.arange(24.0, dtype=x.dtype)).sum()

    assert torch.autograd.gradcheck(roughness, (stored,))
    peer = difflayers.GraphCache(difflayers.DiffusionConfig(cache_graph=False))
    with pytest.warns(UserWarning, match="requires_grad=True to a scalar"):
        weights = peer.get(stored.detach().float().requires_grad_())[0]
    assert not weights.requires_grad


def test_13_an_isolated_pattern_is_nobodys_neighbour() -> None:
    # Pairwise at right angles or opposite: no edges at all.
    stored = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    graph = hopcore.knn_graph(stored, 2)
    assert graph.edge_index.shape == (2, 0)
    assert torch.equal(diffused(stored, eta=0.5, k_neighbors=2), stored)
    own = hopcore.diffusion.anchored_association(stored, stored, beta=1.0, graph=graph)
    assert torch.equal(own, stored)
    neighbours = difflayers.GraphBuilder(k=2).build(stored)[2]
    assert (neighbours == torch.arange(4)[:, None]).any()


def test_14_eigenvalues_reach_twice_the_largest_degree() -> None:
    pair = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    graph = hopcore.Graph.from_dense(pair)
    most = float(graph.deg.max())
    eigenvalues = torch.linalg.eigvalsh(hopcore.compute_laplacian(pair))
    assert math.isclose(float(eigenvalues[-1]), 2.0 * most, rel_tol=1e-6)
    # So that 2/lambda_max = 1 is the largest stable eta, and not 2/max(deg).
    hopcore.SimpleDiffusion(graph, 1.0)
    with pytest.raises(ValueError, match=r"eta = 1.5 is above 2/lambda_max = 1,"):
        hopcore.SimpleDiffusion(graph, 1.5)
    peer = difflayers.SimpleDiffusion(eta=1.5).precompute(compute_laplacian(pair))
    state = torch.tensor([[1.0], [-1.0]])
    assert peer(state).norm() > 1.9 * state.norm()
