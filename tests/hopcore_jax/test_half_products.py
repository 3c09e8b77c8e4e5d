"""Products of bfloat16 and float16 on GPUs and TPUs: which ones they are, and what they lose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import mlir

import hopcore
from hopcore_jax import JaxBackend
from hopcore_jax.kernels import _products as products
from hopcore_jax.kernels.pallas import using_kernels


@pytest.fixture(autouse=True)
def traced_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace programs as if the default device were a GPU."""
    jax.clear_caches()
    monkeypatch.setattr(JaxBackend, "platform", lambda *_: "gpu")
    yield
    jax.clear_caches()


HALVES = {"bfloat16": "bf16", "float16": "f16"}
JAX: Any = hopcore.backend("jax")


def numbers(*shape: int, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def factors(function: Any, *arrays: Any, platform: str = "cuda") -> list[tuple[str, ...]]:
    """The dtypes of the factors and of the result of each product of a lowered program."""
    text = jax.jit(function).trace(*arrays).lower(lowering_platforms=(platform,)).as_text()
    return re.findall(
        r"stablehlo.dot_general.*: \(tensor<[\dx]*x(\w+)>, tensor<[\dx]*x(\w+)>\)"
        r" -> tensor<[\dx]*x(\w+)>",
        text,
    )


OPTIONS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "sparsemax": {"separation": "sparsemax"},
    "mask": {"mask": np.arange(7) > 2},
    "causal": {"mask": "causal"},
    "betas": {"beta": jnp.linspace(0.3, 1.0, 5)},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", HALVES)
def test_gpus_multiply_halves_and_add_in_float32(name: str, dtype: str) -> None:
    options = {"beta": 0.3, **OPTIONS[name]}
    if not isinstance(options["beta"], float):
        options["beta"] = options["beta"].astype(dtype)
    state, stored = numbers(5, 3, dtype=dtype), numbers(7, 3, seed=1, dtype=dtype)

    def loss(state: Any, stored: Any) -> Any:
        return jnp.sum(hopcore.association(state, stored, **options).astype(jnp.float32))

    kind = HALVES[dtype]
    for function in (loss, jax.grad(loss, (0, 1))):
        found = factors(function, state, stored)
        assert len(found) >= 2
        assert set(found) == {(kind, kind, "f32")}
    # A program that is then compiled for a CPU converts each factor.
    assert set(factors(loss, state, stored, platform="cpu")) == {("f32",) * 3}


@pytest.mark.parametrize(("platform", "halves"), [("cpu", False), ("gpu", True), ("tpu", True)])
def test_the_default_device_decides(
    platform: str, halves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that are traced on a CPU are those of float32."""
    monkeypatch.setattr(JaxBackend, "platform", lambda *_: platform)
    state, stored = (numbers(5, 3, seed=n, dtype=jnp.bfloat16) for n in (0, 1))
    text = str(jax.make_jaxpr(partial(hopcore.association, beta=0.3))(state, stored))
    assert ("hopcore_scores" in text) == halves


def test_the_weights_are_found_from_products_of_halves() -> None:
    state, stored = (numbers(5, 3, seed=n, dtype=jnp.bfloat16) for n in (0, 1))
    assert factors(partial(hopcore.association_weights, beta=0.3), state, stored) == [
        ("bf16", "bf16", "f32")
    ]


@pytest.mark.parametrize(
    ("dtype", "options"),
    [("float32", {}), ("bfloat16", {"similarity": "distance"})],
    ids=["float32", "distances"],
)
def test_other_factors_keep_their_digits(dtype: str, options: dict[str, Any]) -> None:
    """The keys of distances are computed in float32; half precision could not represent them."""
    state, stored = numbers(5, 3, dtype=dtype), numbers(7, 3, seed=1, dtype=dtype)
    found = factors(partial(hopcore.association, beta=0.3, **options), state, stored)
    assert set(found) == {("f32",) * 3}


def test_open_sizes_are_multiplied_in_float32() -> None:
    (size,) = jax.export.symbolic_shape("n")
    state = jax.ShapeDtypeStruct((size, 3), jnp.bfloat16)
    recalled = jax.jit(partial(hopcore.association, beta=0.3))
    exported = jax.export.export(recalled, platforms=["cuda"])(state, state)
    assert "f32" in exported.mlir_module()


@pytest.fixture
def as_on_gpus() -> Iterator[None]:
    """Multiply on this CPU by the rules of GPUs."""
    rules = {
        products.product_p: (products.multiply_elsewhere, products.multiply),
        products.scores_p: (products.compare_elsewhere, products.compare),
    }

    def register(which: int) -> None:
        jax.clear_caches()
        for primitive, functions in rules.items():
            rule = mlir.lower_fun(functions[which], multiple_results=False)
            mlir.register_lowering(primitive, rule, "cpu")

    register(0)
    with using_kernels("portable"):
        yield
    register(1)


def formula(state: Any, stored: Any, by: Any, beta: float) -> tuple[np.ndarray, ...]:
    """Update and its derivatives by states and stored patterns."""
    scores = beta * state @ stored.T
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    output = weights @ stored
    by_scores = beta * weights * (by @ stored.T - np.sum(by * output, axis=-1, keepdims=True))
    return output, by_scores @ stored, by_scores.T @ state + weights.T @ by


def must_agree(dtype: str, beta: float, scale: float, by_scale: float = 1.0) -> None:
    """Compare an update and its derivatives with the formula in float64.

    The weights and the derivatives by scores are rounded, each by at most half of eps, and so is
    the result, which may also be below the range of its dtype.
    """
    state, stored = (numbers(n, 16, seed=n) * scale for n in (5, 300))
    state, stored = state.astype(dtype), stored.astype(dtype)
    by = (numbers(5, 16, seed=2) * by_scale).astype(dtype)

    @jax.jit
    def found(state: Any, stored: Any, by: Any) -> Any:
        output, pull_back = jax.vjp(partial(hopcore.update, beta=beta), state, stored)
        return output, *pull_back(by)

    wanted = formula(*(np.asarray(x, dtype=np.float64) for x in (state, stored, by)), beta)
    near = 4 * float(jnp.finfo(dtype).eps)
    for ours, theirs in zip(found(state, stored, by), wanted, strict=True):
        one = np.asarray(ours, dtype=np.float64)
        least = float(jnp.finfo(dtype).smallest_subnormal)
        atol = near * np.abs(theirs).max() + least
        np.testing.assert_allclose(one, theirs, rtol=near, atol=atol)


CASES = [
    ("bfloat16", 0.3, 1.0, 1.0),
    ("float16", 0.3, 1.0, 1.0),
    ("bfloat16", 2e-38, 1e19, 2.0**-20),
    ("float16", 1e-4, 100.0, 1.0),
    ("float16", 1e-3, 1.0, 2.0**-10),
    ("float16", 3e-5, 100.0, 300.0),
]


@pytest.mark.usefixtures("as_on_gpus")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_rounded_products_are_near_the_formula(case: tuple[str, float, float, float]) -> None:
    must_agree(*case)


@pytest.mark.usefixtures("as_on_gpus")
@pytest.mark.parametrize(
    ("fault", "case"),
    [("all of beta", CASES[2]), ("no factor in float16", CASES[4]), ("rounded sums", CASES[0])],
)
def test_faults_are_noticed(fault: str, case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "all of beta":
        monkeypatch.setattr(products, "before_product", lambda betas, _: jnp.ones_like(betas))
    elif fault == "no factor in float16":
        monkeypatch.setattr(products, "rounded_product", products.product_of_halves)
    else:
        monkeypatch.setattr(
            products,
            "product_of_halves",
            lambda *given: jnp.round(jnp.matmul(*given[:2]) * 64.0) / 64.0,
        )
    with pytest.raises(AssertionError):
        must_agree(*case)


def test_float16_keeps_numbers_of_any_size() -> None:
    """Rows far below and above the range of float16 lose no more than others."""
    rows, values = numbers(6, 40), numbers(40, 5, seed=1, dtype=jnp.float16)
    sizes = jnp.asarray([1e-30, 1e-9, 1.0, 1e4, 1e9, 0.0])[:, None]
    found = products.rounded_product(rows * sizes, values.astype(jnp.float32), jnp.float16)
    wanted = np.asarray(rows, float) * np.asarray(sizes, float) @ np.asarray(values, float)
    near = float(jnp.finfo(jnp.float16).eps) * np.asarray(sizes, float)
    total = np.abs(np.asarray(rows, float)) @ np.abs(np.asarray(values, float))
    assert (np.abs(np.asarray(found, float) - wanted) <= near * total).all()


@pytest.mark.parametrize("dtype", HALVES)
def test_products_of_halves_are_exact(dtype: str) -> None:
    """Powers of two bring float16 into its range; no number of float16 loses a digit."""
    largest = float(jnp.finfo(dtype).max)
    rows = jnp.asarray([largest / 2, float(jnp.finfo(dtype).smallest_subnormal), 1.0, -3.0], dtype)
    one = jnp.eye(4, dtype=jnp.float32)
    found = products.rounded_product(rows.astype(jnp.float32)[:, None], one[:1], np.dtype(dtype))
    if dtype == "float16":
        np.testing.assert_array_equal(found[:, 0], rows.astype(jnp.float32))
    found = products.rounded_product(rows.astype(jnp.float32)[None], one, np.dtype(dtype))
    kept = np.asarray(found[0])[[0, 2, 3]]
    np.testing.assert_array_equal(kept, np.asarray(rows.astype(jnp.float32))[[0, 2, 3]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_no_memories_give_nothing(dtype: Any) -> None:
    empty = jnp.ones((0, 5, 3), dtype)
    assert hopcore.association(empty, empty, beta=0.3).shape == (0, 5, 3)
    one = jnp.ones((4, 3), dtype)
    assert hopcore.association(one[:0], one, beta=0.3).shape == (0, 3)
