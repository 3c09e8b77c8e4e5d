"""Results never share memory with inputs, so that changing one leaves the other as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import diffusion, graphs, layers, memory, phase, schedules

Make = Callable[..., Any]
Calls = Iterator[tuple[str, Any, Callable[[], Any]]]
"""Names, inputs, and calls with them."""

CONFIG = diffusion.DiffusionConfig(k_neighbors=1, steps=1, eta=0.1)
SETTLED = diffusion.DiffusionConfig(k_neighbors=1, steps=0, eta=0.1, energy_stop_tol=0.1)
STILL = diffusion.DiffusionConfig(k_neighbors=1, steps=0, eta=0.0)
STATIC = layers.HopfieldSettings(
    input_size=4,
    stored_pattern_as_static=True,
    state_pattern_as_static=True,
    pattern_projection_as_static=True,
    disable_out_projection=True,
    normalize_stored_pattern=False,
    normalize_state_pattern=False,
    normalize_pattern_projection=False,
    normalize_stored_pattern_affine=False,
    normalize_state_pattern_affine=False,
    normalize_pattern_projection_affine=False,
)


def arrays_of(value: Any) -> Iterator[np.ndarray]:
    """All arrays in a value, as NumPy sees their memory."""
    if isinstance(value, np.ndarray):
        yield value
    elif hasattr(value, "detach"):
        yield value.detach().numpy()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from arrays_of(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from arrays_of(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays_of(part)


class Given:
    """Small inputs of one library."""

    def __init__(self, make: Make) -> None:
        rng = np.random.default_rng(0)
        self.X, self.S = make(rng.normal(size=(5, 4))), make(rng.normal(size=(3, 4)))
        self.one, self.values = make(rng.normal(size=(1, 4))), make(rng.normal(size=(5, 2)))
        self.batch = make(rng.normal(size=(2, 5, 4)))
        self.scores, self.counts = make(rng.normal(size=(3, 5))), make(np.asarray([2.0, 3.0]))
        self.half = make(np.asarray([[0.0, 0.5], [0.5, 0.0]]))
        self.similarity = make(np.eye(5)[::-1] * (1.0 - np.eye(5)))
        self.ends, self.weights = make(np.asarray([[0, 1], [1, 2]])), make(np.asarray([1.0, 2.0]))
        self.graph = hopcore.knn_graph(self.X, 1)
        self.make = make


def memory_calls(g: Given) -> Calls:
    X, S = g.X, g.S
    part = memory.association(S, X, beta=1.0, return_lse=True)
    read = np.ascontiguousarray(next(arrays_of(X)))
    yield "merge one", part, lambda: memory.merge_associations([part])
    yield "merge two", part, lambda: memory.merge_associations([part, part])
    yield "lse", g.scores, lambda: memory.lse(1.0, g.scores)
    yield "lse of one", g.scores, lambda: memory.lse(1.0, g.scores[:, :1])
    yield "energy", (S, X), lambda: memory.energy(S, X, 1.0)
    yield "gradient", (S, X), lambda: memory.energy_gradient(S, X, 1.0)
    yield "association and lse", (S, X), lambda: part
    yield "at rest", g.one, lambda: memory.retrieve(g.one, g.one, 1.0)
    streamed = hopcore.Streamed(read, rows=2)
    yield "streamed", (S, read), lambda: memory.retrieve(S, streamed, 1.0, max_steps=0)
    yield "streamed association", (S, read), lambda: memory.association(S, streamed, beta=1.0)
    for count, state, gradient in product((0, 1, 100), (S, g.batch), ("unrolled", "implicit")):
        how: Any = {"max_steps": count, "gradient": gradient}
        yield f"retrieve {how}", (state, X), partial(memory.retrieve, state, X, 1.0, **how)
    for kind in ("softmax", "sparsemax"):
        call: Any = partial(memory.association, beta=1.0, separation=kind)
        yield f"association {kind}", (S, X, g.values), partial(call, S, X, g.values)
        yield f"one pattern {kind}", (S, g.one), partial(call, S, g.one)
        weights: Any = partial(memory.association_weights, separation=kind)
        yield f"weights {kind}", (S, X), partial(weights, S, X, 1.0)
        yield f"separate {kind}", g.scores, partial(memory.separate, g.scores, kind)
        yield f"separate one {kind}", g.scores, partial(memory.separate, g.scores[:, :1], kind)


def diffusion_calls(g: Given) -> Calls:
    X, S = g.X, g.S
    for values, config, projection in product(
        ("tied", "evolving", "untied"), (CONFIG, STILL, SETTLED), (None, g.values)
    ):
        how: Any = {"values": values, "config": config, "projection": projection}
        call = partial(hopcore.diffused_retrieve, S, X, 1.0, **how)
        yield f"diffused {values} {config} {projection is None}", (S, X, g.values), call
        if values == "tied" and config is not SETTLED:
            yield f"no updates {config}", (S, X, g.values), partial(call, max_steps=0)
        engine = hopcore.DynamicsEngine(
            hopcore.FactoredDiffusion(g.graph, g.graph.deg, 0.0),
            hopcore.AttentionOperator(),
            config,
            values=values,
        )
        yield f"engine {values} {config}", (S, X), partial(engine.run, S, X, projection)
    for mode, eta, steps in product(diffusion_modes(), (0.0, 0.1), (0, 1)):
        for laplacian in (g.graph, 0.0 * g.graph.to_dense()):
            call = partial(hopcore.apply_diffusion, X, laplacian, eta, mode, steps)
            yield f"{mode} {eta} {steps} {type(laplacian)}", X, call
    etas = g.make(np.zeros(2))
    twice = hopcore.knn_graph(g.batch, 1)
    yield "etas", g.batch, lambda: hopcore.IterativeDiffusion(twice, etas, 0)(g.batch)
    yield "step", X, lambda: hopcore.IterativeDiffusion(g.graph, 0.0, 0).step(X)
    graph = g.graph
    yield "anchored", (S, X), lambda: diffusion.anchored_association(S, X, beta=1.0, graph=graph)
    yield "attention", (S, X), lambda: hopcore.AttentionOperator()(S, X)


def diffusion_modes() -> tuple[Any, ...]:
    return ("simple", "iterative", "factored", "spectral", "chebyshev", "implicit")


def graph_calls(g: Given) -> Calls:
    X, half, graph = g.X, g.half, g.graph
    still = hopcore.Graph.from_dense(0.0 * half)
    yield "from_dense", half, lambda: hopcore.Graph.from_dense(half)
    yield "dense of dense", half, lambda: hopcore.Graph.from_dense(half).to_dense()
    edges = g.ends, g.weights
    yield "from_edges", edges, lambda: hopcore.Graph.from_edges(*edges, 3)
    yield "edges", still, lambda: (still.deg, still.edge_weight, still.edge_index)
    yield "knn_graph", X, lambda: hopcore.knn_graph(X, 2)
    yield "similarity", X, lambda: hopcore.build_similarity_matrix(X)
    yield "knn of all", g.similarity, lambda: hopcore.build_knn_graph(g.similarity, 4)
    yield "matmul", (graph, X), lambda: graph @ X
    yield "laplacian matmul", (graph, X), lambda: graphs.compute_laplacian(graph) @ X
    yield "dirichlet", (graph, X), lambda: hopcore.dirichlet_energy(X, graph)
    for kind in ("laplacian", "normalized_laplacian", "random_walk_laplacian"):
        function = getattr(graphs, f"compute_{kind}")
        none = 0.0 * half
        yield f"{kind} dense", half, partial(function, half)
        yield f"{kind} of zeros", none, partial(function, none)
        yield f"builder {kind}", X, getattr(hopcore.GraphBuilder(X).knn(2), kind)().build


def layer_calls(g: Given) -> Calls:
    def parameters_of(settings: Any) -> dict[str, Any]:
        made = layers.initial_parameters(settings, dtype="float64")
        return {name: g.make(value) for name, value in made.items()}

    patterns = (g.batch, g.batch, g.batch)
    projected = layers.HopfieldSettings(input_size=4)
    for settings in (projected, STATIC, dataclasses.replace(STATIC, update_steps_max=3)):
        parameters = {} if settings.static else parameters_of(settings)
        for function in (layers.hopfield, layers.hopfield_weights, layers.hopfield_projections):
            call = partial(function, settings, parameters, *patterns)
            yield f"{function.__name__} {settings}", (g.batch, parameters), call
    quantizer = layers.QuantizerSettings(input_size=4, quantity=3)
    code = parameters_of(quantizer)
    yield "quantize", (code, g.X), lambda: layers.quantize(quantizer, code, g.X)
    yield "straight_through", g.X, lambda: layers.straight_through(g.X)


def other_calls(g: Given) -> Calls:
    X, S = g.X, g.S
    yield "minima", X, lambda: phase.minima(X, 1.0, max_steps=0)
    yield "minima starts", (S, X), lambda: phase.minima(X, 1.0, starts=S, max_steps=0)
    yield "reduced_map", g.scores, lambda: phase.reduced_map(g.scores, 2.0, 5)
    yield "sharpness", (S, X), lambda: phase.normalized_divergence(S, X, 1.0)
    yield "schedule", g.counts, lambda: schedules.Constant(1.0)(g.counts)
    yield "softplus", g.counts, lambda: schedules.softplus(g.counts)
    for function in (phase.centroid_beta, phase.coexistence_beta, phase.saddle_node_beta):
        yield function.__name__, g.counts, partial(function, g.counts)


def torch_module_calls(g: Given) -> Calls:
    modules = pytest.importorskip("hopcore_torch")
    patterns = (g.batch, g.batch, g.batch)
    names = ("stored_pattern", "state_pattern", "pattern_projection")
    static: Any = {f"{name}_as_static": True for name in names}
    static |= {f"normalize_{name}": False for name in names}
    static |= {f"normalize_{name}_affine": False for name in names}
    static |= {"disable_out_projection": True}
    for steps in (0, 2):
        layer = modules.Hopfield(update_steps_max=steps, **static).double().eval()
        yield f"Hopfield {steps}", g.batch, partial(layer, patterns)
        yield f"matrix {steps}", g.batch, partial(layer.get_association_matrix, patterns)
        yield f"values {steps}", g.batch, partial(layer.get_projected_pattern_matrix, patterns)
    for layer in (modules.Hopfield(4), modules.HopfieldPooling(4), modules.HopfieldLayer(4)):
        own = layer.double().eval()
        yield type(layer).__name__, (g.batch, *own.parameters()), partial(own, g.batch)


SUBJECTS = [memory_calls, diffusion_calls, graph_calls, layer_calls, other_calls]


def numpy_given() -> Given:
    return Given(np.array)


def torch_given() -> Given:
    torch = pytest.importorskip("torch")
    return Given(lambda values: torch.tensor(np.ascontiguousarray(values)))


@pytest.mark.filterwarnings("ignore::hopcore.phase.HypothesisWarning")
@pytest.mark.parametrize(
    ("given", "calls"),
    [*product((numpy_given, torch_given), SUBJECTS), (torch_given, torch_module_calls)],
)
def test_no_result_shares_memory_with_an_input(
    given: Callable[[], Given], calls: Callable[[Given], Calls]
) -> None:
    shared = []
    for name, inputs, call in calls(given()):
        result = call()
        for before in arrays_of(inputs):
            for after in arrays_of(result):
                if np.shares_memory(before, after):
                    shared.append(name)
    assert shared == []


def test_a_result_without_updates_can_be_changed_and_differentiated() -> None:
    state = np.ones((2, 3))
    found = memory.retrieve(state, np.eye(3), 1.0, max_steps=0)
    np.testing.assert_array_equal(found.state, state)
    found.state[...] = 7.0
    np.testing.assert_array_equal(state, np.ones((2, 3)))
    torch = pytest.importorskip("torch")
    start = torch.ones(2, 3, requires_grad=True)
    memory.retrieve(start, torch.eye(3), 1.0, max_steps=0).state.sum().backward()
    assert torch.equal(start.grad, torch.ones(2, 3))
