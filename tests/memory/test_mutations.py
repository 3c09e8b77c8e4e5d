"""The conformance suite can fail: each fault in energies, associations and retrievals is caught."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest
from planting import CHECKS, MUTANTS, InTorch, Mutant, complaint, core, everywhere, mutant

import hopcore
from hopcore.arrays import Backend, orders_of
from hopcore.arrays._memory_kernels import MemoryKernels
from hopcore.memory import Entmax, Softmax
from hopcore_conformance import Subject

# Wrong kernels. The reference is right.


@mutant("forgotten beta", "E.update E.association E.energy B.beta B.blocks")
class ForgottenBeta(Backend):
    def scores(self, state, stored, beta, mask):
        return super().scores(state, stored, 1.0, mask)


@mutant("the first query's beta for all", "B.beta B.batch B.blocks")
class OneBeta(Backend):
    def scores(self, state, stored, beta, mask):
        shared = isinstance(beta, float) or beta.ndim == 0
        return super().scores(state, stored, beta if shared else beta[..., :1], mask)


@mutant("inverted mask", "E.mask E.empty")
class InvertedMask(Backend):
    def scores(self, state, stored, beta, mask):
        return super().scores(state, stored, beta, None if mask is None else ~mask)


@mutant("transposed mask", "E.mask B.batch")
class TransposedMask(Backend):
    def scores(self, state, stored, beta, mask):
        if mask is not None and mask.ndim > 1:
            mask = np.reshape(np.swapaxes(mask, -1, -2), mask.shape)
        return super().scores(state, stored, beta, mask)


@mutant("ignored mask", "E.mask E.empty")
class IgnoredMask(Backend):
    def scores(self, state, stored, beta, mask):
        return super().scores(state, stored, beta, None)


@mutant("a causal mask without the query's own pattern", "E.causal")
class StrictlyCausal(Backend):
    def causal_mask(self, state, patterns, first=0):
        return super().causal_mask(state, patterns, first - 1)


@mutant("a causal mask that forgets where its block begins", "E.causal")
class CausalFromZero(Backend):
    def causal_rows(self, state, patterns):
        return 2

    def causal_mask(self, state, patterns, first=0):
        return super().causal_mask(state, patterns)


@mutant("scores rounded to float32", "E.update E.lse F.softmax B.half")
class RoundedScores(Backend):
    def separate(self, scores, separation):
        return super().separate(scores.astype(np.float32).astype(np.float64), separation)


@mutant("softmax without its maximum", "B.extreme F.softmax", "float32")
class NoMaximum(Backend):
    def separate(self, scores, separation):
        if not separation.softmax:
            return super().separate(scores, separation)
        total = np.sum(np.exp(scores), axis=-1, keepdims=True)
        some = np.where(total > 0, total, np.ones_like(total))
        return np.exp(scores) / some, np.where(total > 0, np.log(some), -np.inf)[..., 0]


@mutant("the mean, where there is nothing to attend to", "E.empty")
class NoEmpty(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        empty = np.max(scores, axis=-1, keepdims=True) == -np.inf
        return np.where(empty, 1.0 / scores.shape[-1], weights), conjugate


@mutant("a threshold slightly low", "F.sparsemax F.entmax15 F.weights F.reach F3")
class LowThreshold(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        if not separation.softmax:
            weights = np.where(scores > -np.inf, weights + 1e-7, weights)
            weights = weights / np.maximum(np.sum(weights, axis=-1, keepdims=True), 1e-30)
        return weights, conjugate


@mutant("another alpha", "F.entmax15 F.weights F.limit F.energy")
class AnotherAlpha(Backend):
    def separate(self, scores, separation):
        if not separation.softmax:
            separation = Entmax(separation.alpha + 1e-3)
        return super().separate(scores, separation)


@mutant("no weight of exactly 0 near the softmax", "F.limit")
class NeverZero(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        some = np.max(scores, axis=-1, keepdims=True) > -np.inf
        if isinstance(separation, Entmax) and np.any(np.where(some, weights, 1.0) == 0.0):
            return super().separate(scores, Softmax())
        return weights, conjugate


@mutant("one pattern that is nearly retrieved", "F3")
class NearlyOne(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        return (weights * (1.0 - 1e-9) if scores.shape[-1] == 1 else weights), conjugate


@mutant("a cross-entropy that is never 0", "F.loss")
def never_without_loss(monkeypatch):
    right = hopcore.entmax_loss
    wrong = lambda z, *given, **named: right(z, *given, **named) + 1e-9 * (z.shape[-1] == 1)  # noqa: E731
    monkeypatch.setattr(hopcore, "entmax_loss", wrong)


@mutant("the first query's alpha for all", "F.orders")
class OneOrder(Backend):
    def separate(self, scores, separation):
        orders = orders_of(separation)
        if orders is not None:
            separation = separation.with_orders(0.0 * orders + orders.flat[0])
        return super().separate(scores, separation)


@mutant("weights that favour early patterns", "F.permutation")
class Favour(Backend):
    def separate(self, scores, separation):
        return super().separate(scores - 1e-6 * np.arange(scores.shape[-1]), separation)


@mutant("the largest score for a conjugate", "F.conjugate E.lse E.energy E.merge")
class NoLogSum(Backend):
    def separate(self, scores, separation):
        return super().separate(scores, separation)[0], np.max(scores, axis=-1)


@mutant("projections reversed", "E.association E.merge B.batch")
class Reversed(Backend):
    def associate(self, state, stored, projection, *others):
        return super().associate(state, stored, projection[..., ::-1, :], *others)


@mutant("sums of a long memory in one piece", "B.long", "float32")
class OnePiece(Backend):
    def recalled(self, weights, values):
        running = np.cumsum(weights[..., None] * values[..., None, :, :], axis=-2)
        return running[..., -1, :] if values.shape[-2] > 1 << 14 else weights @ values


@mutant("the first betas and masks for every block", "B.blocks")
class FirstRows(Backend):
    def over_blocks(self, block, state, stored, beta, mask, *of_queries):
        def rows(part: slice) -> Any:
            first = slice(0, state[..., part, :].shape[-2])
            few = beta if isinstance(beta, float) or beta.ndim == 0 else beta[..., first]
            some = state[..., part, :]
            return super(FirstRows, self).over_blocks(block, some, stored, few, mask, *of_queries)

        if state.ndim > 2 or state.shape[0] < 400:
            return super().over_blocks(block, state, stored, beta, mask, *of_queries)
        mask = None if mask is None else mask[:225]
        parts = rows(slice(0, 225)), rows(slice(225, 450))
        return tuple(np.concat(both) for both in zip(*parts, strict=True))


def retrieves(init: tuple[Any, ...]) -> bool:
    """Whether a loop is that of a retrieval, not that of a solver."""
    return len(init) == 4


@mutant("one stop for the whole batch", "E.alone")
class WholeBatch(Backend):
    def loop(self, cond, body, init, max_steps, **options):
        def together(carry):
            *found, active = body(carry)
            return *found, np.broadcast_to(np.any(active), active.shape)

        return super().loop(cond, together if retrieves(init) else body, init, max_steps, **options)


@mutant("one step too many", "E.retrieval")
class OneMore(Backend):
    def loop(self, cond, body, init, max_steps, **options):
        return super().loop(cond, body, init, max_steps + retrieves(init), **options)


@mutant("results in float64", "A.kind", "float32")
class Widened(Backend):
    def associate(self, *given):
        output, conjugate = super().associate(*given)
        return output.astype(np.float64), conjugate


@mutant("writing to the state", "A.unchanged")
class Writes(Backend):
    def scores(self, state, stored, beta, mask):
        scores = super().scores(state, stored, beta, mask)
        if state.flags.writeable:
            state *= 0.5
        return scores


@mutant("no look at values", "A.value")
class Blind(Backend):
    def all_finite(self, array):
        return True


class Unreadable(Backend):
    """Values that cannot be read, as under a trace: none is refused."""

    def can_read_values(self, array):
        return False


@mutant("what is masked is read", "A.masked")
class ReadsMasked(Unreadable):
    def without_unattended(self, array, mask):
        return array


@mutant("only what all queries are forbidden in all samples is hidden", "A.masked")
class HidesTogether(Unreadable):
    def without_unattended(self, array, mask):
        every = np.any(mask, axis=tuple(range(np.ndim(mask) - 1)))
        return np.where(every[..., None], array, 0.0).astype(array.dtype)


@mutant("large numbers are taken for harmless", "A.masked", "float32")
class Careless(Backend):
    def all_moderate(self, array):
        return self.all_finite(array)


# Wrong formulas in the core. The reference is as wrong.


def add_to_energy(monkeypatch: pytest.MonkeyPatch, excess: Callable[[Any], Any]) -> None:
    right = core("memory._energy").energy_of
    for name in ("memory._energy", "memory._retrieval"):
        wrong = lambda inputs, *rest: right(inputs, *rest) + excess(inputs)  # noqa: E731
        monkeypatch.setattr(core(name), "energy_of", wrong)


def squares(array: Any) -> Any:
    return xp.sum(array * array, axis=-1)


@mutant("no half before the square", "E.energy F.energy E2 E3 F1")
def no_half(monkeypatch):
    add_to_energy(monkeypatch, lambda inputs: 0.5 * squares(inputs.state))


@mutant("no log N", "E.energy F.energy E1 E5 F2")
def no_log(monkeypatch):
    for kind in (Softmax, Entmax):
        monkeypatch.setattr(kind, "uniform", lambda self, count, xp: 0.0 * count)


@mutant("no M", "E.energy F.energy E1")
def no_radius(monkeypatch):
    add_to_energy(monkeypatch, lambda inputs: -0.5 * np.max(squares(inputs.stored)))


@mutant("masked patterns counted in N", "E.mask E.energy E.empty")
def counted(monkeypatch):
    right = MemoryKernels.count_attended
    monkeypatch.setattr(
        MemoryKernels, "count_attended", lambda self, stored, mask: right(self, stored, None)
    )


@mutant("masked patterns counted in M", "E.mask E.energy")
def measured(monkeypatch):
    def excess(inputs: Any) -> Any:
        if inputs.mask is None:
            return 0.0
        every = squares(inputs.stored)[..., None, :]
        attended = np.max(np.where(inputs.mask, every, 0.0), axis=-1)
        return 0.5 * (np.max(every, axis=-1) - attended)

    add_to_energy(monkeypatch, excess)


@mutant("a stop without regard to M", "E.retrieval")
def absolute(monkeypatch):
    def wrong(inputs: Any, patterns: Any = None) -> Any:
        return xp.ones_like(inputs.state[..., 0])

    everywhere(monkeypatch, "memory._stopping_loop", "length_unit", lambda _: wrong)


@mutant("a path without the states that were given", "E.path")
def no_start(monkeypatch):
    right = core("memory._stopping_loop").joined_path

    def wrong(xp: Any, listed: Any, steps: Any) -> Any:
        return right(xp, [listed[min(1, len(listed) - 1)], *listed[1:]], steps)

    monkeypatch.setattr(core("memory._stopping_loop"), "joined_path", wrong)


@mutant("energies of a path from the update before", "E.path")
def late(monkeypatch):
    right = core("memory._retrieval").energies_of

    def wrong(found: Any, *rest: Any) -> Any:
        path = np.concat([found.path[:1], found.path[:-1]])
        return right(found._replace(path=path), *rest)

    monkeypatch.setattr(core("memory._retrieval"), "energies_of", wrong)


@mutant("finished queries dropped, their betas kept", "E.alone E.retrieval")
def shifted(monkeypatch):
    right = core("memory._stopping_loop").select

    def wrong(inputs: Any, rows: Any) -> Any:
        beta, some = inputs.beta, right(inputs, rows)
        each = not isinstance(beta, float) and beta.ndim > 0 and beta.shape[0] > 1
        return some._replace(beta=beta[: rows.shape[0]]) if each else some

    monkeypatch.setattr(core("memory._stopping_loop"), "select", wrong)


@mutant("a gradient without the state", "E3")
def no_state(monkeypatch):
    wrong = lambda *arrays, **options: -hopcore.update(*arrays, **options)  # noqa: E731
    monkeypatch.setattr(hopcore, "energy_gradient", wrong)


@mutant("half of beta in every score", "E.update E3 E4 E5 E6 F3")
def halved(monkeypatch):
    right = Backend.scores
    wrong = lambda self, state, stored, beta, mask: right(self, state, stored, 0.5 * beta, mask)  # noqa: E731
    monkeypatch.setattr(Backend, "scores", wrong)


@mutant("a merge that ignores the log-sum-exps", "E.merge")
def average(monkeypatch):
    def wrong(parts: Any) -> Any:
        outputs, sums = zip(*parts, strict=True)
        return sum(outputs) / len(outputs), np.logaddexp.reduce(sums)

    monkeypatch.setattr(
        importlib.import_module("hopcore_conformance.checks.test_association"), "merge", wrong
    )


@mutant("masks of any kind and shape", "A.type A.shape")
def any_mask(monkeypatch):
    monkeypatch.setattr(core("arrays._inputs"), "check_mask", lambda *given: None)


@mutant("numbers of any kind", "A.type")
def any_dtype(monkeypatch):
    monkeypatch.setattr(core("arrays._array_checks"), "check_floating", lambda *given: None)


@mutant("a single query that keeps its axis", "A.single")
def kept_axis(monkeypatch):
    for name in ("without_axis", "without_row"):
        everywhere(monkeypatch, "arrays._edge", name, lambda _: lambda array, single: array)


@mutant("integers of any size", "A.convert")
def any_size(monkeypatch):
    monkeypatch.setattr(core("arrays._edge"), "check_exact", lambda *given: None)


@mutant("an alpha of 1 for a slightly larger one", "F.orders")
def no_limit(monkeypatch):
    right = Entmax._order
    monkeypatch.setattr(
        Entmax, "_order", lambda self, like, xp: xp.maximum(right(self, like, xp), 1.0 + 1e-3)
    )


@mutant("one learned alpha for all heads", "F.learned")
def one_alpha(monkeypatch):
    module = core("layers._projections")
    right = module.learned_alpha
    wrong = lambda theta: 0.0 * right(theta) + np.mean(right(theta))  # noqa: E731
    monkeypatch.setattr(module, "learned_alpha", wrong)


@mutant("theta starts at the logarithm of alpha - 1", "F.learned")
def slipped(monkeypatch):
    module = core("memory._learnable_alpha")
    wrong = property(lambda self: tuple(np.log(np.atleast_1d(self.start) - 1.0)))
    monkeypatch.setattr(module.LearnableAlpha, "theta", wrong)


@mutant("a loss of another alpha", "F.loss")
def other_loss(monkeypatch):
    module = core("memory._entmax_loss")
    monkeypatch.setattr(module, "Entmax", lambda alpha: Entmax(alpha + 1e-2))


# Wrong derivatives and a wrong precision: they need a library that has them.


@mutant("no derivative of the weights", "F.jacobian E4 B.gradient", library="torch")
def detached(right):
    class Detached(right):
        def separate(self, scores, separation):
            weights, conjugate = super().separate(scores, separation)
            return weights.detach() + 0.0 * weights, conjugate

        def associate(self, *given):
            output, conjugate = super().associate(*given)
            return output.detach() + 0.0 * output, conjugate

    return Detached


@mutant("no derivative by alpha", "F.alpha", library="torch")
def constant_alpha(right):
    class Constant(right):
        def separate(self, scores, separation):
            orders = orders_of(separation)
            if orders is not None:
                separation = separation.with_orders(orders.detach() + 0.0 * orders)
            return super().separate(scores, separation)

    return Constant


@mutant("the derivative by alpha of its limit at 1", "F.alpha", kind=InTorch)
def limit_everywhere(monkeypatch):
    module = core("memory._order_derivative")
    monkeypatch.setattr(module, "expm1_ratio_slope", lambda x, xp: 0.5 + 0.0 * x)


@mutant("the gradient of a loss of smaller scores", "F.loss", kind=InTorch)
def without_corner(monkeypatch):
    right = hopcore.entmax_loss
    wrong = lambda z, *given, **named: right(z - z.detach() + 0.9 * z.detach(), *given, **named)  # noqa: E731
    monkeypatch.setattr(hopcore, "entmax_loss", wrong)


@mutant("a fixed point without a derivative", "B.implicit", library="torch")
def fixed(right):
    class Fixed(right):
        def implicit(self, update, solution, parameters):
            return solution + 0.0 * parameters[0].sum()

    return Fixed


@mutant("energies in bfloat16", "B.half E.energy", "bfloat16", library="torch")
def narrow(right):
    class Narrow(right):
        def conjugate(self, *given):
            return super().conjugate(*given).bfloat16().float()

    return Narrow


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_original_passes(check: Callable[..., None]) -> None:
    assert complaint(check, Subject(hopcore.backend("numpy"), "float64")) == ""


@pytest.mark.parametrize("mutant", MUTANTS[:], ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
