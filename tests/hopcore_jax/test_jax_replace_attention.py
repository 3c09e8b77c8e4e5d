"""Models of equinox whose attention was replaced compute the same, and can be restored."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hopcore import LearnableTemperature
from hopcore_jax import Hopfield, HopfieldAttention, replace_attention, restore_attention

KEY = jax.random.key(0)
OPTIONS = st.fixed_dictionaries(
    {
        "num_heads": st.sampled_from([1, 2]),
        "key_size": st.sampled_from([None, 5]),
        "value_size": st.sampled_from([None, 3]),
        "output_size": st.sampled_from([None, 6]),
        "qk_size": st.sampled_from([None, 3]),
        "vo_size": st.sampled_from([None, 4]),
        "dropout_p": st.sampled_from([0.0, 0.3]),
        "biased": st.booleans(),
    }
)


def attention_of(biased: bool = False, **options: Any) -> eqx.nn.MultiheadAttention:
    biases = {f"use_{name}_bias": biased for name in ("query", "key", "value", "output")}
    return eqx.nn.MultiheadAttention(query_size=8, **options, **biases, inference=True, key=KEY)


@pytest.mark.full
@settings(max_examples=20, deadline=None)
@given(options=OPTIONS, masks=st.sampled_from(["none", "pairs", "heads"]))
def test_attention_and_what_takes_its_place_are_called_alike(options: Any, masks: str) -> None:
    check_alike(options, masks)


@pytest.mark.parametrize(
    ("options", "masks"),
    [
        ({"num_heads": 2, "dropout_p": 0.3, "biased": True}, "heads"),
        ({"num_heads": 2, "key_size": 5, "qk_size": 3, "output_size": 6}, "pairs"),
    ],
)
def test_two_kinds_of_attention_and_what_takes_their_place(options: Any, masks: str) -> None:
    check_alike({"dropout_p": 0.0, **options}, masks)


def check_alike(options: Any, masks: str) -> None:
    attention = attention_of(**options)
    sizes = (3, 8), (5, attention.key_size), (5, attention.value_size)
    inputs = [jax.random.normal(jax.random.key(i), size) for i, size in enumerate(sizes)]
    mask = None
    if masks != "none":
        lead = (attention.num_heads,) if masks == "heads" else ()
        mask = (jax.random.uniform(KEY, (*lead, 3, 5)) < 0.5).at[..., 0].set(True)
    wanted = attention(*inputs, mask)
    there = replace_attention(attention)
    assert isinstance(there, HopfieldAttention)
    assert there.hopfield.settings.dropout == options["dropout_p"]
    np.testing.assert_allclose(there(*inputs, mask), wanted, rtol=1e-6, atol=1e-6)
    assert eqx.tree_equal(restore_attention(there), attention)


def test_gradients_are_the_same_and_layers_may_be_stacked() -> None:
    def make(key: Any) -> eqx.nn.MultiheadAttention:
        return eqx.nn.MultiheadAttention(2, 8, key=key)

    stack = eqx.filter_vmap(make)(jax.random.split(KEY, 3))
    x = jax.random.normal(KEY, (5, 8))

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(stack: Any) -> jax.Array:
        arrays, static = eqx.partition(stack, eqx.is_array)

        def step(x: jax.Array, one: Any) -> tuple[jax.Array, None]:
            return x + eqx.combine(one, static)(x, x, x), None

        return jnp.sum(jax.lax.scan(step, x, arrays)[0] ** 2)

    value, gradient = loss(stack)
    replaced = replace_attention(stack, scaling=0.5, learnable_scaling=True)
    assert replaced.hopfield.parameters["scaling"].shape == (3,)
    found, other = loss(replaced)
    np.testing.assert_allclose(found, value, rtol=1e-6)
    packed = other.hopfield.parameters["association_core.in_proj_weight"]
    parts = [getattr(gradient, f"{name}_proj").weight for name in ("query", "key", "value")]
    np.testing.assert_allclose(packed, jnp.concatenate(parts, 1), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_less(0.0, jnp.abs(other.hopfield.parameters["scaling"]))


def test_options_are_those_of_all_layers() -> None:
    attention = attention_of(num_heads=2, dropout_p=0.5)
    model = {"a": attention, "b": [attention, eqx.nn.MLP(8, 8, 8, 1, key=KEY)], "c": None}
    options: Any = {"separation": 1.5, "scaling": LearnableTemperature(), "update_steps_max": 2}
    options["similarity"] = "distance"
    there = replace_attention(model, **options)
    assert there["a"] is there["b"][0]
    assert there["b"][1] == model["b"][1]
    given = there["a"].hopfield.settings
    assert (given.separation, given.update_steps_max) == (1.5, 2)
    assert given.similarity == "distance"
    np.testing.assert_allclose(there["a"].hopfield.temperature, 2.0, rtol=1e-6)
    x = jnp.ones((3, 8))
    trained = eqx.nn.inference_mode(there, False)["a"]
    with pytest.raises(ValueError, match="call with key="):
        trained(x, x, x)
    assert trained(x, x, x, key=KEY).shape == trained(x, x, x, inference=True).shape


class Own(eqx.nn.MultiheadAttention):
    def __call__(self, *args: Any, **named: Any) -> Any:
        return 2.0 * super().__call__(*args, **named)


def changed(how: str) -> Any:
    attention = attention_of(num_heads=2)
    if how == "call":
        return [Own(2, 8, key=KEY)]
    if how == "bias":
        return [attention, eqx.nn.MultiheadAttention(2, 8, use_query_bias=True, key=KEY)]
    part = eqx.nn.Identity()
    return {"x": eqx.tree_at(lambda one: getattr(one, how), attention, part)}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("call", r"nothing was changed: \[0\]: a Own has a call of its own"),
        ("bias", r"\[1\]: all projections .* but key_proj, value_proj, output_proj has none"),
        ("key_proj", r"\['x'\]: key_proj must be an equinox.nn.Linear, got Identity"),
        ("dropout", r"dropout must be an equinox.nn.Dropout, got Identity"),
    ],
)
def test_what_cannot_be_replaced_is_named(how: str, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as error:
        replace_attention(changed(how))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"separation": "sparsemax"}, "the model itself: .* no separation='sparsemax'"),
        ({"scaling": 2.0}, "no scaling=2.0"),
        ({"update_steps_max": 1}, "no update_steps_max=1"),
        ({"learnable_scaling": True}, "no learnable_scaling=True"),
    ],
)
def test_settings_without_a_counterpart_in_equinox_are_named(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        restore_attention(replace_attention(attention_of(num_heads=2), **options))


def test_other_models_and_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="a Linear has no MultiheadAttention in it"):
        replace_attention(eqx.nn.Linear(3, 3, key=KEY))
    with pytest.raises(ValueError, match="a list has no HopfieldAttention in it"):
        restore_attention([attention_of(num_heads=2)])
    with pytest.raises(TypeError, match="hopfield must be a Hopfield layer, got int"):
        HopfieldAttention(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no normalize_stored_pattern=True"):
        restore_attention(HopfieldAttention(Hopfield(8, key=KEY)))
    x = jnp.ones((3, 8))
    with pytest.raises(ValueError, match="process_heads changes the heads before"):
        replace_attention(attention_of(num_heads=2))(x, x, x, process_heads=lambda *x: x)
