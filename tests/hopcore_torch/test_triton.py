"""The kernels in Triton, interpreted on the CPU, beside the formulas in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import hopcore
from hopcore.arrays import Backend
from hopcore.memory import FusedOrder
from hopcore.memory._fused_limits import LEAST_ORDER
from hopcore_torch.kernels.triton import hard_lookup, refusal, using_kernels

pytest.importorskip("triton")

from hopcore_torch.kernels.triton import _associate, _choice
from hopcore_torch.kernels.triton._launch import Launch, Memory

ENTMAX = hopcore.Entmax(1.5)
SEPARATIONS = {
    "softmax": hopcore.Softmax(),
    "entmax15": ENTMAX,
    "sparsemax": hopcore.Entmax(2.0),
    "near 1": hopcore.Entmax(LEAST_ORDER),
    "below 2": hopcore.Entmax(1.99),
}
TORCH: Any = hopcore.backend("torch")


@pytest.fixture(autouse=True)
def interpreted():
    with using_kernels("triton-interpret"):
        yield


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def by_formula(call: Any, derivatives: bool = True) -> tuple[Any, ...]:
    """Output, conjugate and derivatives of a call in float64, by the portable kernel."""
    state, stored, projection, beta, mask, separation, bias, probe = call
    arrays = [state, stored, projection, *(x for x in (beta, bias) if learned(x))]
    leaves = [x.detach().double().requires_grad_() for x in arrays]
    beta = leaves[3] if learned(beta) else beta
    bias = leaves[-1] if learned(bias) else bias
    scores = TORCH.scores(leaves[0], leaves[1], beta, mask)
    scores = scores if bias is None else scores + bias
    weights, conjugate = TORCH.separate(scores, separation)
    output = weights @ leaves[2]
    total = (output * probe).sum() + torch.where(conjugate > -math.inf, conjugate, 0.0).sum()
    found = torch.autograd.grad(total, leaves) if derivatives else ()
    return output.detach(), conjugate.detach(), *found


def learned(x: Any) -> bool:
    """Whether a beta or a bias is an array with a derivative that the kernels compute."""
    one_row = isinstance(x, torch.Tensor) and x.shape[-2:-1].numel() <= 1
    return one_row and (x.ndim < 2 or x.shape[-1] > 1)


def by_kernel(call: Any) -> tuple[Any, ...]:
    state, stored, projection, beta, mask, separation, bias, probe = call
    assert refusal(state, stored, projection, beta, mask, separation, bias) == ""
    arrays = [state, stored, projection, *(x for x in (beta, bias) if learned(x))]
    leaves = [x.detach().requires_grad_() for x in arrays]
    beta = leaves[3] if learned(beta) else beta
    bias = leaves[-1] if learned(bias) else bias
    assert refusal(*leaves[:3], beta, mask, separation, bias) == ""
    found: Any = _associate.associate(TORCH, *leaves[:3], beta, mask, separation, bias)
    output, conjugate = found
    total = (output * probe).sum() + torch.where(conjugate > -math.inf, conjugate, 0.0).sum()
    return output.detach(), conjugate.detach(), *torch.autograd.grad(total, leaves)


def must_agree(call: Any, tolerance: float = 2e-6) -> None:
    for ours, theirs in zip(by_kernel(call), by_formula(call), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)


def case(separation: Any = ENTMAX, dtype: torch.dtype = torch.float32, **other: Any) -> list[Any]:
    """Arguments of a call: 6 queries, 11 patterns of 3 coordinates, projections of 2."""
    given = {
        "state": numbers(6, 3, dtype=dtype),
        "stored": numbers(11, 3, seed=1, dtype=dtype),
        "projection": numbers(11, 2, seed=2, dtype=dtype),
        "beta": 0.7,
        "mask": None,
        "separation": separation,
        "bias": None,
        **other,
    }
    lead = torch.broadcast_shapes(*(given[x].shape[:-2] for x in ("state", "stored", "projection")))
    probe = numbers(*lead, given["state"].shape[-2], given["projection"].shape[-1], seed=9)
    return [*given.values(), probe]


@pytest.mark.parametrize("name", SEPARATIONS)
def test_each_separation_is_its_formula(name: str) -> None:
    must_agree(case(SEPARATIONS[name]), 1e-5 if name == "near 1" else 2e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"mask": torch.arange(11) % 3 > 0},
        {"mask": numbers(6, 11, seed=3) > 0.3},
        {"mask": (numbers(6, 1, seed=3) > 0.0)},
        {"beta": torch.linspace(0.3, 3.0, 6)},
        {"beta": torch.tensor(0.4)},
        {"bias": numbers(11, seed=4)},
        {"bias": numbers(6, 11, seed=4)},
        {"bias": numbers(11, seed=4), "beta": torch.tensor(0.4), "mask": numbers(6, 11) > -0.5},
        {"bias": numbers(1, seed=4)},
    ],
    ids=[
        "mask-row",
        "mask",
        "mask-column",
        "betas",
        "beta-tensor",
        "bias-row",
        "bias",
        "bias-row-and-mask",
        "one-bias",
    ],
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


@pytest.mark.parametrize("name", LEADS)
def test_leading_axes_are_broadcast(name: str) -> None:
    arrays = {key: numbers(*shape, seed=len(key)) for key, shape in LEADS[name].items()}
    must_agree(case(**arrays))


@pytest.mark.parametrize("shape", [(6,), (2, 1, 1, 6)])
def test_the_derivative_by_a_bias_is_summed_over_queries(shape: tuple[int, ...]) -> None:
    arrays = {key: numbers(*x, seed=len(key)) for key, x in LEADS["grouped queries"].items()}
    must_agree(case(**arrays, bias=numbers(*shape, seed=4)))
    heads = numbers(3, 1, 6, seed=4).requires_grad_()  # of heads that share a memory
    assert "differs where memories do not" in refusal(*case(**arrays)[:6], heads)


def launches(monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    """The launches of a test, as they happen."""
    found: list[Launch] = []
    run = Launch.run

    def recorded(self: Launch, *given: Any, **more: Any) -> None:
        found.append(self)
        run(self, *given, **more)

    monkeypatch.setattr(Launch, "run", recorded)
    return found


def test_queries_of_one_memory_are_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = launches(monkeypatch)
    mask = torch.arange(11) % 3 > 0
    must_agree(case(state=numbers(2, 3, 2, 3), mask=mask, beta=torch.rand(2, 3, 1) + 0.5))
    assert {(launch.queries, launch.layout.lead) for launch in launched} == {(12, ())}


def test_arrays_that_are_broadcast_are_not_copied() -> None:
    state, stored = numbers(2, 3, 5, 3), numbers(2, 1, 6, 3)
    mask = torch.ones(2, 1, 1, 6, dtype=torch.bool)
    launch = Launch(Memory(state, stored, stored, 1.0, mask, None, FusedOrder(1.5)))
    for rows, array in ((launch.call.key, stored), (launch.call.mask, mask)):
        assert rows.data.data_ptr() == array.data_ptr()
        assert rows.data.numel() == array.numel()
    assert launch.layout.group == 3
    assert not launch.layout.aligned  # rows of 3 numbers
    wide = numbers(2, 6, 16)
    assert Launch(Memory(wide, wide, wide, 1.0, None, None, FusedOrder(1.5))).layout.aligned


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 4, 1, 17), (4, 5, 16, 1), (5, 16, 5, 31)])
def test_sizes_need_be_no_powers_of_two(sizes: tuple[int, int, int, int]) -> None:
    queries, patterns, depth, width = sizes
    must_agree(
        case(
            state=numbers(queries, depth),
            stored=numbers(patterns, depth, seed=1),
            projection=numbers(patterns, width, seed=2),
        )
    )


@pytest.mark.parametrize("name", ["softmax", "entmax15"])
@pytest.mark.parametrize("shape", [(9, 6), (6, 9)])
def test_causal(name: str, shape: tuple[int, int]) -> None:
    queries, patterns = shape
    mask = torch.arange(patterns)[None, :] <= torch.arange(queries)[:, None]
    call = case(
        SEPARATIONS[name],
        state=numbers(queries, 3),
        stored=numbers(patterns, 3, seed=1),
        projection=numbers(patterns, 2, seed=2),
        mask=mask,
    )
    output = by_formula(call)[0]
    leaves = [x.requires_grad_() for x in call[:3]]
    assert TORCH.has_causal_kernel(call[0], call[1], call[5])
    found = TORCH.associate_causal(*leaves, 0.7, call[5])
    torch.testing.assert_close(found.double(), output, rtol=2e-6, atol=2e-6)
    wanted = [x.detach().double().requires_grad_() for x in leaves]
    formula = TORCH.associate(*wanted, 0.7, mask, call[5])[0]
    for ours, theirs in zip(
        torch.autograd.grad((found * call[7]).sum(), leaves),
        torch.autograd.grad((formula * call[7]).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours.double(), theirs, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", ["softmax", "entmax15", "sparsemax"])
def test_what_attends_to_nothing_gets_zeros(name: str) -> None:
    mask = torch.ones(6, 11, dtype=torch.bool)
    mask[:2] = False
    call = case(SEPARATIONS[name], mask=mask)
    output, conjugate, *derivatives = by_kernel(call)
    assert bool((output[:2] == 0.0).all())
    assert bool((conjugate[:2] == -math.inf).all())
    assert bool((derivatives[0][:2] == 0.0).all())
    assert all(bool(torch.isfinite(x).all()) for x in derivatives)
    must_agree(call)


def test_tensors_need_not_be_contiguous() -> None:
    def strided(x: torch.Tensor) -> torch.Tensor:
        whole = torch.full((x.shape[1], 2 * x.shape[0]), math.nan)
        whole[:, ::2] = x.T
        return whole[:, ::2].T

    plain = case()
    call = [*map(strided, plain[:3]), *plain[3:]]
    assert not call[0].is_contiguous()
    assert all(map(torch.equal, by_kernel(call), by_kernel(plain)))
    negative = torch.complex(numbers(6, 3), numbers(6, 3)).conj().imag
    assert negative.is_neg()  # values differ from what is in memory
    must_agree(case(state=negative))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["softmax", "entmax15"])
def test_half_precision_is_rounded_once_or_twice(name: str, dtype: torch.dtype) -> None:
    call = case(SEPARATIONS[name], dtype, beta=torch.linspace(0.3, 3.0, 6))
    eps = torch.finfo(dtype).eps
    output, conjugate, *derivatives = by_kernel(call)
    exact, level, *by = by_formula(call)
    torch.testing.assert_close(output.double(), exact, rtol=eps, atol=2 * eps)
    # Scores, conjugates and their derivatives have float32.
    torch.testing.assert_close(conjugate.double(), level, rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(derivatives, by, strict=True):
        largest = float(theirs.abs().max())
        torch.testing.assert_close(ours.double(), theirs, rtol=2 * eps, atol=2 * eps * largest)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_overflow_on_the_way(dtype: torch.dtype) -> None:
    size, beta = (2e19, 2e-38) if dtype == torch.bfloat16 else (6e4, 1e-9)
    call = case(
        dtype=dtype,
        state=(size * numbers(6, 3).sign()).to(dtype),
        stored=(size * numbers(11, 3, seed=1).sign()).to(dtype),
        beta=beta,
    )
    call[-1] = call[-1] * 1e3  # derivatives of a size that float16 has, by sums that it has not
    assert size * size > torch.finfo(torch.float32 if beta < 1e-30 else dtype).max
    for ours, theirs in zip(by_kernel(call)[:3], by_formula(call)[:3], strict=True):
        assert bool(torch.isfinite(ours).all())
        torch.testing.assert_close(ours.double(), theirs, rtol=0.02, atol=0.02)


def test_tiles_without_support_are_not_read_again() -> None:
    stored = torch.zeros(40, 2)
    stored[16:20, 0] = 1.0
    call = case(
        hopcore.Entmax(2.0),
        state=torch.tensor([[5.0, 0.0]] * 3),
        stored=stored,
        projection=numbers(40, 2),
        beta=1.0,
    )
    memory = Memory(*call[:3], 1.0, None, None, FusedOrder(2.0))
    launch = Launch(memory)
    results = launch.forward(derivative=True, passes=True)
    assert (results.first.tolist(), results.last.tolist()) == ([16], [20])
    # What the backward pass does not read may be anything.
    stored[:16], stored[20:] = math.nan, math.nan
    found = launch.backward(results, (True, True, True, False, False), torch.ones(3, 2), None)
    assert all(bool(torch.isfinite(x).all()) for x in found[:3])


def test_few_passes_find_the_threshold() -> None:
    for alpha in (1.0625, 1.5, 2.0):
        order, stored = FusedOrder(alpha), numbers(60, 8, seed=1)
        memory = Memory(numbers(4, 8), stored, stored, 1.0, None, None, order)
        assert int(Launch(memory).forward(passes=True).passes.max()) <= 8


def test_second_derivatives_are_those_of_the_formula() -> None:
    def twice(leaves: list[Any], associate: Any) -> Any:
        output = associate(*leaves)
        first = torch.autograd.grad((output**2).sum(), leaves, create_graph=True)
        return torch.autograd.grad(sum((x**2).sum() for x in first), leaves)

    call = case()
    for bias in (None, numbers(11, seed=4)):

        def by_kernels(*leaves: Any) -> Any:
            found: Any = _associate.associate(TORCH, *leaves[:3], 0.7, None, ENTMAX, *leaves[3:])
            return found[0]

        def formula(*leaves: Any) -> Any:
            added = leaves[3] if len(leaves) > 3 else 0.0
            return Backend.associate_biased(TORCH, *leaves[:3], 0.7, None, added, ENTMAX)

        tensors = [*call[:3], *([] if bias is None else [bias])]
        ours = twice([x.detach().requires_grad_() for x in tensors], by_kernels)
        theirs = twice([x.detach().double().requires_grad_() for x in tensors], formula)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [2, 3])
def test_the_conjugate_does_not_depend_on_projections(width: int) -> None:
    call = case(projection=numbers(11, width, seed=2))
    leaves = [x.requires_grad_() for x in call[:3]]
    found: Any = _associate.associate(TORCH, *leaves, 0.7, None, ENTMAX)
    derivatives = torch.autograd.grad(found[1].sum(), leaves)
    assert bool((derivatives[2] == 0.0).all())
    wanted = torch.autograd.grad(TORCH.conjugate(*leaves[:2], 0.7, None, ENTMAX).sum(), leaves[:2])
    for ours, theirs in zip(derivatives[:2], wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=2e-6)


def test_inputs_that_changed_have_no_derivative() -> None:
    state = numbers(2, 3).requires_grad_()
    stored = numbers(5, 3, seed=1)
    output = hopcore.association(state, stored, beta=1.0, separation="entmax15")
    stored.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("name", ["softmax", "entmax15"])
def test_the_best_pattern(name: str) -> None:
    stored = numbers(11, 3, seed=1)
    stored[7] = stored[2]  # of equal scores, the first
    mask = torch.ones(6, 11, dtype=torch.bool)
    mask[1] = False
    given = numbers(6, 3), stored, 0.9, mask, SEPARATIONS[name]
    found: Any = _associate.best(*given)
    wanted = Backend.best(TORCH, *given)
    assert torch.equal(found[0], wanted[0])
    for ours, theirs in zip(found[1:], wanted[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SEPARATIONS)
@pytest.mark.parametrize("beta", [0.3, 8.0])
def test_statistics_are_those_of_the_weights(name: str, beta: float) -> None:
    mask = numbers(6, 11, seed=3) > -0.5
    mask[1] = False
    given = numbers(2, 6, 3), numbers(11, 3, seed=1), beta, mask, SEPARATIONS[name]
    found: Any = _associate.statistics(*given)
    wide = [x.double() for x in given[:2]]
    wanted = Backend.statistics(TORCH, *wide, *given[2:])
    # An error of the scores of a few eps is multiplied by 16 near alpha = 1.
    tolerance = 2e-4 if name in ("near 1", "below 2") else 2e-5
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=1e-6)
    assert found[1][:, 1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("gap", [4.0, 12.0, 60.0])
def test_small_entropies_are_as_exact_as_large_ones(gap: float) -> None:
    """Whatever the order in which the tiles of 4 patterns have larger and larger scores."""
    scores = torch.tensor([-2.0, -1.5, -3.0, -9.0, -1.0, 0.0, -2.0, -1.25, -8.0]) * gap
    for order in ([*range(9)], [*range(8, -1, -1)], [5, 0, 1, 2, 3, 4, 6, 7, 8]):
        given = torch.ones(1, 1), scores[order, None], 1.0, None, hopcore.Softmax()
        found: Any = _associate.statistics(*given)
        wanted = hopcore.statistics(given[0].double(), given[1].double(), 1.0).entropy[0]
        torch.testing.assert_close(found[1][0].double(), wanted, rtol=1e-6, atol=0.0)


def test_entropy_and_association_are_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    launched = launches(monkeypatch)
    call = case()
    results = Launch(Memory(*call[:3], 0.7, None, None, FusedOrder(1.5))).forward(entropy=True)
    assert len(launched) == 1
    torch.testing.assert_close(results.output.double(), by_formula(call)[0], rtol=2e-6, atol=2e-6)
    wanted = hopcore.statistics(*(x.double() for x in call[:2]), 0.7, separation="entmax15")
    torch.testing.assert_close(results.entropy.double(), wanted.entropy, rtol=1e-5, atol=1e-6)


def test_statistics_that_are_differentiated_are_portable() -> None:
    state, stored = numbers(2, 3).requires_grad_(), numbers(5, 3, seed=1)
    given = state, stored, 1.0, None, ENTMAX
    assert _associate.statistics(*given) is None
    by_state = torch.autograd.grad(hopcore.statistics(state, stored, 1.0).entropy.sum(), state)
    assert bool(torch.isfinite(by_state[0]).all())


def test_hard_lookup_gathers_the_best_projection() -> None:
    state, stored, projection = numbers(2, 6, 3), numbers(11, 3, seed=1), numbers(11, 5, seed=2)
    mask = torch.ones(6, 11, dtype=torch.bool)
    mask[3] = False
    output, index, score = hard_lookup(state, stored, projection, mask)
    scores = (state @ stored.T).masked_fill(~mask, -math.inf)
    wanted = scores.argmax(-1)
    assert torch.equal(index[:, 3], torch.full((2,), -1))
    assert bool((output[:, 3] == 0.0).all())
    rest = [0, 1, 2, 4, 5]
    assert torch.equal(index[:, rest], wanted[:, rest])
    assert torch.equal(output[:, rest], projection[wanted[:, rest]])
    torch.testing.assert_close(score, scores.amax(-1))
    with pytest.raises(ValueError, match="float64 is wider"):
        hard_lookup(state.double(), stored.double(), projection.double())
    with using_kernels("auto"), pytest.raises(ValueError, match="not on a GPU"):
        hard_lookup(state, stored, projection)


def with_alpha(alpha: float) -> dict[str, Any]:
    return {"separation": hopcore.Entmax(alpha)}


def of_shape(queries: int = 2, patterns: int = 3, depth: int = 4, width: int = 4) -> dict[str, Any]:
    """Arrays of a shape, without memory of their own."""
    return {
        "state": torch.zeros(1, 1).expand(queries, depth),
        "stored": torch.zeros(1, 1).expand(patterns, depth),
        "projection": torch.zeros(1, 1).expand(patterns, width),
    }


BORDERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "alpha near 1": (with_alpha(1.0625), with_alpha(1.062), "alpha=1.062 is not between"),
    "alpha above 2": (with_alpha(2.0), with_alpha(2.001), "alpha=2.001 is not between"),
    "depth": (of_shape(depth=256), of_shape(depth=257), "257 coordinates"),
    "width": (of_shape(width=256), of_shape(width=257), "257 coordinates"),
    "queries": (of_shape(queries=1), of_shape(queries=0), "an array is empty"),
    "patterns": (of_shape(patterns=1), of_shape(patterns=0), "an array is empty"),
    "interpreter": (of_shape(64, 128), of_shape(65, 128), "65 x 128 scores"),
    "mask": ({"mask": torch.ones(11) > 0}, {"mask": torch.ones(11)}, "mask is not boolean"),
    "orders": (
        with_alpha(1.5),
        {"separation": hopcore.Entmax(torch.tensor(1.5))},
        "an entmax of one order",
    ),
    "bias": (
        {"bias": torch.ones(11, requires_grad=True)},
        {"bias": torch.ones(6, 11, requires_grad=True)},
        "a bias of each query has no derivative",
    ),
}


@pytest.mark.parametrize("name", BORDERS)
def test_each_border_has_two_sides(name: str) -> None:
    inside, outside, reason = BORDERS[name]
    assert refusal(*case(**inside)[:7]) == ""
    assert reason in refusal(*case(**outside)[:7])


def test_borders_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _choice.device_refusal((8, 0), _choice.SHARED) == ""
    assert _choice.version_refusal("3.7.1") == _choice.version_refusal("4.0") == ""
    assert "older than 3.7" in _choice.version_refusal("3.6.1")
    assert "7.5 is below 8.0" in _choice.device_refusal((7, 5), _choice.SHARED)
    assert "bytes of shared memory" in _choice.device_refusal((9, 0), _choice.SHARED - 1)
    # What the interpreter would need too long for.
    monkeypatch.setattr(_choice, "INTERPRETED", math.inf)
    assert refusal(*case(**of_shape(patterns=2**18))[:7]) == ""
    assert "2621" in refusal(*case(**of_shape(patterns=2**18 + 1))[:7])
    for lead, queries, reason in (
        (2**20, 1, ""),
        (2**20 + 1, 1, "leading indices"),
        (2**15, 2**20 - 16, ""),
        (2**15, 2**20, "programs are more"),
    ):
        state = torch.zeros(1, 1, 1).expand(lead, queries, 4)
        found = refusal(state, *case(**of_shape())[1:7])
        assert reason in found
        assert bool(reason) == bool(found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_float64_is_left_to_the_portable_kernels(dtype: torch.dtype) -> None:
    found = refusal(*case(dtype=dtype)[:7])
    assert found == (
        "" if dtype == torch.float16 else "float64 is wider than the sums of the kernels"
    )


@pytest.mark.parametrize("function", ["association", "energy", "retrieve", "statistics", "update"])
def test_public_functions_use_the_kernels(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    launched = launches(monkeypatch)
    options: Any = {"separation": "entmax15"}
    getattr(hopcore, function)(numbers(2, 3), numbers(5, 3, seed=1), beta=1.0, **options)
    assert launched


def test_unknown_kernels_are_refused() -> None:
    wrong: Any = "cuda"
    message = "must be 'auto', 'portable' or 'triton-interpret'"
    with pytest.raises(ValueError, match=message), using_kernels(wrong):
        pass
