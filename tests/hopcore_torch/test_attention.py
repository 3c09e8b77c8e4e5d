"""Attention with torch's signature: the same numbers as torch, and what torch's lacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from largest import Largest
from torch.nn.attention import SDPBackend, sdpa_kernel

import hopcore
from hopcore_torch import attention

Call = tuple[list[Any], dict[str, Any]]


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Arguments that torch's own function takes, in float64."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def normal(*shape: int) -> Any:
        return torch.asarray(rng.normal(size=shape))

    heads, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    lead = draw(st.sampled_from([(), (2,)]))
    queries, keys, depth, width = (draw(st.integers(1, 6)) for _ in range(4))
    tensors = [
        normal(*lead, heads * groups, queries, depth),
        normal(*lead, heads, keys, depth),
        normal(*lead, heads, keys, width),
    ]
    options: dict[str, Any] = {"enable_gqa": groups > 1}
    full = draw(st.sampled_from([(queries, keys), (heads * groups, queries, keys)]))
    kind = draw(st.sampled_from(["none", "boolean", "numbers", "causal"]))
    if kind == "boolean":
        options["attn_mask"] = torch.asarray(rng.random(full) < 0.6)
    elif kind == "numbers":
        options["attn_mask"] = normal(*full).masked_fill(normal(*full) > 1.0, -math.inf)
    options["is_causal"] = kind == "causal"
    options["scale"] = draw(st.sampled_from([None, 0.3, 2.0, -0.7, 0.0]))
    return tensors, options


def derivatives(output: Any, tensors: list[Any]) -> list[Any]:
    """The output with its first and second derivatives."""
    by_output = torch.linspace(-1.0, 2.0, output.numel(), dtype=output.dtype)
    first = torch.autograd.grad(output, tensors, by_output.reshape(output.shape), create_graph=True)
    total = sum((x * x).sum() for x in first)
    second = torch.autograd.grad(total, tensors)
    return [output, *first, *second]


@settings(max_examples=60, deadline=None)
@given(calls())
def test_it_equals_torchs_attention_with_two_derivatives(call: Call) -> None:
    tensors, options = call
    tensors = [x.requires_grad_() for x in tensors]
    with sdpa_kernel(SDPBackend.MATH):  # the only one with second derivatives
        want = F.scaled_dot_product_attention(*tensors, **options)
    got = attention(*tensors, **options)
    if not bool(torch.isfinite(want).all()):
        # Torch gives nan for a query to which numbers hide all keys.
        want = want.nan_to_num(0.0)
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
        return
    for mine, theirs in zip(derivatives(got, tensors), derivatives(want, tensors), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("separation", ["softmax", "sparsemax", "entmax15", "entmax:1.3"])
def test_weights_are_those_of_the_separation_function(separation: str) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, n, 4, dtype=torch.float64) for n in (5, 7, 7))
    scale = torch.rand(3, 1, dtype=torch.float64) + 0.5
    scores = scale[..., None] * query @ key.mT
    want = hopcore.separate(scores, separation) @ value
    torch.testing.assert_close(
        attention(query, key, value, scale=scale, separation=separation), want
    )


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
@pytest.mark.parametrize("mask", ["none", "boolean", "numbers", "causal"])
def test_statistics_are_those_of_the_weights(separation: str, mask: str) -> None:
    torch.manual_seed(4)
    query, key = torch.randn(2, 6, 5, 4).double(), torch.randn(2, 3, 5, 4).double()
    options: dict[str, Any] = {"separation": separation, "scale": 0.8, "enable_gqa": True}
    scores = 0.8 * query @ key.repeat_interleave(2, 1).mT
    hidden = torch.ones(5, 5, dtype=torch.bool).tril()
    if mask == "boolean":
        hidden = torch.rand(2, 1, 5, 5) < 0.7
        hidden[..., 0] = True
        options["attn_mask"] = hidden
    elif mask == "numbers":
        numbers = torch.randn(6, 5, 5).double()
        options["attn_mask"], scores = numbers, scores + numbers
    options["is_causal"] = mask == "causal"
    if mask in ("boolean", "causal"):
        scores = scores.masked_fill(~hidden, -math.inf)
    weights = hopcore.separate(scores, separation)
    output, found = attention(query, key, key, **options, return_statistics=True)
    torch.testing.assert_close(output, weights @ key.repeat_interleave(2, 1))
    torch.testing.assert_close(found.entropy, torch.special.entr(weights).sum(-1))
    torch.testing.assert_close(found.effective, 1 / weights.square().sum(-1))
    torch.testing.assert_close(found.largest, weights.amax(-1))
    torch.testing.assert_close(found.received, weights.sum(-2))
    if separation == "softmax":
        torch.testing.assert_close(found.log_sum_exp, torch.logsumexp(scores, -1))


def test_a_scale_is_learned() -> None:
    torch.manual_seed(1)
    query, key = (torch.randn(2, 3, n, 4, dtype=torch.float64) for n in (5, 7))
    scale = torch.tensor([[0.5], [-1.0], [0.0]], dtype=torch.float64, requires_grad=True)

    def call(scale: Any) -> Any:
        return attention(query, key, key, scale=scale)

    assert torch.autograd.gradcheck(call, scale)
    assert torch.autograd.gradgradcheck(call, scale)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_learned_scale_is_exact_in_half_precision(dtype: Any) -> None:
    torch.manual_seed(2)
    query, key = (torch.randn(2, 3, n, 4).to(dtype) for n in (5, 7))
    scale = torch.full((3, 1), 0.123456)
    got = attention(query, key, key, scale=scale)
    assert got.dtype == dtype
    want = attention(query.double(), key.double(), key.double(), scale=scale.double())
    # Torch's kernel returns half precision: one rounding of numbers of about 1.
    torch.testing.assert_close(got.double(), want, rtol=torch.finfo(dtype).eps, atol=1e-3)


def test_dropout_draws_weights() -> None:
    query, key, value = torch.zeros(1, 2, 4), torch.randn(1, 1000, 4), torch.ones(1, 1000, 3)
    torch.manual_seed(3)
    kept = attention(query, key, value, dropout_p=0.25)
    assert kept.shape == (1, 2, 3)
    assert abs(kept.mean().item() - 1.0) < 0.1  # 1000 weights, of which 250 go
    assert not torch.equal(kept, torch.ones_like(kept))
    assert torch.equal(attention(query, key, value, dropout_p=1.0), torch.zeros_like(kept))


def test_what_is_masked_is_never_read() -> None:
    query, key, value = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    mask = torch.tensor([True, True, True, False, True])
    want = attention(query, key, value, mask)
    key[:, 3], value[:, 3] = math.nan, math.inf
    torch.testing.assert_close(attention(query, key, value, mask), want)


CAUSAL: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"scale": 0.7}, True),
    ({"scale": torch.full((4, 1), 0.7, dtype=torch.float64)}, True),
    ({"enable_gqa": True}, True),
    ({"separation": "sparsemax"}, False),
    ({"attn_mask": torch.ones(1, 1, dtype=torch.bool)}, False),
    ({"attn_mask": torch.zeros(1, 1, dtype=torch.float64)}, False),
    ({"dropout_p": 1e-12}, False),
]
"""Options of a causal call, and whether torch's causal kernel computes it."""


@pytest.mark.parametrize(("options", "own_kernel"), CAUSAL)
@pytest.mark.parametrize("sizes", [(5, 5), (3, 6), (6, 3)])
def test_a_causal_call_needs_no_mask_where_torch_has_a_kernel(
    options: dict[str, Any], own_kernel: bool, sizes: tuple[int, int], monkeypatch: Any
) -> None:
    torch.manual_seed(5)
    (queries, keys), heads = sizes, 2 if "enable_gqa" in options else 4
    tensors: list[Any] = [
        torch.randn(2, n, size, 3, dtype=torch.float64, requires_grad=True)
        for n, size in ((4, queries), (heads, keys), (heads, keys))
    ]
    triangle = torch.ones(queries, keys, dtype=torch.bool).tril()
    others = {name: x for name, x in options.items() if name != "attn_mask"}
    want = derivatives(attention(*tensors, triangle, **others), tensors)
    made: list[Any] = []
    backend = hopcore.backend("torch")
    plain = backend.causal_mask
    monkeypatch.setattr(backend, "causal_mask", lambda *x: made.append(x) or plain(*x))
    output = attention(*tensors, is_causal=True, **options)
    assert bool(made) != own_kernel
    for got, wanted in zip(derivatives(output, tensors), want, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({"is_causal": True}, False),
        ({"is_causal": True, "separation": "sparsemax"}, False),
        ({"attn_mask": torch.ones(300, 300, dtype=torch.bool).tril()}, True),
    ],
    ids=["softmax", "sparsemax", "mask"],
)
def test_causal_attention_and_its_gradient_hold_no_array_of_pairs(
    options: dict[str, Any], held: bool
) -> None:
    query = torch.randn(1, 1, 300, 4, requires_grad=True)
    with Largest() as largest:
        attention(query, query, query, **options).sum().backward()
    assert (largest.values >= 300 * 300) == held


def test_keys_after_the_last_query_are_never_read() -> None:
    query, key, value = torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    want = attention(query, key, value, is_causal=True)
    key[:, 3:], value[:, 4] = math.nan, math.inf
    torch.testing.assert_close(attention(query, key, value, is_causal=True), want)
    with pytest.raises(ValueError, match="one row for each stored pattern"):
        attention(query, key, value[:, :4], is_causal=True)


@pytest.mark.parametrize("sizes", [(0, 3), (2, 0)])
def test_empty_axes_give_empty_results(sizes: tuple[int, int]) -> None:
    batch, queries = sizes
    query, key = torch.ones(batch, 2, queries, 4), torch.ones(batch, 2, 3, 4)
    assert attention(query, key, key).shape == (batch, 2, queries, 4)


Q, K = torch.ones(2, 4, 3, 8), torch.ones(2, 2, 5, 8)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((Q, K, K), {}, "enable_gqa=True"),
        ((Q, K[:, :1].expand(2, 3, 5, 8), K), {"enable_gqa": True}, "multiple"),
        ((Q, K.double(), K), {"enable_gqa": True}, "one library and dtype"),
        ((Q, K[0], K), {"enable_gqa": True}, "number of axes"),
        ((Q, Q, Q), {"attn_mask": torch.ones(3, 4, dtype=torch.bool)}, "mask must broadcast"),
        ((Q, Q, Q), {"attn_mask": torch.full((3, 3), math.nan)}, "nan"),
        ((Q, Q, Q), {"attn_mask": torch.ones(3, 3, dtype=torch.int64)}, "attn_mask.bool()"),
        ((Q, Q, Q), {"attn_mask": [[True]]}, "attn_mask must be a tensor"),
        ((Q, Q, Q), {"is_causal": "no"}, "is_causal must be True or False"),
        ((Q, Q, Q), {"mask": None}, "did you mean attn_mask"),
        ((Q, Q.numpy(), Q), {}, "key must be a tensor"),
        ((Q, Q, Q), {"dropout_p": 1.5}, "probability"),
        ((Q, Q, Q), {"dropout_p": None}, "dropout_p must be a number"),
        ((Q, Q, Q), {"scale": "auto"}, "scale must be a number or"),
        ((Q, Q, Q), {"scale": np.ones((4, 1))}, "scale must be a number or"),
        ((Q, Q, Q), {"scale": math.nan}, "scale must be finite"),
        ((Q, Q, Q), {"scale": torch.ones(3, 1)}, "(H, 1)"),
        ((Q, Q, Q), {"separation": "sparsemx"}, "separation"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    arguments: tuple[Any, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as refused:
        attention(*arguments, **options)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings(
    # torch's tracers warn about their own internals.
    "ignore::DeprecationWarning:torch.*",
    "ignore:.*should not be instantiated:DeprecationWarning",
)
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_it_compiles_whole(separation: str) -> None:
    query, key = torch.randn(2, 4, 3, 8), torch.randn(2, 4, 5, 8)
    compiled = torch.compile(attention, fullgraph=True, backend="eager")
    got = compiled(query, key, key, is_causal=True, separation=separation)
    torch.testing.assert_close(
        got, attention(query, key, key, is_causal=True, separation=separation)
    )


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
@pytest.mark.parametrize("scale", [None, 0.8, -0.5, "heads"])
@pytest.mark.parametrize("mask", ["none", "numbers", "nothing"])
def test_statistics_of_distances(separation: str, scale: Any, mask: str) -> None:
    torch.manual_seed(5)
    query, key = torch.randn(2, 6, 5, 4).double(), torch.randn(2, 3, 7, 4).double()
    if scale == "heads":
        scale = torch.rand(6, 1, dtype=torch.float64) + 0.5
    factor = 0.5 if scale is None else scale if isinstance(scale, float) else scale[..., None]
    scores = -0.5 * factor * torch.cdist(query, key.repeat_interleave(2, 1)) ** 2
    options: dict[str, Any] = {"separation": separation, "scale": scale, "enable_gqa": True}
    if mask == "numbers":
        options["attn_mask"] = torch.randn(6, 5, 7).double()
        scores = scores + options["attn_mask"]
    elif mask == "nothing":
        options["attn_mask"] = torch.ones(5, 7, dtype=torch.bool)
        options["attn_mask"][2] = False
    options["similarity"] = "distance"
    output, found = attention(query, key, key, **options, return_statistics=True)
    weights = hopcore.separate(scores, separation)
    torch.testing.assert_close(found.energy.isinf(), found.largest == 0.0)
    if mask == "nothing":
        weights[..., 2, :] = 0.0
        assert (found.log_sum_exp[..., 2] == -torch.inf).all()
    torch.testing.assert_close(output, weights @ key.repeat_interleave(2, 1))
    torch.testing.assert_close(found.largest, weights.amax(-1))
    torch.testing.assert_close(found.received, weights.sum(-2))
    if mask == "none" and isinstance(scale, float) and scale > 0:
        wanted = hopcore.statistics(
            query, key.repeat_interleave(2, 1), scale, similarity="distance", separation=separation
        )
        for name in ("log_sum_exp", "entropy", "effective", "largest", "energy"):
            torch.testing.assert_close(getattr(found, name), getattr(wanted, name))
    if separation == "softmax" and mask != "nothing":
        conjugate = torch.logsumexp(scores, -1)
        torch.testing.assert_close(found.log_sum_exp, conjugate)
        positive = isinstance(scale, float) and scale > 0
        beta = scale if positive else 0.5 if scale is None else 1.0
        torch.testing.assert_close(found.energy, -conjugate / beta)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_distance_is_its_formula(causal: bool) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 4, n, 8, dtype=torch.float64) for n in (5, 7, 7))
    scores = -0.5 * 8**-0.5 * torch.cdist(query, key) ** 2
    if causal:
        scores = scores.masked_fill(~torch.ones(5, 7, dtype=torch.bool).tril(), -torch.inf)
    found = attention(query, key, value, similarity="distance", is_causal=causal)
    torch.testing.assert_close(found, torch.softmax(scores, -1) @ value)
