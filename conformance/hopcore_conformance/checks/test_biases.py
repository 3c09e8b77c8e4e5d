"""Biases of scores, parts by distance, and masked patterns (docs/spec/scores.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.scores import Scored, scored
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.sharded import Parted
from hopcore_conformance.subject import Subject

norm = tolerance.norm


@statement("K.bias")
@given(p=scored(biases=("none",)), rng=generators())
def test_a_bias_of_log_n_is_n_copies(subject: Subject, p: Scored, rng: np.random.Generator) -> None:
    if p.separation != "softmax":
        p = p.but(separation="softmax")
    counts = rng.integers(1, 5, size=p.stored.shape[0])
    mask = None if p.mask is None else np.repeat(p.mask, counts, axis=-1)
    copies = p.but(stored=np.repeat(p.stored, counts, axis=0), mask=mask).on(subject)
    merged = p.but(bias=np.log(counts)).on(subject)
    # The logarithms are rounded to the dtype of the bias.
    rounded = subject.eps * float(np.max(np.log(counts)))
    within = tolerance.association(subject, merged) + tolerance.association(subject, copies)
    within = within + 4 * rounded * np.max(norm(p.stored)) * counts.size
    wanted = measure.update(subject, copies)
    agree("update", measure.update(subject, merged), wanted, within[..., None])
    within = tolerance.energy(subject, merged) + tolerance.energy(subject, copies)
    got, wanted = measure.energy(subject, merged), measure.energy(subject, copies)
    if p.similarity == "dot":  # the energy counts the patterns that it is given
        few, many = (np.sum(plain.attends(x.state, x.stored, x.mask), -1) for x in (p, copies))
        got = got + np.log(np.maximum(many, 1) / np.maximum(few, 1)) / merged.beta
    agree("energy", got, wanted, within + rounded / merged.beta)


@statement("K.numbers", "E.mask")
@given(
    p=scored(biases=("none", "some")),
    rng=generators(),
    alike=st.booleans(),
    share=st.sampled_from((0.0, 0.3, 1.0)),
)
def test_masks_of_numbers_are_a_bias_of_each_query(
    subject: Subject, p: Scored, rng: np.random.Generator, alike: bool, share: float
) -> None:
    queries, patterns = p.state.shape[-2], p.stored.shape[-2]
    alike = alike or isinstance(subject, Parted)  # which takes no numbers for each query
    shape = (1 if alike else queries, patterns)
    numbers = np.where(rng.random(shape) < share, -np.inf, 4.0 * rng.normal(size=shape))
    p, numbers = p.on(subject), subject.rounded(numbers)
    options = {**p.options, "mask": numbers}
    update, energy = (
        subject(function, *p.arrays, **options) for function in (hopcore.update, hopcore.energy)
    )
    found, index, certain = subject(after_one_update, *p.arrays, **options)
    for i in range(queries):
        row = numbers[0 if alike else i]
        attends, bias = row[None] > -np.inf, np.where(row > -np.inf, row, 0.0)
        one = rows_of(p, i).but(mask=attends, bias=bias if p.bias is None else bias + p.bias)
        # The numbers are added to a product, with a rounding of their own.
        within = 4 * tolerance.association(subject, one)[..., None]
        agree(f"update of query {i}", update[i : i + 1], one.association(), within)
        agree(f"retrieval of query {i}", found[i : i + 1], one.association(), within)
        agree(
            f"energy of query {i}", energy[i], one.energy[0], 4 * tolerance.energy(subject, one)[0]
        )
        assert (index[i] == -1) == (certain[i] == 0.0) == (not np.any(attends)), f"index {index!r}"
        assert index[i] == -1 or attends[0, index[i]], f"index {index!r} of numbers {numbers!r}"


def rows_of(p: Scored, i: int) -> Scored:
    """The problem of one query."""
    return p.but(state=p.state[i : i + 1])


def after_one_update(state: Any, stored: Any, beta: Any, **options: Any) -> Any:
    """The state after one update, the pattern that is found, and its weight."""
    found = hopcore.retrieve(state, stored, beta, **options, max_steps=1)
    return found.state, found.index, found.certain


@statement("K.bias")
@given(p=scored(biases=("some",)), level=st.sampled_from((-30.0, 0.5, 8.0)))
def test_a_constant_bias_moves_the_energy_alone(subject: Subject, p: Scored, level: float) -> None:
    p = p.on(subject)
    assert p.bias is not None
    more = p.but(bias=p.bias + level).on(subject)
    rounded = 2 * subject.eps * float(np.max(np.abs(p.bias)) + abs(level))
    a = max(1.0, p.alpha - 1.0)
    off = np.minimum(2.0 * (2.0 * a * rounded) ** (1.0 / a), 1.0)
    within = tolerance.weights(subject, p) + tolerance.weights(subject, more) + off
    wanted = measure.weights(subject, p)
    agree("weights", measure.weights(subject, more), wanted, within[..., None])
    within = tolerance.energy(subject, p) + tolerance.energy(subject, more) + rounded / p.beta
    wanted = measure.energy(subject, p) - level / p.beta
    agree("energy", measure.energy(subject, more), wanted, within)


@statement("K.bias", "B.batch", "B.beta")
@pytest.mark.parametrize("similarity", ["distance", "dot"])
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_leading_axes_of_a_bias_broadcast(
    subject: Subject, similarity: str, separation: str
) -> None:
    if isinstance(subject, Parted):
        pytest.skip("a memory in parts takes a bias (S,)")
    rng = np.random.default_rng(0)
    beta = np.asarray([0.3, 1.0, 2.0])
    p = Scored(rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), beta, None, separation,
               similarity=similarity, bias=rng.normal(size=(2, 6))).on(subject)  # fmt: skip
    assert p.bias is not None
    options = {**p.options, "max_steps": 2, "tol": 0.0}
    whole = subject(hopcore.retrieve, *p.arrays, **options)
    energy, update = (subject(f, *p.arrays, **p.options) for f in (hopcore.energy, hopcore.update))
    for i, bias in enumerate(p.bias):
        one = p.but(bias=bias)
        agree("update", update[i], one.association(), tolerance.association(subject, one)[:, None])
        agree("energy", energy[i], one.energy, tolerance.energy(subject, one))
        alone = subject(hopcore.retrieve, *one.arrays, **one.options, max_steps=2, tol=0.0)
        # A wrong state of the first update is at most this much more wrong after the second.
        steep = 1.0 + np.max(one.beta) * np.linalg.norm(one.stored, ord=2) ** 2
        within = 2 * (1.0 + steep) * tolerance.association(subject, one)[:, None]
        agree("retrieved state", whole.state[i], alone.state, within)
        agree("steps", whole.steps[i], alone.steps, 0)


@statement("K.merge", "E.merge")
@given(p=scored(separations=("softmax",), projected=True), cut=st.integers(1, 5))
def test_parts_merge(subject: Subject, p: Scored, cut: int) -> None:
    p = p.on(subject)
    assert p.projection is not None
    cut = min(cut, p.stored.shape[0] - 1)
    parts, outer = [], 0.0
    for rows in (slice(0, cut), slice(cut, None)):
        part = p.but(
            stored=p.stored[rows],
            projection=p.projection[rows],
            mask=None if p.mask is None else p.mask[:, rows],
            bias=None if p.bias is None else p.bias[rows],
        )
        outer = np.maximum(outer, tolerance.scores(subject, part))
        options = {**part.options, "beta": p.beta, "return_lse": True}
        parts.append(
            subject(hopcore.association, part.state, part.stored, part.projection, **options)
        )
    # Each part has an origin, and errors, of its own; its lse is exact beside the scores.
    exact = subject.precise
    wanted = np.logaddexp(parts[0][1], parts[1][1])
    z = p.scores
    within = outer + tolerance.scores(subject, p) + tolerance.conjugate(subject, z)
    agree("log-sum-exp", wanted, plain.conjugate(z, 1.0), within)
    got = exact(merged_output, *(x for part in parts for x in part))
    within = 4 * np.expm1(2 * outer) + (16 + 4 * z.shape[-1]) * subject.fine + 8 * subject.eps
    longest = np.max(norm(p.projection))
    within = within * 2 * longest + tolerance.association(subject, p, p.projection)
    agree("output", got, p.association(p.projection), within[..., None])


def merged_output(first: Any, first_lse: Any, second: Any, second_lse: Any) -> Any:
    """The output of two merged parts."""
    return hopcore.merge_associations([(first, first_lse), (second, second_lse)])[0]


@statement("K.masked", "A.masked")
@given(p=scored(masked=True), filled=st.sampled_from((1e5, -3e3, np.nan, np.inf)))
def test_masked_patterns_have_no_influence(subject: Subject, p: Scored, filled: float) -> None:
    if abs(filled) > subject.most:
        filled = np.inf
    assert p.mask is not None
    mask = p.mask.copy()
    mask[:, [0, -1]] = False
    p = p.but(mask=mask).on(subject)
    bad = p.stored.copy()
    bad[[0, -1]] = filled
    bias = None if p.bias is None else p.bias[1:-1]
    few = p.but(stored=p.stored[1:-1], mask=mask[:, 1:-1], bias=bias)
    filled_up = (p.state, bad, p.beta)
    within = 2 * tolerance.energy(subject, few)
    got = subject(hopcore.energy, *filled_up, **p.options)
    agree("energy", got, few.energy, within)
    got = subject(hopcore.update, *filled_up, **p.options)
    agree("update", got, few.association(), 2 * tolerance.association(subject, few)[..., None])
    found = subject(hopcore.retrieve, *filled_up, **p.options, max_steps=1)
    agree("energy of a retrieval", found.energy, few.but(state=found.state).energy,
          2 * tolerance.energy(subject, few.but(state=found.state)))  # fmt: skip
