"""Association: weights, updates, their derivatives, memories in pieces (docs/spec)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import hopcore
from hopcore import merge_associations as merge
from hopcore_conformance.cases.memory import SMOOTH, SPARSE, Problem, generators, problems
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.sharded import Parted
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray


@statement("E.association", "E.mask", "E.empty")
@given(p=problems(projected=True))
def test_association_is_its_formula(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    assert p.projection is not None
    got = measure.association(subject, p, p.projection)
    wanted = plain.association(*p.formula, projection=p.projection)
    within = tolerance.association(subject, p, p.projection)[..., None]
    agree("association by its formula", got, wanted, within)


@statement("E.update", "E.mask", "E.empty")
@given(p=problems())
def test_update_is_its_formula(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got, within = measure.update(subject, p), tolerance.association(subject, p)[..., None]
    agree("update by its formula", got, plain.association(*p.formula), within)
    same = subject(hopcore.association, p.state, p.stored, beta=p.beta, **p.options)
    agree("association without projections", same, got, within)


@statement("E.association", "F.weights")
@given(p=problems())
def test_weights_are_their_formula(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    got, within = measure.weights(subject, p), tolerance.weights(subject, p)[..., None]
    agree(
        "weights by their formula",
        got,
        plain.weights(plain.scores(*p.formula[:4]), p.alpha),
        within,
    )
    attends = plain.attends(p.state, p.stored, p.mask)
    agree("weights of masked patterns", got[~attends], np.zeros(np.sum(~attends)), 0.0)
    rounding = p.stored.shape[-2] * (subject.eps + 8 * subject.fine)
    agree("sum of the weights", np.sum(got, axis=-1), np.any(attends, axis=-1), rounding)
    # With one-hot projections the association is the weights: what the fused kernel used.
    used = measure.association(subject, p, np.eye(p.stored.shape[-2]))
    agree("association with one-hot projections", used, got, 4 * within)


@statement("E.causal")
@given(p=problems(masked=False, projected=True), moved=st.sampled_from((0.0, 0.5)))
def test_causal_is_the_lower_triangle(subject: Subject, p: Problem, moved: float) -> None:
    if isinstance(subject, Parted):
        pytest.skip("a memory in parts takes no mask that is causal")
    patterns = p.stored.shape[-2]
    assert p.projection is not None
    state = p.stored + moved * np.roll(p.stored, 1, axis=0)
    p = p.but(state=state, mask=np.tri(patterns, dtype=bool)).on(subject)
    options = {"mask": "causal", "separation": p.separation}
    within = tolerance.association(subject, p)[..., None]
    got = subject(hopcore.update, *p.arrays, **options)
    agree("causal update", got, plain.association(*p.formula), within)
    values = subject.rounded(p.projection)
    got = subject(hopcore.association, p.state, p.stored, values, beta=p.beta, **options)
    wanted = plain.association(*p.formula, projection=values)
    agree("causal association", got, wanted, tolerance.association(subject, p, values)[..., None])
    got = subject(hopcore.association_weights, *p.arrays, **options)
    wanted = plain.weights(plain.scores(*p.formula[:4]), p.alpha)
    agree("causal weights", got, wanted, tolerance.weights(subject, p)[..., None])
    got = subject(hopcore.energy, *p.arrays, **options)
    agree("causal energy", got, p.energy, tolerance.energy(subject, p))
    got = subject(after_one_update, *p.arrays, **options)
    agree("causal retrieval", got, plain.association(*p.formula), within)


def after_one_update(*arrays: Any, **options: Any) -> Any:
    """The states of a retrieval of one update."""
    return hopcore.retrieve(*arrays, max_steps=1, **options).state


@statement("E.mask")
@given(p=problems(masked=True, projected=True), rng=generators(), size=st.sampled_from((1.0, 1e4)))
def test_masked_patterns_change_nothing(
    subject: Subject, p: Problem, rng: np.random.Generator, size: float
) -> None:
    p = p.on(subject)
    assert p.mask is not None
    assert p.projection is not None
    for i, attends in enumerate(p.mask):
        stored, projection = (
            subject.rounded(np.where(attends[:, None], array, size * rng.normal(size=array.shape)))
            for array in (p.stored, p.projection)
        )
        other = p.but(stored=stored, projection=projection)
        got = measure.energy(subject, other)[i]
        within = 2 * tolerance.energy(subject, p)[i]
        agree("energy with other masked patterns", got, measure.energy(subject, p)[i], within)
        got = measure.association(subject, other, projection)[i]
        wanted = measure.association(subject, p, p.projection)[i]
        values = p.projection[attends] if np.any(attends) else np.zeros((1, 3))
        within = 2 * tolerance.association(subject, p, values)[i]
        agree("association with other masked patterns", got, wanted, within)


@statement("E.mask", "B.gradient")
@given(
    p=problems(
        separations=("softmax", hopcore.Entmax(1.5)),
        shapes=((3, 6, 4),),
        masked=True,
        projected=True,
        heats=(0.1, 5.0),
    ),
    rng=generators(),
)
def test_masked_patterns_have_no_gradient(
    subject: Subject, p: Problem, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    assert p.mask is not None
    assert p.projection is not None
    shown = np.arange(6) % 3 != 1
    p = p.but(mask=p.mask & shown, beta=np.full(3, p.beta)).on(subject)
    probe = subject.precise.rounded(rng.normal(size=(3, 3)))

    def gradients(stored: Array, projection: Array | None) -> tuple[Array, ...]:
        given = (p.state, stored, projection, p.beta)
        return subject.gradient(associate, *given, by=[0, 1, 2, 3], probe=probe, **p.options)

    got = gradients(p.stored, p.projection)
    for i, name in ((1, "stored"), (2, "projection")):
        hidden = got[i][~shown]
        agree(f"gradient by masked rows of {name}", hidden, np.zeros_like(hidden), 0.0)
    others = (
        subject.rounded(np.where(shown[:, None], x, 3.0 * rng.normal(size=x.shape)))
        for x in (p.stored, p.projection)
    )
    again = gradients(*others)
    for i, name in enumerate(("state", "stored", "projection", "beta")):
        within = 16 * subject.eps * np.max(np.abs(got[i])) + subject.least
        agree(f"gradient by {name}, other masked patterns", again[i], got[i], within)


@statement("F.permutation")
@given(p=problems(projected=True), rng=generators())
def test_order_of_the_patterns_does_not_matter(
    subject: Subject, p: Problem, rng: np.random.Generator
) -> None:
    p = p.on(subject)
    assert p.projection is not None
    places = rng.permutation(p.stored.shape[0])
    moved = p.but(
        stored=p.stored[places],
        projection=p.projection[places],
        mask=None if p.mask is None else p.mask[:, places],
    )
    within = 2 * tolerance.association(subject, p, p.projection)[..., None]
    got = measure.association(subject, moved, p.projection[places])
    agree("association", got, measure.association(subject, p, p.projection), within)
    within = 2 * tolerance.weights(subject, p)[..., None]
    agree(
        "weights", measure.weights(subject, moved), measure.weights(subject, p)[:, places], within
    )


@statement("E4")
@given(p=problems(masked=False, separations=("softmax",), heats=(0.03, 20.0)), rng=generators())
def test_jacobian_is_beta_times_the_covariance(
    subject: Subject, p: Problem, rng: np.random.Generator
) -> None:
    p = p.on(subject)
    measure.update(subject, p)
    along = rng.normal(size=p.state.shape)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    exact = np.stack([plain.jacobian(query, p.stored, p.beta) for query in p.state])
    step = 1e-4 / (p.beta * max(float(np.max(p.radius)), 1e-9))
    rise = plain.slope(lambda x: reference(hopcore.update, x, *p.arrays[1:]), p.state, along, step)
    # The third derivative of the update is beta^3 times a fourth cumulant, at most 2 M^4 of numbers
    # between -M and M.
    error = p.beta**3 * p.radius**4 * step**2 / 3 + tolerance.association(reference, p) / step
    agree("slope of the update", rise, np.einsum("lij,lj->li", exact, along), error[..., None])

    size = np.linalg.norm(exact, ord=2, axis=(-2, -1))
    gaps = p.stored[:, None] - p.stored
    diameter = np.max(np.linalg.norm(gaps, axis=-1))
    slack = 1e-12 * p.beta * p.radius**2
    at_most("norm of the Jacobian, by the diameter", size, p.beta * diameter**2 / 4.0, slack)
    largest = np.linalg.norm(p.stored, ord=2) ** 2
    at_most("norm of the Jacobian, by the spectrum", size, p.beta * largest / 2.0, slack)


@statement("E4", "B.gradient")
@given(p=problems(separations=SMOOTH, shapes=((3, 6, 4),), masked=False), rng=generators())
def test_automatic_jacobian(subject: Subject, p: Problem, rng: np.random.Generator) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    p = p.on(subject)
    probe = subject.precise.rounded(rng.normal(size=p.state.shape))
    (got,) = subject.gradient(hopcore.update, *p.arrays, by=[0], probe=probe, **p.options)
    # Tangent weights are powers 2 - alpha of the weights, with the error that this entails.
    error = tolerance.weights(subject, p) ** min(1.0, 2.0 - p.alpha if p.alpha < 2 else 1.0)
    size = np.linalg.norm(probe, axis=-1) * p.beta * p.radius**2
    within = (8 * p.stored.shape[-2] * (error + subject.eps) * size)[..., None]
    wanted = [
        plain.jacobian(q, p.stored, p.beta, p.alpha) @ v
        for q, v in zip(p.state, probe, strict=True)
    ]
    agree("Jacobian", got, np.stack(wanted), within)


@statement("E.association", "B.gradient")
@given(
    p=problems(
        separations=("softmax", hopcore.Entmax(1.5)),
        shapes=((3, 6, 4),),
        projected=True,
        heats=(0.1, 5.0),
    ),
    rng=generators(),
)
def test_automatic_gradients_by_memory(
    subject: Subject, p: Problem, rng: np.random.Generator
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    p = p.but(beta=np.full(p.state.shape[:-1], p.beta)).on(subject)
    assert p.projection is not None
    probe = subject.precise.rounded(rng.normal(size=(*p.state.shape[:-1], 3)))

    arguments = (p.state, p.stored, p.projection, p.beta)
    got = subject.gradient(associate, *arguments, by=[0, 1, 2, 3], probe=probe, **p.options)
    for i, name in enumerate(("state", "stored", "projection", "beta")):
        along = rng.normal(size=arguments[i].shape)
        scale = np.max(np.abs(arguments[i])) + 1e-3

        def total(x: Array, i: int = i) -> float:
            moved = [*arguments[:i], x, *arguments[i + 1 :]]
            return float(np.sum(probe * reference(associate, *moved, **p.options)))

        slope = plain.slope(total, arguments[i], along * scale, 1e-6)
        size = np.sum(np.abs(got[i] * along)) * scale
        size += np.sum(np.abs(probe)) * np.max(np.abs(p.projection))
        within = (64 * subject.eps + 1e-6) * size + subject.least * np.sum(np.abs(along)) * scale
        agree(f"slope by {name}", np.sum(got[i] * along) * scale, slope, within)


def associate(state, stored, projection, beta, **options):
    """Association with beta by position, for derivatives."""
    return hopcore.association(state, stored, projection, beta=beta, **options)


@statement("E6")
@given(
    p=problems(
        masked=False,
        separations=("softmax",),
        kinds=("normal", "sphere", "offset"),
        where=("near", "pattern"),
        heats=(1.0, 400.0),
    ),
    nearness=st.floats(0.0, 1.0),
)
def test_retrieval_error(subject: Subject, p: Problem, nearness: float) -> None:
    i = 0
    p = p.but(state=p.stored[i] + nearness * 0.3 * (p.state - p.stored[i])).on(subject)
    got = measure.update(subject, p)
    radius, beta = p.radius, p.beta
    products = p.stored @ p.stored[i]
    others = np.delete(products, i)
    if others.size == 0:
        agree(
            "the only pattern",
            got,
            np.broadcast_to(p.stored[i], got.shape),
            2 * subject.eps * radius,
        )
        return
    separation = products[i] - np.max(others)
    r = np.linalg.norm(p.state - p.stored[i], axis=-1)
    bound = 2 * others.size * radius * np.exp(-beta * (separation - 2 * r * radius))
    off = np.linalg.norm(got - p.stored[i], axis=-1)
    # Scores that are off by delta change the bound by a factor of exp(2 delta).
    bound = bound * np.exp(2 * np.minimum(tolerance.scores(subject, p), 1.0))
    at_most(
        "|f(xi) - x_i|", off, bound, 8 * (subject.eps + p.stored.shape[0] * subject.fine) * radius
    )


@statement("F3")
@given(
    p=problems(
        masked=False,
        separations=SPARSE,
        kinds=("normal", "sphere", "offset", "integers"),
        where=("near",),
    ),
    share=st.sampled_from((0.5, 0.9, 1.001, 1.5, 20.0)),
)
def test_exact_retrieval_beyond_the_margin(subject: Subject, p: Problem, share: float) -> None:
    p = p.but(state=p.stored[:1]).on(subject)
    margin = 1.0 / (p.alpha - 1.0)
    gap = gap_to_others(p.state, p.stored)
    assume(gap > 1e-3 * np.max(p.radius) ** 2)
    # beta such that the pattern is separated by `share` times the margin.
    p = p.but(beta=share * margin / float(gap)).on(subject)
    share = p.beta * float(gap) / margin
    got = measure.update(subject, p)
    if share > 1.0 + 2 * float(tolerance.scores(subject, p)[0]) / margin:
        agree("update of a separated pattern", got, p.state, 0.0)
    elif share < 1.0:
        assert np.any(measure.weights(subject, p)[0] > 0, where=np.arange(p.stored.shape[0]) > 0), (
            "a pattern within the margin is no fixed point, but nothing else got a weight"
        )


@statement("F3")
@given(
    p=problems(
        masked=False, separations=SPARSE, kinds=("normal", "sphere", "offset"), where=("near",)
    ),
    share=st.sampled_from((1.001, 1.5, 20.0)),
)
def test_exact_retrieval_of_a_query_in_one_step(subject: Subject, p: Problem, share: float) -> None:
    p = p.but(state=p.stored[:1] + 0.3 * (p.state[:1] - p.stored[:1])).on(subject)
    margin = 1.0 / (p.alpha - 1.0)
    gap = gap_to_others(p.state, p.stored)
    assume(gap > 1e-3 * np.max(p.radius) ** 2)
    p = p.but(beta=share * margin / float(gap)).on(subject)
    share = p.beta * float(gap) / margin
    if share > 1.0 + 2 * float(tolerance.scores(subject, p)[0]) / margin:
        agree("update of a query beyond the margin", measure.update(subject, p), p.stored[:1], 0.0)


@statement("F3")
@pytest.mark.parametrize("separation", ["softmax", "sparsemax", hopcore.Entmax(1.5)])
def test_one_pattern_is_retrieved_by_all(subject: Subject, separation: Any) -> None:
    stored = np.asarray([[1.0, -2.0, 0.5]])
    states = np.asarray([[0.0, 0.0, 0.0], [4.0, 8.0, -2.0], [1.0, -2.0, 0.5]])
    got = subject(hopcore.update, states, stored, 0.25, separation=separation)
    agree("the only pattern", got, np.broadcast_to(stored, got.shape), 0.0)


@statement("F3")
def test_the_softmax_is_exact_for_no_second_pattern(subject: Subject) -> None:
    # Of two patterns the other has the weight e^-2, of two copies one half: a copy lies in the
    # convex hull of the other, and the mean of both is exact.
    stored, state = np.asarray([[1.0, 0.0], [-1.0, 0.0]]), np.asarray([[1.0, 0.0]])
    got = subject(hopcore.update, state, stored, 1.0)
    agree("update", got, [[np.tanh(1.0), 0.0]], 8 * subject.eps)
    copies = np.concatenate([stored[:1], stored[:1]])
    agree("copies", subject(hopcore.update, state, copies, 1.0), state, 0.0)


def gap_to_others(state: Array, stored: Array) -> Array:
    """``min_j xi.(x_0 - x_j)`` over the other patterns, of one query."""
    products = stored @ state[0]
    return (
        products[0] - np.max(products[1:], initial=-np.inf)
        if stored.shape[0] > 1
        else np.float64(0)
    )


@statement("E.merge")
@given(p=problems(separations=("softmax",), shapes=((3, 4, 4),), projected=True), rng=generators())
def test_pieces_merge_into_the_whole(
    subject: Subject, p: Problem, rng: np.random.Generator
) -> None:
    p = p.on(subject)
    assert p.projection is not None
    output = measure.association(subject, p, p.projection)
    lse = plain.conjugate(plain.scores(*p.formula[:4]), 1.0)
    within = 4 * tolerance.association(subject, p, p.projection)[..., None]
    near = 4 * (
        tolerance.scores(subject, p)
        + subject.fine * (16 + np.abs(np.where(np.isfinite(lse), lse, 0)))
    )
    size = p.stored.shape[0]
    splits = [cut for count in range(size) for cut in combinations(range(1, size), count)]
    pieces = {ends: piece(subject, p, *ends) for ends in combinations(range(size + 1), 2)}
    for cut in splits:
        parts = [pieces[ends] for ends in zip((0, *cut), (*cut, size), strict=True)]
        shuffled = [parts[i] for i in rng.permutation(len(parts))]
        nested = [merge(parts[:2]), *parts[2:]]
        for order in (parts, shuffled, nested):
            got = subject.get(merge(order))
            agree(f"output merged at {cut}", got[0], output, within)
            agree(f"log-sum-exp merged at {cut}", got[1], lse, near)


def piece(subject: Subject, p: Problem, start: int, stop: int) -> tuple[object, object]:
    """Association with some of the patterns, and its log-sum-exp, as the library's arrays."""
    part = slice(start, stop)
    options = {} if p.mask is None else {"mask": subject.put(p.mask[:, part])}
    assert p.projection is not None
    arrays = (subject.put(array) for array in (p.state, p.stored[part], p.projection[part]))
    return hopcore.association(*arrays, beta=p.beta, return_lse=True, **options)


def rounding_of_parts(subject: Subject) -> float:
    """The relative error of a sum over patterns, which must not depend on their number.

    2^14 numbers may be added one after the other, each with a rounding of eps / 2.
    """
    return 2.0**13 * subject.fine + 4 * subject.eps


@statement("B.long")
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_copies_of_a_pattern_are_recalled_from_a_long_memory(
    subject: Subject, separation: str
) -> None:
    pattern = subject.rounded(np.asarray([0.3, 0.21]))
    state = subject.rounded(np.asarray([[0.25, 0.5]]))
    count, xp = (1 << 20) + 1, subject.backend.xp
    options = {"separation": separation}

    def of_copies(function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of a memory of equal patterns (a view), for libraries that add plainly."""
        return lambda state, pattern, *rest, **options: function(
            state, xp.broadcast_to(pattern, (count, 2)), *rest, **options
        )

    got = subject(of_copies(hopcore.association), state, pattern, beta=0.5, **options)
    agree("association", got, pattern[None], rounding_of_parts(subject) * pattern)
    got = subject(of_copies(hopcore.energy), state, pattern, 0.5, **options)
    # The level and the conjugate, up to log N, are rounded and divided by beta.
    within = 4 * subject.fine * np.log(count) / 0.5
    agree("energy", got, 0.5 * np.sum((state - pattern) ** 2, axis=-1), within)


@statement("B.long", "E.merge")
def test_all_of_a_warm_long_memory_is_recalled(subject: Subject) -> None:
    rng = np.random.default_rng(0)
    memory = subject.rounded(rng.uniform(0.5, 1.0, ((1 << 18) + 3, 2)))
    state = subject.rounded(rng.uniform(0.0, 1.0, (3, 2)))
    got, lse = subject(hopcore.association, state, memory, beta=0.5, return_lse=True)
    agree("association", got, plain.association(state, memory, 0.5), rounding_of_parts(subject))
    wanted = np.log(np.sum(np.exp(0.5 * state @ memory.T), axis=-1))
    agree("log-sum-exp", lse, wanted, 8 * subject.eps * wanted)
