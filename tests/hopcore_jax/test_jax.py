"""The JAX backend: blocks against the oracle, derivatives, transforms, memory, devices."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any

import array_api_compat.numpy as np_xp
import numpy as np
import pytest

import hopcore
from hopcore.arrays import Backend
from hopcore.memory import get_separation

jax = pytest.importorskip("jax", reason="the JAX backend needs jax")
jnp = jax.numpy
blocks = pytest.importorskip("hopcore_jax.kernels._blocks")
kernels = pytest.importorskip("hopcore_jax.kernels._backend")
weights = pytest.importorskip("hopcore_jax.kernels._separate")

ORACLE = Backend("portable", np_xp)


@pytest.fixture
def x64():
    """float64 for one test; the others run as JAX comes."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def x32():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)
    yield
    jax.config.update("jax_enable_x64", before)


def patterns(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def same(got, expected, tol=1e-10):
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=tol, atol=tol)


# Values.

SHAPES = [
    # state, stored, projection, beta, mask
    ((7, 5), (9, 5), (9, 5), (), None),
    ((7, 5), (9, 5), (9, 3), (7,), (7, 9)),
    ((7, 5), (9, 5), (9, 8), (1,), (7, 1)),
    ((2, 3, 7, 5), (9, 5), (9, 5), (3, 1), (9,)),
    ((2, 3, 7, 5), (9, 5), (9, 5), (), (2, 1, 1, 9)),
    ((2, 3, 7, 5), (3, 9, 5), (2, 1, 9, 4), (3, 1), (2, 1, 1, 9)),
    ((5, 7, 5), (5, 9, 5), (5, 9, 5), (5, 7), (5, 7, 9)),
    ((2, 2, 3, 7, 5), (3, 9, 5), (3, 9, 5), (), (2, 1, 1, 7, 9)),
    ((7, 5), (9, 5), (4, 9, 5), (), None),
    ((7, 5), (9, 5), (9, 5), (4, 1), (4, 7, 9)),
    ((3, 0, 5), (9, 5), (9, 5), (), (3, 1, 9)),
]


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_blocks_of_every_size_agree_with_the_oracle(case, x64):
    *shapes, beta_shape, mask_shape = case
    arrays = [patterns(*shape, seed=i) for i, shape in enumerate(shapes)]
    beta = 1.5 if beta_shape == () else np.abs(patterns(*beta_shape, seed=3)) + 0.1
    mask = None if mask_shape is None else patterns(*mask_shape, seed=4) > -0.3
    if mask is not None:
        mask[..., 0] = False
        if mask.ndim > 1:
            mask[..., 0, :] = False
    traced = [jnp.asarray(x) for x in arrays]
    function = hopcore.Entmax(1.3) if len(arrays[0].shape) == 2 else hopcore.Softmax()
    # All at once; a few queries at a time; a few memories at a time.
    for budget in (10**6, 30, 150):
        expected = ORACLE.associate(*arrays, beta, mask, function, True)
        got = blocks.associate(
            *traced,
            beta if beta_shape == () else jnp.asarray(beta),
            None if mask is None else jnp.asarray(mask),
            backend=hopcore.backend("jax"),
            separation=function,
            budget=budget,
        )
        for mine, oracle in zip(got, expected, strict=True):
            assert mine.shape == oracle.shape
            same(mine, oracle)


@pytest.mark.parametrize(
    ("separation", "beta"), [("sparsemax", 3.0), (hopcore.Entmax(1.3), 0.01)], ids=["few", "many"]
)
def test_sparse_supports_are_exact_however_large(separation, beta, x64):
    # 4100 stored patterns are no multiple of a group. The first query may attend to none; with the
    # small beta the second attends to 100 equal ones, more than are found the short way.
    stored = patterns(4100, 4)
    stored[700:800] = stored[700]
    state, mask = patterns(6, 4, seed=1), np.ones((6, 4100), dtype=bool)
    mask[0] = False
    if beta < 1.0:
        mask[1] = False
        mask[1, 700:800] = True
    function = get_separation(separation)
    expected = ORACLE.associate(state, stored, stored, beta, mask, function, True)
    state, stored, mask = (jnp.asarray(x) for x in (state, stored, mask))
    got = hopcore.backend("jax").associate(state, stored, stored, beta, mask, function, True)
    same(got[0], expected[0])
    same(got[1], expected[1])
    associate = partial(hopcore.association, beta=beta, separation=separation)
    one_by_one = jax.vmap(lambda q, m: associate(q[None], stored, mask=m[None])[0])
    same(jax.jit(one_by_one)(state, mask), expected[0])


@pytest.mark.parametrize(
    ("separation", "gradient"),
    [("softmax", "unrolled"), (hopcore.Entmax(3.0), "implicit")],
    ids=str,
)
def test_retrieval_is_that_of_numpy_in_every_mode_of_execution(separation, gradient, x64):
    stored = patterns(20, 8)
    state = stored[:5] + 0.3 * patterns(5, 8, seed=1)
    mask = patterns(5, 20, seed=2) > -1.0
    expected = hopcore.retrieve(state, stored, 2.0, mask=mask, separation=separation)

    def retrieve(state, stored, mask):
        return hopcore.retrieve(
            state, stored, 2.0, mask=mask, separation=separation, gradient=gradient
        )

    inputs = [jnp.asarray(x) for x in (state, stored, mask)]
    if gradient == "unrolled":
        results = retrieve(*inputs), jax.jit(retrieve)(*inputs)
    else:
        per_query = jax.vmap(lambda query, mask: retrieve(query[None], inputs[1], mask[None]))
        results = jax.jit(lambda: retrieve(*inputs))(), jax.jit(per_query)(inputs[0], inputs[2])
    for found in results:
        assert type(found) is hopcore.Retrieval
        for mine, numpy in zip(found, expected, strict=True):
            assert mine.dtype == numpy.dtype or numpy.dtype.kind == "i"
            same(jnp.reshape(mine, numpy.shape), numpy)


# Derivatives.


@pytest.mark.parametrize(
    ("separation", "again"),
    [("softmax", jax.jacfwd), (hopcore.Entmax(3.0), jax.grad)],
    ids=["softmax-forward", "entmax-reverse"],
)
def test_derivatives_of_both_orders_by_finite_differences(separation, again, x64, monkeypatch):
    # Blocks of 8 queries, and sparse supports of up to 3 found the short way: whatever is inside a
    # scan, a checkpoint or a cond must keep its derivatives.
    for name, value in {"MANY": 64, "FEW": 3}.items():
        monkeypatch.setattr(weights, name, value)
    monkeypatch.setattr(kernels, "BLOCK", 8 * 80)
    mask = jnp.asarray(patterns(9, 80, seed=2) > -1.0).at[3].set(False)
    shapes = (9, 3), (80, 3), (80, 1)
    point = [jnp.asarray(patterns(*shape, seed=i)) for i, shape in enumerate(shapes)]
    point.append(jnp.abs(jnp.asarray(patterns(9, seed=3))) + 1.0)
    along = [jnp.asarray(patterns(*x.shape, seed=9 + i)) for i, x in enumerate(point)]

    def function(state, stored, projection, beta):
        options = {"beta": beta, "mask": mask, "separation": separation}
        output = hopcore.association(state, stored, projection, **options)
        energy = hopcore.energy(state, stored, **options)
        return jnp.sum(output**2) + jnp.sum(jnp.where(energy < math.inf, energy**2, 0.0))

    def by(*point):
        gradient = jax.grad(function, (0, 1, 2, 3))(*point)
        return sum(jnp.sum(g * t) for g, t in zip(gradient, along, strict=True))

    def of(function):
        return jax.jit(
            lambda step: function(*(x + step * t for x, t in zip(point, along, strict=True)))
        )

    step = 1e-6
    values, slopes = of(function), of(by)
    same(slopes(0.0), (values(step) - values(-step)) / (2 * step), 1e-7)
    curvature = (slopes(step) - slopes(-step)) / (2 * step)
    same(jax.jit(again(of(by)))(0.0), curvature, 1e-6)


@pytest.mark.parametrize("separation", ["softmax", hopcore.Entmax(3.0)], ids=str)
def test_derivatives_of_the_energy_are_those_of_the_theory(separation, x64):
    stored, state = jnp.asarray(patterns(6, 3)), jnp.asarray(patterns(4, 3, seed=1))
    mask = jnp.asarray(patterns(4, 6, seed=2) > -0.5).at[0].set(False)

    def energy(state, beta=0.8):
        values = hopcore.energy(state, stored, beta, mask=mask, separation=separation)
        return jnp.sum(jnp.where(values < math.inf, values, 0.0))

    explicit = hopcore.energy_gradient(state, stored, 0.8, mask=mask, separation=separation)
    explicit = explicit.at[0].set(0.0)  # an energy of inf has no gradient
    same(jax.jit(jax.grad(energy))(state), explicit)
    if separation == "softmax":
        weights = hopcore.association_weights(state, stored, 0.8, mask=mask)
        mean = weights @ stored
        covariance = jnp.einsum("ls,sd,se->lde", weights, stored, stored)
        covariance = covariance - mean[:, :, None] * mean[:, None, :]
        own = jnp.einsum("ldle->lde", jax.jit(jax.hessian(energy))(state))
        same(own[1:], (jnp.eye(3) - 0.8 * covariance)[1:])
        entropy = -jnp.sum(
            jnp.where(weights > 0, weights * jnp.log(jnp.where(weights > 0, weights, 1)), 0), -1
        )
        by_beta = -(jnp.log(jnp.sum(mask[1:], -1)) - entropy[1:]) / 0.8**2
        same(jax.jit(jax.grad(energy, argnums=1))(state, 0.8), jnp.sum(by_beta))


def test_both_gradients_of_a_retrieval_agree_under_every_transform(x64):
    stored = jnp.asarray(patterns(2, 12, 4))
    state = stored[:, :3] + 0.2 * jnp.asarray(patterns(2, 3, 4, seed=1))
    mask = jnp.asarray(patterns(2, 3, 12, seed=2) > -1.5)

    def loss(gradient, stored, beta, state, mask):
        found = hopcore.retrieve(state, stored, beta, mask=mask, gradient=gradient, tol=1e-14)
        return jnp.sum(found.state**2)

    unrolled, implicit = partial(loss, "unrolled"), partial(loss, "implicit")
    inputs = stored, jnp.asarray(1.7), state, mask
    expected = jax.jit(jax.grad(unrolled, (0, 1)))(*inputs)
    assert float(jnp.abs(expected[1])) > 1e-3
    got = jax.jit(jax.grad(implicit, (0, 1, 2)))(*inputs)
    same(got[0], expected[0], 1e-8)
    same(got[1], expected[1], 1e-8)
    assert not np.any(got[2])  # the start has no influence
    same(jax.grad(jax.jit(implicit))(*inputs), expected[0], 1e-8)
    same(jax.jit(jax.jacfwd(implicit, argnums=1))(*inputs), expected[1], 1e-8)
    axes = (0, None, 0, 0)
    each = jax.jit(jax.vmap(jax.grad(implicit), axes))
    same(each(*inputs), expected[0], 1e-8)
    whole = jax.jit(jax.grad(lambda *x: jnp.sum(jax.vmap(unrolled, axes)(*x))))
    same(whole(*inputs), expected[0], 1e-8)


def test_implicit_gradients_can_be_differentiated_again(x64):
    stored = jnp.asarray(patterns(5, 3))
    state = stored[:2] + 0.1

    def curvature(gradient):
        def loss(beta):
            return jnp.sum(
                hopcore.retrieve(state, stored, beta, gradient=gradient, tol=1e-14).state ** 2
            )

        return jax.jit(jax.grad(jax.grad(loss)))(1.1)

    same(curvature("implicit"), curvature("unrolled"), 1e-6)


# Loops.


@pytest.mark.parametrize("differentiable", [False, True])
def test_a_loop_skips_what_is_finished_also_under_vmap(differentiable):
    taken = []

    def count(start):
        def body(carry):
            value, active = carry
            jax.debug.callback(lambda: taken.append(1))
            value = jnp.where(active, value - 1, value)
            return value, active & (value > 0)

        loop = hopcore.backend("jax").loop
        init = start, start > 0
        return loop(lambda carry: carry[1], body, init, 50, differentiable=differentiable)[0]

    assert jnp.all(jax.jit(jax.vmap(count))(jnp.asarray([3.0, 7.0, 0.0])) == 0.0)
    jax.effects_barrier()
    assert len(taken) == 7
    # What never ends, ends.
    assert (
        int(
            jax.jit(
                lambda n: hopcore.backend("jax").loop(
                    lambda n: n >= 0, lambda n: n + 1, n, 5, differentiable=differentiable
                )
            )(0)
        )
        == 5
    )


def test_the_gradient_of_a_loop_is_that_of_the_steps_taken(x64):
    def power(x, differentiable=True):
        init = jnp.ones_like(x), jnp.int32(0)
        return hopcore.backend("jax").loop(
            lambda carry: carry[1] < 5,
            lambda carry: (carry[0] * x, carry[1] + 1),
            init,
            20,
            differentiable=differentiable,
        )[0]

    x = jnp.asarray(1.1)
    same(jax.grad(power)(x), 5 * 1.1**4)
    same(jax.jit(jax.grad(jax.grad(power)))(x), 20 * 1.1**3)
    same(jax.jvp(lambda x: power(x, False), (x,), (1.0,))[1], 5 * 1.1**4)


# Memory.


def temporary(function, *arrays):
    """Bytes that a compiled function holds besides its arguments and results."""
    compiled = jax.jit(function).lower(*arrays).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("separation", ["softmax", hopcore.Entmax(1.5)], ids=str)
def test_no_array_of_all_scores_is_ever_held(separation, x32):
    def function(state, stored, mask):
        options = {"beta": 0.1, "separation": separation}
        output = hopcore.association(state, stored, mask=mask, **options)
        return jnp.sum(output**2) + jnp.sum(hopcore.energy(state, stored, **options))

    held = []
    stored = jax.ShapeDtypeStruct((16384, 16), jnp.float32)
    for queries in (4096, 16384):
        state = jax.ShapeDtypeStruct((queries, 16), jnp.float32)
        mask = jax.ShapeDtypeStruct((queries, 1), jnp.bool)
        held.append(temporary(jax.value_and_grad(function, (0, 1)), state, stored, mask))
    # All scores are 256 MiB and 1 GiB; what grows with the queries is of their own size.
    assert held[0] < 80 * 2**20
    assert held[1] - held[0] < 16 * 12288 * 16 * 4


def test_memory_of_a_gradient_of_retrieval_by_the_number_of_steps(x32):
    state = jax.ShapeDtypeStruct((256, 64), jnp.float32)
    stored = jax.ShapeDtypeStruct((16384, 64), jnp.float32)

    def held(gradient, steps):
        def loss(stored, state):
            found = hopcore.retrieve(state, stored, 0.5, max_steps=steps, gradient=gradient)
            return jnp.sum(found.state)

        return temporary(jax.grad(loss), stored, state)

    assert held("implicit", 500) == held("implicit", 5)
    # Unrolled, a step keeps its state (and three numbers), not the memory or the weights.
    per_step = (held("unrolled", 505) - held("unrolled", 5)) / 500
    assert per_step <= 1.1 * 256 * (64 + 3) * 4


# Types, devices, compilation.


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_types(dtype, x32):
    numpy = patterns(20, 8)
    stored = hopcore.backend("jax").asarray(numpy, dtype=dtype)
    found = jax.jit(hopcore.retrieve)(stored[:5], stored, 2.0)
    assert str(found.state.dtype) == dtype
    assert found.energy.dtype == found.residual.dtype == jnp.float32
    exact = hopcore.backend("jax").to_numpy(stored).astype(np.float64)
    energy = hopcore.energy(exact[:5], exact, 2.0)
    same(hopcore.energy(stored[:5], stored, 2.0), energy, 1e-5)

    def loss(stored, beta):
        found = hopcore.retrieve(stored[:5], stored, beta, gradient="implicit")
        return jnp.sum(found.state.astype("float32"))

    by_stored, by_beta = jax.jit(jax.grad(loss, (0, 1)))(stored, jnp.asarray(2.0, dtype=dtype))
    assert str(by_stored.dtype) == str(by_beta.dtype) == dtype
    assert bool(jnp.all(jnp.isfinite(by_stored)))


def test_float64_needs_x64_which_may_be_switched_on_later(x32):
    backend = kernels.JaxBackend()
    with pytest.raises(ValueError, match="jax_enable_x64"):
        backend.asarray([1.0], dtype="float64")
    assert np.dtype("float64") in backend.precise


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_traced_number_is_a_beta_of_any_type(dtype, x64):
    stored = jnp.eye(3, dtype=dtype)
    energy = jax.jit(lambda beta: hopcore.energy(stored, stored, beta))
    same(energy(2.0), hopcore.energy(stored, stored, 2.0), 1e-6)
    same(energy(2), energy(2.0), 1e-6)
    # An array has a dtype of its own, and is promoted with the patterns.
    assert energy(np.float64(2.0) * jnp.ones(1, dtype="float64")).dtype == "float64"


def test_values_are_checked_where_they_can_be_seen():
    backend = hopcore.backend("jax")
    good, bad = jnp.ones((2, 3)), jnp.ones((2, 3)).at[1, 2].set(jnp.nan)
    for dtype in ("float32", "bfloat16"):
        with pytest.raises(ValueError, match=r"got nan at index \(1, 2\)"):
            hopcore.energy(good.astype(dtype), bad.astype(dtype), 1.0)
    with pytest.raises(ValueError, match="beta must be positive"):
        hopcore.energy(good, good, jnp.asarray(-1.0))
    assert backend.all_finite(jnp.full(3, 1e30))  # whose square is not
    seen = []
    jax.jit(
        lambda x: seen.extend([backend.can_read_values(x), backend.can_read_values(good)]) or x
    )(good)
    jax.grad(lambda x: seen.append(backend.can_read_values(x)) or x.sum())(good)
    assert seen == [False, False, False]
    assert backend.can_read_values(good)
    assert not backend.has_dynamic_shapes(good)
    jax.grad(lambda x: hopcore.energy(good, x, 1.0).sum())(bad)


def test_devices():
    backend, cpu = hopcore.backend("jax"), jax.devices("cpu")[0]
    for name in ("cpu", "cpu:0", cpu):
        assert backend.device(backend.asarray([1.0], device=name)) == cpu
    for name in ("cpu:99", "cpu:x", "nonsense"):
        with pytest.raises(ValueError, match=f"no device {name!r}"):
            backend.asarray([1.0], device=name)


TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np, hopcore
from jax.sharding import Mesh, NamedSharding, PartitionSpec
backend, (here, there) = hopcore.backend("jax"), jax.devices()
numpy = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
expected = hopcore.retrieve(numpy, numpy, 3.0).state
x, y = (backend.asarray(numpy, device=name) for name in ("cpu:0", "cpu:1"))
retrieve = jax.jit(hopcore.retrieve)
for found in (hopcore.retrieve(y, y, 3.0), retrieve(y, y, 3.0)):
    assert all(leaf.devices() == {there} for leaf in found), found
    np.testing.assert_allclose(found.state, expected, rtol=1e-5, atol=1e-5)
try:
    hopcore.energy(x, y, 1.0)
    raise AssertionError
except ValueError as error:
    assert "one device" in str(error)
mesh = Mesh(np.asarray(jax.devices()), "queries")
spread = jax.device_put(numpy, NamedSharding(mesh, PartitionSpec("queries")))
whole = jax.device_put(numpy, NamedSharding(mesh, PartitionSpec()))
assert backend.device(spread) is None
found = retrieve(spread, whole, 3.0)
assert found.state.devices() == hopcore.update(spread, whole, 3.0).devices() == {here, there}
np.testing.assert_allclose(found.state, expected, rtol=1e-5, atol=1e-5)
"""


def test_arrays_stay_on_their_devices(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Counted(hopcore.Entmax):
    """A separation function that notes when it is traced."""

    traces = []  # noqa: RUF012

    def evaluate(self, *arguments):
        self.traces.append(1)
        return super().evaluate(*arguments)


def test_a_kernel_is_traced_once_for_its_shapes():
    x, separation = jnp.asarray(patterns(8, 3), dtype=jnp.float32), Counted(2.0)

    def call(x, beta):
        hopcore.retrieve(x, x, beta, separation=separation, max_steps=2)

    call(x, 1.0)
    first = len(separation.traces)
    assert first > 0
    call(2 * x, 3.0)
    call(x[::-1], 0.5)
    assert len(separation.traces) == first
    hopcore.update(x[:4], x, 1.0, separation=separation)
    assert len(separation.traces) > first


def test_a_long_memory_is_mapped_and_differentiated() -> None:
    rng = np.random.default_rng(0)
    memory, states = rng.normal(size=(40_001, 4)), rng.normal(size=(2, 4))
    wanted = hopcore.association(states, memory, beta=1.0)
    state, stored = (jnp.asarray(x, dtype="float32") for x in (states, memory))

    def recall(query: Any, patterns: Any) -> Any:
        return hopcore.association(query[None], patterns, beta=1.0)[0]

    for axes, arrays in (((0, None), stored), ((0, 0), jnp.stack([stored, stored]))):
        np.testing.assert_allclose(jax.vmap(recall, axes)(state, arrays), wanted, atol=2e-6)
    # The Jacobian of an update is beta times a covariance.
    weights = hopcore.association_weights(states, memory, 1.0)[0]
    centred = memory - wanted[0]
    slope = jax.jacrev(recall)(state[0], stored)
    np.testing.assert_allclose(slope, (weights[:, None] * centred).T @ centred, atol=1e-5)


def test_the_series_of_the_heat_kernel_has_derivatives_by_the_weights_of_edges() -> None:
    ends, features = np.asarray([[0, 1], [1, 2]]), jnp.asarray(np.eye(3))

    def first(weights: jax.Array, mode: str) -> jax.Array:
        graph = hopcore.Graph.from_edges(jnp.asarray(ends), weights, 3)
        if mode == "chebyshev":
            return hopcore.ChebyshevDiffusion(graph, 0.4, largest=8.0)(features)[0, 1]
        return hopcore.SpectralDiffusion(graph, 0.4)(features)[0, 1]

    weights = jnp.asarray([0.7, 0.3])
    series, exact = (jax.grad(first)(weights, mode) for mode in ("chebyshev", "spectral"))
    np.testing.assert_allclose(series, exact, atol=1e-5)
    compiled = jax.jit(jax.grad(first), static_argnums=1)(weights, "chebyshev")
    np.testing.assert_allclose(compiled, exact, atol=1e-5)
