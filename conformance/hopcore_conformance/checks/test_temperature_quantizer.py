"""Vector quantisers: features as patterns of codebooks, soft and hard."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore.layers import QuantizerSettings
from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.cases.layers import Case
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.temperature import (
    QUANTIZER,
    TEMPERATURES,
    asked,
    clear,
    network_case,
    networks,
)
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import temperature as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray
ONLY = {"quantizer": QUANTIZER}


def quantized(subject: Subject, case: Case, temperature: Any, **options: Any) -> Any:
    """The result of the quantiser for a case."""
    return asked(subject, hopcore.layers.quantize, case, temperature, **options)


def scores_at(subject: Subject, case: Case, temperature: float) -> tuple[Array, Array]:
    """The scores ``-||z - c||^2 / T``, (..., G, S), and how far rounding may take them, (..., G).

    Of each square all the terms, ``(|z| + |c|)^2``, may be rounded several times.
    """
    codebook = case.parameters["codebook"]
    parts, squares = plain.codes_of(codebook, case.inputs["state"])
    terms = np.sum((np.abs(parts[..., None, :]) + np.abs(codebook)) ** 2, axis=-1)
    return -squares / temperature, 4.0 * subject.eps * np.max(terms, axis=-1) / temperature


def weights_at(subject: Subject, case: Case, temperature: float, noise: Any = 0.0) -> Any:
    """The soft weights by their formula, and their tolerance: 2-Lipschitz in the scores."""
    scores, within = scores_at(subject, case, temperature)
    total = np.minimum(2.0 * within, 1.0) + 8.0 * subject.eps * (1.0 + np.max(np.abs(noise)))
    return plain.weights_of(scores + noise, "softmax"), total[..., None]


def choice(subject: Subject, case: Case, temperature: float, noise: Any = 0.0) -> tuple[Any, Any]:
    """The chosen codes, (..., G), and where rounding cannot change the choice."""
    scores, within = scores_at(subject, case, temperature)
    ready = clear(scores + noise, within + subject.eps * np.max(np.abs(noise)), subject.eps)
    return np.argmax(scores + noise, axis=-1), ready


def values_of(case: Case, codes: Array) -> Array:
    """The codes (..., G, d) of choices (..., G)."""
    codebook = case.parameters["codebook"]
    return np.stack([codebook[g][codes[..., g]] for g in range(len(codebook))], axis=-2)


@statement("Q1")
@given(case=networks(ONLY), temperature=st.sampled_from((None, *TEMPERATURES)))
def test_soft_values_are_mixtures(subject: Subject, case: Case, temperature: Any) -> None:
    case = case.on(subject)
    heat = QUANTIZER.temperature if temperature is None else temperature
    found = quantized(subject, case, temperature)
    wanted, within = weights_at(subject, case, heat)
    agree("weights", found.weights, wanted, within)
    codebook = case.parameters["codebook"]
    # Weights sum to 1 and are not negative: values lie in the hull of the codes of their group.
    at_most("-weights", -found.weights, 0.0)
    agree("sums", np.sum(found.weights, axis=-1), np.ones((2, 3, 2)), 16.0 * subject.eps)
    most = 4.0 * np.max(np.abs(codebook))
    off = most * np.repeat(within[..., 0], 3, axis=-1)
    agree("values", found.values, plain.mixed(codebook, wanted), off)
    directions = np.random.default_rng(0).normal(size=(3, 8))
    parts = found.values.reshape(2, 3, 2, 3)
    reach = np.max(codebook @ directions, axis=1)
    at_most("outside of the hull", parts @ directions - reach, 0.0, 64.0 * subject.eps * most)


@statement("Q2")
@given(case=networks(ONLY), temperature=st.sampled_from(TEMPERATURES))
def test_hard_values_are_the_nearest_codes(
    subject: Subject, case: Case, temperature: float
) -> None:
    case = case.on(subject)
    found = quantized(subject, case, temperature, hard=True)
    wanted, ready = choice(subject, case, temperature)
    # By brute force: no code of the group is nearer.
    parts, squares = plain.codes_of(case.parameters["codebook"], case.inputs["state"])
    np.testing.assert_array_equal(wanted, np.argmin(squares, axis=-1))
    np.testing.assert_array_equal(found.codes[ready], wanted[ready])
    within = 4.0 * subject.eps * (np.max(np.abs(parts)) + np.max(np.abs(found.values)))
    values = found.values.reshape(parts.shape)
    agree("values", values, values_of(case, found.codes), within)
    soft = quantized(subject, case, temperature)
    np.testing.assert_array_equal(soft.codes, found.codes)
    agree("weights", soft.weights, found.weights, 0.0)


@statement("Q2")
def test_codes_quantise_to_themselves(subject: Subject) -> None:
    case = network_case(QUANTIZER, np.random.default_rng(1)).on(subject)
    codebook = np.round(2.0 * case.parameters["codebook"]) + np.arange(4)[None, :, None]
    codes = np.asarray([[[0, 1], [2, 3], [3, 0]], [[1, 1], [0, 2], [2, 2]]])
    features = codebook[[0, 1], codes].reshape(2, 3, 6)
    case = case.but(parameters={"codebook": codebook}, patterns={"state": features})
    found = quantized(subject, case, 0.1, hard=True)
    agree("values", found.values, features, 0.0)
    np.testing.assert_array_equal(found.codes, codes)
    assert found.commitment == 0.0


@cache
def quantizer_part(name: str, hard: bool) -> Any:
    """One field of the result of a quantiser, as a function of arrays."""

    def call(codebook: Any, features: Any, temperature: Any) -> Any:
        found = hopcore.layers.quantize(
            QUANTIZER, {"codebook": codebook}, features, temperature=temperature, hard=hard
        )
        return getattr(found, name)

    return call


def slopes(subject: Subject, case: Case, name: str, hard: bool, probe: Any) -> tuple[Array, Array]:
    """The gradients of a part by the codebook and by the features."""
    given = case.parameters["codebook"], case.inputs["state"], np.asarray(0.5)
    found = subject.gradient(quantizer_part(name, hard), *given, by=[0, 1], probe=probe)
    return found[0], found[1]


def differentiable(subject: Subject) -> Case:
    """A case for checks of gradients; skip the check without them."""
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} takes no derivatives")
    no_half(subject, "derivatives of layers are checked in float32 and float64")
    return network_case(QUANTIZER, np.random.default_rng(6)).on(subject)


@statement("Q3")
def test_gradients_of_values(subject: Subject) -> None:
    case = differentiable(subject)
    features, codebook = case.inputs["state"], case.parameters["codebook"]
    rng = np.random.default_rng(7)
    probe = subject.rounded(rng.normal(size=features.shape))
    by_codes, by_features = slopes(subject, case, "values", True, probe)
    agree("by codes", by_codes, np.zeros(codebook.shape), 0.0)
    agree("by features", by_features, probe, 4.0 * subject.eps * np.abs(probe))
    found = slopes(subject, case, "values", False, probe)
    for place, (got, at) in enumerate(zip(found, (codebook, features), strict=True)):
        along = rng.normal(size=at.shape)

        def moved(step: float, place: int = place, along: Array = along) -> float:
            given = [codebook, features]
            given[place] = given[place] + step * along
            squares = plain.codes_of(*given).squares
            weights = plain.weights_of(-squares / 0.5, "softmax")
            return float(np.sum(probe * plain.mixed(given[0], weights)))

        wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5
        scale = float(np.sum(np.abs(got * along))) + np.sum(np.abs(probe))
        slope = np.asarray(np.sum(got * along))
        agree("soft", slope, wanted, (1e-7 + 64.0 * subject.eps) * scale)


@statement("Q4")
@given(case=networks(ONLY), hard=st.booleans())
def test_commitment(subject: Subject, case: Case, hard: bool) -> None:
    case = case.on(subject)
    found = quantized(subject, case, 0.5, hard=hard)
    parts = plain.codes_of(case.parameters["codebook"], case.inputs["state"]).parts
    # Of the codes that were chosen, which may be one of several nearest.
    square = np.mean((parts - values_of(case, found.codes)) ** 2)
    wanted = (1.0 + QUANTIZER.commitment) * square
    largest = np.max(np.abs(parts)) + np.max(np.abs(case.parameters["codebook"]))
    agree("commitment", found.commitment, wanted, 16.0 * subject.eps * largest**2)


@statement("Q4")
@pytest.mark.parametrize("hard", [False, True])
def test_gradients_of_the_commitment(subject: Subject, hard: bool) -> None:
    case = differentiable(subject)
    features, codebook = case.inputs["state"], case.parameters["codebook"]
    by_codes, by_features = slopes(subject, case, "commitment", hard, None)
    parts, squares = plain.codes_of(codebook, features)
    codes = np.argmin(squares, axis=-1)
    pull = 2.0 * (parts - values_of(case, codes)) / parts.size
    wanted = np.zeros(codebook.shape)
    for at in np.ndindex(codes.shape):
        wanted[at[-1], codes[at]] -= pull[at]
    within = 32.0 * subject.eps * np.max(np.abs(pull))
    agree("by codes", by_codes, wanted, within)
    agree("by features", by_features, QUANTIZER.commitment * pull.reshape(features.shape), within)


@statement("Q5")
@given(case=networks(ONLY), temperature=st.sampled_from(TEMPERATURES))
def test_divergence(subject: Subject, case: Case, temperature: float) -> None:
    case = case.on(subject)
    found = quantized(subject, case, temperature)
    at_most("-divergence", -found.divergence, 0.0, 8.0 * subject.eps)
    largest = np.max(found.weights, axis=-1)
    off = 16.0 * subject.eps * (1.0 + np.max(-np.log(largest)))
    agree("divergence", found.divergence, np.mean(-np.log(largest)), off)
    weights, within = weights_at(subject, case, temperature)
    # The Kullback-Leibler divergence of the one-hot distribution from the soft one.
    wanted = np.mean(-np.log(np.max(weights, axis=-1)))
    # The largest of four weights is at least a quarter.
    agree("of the formula", found.divergence, wanted, off + 4.0 * np.mean(within))
    best = np.sort(scores_at(subject, case, 1e-3)[0], axis=-1)
    if np.min(best[..., -1] - best[..., -2]) > 50.0:
        agree("cold", quantized(subject, case, 1e-3).divergence, 0.0, 4.0 * subject.eps)


@statement("Q5")
@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e-5, 1e9, 1e30, 1e300])
@pytest.mark.parametrize("hard", [False, True])
def test_finite_at_every_temperature(subject: Subject, temperature: float, hard: bool) -> None:
    case = network_case(QUANTIZER, np.random.default_rng(6)).on(subject)
    found = [quantized(subject, case, temperature, hard=hard)]
    if 1e-37 < temperature < 1e37:
        array = subject.precise.put(np.asarray(temperature))
        found.append(quantized(subject, case, array, hard=hard))
    for one in found:
        assert all(np.all(np.isfinite(part)) for part in one)
        if temperature > 1.0:
            agree("hot", one.weights, np.full(one.weights.shape, 0.25), 1e-7 + 2.0 * subject.eps)
            agree("divergence", one.divergence, np.log(4.0), 1e-7 + 8.0 * subject.eps)
        elif np.all(choice(subject, case, 1.0)[1]):
            agree("cold", one.divergence, 0.0, 4.0 * subject.eps)


@statement("Q6")
@given(case=networks(ONLY), hard=st.booleans(), rng=generators())
def test_groups_are_independent(
    subject: Subject, case: Case, hard: bool, rng: np.random.Generator
) -> None:
    case = case.on(subject)
    features, codebook = case.inputs["state"].copy(), case.parameters["codebook"].copy()
    features[..., 3:] = subject.rounded(rng.normal(size=(2, 3, 3)))
    codebook[1] = subject.rounded(rng.normal(size=(4, 3)))
    other = case.but(parameters={"codebook": codebook}, patterns={"state": features})
    before, after = (quantized(subject, one, 0.5, hard=hard) for one in (case, other))
    within = 16.0 * subject.eps * np.max(np.abs(codebook[0]))
    agree("values", after.values[..., :3], before.values[..., :3], within)
    agree("weights", after.weights[..., 0, :], before.weights[..., 0, :], 16.0 * subject.eps)
    np.testing.assert_array_equal(after.codes[..., 0], before.codes[..., 0])


@statement("Q6")
@given(case=networks(ONLY), hard=st.booleans(), order=st.permutations(range(4)))
def test_the_order_of_the_codes(subject: Subject, case: Case, hard: bool, order: list[int]) -> None:
    case = case.on(subject)
    turned = case.but(parameters={"codebook": case.parameters["codebook"][:, order]})
    before, after = (quantized(subject, one, 0.5, hard=hard) for one in (case, turned))
    ready = choice(subject, case, 0.5)[1]
    within = 2.0 * weights_at(subject, case, 0.5)[1]
    agree("weights", after.weights, before.weights[..., order], within)
    np.testing.assert_array_equal(np.asarray(order)[after.codes][ready], before.codes[ready])
    if not hard or np.all(ready):
        most = 8.0 * np.max(np.abs(case.parameters["codebook"]))
        off = most * np.repeat(within[..., 0], 3, axis=-1)
        agree("values", after.values, before.values, off)


@statement("Q6", "Q2")
def test_the_order_of_equally_near_codes(subject: Subject) -> None:
    settings = QuantizerSettings(input_size=1, quantity=3)
    for codes, chosen in (([2.0, -1.0, 1.0], 1), ([2.0, 1.0, -1.0], 1), ([1.0, 2.0, -1.0], 0)):
        codebook = {"codebook": np.asarray(codes)[None, :, None]}
        case = Case(settings, codebook, {"state": np.zeros((1, 1))})
        hard, soft = (quantized(subject, case, 0.5, hard=x) for x in (True, False))
        agree("hard value: the first of the nearest", hard.values, [[codes[chosen]]], 0.0)
        assert int(hard.codes[0, 0]) == int(soft.codes[0, 0]) == chosen
        # What does not depend on the order: the squares of the distances are 1, 1 and 4.
        near = 1.0 / (2.0 + np.exp(-3.0 / 0.5))
        agree("soft value", soft.values, [[2.0 * (1.0 - 2.0 * near)]], 16.0 * subject.eps)
        agree("divergence", hard.divergence, -np.log(near), 16.0 * subject.eps)
        agree("commitment", hard.commitment, 1.25, 16.0 * subject.eps)


@statement("N8")
@given(case=networks(ONLY), rng=generators(), temperature=st.sampled_from((0.3, 2.0)))
def test_noise_chooses_codes(
    subject: Subject, case: Case, rng: np.random.Generator, temperature: float
) -> None:
    case = case.on(subject)
    drawn = subject.rounded(rng.gumbel(size=(2, 3, 2, 4)))
    given = subject.put(drawn)
    found = quantized(subject, case, temperature, noise=lambda shape, like: given)
    agree("weights", found.weights, *weights_at(subject, case, temperature, drawn))
    wanted, ready = choice(subject, case, temperature, drawn)
    np.testing.assert_array_equal(found.codes[ready], wanted[ready])
