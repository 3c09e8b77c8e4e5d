"""Hopfield layers: the effect of masks, independent samples, order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

import hopcore
from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.cases.layer_options import FEW, SOME
from hopcore_conformance.cases.layers import (
    BATCH,
    MASKS,
    PATTERNS,
    QUERIES,
    Case,
    case_of,
    cases,
    formula,
    layer_of,
    run,
)
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


@statement("L4", "L5")
@given(case=cases(SOME, masks=MASKS[1:]))
def test_masks_are_in_the_formula(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L4")
@given(case=cases(SOME, masks=("padding",)), rng=generators())
def test_what_is_masked_has_no_influence(
    subject: Subject, case: Case, rng: np.random.Generator
) -> None:
    case = case.on(subject)
    before = run(subject, hopcore.hopfield, case)
    hidden = case.masks["stored_pattern_padding_mask"][..., None]
    other = {
        name: subject.rounded(np.where(hidden, 30.0 * rng.normal(size=x.shape), x))
        for name, x in case.patterns.items()
        if name != "state"
    }
    after = run(subject, hopcore.hopfield, case.but(patterns={**case.patterns, **other}))
    agree("output with other masked patterns", after, before, formula(subject, case)[1])
    # Nor has a mask of the association that hides the same patterns, in each of its forms.
    full = (BATCH, case.settings.num_heads, QUERIES, PATTERNS)
    mask = np.broadcast_to(hidden[:, None, None, :, 0], full)
    for form in (mask, mask.reshape(-1, *full[2:]), np.where(mask, -np.inf, 0.0)):
        got = run(subject, hopcore.hopfield, case.but(masks={"association_mask": form}))
        agree(
            f"output with a mask {form.dtype} {form.shape}", got, before, formula(subject, case)[1]
        )


@statement("L4")
@pytest.mark.parametrize("name", sorted(SOME))
@pytest.mark.parametrize("padded", [False, True])
def test_a_causal_mask_has_a_name(subject: Subject, name: str, padded: bool) -> None:
    """It is the lower triangle, with a padding mask or without, for a sequence with itself, too."""
    for own in (False, True):
        case = case_of(SOME[name], masks="padding" if padded else "none")
        if own:
            stored = case.patterns["stored"]
            case = case.but(patterns=dict.fromkeys(case.patterns, stored))
        case = case.on(subject)
        queries, patterns = (case.patterns[x].shape[-2] for x in ("state", "stored"))
        later = np.arange(patterns)[None, :] > np.arange(queries)[:, None]
        masked = case.but(masks={**case.masks, "association_mask": later})
        named = run(subject, hopcore.hopfield, case, association_mask="causal")
        agree("output", named, *formula(subject, masked))
        weights = run(subject, hopcore.layers.hopfield_weights, case, association_mask="causal")
        hidden = weights[..., :patterns][np.broadcast_to(later, weights[..., :patterns].shape)]
        agree("weights of later patterns", hidden, np.zeros(hidden.shape), 0.0)


@statement("L4", "L5")
@pytest.mark.parametrize("name", sorted(FEW))
def test_what_is_masked_has_no_derivative(subject: Subject, name: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} takes no derivatives")
    no_half(subject, "derivatives of layers are checked in float32 and float64")
    case = case_of(FEW[name]).on(subject)
    hidden = np.zeros((BATCH, PATTERNS), dtype=bool)
    hidden[0, 3:], hidden[1] = True, True
    values = {**case.patterns, **case.parameters}
    found = subject.gradient(
        layer_of(FEW[name], tuple(values), tuple(case.parameters)),
        *values.values(),
        by=range(len(values)),
        stored_pattern_padding_mask=hidden,
    )
    slopes = dict(zip(values, found, strict=True))
    for key, slope in slopes.items():
        assert np.all(np.isfinite(slope)), f"derivative by {key}: {slope!r}"
    for key in ("stored", "projection"):
        agree(
            f"derivative by masked {key}",
            slopes[key][hidden],
            np.zeros_like(slopes[key][hidden]),
            0.0,
        )
        assert np.any(slopes[key][~hidden] != 0.0)


@statement("L5")
@pytest.mark.parametrize("name", sorted(SOME))
@pytest.mark.parametrize("kind", ["association", "numbers", "padding"])
def test_a_query_that_may_attend_to_nothing(subject: Subject, name: str, kind: str) -> None:
    case = case_of(SOME[name]).on(subject)
    settings, shape = case.settings, (BATCH, SOME[name].num_heads, QUERIES, PATTERNS)
    mask = np.zeros(shape, dtype=bool)
    mask[0, :, 1] = True
    masks = {"association_mask": np.where(mask, -np.inf, 0.5) if kind == "numbers" else mask}
    if kind == "padding":
        masks = {"stored_pattern_padding_mask": np.asarray([[True], [False]]) | mask[:, 0, 0]}
    case = case.but(masks=masks)
    got = run(subject, hopcore.hopfield, case)
    assert np.all(np.isfinite(got))
    agree("output", got, *formula(subject, case))
    if settings.concat_bias_pattern or settings.add_zero_association:
        return  # which every query may attend to
    nothing = got[0] if kind == "padding" else got[0, 1:2]
    bias = case.parameters.get("association_core.out_proj.bias", np.zeros(got.shape[-1]))
    bias = np.maximum(bias, 0.0) if settings.association_activation == "relu" else bias
    agree("nothing", nothing, np.broadcast_to(bias, nothing.shape), 0.0)
    weights = run(subject, hopcore.layers.hopfield_weights, case)
    rows = weights[0] if kind == "padding" else weights[0, :, 1]
    agree("weights of nothing", rows, np.zeros(rows.shape), 0.0)


@statement("L6")
@given(case=cases(FEW, masks=("batch",)))
def test_samples_do_not_know_of_each_other(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    together = run(subject, hopcore.hopfield, case)
    _, within = formula(subject, case)
    alone = [
        case.but(
            patterns={name: x[i] for name, x in case.patterns.items()},
            masks={name: x[i] for name, x in case.masks.items()},
        )
        for i in range(BATCH)
    ]
    got = np.stack([run(subject, hopcore.hopfield, one) for one in alone])
    agree("a loop over samples", together, got, 2 * within)


@statement("L6")
@pytest.mark.parametrize("name", ["as it comes", "two updates", "nothing projected", "factored"])
def test_leading_axes_broadcast(subject: Subject, name: str) -> None:
    # A memory for all, values of each sample, and no batch at all in the queries.
    case = case_of(SOME[name]).on(subject)
    stored, state, projection = case.patterns.values()
    for patterns in (
        {"stored": stored[0], "state": state, "projection": projection[0]},
        {"stored": stored, "state": state[0], "projection": projection},
        {"stored": stored[0], "state": state[0], "projection": projection},
    ):
        some = case.but(patterns=patterns)
        got = run(subject, hopcore.hopfield, some)
        assert got.shape[0] == BATCH
        agree("output", got, *formula(subject, some))


@statement("L6", "B.extreme")
@pytest.mark.parametrize("name", sorted(SOME))
def test_no_query_no_sample_one_pattern(subject: Subject, name: str) -> None:
    case = case_of(SOME[name]).on(subject)
    stored, state, projection = case.patterns.values()
    for queries, shape in ((state[:, :0], (BATCH, 0)), (state[0, :0], (BATCH, 0))):
        patterns = {**case.patterns, "state": queries}
        assert run(subject, hopcore.hopfield, case.but(patterns=patterns)).shape[:-1] == shape
    one = {"stored": stored[:, :1], "state": state, "projection": projection[:, :1]}
    some = case.but(patterns=one)
    agree("of one pattern", run(subject, hopcore.hopfield, some), *formula(subject, some))
    none = {"stored": stored[:, :0], "state": state, "projection": projection[:, :0]}
    empty = case.but(patterns=none)
    if case.settings.concat_bias_pattern or case.settings.add_zero_association:
        agree("of what is added", run(subject, hopcore.hopfield, empty), *formula(subject, empty))
    else:
        with pytest.raises(ValueError, match="stored must hold at least one pattern"):
            run(subject, hopcore.hopfield, empty)


@statement("L6")
@pytest.mark.parametrize("name", ["as it comes", "two updates", "factored"])
def test_the_batch_may_be_second(subject: Subject, name: str) -> None:
    case = case_of(SOME[name], masks="both").on(subject)
    usual = run(subject, hopcore.hopfield, case)
    patterns = {key: np.moveaxis(x, 1, 0) for key, x in case.patterns.items()}
    settings = type(case.settings)(**{**vars_of(case.settings), "batch_first": False})
    turned = run(subject, hopcore.hopfield, case.but(settings=settings, patterns=patterns))
    _, within = formula(subject, case)
    agree("output (L, B, d)", turned, np.moveaxis(usual, 1, 0), 2 * within)


def vars_of(settings: Any) -> dict[str, Any]:
    """The fields of settings, unchanged."""
    return {name: getattr(settings, name) for name in type(settings).__dataclass_fields__}


@statement("L7")
@given(case=cases(SOME, masks=("none", "batch", "padding")), rng=generators())
def test_order(subject: Subject, case: Case, rng: np.random.Generator) -> None:
    case = case.on(subject)
    rows, columns = rng.permutation(QUERIES), rng.permutation(PATTERNS)
    moved = {
        "stored": case.patterns["stored"][:, columns],
        "state": case.patterns["state"][:, rows],
        "projection": case.patterns["projection"][:, columns],
    }
    masks = {
        name: x[..., columns] if x.ndim == 2 else x[..., rows, :][..., columns]
        for name, x in case.masks.items()
    }
    before = run(subject, hopcore.hopfield, case)
    after = run(subject, hopcore.hopfield, case.but(patterns=moved, masks=masks))
    _, within = formula(subject, case)
    agree("output in another order", after, before[:, rows], 2 * within)
