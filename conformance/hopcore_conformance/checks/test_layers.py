"""Hopfield layers: formula, parameters, updates, weights, derivatives, settings, modules."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import hopcore
from hopcore_conformance.cases.composed_layers import COMPOSED, composed
from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.cases.layer_modules import FUNCTIONS, has_modules, module_output
from hopcore_conformance.cases.layer_options import (
    DIFFUSED,
    EVERY,
    RAW,
    SETTINGS,
    UPDATES,
    WEIGHED,
    settings_of,
)
from hopcore_conformance.cases.layers import (
    BATCH,
    PATTERNS,
    QUERIES,
    Case,
    case_of,
    cases,
    formula,
    layer_of,
    measured,
    parameters_of,
    run,
)
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import heads as plain_heads
from hopcore_conformance.oracle import layers as plain
from hopcore_conformance.oracle.heads import ACTIVATIONS
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

NUMPY = Subject(hopcore.backend("numpy"), "float64")
"""The functions with which modules are compared."""


@statement("L1")
@given(case=cases(SETTINGS, masks=("none",)))
def test_a_layer_is_its_formula(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L1")
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_setting_is_in_the_formula(subject: Subject, name: str) -> None:
    case = case_of(SETTINGS[name]).on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L1")
@pytest.mark.parametrize("raw", [False, True])
def test_one_input_stands_for_all(subject: Subject, raw: bool) -> None:
    case = case_of(settings_of(**(RAW if raw else {}))).on(subject)
    case = case.but(patterns={"stored": case.patterns["stored"]})
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L1")
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations(subject: Subject, name: str) -> None:
    settings = settings_of(association_activation=name)
    case = case_of(settings).on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L1")
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_keep_nan(subject: Subject, name: str) -> None:
    def activated(values: Any) -> Any:
        return hopcore.layers.ACTIVATIONS[name](values, subject.backend)

    found = subject(activated, np.asarray([np.nan, -2.0, 0.0, 2.0]))
    np.testing.assert_array_equal(np.isnan(found), [True, False, False, False])


@statement("L2")
@pytest.mark.parametrize("name", sorted(EVERY))
def test_parameters_are_those_of_the_settings(subject: Subject, name: str) -> None:
    settings = EVERY[name]
    wanted = plain_heads.shapes(settings)
    assert hopcore.layers.parameter_shapes(settings) == wanted
    found = hopcore.initial_parameters(settings, backend=subject.backend.name)
    values = {key: np.asarray(subject.backend.to_numpy(x)) for key, x in found.items()}
    assert {key: x.shape for key, x in values.items()} == wanted
    for key, value in values.items():
        kind = key.rpartition(".")[2]
        if kind == "scaling":
            agree(key, value, np.broadcast_to(settings.scaling or 3**-0.5, value.shape), 1e-6)
        elif kind in ("p_norm_weight",) or ("norm_" in key and kind == "weight"):
            agree(key, value, np.ones(value.shape), 0.0)
        elif kind.endswith("bias"):
            agree(key, value, np.zeros(value.shape), 0.0)
        else:
            at_most(f"spread of {key}", abs(np.sqrt(np.mean(value**2)) / 0.02 - 1.0), 0.75)
    # Drawn alike in every library.
    same = hopcore.initial_parameters(settings)
    for key, value in values.items():
        agree(key, value, same[key], 0.0)


@statement("L1", "L4")
@pytest.mark.parametrize("masks", ["none", "padding", "numbers"])
def test_few_queries_of_a_large_set(subject: Subject, masks: str) -> None:
    """A layer need not project each pattern of a set that only few queries look at."""
    settings = hopcore.HopfieldSettings(input_size=64, num_heads=2)
    rng = np.random.default_rng(7)
    many, few = (2, 600, 64), (2, 3, 64)
    patterns = {
        name: rng.normal(size=shape)
        for name, shape in (("stored", many), ("state", few), ("projection", many))
    }
    given: dict[str, Any] = {}
    if masks == "padding":
        given["stored_pattern_padding_mask"] = rng.random((2, 600)) < 0.5
    if masks == "numbers":
        mask = np.where(rng.random((3, 600)) < 0.5, -np.inf, rng.normal(size=(3, 600)))
        given["association_mask"] = mask
    case = Case(settings, parameters_of(settings, rng), patterns, given).on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L3")
@given(case=cases(UPDATES, masks=("none", "both")))
def test_updates_before_the_recall(subject: Subject, case: Case) -> None:
    no_half(subject, "rounding moves a state by more than the distance at which it rests")
    case = case.on(subject)
    agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L3")
@pytest.mark.parametrize("masks", ["none", "both"])
def test_updates_of_queries_in_reach_of_nothing(subject: Subject, masks: str) -> None:
    no_half(subject, "rounding moves a state across the boundary of a kernel")
    settings = UPDATES["two updates, in reach"]
    for seed in range(4):
        case = case_of(settings, seed, masks).on(subject)
        agree("output", run(subject, hopcore.hopfield, case), *formula(subject, case))


@statement("L3")
@pytest.mark.parametrize("limit", [None, (1, 3)])
def test_every_query_updates_by_itself(subject: Subject, limit: Any) -> None:
    settings = settings_of(update_steps_max=limit, update_steps_eps=0.02, scaling=1.5)
    case = case_of(settings).on(subject)
    together = run(subject, hopcore.hopfield, case)
    within: Any = 64 * subject.eps
    if subject.eps < 1e-5:
        wanted, within = formula(subject, case)
        agree("output", together, wanted, within)
    for i in range(together.shape[-2]):
        patterns = {**case.patterns, "state": case.patterns["state"][:, i : i + 1]}
        alone = run(subject, hopcore.hopfield, case.but(patterns=patterns))
        agree(f"query {i} alone", alone[:, 0], together[:, i], 2 * within)


@statement("L8")
@given(case=cases(WEIGHED, masks=("both", "numbers")))
def test_weights_give_the_output(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    weights = run(subject, hopcore.layers.hopfield_weights, case)
    projections = run(subject, hopcore.layers.hopfield_projections, case.but(masks={}))
    sums, many = np.sum(weights, axis=-1), weights.shape[-1]
    attends = np.any(weights > 0, axis=-1)
    agree("sums of weights", sums, np.where(attends, 1.0, 0.0), 2 * (many + 2) * subject.eps)
    at_most("-weights", -weights, 0.0)

    def compute(which: int) -> Any:
        return lambda blur: plain.layer(case.settings, case.parameters, **case.inputs, blur=blur)[
            which
        ]

    agree("weights", weights, *measured(subject, compute(1)))
    agree("values", projections, *measured(subject, compute(2)))
    wanted, within = measured(
        subject,
        lambda blur: plain.joined(case.settings, case.parameters, weights, projections, blur),
    )
    output = run(subject, hopcore.hopfield, case)
    agree("weights of the values", output, wanted, within + formula(subject, case)[1])


@statement("L9")
@given(case=cases(WEIGHED, masks=("both", "numbers")), rng=generators())
def test_dropout_acts_on_the_weights(
    subject: Subject, case: Case, rng: np.random.Generator
) -> None:
    case = case.on(subject)
    shape = run(subject, hopcore.layers.hopfield_weights, case).shape
    kept = np.where(rng.random(shape) < 0.3, 0.0, 1.5)
    seen = []

    def dropped(settings: Any, parameters: Any, *, kept: Any, **inputs: Any) -> Any:
        def drop(weights: Any) -> Any:
            seen.append(tuple(weights.shape))
            return weights * kept

        return hopcore.hopfield(settings, parameters, **inputs, drop=drop)

    got = run(subject, dropped, case.but(masks={**case.masks, "kept": kept}))
    assert seen == [shape], "dropout is drawn once, for each weight of each head"
    agree("output", got, *formula(subject, case, drop=lambda weights: weights * kept))


@statement("L15")
@pytest.mark.parametrize("name", sorted([*EVERY, *COMPOSED]))
def test_settings_survive_their_dictionary(subject: Subject, name: str) -> None:
    settings = {**EVERY, **COMPOSED}[name]
    written = json.loads(json.dumps(settings.to_dict()))
    again = type(settings).from_dict(written)
    assert again == settings
    assert hash(again) == hash(settings)
    # They are frozen, and names that they have not are refused.
    with pytest.raises(AttributeError):
        again.dropout = 0.5
    with pytest.raises(ValueError, match="no such fields: heads"):
        type(settings).from_dict({**written, "heads": 2})


@statement("L16")
@pytest.mark.parametrize("name", sorted([*EVERY, *COMPOSED]))
def test_modules_are_the_functions(subject: Subject, name: str) -> None:
    if not has_modules(subject):
        pytest.skip(f"{subject.backend.name} has no modules; its functions are checked above")
    settings = {**EVERY, **COMPOSED}[name]
    if name in UPDATES:
        no_half(subject, "rounding moves a state by more than the distance at which it rests")
    case = composed(name, 0) if name in COMPOSED else case_of(settings, masks="padding")
    case = case.on(subject)
    function = FUNCTIONS[type(settings)]
    got = module_output(subject, case)
    wanted, within = formula(subject, case)
    agree("module against NumPy float64", got, run(NUMPY, function, case), within)
    agree("module against its formula", got, wanted, within)


SLOPES = {
    "as it comes": SETTINGS["as it comes"],
    "patterns added": settings_of(
        concat_bias_pattern=True, add_zero_association=True, learnable_scaling=True
    ),
    "connected": settings_of(
        pattern_projection_as_connected=True,
        normalize_hopfield_space=True,
        normalize_hopfield_space_affine=True,
        association_activation="gelu",
    ),
    "two updates": UPDATES["two updates"],
    "until at rest": settings_of(
        update_steps_max=None, update_steps_eps=1e-9, learnable_scaling=True, scaling=0.5
    ),
    "factored": DIFFUSED["factored"],
    "weights": DIFFUSED["weights"],
    "by distance, at rest": settings_of(
        **RAW,
        similarity="distance",
        update_steps_max=None,
        update_steps_eps=1e-9,
        learnable_scaling=True,
        scaling=1.0,
        concat_bias_pattern=True,
    ),
    "by distance": settings_of(similarity="distance", add_zero_association=True),
    "numbers": settings_of(
        update_steps_max=None, update_steps_eps=1e-9, scaling=0.5, normalize_hopfield_space=True
    ),
}
"""Settings of layers for derivatives; "numbers" includes those of numbers in a mask."""


@statement("L17")
@pytest.mark.parametrize("name", sorted(SLOPES))
def test_derivatives_are_those_of_the_formula(subject: Subject, name: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} takes no derivatives")
    no_half(subject, "derivatives of layers are checked in float32 and float64")
    case = case_of(SLOPES[name], seed=1, masks="padding").on(subject)
    rng = np.random.default_rng(2)
    if name == "numbers":
        numbers = subject.rounded(rng.normal(size=(BATCH, 2, QUERIES, PATTERNS)))
        case = case.but(patterns={**case.patterns, "association_mask": numbers})
    values = {**case.parameters, **case.patterns}
    names = tuple(values)
    along = {key: rng.normal(size=np.shape(value)) for key, value in values.items()}
    probe = rng.normal(size=plain.layer(case.settings, case.parameters, **case.inputs).output.shape)
    found = subject.gradient(
        layer_of(SLOPES[name], names, tuple(case.parameters)),
        *values.values(),
        by=range(len(names)),
        probe=subject.rounded(probe),
        **case.masks,
    )
    slopes = [np.sum(g * along[key]) for g, key in zip(found, names, strict=True)]
    assert all(np.all(np.isfinite(g)) for g in found)
    # By all at once, and by each of them.
    for key, got in [("all", sum(slopes)), *zip(names, slopes, strict=True)]:

        def moved(step: float, key: str = key) -> float:
            some = {n: x + step * along[n] * (key in ("all", n)) for n, x in values.items()}
            parameters = {n: some[n] for n in case.parameters}
            patterns = {n: some[n] for n in case.patterns}
            output = plain.layer(case.settings, parameters, **patterns, **case.masks).output
            return float(np.sum(output * subject.rounded(probe)))

        wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5
        scale = sum(map(abs, slopes)) + abs(wanted)
        agree(f"derivative by {key}", np.asarray(got), wanted, (1e-7 + 64 * subject.eps) * scale)
