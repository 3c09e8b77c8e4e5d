"""Inverse temperatures for any patterns: where patterns appear, and which one to use."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.phase import (
    clusters,
    covered,
    fields,
    general,
    simplex,
    turned,
)
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import phase as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def followed(subject: Subject) -> float:
    """Relative error of a critical temperature: branches rest up to 1e-9, in float32 1e-5."""
    return 1e-6 if subject.precise.dtype == "float64" else 1e-3


@statement("P6")
@pytest.mark.parametrize(("patterns", "similarity"), [(3, "dot"), (10, "dot"), (10, "distance")])
def test_critical_betas_of_equidistant_patterns(
    subject: Subject, patterns: int, similarity: Any
) -> None:
    stored, scale = simplex(subject, patterns)
    if similarity == "distance":  # anywhere: their norms need not be equal
        stored = subject.rounded(stored + math.sqrt(scale) * np.linspace(-1.0, 1.0, patterns))
    theory, count = hopcore.transition(patterns), min(patterns, 3)
    found = hopcore.critical_betas(subject.put(stored), patterns=count, similarity=similarity)
    within = followed(subject)
    agree("appear", found.appear * scale, np.full(count, theory.saddle_node),
          within * theory.saddle_node)  # fmt: skip
    agree("coexist", found.coexist * scale, np.full(count, theory.coexistence),
          10.0 * within * theory.coexistence)  # fmt: skip
    agree("centroid", np.asarray(found.centroid * scale), theory.spinodal,
          64.0 * subject.eps * patterns * theory.spinodal)  # fmt: skip
    assert list(found.pattern) == list(np.linspace(0, patterns - 1, count).astype(int))


@statement("P6")
def test_critical_betas_go_with_the_patterns(subject: Subject) -> None:
    rng = np.random.default_rng(2)
    stored = general(subject, rng)
    found = hopcore.critical_betas(subject.put(stored))
    within = 16.0 * followed(subject)
    # Turned, and rounded again as little as can be.
    fine = subject.precise
    twice = hopcore.critical_betas(fine.put(2.0 * turned(fine, stored, rng)))
    order = rng.permutation(len(stored))
    other = hopcore.critical_betas(subject.put(stored[order]))
    # In float32 the energies that cross at coexistence may differ by rounding alone.
    for name in ("appear", "coexist") if subject.precise.dtype == "float64" else ("appear",):
        value, double, moved = (
            np.nan_to_num(getattr(x, name), nan=-1.0, posinf=np.inf) for x in (found, twice, other)
        )
        agree(name, np.where(double < 0.0, double, double * 4.0), value, within * np.abs(value))
        agree(f"{name}, permuted", moved, value[order], within * np.abs(value[order]))
    agree("centroid", np.asarray(twice.centroid * 4.0), found.centroid,
          64.0 * subject.fine * found.centroid)  # fmt: skip
    values = np.linalg.eigvalsh(np.cov(stored.T, bias=True))
    agree("1 / lambda_max", np.asarray(found.centroid), 1.0 / values[-1],
          64.0 * subject.fine / values[-1])  # fmt: skip


@statement("P6")
def test_a_pattern_is_kept_from_where_it_appears(subject: Subject) -> None:
    fine, kept, held = subject.precise, [], []
    # Among them a pattern that another nearly covers, and one whose branch is lost on the way.
    for seed in (0, 16, 40):
        stored = general(subject, np.random.default_rng(seed))
        appear = hopcore.critical_betas(subject.put(stored)).appear
        some = np.isfinite(appear)
        heat = np.where(some, appear, 1.0)
        betas = fine.rounded(np.stack([1.02 * heat, 0.98 * heat]))
        end = fine(hopcore.retrieve, stored, stored, betas, max_steps=5000, tol=1e-7).state
        p = np.diagonal(plain.weights(end, stored, betas), axis1=1, axis2=2)[:, some]
        kept.append(p[0])
        held.append(p[1])
    # In float32 a branch may seem to go on where it ends.
    few = 0.0 if fine.dtype == "float64" else 0.03
    at_most("share that is lost above", np.mean(np.concatenate(kept) < 0.55), few)
    at_most("share that is kept below", np.mean(np.concatenate(held) > 0.55), few)


@statement("P6")
def test_critical_betas_of_distances_are_those_of_equal_norms(subject: Subject) -> None:
    stored = simplex(subject, 6).stored
    stored = stored + 0.1 * np.random.default_rng(3).normal(size=stored.shape)
    stored = subject.rounded(stored / np.linalg.norm(stored, axis=-1, keepdims=True))
    plain_dot = hopcore.critical_betas(subject.put(stored))
    far = subject.rounded(stored + np.linspace(-2.0, 2.0, 6))
    found = hopcore.critical_betas(subject.put(far), similarity="distance")
    # Patterns are rounded again where they are moved.
    within = 16.0 * followed(subject) + 64.0 * subject.eps
    agree("appear", found.appear, plain_dot.appear, within * plain_dot.appear)
    agree("centroid", np.asarray(found.centroid), plain_dot.centroid,
          64.0 * subject.eps * plain_dot.centroid)  # fmt: skip


@statement("P6")
def test_a_pattern_is_kept_by_distances_from_where_it_appears(subject: Subject) -> None:
    fine, kept, held = subject.precise, [], []
    for seed in (0, 5):
        rng = np.random.default_rng(seed)
        stored = covered(subject, rng)
        appear = hopcore.critical_betas(subject.put(stored), similarity="distance").appear
        # Longer patterns cover shorter ones for dot products, but not for distances.
        assert np.all(np.isfinite(appear))
        betas = fine.rounded(np.stack([1.02 * appear, 0.98 * appear]))
        end = fine(hopcore.retrieve, stored, stored, betas, similarity="distance",
                   max_steps=5000, tol=1e-7).state  # fmt: skip
        p = plain.distance_weights(end, stored, betas)
        own = np.diagonal(p, axis1=1, axis2=2)
        kept.append(own[0])
        held.append(own[1])
    few = 0.0 if fine.dtype == "float64" else 0.08
    at_most("share that is lost above", np.mean(np.concatenate(kept) < 0.55), few)
    at_most("share that is kept below", np.mean(np.concatenate(held) > 0.55), few)


def farthest(stored: Array, similarity: str) -> float:
    """M: the largest norm, or for distances the largest distance from the mean."""
    origin = stored.mean(axis=0) if similarity == "distance" else 0.0
    return float(np.max(np.linalg.norm(stored - origin, axis=-1)))


def memory_of(subject: Subject, rng: np.random.Generator, similarity: str) -> Array:
    """Patterns of nearly equal norm; for distances some that dot products would lose."""
    return covered(subject, rng) if similarity == "distance" else general(subject, rng)


SIMILARITIES = st.sampled_from(("dot", "distance"))


@statement("E6")
@given(
    rng=generators(), heat=st.floats(1.0, 60.0), reach=st.floats(0.0, 0.4), similarity=SIMILARITIES
)
def test_the_retrieval_error_bound(
    subject: Subject, rng: np.random.Generator, heat: float, reach: float, similarity: Any
) -> None:
    stored = memory_of(subject, rng, similarity)
    fine, largest = subject.precise, farthest(stored, similarity)
    same = {"similarity": similarity}
    bound = hopcore.phase.retrieval_error_bound(subject.put(stored), heat, radius=reach, **same)
    away = rng.normal(size=stored.shape)
    states = stored + reach * away / np.linalg.norm(away, axis=-1, keepdims=True)
    moved = fine(hopcore.update, fine.rounded(states), stored, heat, **same)
    longest = float(np.max(np.linalg.norm(stored, axis=-1)))
    rounding = 64.0 * fine.fine * longest * (1.0 + heat * max(largest, 1.0))
    at_most("|f(xi) - x_i|", np.linalg.norm(moved - stored, axis=-1), bound, rounding)
    ends = fine(hopcore.retrieve, stored, stored, heat, **same, max_steps=1000, tol=1e-7).state
    radius = np.maximum(np.linalg.norm(ends - stored, axis=-1), reach)
    wanted = np.asarray(
        [plain.error_bound(stored, heat, i, r, **same) for i, r in enumerate(radius)]
    )
    # A fixed point off by e changes the exponent by 2 beta M e.
    off = (1e-5 if fine.dtype == "float64" else 1e-2) * max(largest, 1.0) ** 2
    agree("the bound", bound, wanted, off * (1.0 + heat) * wanted)
    some = hopcore.phase.retrieval_error_bound(
        subject.put(stored), heat, radius=reach, patterns=np.asarray([5, 2]), **same
    )
    agree("of some", some, bound[[5, 2]], 1e-3 * off * (1.0 + heat) * bound[[5, 2]])


@statement("E5")
@given(rng=generators(), separation=st.sampled_from(("softmax", "sparsemax")))
def test_annealing_never_raises_the_energy(
    subject: Subject, rng: np.random.Generator, separation: str
) -> None:
    stored = general(subject, rng)
    fine = subject.precise
    state = fine.rounded(rng.normal(size=(3, 4)))
    unit = float(np.max(np.sum(stored**2, axis=-1)) + np.max(np.sum(state**2, axis=-1)))
    level = np.full(3, np.inf)
    for beta in np.cumsum(rng.exponential(size=12)) + 0.1:
        heated = fine(hopcore.energy, state, stored, float(beta), separation=separation)
        at_most("energy, colder", heated, level, 64.0 * fine.fine * (unit + 1.0 / beta))
        state = fine(hopcore.update, state, stored, float(beta), separation=separation)
        level = fine(hopcore.energy, state, stored, float(beta), separation=separation)
        at_most("energy, updated", level, heated, 64.0 * fine.fine * (unit + 1.0 / beta))


NOISES = (None, 0.0, 0.1, 0.6)


@statement("P9")
@given(rng=generators(), noise=st.sampled_from(NOISES), similarity=SIMILARITIES)
def test_what_a_suggestion_promises(
    subject: Subject, rng: np.random.Generator, noise: float | None, similarity: Any
) -> None:
    stored = memory_of(subject, rng, similarity)
    same = {"similarity": similarity}
    found = hopcore.suggest_beta(subject.put(stored), noise=noise, **same)
    assert found.similarity == similarity
    largest, longest = farthest(stored, similarity), farthest(stored, "dot")
    scores = plain.scores_at_one(stored, stored, similarity)
    rest = np.where(np.eye(7) > 0, -np.inf, scores)
    gap, rival = np.diagonal(scores) - rest.max(axis=-1), np.argmax(rest, axis=-1)
    agree("lost", np.asarray(found.lost), np.mean(gap <= 0.0), 1e-15)
    apart = np.linalg.norm(stored - stored[rival], axis=-1)
    margins = 0.5 * gap if noise is None else np.maximum(gap - noise * apart, 0.25 * gap)
    wanted = np.quantile(margins[gap > 0.0], 0.05)
    agree("margin", np.asarray(found.margin), wanted, 64.0 * subject.fine * longest**2)
    agree("error", np.asarray(found.error), 0.01 * largest, 64.0 * subject.fine * longest)
    # Queries that have just this margin, or more: patterns that are shorter, and noisy ones.
    fine = subject.precise
    near = stored * np.where(gap > 0.0, found.margin / np.where(gap > 0.0, gap, 1.0), 0.0)[:, None]
    if similarity == "distance":  # part of the way to the competitor
        near = stored + 0.5 * (1.0 - np.minimum(found.margin / gap, 1.0))[:, None] * (
            stored[rival] - stored
        )
    queries = np.concatenate([
        near,
        stored + rng.normal(size=stored.shape) * (0.1 if noise is None else noise),
    ])  # fmt: skip
    held = fine.rounded(queries)
    mine = np.concatenate([stored, stored])
    scores = plain.scores_at_one(held, stored, similarity)
    ahead = scores[np.arange(14), np.tile(np.arange(7), 2)][:, None] - scores
    ahead = np.where(np.tile(np.eye(7) > 0, (2, 1)), np.inf, ahead).min(axis=-1)
    reached = ahead >= found.margin * (1.0 - 1e-5)
    if similarity == "dot":
        assert np.sum(reached[:7]) == np.sum(gap > 0.0)
    else:
        assert np.any(reached)
    moved = fine(hopcore.update, held, stored, found.beta, **same)
    off = np.linalg.norm(moved - mine, axis=-1)[reached]
    at_most("error", off, found.error, 1e-3 * found.error + 64.0 * fine.fine * longest)
    bound = hopcore.phase.retrieval_error_bound(
        subject.put(stored), found.beta, radius=2.0 * (noise or 0.0), **same
    )
    agree("bound", np.asarray(found.bound), np.median(bound), 1e-9 * largest)


@statement("P9")
@pytest.mark.parametrize("goal", ["retrieve", "metastable", "average"])
def test_suggestions_for_distances_do_not_depend_on_the_place(subject: Subject, goal: Any) -> None:
    stored = clusters(subject)
    far = subject.rounded(stored + np.linspace(-1.0, 3.0, 9))
    at_place = hopcore.suggest_beta(subject.put(stored), goal, similarity="distance")
    moved = hopcore.suggest_beta(subject.put(far), goal, similarity="distance")
    loose = 4096.0 * subject.eps + 1e-6
    agree("beta", np.asarray(moved.beta), at_place.beta, loose * at_place.beta)


@statement("P9")
def test_a_suggestion_names_the_similarity_that_loses_fewer_patterns(subject: Subject) -> None:
    stored = np.asarray([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    dot = hopcore.suggest_beta(subject.put(stored))
    agree("lost", np.asarray(dot.lost), 0.75, 1e-15)
    assert "75% of the patterns" in dot.reason
    assert "similarity='distance' loses 50%" in dot.reason
    distance = hopcore.suggest_beta(subject.put(stored), similarity="distance")
    agree("lost", np.asarray(distance.lost), 0.5, 1e-15)
    assert "50% of the patterns are copies" in distance.reason
    assert "distance" not in hopcore.suggest_beta(subject.put(np.eye(3))).reason


@statement("P9")
@pytest.mark.parametrize("similarity", ["dot", "distance"])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_how_many_queries_are_covered(subject: Subject, noise: float, similarity: Any) -> None:
    rng = np.random.default_rng(7)
    stored = subject.rounded(rng.normal(size=(40, 6)))
    found = hopcore.suggest_beta(subject.put(stored), noise=noise, similarity=similarity)
    scores = plain.scores_at_one(stored, stored, similarity)
    lead = np.where(np.eye(40) > 0, np.inf, np.diagonal(scores)[:, None] - scores)
    some = np.min(lead, axis=-1) > 0.0
    if noise == 0.0:  # at most one pattern more than 5 % has a smaller separation
        small = np.min(lead, axis=-1)[some] < found.margin * (1.0 - 64.0 * subject.fine)
        at_most("patterns below the margin", np.sum(small), 1.0 + 0.05 * np.sum(some))
        return
    apart = np.linalg.norm(stored[:, None] - stored, axis=-1)
    z = (lead - found.margin) / (noise * np.where(np.eye(40) > 0, 1.0, apart))
    missed = np.vectorize(lambda x: 0.5 * math.erfc(x / math.sqrt(2.0)))(z)
    draws = stored + noise * rng.normal(size=(400, 40, 6))
    noisy = plain.scores_at_one(draws, stored, similarity)
    own = np.diagonal(noisy, axis1=-2, axis2=-1)[..., None]
    ahead = np.where(np.eye(40) > 0, np.inf, own - noisy).min(axis=-1)
    share = np.mean(ahead >= found.margin, axis=0)
    # 400 draws: five standard deviations of at most a half each.
    at_most("share covered", share, 1.0 - np.max(missed, axis=-1), 2.5 / math.sqrt(400.0))
    at_most("1 - sum", 1.0 - np.sum(missed, axis=-1), share, 2.5 / math.sqrt(400.0))
    # The pattern that decides loses more than the 5 % of the quantile.
    spread = noise * apart[np.arange(40), np.argmin(lead, axis=-1)]
    margins = np.maximum(np.min(lead, axis=-1) - spread, 0.25 * np.min(lead, axis=-1))[some]
    last = np.argmin(np.abs(margins - found.margin))
    at_most("share of the pattern that decides", share[some][last], 0.9)


@statement("P9")
def test_where_the_order_of_patterns_matters(subject: Subject) -> None:
    # The first pattern has two competitors with the score 2, at distances of 2.2 and 3.2.
    stored = np.asarray([[2.0, 0.0], [1.0, 2.0], [1.0, -3.0], [-3.0, 0.0]])
    turned = stored[[0, 2, 1, 3]]
    for noise, other in ((None, False), (0.25, True)):
        margins = [
            hopcore.suggest_beta(subject.put(x), noise=noise).margin for x in (stored, turned)
        ]
        assert (abs(margins[0] - margins[1]) > 0.01) is other, margins


@statement("P9")
@given(rng=generators(), alpha=st.sampled_from((1.5, 2.0, 3.0)))
def test_a_suggestion_for_a_sparse_function_is_exact(
    subject: Subject, rng: np.random.Generator, alpha: float
) -> None:
    stored = general(subject, rng)
    function = hopcore.Entmax(alpha)
    found = hopcore.suggest_beta(subject.put(stored), separation=function)
    assert found.error == 0.0
    products = stored @ stored.T
    gap = np.diagonal(products) - np.where(np.eye(7) > 0, -np.inf, products).max(axis=-1)
    some = gap >= found.margin
    short = (found.margin * 1.001 / np.where(some, gap, 1.0))[:, None] * stored
    fine = subject.precise
    moved = fine(hopcore.update, fine.rounded(short), stored, found.beta, separation=function)
    agree("patterns", moved[some], stored[some], 0.0)
    # No lower inverse temperature would do.
    warm = fine(hopcore.update, fine.rounded(short), stored, 0.9 * found.beta, separation=function)
    assert np.any(warm[some] != stored[some])


@cache
def suggested(subject: Subject, goal: str) -> hopcore.phase.Suggestion:
    """The suggestion for a goal and groups of patterns; cached, since two checks need the sweep."""
    return hopcore.suggest_beta(subject.put(clusters(subject)), goal)  # type: ignore[arg-type]


@statement("P9")
@pytest.mark.parametrize("goal", ["retrieve", "metastable"])
def test_suggestions_go_with_the_patterns(subject: Subject, goal: str) -> None:
    # An average comes from the same sweep as metastable states.
    found, rng = suggested(subject, goal), np.random.default_rng(4)
    assert found.goal == goal
    stored = turned(subject, clusters(subject)[rng.permutation(9)], rng)
    other = hopcore.suggest_beta(subject.put(2.0 * stored), goal)  # type: ignore[arg-type]
    loose = 512.0 * subject.eps + 1e-6
    agree("beta", np.asarray(4.0 * other.beta), found.beta, loose * found.beta)


@statement("P9")
def test_suggestions_do_what_they_are_for(subject: Subject) -> None:
    stored = subject.put(clusters(subject))
    found = suggested(subject, "average")
    states = fields(subject, hopcore.phase.minima(stored, found.beta))
    assert len(states.share) == 1
    # Half of that up to which there is one: at four times as much there are several.
    assert len(hopcore.phase.minima(stored, 4.0 * found.beta).share) > 1

    found = suggested(subject, "metastable")
    states = fields(subject, hopcore.phase.minima(stored, found.beta))
    # A group may have lost one of its patterns, which then is a state that is no mixture.
    mixed = states.participation[states.weight <= 0.55]
    assert len(mixed) == 3
    agree("participation", mixed, np.full(3, 3.0), 1.2)
    assert re.match(r"3 states are means of several patterns", found.reason)

    equal = hopcore.suggest_beta(subject.put(np.eye(9)), "metastable")
    # Equidistant patterns have none (P3): where patterns are about to appear.
    assert "no temperature" in equal.reason
    agree("beta", np.asarray(equal.beta), hopcore.phase.saddle_node_beta(9), 0.1 * equal.beta)
