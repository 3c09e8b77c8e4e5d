"""The kernels in Pallas, interpreted on the CPU, beside the formulas in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopcore
from hopcore.arrays import Backend
from hopcore.memory import FusedOrder
from hopcore.memory._fused_limits import LEAST_ORDER
from hopcore_jax.kernels.pallas import (
    _associate,
    _choice,
    _derivatives,
    hard_lookup,
    refusal,
    using_kernels,
)
from hopcore_jax.kernels.pallas._launch import Launch
from hopcore_jax.kernels.pallas._layout import Given, Plan, laid_out

ENTMAX = hopcore.Entmax(1.5)
SEPARATIONS = {
    "softmax": hopcore.Softmax(),
    "entmax15": ENTMAX,
    "sparsemax": hopcore.Entmax(2.0),
    "near 1": hopcore.Entmax(LEAST_ORDER),
    "below 2": hopcore.Entmax(1.99),
}
JAX: Any = hopcore.backend("jax")
ARRAYS = "state", "stored", "projection", "beta", "bias"
FULL = pytest.mark.full


@pytest.fixture(autouse=True, scope="module")
def interpreted() -> Iterator[None]:
    """Interpret the kernels; XLA need not optimize what is called once."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    with using_kernels("pallas-interpret"):
        yield
    jax.config.update("jax_disable_most_optimizations", before)


def numbers(*shape: int, seed: int = 0, dtype: Any = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def case(separation: Any = ENTMAX, dtype: Any = jnp.float32, **other: Any) -> dict[str, Any]:
    """Arguments of a call: 6 queries, 11 patterns of 3 coordinates, projections of 2."""
    return {
        "state": numbers(6, 3, dtype=dtype),
        "stored": numbers(11, 3, seed=1, dtype=dtype),
        "projection": numbers(11, 2, seed=2, dtype=dtype),
        "beta": 0.7,
        "mask": None,
        "separation": separation,
        "bias": None,
        **other,
    }


def split(call: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays that have derivatives, and the other arguments."""
    learned = {name: call[name] for name in ARRAYS if isinstance(call[name], jax.Array)}
    return learned, {name: value for name, value in call.items() if name not in learned}


def by_formula(call: dict[str, Any]) -> list[np.ndarray]:
    """Output, conjugate and derivatives of a call in float64, by the portable formula."""
    learned, others = split(call)

    def function(learned: dict[str, Any]) -> Any:
        given = {**others, **learned}
        scores = JAX.scores(given["state"], given["stored"], given["beta"], given["mask"])
        scores = scores if given["bias"] is None else scores + given["bias"]
        weights, conjugate = JAX.separate(scores, given["separation"])
        return weights @ given["projection"], conjugate

    with jax.enable_x64(True):
        return results(function, {name: x.astype(jnp.float64) for name, x in learned.items()})


def by_kernel(call: dict[str, Any]) -> list[np.ndarray]:
    assert refusal(**call) == ""
    learned, others = split(call)
    return results(lambda learned: _associate.associate(JAX, **others, **learned), learned)


def results(function: Any, learned: dict[str, Any]) -> list[np.ndarray]:
    """Output, conjugate, and the derivatives of their sum with certain factors."""
    (output, conjugate), pull_back = jax.vjp(function, learned)
    lowest = jnp.finfo(conjugate.dtype).min
    conjugate = jnp.where(conjugate <= lowest, -math.inf, conjugate)
    factors = numbers(*output.shape, seed=9).astype(output.dtype)
    by_conjugate = jnp.where(conjugate > lowest, 1.0, 0.0).astype(conjugate.dtype)
    derivatives = pull_back((factors, by_conjugate))[0]
    found = [output, conjugate, *(derivatives[name] for name in ARRAYS if name in derivatives)]
    return [np.asarray(x, dtype=np.float64) for x in found]


def must_agree(call: dict[str, Any], tolerance: float = 3e-6) -> None:
    for ours, theirs in zip(by_kernel(call), by_formula(call), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    "name",
    [x if x in ("softmax", "entmax15") else pytest.param(x, marks=FULL) for x in SEPARATIONS],
)
def test_each_separation_is_its_formula(name: str) -> None:
    must_agree(case(SEPARATIONS[name]), 2e-5 if name == "near 1" else 3e-6)


@FULL
@pytest.mark.parametrize(
    "other",
    [
        {"mask": np.arange(11) % 3 > 0, "beta": jnp.linspace(0.3, 3.0, 6)},
        {"mask": numbers(6, 11, seed=3) > 0.3, "bias": numbers(11, seed=4)},
        {"mask": (numbers(6, 1, seed=3) > 0.0), "bias": numbers(6, 11, seed=4)},
        {"beta": jnp.asarray(0.4), "bias": numbers(6, 1, seed=4)},
    ],
    ids=["mask-row-and-betas", "mask-and-bias-row", "mask-column-and-bias", "one-beta-bias-column"],
)
@pytest.mark.parametrize("name", ["softmax", "entmax15"])
def test_options_are_those_of_the_formula(name: str, other: dict[str, Any]) -> None:
    must_agree(case(SEPARATIONS[name], **other))


LEADS: dict[str, dict[str, tuple[int, ...]]] = {
    "grouped queries": {"state": (2, 3, 5, 3), "stored": (2, 1, 6, 3), "projection": (2, 1, 6, 2)},
    "a state for all memories": {"state": (5, 3), "stored": (2, 6, 3), "projection": (2, 6, 2)},
    "projections of their own": {"state": (2, 5, 3), "stored": (6, 3), "projection": (2, 6, 2)},
    "of other ranks": {"state": (2, 1, 5, 3), "stored": (3, 6, 3), "projection": (6, 2)},
}


@FULL
@pytest.mark.parametrize("name", LEADS)
def test_leading_axes_are_broadcast(name: str) -> None:
    arrays: dict[str, Any] = {
        key: numbers(*shape, seed=len(key)) for key, shape in LEADS[name].items()
    }
    call = case(**arrays)
    output, _, *derivatives = by_kernel(call)
    wanted, _, *theirs = by_formula(call)
    np.testing.assert_allclose(output, wanted, rtol=3e-6, atol=3e-6)
    # A conjugate has no axis of the projections alone, and its factor is then another one.
    if name != "projections of their own":
        for one, other in zip(derivatives, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=5e-6, atol=5e-6)


@pytest.mark.parametrize("width", [2, pytest.param(3, marks=FULL)])
def test_the_conjugate_does_not_depend_on_projections(width: int) -> None:
    call = case(hopcore.Softmax(), projection=numbers(11, width, seed=2))
    del call["bias"]
    arrays = [call.pop(name) for name in ARRAYS[:3]]

    def conjugate(*arrays: Any) -> Any:
        given = dict(zip(ARRAYS, arrays, strict=False))
        return jnp.sum(JAX.associate(**given, **call, need_conjugate=True)[1])

    derivatives = jax.grad(conjugate, (0, 1, 2))(*arrays)
    assert bool((derivatives[2] == 0.0).all())
    assert bool((derivatives[1] != 0.0).any())


def test_heads_that_share_a_memory_do_not_repeat_it() -> None:
    state, stored = numbers(2, 3, 5, 3), numbers(2, 1, 6, 3)
    mask = jnp.ones((2, 1, 1, 6), dtype=bool)
    _, arrays = laid_out(state, stored, stored, 1.0, mask)
    assert arrays.key.shape == (2, 6, 3)
    assert arrays.query.shape == (2, 15, 3)
    assert arrays.mask.shape == (2, 6)


SIZES = [(1, 1, 1, 1), (1, 4, 1, 17), (4, 5, 16, 1), (5, 16, 5, 31)]


@FULL
@pytest.mark.parametrize("sizes", SIZES)
def test_sizes_need_be_no_powers_of_two(sizes: tuple[int, int, int, int]) -> None:
    queries, patterns, depth, width = sizes
    must_agree(
        case(
            state=numbers(queries, depth),
            stored=numbers(patterns, depth, seed=1),
            projection=numbers(patterns, width, seed=2),
        )
    )


@FULL
@pytest.mark.parametrize("name", ["softmax", "entmax15"])
@pytest.mark.parametrize("shape", [(9, 6), (2, 3, 5)], ids=["more-queries", "two-sequences"])
def test_causal(name: str, shape: tuple[int, ...]) -> None:
    *lead, queries, patterns = shape
    mask = np.arange(patterns)[None, :] <= np.arange(queries)[:, None]
    arrays = numbers(*lead, queries, 3), numbers(patterns, 3, seed=1), numbers(patterns, 2, seed=2)
    separation = SEPARATIONS[name]
    assert JAX.has_causal_kernel(*arrays[:2], separation)

    def ours(*arrays: Any) -> Any:
        return jnp.sum(jnp.sin(JAX.associate_causal(*arrays, 0.7, separation)))

    def theirs(*arrays: Any) -> Any:
        weights, _ = JAX.separate(JAX.scores(*arrays[:2], 0.7, mask), separation)
        return jnp.sum(jnp.sin(weights @ arrays[2]))

    by = (0, 1, 2)
    found = jax.value_and_grad(ours, by)(*arrays), jax.value_and_grad(theirs, by)(*arrays)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=5e-6, atol=5e-6), *found)


@pytest.mark.parametrize("name", ["softmax", pytest.param("entmax15", marks=FULL)])
def test_what_attends_to_nothing_gets_zeros(name: str) -> None:
    mask = jnp.ones((6, 11), dtype=bool).at[:2].set(False)
    call = case(SEPARATIONS[name], mask=mask)
    output, conjugate, *derivatives = by_kernel(call)
    assert (output[:2] == 0.0).all()
    assert (conjugate[:2] == -math.inf).all()
    assert (derivatives[0][:2] == 0.0).all()
    assert all(np.isfinite(x).all() for x in derivatives)
    must_agree(call)


@FULL
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", ["softmax", "entmax15"])
def test_half_precision_is_rounded_once_or_twice(name: str, dtype: Any) -> None:
    call = case(SEPARATIONS[name], dtype, beta=jnp.linspace(0.3, 3.0, 6))
    eps = float(jnp.finfo(dtype).eps)
    output, conjugate, *derivatives = by_kernel(call)
    exact, level, *by = by_formula(call)
    np.testing.assert_allclose(output, exact, rtol=eps, atol=2 * eps)
    # Scores, conjugates and their derivatives have float32.
    np.testing.assert_allclose(conjugate, level, rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(derivatives, by, strict=True):
        largest = float(np.abs(theirs).max())
        # The factors of the output are rounded here, too.
        np.testing.assert_allclose(ours, theirs, rtol=3 * eps, atol=3 * eps * largest)


@FULL
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_does_not_overflow_on_the_way(dtype: Any) -> None:
    size, beta = (2e19, 2e-38) if dtype == jnp.bfloat16 else (6e4, 1e-9)
    call = case(
        dtype=dtype,
        state=(size * jnp.sign(numbers(6, 3))).astype(dtype),
        stored=(size * jnp.sign(numbers(11, 3, seed=1))).astype(dtype),
        beta=beta,
    )
    for ours, theirs in zip(by_kernel(call)[:3], by_formula(call)[:3], strict=True):
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=0.02)


@FULL
def test_tiles_without_support_are_not_read_again() -> None:
    stored = np.zeros((40, 2), np.float32)
    stored[16:20, 0] = 1.0
    state = jnp.asarray([[5.0, 0.0]] * 3)
    _, arrays = laid_out(state, jnp.asarray(stored), numbers(40, 2), 1.0, None)
    plan = Plan(FusedOrder(2.0), 0, True)
    results = Launch(plan, arrays).forward("saved")
    assert (results.first.tolist(), results.last.tolist()) == ([[16]], [[20]])
    # What the backward pass does not read may be anything.
    stored[:16], stored[20:] = math.nan, math.nan
    saved = {name: getattr(results, name) for name in ("mean", "top", "root", "first", "last")}
    given = Given(by_output=jnp.ones((1, 3, 2)), **saved)
    launch = Launch(plan, arrays._replace(key=jnp.asarray(stored)[None]))
    assert bool(jnp.isfinite(launch.by_query(given).state).all())
    by_memory = launch.by_memory(given, True, True, False)
    assert bool(jnp.isfinite(by_memory.projection).all())
    assert bool(jnp.isfinite(by_memory.stored).all())


@FULL
@pytest.mark.parametrize("alpha", [1.0625, 1.5, 2.0])
def test_few_passes_find_the_threshold(alpha: float) -> None:
    stored = numbers(60, 8, seed=1)
    _, arrays = laid_out(numbers(4, 8), stored, stored, 1.0, None)
    assert int(Launch(Plan(FusedOrder(alpha), 0, True), arrays).forward("passes").passes.max()) <= 8


@FULL
def test_derivatives_of_both_modes_and_every_order() -> None:
    call = case()
    arrays = [call[name] for name in ARRAYS[:3]]

    def ours(*arrays: Any) -> Any:
        return jnp.sum(jnp.sin(JAX.associate(*arrays, 0.7, None, ENTMAX)[0]))

    def theirs(*arrays: Any) -> Any:
        return jnp.sum(jnp.sin(JAX.in_blocks(*arrays, 0.7, None, ENTMAX)[0]))

    changes = [numbers(*x.shape, seed=5 + i) for i, x in enumerate(arrays)]

    def forward(function: Any) -> Any:
        return jax.jvp(function, arrays, changes)[1]

    def second(function: Any) -> Any:
        gradient = jax.grad(function, (0, 1, 2))
        return jax.grad(lambda *x: sum(jnp.sum(g**2) for g in gradient(*x)), (0, 1, 2))(*arrays)

    def hessian(function: Any) -> Any:
        return jax.jvp(jax.grad(function, 0), arrays, changes)[1]

    for order in (forward, second, hessian):
        close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
        jax.tree.map(close, order(ours), order(theirs))


@FULL
@pytest.mark.parametrize("axes", [(0, None, None), (None, 0, None), (0, 0, 0)])
def test_vmap(axes: tuple[Any, ...]) -> None:
    shapes = (2, 5, 3), (2, 6, 3), (2, 6, 2)
    arrays = [
        numbers(*(shape if axis == 0 else shape[1:]), seed=i)
        for i, (shape, axis) in enumerate(zip(shapes, axes, strict=True))
    ]
    mask = numbers(5, 6, seed=7) > -0.5
    masks = jnp.stack([mask, ~mask])
    masks_axis = 0 if axes == (0, 0, 0) else None
    masks = mask if masks_axis is None else masks

    def ours(state: Any, stored: Any, projection: Any, mask: Any) -> Any:
        return jnp.sum(jnp.sin(JAX.associate(state, stored, projection, 0.7, mask, ENTMAX)[0]))

    def theirs(state: Any, stored: Any, projection: Any, mask: Any) -> Any:
        return jnp.sum(jnp.sin(JAX.in_blocks(state, stored, projection, 0.7, mask, ENTMAX)[0]))

    close = partial(np.testing.assert_allclose, rtol=5e-6, atol=5e-6)
    for change in (lambda f: f, lambda f: jax.grad(f, (0, 1, 2))):
        found = (
            jax.vmap(change(f), in_axes=(*axes, masks_axis))(*arrays, masks) for f in (ours, theirs)
        )
        jax.tree.map(close, *found)


@pytest.mark.parametrize("name", ["softmax", pytest.param("entmax15", marks=FULL)])
def test_the_best_pattern(name: str) -> None:
    stored = numbers(11, 3, seed=1)
    stored = stored.at[7].set(stored[2])  # of equal scores, the first
    mask = jnp.ones((6, 11), dtype=bool).at[1].set(False)
    given = numbers(6, 3), stored, 0.9, mask, SEPARATIONS[name]
    found: Any = _associate.best(JAX, *given)
    wanted = Backend.best(JAX, *given)
    attends = np.arange(6) != 1
    np.testing.assert_array_equal(found[0][attends], wanted[0][attends])
    np.testing.assert_allclose(found[2], wanted[2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1][attends], wanted[1][attends], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[3][attends], wanted[3][attends], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["softmax", pytest.param("entmax15", marks=FULL), pytest.param("near 1", marks=FULL)]
)
def test_statistics_are_those_of_the_weights(name: str) -> None:
    mask = (numbers(6, 11, seed=3) > -0.5).at[1].set(False)
    given = numbers(2, 6, 3), numbers(11, 3, seed=1), 0.7, mask, SEPARATIONS[name]
    found: Any = _associate.statistics(JAX, *given)
    with jax.enable_x64(True):
        wanted = Backend.statistics(JAX, *(x.astype(jnp.float64) for x in given[:2]), *given[2:])
    attends = np.arange(6) != 1
    for ours, theirs in zip(found, wanted, strict=True):
        some = attends if theirs.shape[-1] == 6 else slice(None)
        # An error of the scores of a few eps is multiplied by 16 near alpha = 1.
        tolerance = 2e-4 if name == "near 1" else 2e-5
        np.testing.assert_allclose(ours[:, some], theirs[:, some], rtol=tolerance, atol=1e-6)
    assert found[1][:, 1].tolist() == [0.0, 0.0]


def test_small_entropies_are_as_exact_as_large_ones() -> None:
    """Also where tile after tile of 4 patterns has a larger score than those before."""
    scores = 12.0 * jnp.asarray([-2.0, -1.5, -3.0, -9.0, -1.0, -0.75, -2.0, -1.25, 0.0])
    given = jnp.ones((1, 1)), scores[:, None], 1.0, None, hopcore.Softmax()
    found: Any = _associate.statistics(JAX, *given)
    wanted = hopcore.statistics(*(np.asarray(x, np.float64) for x in given[:2]), 1.0).entropy
    np.testing.assert_allclose(found[1], wanted, rtol=1e-6, atol=0.0)


@FULL
def test_derivatives_and_vmap_of_statistics_are_portable() -> None:
    state, stored = numbers(2, 6, 3), numbers(11, 3, seed=1)

    def total(state: Any) -> Any:
        found = hopcore.statistics(state, stored, 0.7, separation="entmax15")
        return jnp.sum(found.entropy**2) + jnp.sum(found.received**2)

    changes = total, jax.grad(total), jax.vmap(total), jax.vmap(jax.grad(total))
    ours = [change(state) for change in changes]
    with using_kernels("portable"):
        theirs = [change(state) for change in changes]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6), ours, theirs)


def test_hard_lookup_gathers_the_best_projection() -> None:
    state, stored, projection = numbers(2, 6, 3), numbers(11, 3, seed=1), numbers(11, 5, seed=2)
    mask = jnp.ones((6, 11), dtype=bool).at[3].set(False)
    output, index, score = hard_lookup(state, stored, projection, mask)
    scores = jnp.where(mask, state @ stored.T, -math.inf)
    wanted = jnp.argmax(scores, axis=-1)
    assert index[:, 3].tolist() == [-1, -1]
    assert bool((output[:, 3] == 0.0).all())
    rest = np.asarray([0, 1, 2, 4, 5])
    np.testing.assert_array_equal(index[:, rest], wanted[:, rest])
    np.testing.assert_array_equal(output[:, rest], projection[wanted[:, rest]])
    np.testing.assert_allclose(score, jnp.max(scores, axis=-1), rtol=1e-6)


def test_hard_lookup_says_what_it_does_not_take() -> None:
    state = numbers(2, 3)
    with pytest.raises(ValueError, match="int32 is wider"):
        hard_lookup(*([state.astype(jnp.int32)] * 3))
    with using_kernels("auto"), pytest.raises(ValueError, match="not used on this device"):
        hard_lookup(state, state, state)


def with_alpha(alpha: float) -> dict[str, Any]:
    return {"separation": hopcore.Entmax(alpha)}


def of_shape(queries: int = 2, patterns: int = 3, depth: int = 4, width: int = 4) -> dict[str, Any]:
    """Shapes and dtypes without memory: refusals read no values."""
    shapes = {
        "state": (queries, depth),
        "stored": (patterns, depth),
        "projection": (patterns, width),
    }
    return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}


BORDERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "alpha near 1": (with_alpha(1.0625), with_alpha(1.062), "alpha=1.062 is not between"),
    "alpha above 2": (with_alpha(2.0), with_alpha(2.001), "alpha=2.001 is not between"),
    "depth": (of_shape(depth=256), of_shape(depth=257), "257 coordinates"),
    "width": (of_shape(width=256), of_shape(width=257), "257 coordinates"),
    "queries": (of_shape(queries=1), of_shape(queries=0), "an array is empty"),
    "patterns": (of_shape(patterns=1), of_shape(patterns=0), "an array is empty"),
    "interpreter": (of_shape(64, 256), of_shape(65, 256), "65 x 256 scores"),
    "dtypes": ({}, {"stored": jnp.ones((11, 3), jnp.bfloat16)}, "differ in dtype"),
    "orders": (
        with_alpha(1.5),
        {"separation": hopcore.Entmax(jnp.asarray(1.5))},
        "an entmax of one order",
    ),
    "other functions": (
        {"separation": hopcore.Softmax()},
        {"separation": hopcore.Epanechnikov(2)},
        "neither the softmax",
    ),
}


@pytest.mark.parametrize("name", BORDERS)
def test_each_border_has_two_sides(name: str) -> None:
    inside, outside, reason = BORDERS[name]
    assert refusal(**case(**inside)) == ""
    assert reason in refusal(**case(**outside))


def test_what_is_refused_is_computed_by_the_portable_kernels() -> None:
    call = case(hopcore.Entmax(1.03), bias=None)
    del call["bias"]
    found = JAX.associate(**call)[0]
    np.testing.assert_array_equal(found, JAX.in_blocks(**call)[0])
    wide = jnp.ones((2, 300)), jnp.ones((3, 300)), jnp.ones((3, 2))
    np.testing.assert_allclose(JAX.associate(*wide, 1.0, None, ENTMAX)[0], 1.0, rtol=1e-6)


def test_borders_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _choice.version_refusal("0.10.2") == _choice.version_refusal("1.0") == ""
    assert "older than 0.10" in _choice.version_refusal("0.9.3")
    assert _choice.platform_refusal("PJRT C API\ncuda 12090") == ""
    assert "NVIDIA GPUs only" in _choice.platform_refusal("rocm 60000")
    # What the interpreter would need too long for.
    monkeypatch.setattr(_choice, "INTERPRETED", math.inf)
    assert refusal(**case(**of_shape(patterns=2**18))) == ""
    assert "262145 patterns" in refusal(**case(**of_shape(patterns=2**18 + 1)))
    mask = jax.ShapeDtypeStruct((2**13, 2**18), jnp.bool_)
    assert "entries of beta, mask or bias" in refusal(**case(**of_shape(2**13, 2**18), mask=mask))
    assert refusal(**case(**of_shape(2**12, 2**18), mask=mask.update(shape=(2**12, 2**18)))) == ""
    state = jax.ShapeDtypeStruct((2**15, 2**20, 4), jnp.float32)
    assert "programs are more" in refusal(**case(**{**of_shape(), "state": state}))
    state = jax.ShapeDtypeStruct((2**15, 2**19, 4), jnp.float32)
    assert refusal(**case(**{**of_shape(), "state": state})) == ""


def test_float64_is_left_to_the_portable_kernels() -> None:
    with jax.enable_x64(True):
        call = case(dtype=jnp.float64)
        assert refusal(**call) == "float64 is wider than the sums of the kernels"
    assert refusal(**case(dtype=jnp.float16)) == ""


def test_programs_for_several_devices_are_left_to_the_compiler() -> None:
    mesh = jax.make_mesh((1,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec()
    found = []

    def inside(state: Any) -> Any:
        found.append(refusal(**case(state=state)))
        return state

    jax.shard_map(inside, mesh=mesh, in_specs=spec, out_specs=spec)(numbers(6, 3))
    assert found == ["an array is on several devices"]


@pytest.mark.parametrize("function", ["association", "energy", "retrieve", "update"])
def test_public_functions_use_the_kernels(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = []
    run = Launch.run

    def recorded(self: Launch, *given: Any, **more: Any) -> Any:
        launched.append(self)
        return run(self, *given, **more)

    monkeypatch.setattr(Launch, "run", recorded)
    # A shape of its own, since what was compiled is not launched from Python again.
    size = 2 + len(function)
    options: Any = {"separation": "entmax15"}
    getattr(hopcore, function)(numbers(2, size), numbers(5, size, seed=1), beta=1.0, **options)
    assert launched


def test_without_a_gpu_the_portable_formula_is_computed() -> None:
    """The kernels are chosen for the platform that a program is compiled for."""
    call = case()
    _, arrays = laid_out(call["state"], call["stored"], call["projection"], 0.7, None)
    plan = Plan(FusedOrder(1.5), 0, False, JAX)

    def function(query: Any) -> Any:
        found = _derivatives.associate(plan, arrays._replace(query=query))
        return jnp.sum(found.output)

    traced = jax.jit(jax.value_and_grad(function)).trace(arrays.query)
    assert "xla.gpu.triton" not in traced.lower().as_text()
    assert traced.lower(lowering_platforms=("cuda",)).as_text().count("xla.gpu.triton") == 2
    value, slope = traced.lower().compile()(arrays.query)
    wanted = jax.value_and_grad(
        lambda q: jnp.sum(
            JAX.in_blocks(q[0], *(call[x] for x in ARRAYS[1:3]), 0.7, None, ENTMAX)[0]
        )
    )(arrays.query)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-6)
    np.testing.assert_allclose(slope, wanted[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["softmax", pytest.param("sparsemax", marks=FULL)])
def test_programs_for_gpus_do_not_depend_on_64_bits(name: str) -> None:
    """Whether JAX counts in 64 bits, the numbers in a kernel have 32."""
    _, arrays = laid_out(numbers(6, 3), numbers(11, 3, seed=1), None, 0.7, None)
    plan = Plan(FusedOrder.of(SEPARATIONS[name]), 0, False, JAX)

    def function(key: Any) -> Any:
        return jnp.sum(_derivatives.associate(plan, arrays._replace(key=key)).conjugate)

    with jax.enable_x64(True):
        traced = jax.jit(jax.grad(function)).trace(arrays.key)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("xla.gpu.triton") == 2


class Device:
    """A device that has nothing but a description."""

    def __init__(self, platform: str, capability: str = "9.0", version: str = "cuda 12090") -> None:
        self.platform, self.compute_capability = platform, capability
        self.client = SimpleNamespace(platform_version=version)


def test_the_kernels_are_chosen_on_gpus_of_nvidia() -> None:
    with using_kernels("portable"):
        assert not _choice.uses_pallas(Device("gpu"))
    with using_kernels("auto"):
        assert _choice.uses_pallas(Device("gpu"))
        assert not _choice.uses_pallas(Device("cpu"))
        assert not _choice.uses_pallas(Device("tpu"))
        assert not _choice.uses_pallas(Device("gpu", "7.5"))
        assert not _choice.uses_pallas(Device("gpu", version="rocm 60300"))
        assert not _choice.uses_pallas(None)  # the default device here is a CPU


def test_unknown_kernels_are_refused() -> None:
    wrong: Any = "cuda"
    message = "must be 'auto', 'cudnn', 'portable' or 'pallas-interpret'"
    with pytest.raises(ValueError, match=message), using_kernels(wrong):
        pass
