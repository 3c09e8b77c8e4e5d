"""Requirements of every backend, for all formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import (
    EDGES,
    KINDS,
    LARGE,
    Problem,
    generators,
    large_problem,
    memory,
    problems,
    rows,
)
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import memory as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray

LAYOUTS = (
    # leading axes of state, stored, projection, beta, mask; which betas; masked; separation
    ((2, 3), (2, 3), (2, 3), (2, 3), (2, 3), "per head and query", True, "softmax"),
    ((2, 1), (3,), (1, 3), (2, 1), (), "per head", True, "sparsemax"),
    ((), (2, 3), (2, 1), (3,), (2, 1), "per head", True, hopcore.Entmax(3.0)),
    ((2, 3), (), (), (), (3,), "per query", True, "softmax"),
    ((), (), (2, 3), (), (), "zero axes", False, "softmax"),
    ((), (), (2, 1), (), (2, 3), "number", True, "sparsemax"),
)
"""Leading axes that broadcast to (2, 3), each with a form of the inverse temperature."""


@statement("B.batch", "B.beta")
@given(rng=generators(), layout=st.sampled_from(LAYOUTS))
def test_leading_axes_are_a_loop(
    subject: Subject, rng: np.random.Generator, layout: tuple[Any, ...]
) -> None:
    count, size, width = 3, 6, 4
    *lead, form, masked, separation = layout
    axes = lead[3]
    beta: Any = {
        "number": 0.7,
        "zero axes": np.asarray(0.7),
        "per head": rng.uniform(0.1, 3.0, size=(*axes, 1)),
        "per query": rng.uniform(0.1, 3.0, size=count),
        "per head and query": rng.uniform(0.1, 3.0, size=(*axes, count)),
    }[form]
    p = Problem(
        state=rng.normal(size=(*lead[0], count, width)),
        stored=rng.normal(size=(*lead[1], size, width)),
        beta=beta,
        mask=rng.random((*lead[4], count, size)) < 0.6 if masked else None,
        separation=separation,
        projection=rng.normal(size=(*lead[2], size, 2)),
    ).on(subject)
    matter = [lead[0], lead[1], np.shape(p.beta)[:-1], () if p.mask is None else lead[4]]
    whole = {}
    for name, got in results(subject, p).items():
        tail = got.shape[got.ndim - (1 if name == "energy" else 2) :]
        needed = [*matter, lead[2]] if name == "association" else matter
        agree(f"axes of {name}", np.asarray(got.shape), [*np.broadcast_shapes(*needed), *tail], 0)
        whole[name] = np.broadcast_to(got, (2, 3, *tail))
    for i, j in ((0, 0), (1, 0), (1, 2)):
        part = at(p, i, j)
        for name, wanted in formulas(part).items():
            agree(f"{name} at ({i}, {j})", whole[name][i, j], wanted, allowed(subject, part, name))


def results(subject: Subject, p: Problem) -> dict[str, Array]:
    """The results of the functions for a problem."""
    given = (p.state, p.stored, p.projection)
    return {
        "energy": subject(hopcore.energy, *p.arrays, **p.options),
        "weights": subject(hopcore.association_weights, *p.arrays, **p.options),
        "association": subject(hopcore.association, *given, beta=p.beta, **p.options),
        "retrieved": subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=1).state,
    }


def formulas(p: Problem) -> dict[str, Array]:
    """The same results by their formulas."""
    return {
        "energy": plain.energy(*p.formula),
        "weights": plain.weights(plain.scores(*p.arrays, p.mask), p.alpha),
        "association": plain.association(*p.formula, projection=p.projection),
        "retrieved": plain.association(*p.formula),
    }


def allowed(subject: Subject, p: Problem, name: str) -> Array:
    """The tolerance of a result."""
    if name == "energy":
        return tolerance.energy(subject, p)
    if name == "weights":
        return tolerance.weights(subject, p)[..., None]
    values = p.projection if name == "association" else p.stored
    return (
        tolerance.association(subject, p, values)[..., None] + subject.eps * np.abs(p.state).max()
    )


def at(p: Problem, i: int, j: int) -> Problem:
    """The problem at an index of the leading axes (2, 3)."""

    def part(array: Any, rank: int) -> Any:
        if not isinstance(array, np.ndarray) or array.ndim <= rank:
            return array
        whole = np.broadcast_to(array, np.broadcast_shapes(array.shape, (2, 3, *[1] * rank)))
        return np.array(whole[i, j])

    return Problem(
        part(p.state, 2),
        part(p.stored, 2),
        part(p.beta, 1),
        part(p.mask, 2),
        p.separation,
        part(p.projection, 2),
    )


MASKS: dict[str, Callable[[Array], Array]] = {
    "per query and pattern": lambda mask: mask,
    "per pattern": lambda mask: mask[0],
    "per pattern, with an axis": lambda mask: mask[:1],
    "per query": lambda mask: mask[:, :1],
    "one for all": lambda mask: mask[:1, :1],
}


@statement("E.mask", "B.batch")
@given(
    p=problems(
        masked=True, shapes=((3, 6, 4),), projected=True, separations=("softmax", "sparsemax")
    ),
    form=st.sampled_from([*MASKS]),
)
def test_masks_broadcast(subject: Subject, p: Problem, form: str) -> None:
    p = p.on(subject)
    mask = MASKS[form](p.mask)
    short, full = p.but(mask=mask), p.but(mask=np.broadcast_to(mask, (3, 6)).copy())
    wanted = results(subject, full)
    for name, got in results(subject, short).items():
        agree(f"{name}, mask {form}", got, wanted[name], 2 * allowed(subject, full, name))


@statement("B.batch")
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
@pytest.mark.parametrize("axes", [(0,), (2, 0), (0, 3)], ids=str)
def test_no_queries(subject: Subject, separation: str, axes: tuple[int, ...]) -> None:
    # No queries, of one memory or of two; no samples; and projections of no values.
    lead = axes[:-1] if axes[0] else ()
    given = np.ones((*axes, 2)), np.ones((*lead, 4, 2)), 1.0
    p = Problem(*given, None, separation, np.ones((4, 5)))
    tails = {"energy": (), "weights": (4,), "association": (5,), "retrieved": (2,)}
    for name, got in results(subject, p).items():
        agree(f"axes of {name}", np.asarray(got.shape), [*axes, *tails[name]], 0)


@statement("B.batch", "E.merge")
@pytest.mark.parametrize(("count", "size"), [(3, 6), (1100, 1000)])
def test_log_sum_exps_have_the_axes_of_the_output(subject: Subject, count: int, size: int) -> None:
    rng = np.random.default_rng(0)
    shapes = (count, 2), (size, 2), (2, size, 3)
    arrays = [subject.rounded(rng.normal(size=shape)) for shape in shapes]
    output, lse = subject(hopcore.association, *arrays, beta=1.0, return_lse=True)
    agree("axes of the output", np.asarray(output.shape), [2, count, 3], 0)
    agree("axes of the log-sum-exp", np.asarray(lse.shape), [2, count], 0)
    agree("of either projection", lse[1], lse[0], 0.0)


@statement("B.batch")
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_projections_of_no_values(subject: Subject, separation: str) -> None:
    arrays = np.ones((2, 3, 2)), np.ones((4, 2)), np.ones((4, 0))
    got = subject(hopcore.association, *arrays, beta=1.0, separation=separation)
    agree("axes of the association", np.asarray(got.shape), [2, 3, 0], 0)


@statement("B.beta")
@given(p=problems(masked=False, shapes=((3, 6, 4),), separations=("softmax", "sparsemax")))
def test_beta_as_a_number_and_as_an_array(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    arrays = p.state, p.stored
    for form in (p.beta, np.asarray(p.beta), np.full(3, p.beta)):
        got = subject(hopcore.energy, *arrays, form, **p.options)
        within = 2 * tolerance.energy(subject, p)
        agree("energy", got, measure.energy(subject, p), within)
        got = subject(hopcore.update, *arrays, form, **p.options)
        within = 2 * tolerance.association(subject, p)[..., None]
        agree("update", got, measure.update(subject, p), within)


@statement("B.blocks")
@given(p=problems(shapes=((5, 300, 8),), kinds=("normal", "clusters"), projected=True))
def test_middling_memories(subject: Subject, p: Problem) -> None:
    # Enough patterns for a backend to look for the support of sparse weights first.
    p = p.on(subject)
    assert p.projection is not None
    measure.energy(subject, p)
    got = measure.weights(subject, p)
    z, within = plain.scores(*p.arrays, p.mask), tolerance.weights(subject, p)[..., None]
    agree("weights by their formula", got, plain.weights(z, p.alpha), within)
    got = measure.association(subject, p, p.projection)
    wanted = plain.association(*p.formula, projection=p.projection)
    if p.alpha <= 2:
        agree("association by its formula", got, wanted, smaller(subject, p, p.projection))


@statement("B.blocks")
@pytest.mark.parametrize(("separation", "masked"), LARGE, ids=str)
def test_large_memories(subject: Subject, separation: Any, masked: bool) -> None:
    p = large_problem(separation, masked=masked).on(subject)
    few = rows(p, EDGES)
    got = subject(hopcore.energy, *p.arrays, **p.options)
    wanted = reference(hopcore.energy, *few.arrays, **few.options)
    agree("energy of some queries", got[EDGES], wanted, tolerance.energy(subject, few))
    got = subject(hopcore.update, *p.arrays, **p.options)
    wanted = reference(hopcore.update, *few.arrays, **few.options)
    agree("update of some queries", got[EDGES], wanted, smaller(subject, few))
    found = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=1)
    agree("retrieval of one step", found.state, got, smaller(subject, p))
    if separation == "softmax":
        options = {} if p.mask is None else {"mask": p.mask}
        part = subject(
            hopcore.association, p.state, p.stored, beta=p.beta, return_lse=True, **options
        )
        agree("association with its log-sum-exp", part[0], got, smaller(subject, p))
        z = plain.scores(*few.formula[:4])
        within = 2 * tolerance.scores(subject, few) + tolerance.conjugate(subject, z)
        agree("log-sum-exp of some queries", part[1][EDGES], plain.conjugate(z, 1.0), within)


def smaller(subject: Subject, p: Problem, values: Array | None = None) -> Array:
    """The error of associations with a large memory: rounding errors add like a random walk."""
    values = p.stored if values is None else values
    count = p.stored.shape[0]
    wrong = tolerance.scores(subject, p) + subject.fine * np.sqrt(count)
    longest = np.max(np.linalg.norm(values, axis=-1))
    return (longest * (4 * wrong + 4 * subject.eps))[:, None]


NORMS = (1e-20, 1e-8, 1.0, 1e7, 1e15)
TEMPERATURES = (1e-6, 1e-3, 1.0, 1e3, 1e6)
CORNERS = (
    # shape (L, S, d); separation; masked
    ((3, 6, 4), "softmax", True),
    ((3, 6, 4), "sparsemax", False),
    ((3, 6, 4), hopcore.Entmax(1.2), False),
    ((3, 6, 4), hopcore.Entmax(50.0), True),
    ((2, 1, 3), "softmax", True),
    ((2, 4, 1), hopcore.Entmax(1.5), False),
    ((1, 1, 1), "sparsemax", False),
    ((0, 3, 2), "softmax", False),
)
"""One pattern, one dimension, no queries; each with some separation functions."""


@statement("B.extreme")
@given(
    rng=generators(),
    corner=st.sampled_from(CORNERS),
    kind=st.sampled_from(KINDS),
    beta=st.sampled_from(TEMPERATURES),
    norms=st.tuples(st.sampled_from(NORMS), st.sampled_from(NORMS)),
)
def test_extreme_values_stay_finite(
    subject: Subject,
    rng: np.random.Generator,
    corner: tuple[tuple[int, int, int], Any, bool],
    kind: str,
    beta: float,
    norms: tuple[float, float],
) -> None:
    (count, size, width), separation, masked = corner
    within_range = [min(max(norm, smallest(subject)), largest(subject)) for norm in norms]
    stored, state = memory(rng, kind, size, width), rng.normal(size=(count, width))
    stored = stored * within_range[0] / max(np.max(np.linalg.norm(stored, axis=-1)), 1e-3)
    state = state * within_range[1] / max(np.max(np.linalg.norm(state, axis=-1), initial=0), 1e-3)
    mask = rng.random((count, size)) < 0.7 if masked else None
    if subject.dtype == "float16":
        beta = min(max(beta, 1e-4), 1e4)
    p = Problem(state, stored, beta, mask, separation).on(subject)
    attends = np.any(plain.attends(p.state, p.stored, p.mask), axis=-1)

    energy = measure.energy(subject, p)
    assert np.all(np.isfinite(energy) == attends), f"energy {energy!r}"
    within = tolerance.energy(subject, p)
    agree("energy by its formula", energy, plain.energy(*p.formula), within)
    weights = subject(hopcore.association_weights, *p.arrays, **p.options)
    rounding = size * (subject.eps + 8 * subject.fine)
    agree("sum of the weights", np.sum(weights, axis=-1), attends, rounding)
    check_in_hull(subject, p, "update", subject(hopcore.update, *p.arrays, **p.options))
    found = subject(hopcore.retrieve, *p.arrays, **p.options, max_steps=3)
    check_in_hull(subject, p, "retrieved state", found.state)
    assert np.all(np.isfinite(found.residual)), f"residual {found.residual!r}"
    assert np.all(np.isfinite(found.energy) == attends), f"energy {found.energy!r}"


def check_in_hull(subject: Subject, p: Problem, what: str, got: Array) -> None:
    """Fail if an association has entries larger than those of all attended patterns."""
    assert np.all(np.isfinite(got)), f"{what} is not finite: {got!r}"
    shown = plain.attends(p.state, p.stored, p.mask)[..., None]
    top = np.max(np.where(shown, np.abs(p.stored)[..., None, :, :], 0.0), axis=-2)
    rounding = top * (4 + p.stored.shape[0]) * subject.eps + 8 * subject.tiny
    at_most(f"{what}, largest entry", np.abs(got), top, rounding)


def largest(subject: Subject) -> float:
    """The largest norm that a dtype must support."""
    return 1e4 if subject.dtype == "float16" else 1e15


def smallest(subject: Subject) -> float:
    """The smallest norm that a dtype must support."""
    return 1e-3 if subject.dtype == "float16" else 1e-20


@statement("B.half")
@given(p=problems(heats=(0.01, 1.0), where=("near", "hull", "pattern"), projected=True))
def test_results_are_within_a_few_eps(subject: Subject, p: Problem) -> None:
    p = p.on(subject)
    assert p.projection is not None
    # At a high temperature rounding is not amplified: an absolute bound, with no reasoning about d.
    longest = np.max(np.linalg.norm(p.projection, axis=-1))
    got = measure.association(subject, p, p.projection)
    near = 8 * subject.eps if p.alpha <= 2 else 4 * np.sqrt(subject.eps)
    agree(
        "association", got, plain.association(*p.formula, projection=p.projection), near * longest
    )
    scale = np.max(p.radius) ** 2 + 1.0 / p.beta
    agree("energy", measure.energy(subject, p), plain.energy(*p.formula), 64 * subject.fine * scale)
