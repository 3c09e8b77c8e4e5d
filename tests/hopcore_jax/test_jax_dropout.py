"""Dropout in JAX draws the weights of a block of queries at a time, compiled or not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopcore_jax
from hopcore.layers import _recall as recall

KEY = jax.random.key(1)


def made(**options: Any) -> hopcore_jax.Hopfield:
    return hopcore_jax.Hopfield(input_size=8, num_heads=2, key=jax.random.key(0), **options)


def patterns(queries: int = 5) -> tuple[jax.Array, jax.Array]:
    random = np.random.default_rng(0)
    state, stored = (random.normal(size=(3, n, 8)) for n in (queries, 9))
    return jnp.asarray(state, jnp.float32), jnp.asarray(stored, jnp.float32)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide the five queries of three samples and two heads into blocks of two, two and one."""
    monkeypatch.setattr(recall, "MAPPED", 2 * 3 * 2 * 9)


def eager(layer: Any) -> Any:
    return lambda state, stored, key: layer((stored, state, stored), key=key)


def compiled(layer: Any) -> Any:
    # A new function, so that nothing compiled for other blocks is used.
    return jax.jit(eager(layer))


def test_blocks_have_the_derivative_of_what_they_draw(blocks: None) -> None:
    state, stored = patterns()
    call = compiled(made(dropout=0.5))

    def loss(state: jax.Array, stored: jax.Array) -> jax.Array:
        return jnp.sum(call(state, stored, KEY) ** 2)

    random = np.random.default_rng(1)
    steps = [jnp.asarray(random.normal(size=x.shape), x.dtype) for x in (state, stored)]
    slopes = jax.grad(loss, (0, 1))(state, stored)
    found = sum(float(jnp.vdot(x, y)) for x, y in zip(slopes, steps, strict=True))
    size = 1e-2
    ends = [
        float(loss(*(x + sign * size * y for x, y in zip((state, stored), steps, strict=True))))
        for sign in (1.0, -1.0)
    ]
    assert found == pytest.approx((ends[0] - ends[1]) / (2 * size), rel=2e-2)
    np.testing.assert_array_equal(call(state, stored, KEY), call(state, stored, KEY))


def test_blocks_drop_as_many_weights(blocks: None) -> None:
    state, stored = patterns()
    layer = made(dropout=0.25)
    keys = jax.random.split(KEY, 2000)
    call = compiled(layer)
    mean = jnp.mean(jax.lax.map(lambda key: call(state, stored, key), keys), axis=0)
    exact = layer((stored, state, stored), inference=True)
    np.testing.assert_allclose(mean, exact, atol=0.05, rtol=0.1)


def test_the_same_weights_are_dropped_where_nothing_is_compiled(blocks: None) -> None:
    layer, given = made(dropout=0.5), patterns()

    def slope(call: Any) -> jax.Array:
        return jax.grad(lambda state: jnp.sum(call(state, given[1], KEY) ** 2))(given[0])

    ways = eager(layer), compiled(layer)
    np.testing.assert_allclose(*(call(*given, KEY) for call in ways), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(*map(slope, ways), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prepare", [eager, compiled])
def test_every_block_draws_numbers_of_its_own(blocks: None, prepare: Any) -> None:
    state, stored = patterns()
    alike = jnp.broadcast_to(state[:, :1], state.shape)
    output = np.asarray(prepare(made(dropout=0.5))(alike, stored, KEY))
    rows = {output[0, i].tobytes() for i in range(output.shape[1])}
    assert len(rows) == output.shape[1]


def test_masks_and_temperatures_of_queries_are_those_of_their_block(blocks: None) -> None:
    state, stored = patterns()
    hidden = jnp.asarray(np.random.default_rng(2).random((5, 9)) < 0.5).at[:, 0].set(False)
    layer = made(dropout=0.0)
    almost = made(dropout=1e-7)
    wanted = layer((stored, state, stored), association_mask=hidden)
    call = jax.jit(lambda key: almost((stored, state, stored), association_mask=hidden, key=key))
    np.testing.assert_allclose(call(KEY), wanted, rtol=1e-4, atol=1e-5)


def test_no_array_of_all_weights_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "MAPPED", 1 << 15)  # 128 KiB
    layer = hopcore_jax.Hopfield(8, num_heads=1, dropout=0.1, key=jax.random.key(0))

    def loss(state: jax.Array, stored: jax.Array) -> jax.Array:
        return jnp.sum(layer((stored, state, stored), key=KEY) ** 2)

    shape = jax.ShapeDtypeStruct((1, 2048, 8), jnp.float32)
    program: Any = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(shape, shape).compile()
    # All weights are 16 MiB; a block and its derivative are about ten arrays.
    assert program.memory_analysis().temp_size_in_bytes < 4 * 2**20


def test_no_array_of_all_weights_is_made_without_a_compiler(
    blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, stored = patterns()
    made_of, sizes = recall.weights_of, []

    def weights_of(association: Any) -> jax.Array:
        sizes.append(association.inputs.state.shape[-2])
        return made_of(association)

    monkeypatch.setattr(recall, "weights_of", weights_of)
    layer = made(dropout=0.5)
    jax.grad(lambda state: jnp.sum(layer((stored, state, stored), key=KEY) ** 2))(state)
    assert sizes
    assert max(sizes) == 2  # of five queries
