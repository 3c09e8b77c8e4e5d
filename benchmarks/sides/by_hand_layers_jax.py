"""A Hopfield layer of JAX's own parts, compiled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import Case
from benchmarks.sides import Prepared
from benchmarks.sides.by_hand_jax import compiled
from benchmarks.sides.layer_parts import parameters, patterns


def normal(x: Any, scale: Any, shift: Any) -> Any:
    return jax.nn.standardize(x, axis=-1, epsilon=1e-5) * scale + shift


def attention(case: Case, given: dict, stored: Any, state: Any, values: Any) -> Any:
    """Three normalisations, three projections, attention in heads, and a projection."""
    rows = dict(zip("qkv", jnp.split(given["association_core.in_proj_weight"], 3), strict=True))
    names = {"q": "state_pattern", "k": "stored_pattern", "v": "pattern_projection"}

    def head(x: Any, letter: str) -> Any:
        name = f"norm_{names[letter]}"
        x = normal(x, given[f"{name}.weight"], given[f"{name}.bias"]) @ rows[letter].T
        return x.reshape(*x.shape[:-1], case.heads, -1)

    found = jax.nn.dot_product_attention(head(state, "q"), head(stored, "k"), head(values, "v"))
    return found.reshape(*found.shape[:-2], -1) @ given["association_core.out_proj.weight"].T


def layer(case: Case, library: str) -> Prepared:
    given = parameters(case)
    return compiled(lambda *x: attention(case, given, *x), *patterns(case))


def layer_backward(case: Case, library: str) -> Prepared:
    given = parameters(case)

    def loss(given: Any, x: Any) -> Any:
        return attention(case, given, *x).sum()

    gradient = jax.grad(loss, argnums=(0, 1))
    return compiled(lambda *x: gradient(given, x)[1][0], *patterns(case))
