"""Attention with JAX's signature: the same numbers as JAX, and what JAX's lacks."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopcore
from hopcore_jax import dot_product_attention

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return jnp.asarray(RNG.normal(size=shape), dtype=jnp.float32)


QUERY, KEY, VALUE = normal(2, 5, 4, 3), normal(2, 5, 2, 3), normal(2, 5, 2, 3)
MASK = jnp.asarray(RNG.random((2, 1, 5, 5)) < 0.6) | jnp.eye(5, dtype=bool)
LENGTHS = {
    "query_seq_lengths": jnp.asarray([3, 5], dtype=jnp.int32),
    "key_value_seq_lengths": jnp.asarray([5, 2], dtype=jnp.int32),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mask": {"mask": MASK, "scale": 0.7},
    "bias": {"bias": normal(1, 4, 5, 5), "is_causal": True},
    "lengths": LENGTHS,
    "window": {"local_window_size": (2, 1)},
    "one window": {"local_window_size": 1, "mask": MASK},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_it_equals_the_attention_of_jax_with_gradients(name: str) -> None:
    options = OPTIONS[name]

    def everything(attention: Any) -> Any:
        def loss(*arrays: Any) -> Any:
            output = attention(*arrays, **options)
            return jnp.sin(output).sum(), output

        # Compiled whole: op by op, JAX compiles hundreds of small programs.
        return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(QUERY, KEY, VALUE)

    (_, got), gradients = everything(dot_product_attention)
    (_, want), wanted = everything(jax.nn.dot_product_attention)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=2e-6)


def test_a_batch_of_one_may_be_left_out() -> None:
    got = dot_product_attention(QUERY[0], KEY[0], VALUE[0], local_window_size=1)
    want = dot_product_attention(QUERY[:1], KEY[:1], VALUE[:1], local_window_size=1)
    np.testing.assert_allclose(got, want[0], rtol=1e-6)


def test_sparse_weights_and_a_learned_scale() -> None:
    scale = jnp.asarray([[0.5], [1.0], [2.0], [-1.0]], dtype=jnp.float32)
    got = dot_product_attention(QUERY, KEY, VALUE, scale=scale, separation="sparsemax")
    keys, values = (jnp.repeat(x, 2, axis=2) for x in (KEY, VALUE))
    scores = jnp.einsum("btnh,bsnh->bnts", QUERY, keys) * scale[..., None]
    weights = hopcore.separate(scores, "sparsemax")
    want = jnp.einsum("bnts,bsnh->btnh", weights, values)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("separation", "similarity"),
    [("softmax", "dot"), ("sparsemax", "dot"), ("softmax", "distance")],
)
def test_statistics_are_those_of_the_weights(separation: str, similarity: str) -> None:
    options: dict[str, Any] = {"is_causal": True, "scale": 0.8, "separation": separation}
    options["similarity"] = similarity
    options["key_value_seq_lengths"] = LENGTHS["key_value_seq_lengths"]

    @jax.jit
    def call(*arrays: Any) -> Any:
        return dot_product_attention(*arrays, **options, return_statistics=True)

    output, found = call(QUERY, KEY, VALUE)
    wanted = dot_product_attention(QUERY, KEY, VALUE, **options)
    np.testing.assert_allclose(output, wanted, rtol=1e-6)  # compiled and not
    keys = np.repeat(KEY, 2, axis=2)
    scores = 0.8 * np.einsum("btnh,bsnh->bnts", QUERY, keys)
    if similarity == "distance":
        lengths = [np.swapaxes(np.sum(np.square(x), axis=-1), -1, -2) for x in (QUERY, keys)]
        scores = scores - 0.4 * lengths[0][..., None] - 0.4 * lengths[1][..., None, :]
    shown = np.tri(5, dtype=bool) & (np.arange(5) < np.asarray([[[[5]]], [[[2]]]]))
    weights = hopcore.separate(np.where(shown, scores, -np.inf), separation)
    logs = np.log(np.where(weights > 0, weights, 1.0))
    np.testing.assert_allclose(found.entropy, -(weights * logs).sum(-1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.effective, 1 / (weights**2).sum(-1), rtol=1e-4)
    np.testing.assert_allclose(found.largest, weights.max(-1), rtol=1e-4)
    if separation == "softmax":
        wanted = np.log(np.sum(np.where(shown, np.exp(scores), 0.0), axis=-1))
        np.testing.assert_allclose(found.log_sum_exp, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.received, weights.sum(-2), rtol=1e-4, atol=1e-6)


def test_a_query_that_attends_to_nothing_recalls_zeros() -> None:
    hidden = MASK.at[0, 0, 2].set(False)
    output = dot_product_attention(QUERY, KEY, VALUE, mask=hidden)
    assert not output[0, 2].any()
    assert output[1, 2].any()


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ((QUERY[0, 0], KEY, VALUE), {}, "(B, T, N, H)"),
        ((QUERY[:, :, :3], KEY, VALUE), {}, "multiple"),
        ((QUERY, KEY, VALUE), {"mask": MASK[..., :3]}, "mask must broadcast"),
        ((QUERY, KEY, VALUE), {"mask": MASK.astype(jnp.float32)}, "bias="),
        ((QUERY, KEY, VALUE), {"scale": float("inf")}, "scale must be finite"),
        # The mask in the place of torch's.
        ((QUERY, KEY, VALUE, MASK), {}, "True = attend, is mask="),
        ((QUERY, KEY, VALUE), {"query_seq_lengths": jnp.ones(1, dtype=jnp.int32)}, "one for each"),
        ((QUERY, KEY, VALUE), {"key_value_seq_lengths": jnp.ones(2)}, "must be integers (B,)"),
        ((QUERY, KEY, VALUE), {"local_window_size": -1}, "local_window_size must be"),
        ((QUERY, KEY, VALUE), {"local_window_size": (1, 2, 3)}, "local_window_size must be"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    arrays: tuple[Any, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        dot_product_attention(*arrays, **options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_attention_by_distance_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(n, 4, 8)) for n in (5, 7, 7))
    apart = query.swapaxes(0, 1)[:, :, None] - key.swapaxes(0, 1)[:, None]
    weights = np.exp(-0.5 * 8**-0.5 * (apart**2).sum(axis=-1))
    weights /= weights.sum(axis=-1, keepdims=True)
    wanted = (weights @ value.swapaxes(0, 1)).swapaxes(0, 1)
    given = map(jnp.asarray, (query, key, value))
    found = dot_product_attention(*given, similarity="distance")
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
