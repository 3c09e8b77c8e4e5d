"""Temperatures that a layer learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import hopcore
from hopcore.schedules import inverse_softplus, learned_temperature, softplus
from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.cases.layer_modules import has_modules, module_output
from hopcore_conformance.cases.layer_options import settings_of
from hopcore_conformance.cases.layers import Case, case_of, cases, formula, layer_of, run
from hopcore_conformance.cases.temperature import LEARNED
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import layers as plain_layers
from hopcore_conformance.oracle import temperature as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


def heat_of(case: Case) -> Array:
    """The temperature of each head, by its formula."""
    found = plain.softplus(case.parameters["temperature"])
    shared = case.parameters.get("shared_temperature")
    found = found if shared is None else found * plain.softplus(shared)
    return np.broadcast_to(found, (case.settings.num_heads,))


def fixed(case: Case, heat: Array) -> Case:
    """The same layer with fixed temperatures."""
    own = {
        name: x
        for name, x in case.parameters.items()
        if name not in ("temperature", "shared_temperature")
    }
    return replace(
        case,
        settings=replace(case.settings, scaling=tuple(float(1.0 / one) for one in heat)),
        parameters=own,
    )


@statement("T1")
@pytest.mark.parametrize("name", sorted(LEARNED))
def test_the_start_is_exact(subject: Subject, name: str) -> None:
    settings = LEARNED[name]
    learned, depth = settings.scaling, settings.input_size // settings.num_heads
    factor = np.asarray(learned.factor)
    shape = (settings.num_heads,) if learned.per_head or factor.ndim else ()
    wanted = np.broadcast_to(factor * np.sqrt(depth), shape)
    start = hopcore.initial_parameters(settings, backend=subject.backend.name, dtype=subject.dtype)
    assert tuple(start["temperature"].shape) == shape
    # Rounding of theta moves T by no more than itself does.
    within = 8.0 * subject.eps * (1.0 + wanted)
    got = subject.get(learned_temperature(start["temperature"], start.get("shared_temperature")))
    agree("temperature at the start", got, wanted, within)
    assert ("shared_temperature" in start) == learned.shared
    agree("beta of the settings", np.broadcast_to(settings.beta, shape), 1.0 / wanted, 1e-15)


@statement("T1")
def test_softplus_and_its_inverse(subject: Subject) -> None:
    for value in (1e-20, 1e-3, 1.0, 8.0, 1e3):
        theta = inverse_softplus(value)
        # ln T = ln softplus(theta): what rounding of theta does is relative to T below 1.
        agree("softplus", plain.softplus(theta), value, 1e-13 * value)
    theta = subject.rounded(np.asarray([-30.0, -3.0, 0.0, 0.5, 20.0, 200.0]))
    wanted = plain.softplus(theta)
    agree("softplus", subject.get(softplus(subject.put(theta))), wanted, 8 * subject.fine * wanted)


@statement("T2")
def test_temperatures_are_positive(subject: Subject) -> None:
    most = float(subject.backend.xp.finfo(subject.put(np.zeros(1)).dtype).max)
    theta = np.asarray([-most, -1e4, -800.0, -90.0, -20.0, 0.0, 20.0, 90.0, 1e4, most])
    got = subject(learned_temperature, theta)
    assert np.all((got > 0.0) & np.isfinite(got) & np.isfinite(1.0 / got))
    at_most("fall", -np.diff(got), 0.0)
    for shared in (-most, most):
        got = subject(learned_temperature, theta, np.asarray(shared))
        assert np.all((got > 0.0) & np.isfinite(got) & np.isfinite(1.0 / got))


@statement("T2")
@pytest.mark.parametrize("theta", [-6e4, 6e4])
def test_layers_are_finite_at_every_temperature(subject: Subject, theta: float) -> None:
    settings = LEARNED["one"]
    case = case_of(settings).on(subject)
    given = {**case.parameters, "temperature": subject.rounded(np.asarray(theta))}
    case = case.but(parameters=given)
    assert np.all(np.isfinite(run(subject, hopcore.hopfield, case)))
    if subject.differentiates:
        names = (*case.parameters, *case.patterns)
        found = subject.gradient(
            layer_of(settings, names, tuple(case.parameters)),
            *case.parameters.values(),
            *case.patterns.values(),
            by=range(len(names)),
        )
        assert all(np.all(np.isfinite(one)) for one in found)


@statement("T3")
@given(case=cases(LEARNED, masks=("none",)))
def test_a_learned_temperature_is_a_scaling(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    wanted, within = formula(subject, fixed(case, heat_of(case)))
    agree("output", run(subject, hopcore.hopfield, case), wanted, 2.0 * within)


@statement("T3")
@pytest.mark.parametrize("name", sorted(LEARNED))
def test_every_head_has_its_own(subject: Subject, name: str) -> None:
    case = case_of(LEARNED[name]).on(subject)
    heat = heat_of(case)
    assert (len(set(heat)) > 1) == (case.parameters["temperature"].ndim > 0)
    output = run(subject, hopcore.hopfield, case)
    same = fixed(case, heat)
    agree("output", output, *formula(subject, same))
    if has_modules(subject):
        agree("module", module_output(subject, case), *formula(subject, same))
    # The parameter has an influence, so that this could fail.
    other = np.max(np.abs(formula(subject, fixed(case, 3.0 * heat))[0] - output))
    at_most("-influence", -other, -1e-3)


@statement("T4")
def test_a_shared_temperature_multiplies(subject: Subject) -> None:
    case = case_of(LEARNED["shared"]).on(subject)
    wanted = heat_of(case)
    theta, shared = case.parameters["temperature"], case.parameters["shared_temperature"]
    product = plain.softplus(theta) * plain.softplus(shared)
    agree("heat", product, wanted, 0.0)
    got = subject(learned_temperature, theta, shared)
    agree("temperature", got, product, 16.0 * subject.fine * product)
    output = run(subject, hopcore.hopfield, case)
    agree("output", output, *formula(subject, fixed(case, product)))
    # It starts at 1, and then changes nothing.
    start = subject.rounded(np.asarray(inverse_softplus(1.0)))
    got = subject(learned_temperature, theta, start)
    agree("with a shared temperature of 1", got, plain.softplus(theta), 8.0 * subject.eps * wanted)
    case = case.but(parameters={**case.parameters, "shared_temperature": start})
    without = fixed(case, plain.softplus(theta))
    wanted, within = formula(subject, without)
    agree("output", run(subject, hopcore.hopfield, case), wanted, 2.0 * within)


@statement("T5")
@pytest.mark.parametrize("name", sorted(LEARNED))
def test_derivatives_by_theta(subject: Subject, name: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} takes no derivatives")
    no_half(subject, "derivatives of layers are checked in float32 and float64")
    case = case_of(LEARNED[name], seed=3).on(subject)
    names = (*case.parameters, *case.patterns)
    heats = [key for key in ("temperature", "shared_temperature") if key in case.parameters]
    output = plain_layers.layer(**plainly(fixed(case, heat_of(case)))).output
    probe = subject.rounded(np.random.default_rng(4).normal(size=output.shape))
    found = subject.gradient(
        layer_of(case.settings, names, tuple(case.parameters)),
        *case.parameters.values(),
        *case.patterns.values(),
        by=[names.index(key) for key in heats],
        probe=probe,
    )
    for key, got in zip(heats, found, strict=True):
        theta, wanted = case.parameters[key], np.zeros(case.parameters[key].shape)
        for at in np.ndindex(theta.shape):

            def moved(step: float, at: Any = at, key: str = key, theta: Array = theta) -> float:
                some = theta.copy()
                some[at] += step
                there = case.but(parameters={**case.parameters, key: some})
                there = fixed(there, heat_of(there))
                return float(np.sum(probe * plain_layers.layer(**plainly(there)).output))

            wanted[at] = (moved(1e-5) - moved(-1e-5)) / 2e-5
        scale = float(np.sum(np.abs(probe * output)))
        agree(f"derivative by {key}", got, wanted, (1e-8 + 64.0 * subject.eps) * scale)
        at_most("-influence", -np.max(np.abs(wanted)), -1e-3)


def plainly(case: Case) -> dict[str, Any]:
    """The arguments of the plain layer in NumPy."""
    return {"settings": case.settings, "parameters": case.parameters, **case.inputs}


@statement("T6")
def test_profiles(subject: Subject) -> None:
    def factors(*given: Any) -> list[Any]:
        return [one.factor for one in hopcore.schedules.temperature_profile(*given)]

    assert factors("standard", 3) == [1.0, 1.0, 1.0]
    found = np.asarray(factors("hot-to-cold", 5))
    assert (found[0], found[-1]) == (2.0, 0.5)
    agree("ratio", found[1:] / found[:-1], np.full(4, 0.25**0.25), 1e-15)
    assert factors("hot-to-cold", 1) == [2.0]
    assert factors("throbbing", 5) == [2.0, 0.5, 2.0, 0.5, 2.0]
    assert factors("hot-reasoner", 2, 3) == [(2.0, 1.0, 1.0)] * 2
    # A layer takes each, and starts there.
    for profile in ("standard", "hot-to-cold", "throbbing", "hot-reasoner"):
        for one in hopcore.schedules.temperature_profile(profile, 2, 2):
            settings = settings_of(scaling=one)
            start = hopcore.initial_parameters(
                settings, backend=subject.backend.name, dtype=subject.dtype
            )["temperature"]
            wanted = np.asarray(one.factor) * np.sqrt(3.0)
            agree(profile, subject.get(learned_temperature(start)), wanted, 24.0 * subject.eps)
