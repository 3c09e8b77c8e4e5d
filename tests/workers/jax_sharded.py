"""Stored patterns over 8 devices of JAX, simulated on the host.

Run by ``tests/hopcore_jax/test_jax_distributed.py``, in a process of its own: JAX must be told how
many devices there are before it starts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import hopcore
from hopcore_jax import HopfieldLayer, HopfieldPooling
from hopcore_jax.distributed import Shards, shard

SEPARATIONS = ("softmax", "sparsemax", hopcore.Entmax(1.5), hopcore.Entmax(3.0))
WIDTHS = {"f32": 4, "f64": 8, "s32": 4, "s64": 8, "u32": 4, "pred": 1, "s8": 1, "u8": 1}
COLLECTIVES = "all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all"


def mesh(workers: int = 8, *, data: int = 1) -> Mesh:
    """A row of devices, or a table of them."""
    devices = np.asarray(jax.devices()[: workers * data])
    if data == 1:
        return Mesh(devices, "memory")
    return Mesh(devices.reshape(data, workers), ("data", "memory"))


def patterns(*shape: int, seed: int = 0, dtype: str = "float64") -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def same(got: Any, expected: Any, tol: float = 1e-10) -> None:
    """Equal relative to the largest value; of pytrees, leaf by leaf."""
    got, expected = (
        jax.tree.leaves(jax.tree.map(whole, x, is_leaf=is_shards)) for x in (got, expected)
    )
    assert len(got) == len(expected) > 0
    for ours, theirs in zip(map(np.asarray, got), map(np.asarray, expected), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        largest = np.max(np.abs(theirs[np.isfinite(theirs)]), initial=0.0)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tol * max(largest, 1e-3))


def is_shards(x: Any) -> bool:
    return isinstance(x, Shards)


def whole(x: Any) -> Any:
    return x.whole() if is_shards(x) else x


def fails(kind: Any, words: str, call: Callable[..., Any], *args: Any) -> None:
    """That a call fails with one line that says these words."""
    with pytest.raises(kind, match=words) as caught:
        call(*args)
    assert "\n" not in str(caught.value)


# Values and derivatives: those of one device.


def everything(separation: Any, **options: Any) -> Callable[..., Any]:
    """Association, energy, and the derivatives of a number made of both."""

    def number(state: Any, stored: Any, projection: Any, beta: Any) -> Any:
        found = hopcore.association(
            state, stored, projection, beta=beta, separation=separation, **options
        )
        energy = hopcore.energy(state, stored, beta, separation=separation, **options)
        probe = jnp.cos(jnp.arange(found.size)).reshape(found.shape)
        total = jnp.sum(probe * found) + jnp.sum(jnp.sin(jnp.where(energy < 1e9, energy, 0.0)))
        return total, (found, energy)

    return jax.jit(jax.value_and_grad(number, (0, 1, 2, 3), has_aux=True))


def compare(
    separation: Any,
    workers: int,
    stored: Any,
    state: Any,
    projection: Any,
    beta: Any,
    mask: Any = None,
    tol: float = 1e-10,
) -> None:
    over = mesh(workers)
    function = everything(separation, mask=mask)
    got = function(state, shard(stored, over), shard(projection, over), beta)
    same(got, function(state, stored, projection, beta), tol)


def test_softmax_uneven_with_mask_and_beta_of_each_query() -> None:
    mask = np.random.default_rng(3).random((4, 19)) < 0.5
    mask[1] = False
    mask[2, :17] = False
    compare(
        "softmax",
        8,
        patterns(19, 5),
        patterns(4, 5, seed=1),
        patterns(19, 3, seed=2),
        jnp.asarray([0.5, 1.0, 2.0, 4.0]),
        jnp.asarray(mask),
    )


def test_softmax_leading_axes() -> None:
    compare(
        "softmax",
        4,
        patterns(2, 1, 10, 5),
        patterns(3, 4, 5, seed=1),
        patterns(10, 3, seed=2),
        jnp.float64(1.0),
        jnp.asarray([[True], [True], [False], [True]]),
    )


def test_sparsemax_uneven_with_mask() -> None:
    mask = np.random.default_rng(3).random((3, 4, 11)) < 0.5
    compare(
        "sparsemax",
        8,
        patterns(11, 5),
        patterns(4, 5, seed=1),
        patterns(11, 3, seed=2),
        jnp.float64(0.5),
        jnp.asarray(mask),
    )


def test_entmax_leading_axes() -> None:
    compare(
        hopcore.Entmax(1.5),
        4,
        patterns(2, 9, 5),
        patterns(3, 1, 4, 5, seed=1),
        patterns(2, 9, 3, seed=2),
        jnp.full((4,), 0.7),
    )


def test_entmax_above_two() -> None:
    compare(
        hopcore.Entmax(3.0),
        8,
        patterns(13, 5),
        patterns(4, 5, seed=1),
        patterns(13, 3, seed=2),
        jnp.float64(0.4),
        jnp.arange(13) != 3,
    )


def test_float32() -> None:
    stored, state, projection = (
        patterns(*shape, seed=seed, dtype="float32")
        for seed, shape in enumerate(((19, 5), (4, 5), (19, 3)))
    )
    compare("softmax", 8, stored, state, projection, jnp.float32(0.5), tol=1e-6)


def test_derivative_of_equal_lengths() -> None:
    """The mean over all longest patterns, also where workers hold different numbers of them."""
    stored = jnp.sign(patterns(11, 5)).at[2].mul(0.5)
    state = patterns(2, 5, seed=1)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(hopcore.energy(state, x, 1.0)))))
    same(slope(shard(stored, mesh(4))), slope(stored))


def test_second_derivatives() -> None:
    state, stored = patterns(3, 5, seed=1), patterns(10, 5)
    for separation in ("softmax", hopcore.Entmax(1.5)):

        def turned(stored: Any, state: Any = state, separation: Any = separation) -> Any:
            def number(state: Any, stored: Any) -> Any:
                return jnp.sum(jnp.sin(hopcore.energy(state, stored, 0.8, separation=separation)))

            slope = jax.grad(number, (0, 1))
            return jax.jvp(lambda x: slope(x, stored), (state,), (jnp.cos(state),))[1]

        same(jax.jit(turned)(shard(stored, mesh(4))), jax.jit(turned)(stored))


def test_retrieval() -> None:
    """Step by step, and compiled."""
    state, stored = patterns(4, 5, seed=1), patterns(19, 5)

    def found(stored: Any, separation: Any) -> Any:
        return hopcore.retrieve(state, stored, 1.5, separation=separation)

    compiled = jax.jit(found, static_argnums=1)
    same(found(shard(stored, mesh()), "softmax"), compiled(stored, "softmax"))
    same(compiled(shard(stored, mesh()), "sparsemax"), compiled(stored, "sparsemax"))


def test_retrieval_derivatives() -> None:
    state, stored = 0.1 * patterns(4, 5, seed=1), patterns(11, 5)

    for gradient, steps in (("unrolled", 4), ("implicit", 100)):

        def number(stored: Any, beta: Any, gradient: Any = gradient, steps: int = steps) -> Any:
            found = hopcore.retrieve(
                state, stored, beta, max_steps=steps, tol=1e-13, gradient=gradient
            )
            return jnp.sum(jnp.sin(found.state))

        slope = jax.jit(jax.grad(number, (0, 1)))
        got = slope(shard(stored, mesh(4)), jnp.float64(0.3))
        same(got, slope(stored, jnp.float64(0.3)), 1e-8)


def test_projection_that_is_no_shards() -> None:
    state, stored, projection = patterns(4, 5, seed=1), patterns(11, 5), patterns(11, 2, seed=2)
    got = hopcore.association(state, shard(stored, mesh()), projection, beta=1.0)
    same(got, hopcore.association(state, stored, projection, beta=1.0))


def test_log_sum_exp_and_gradient_of_the_energy() -> None:
    state, stored = patterns(4, 5, seed=1), patterns(11, 5)
    over = shard(stored, mesh())
    same(
        hopcore.association(state, over, beta=2.0, return_lse=True),
        hopcore.association(state, stored, beta=2.0, return_lse=True),
    )
    same(hopcore.energy_gradient(state, over, 2.0), hopcore.energy_gradient(state, stored, 2.0))


def test_vmap() -> None:
    state, stored = patterns(3, 4, 5, seed=1), patterns(3, 10, 5)
    each = jax.vmap(
        lambda state, stored: hopcore.update(state, stored, 1.0, separation="sparsemax")
    )
    same(jax.jit(each)(state, shard(stored, mesh(4))), each(state, stored))


def test_mesh_of_data_and_memory() -> None:
    over = mesh(4, data=2)
    state, stored = patterns(6, 5, seed=1), patterns(11, 5)
    spread = jax.device_put(state, NamedSharding(over, PartitionSpec("data")))
    placed = shard(stored, over, "memory")
    assert {part.data.shape for part in placed.array.addressable_shards} == {(3, 5)}
    for separation in ("softmax", "sparsemax"):
        got = jax.jit(lambda x, y, z=separation: hopcore.update(x, y, 1.0, separation=z))(
            spread, placed
        )
        same(got, hopcore.update(state, stored, 1.0, separation=separation))
        assert not got.sharding.is_fully_replicated


def test_blocks_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """More scores than a worker holds at once."""
    monkeypatch.setattr("hopcore_jax.kernels._backend.BLOCK", 1 << 12)
    state, stored = patterns(40, 3, seed=1), patterns(4003, 3)
    over = shard(stored, mesh())
    for separation in ("softmax", "sparsemax"):
        expected = hopcore.update(state, stored, 2.0, separation=separation)
        same(hopcore.update(state, over, 2.0, separation=separation), expected)


# Graphs.


def test_graph_of_nearest_neighbours() -> None:
    several = patterns(2, 19, 5)
    mask = jnp.asarray(np.random.default_rng(1).random((2, 19)) < 0.7)

    @partial(jax.jit, static_argnums=1)
    def matrix(given: Any, k: int, shown: Any) -> Any:
        graph = hopcore.knn_graph(given, k, mask=shown)
        return graph.to_dense(), jnp.max(graph.entries.columns)

    for given, k, shown in ((several[0], 3, None), (several[0], 18, mask[0]), (several, 3, mask)):
        got = matrix(shard(given, mesh()), k, shown)
        same(got, matrix(given, k, shown))
        np.testing.assert_array_equal(got[0], jnp.matrix_transpose(got[0]))
    alone = hopcore.knn_graph(shard(patterns(1, 5), mesh(1)), 3)
    assert alone.nodes == 1
    assert not np.asarray(alone.weights).any()


def test_the_first_of_equally_near_neighbours() -> None:
    equal = jnp.sign(patterns(19, 16))
    got, expected = (hopcore.knn_graph(x, 3).to_dense() for x in (shard(equal, mesh()), equal))
    np.testing.assert_array_equal(got, expected)


def test_derivative_of_a_graph() -> None:
    def number(stored: Any) -> Any:
        return jnp.sum(jnp.sin(hopcore.knn_graph(stored, 3).weights))

    slope = jax.jit(jax.grad(number))
    same(slope(shard(patterns(19, 5), mesh())), slope(patterns(19, 5)))


def test_no_worker_holds_all_patterns_for_a_graph() -> None:
    count, width, k = 4096, 64, 2
    over = shard(patterns(count, width, dtype="float32"), mesh())
    compiled = jax.jit(lambda x: hopcore.knn_graph(x, k).weights).lower(over).compile()
    # Neighbours and what is made of them are numbers for each pattern, not patterns.
    moved = collectives(compiled.as_text())
    assert {name for name, _ in moved} == {"collective-permute", "all-gather"}
    assert max(size for _, size in moved) <= 4 * max(count * width // 8, 2 * k * count)


def test_diffusion() -> None:
    """Over the graph that is made of the patterns; and of another normalisation, by a series."""
    state, stored = patterns(4, 5, seed=1), patterns(19, 5)
    over = shard(stored, mesh())
    ways = (
        hopcore.DiffusionConfig(eta=0.05, steps=2, k_neighbors=3, diffuse_query=True),
        hopcore.DiffusionConfig(eta=0.5, k_neighbors=3, diffusion_mode="chebyshev"),
    )
    for config in ways:

        def found(stored: Any, config: Any = config) -> Any:
            graph = hopcore.knn_graph(stored, 3).using("random_walk")
            given = None if config.diffuse_query else graph
            return hopcore.diffused_retrieve(
                state, stored, 1.0, config=config, projection=stored, graph=given, max_steps=3
            )

        compiled = jax.jit(found)
        same(compiled(over), compiled(stored))


def test_derivatives_of_diffusion() -> None:
    state, stored = patterns(3, 5, seed=1), patterns(19, 5)
    config = hopcore.DiffusionConfig(eta=0.05, steps=2, k_neighbors=3)

    def number(state: Any, stored: Any) -> Any:
        found = hopcore.diffused_retrieve(state, stored, 1.0, config=config, max_steps=1)
        return jnp.sum(jnp.sin(found.state))

    slope = jax.grad(number, (0, 1))
    same(jax.jit(slope)(state, shard(stored, mesh(4))), jax.jit(slope)(state, stored))


def test_no_worker_holds_all_patterns_to_diffuse_them() -> None:
    """Nor more edges at once than a block."""
    count, width = 4096, 64
    over = shard(patterns(count, width, dtype="float32"), mesh())
    ends = jnp.stack([jnp.arange(count - 1), jnp.arange(1, count)])
    graph = hopcore.Graph.from_edges(ends, jnp.ones(count - 1, "float32"), count)
    compiled = jax.jit(lambda x, y: hopcore.SimpleDiffusion(x, 0.1)(y).array).lower(graph, over)
    moved = collectives(compiled.compile().as_text())
    part = 4 * count * width // 8
    assert {name for name, _ in moved} == {"collective-permute"}
    assert max(size for _, size in moved) <= part + 8


def test_what_is_not_for_shards() -> None:
    state, over = patterns(4, 5, seed=1), shard(patterns(19, 5), mesh())
    refused: tuple[tuple[str, dict[str, Any]], ...] = (
        ("graph must be of jax-sharded", {"attention_mode": "graph"}),
        ("too many", {"use_logit_diffusion": True}),
        ("shards", {"diffusion_mode": "implicit"}),
        ("jax and jax-sharded", {"diffusion_mode": "spectral"}),
        ("shards", {"adaptive_eta": True}),
        ("shards", {"energy_stop_tol": 1e-3}),
    )
    for words, settings in refused:
        config = hopcore.DiffusionConfig(eta=0.05, k_neighbors=3, **settings)

        def diffused(config: Any = config) -> Any:
            return hopcore.diffused_retrieve(state, over, 1.0, config=config)

        fails((TypeError, ValueError), words, diffused)
    several = shard(patterns(2, 19, 5), mesh())
    fails(ValueError, "leading axes", lambda: hopcore.diffused_retrieve(state, several, 1.0))


# What is exchanged, and what is held.


def exchanged(function: Callable[..., Any], *args: Any) -> dict[str, int]:
    """Bytes of the results of collectives in a compiled function, by their kind."""
    found: dict[str, int] = {}
    for name, size in collectives(jax.jit(function).lower(*args).compile().as_text()):
        found[name] = found.get(name, 0) + size
    return found


def collectives(text: str | None) -> list[tuple[str, int]]:
    """Those of a compiled program, and the bytes of their results."""
    assert text is not None
    found = []
    for kinds, name in re.findall(rf"= (.*?) ({COLLECTIVES})(?:-start)?\(", text):
        sizes = re.findall(r"(\w+)\[([\d,]*)\]", kinds)
        found.append(
            (
                name,
                sum(
                    WIDTHS[x] * math.prod(map(int, shape.split(",") if shape else ()))
                    for x, shape in sizes
                ),
            )
        )
    return found


def work(separation: Any) -> Callable[..., Any]:
    """A number made of an energy, an association and a retrieval, and its derivatives."""

    def number(state: Any, stored: Any, mask: Any) -> Any:
        options: dict[str, Any] = {"mask": mask, "separation": separation}
        energy = hopcore.energy(state, stored, 2.0, **options)
        found = hopcore.association(state, stored, beta=2.0, **options)
        rest = hopcore.retrieve(state, stored, 2.0, max_steps=2, **options).state
        return sum(jnp.sum(jnp.sin(x)) for x in (energy, found, rest))

    return jax.value_and_grad(number, (0, 1))


def test_bytes_do_not_grow_with_the_memory() -> None:
    state = patterns(3, 5, seed=1)
    for separation, counts in zip(
        SEPARATIONS, ((50, 40_003), (50, 40_003), (40_003,), (40_003,)), strict=True
    ):
        found = []
        for count in counts:
            mask = jnp.ones((1, count), bool)
            found.append(
                exchanged(work(separation), state, shard(patterns(count, 5), mesh()), mask)
            )
        assert found[0] == found[-1], (separation, found)
        assert set(found[0]) == {"all-reduce"}
        # Some tens of numbers (L, v) of 8 bytes.
        assert 0 < found[0]["all-reduce"] < 60 * state.size * 8, (separation, found)


def test_that_the_count_sees_a_gather() -> None:
    """The same of an array that is split, where sparse weights are looked for in all scores."""
    state = patterns(3, 5, seed=1)
    stored = shard(patterns(8192, 5), mesh()).array
    found = exchanged(lambda x, y: hopcore.update(x, y, 1.0, separation="sparsemax"), state, stored)
    assert found.get("all-gather", 0) + found.get("all-reduce", 0) > 3 * 8192


def test_memory_of_a_worker() -> None:
    stored = np.random.default_rng(0).normal(size=(64_000, 16))
    state = patterns(2, 16, seed=1)
    held, needed = [], []
    for workers in (1, 2, 4, 8):
        over = shard(stored, mesh(workers))
        held.append({part.data.nbytes for part in over.array.addressable_shards})
        function = jax.jit(lambda x, y: hopcore.update(x, y, 1.0))
        used: Any = function.lower(state, over).compile().memory_analysis()
        needed.append(used.argument_size_in_bytes + used.temp_size_in_bytes)
    assert held == [{stored.nbytes // n} for n in (1, 2, 4, 8)]
    assert needed[-1] < 1.1 * needed[0] / 8
    assert needed[1] < 1.1 * needed[0] / 2


def test_slices_are_read_and_nothing_else() -> None:
    """From a source of slices, and from one that is streamed."""
    values = np.random.default_rng(0).normal(size=(19, 5)).astype("float32")

    class Source:
        shape, dtype = values.shape, values.dtype
        most = 0

        def __getitem__(self, index: Any) -> np.ndarray:
            found = values[index]
            self.most = max(self.most, found.shape[0])
            return found

    source = Source()
    over = shard(source, mesh())
    assert source.most == 3
    assert over.dtype == "float32"
    same(over, jnp.asarray(values))
    same(shard(hopcore.Streamed(values, rows=4), mesh()), jnp.asarray(values))
    assert over.array.shape == (24, 5)
    assert not np.asarray(over.array)[19:].any()


# Arrays that are split but no shards.


def test_arrays_that_are_split() -> None:
    over = NamedSharding(mesh(), PartitionSpec("memory"))
    state, stored = patterns(4, 5, seed=1), patterns(16, 5)
    split = jax.device_put(stored, over)
    for separation in ("softmax", "sparsemax"):
        expected = hopcore.update(state, stored, 1.0, separation=separation)
        same(hopcore.update(state, split, 1.0, separation=separation), expected)
    bad = jax.device_put(stored.at[9, 2].set(jnp.nan), over)
    fails(
        ValueError,
        r"stored must be finite, got nan at index \(9, 2\)",
        hopcore.update,
        state,
        bad,
        1.0,
    )


def test_modules_with_parameters_that_are_split() -> None:
    over = NamedSharding(mesh(), PartitionSpec(None, "memory"))
    for kind in (HopfieldLayer, HopfieldPooling):
        layer = kind(4, hidden_size=4, num_heads=2, quantity=16, key=jax.random.key(0))
        given = patterns(3, 6, 4, seed=1)

        def number(layer: Any, given: Any = given) -> Any:
            return jnp.sum(jnp.sin(layer(given)))

        slope = eqx.filter_jit(eqx.filter_value_and_grad(number))
        expected = slope(layer)
        name = next(name for name, x in layer.parameters.items() if x.shape[1:2] == (16,))
        parameters = {**layer.parameters, name: jax.device_put(layer.parameters[name], over)}
        split = kind.of(layer.settings, parameters=parameters)
        got = slope(split)
        same(got, expected, 1e-8)
        assert got[1].parameters[name].sharding.is_equivalent_to(over, 3)


# Shards as values.


def test_pytree_and_what_it_says() -> None:
    over = shard(patterns(19, 5), mesh())
    assert over.shape == (19, 5)
    assert over.ndim == 2
    assert over.dtype == "float64"
    assert repr(over) == "<Shards (19, 5) float64, 8 workers along 'memory'>"
    same(over, patterns(19, 5))
    gradient = jax.grad(lambda x: jnp.sum(hopcore.energy(patterns(2, 5), x, 1.0)))(over)
    assert isinstance(gradient, Shards)
    assert gradient.array.sharding == over.array.sharding
    stepped = jax.tree.map(lambda x, y: x - 0.1 * y, over, gradient)
    assert stepped.shape == (19, 5)
    assert not np.asarray(stepped.array)[19:].any()
    inside = jax.jit(lambda x: hopcore.energy(patterns(2, 5), shard(x, mesh()), 1.0))
    same(inside(patterns(19, 5)), hopcore.energy(patterns(2, 5), patterns(19, 5), 1.0))


def test_explicit_axes() -> None:
    """A mesh as jax.make_mesh makes it now."""
    over = shard(patterns(19, 5), jax.make_mesh((8,), ("memory",)))
    state = patterns(2, 5, seed=1)
    same(jax.jit(hopcore.energy)(state, over, 1.0), hopcore.energy(state, patterns(19, 5), 1.0))


# Errors.


def test_errors() -> None:
    state, stored = patterns(2, 5, seed=1), patterns(19, 5)
    over = shard(stored, mesh())
    fails(ValueError, "8 workers along 'memory'", shard, stored[:7], mesh())
    fails(ValueError, "axes of the mesh are 'memory': got 'rows'", shard, stored, mesh(), "rows")
    fails(ValueError, "must name one", shard, stored, mesh(4, data=2))
    fails(TypeError, "jax.sharding.Mesh", shard, stored, 8)
    fails(TypeError, "real floating", shard, jnp.ones((9, 2), int), mesh())
    fails(ValueError, "not empty", shard, jnp.ones((0, 2)), mesh())
    fails(ValueError, "not empty", shard, jnp.ones(9), mesh())
    other = shard(stored, mesh(4))
    fails(ValueError, "one mesh", lambda: hopcore.association(state, over, other, beta=1.0))
    fewer = shard(stored[:18], mesh())
    fails(ValueError, r"\(..., 19, v\)", lambda: hopcore.association(state, over, fewer, beta=1.0))
    fails(TypeError, "a state cannot be shards", hopcore.energy, over, over, 1.0)
    fails(TypeError, "a state cannot be shards", hopcore.energy, over, stored, 1.0)
    fails(TypeError, "one library", hopcore.energy, np.asarray(state), over, 1.0)
    fails(TypeError, "too many", hopcore.association_weights, state, over, 1.0)
    fails(TypeError, "gathered", np.asarray, over)
    fails(ValueError, "method 'exact'", lambda: hopcore.knn_graph(over, 2, method="nndescent"))
    bad = shard(stored.at[17, 2].set(jnp.inf), mesh())
    fails(ValueError, r"finite, got inf at index \(17, 2\)", hopcore.energy, state, bad, 1.0)
    elsewhere = jax.device_put(state, jax.devices()[3])
    fails(ValueError, "state must be on the 8 devices", hopcore.energy, elsewhere, over, 1.0)
    fails(TypeError, "float32", hopcore.energy, state.astype("float32"), over, 1.0)
