"""Alphas that are arrays, in every function that takes a separation function, on every library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import Entmax

Function = Callable[[Any, Any, Any], Any]

FUNCTIONS: dict[str, Function] = {
    "association": lambda s, x, kind: hopcore.association(s, x, beta=1.3, separation=kind),
    "weights": lambda s, x, kind: hopcore.association_weights(s, x, 1.3, separation=kind),
    "energy": lambda s, x, kind: hopcore.energy(s, x, 1.3, separation=kind),
    "retrieve": lambda s, x, kind: (
        hopcore.retrieve(s, x, 1.3, separation=kind, max_steps=3, tol=0.0).state
    ),
}

RNG = np.random.default_rng(0)
STATE, STORED = RNG.normal(size=(2, 5, 3)), RNG.normal(size=(2, 7, 3))
HEADS = np.asarray([[1.2], [1.8]])
QUERIES = np.asarray([1.0, 1.3, 1.5, 2.0, 3.0])


def of_number(alpha: float) -> hopcore.memory.Separation:
    return "softmax" if alpha == 1.0 else Entmax(alpha)


@pytest.mark.parametrize("orders", [HEADS, QUERIES, np.asarray([[1.0], [1.5]])])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_query_is_that_of_its_own_alpha(name: str, orders: np.ndarray) -> None:
    function = FUNCTIONS[name]
    found = function(STATE, STORED, Entmax(orders))
    for (head, query), alpha in np.ndenumerate(np.broadcast_to(orders, (2, 5))):
        wanted = function(STATE[head, [query]], STORED[head], of_number(float(alpha)))
        np.testing.assert_allclose(found[head, query], wanted[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_leading_axes_that_only_alpha_has(name: str) -> None:
    found = FUNCTIONS[name](STATE[0], STORED[0], Entmax(HEADS))
    for head, alpha in enumerate(HEADS[:, 0]):
        wanted = FUNCTIONS[name](STATE[0], STORED[0], Entmax(float(alpha)))
        np.testing.assert_allclose(found[head], wanted, rtol=1e-9, atol=1e-12)


def test_blocks_of_queries_and_sparse_supports_have_their_own_rows() -> None:
    state, stored = RNG.normal(size=(700, 4)), RNG.normal(size=(4000, 4))
    orders = np.linspace(1.0, 2.5, 700)
    found = hopcore.association(state, stored, beta=2.0, separation=Entmax(orders))
    for query in (1, 350, 699):
        kind = Entmax(float(orders[query]))
        wanted = hopcore.association(state[[query]], stored, beta=2.0, separation=kind)
        np.testing.assert_allclose(found[[query]], wanted, rtol=1e-9, atol=1e-12)


FEW = STATE[:, :2, :2], STORED[:, :4, :2], HEADS
"""Few enough numbers for differences by each of them."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_in_torch(name: str) -> None:
    torch = pytest.importorskip("torch")
    given = [torch.tensor(x, requires_grad=True) for x in FEW]
    function = lambda s, x, a: FUNCTIONS[name](s, x, Entmax(a))  # noqa: E731
    assert torch.autograd.gradcheck(function, given, fast_mode=True)
    if name != "retrieve":
        assert torch.autograd.gradgradcheck(function, given, fast_mode=True)


def implicit(stored: Any, orders: Any, state: Any) -> Any:
    """A fixed point whose derivative is that of the implicit function theorem."""
    options: Any = {"gradient": "implicit", "tol": 1e-13, "max_steps": 500}
    return hopcore.retrieve(state, stored, 0.3, separation=Entmax(orders), **options).state


def test_derivative_of_a_fixed_point_in_torch() -> None:
    torch = pytest.importorskip("torch")
    state, *given = (torch.tensor(x, requires_grad=True) for x in FEW)
    state = state.detach()
    assert torch.autograd.gradcheck(
        lambda x, a: implicit(x, a, state), given, atol=1e-5, fast_mode=True
    )


def test_a_block_of_queries_at_a_time_has_the_same_derivative() -> None:
    torch = pytest.importorskip("torch")
    state, stored = RNG.normal(size=(700, 4)), RNG.normal(size=(4000, 4))
    orders = torch.linspace(1.0, 2.5, 700, dtype=torch.float64, requires_grad=True)
    kind = Entmax(orders)
    found = hopcore.association(
        torch.tensor(state), torch.tensor(stored), beta=1.0, separation=kind
    )
    (by_all,) = torch.autograd.grad(found.square().sum(), orders)
    own = orders.detach()[650:651].requires_grad_()
    one = torch.tensor(state[650:651])
    found = hopcore.association(one, torch.tensor(stored), beta=1.0, separation=Entmax(own))
    (by_own,) = torch.autograd.grad(found.square().sum(), own)
    torch.testing.assert_close(by_all[650:651], by_own, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")
def test_transforms_of_torch() -> None:
    torch = pytest.importorskip("torch")
    z, orders = torch.tensor(STATE), torch.tensor([1.0, 1.3, 1.5, 2.0, 2.6], dtype=torch.float64)
    function = lambda z, a: hopcore.separate(z, Entmax(a))  # noqa: E731
    wanted = function(z, orders)
    torch.testing.assert_close(torch.vmap(function, (0, None))(z, orders), wanted)
    torch.testing.assert_close(torch.vmap(function, (1, 0), 1)(z, orders), wanted)
    forward = torch.func.jacfwd(lambda a: function(z[0], a))(orders)
    reverse = torch.func.jacrev(lambda a: function(z[0], a))(orders)
    torch.testing.assert_close(forward, reverse)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_by_torch() -> None:
    torch = pytest.importorskip("torch")
    function = lambda s, x, a: FUNCTIONS["association"](s, x, Entmax(a))  # noqa: E731
    eager, compiled = [], []
    for found, run in (
        (eager, function),
        (compiled, torch.compile(function, fullgraph=True, backend="aot_eager")),
    ):
        given = [torch.tensor(x, requires_grad=True) for x in (STATE, STORED, HEADS)]
        output = run(*given)
        found += [output, *torch.autograd.grad(output.square().sum(), given)]
    torch.testing.assert_close(compiled, eager)


def test_jax_has_the_values_and_derivatives_of_torch() -> None:
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    for name in ("association", "energy"):
        total = lambda s, x, a, name=name: (FUNCTIONS[name](s, x, Entmax(a)) ** 2).sum()  # noqa: E731
        found = jax.jit(jax.grad(total, (0, 1, 2)))(*map(jax.numpy.asarray, (STATE, STORED, HEADS)))
        given = [torch.tensor(x, requires_grad=True) for x in (STATE, STORED, HEADS)]
        wanted = torch.autograd.grad(total(*given), given)
        for ours, theirs in zip(found, wanted, strict=True):
            dtype = ours.dtype  # float32, unless the tests run with jax_enable_x64
            np.testing.assert_allclose(
                ours, theirs.numpy().astype(dtype), rtol=np.sqrt(np.finfo(dtype).eps),
                atol=1e3 * np.finfo(dtype).eps,
            )  # fmt: skip


def test_streamed_memories(tmp_path: Path) -> None:
    np.save(tmp_path / "stored.npy", STORED[0])
    memory = hopcore.Streamed(tmp_path / "stored.npy")
    for name in ("association", "energy", "retrieve"):
        found = FUNCTIONS[name](STATE[0], memory, Entmax(QUERIES))
        wanted = FUNCTIONS[name](STATE[0], STORED[0], Entmax(QUERIES))
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_numbers_of_numpy_are_numbers() -> None:
    for alpha in (np.float32(1.5), np.float64(1.5), np.asarray(1.5), 1.5):
        assert Entmax(alpha) == Entmax(1.5)
        assert hash(Entmax(alpha)) == hash(Entmax(1.5))
    assert Entmax(2) == Entmax(np.int64(2))


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        (1.0, r"above 1 and finite \(1 is the softmax\), got 1.0"),
        (np.asarray([1.5, 0.9]), r"at least 1 \(the softmax\) and finite, .* got 0.9"),
        (np.asarray([np.nan]), "got nan"),
        (np.asarray([np.inf]), "got inf"),
        (np.asarray([2]), "alpha must be real floating"),
        (np.ones(3), r"alpha must broadcast to \(..., L\) = \(..., 5\), got \(3,\)"),
        (np.ones((3, 1)), r"leading axes do not broadcast: stored \(2,\), alpha \(3,\)"),
        (np.ones((2, 1), np.float32), "state and alpha must share one dtype"),
        ([1.5], "alpha must be a number"),
    ],
)
def test_what_is_no_alpha_is_refused(alpha: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        hopcore.association(STATE, STORED, beta=1.0, separation=Entmax(alpha))
    assert "\n" not in str(caught.value)


def test_a_beta_is_suggested_for_a_number() -> None:
    with pytest.raises(ValueError, match="a single number as alpha, got an array"):
        hopcore.suggest_beta(STORED[0], separation=Entmax(QUERIES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": np.asarray([0, 3, 1])}, "targets must be classes from 0 to 2, got 3"),
        ({"target": np.asarray([0.0, 1.0, 1.0])}, "target must be an integer array of numpy"),
        ({"target": np.asarray([0, 1])}, "one target for each sample"),
        ({"reduction": "average"}, "reduction must be one of 'mean', 'sum', 'none'"),
        ({"ignore_index": 1.5}, "ignore_index must be an integer"),
        ({"alpha": 0.5}, "alpha must be above 1"),
    ],
)
def test_losses_refuse_what_they_cannot_take(options: dict[str, Any], message: str) -> None:
    given = {"target": np.asarray([0, 1, 2]), **options}
    with pytest.raises((TypeError, ValueError), match=message):
        hopcore.entmax_loss(np.zeros((3, 3)), **given)


def test_losses_of_samples_that_do_not_count() -> None:
    scores, target = RNG.normal(size=(6, 4)), np.asarray([0, 1, -100, 3, -100, 2])
    options: Any = {"ignore_index": -100}
    each = hopcore.entmax_loss(scores, target, **options, reduction="none")
    assert np.all(each[[2, 4]] == 0.0)
    counted = hopcore.entmax_loss(scores[target >= 0], target[target >= 0])
    np.testing.assert_allclose(hopcore.entmax_loss(scores, target, **options), counted)
    assert hopcore.entmax_loss(scores[:0], target[:0]) == 0.0
    assert hopcore.entmax_loss(scores, np.full(6, -100), **options) == 0.0


def test_the_loss_of_alpha_1_is_the_cross_entropy() -> None:
    scores, target = RNG.normal(size=(6, 4)), RNG.integers(4, size=6)
    wanted = hopcore.layers.cross_entropy(scores, target)
    np.testing.assert_allclose(hopcore.entmax_loss(scores, target, 1), wanted)
    masked = np.asarray([[0.0, -np.inf]])
    assert hopcore.entmax_loss(masked, np.asarray([1]), 1.5) == np.inf
