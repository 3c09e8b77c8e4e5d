"""What is no array of numbers is refused by modules of JAX in one line that names it."""

from __future__ import annotations

from typing import Any

import pytest

import hopcore

jax = pytest.importorskip("jax")
modules = pytest.importorskip("hopcore_jax")

KEY = jax.random.key(0)
GOOD = jax.numpy.ones((2, 3, 8))
NOT_ARRAYS: list[Any] = [None, "patterns", b"x", object(), {}]


@pytest.mark.parametrize("wrong", NOT_ARRAYS, ids=lambda x: type(x).__name__)
def test_layers_refuse_what_is_no_array(wrong: Any) -> None:
    layer = modules.Hopfield(input_size=8, key=KEY)
    encoder = modules.HopfieldEncoderLayer(8, 2, key=KEY)
    calls = [
        lambda: layer(wrong),
        lambda: layer((GOOD, wrong, GOOD)),
        lambda: encoder(wrong),
        lambda: modules.HopfieldPooling(input_size=8, key=KEY)(wrong),
        lambda: modules.HopfieldLayer(input_size=8, key=KEY)(wrong),
        lambda: modules.HNM(input_size=8, output_size=2, key=KEY)(wrong, temperature=1.0),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert "jax array" not in str(caught.value).lower()
        # The only word of JAX is the advice.
        assert "jnp" not in str(caught.value).replace("jnp.asarray(...)", "")


def test_nan_in_bfloat16_is_refused_without_a_warning() -> None:
    values = jax.numpy.full((2, 3), float("nan"), "bfloat16")
    with pytest.raises(ValueError, match="nan"):
        hopcore.energy(values, jax.numpy.ones((4, 3), "bfloat16"), 1.0)
