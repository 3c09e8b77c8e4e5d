"""Which calls reach the attention of cuDNN, in programs that are lowered for CUDA, and what it is.

No GPU is here. The programs are lowered and not run; what they would compute is checked with JAX's
other implementation of the same attention in the place of cuDNN.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopcore
import hopcore_jax
from hopcore_jax.kernels import _cudnn
from hopcore_jax.kernels._products import before_product
from hopcore_jax.kernels.pallas import _cudnn_choice, _derivatives, using_kernels
from hopcore_jax.kernels.pallas._cudnn_choice import MOST_MEMORIES, cudnn_refusal
from hopcore_jax.kernels.pallas._layout import Arrays, Given, Plan, laid_out

JAX: Any = hopcore.backend("jax")
FORWARD, BACKWARD = "__cudnn$fmhaSoftmax(", "__cudnn$fmhaSoftmaxBackward("
LEARNED = "query", "key", "value"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let JAX find a cuDNN, of which it asks only the version before a program runs."""
    module = "jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version"
    monkeypatch.setattr(module, lambda: 91000)
    _cudnn.refusal_of_jax.cache_clear()
    with using_kernels("cudnn"):
        yield
    _cudnn.refusal_of_jax.cache_clear()


def numbers(*shape: int, seed: int = 0, dtype: Any = jnp.bfloat16) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


def program(function: Any, *arrays: Any) -> str:
    """The program that is lowered for CUDA."""
    return jax.jit(function).trace(*arrays).lower(lowering_platforms=("cuda",)).as_text()


def arrays_of(
    queries: int = 6, patterns: int = 6, depth: int = 16, dtype: Any = jnp.bfloat16
) -> tuple[jax.Array, jax.Array]:
    state = numbers(2, queries, depth, dtype=dtype)
    return state, numbers(2, patterns, depth, seed=1, dtype=dtype)


TAKEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bfloat16": ({}, {}),
    "float16": ({"dtype": jnp.float16}, {}),
    "128 coordinates": ({"depth": 128}, {}),
    "8 coordinates": ({"depth": 8}, {}),
    "one query": ({"queries": 1}, {}),
    "causal": ({}, {"mask": "causal"}),
    "causal in float16": ({"dtype": jnp.float16}, {"mask": "causal"}),
    "causal, later patterns": ({"patterns": 9}, {"mask": "causal"}),
    "small beta": ({}, {"beta": 2.0**-126}),
    "large beta": ({}, {"beta": 2.0**127}),
}
LEFT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "float32": ({"dtype": jnp.float32}, {}),
    "256 coordinates": ({"depth": 256}, {}),
    "136 coordinates": ({"depth": 136}, {}),
    "12 coordinates": ({"depth": 12}, {}),
    "causal, more queries": ({"queries": 9}, {"mask": "causal"}),
    "log-sum-exp": ({}, {"return_lse": True}),
    "causal log-sum-exp": ({}, {"return_lse": True, "mask": "causal"}),
    "mask": ({}, {"mask": np.arange(6) > 2}),
    "mask of numbers": ({}, {"mask": jnp.zeros((6, 6), jnp.bfloat16)}),
    "bias": ({}, {"bias": jnp.zeros(6, jnp.bfloat16)}),
    "distances": ({}, {"similarity": "distance"}),
    "projections": ({}, {"projection": numbers(2, 6, 8)}),
    "betas": ({}, {"beta": jnp.ones(6, jnp.bfloat16)}),
    "an array as beta": ({}, {"beta": jnp.asarray(0.3, jnp.bfloat16)}),
    "smaller beta": ({}, {"beta": 2.0**-127}),
    "sparsemax": ({}, {"separation": "sparsemax"}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_the_program_calls_cudnn(name: str) -> None:
    sizes, options = TAKEN[name]
    text = program(partial(hopcore.association, **{"beta": 0.3, **options}), *arrays_of(**sizes))
    assert text.count(FORWARD) == 1
    assert "dot_general" not in text
    assert ("CAUSAL" in text) == (options.get("mask") == "causal")


@pytest.mark.parametrize("name", LEFT)
def test_the_program_does_not_call_cudnn(name: str) -> None:
    sizes, options = LEFT[name]
    text = program(partial(hopcore.association, **{"beta": 0.3, **options}), *arrays_of(**sizes))
    assert "__cudnn" not in text
    assert "dot_general" in text


@pytest.mark.parametrize("options", [{}, {"mask": "causal"}], ids=["plain", "causal"])
def test_updates_and_their_derivatives_call_cudnn(options: dict[str, Any]) -> None:
    def loss(state: Any, stored: Any) -> Any:
        return jnp.sum(hopcore.update(state, stored, 0.3, **options).astype(jnp.float32) ** 2)

    text = program(jax.value_and_grad(loss, (0, 1)), *arrays_of())
    assert text.count(BACKWARD) == 1
    assert "dot_general" not in text
    # The forward pass and that of the derivative are the same call, which XLA may merge.
    found = re.findall(r"custom_call @__cudnn\$fmhaSoftmax\(([^)]*)\)(.*)", text)
    assert 1 <= len(found) == len([x for x in found if x[1] == found[0][1]])


@pytest.mark.parametrize("options", [{}, {"association_mask": "causal"}], ids=["plain", "causal"])
def test_layers_call_cudnn(options: dict[str, Any]) -> None:
    layer = hopcore_jax.Hopfield(32, num_heads=2, key=jax.random.key(0))
    arrays, rest = eqx.partition(layer, eqx.is_inexact_array)
    arrays = jax.tree.map(lambda x: x.astype(jnp.bfloat16), arrays)

    def call(arrays: Any, x: Any) -> Any:
        return eqx.combine(arrays, rest)((x, x, x), **options)

    text = program(call, arrays, numbers(2, 6, 32))
    assert text.count(FORWARD) == 1
    assert ("CAUSAL" in text) == bool(options)


def test_a_retrieval_calls_cudnn_in_its_loop() -> None:
    def retrieved(state: Any, stored: Any) -> Any:
        return hopcore.retrieve(state, stored, 0.3, max_steps=9).state

    text = program(retrieved, *arrays_of())
    assert text.count("stablehlo.while") == 1
    assert FORWARD in text


def test_vmap_calls_cudnn_and_repeats_no_shared_memory() -> None:
    state, stored = numbers(3, 6, 16), numbers(6, 16, seed=1)

    def recalled(state: Any, stored: Any) -> Any:
        return hopcore.association(state, stored, beta=0.3)

    for axes, memories in [((0, None), 1), ((0, 0), 3)]:
        given = stored if axes[1] is None else jnp.stack([stored] * 3)
        text = program(jax.vmap(recalled, axes), state, given)
        assert text.count(FORWARD) == 1
        assert f"tensor<{memories}x6x1x16xbf16>" in text

    def loss(state: Any, stored: Any) -> Any:
        return jnp.sum(recalled(state, stored).astype(jnp.float32))

    text = program(jax.vmap(jax.grad(loss), (0, None)), state, stored)
    assert text.count(BACKWARD) == 1


def test_other_derivatives_are_those_of_the_portable_formula() -> None:
    state, stored = arrays_of()

    def loss(state: Any) -> Any:
        return jnp.sum(hopcore.association(state, stored, beta=0.3).astype(jnp.float32) ** 2)

    text = program(lambda x: jax.jvp(loss, (x,), (x,)), state)
    assert FORWARD in text
    assert "dot_general" in text
    text = program(jax.grad(lambda x: jnp.sum(jax.grad(loss)(x).astype(jnp.float32))), state)
    assert "dot_general" in text


def reason(state: Any, stored: Any, beta: Any = 0.3, **options: Any) -> str:
    return cudnn_refusal(state, stored, stored, beta, None, hopcore.Softmax(), **options)


def while_compiling(**options: Any) -> str:
    """Why a call in a program that is being compiled is refused; "" if it is taken."""
    found = []
    state, stored = options.pop("arrays", arrays_of())
    jax.make_jaxpr(lambda: found.append(reason(state, stored, **options)))()
    return found[0]


def test_calls_outside_of_a_program_are_left() -> None:
    """Each new beta would compile again."""
    assert while_compiling() == ""
    assert "no program is compiled" in reason(*arrays_of())


def test_each_reason_is_said() -> None:
    assert "float32" in while_compiling(arrays=arrays_of(dtype=jnp.float32))
    assert "12 coordinates" in while_compiling(arrays=arrays_of(depth=12))
    assert "array" in while_compiling(beta=jnp.asarray(1.0))
    assert "log-sum-exp" in while_compiling(need_conjugate=True)
    assert "bias" in while_compiling(bias=jnp.zeros(6))
    assert "5 queries" in while_compiling(arrays=arrays_of(queries=5), causal=True)


def test_our_borders_do_not_depend_on_the_gpu_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """On newer GPUs JAX takes more coordinates, and projections of another width."""
    module = "jax._src.cudnn.fused_attention_stablehlo.check_compute_capability"
    monkeypatch.setattr(module, lambda _: True)
    _cudnn.refusal_of_jax.cache_clear()
    state, stored = arrays_of(depth=256)
    assert _cudnn.refusal_of_jax(state.shape, stored.shape, state.dtype, False) == ""
    assert "256 coordinates" in while_compiling(arrays=(state, stored))
    assert "136 coordinates" in while_compiling(arrays=arrays_of(depth=136))
    assert while_compiling(arrays=arrays_of(depth=128)) == ""
    recalled = partial(hopcore.association, beta=0.3)
    assert "__cudnn" not in program(recalled, *arrays_of(), numbers(2, 6, 8))


def test_so_many_memories_are_taken() -> None:
    def shaped(memories: int) -> Any:
        return jax.ShapeDtypeStruct((memories, 2, 8), jnp.bfloat16)

    assert while_compiling(arrays=(shaped(MOST_MEMORIES),) * 2) == ""
    assert "memories" in while_compiling(arrays=(shaped(MOST_MEMORIES + 1),) * 2)
    one = jax.ShapeDtypeStruct((2, 8), jnp.bfloat16)
    assert while_compiling(arrays=(shaped(MOST_MEMORIES + 1), one)) == ""
    assert "sequences" in while_compiling(arrays=(shaped(MOST_MEMORIES + 1), one), causal=True)
    assert while_compiling(arrays=(shaped(MOST_MEMORIES), one), causal=True) == ""


def test_an_open_size_is_left() -> None:
    (size,) = jax.export.symbolic_shape("n")
    state = jax.ShapeDtypeStruct((size, 16), jnp.bfloat16)
    assert while_compiling(arrays=(state, arrays_of()[1][0])) == "a size is open"


@pytest.mark.parametrize(
    ("platform", "capability", "version", "expected"),
    [
        ("gpu", "8.0", "cuda 12090", ""),
        ("gpu", "7.5", "cuda 12090", "compute capability 7.5 is below 8.0"),
        ("gpu", "9.0", "rocm 60300", "the kernels were lowered for NVIDIA GPUs only"),
        ("cpu", "0.0", "cpu", ""),
    ],
)
def test_old_gpus_and_those_of_others_are_left(
    platform: str, capability: str, version: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = SimpleNamespace(
        platform=platform,
        compute_capability=capability,
        client=SimpleNamespace(platform_version=version),
    )
    monkeypatch.setattr(_cudnn_choice, "device_by_default", lambda: device)
    assert while_compiling() == expected


@pytest.mark.parametrize(
    ("kernels", "calls"), [("cudnn", True), ("auto", True), ("portable", False)]
)
def test_the_switch_decides(kernels: Any, calls: bool) -> None:
    with using_kernels(kernels):
        text = program(partial(hopcore.association, beta=0.3), *arrays_of())
        assert (FORWARD in text) == calls
        assert (while_compiling() == "") == calls


def test_without_cudnn_the_portable_kernels_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> int:
        raise RuntimeError("cuDNN is not detected.")

    module = "jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version"
    monkeypatch.setattr(module, missing)
    _cudnn.refusal_of_jax.cache_clear()
    assert while_compiling() == "JAX says: cuDNN is not detected."
    assert "__cudnn" not in program(partial(hopcore.association, beta=0.3), *arrays_of())


def test_a_version_that_jax_refuses_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "jax._src.cudnn.fused_attention_stablehlo.check_is_flash_attention"

    def refuse(*_: Any, **__: Any) -> None:
        raise NotImplementedError("needs a newer cuDNN")

    monkeypatch.setattr(module, refuse)
    _cudnn.refusal_of_jax.cache_clear()
    assert while_compiling() == "JAX says: needs a newer cuDNN"


def test_exported_programs_do_not_call_cudnn() -> None:
    """JAX exports no custom call that may change its meaning."""
    given = arrays_of()
    exported = jax.export.export(
        jax.jit(partial(hopcore.association, beta=0.3)), platforms=["cpu", "cuda"]
    )(*given)
    assert "__cudnn" not in exported.mlir_module()
    wanted = hopcore.association(*given, beta=0.3)
    np.testing.assert_array_equal(exported.call(*given), wanted)


PROGRAM = """
import sys
import jax, jax.numpy as jnp, hopcore
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax._src.cudnn import fused_attention_stablehlo
fused_attention_stablehlo.check_cudnn_version = lambda: 91000
mesh = Mesh(jax.devices(), "x")
recalled = lambda state, stored: hopcore.association(state, stored, beta=0.3)
for devices in (1, 2):
    place = NamedSharding(Mesh(jax.devices()[:devices], "x"), PartitionSpec("x"))
    arrays = [jax.device_put(jnp.ones((2, 6, 16), jnp.bfloat16), place) for _ in range(2)]
    traced = jax.jit(lambda *given: recalled(*given)).trace(*arrays)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    # For two devices, JAX would divide the call of cuDNN among them.
    print("__cudnn" in text, "CustomSPMDPartitioning" in text, "dot_general" in text)
"""


def test_programs_for_several_devices_do_not_call_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX refuses an attention if queries and memory are divided among devices differently."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["True False False", "False False True"]


# What is computed.


@pytest.mark.parametrize("options", [{}, {"mask": "causal"}], ids=["plain", "causal"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_programs_for_cpus_compute_the_portable_formula(dtype: Any, options: Any) -> None:
    state, stored = arrays_of(dtype=dtype)

    def loss(state: Any, stored: Any) -> Any:
        output = hopcore.association(state, stored, beta=0.3, **options)
        return jnp.sum(output.astype(jnp.float32) ** 2), output

    def everything(state: Any, stored: Any) -> Any:
        slopes = jax.grad(loss, (0, 1), has_aux=True)
        change = jax.jvp(slopes, (state, stored), (stored, state))
        return jax.vmap(slopes)(state, stored), change

    assert "hopcore_forward" in str(jax.make_jaxpr(everything)(state, stored))
    found = jax.jit(everything)(state, stored)
    with using_kernels("portable"):
        wanted = jax.jit(everything)(state, stored)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        near = 4 * float(jnp.finfo(dtype).eps)
        one, other = (np.asarray(x, dtype=np.float64) for x in (ours, theirs))
        np.testing.assert_allclose(one, other, rtol=near, atol=near * np.abs(other).max())


@pytest.fixture
def by_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX's attention by XLA, in float32, in the place of that by cuDNN."""
    right = jax.nn.dot_product_attention

    def by_xla(*arrays: Any, implementation: str, **options: Any) -> Any:
        assert implementation == "cudnn"
        wide = [x.astype(jnp.float32) for x in arrays]
        return right(*wide, implementation="xla", **options).astype(arrays[0].dtype)

    monkeypatch.setattr(jax.nn, "dot_product_attention", by_xla)


def must_agree(
    dtype: Any = jnp.bfloat16, beta: float = 0.3, causal: bool = False, scale: float = 1.0
) -> None:
    """Compare output and derivatives of a call of cuDNN with the formula in float64.

    Three sequences of queries share each of two memories.
    """
    state, stored = (numbers(2, n, 6, 16, seed=n, dtype=dtype) for n in (3, 1))
    state, stored = (x * jnp.asarray(scale, dtype) for x in (state, stored))
    projection = numbers(2, 1, 6, 16, seed=2, dtype=dtype)
    _, arrays = laid_out(state, stored, projection, beta, None)
    plan = Plan(hopcore.memory.FusedOrder(1.0), 6 if causal else 0, False, JAX, beta)
    by = numbers(2, 18, 16, seed=4, dtype=dtype)

    @jax.jit
    def found(arrays: Any, by: Any) -> Any:
        flat, tree = jax.tree.flatten(arrays)
        outputs = [
            _derivatives.forward(*flat, plan=plan, tree=tree, also=also, kernels=True)[0]
            for also in ("", "saved")
        ]
        flat, tree = jax.tree.flatten((arrays, Given(by_output=by)))
        slopes = _derivatives.pull(*flat, plan=plan, tree=tree, needs=LEARNED, kernels=True)
        return [*outputs, *slopes]

    wide = [np.asarray(x, dtype=np.float64) for x in (*arrays[:3], by)]
    output, *slopes = formula(*wide, beta, causal)
    near = 8 * float(jnp.finfo(dtype).eps)
    for ours, theirs in zip(found(arrays, by), (output, output, *slopes), strict=True):
        wide_ours = np.asarray(ours, dtype=np.float64)
        np.testing.assert_allclose(wide_ours, theirs, rtol=near, atol=near * np.abs(theirs).max())


def formula(
    query: Any, key: Any, value: Any, by: Any, beta: float, causal: bool
) -> tuple[np.ndarray, ...]:
    """Association and its derivatives by queries, keys and values."""
    scores = beta * query @ np.swapaxes(key, 1, 2)
    if causal:
        scores[:, np.arange(6) > (np.arange(18) % 6)[:, None]] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    output = weights @ value
    change = by @ np.swapaxes(value, 1, 2) - np.sum(by * output, axis=-1, keepdims=True)
    by_scores = beta * weights * change
    by_key, by_value = (np.swapaxes(x, 1, 2) @ y for x, y in ((by_scores, query), (weights, by)))
    return output, by_scores @ key, by_key, by_value


CALLS: list[dict[str, Any]] = [
    {},
    {"causal": True},
    {"dtype": jnp.float16, "beta": 3.0},
    {"dtype": jnp.float16, "causal": True},
    {"beta": 2e-38, "scale": 1e19},
    {"beta": 1e30, "scale": 1e-15},
]


@pytest.mark.usefixtures("by_xla")
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_the_call_is_the_formula(call: dict[str, Any]) -> None:
    must_agree(**call)


right_reshape, right_swap = jnp.reshape, jnp.swapaxes


@pytest.mark.usefixtures("by_xla")
@pytest.mark.parametrize(
    ("fault", "call"),
    [
        ("the power of two of beta is forgotten", {}),
        ("the rest of beta is forgotten", {}),
        ("all of beta is left to the scores", {"beta": 2e-38, "scale": 1e19}),
        ("queries of sequences are mixed", {"causal": True}),
        ("sequences see what follows", {"causal": True}),
    ],
)
def test_faults_are_noticed(
    fault: str, call: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = _cudnn.parts_of
    if "power" in fault:
        monkeypatch.setattr(_cudnn, "parts_of", lambda *given: (1.0, right(*given)[1]))
    elif "rest" in fault:
        monkeypatch.setattr(_cudnn, "parts_of", lambda *given: (right(*given)[0], 1.0))
    elif "all" in fault:
        monkeypatch.setattr(_cudnn, "parts_of", lambda beta, _: (1.0, beta))
    elif "mixed" in fault:
        monkeypatch.setattr(
            _cudnn.jnp, "swapaxes", lambda x, *_: right_reshape(x, right_swap(x, 1, 2).shape)
        )
    else:
        attend = partial(jax.nn.dot_product_attention)
        monkeypatch.setattr(
            jax.nn,
            "dot_product_attention",
            lambda *arrays, **options: attend(*arrays, **{**options, "is_causal": False}),
        )
    with pytest.raises(AssertionError):
        must_agree(**call)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("beta", [2.0**-126, 1e-20, 0.3, 0.5, 1.0, 1.999, 1e30, 2.0**127])
def test_parts_of_beta_are_those_of_the_portable_kernels(beta: float, dtype: Any) -> None:
    before, rest = _cudnn.parts_of(beta, dtype)
    assert before == float(before_product(jnp.float32(beta), dtype))
    assert before * rest == beta
    assert float(jnp.asarray(before, dtype)) == before


def test_arrays_of_a_call_are_these() -> None:
    """:func:`must_agree` gives the first three to the formula."""
    assert Arrays._fields[:3] == LEARNED
