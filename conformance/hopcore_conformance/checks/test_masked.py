"""Patterns that no query may attend to have no influence, in memories (docs/spec/inputs.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import hopcore
from hopcore_conformance.cases.masked import CONTENTS, filled, without
from hopcore_conformance.cases.memory import Problem, problems
from hopcore_conformance.checks import tolerance
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray

SHOWN = np.arange(6) % 3 != 1
"""Patterns that some query may attend to."""

PROBLEMS: dict[str, Any] = {"masked": True, "shapes": ((3, 6, 4),), "heats": (0.1, 8.0)}


def with_content(subject: Subject, p: Problem, content: str) -> tuple[Problem, Problem]:
    """A problem whose hidden patterns have contents, and the problem without these patterns."""
    assert p.mask is not None
    p = p.but(mask=p.mask & SHOWN).on(subject)
    changes = {"stored": filled(p.stored, ~SHOWN, content, subject)}
    if p.projection is not None:
        changes["projection"] = filled(p.projection, ~SHOWN, content, subject)
    return p.but(**changes), without(p, SHOWN)


@statement("A.masked")
@pytest.mark.parametrize("content", CONTENTS)
@given(p=problems(projected=True, **PROBLEMS))
def test_a_memory_is_the_one_without_what_is_masked(
    subject: Subject, content: str, p: Problem
) -> None:
    p, few = with_content(subject, p, content)
    assert p.projection is not None
    assert few.projection is not None
    for name, projections, values in (
        ("association", (p.projection,), (few.projection,)),
        ("association without projections", (), ()),
    ):
        got = subject(hopcore.association, p.state, p.stored, *projections, beta=p.beta,
                      **p.options)  # fmt: skip
        wanted = reference(hopcore.association, few.state, few.stored, *values, beta=few.beta,
                           **few.options)  # fmt: skip
        agree(name, got, wanted, tolerance.association(subject, few, *values)[..., None])
    for function, within in (
        (hopcore.energy, tolerance.energy(subject, few)),
        (hopcore.update, tolerance.association(subject, few)[..., None]),
    ):
        got = subject(function, *p.arrays, **p.options)
        wanted = reference(function, *few.arrays, **few.options)
        agree(function.__name__, got, wanted, within)


@statement("A.masked")
@pytest.mark.parametrize("content", CONTENTS)
@given(p=problems(**PROBLEMS))
def test_a_retrieval_reads_nothing_that_is_masked(
    subject: Subject, content: str, p: Problem
) -> None:
    p, few = with_content(subject, p, content)
    found = subject(hopcore.retrieve, *p.arrays, max_steps=1, tol=0.0, **p.options)
    wanted = reference(hopcore.retrieve, *few.arrays, max_steps=1, tol=0.0, **few.options)
    within = tolerance.association(subject, few)
    agree("state after one update", found.state, wanted.state, within[..., None])
    rounding = subject.eps * (tolerance.norm(wanted.state) + tolerance.norm(few.state))
    agree("distance that it moved", found.residual, wanted.residual, 2 * (within + rounding))
    after = few.but(state=found.state)
    energy = reference(hopcore.energy, *after.arrays, **after.options)
    agree("its energy", found.energy, energy, tolerance.energy(subject, after))


@statement("A.masked")
@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_masked_has_no_weight(subject: Subject, content: str) -> None:
    rng = np.random.default_rng(0)
    mask = np.broadcast_to(SHOWN, (3, 6))
    p = Problem(rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), 1.0, mask)
    p, few = with_content(subject, p, content)
    got = subject(hopcore.association_weights, *p.arrays, **p.options)
    wanted = reference(hopcore.association_weights, *few.arrays, **few.options)
    agree("weights", got[:, SHOWN], wanted, tolerance.weights(subject, few)[..., None])
    agree("weights of masked patterns", got[:, ~SHOWN], np.zeros((3, 2)), 0.0)


@statement("A.masked")
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("form", ["(S,)", "(L, S)", "(B, 1, S)", "shared"])
def test_masks_of_every_form_hide_it(subject: Subject, content: str, form: str) -> None:
    rng = np.random.default_rng(1)
    state, stored = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 6, 4))
    state, stored = subject.rounded(state), subject.rounded(stored)
    # Each sample hides other patterns, or all hide the same.
    shown = np.stack([SHOWN, SHOWN if form in ("(S,)", "(L, S)") else ~SHOWN])
    if form == "shared":  # a memory for both samples, whose last pattern neither attends to
        stored, shown = stored[:1], np.asarray([[True] * 3 + [False] * 3, [False] + [True] * 4 + [False]])  # noqa: E501  # fmt: skip
    masks = {
        "(S,)": SHOWN,
        "(L, S)": np.broadcast_to(SHOWN, (3, 6)),
        "(B, 1, S)": shown[:, None],
        "shared": shown[:, None],
    }
    hidden = ~np.any(shown, axis=0, keepdims=True) if form == "shared" else ~shown
    bad = filled(stored, np.broadcast_to(hidden, stored.shape[:-1]), content, subject)
    got = subject(hopcore.association, state, bad, beta=1.0, mask=masks[form])
    for i, rows in enumerate(shown):
        few = Problem(state[i], stored[min(i, len(stored) - 1)][rows], 1.0)
        wanted = reference(hopcore.association, few.state, few.stored, beta=1.0)
        within = tolerance.association(subject, few)[..., None]
        agree(f"association of sample {i}", got[i], wanted, within)


@statement("A.masked")
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_what_is_masked_is_in_no_gradient(subject: Subject, content: str, separation: Any) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} has no automatic derivatives that the suite knows")
    rng = np.random.default_rng(2)
    mask = np.broadcast_to(SHOWN, (3, 6))
    p = Problem(rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), np.full(3, 1.0), mask,
                separation, rng.normal(size=(6, 3)))  # fmt: skip
    bad, few = with_content(subject, p, content)
    probe = subject.precise.rounded(rng.normal(size=(3, 3)))
    names = "state", "stored", "projection", "beta"

    def gradients(p: Problem) -> tuple[Array, ...]:
        arrays = p.state, p.stored, p.projection, p.beta
        return subject.gradient(associate, *arrays, by=[0, 1, 2, 3], probe=probe, **p.options)

    compare("association", names, gradients(bad), gradients(few), subject)

    def slopes(p: Problem) -> tuple[Array, ...]:
        return subject.gradient(hopcore.energy, *p.arrays, by=[0, 1], **p.options)

    compare("energy", names[:2], slopes(bad), slopes(few), subject)


def associate(state: Any, stored: Any, projection: Any, beta: Any, **options: Any) -> Any:
    """Association as a function of arrays alone."""
    return hopcore.association(state, stored, projection, beta=beta, **options)


def compare(
    what: str, names: tuple[str, ...], got: tuple[Array, ...], wanted: Any, subject: Subject
) -> None:
    """Fail unless gradients are those without the hidden patterns, and 0 for hidden ones."""
    for name, found, right in zip(names, got, wanted, strict=True):
        if name in ("stored", "projection"):
            hidden = found[~SHOWN]
            agree(f"{what} by masked {name}", hidden, np.zeros_like(hidden), 0.0)
            found = found[SHOWN]  # noqa: PLW2901
        within = 32 * subject.eps * np.max(np.abs(right)) + subject.least
        agree(f"gradient of the {what} by {name}", found, right, within)
