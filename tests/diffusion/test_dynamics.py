"""Diffusion-augmented retrieval: its settings, its refusals, its edges, its low-level parts."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
import torch

import hopcore
from hopcore import DiffusionConfig
from hopcore.arrays import check_inputs
from hopcore.diffusion._adaptive_eta import association_entropy

DEFAULTS = {
    "eta": 0.1,
    "beta": 1.0,
    "steps": 3,
    "diffusion_mode": "factored",
    "attention_mode": "dense",
    "k_neighbors": 5,
    "use_normalized_laplacian": True,
    "use_sparse": False,
    "diffuse_key": True,
    "diffuse_query": False,
    "use_logit_diffusion": False,
    "logit_eta": None,
    "adaptive_eta": False,
    "adaptive_temperature": 5.0,
    "adaptive_threshold": 1.0,
    "cache_graph": True,
    "energy_stop_tol": 0.0,
}

OTHERS = {
    "eta": 0.25,
    "beta": 4,
    "steps": 0,
    "diffusion_mode": "chebyshev",
    "attention_mode": "graph",
    "k_neighbors": 1,
    "use_normalized_laplacian": False,
    "use_sparse": True,
    "diffuse_key": False,
    "diffuse_query": True,
    "use_logit_diffusion": True,
    "logit_eta": 0.0,
    "adaptive_eta": "query",
    "adaptive_temperature": -2.0,
    "adaptive_threshold": 0,
    "cache_graph": False,
    "energy_stop_tol": 1e-3,
}

rng = np.random.default_rng(0)
STORED = rng.normal(size=(12, 4))
QUERIES = STORED[:3] + 0.1 * rng.normal(size=(3, 4))


def test_settings_are_the_seventeen_of_the_field() -> None:
    assert {field.name: field.default for field in fields(DiffusionConfig)} == DEFAULTS
    assert DiffusionConfig().to_dict() == DEFAULTS


@pytest.mark.parametrize("values", [DEFAULTS, OTHERS])
def test_settings_survive_a_round_trip(values: dict[str, Any]) -> None:
    config = DiffusionConfig.from_dict(values)
    assert config.to_dict() == values
    assert DiffusionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert hash(DiffusionConfig.from_dict(values)) == hash(config)


def test_missing_settings_keep_their_defaults() -> None:
    assert DiffusionConfig.from_dict({"eta": 0.2}) == DiffusionConfig(eta=0.2)


def test_settings_are_frozen_and_named() -> None:
    with pytest.raises(FrozenInstanceError):
        DiffusionConfig().eta = 0.2  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"by name, eta=.*got 1 by position"):
        DiffusionConfig(0.2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match=r"no such fields: etta, t; there are .*beta.*steps"):
        DiffusionConfig.from_dict({"t": 3, "etta": 0.2, "eta": 0.1})


@pytest.mark.parametrize(
    ("name", "values", "error", "message"),
    [
        ("eta", (-0.1, math.nan, math.inf), ValueError, "eta must be >= 0 and finite, got"),
        ("eta", ("0.1", None, True, [0.1]), TypeError, "eta must be a number, got"),
        ("logit_eta", (-1, math.nan, math.inf), ValueError, "logit_eta must be >= 0 and finite"),
        ("logit_eta", ("a", False), TypeError, "logit_eta must be a number, got"),
        ("beta", (0, 0.0, -1.0), ValueError, "beta must be positive and finite, got"),
        ("beta", (math.nan, math.inf), ValueError, "beta must be positive and finite, got"),
        ("beta", (np.ones(2), True), TypeError, "beta must be a number, got"),
        ("steps", (-1, -5), ValueError, "steps must be >= 0, got"),
        ("steps", (1.5, True, "3", None), TypeError, "steps must be an integer, got"),
        ("k_neighbors", (0, -2), ValueError, "k_neighbors must be >= 1, got"),
        ("k_neighbors", (2.0, True), TypeError, "k_neighbors must be an integer, got"),
        ("diffusion_mode", ("Factored", None, 3), ValueError, "must be one of .*'implicit'"),
        ("attention_mode", ("sparse", None), ValueError, "must be one of 'dense', 'graph', got"),
        ("adaptive_eta", ("queries", None, 2), ValueError, "must be one of .*'sample', 'query'"),
        ("adaptive_temperature", (math.nan, math.inf, -math.inf), ValueError, "must be finite"),
        ("adaptive_temperature", ("5", True), TypeError, "must be a number, got"),
        ("adaptive_threshold", (math.nan, math.inf), ValueError, "must be finite"),
        ("adaptive_threshold", (None,), TypeError, "must be a number, got None"),
        ("energy_stop_tol", (-1e-9, math.nan, math.inf), ValueError, "must be >= 0 and finite"),
        ("energy_stop_tol", (None,), TypeError, "must be a number, got None"),
        *(
            (name, (1, 0, None, "yes"), TypeError, f"{name} must be a bool, got")
            for name, value in DEFAULTS.items()
            if isinstance(value, bool) and name != "adaptive_eta"
        ),
    ],
)
def test_settings_that_make_no_sense(
    name: str, values: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    for value in values:
        with pytest.raises(error, match=message) as caught:
            DiffusionConfig(**{name: value})
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def retrieved(**changes: Any) -> hopcore.diffusion.DiffusedRetrieval:
    """What is found, where the configuration's settings are among the options."""
    config = {name: changes.pop(name) for name in DEFAULTS if name in changes}
    given = {"state": QUERIES, "stored": STORED, "beta": 2.0, **changes}
    return hopcore.diffused_retrieve(**given, config=DiffusionConfig(**config))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": "diffused"}, "values must be 'tied', 'evolving' or 'untied', got 'diffused'"),
        ({"tol": -1.0}, "tol must be >= 0 and finite, got -1.0"),
        ({"tol": math.nan}, "tol must be >= 0 and finite, got nan"),
        ({"max_steps": -1}, "max_steps must be >= 0, got -1"),
        (
            {"values": "evolving", "max_steps": 2},
            "an evolving memory makes config.steps = 3 updates, got max_steps=2",
        ),
        (
            {"values": "untied", "projection": STORED, "max_steps": 1},
            "untied values are recalled once",
        ),
        (
            {"use_logit_diffusion": True, "max_steps": 2},
            "use_logit_diffusion makes one association, got max_steps=2",
        ),
        (
            {"attention_mode": "graph", "use_logit_diffusion": True},
            "use_logit_diffusion and attention_mode='graph' cannot be combined",
        ),
        ({"adaptive_eta": "query", "max_steps": 5}, "adaptive_eta='query' makes one association"),
        ({"adaptive_eta": "query", "values": "evolving"}, "needs tied or untied values"),
        ({"adaptive_eta": "query", "energy_stop_tol": 0.1}, "excludes energy_stop_tol"),
        ({"adaptive_eta": "query", "attention_mode": "graph"}, "excludes energy_stop_tol, logit"),
        ({"adaptive_eta": "query", "tracker": hopcore.EnergyTracker()}, "cannot record it"),
        ({"stored": STORED[:, :3]}, r"\(3, 4\).*\(12, 3\)"),
        ({"projection": STORED[:5]}, r"\(5, 4\)"),
        ({"graph": hopcore.knn_graph(STORED[:7], 2)}, "a node for each of the 12 .*got 7"),
        (
            {"eta": 1.5, "steps": 1},
            r"eta = 1.5 is above 2/lambda_max = 1\.\d+, where explicit steps grow; use a smaller",
        ),
        ({"eta": 1.5, "adaptive_eta": True}, "eta = 1.5 is above 2/lambda_max"),
        ({"eta": 1.5, "adaptive_eta": "query"}, "eta = 1.5 is above 2/lambda_max"),
        ({"logit_eta": 1.5, "use_logit_diffusion": True}, "eta = 1.5 is above 2/lambda_max"),
    ],
)
def test_what_does_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        retrieved(**changes)
    assert "\n" not in str(caught.value)


def test_beta_of_a_call_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"beta must be positive and finite, got -1\.0"):
        hopcore.diffused_retrieve(QUERIES, STORED, -1.0)


def test_integers_of_numpy_count_and_what_is_no_number_is_refused_in_one_line() -> None:
    assert hopcore.knn_graph(STORED, np.int64(2)).nodes == len(STORED)
    assert retrieved(max_steps=np.int32(0)).state.shape == QUERIES.shape
    for wrong in (2.0, True, np.ones((2, 2)), "2"):
        with pytest.raises(TypeError, match="max_steps must be an integer, got") as caught:
            retrieved(max_steps=wrong)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 120


def test_settings_must_be_settings() -> None:
    with pytest.raises(TypeError, match=r"config must be a DiffusionConfig, got \{'eta': 0.1\}"):
        hopcore.diffused_retrieve(QUERIES, STORED, 2.0, config={"eta": 0.1})  # type: ignore[arg-type]


def test_a_graph_must_be_a_graph() -> None:
    with pytest.raises(TypeError, match=r"graph must be a hopcore\.Graph, got ndarray"):
        retrieved(graph=np.zeros((12, 12)))
    with pytest.raises(TypeError, match="torch"):
        retrieved(graph=hopcore.knn_graph(torch.tensor(STORED), 2))


def test_engines_refuse_what_they_cannot_do() -> None:
    graph = hopcore.knn_graph(STORED, 2)
    dense = hopcore.compute_laplacian(graph.to_dense())
    operator, attention = (
        hopcore.SimpleDiffusion(dense, 0.1),
        hopcore.AttentionOperator(1.0, "graph"),
    )
    with pytest.raises(ValueError, match="values must be 'tied', 'evolving' or 'untied', got 'a'"):
        hopcore.DynamicsEngine(operator, attention, DiffusionConfig(), values="a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mode must be 'dense' or 'graph', got 'knn'"):
        hopcore.AttentionOperator(mode="knn")
    engine = hopcore.DynamicsEngine(operator, attention, DiffusionConfig())
    with pytest.raises(ValueError, match="needs an operator made from a Graph"):
        engine.run(QUERIES, STORED)
    with pytest.raises(TypeError, match="mode 'graph' needs graph="):
        attention(QUERIES, STORED)
    with pytest.raises(ValueError, match="max_entries must be >= 1, got 0"):
        hopcore.GraphCache(DiffusionConfig(), max_entries=0)


WAYS: list[dict[str, Any]] = [
    {},
    {"values": "evolving"},
    {"values": "untied"},
    {"values": "untied", "projection": rng.normal(size=(2, 12, 3))},
    {"adaptive_eta": "sample"},
    {"adaptive_eta": "query"},
    {"use_logit_diffusion": True},
    {"attention_mode": "graph"},
    {"energy_stop_tol": 1e-3},
    {"energy_stop_tol": 1e-3, "values": "evolving"},
    {"diffuse_query": True},
    {"diffusion_mode": "spectral"},
    {"diffusion_mode": "chebyshev"},
    {"diffusion_mode": "implicit"},
]


@pytest.mark.parametrize("way", WAYS)
def test_a_sample_that_attends_to_nothing_recalls_zeros(way: dict[str, Any]) -> None:
    stored = np.stack([STORED, STORED[::-1]])
    mask = np.ones((2, 1, 12), dtype=bool)
    mask[1] = False
    found = retrieved(stored=stored, state=np.stack([QUERIES, QUERIES]), mask=mask, **way)
    assert np.all(found.output[1] == 0.0)
    assert np.all(np.isfinite(found.output))
    assert np.all(np.isfinite(found.state))
    assert found.keys is None or np.all(np.isfinite(found.keys))
    if found.energy is not None:
        assert np.all(np.isposinf(found.energy[1]))
        assert np.all(np.isfinite(found.energy[0]))
    # The other sample is what it is alone.
    alone = dict(way)
    if "projection" in alone:
        alone["projection"] = alone["projection"][0]
    np.testing.assert_allclose(found.output[0], retrieved(**alone).output, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["zeros", "copies", "one", "isolated"])
def test_degenerate_memories(kind: str, way: dict[str, Any]) -> None:
    stored = {
        "zeros": np.zeros((12, 4)),
        "copies": np.tile(STORED[:1], (12, 1)),
        "one": STORED[:1],
        "isolated": np.concat([np.eye(4), -np.eye(4)]),
    }[kind]
    way = {name: value for name, value in way.items() if name != "projection"}
    for normalized in (True, False):
        found = retrieved(stored=stored, eta=0.05, use_normalized_laplacian=normalized, **way)
        for part in found:
            assert part is None or np.all(np.isfinite(part)), f"{part!r}"
    if kind != "isolated":
        # Where all patterns are one, so is what is recalled. (The symmetric Laplacian smooths
        # x / sqrt(deg), and copies that are chosen by unequal numbers of others differ in that.)
        np.testing.assert_allclose(found.output, np.tile(stored[:1], (3, 1)), atol=1e-5)


@pytest.mark.parametrize("values", ["tied", "evolving", "untied"])
def test_no_queries_are_no_error(values: Any) -> None:
    found = retrieved(state=QUERIES[:0], values=values)
    assert found.output.shape == (0, 4)
    assert found.steps.shape == (0,)


def test_results_say_what_was_done() -> None:
    found = retrieved(eta=0.2, max_steps=0)
    assert np.array_equal(found.state, QUERIES)
    assert np.all(np.isposinf(found.residual))
    assert not found.converged.any()
    assert np.array_equal(found.steps, [0, 0, 0])
    tied = retrieved(eta=0.2)
    assert tied.converged.all()
    assert np.all(tied.residual <= 1e-6 * np.linalg.norm(tied.keys, axis=-1).max())
    evolving = retrieved(eta=0.2, values="evolving", steps=4)
    assert np.array_equal(evolving.steps, [4, 4, 4])
    assert np.isfinite(evolving.residual).all()
    # A change of less than 1e9 ends it after the first step.
    stopped = retrieved(eta=0.2, values="evolving", steps=4, energy_stop_tol=1e9)
    assert np.array_equal(stopped.steps, [1, 1, 1])
    once = retrieved(eta=0.2, values="evolving", steps=1)
    np.testing.assert_allclose(stopped.state, once.state)
    np.testing.assert_allclose(stopped.residual, once.residual)
    assert retrieved(adaptive_eta="query").keys is None


def low_level(patterns: Any, Q: Any, K: Any, V: Any) -> tuple[Any, Any, list[float]]:
    """The example of the low-level parts, as it is written where it comes from."""
    from hopcore import (
        AttentionOperator,
        DiffusionConfig,
        DynamicsEngine,
        EnergyTracker,
        FactoredDiffusion,
        GraphCache,
    )

    cfg = DiffusionConfig(eta=0.1, steps=5, k_neighbors=8)

    # Build graph once
    cache = GraphCache(cfg)
    graph = cache.get(patterns)  # builds kNN + Laplacian; cached on repeated calls

    # Build operators
    diffusion_op = FactoredDiffusion(graph.W, graph.deg, cfg.eta)
    attn_op = AttentionOperator(beta=cfg.beta, mode=cfg.attention_mode)

    # Run the dynamics loop
    engine = DynamicsEngine(diffusion_op, attn_op, cfg)
    tracker = EnergyTracker(enabled=True)

    Q_out, K_out = engine.run(Q, K, V, tracker=tracker)

    return Q_out, K_out, tracker.energies


def test_an_entropy_at_the_threshold_has_the_slope_of_its_neighbours() -> None:
    def slope(threshold: float) -> torch.Tensor:
        queries = torch.from_numpy(QUERIES).requires_grad_()
        config = DiffusionConfig(beta=2.0, adaptive_eta="sample", adaptive_threshold=threshold)
        found = hopcore.diffused_retrieve(
            queries, torch.from_numpy(STORED), 2.0, config=config, max_steps=1
        )
        return torch.autograd.grad(found.state.sum(), queries)[0]

    inputs = check_inputs(torch.from_numpy(QUERIES), torch.from_numpy(STORED), beta=2.0)
    entropy = float(association_entropy(inputs).mean())
    torch.testing.assert_close(slope(entropy), slope(entropy + 1e-9))


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_the_low_level_example(library: str) -> None:
    values = np.random.default_rng(1).normal(size=(4, 64, 16)).astype(np.float32)
    given = [torch.from_numpy(x) if library == "torch" else x for x in values]
    output, keys, energies = low_level(*given)
    patterns, queries, stored, projection = values.astype(np.float64)
    laplacian = hopcore.compute_normalized_laplacian(hopcore.knn_graph(patterns, 8).to_dense())
    step = np.eye(64) - 0.1 * laplacian
    memories = [np.linalg.matrix_power(step, n) @ stored for n in range(6)]
    np.testing.assert_allclose(np.asarray(keys), memories[-1], atol=1e-5)
    wanted = hopcore.association(queries, memories[-1], projection, beta=1.0)
    np.testing.assert_allclose(np.asarray(output), wanted, atol=1e-4)
    true = [hopcore.energy(queries, keys, 1.0).mean() for keys in memories]
    np.testing.assert_allclose(energies, true, rtol=1e-5)
    assert type(output) is type(keys) is type(given[0])


def test_an_operator_of_ones_own_drives_the_loop() -> None:
    class Mean(hopcore.DiffusionOperator):
        """Half-way to the mean."""

        def __call__(self, features: Any) -> Any:
            return 0.5 * (features + features.mean(axis=-2, keepdims=True))

    config, tracker = DiffusionConfig(steps=2), hopcore.EnergyTracker()
    engine = hopcore.DynamicsEngine(Mean(), hopcore.AttentionOperator(3.0), config, values="tied")
    output, keys = engine.run(QUERIES, STORED, tracker=tracker)
    mean = STORED.mean(axis=0)
    np.testing.assert_allclose(keys, mean + (STORED - mean) / 4)
    np.testing.assert_allclose(output, hopcore.association(QUERIES, keys, beta=3.0))
    assert len(tracker.energies) == 3
    with pytest.raises(ValueError, match="needs an operator with a symmetric Laplacian"):
        tracker.joint(1.0)
    logit = hopcore.DynamicsEngine(
        Mean(), hopcore.AttentionOperator(3.0), DiffusionConfig(use_logit_diffusion=True)
    )
    with pytest.raises(ValueError, match="needs an operator that has a Laplacian"):
        logit.run(QUERIES, STORED)


def test_a_tracker_that_is_off_records_nothing() -> None:
    for changes in ({}, {"energy_stop_tol": 1e-3}):
        tracker = hopcore.EnergyTracker(enabled=False)
        retrieved(tracker=tracker, **changes)
        assert tracker.energies == []


def test_without_diffusion_one_energy_is_recorded() -> None:
    for changes in ({"diffuse_key": False}, {"steps": 0}):
        tracker = hopcore.EnergyTracker()
        retrieved(tracker=tracker, **changes)
        assert tracker.energies == [hopcore.energy(QUERIES, STORED, 2.0).mean()]


def test_the_joint_energy_needs_the_unnormalised_laplacian() -> None:
    graph = hopcore.knn_graph(STORED, 3)
    with pytest.raises(ValueError, match="J needs the unnormalised Laplacian, got 'symmetric'"):
        hopcore.diffusion.joint_weight(graph.using("symmetric"), 1.0, STORED)
    with pytest.raises(ValueError, match=r"eta must be at most 1/max\(deg\) = 0\.\d+, got 5"):
        hopcore.diffusion.joint_weight(graph, 1.0, STORED, eta=5.0)
    empty = hopcore.Graph.from_dense(np.zeros((3, 3)))
    assert hopcore.diffusion.joint_weight(empty, 1.0, STORED[:3]) == 0.0
