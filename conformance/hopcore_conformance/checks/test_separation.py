"""Separation functions: scores to weights (docs/spec/separation.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore.arrays import Backend
from hopcore.memory import get_separation
from hopcore_conformance.cases.memory import ALPHAS, generators, score_arrays
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray


def entmax(alpha: float) -> str | hopcore.Entmax:
    """The separation function of an order; 1 is the softmax."""
    return "softmax" if alpha == 1.0 else hopcore.Entmax(alpha)


def orders() -> st.SearchStrategy[float]:
    """The softmax and orders across (1, 50]."""
    return st.sampled_from((1.0, *ALPHAS))


def optimality(z: Array, weights: Array, alpha: float) -> tuple[Array, Array]:
    """The spread of ``z_i - log_alpha(w_i)`` over the support, and the excess of other scores.

    Both are 0 exactly at the maximiser of ``<y, z> - Omega(y)`` over the simplex: these are its
    Karush-Kuhn-Tucker conditions, which need no solver to be verified.
    """
    # Some libraries replace weights below the smallest normal number of float32 by 0.
    floor = 1e-37
    inside = weights > floor
    level = z - plain.deformed_log(np.where(inside, weights, 1.0), alpha)
    highest = np.max(np.where(inside, level, -np.inf), axis=-1)
    lowest = np.min(np.where(inside, level, np.inf), axis=-1)
    bound = lowest + plain.deformed_log(np.asarray(floor), alpha)
    outside = np.max(np.where(inside, -np.inf, z), axis=-1)
    return highest - lowest, outside - bound


def check_maximiser(subject: Subject, z: Array, alpha: float) -> None:
    """Check that weights are a distribution, and the maximiser."""
    fine = subject.precise
    z = fine.rounded(z)
    weights, _ = measure.separate(subject, z, entmax(alpha))
    attends = ~np.isneginf(z)
    some = np.any(attends, axis=-1)
    at_most("-weights", -weights, 0.0)
    agree("sum of the weights", np.sum(weights, axis=-1), some, (8 + z.shape[-1]) * fine.fine)
    agree("weights where masked", weights[~attends], np.zeros(np.sum(~attends)), 0.0)
    z = z[some]
    unequal, above = optimality(z, weights[some], alpha)
    largest = np.max(np.where(np.isneginf(z), 0.0, np.abs(z)), axis=-1, initial=0.0)
    within = fine.fine * (16 + 4 * z.shape[-1] + 8 * largest)
    at_most("spread of z - log(w) over the support", unequal, 0.0, within)
    at_most("z beyond the threshold, outside the support", above, 0.0, within)


@statement("F.weights")
@given(z=score_arrays(), alpha=orders())
def test_weights_are_the_maximiser(subject: Subject, z: Array, alpha: float) -> None:
    check_maximiser(subject, z, alpha)


@statement("F.weights")
@given(z=score_arrays(), alpha=st.floats(1.0, 50.0, exclude_min=True))
def test_weights_are_the_maximiser_for_any_alpha(subject: Subject, z: Array, alpha: float) -> None:
    check_maximiser(subject, z, alpha)


@statement("F.weights", "A.kind")
@given(z=score_arrays(), alpha=orders())
def test_public_weights_are_those_of_the_kernel(subject: Subject, z: Array, alpha: float) -> None:
    z = subject.rounded(z)
    wanted, _ = measure.separate(subject, z, entmax(alpha))
    agree("separate", subject(hopcore.separate, z, entmax(alpha)), wanted, subject.eps)


@statement("F.softmax", "F.sparsemax", "F.entmax15")
@given(z=score_arrays(masked=False), alpha=st.sampled_from((1.0, 1.5, 2.0)))
def test_closed_forms(subject: Subject, z: Array, alpha: float) -> None:
    z = subject.precise.rounded(z)
    weights, _ = measure.separate(subject, z, entmax(alpha))
    shifted = np.exp(z - np.max(z, axis=-1, keepdims=True))
    wanted = {
        1.0: lambda: shifted / np.sum(shifted, axis=-1, keepdims=True),
        1.5: lambda: np.stack([plain.entmax15_by_sorting(row) for row in z]),
        2.0: lambda: np.stack([plain.sparsemax_by_sorting(row) for row in z]),
    }[alpha]()
    largest = np.max(np.abs(z), axis=-1, keepdims=True)
    fine = subject.precise
    within = tolerance.weights_of_scores(fine, fine.fine * largest, alpha, z.shape[-1])
    agree("weights by their closed form", weights, wanted, within)


@statement("F.limit")
@given(
    rng=generators(),
    a=st.sampled_from((0.5, 0.1, 1e-2, 1e-3, 1e-4, 1e-6)),
    width=st.sampled_from((3.0, 30.0, 300.0)),
)
def test_entmax_tends_to_the_softmax(
    subject: Subject, rng: np.random.Generator, a: float, width: float
) -> None:
    # Scores that spread over more than the reach of 1/a, too: some weights are 0 there.
    z = subject.precise.rounded(width * rng.uniform(size=(3, 7)))
    weights, conjugate = measure.separate(subject, z, hopcore.Entmax(1.0 + a))
    log_sum_exp = plain.conjugate(z, 1.0)
    logs = z - log_sum_exp[:, None]  # of the softmax weights, which may underflow themselves
    # Some libraries replace weights below the smallest normal number of float32 by 0.
    floor = 1e-37
    inside = weights > floor
    own = np.log(np.where(inside, weights, 1.0))
    gap = np.max(own**2, axis=-1) * a / 2.0
    lost = np.sum(np.where(inside, 0.0, np.exp(logs)), axis=-1)
    most = np.exp(plain.deformed_log(np.asarray(floor), 1.0 + a) + (1.0 - 7.0**-a) / a)
    at_most("lost weight", lost, 6.0 * most, 64 * subject.fine)
    ratio = own - np.where(inside, logs, 0.0)
    # Where a weight is a power 1/a of a difference of scores, it has 1/a of its rounding.
    smallest = np.where(inside, np.exp(a * own), 1.0)
    rounding = 64 * subject.precise.fine * (1.0 + width + 1.0 / (a * smallest))
    at_most("-log(entmax / softmax)", -ratio, gap[:, None], rounding)
    at_most("log(entmax / softmax)", ratio, (gap - np.log1p(-lost))[:, None], rounding)
    softmax = np.exp(logs)
    between = np.sum(0.5 * softmax * logs**2 - softmax * logs, axis=-1) * a / (1.0 + a)
    small = 64 * subject.precise.fine * (1.0 + width)
    at_most("conjugate of entmax", conjugate, log_sum_exp, small)
    at_most("log-sum-exp", log_sum_exp, conjugate + between, small)


@statement("F.limit")
def test_weights_that_are_0_near_the_softmax(subject: Subject) -> None:
    # All but one weight are 0: its logarithm is 0 and gamma too, but it is not that of the softmax,
    # since it took over what the others lost.
    z = subject.precise.rounded(np.asarray([[0.0, -2.0, -2.0, -2.0, -2.0]]))
    weights, _ = measure.separate(subject, z, hopcore.Entmax(1.5))
    softmax, _ = measure.separate(subject, z, "softmax")
    agree("weights", weights, [[1.0, 0.0, 0.0, 0.0, 0.0]], 0.0)
    lost = np.sum(softmax[0, 1:])
    agree("softmax weight", np.asarray(-np.log(softmax[0, 0])), -np.log1p(-lost), 1e-5)
    at_most("-lost weight", np.asarray(-lost), -0.3)


@statement("F.permutation")
@given(z=score_arrays(), alpha=orders(), rng=generators())
def test_weights_follow_their_patterns(
    subject: Subject, z: Array, alpha: float, rng: np.random.Generator
) -> None:
    fine = subject.precise
    z, places = fine.rounded(z), rng.permutation(z.shape[-1])
    weights, conjugate = measure.separate(subject, z, entmax(alpha))
    moved, same = measure.separate(subject, z[:, places], entmax(alpha))
    within = tolerance.weights_of_scores(fine, 0.0, alpha, z.shape[-1])
    agree("weights of permuted scores", moved, weights[:, places], within)
    agree("conjugate of permuted scores", same, conjugate, tolerance.conjugate(fine, z))


@statement("F.conjugate")
@given(z=score_arrays(), alpha=orders())
def test_conjugate_is_its_formula(subject: Subject, z: Array, alpha: float) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    weights, conjugate = measure.separate(subject, z, entmax(alpha))
    within = tolerance.conjugate(fine, z)
    agree("conjugate by its formula", conjugate, plain.conjugate(z, alpha), within)
    some = np.any(~np.isneginf(z), axis=-1)
    gain = np.sum(weights * np.where(np.isneginf(z), 0.0, z), axis=-1)
    value = np.where(some, gain - plain.negentropy(weights, alpha), -np.inf)
    agree("<w, z> - Omega(w)", value, conjugate, within)


@statement("F.conjugate")
@given(z=score_arrays(masked=False), alpha=orders(), rng=generators(), reach=st.floats(-3.0, 1.0))
def test_gradient_of_the_conjugate_is_the_weights(
    subject: Subject, z: Array, alpha: float, rng: np.random.Generator, reach: float
) -> None:
    fine = subject.precise
    z = fine.rounded(z)
    other = fine.rounded(z + 10.0**reach * rng.normal(size=z.shape))
    weights, conjugate = measure.separate(subject, z, entmax(alpha))
    after, risen = measure.separate(subject, other, entmax(alpha))
    # A convex function lies between its tangents: no step size, so no error of a difference.
    rise, within = (
        risen - conjugate,
        tolerance.conjugate(fine, z) + tolerance.conjugate(fine, other),
    )
    at_most("tangent at z", np.sum(weights * (other - z), axis=-1), rise, within)
    at_most("rise of the conjugate", rise, np.sum(after * (other - z), axis=-1), within)


@statement("F.conjugate", "F.jacobian", "B.gradient")
@given(z=score_arrays(), alpha=st.sampled_from((1.0, 1.1, 1.5, 2.0)), rng=generators())
def test_automatic_derivatives(
    subject: Subject, z: Array, alpha: float, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    z = fine.rounded(z)
    function = get_separation(entmax(alpha))
    weights, _ = measure.separate(subject, z, entmax(alpha))
    some = np.any(~np.isneginf(z), axis=-1)

    options = {"backend": fine.backend, "kind": function}
    (gradient,) = fine.gradient(kernel_conjugate, z, by=[0], **options, some=some)
    largest = np.max(np.where(np.isneginf(z), 0.0, np.abs(z)), axis=-1, keepdims=True)
    within = tolerance.weights_of_scores(fine, fine.fine * largest, alpha, z.shape[-1])
    agree("gradient of the conjugate", gradient, weights, within)

    probe = fine.rounded(rng.normal(size=z.shape))
    (product,) = fine.gradient(kernel_weights, z, by=[0], probe=probe, **options)
    s = np.where(weights > 0, np.where(weights > 0, weights, 1.0) ** (2.0 - alpha), 0.0)
    total = np.sum(s, axis=-1, keepdims=True)
    mean = np.sum(s * probe, axis=-1, keepdims=True) / np.where(total > 0, total, 1.0)
    # s is a root of w for alpha > 1.5: where a weight is as small as its error, so is s.
    rough = within ** min(1.0, 2.0 - alpha) if alpha < 2.0 else fine.fine
    longest = np.max(np.abs(probe))
    agree("Jacobian of the weights", product, s * (probe - mean), 8 * longest * (rough + within))


@statement("F.jacobian")
@given(rng=generators(), alpha=st.sampled_from((2.5, 3.0, 6.0)))
def test_automatic_jacobian_beyond_sparsemax(
    subject: Subject, rng: np.random.Generator, alpha: float
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    fine = subject.precise
    # Scores of weights that are clear of 0, where their power 2 - alpha would be large.
    weights = rng.uniform(0.5, 1.5, size=(3, 3))
    weights /= np.sum(weights, axis=-1, keepdims=True)
    z = fine.rounded(plain.deformed_log(weights, alpha))
    weights, probe = plain.weights(z, alpha), fine.rounded(rng.normal(size=z.shape))
    options = {"backend": fine.backend, "kind": get_separation(entmax(alpha))}
    (product,) = fine.gradient(kernel_weights, z, by=[0], probe=probe, **options)
    s = weights ** (2.0 - alpha)
    mean = np.sum(s * probe, axis=-1, keepdims=True) / np.sum(s, axis=-1, keepdims=True)
    # A rounding of the scores moves the weights by s of it, and s by (2 - alpha) s / w of that.
    most = np.max(s, axis=-1, keepdims=True)
    turn = 1.0 + (alpha - 2.0) * most / np.min(weights, axis=-1, keepdims=True)
    within = 16 * fine.fine * np.max(np.abs(probe)) * most * turn
    agree("Jacobian of the weights", product, s * (probe - mean), within)


def kernel_weights(z: Any, *, backend: Backend, kind: Any) -> Any:
    """Weights of scores, for derivatives."""
    return backend.separate(z, kind)[0]


def kernel_conjugate(z: Any, *, backend: Backend, kind: Any, some: Any) -> Any:
    """Conjugate of scores, 0 where everything is masked: -inf has no gradient."""
    return backend.xp.where(some, backend.separate(z, kind)[1], 0.0)


@statement("F.reach")
@given(rng=generators(), alpha=st.sampled_from(ALPHAS), lead=st.sampled_from((0.0, 1e-3, 1.0, 1e4)))
def test_scores_out_of_reach_get_no_weight(
    subject: Subject, rng: np.random.Generator, alpha: float, lead: float
) -> None:
    fine = subject.precise
    margin = 1.0 / (alpha - 1.0)
    # Small scores, so that the largest less the margin is exact up to a few roundings.
    z = fine.rounded(-margin * (1.0 + 8 * fine.fine) - lead - rng.uniform(size=(3, 7)) * (lead > 0))
    z[:, 3] = 0.0
    weights, conjugate = measure.separate(subject, z, entmax(alpha))
    agree("weights", weights, np.broadcast_to(np.arange(7) == 3, z.shape), 0.0)
    agree("conjugate", conjugate, np.zeros(3), tolerance.conjugate(fine, z) / (1.0 + margin))


@statement("F.reach")
@given(alpha=st.sampled_from((1.25, 1.5, 2.0, 3.0, 5.0)), shift=st.sampled_from((0.0, 1.0, -16.0)))
def test_weights_at_the_exact_boundary(subject: Subject, alpha: float, shift: float) -> None:
    # Margins that are powers of two: every number here is exact in every dtype.
    z = np.asarray([[shift, shift - 1.0 / (alpha - 1.0), shift - 1.0 / (alpha - 1.0)]])
    weights, conjugate = measure.separate(subject, z, entmax(alpha))
    agree("weights", weights, [[1.0, 0.0, 0.0]], 0.0)
    agree("conjugate", conjugate, [shift], 0.0)


@statement("E.lse")
@given(z=score_arrays(masked=False), beta=st.sampled_from((1e-3, 0.5, 1.0, 30.0)), rng=generators())
def test_log_sum_exp(subject: Subject, z: Array, beta: float, rng: np.random.Generator) -> None:
    z = subject.rounded(z)
    mask = rng.random(z.shape) < 0.7
    for given_mask in (None, mask):
        options = {} if given_mask is None else {"mask": given_mask}
        got = subject(hopcore.lse, beta, z, **options)
        counted = z if given_mask is None else np.where(mask, z, -np.inf)
        within = tolerance.conjugate(subject, beta * z) / beta
        agree("lse against NumPy float64", got, reference(hopcore.lse, beta, z, **options), within)
        agree("lse by its formula", got, plain.conjugate(beta * counted, 1.0) / beta, within)
        top = np.max(counted, axis=-1)
        count = np.maximum(np.sum(~np.isneginf(counted), axis=-1), 1)
        at_most("max(z)", top, got, within)
        at_most("lse", got, top + np.log(count) / beta, within)
