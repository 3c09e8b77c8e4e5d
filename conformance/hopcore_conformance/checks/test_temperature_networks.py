"""Hopfield network layers: learned memories at a temperature, soft and hard."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore.layers import HNLSettings
from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.cases.layers import Case, measured, run
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.temperature import (
    NETWORKS,
    STACK,
    TEMPERATURES,
    asked,
    clear,
    network_case,
    networks,
    scores_of,
)
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import temperature as plain
from hopcore_conformance.oracle.composed_layers import inner
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray
SOFTMAX = {"softmax": NETWORKS["softmax"]}
"""The limits of a softmax; sparse weights reach theirs before."""


def soft(subject: Subject, case: Case, temperature: float, noise: Any = 0.0) -> tuple[Array, float]:
    """The output of a layer by its formula, and its tolerance."""
    given = case.settings, case.parameters, case.inputs["state"], temperature, noise
    wanted, within = measured(subject, lambda blur: plain.hnl(*given, blur=blur))
    # Where one row is all that moves, two scores may well have moved alike in all its draws.
    return wanted, 2.0 * within


def best_of(
    subject: Subject, case: Case, temperature: float, noise: Any = 0.0
) -> tuple[Array, float, Array]:
    """The values of the best patterns, their tolerance, and the rows with a clear choice."""
    scores, within = scores_of(subject, case, temperature)
    ready = np.all(clear(scores + noise, within, subject.eps), axis=-2)
    weights = plain.chosen(scores + noise)
    given = case.settings, case.parameters, case.inputs["state"], temperature

    def compute(blur: Any) -> Array:
        return plain.recalled(plain.memory(*given, blur=blur), weights, blur)

    return *measured(subject, compute), ready


@statement("N1")
@given(case=networks(), temperature=st.sampled_from(TEMPERATURES))
def test_a_layer_is_its_formula(subject: Subject, case: Case, temperature: float) -> None:
    case = case.on(subject)
    got = asked(subject, hopcore.layers.hnl, case, temperature)
    agree("output", got, *soft(subject, case, temperature))


@statement("N1")
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_layer_is_a_lookup(subject: Subject, name: str) -> None:
    case = network_case(NETWORKS[name], np.random.default_rng(1)).on(subject)
    settings = case.settings
    for temperature in (None, 0.4):
        heat = settings.temperature if temperature is None else temperature
        got = asked(subject, hopcore.layers.hnl, case, temperature)
        association = replace(settings.lookup.hopfield, scaling=settings.beta(heat))
        lookup = replace(settings.lookup, hopfield=association)
        wanted = run(subject, hopcore.layers.hopfield_lookup, case.but(settings=lookup))
        agree("lookup", got, wanted, soft(subject, case, heat)[1])
    # Scores of one head are correlations: they do not see the size of anything.
    scores = plain.memory(settings, case.parameters, case.inputs["state"], 1.0).scores
    at_most("scores", np.abs(scores), 1.0)


@statement("N2")
@given(case=networks(SOFTMAX), temperature=st.sampled_from((0.5, 0.1, 0.02, 0.004, 1e-4)))
def test_soft_tends_to_hard(subject: Subject, case: Case, temperature: float) -> None:
    case = case.on(subject)
    wanted, within, ready = best_of(subject, case, temperature)
    scores = scores_of(subject, case, temperature)[0]
    best = np.sort(scores, axis=-1)
    others = (scores.shape[-1] - 1) * np.exp(best[..., -2] - best[..., -1])
    found = plain.memory(case.settings, case.parameters, case.inputs["state"], temperature)
    # Two values of a head are no farther apart than this, behind the last map.
    rows = found.weight.reshape(len(found.weight), case.settings.num_heads, -1)
    apart = np.max(np.abs(np.einsum("ohd,hsd->ohs", rows, found.values)), axis=(0, 2))
    bound = 2.0 * np.einsum("h,...hn->...n", apart, others)[..., None]
    off = np.abs(asked(subject, hopcore.layers.hnl, case, temperature) - wanted)
    at_most("distance", off[ready], np.broadcast_to(bound, off.shape)[ready],
            within + soft(subject, case, temperature)[1])  # fmt: skip


PLAIN_HEAD = HNLSettings(input_size=2, output_size=1, quantity=4, num_heads=1, hidden_size=2)
"""A layer whose numbers are exact where its weights are identities: ties are ties."""


def recalled_from(
    subject: Subject, keys: list[int], values: list[float], temperature: float, hard: bool
) -> Array:
    """The output for one query of a layer with the keys (k, -k) and these values."""
    core, eye = "hopfield.association_core.", np.eye(2)
    parameters = {
        "lookup_weights": np.asarray([[[k, -k] for k in keys]], dtype=float),
        "target_weights": np.asarray([[[v, 0.0] for v in values]]),
        f"{core}in_proj_weight": np.concatenate([eye, eye, eye]),
        f"{core}in_proj_bias": np.zeros(6),
        f"{core}out_proj.weight": eye[:1],
        f"{core}out_proj.bias": np.zeros(1),
    }
    case = Case(
        replace(PLAIN_HEAD, quantity=len(keys)), parameters, {"state": np.asarray([[3.0, -3.0]])}
    )
    return asked(subject, hopcore.layers.hnl, case, temperature, hard=hard)


@statement("N2", "N3", "N5")
@pytest.mark.parametrize("temperature", [0.5, 0.1, 1e-3])
def test_patterns_with_the_same_score(subject: Subject, temperature: float) -> None:
    # Two keys are those of the query and two are opposite: scores of 1 and -1, over T.
    keys, values = [1, 1, -1, -1], [5.0, 7.0, 0.0, 2.0]
    hard = recalled_from(subject, keys, values, temperature, hard=True)
    agree("hard: the first of the two", hard, [[5.0]], 0.0)
    turned = recalled_from(subject, keys, [7.0, 5.0, *values[2:]], temperature, hard=True)
    agree("hard, the other way around", turned, [[7.0]], 0.0)
    soft = recalled_from(subject, keys, values, temperature, hard=False)
    # (S - k) / k 2 e^-g = 2 e^-g of weights, of values that are at most 6 from the mean of 6.
    gap = 2.0 / ((1.0 + 1e-5) * temperature)
    within = 32.0 * subject.eps
    at_most("soft, from the mean of the two", np.abs(soft - 6.0), 12.0 * np.exp(-gap), within)
    at_most("-distance of soft and hard", -np.abs(soft - hard), -0.75)
    again = recalled_from(subject, keys, [7.0, 5.0, *values[2:]], temperature, hard=False)
    agree("soft, the other way around", again, soft, within)


@statement("N2", "N3")
@pytest.mark.parametrize("temperature", [10.0, 1e-3])
def test_a_memory_of_one_pattern(subject: Subject, temperature: float) -> None:
    for hard in (False, True):
        got = recalled_from(subject, [-1], [5.0], temperature, hard=hard)
        agree(f"hard is {hard}", got, [[5.0]], 0.0)


@statement("N3")
@given(case=networks(), temperature=st.sampled_from(TEMPERATURES))
def test_hard_recalls_the_best_memory(subject: Subject, case: Case, temperature: float) -> None:
    case = case.on(subject)
    got = asked(subject, hopcore.layers.hnl, case, temperature, hard=True)
    wanted, within, ready = best_of(subject, case, temperature)
    agree("hard", got[ready], wanted[ready], within)


@statement("N3")
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_memory_recalls_its_own_patterns(subject: Subject, name: str) -> None:
    # Where queries are projected as the memory is, each pattern is the best for itself.
    case = network_case(NETWORKS[name], np.random.default_rng(63)).on(subject)
    own = dict(case.parameters)
    for key in ("in_proj_weight", "in_proj_bias"):
        rows = own[f"hopfield.association_core.{key}"].copy()
        third = len(rows) // 3
        rows[:third] = rows[third : 2 * third]
        own[f"hopfield.association_core.{key}"] = rows
    which = np.asarray([[0, 1, 2], [3, 4, 0]])
    case = case.but(parameters=own, patterns={"state": own["lookup_weights"][0, which]})
    heads = case.settings.num_heads
    wanted, within, ready = best_of(subject, case, 0.1)
    assert np.sum(ready) >= 2
    found = plain.memory(case.settings, own, case.inputs["state"], 0.1)
    agree("choice", np.argmax(found.scores, axis=-1), np.repeat(which[:, None], heads, 1), 0)
    got = asked(subject, hopcore.layers.hnl, case, 0.1, hard=True)
    agree("hard", got[ready], wanted[ready], within)


@statement("N4")
@given(rng=generators())
def test_straight_through(subject: Subject, rng: np.random.Generator) -> None:
    weights = np.sort(rng.dirichlet(np.ones(5), size=(2, 3)), axis=-1)
    weights = rng.permuted(weights, axis=-1)
    weights[0, 0] = 0.0
    weights[0, 1] = [0.1, 0.4, 0.0, 0.4, 0.1]
    weights[0, 2] = [0.0, 0.0, 0.0, 0.0, 1.0]
    weights = subject.rounded(weights)
    wanted = plain.chosen(weights)
    wanted[0, 0] = 0.0
    agree("weights", subject(hopcore.layers.straight_through, weights), wanted, 0.0)
    assert np.all(wanted[0, 1] == [0.0, 1.0, 0.0, 0.0, 0.0])
    if subject.differentiates:
        probe = subject.precise.rounded(rng.normal(size=weights.shape))
        (slope,) = subject.gradient(hopcore.layers.straight_through, weights, by=[0], probe=probe)
        agree("gradient", slope, probe, subject.eps * np.abs(probe))


@cache
def layer_at(settings: Any, names: tuple[str, ...], hard: bool) -> Any:
    """A layer as a function of parameters, features and a temperature."""

    def call(*arrays: Any) -> Any:
        *own, features, temperature = arrays
        parameters = dict(zip(names, own, strict=True))
        return hopcore.layers.hnl(
            settings, parameters, features, temperature=temperature, hard=hard
        )

    return call


@statement("N4")
@pytest.mark.parametrize("hard", [False, True])
def test_the_gradient_is_that_of_the_soft(subject: Subject, hard: bool) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} takes no derivatives")
    no_half(subject, "derivatives of layers are checked in float32 and float64")
    case = network_case(NETWORKS["softmax"], np.random.default_rng(3)).on(subject)
    state, temperature = case.inputs["state"], np.asarray(0.5)
    rng = np.random.default_rng(5)
    along = {key: rng.normal(size=x.shape) for key, x in case.parameters.items()}
    step, probe = rng.normal(size=state.shape), rng.normal(size=(*state.shape[:-1], 3))
    probe = subject.rounded(probe)
    found = subject.gradient(
        layer_at(case.settings, tuple(case.parameters), hard),
        *case.parameters.values(),
        state,
        temperature,
        by=range(len(case.parameters) + 1),
        probe=probe,
    )
    slope = sum(np.sum(g * x) for g, x in zip(found, [*along.values(), step], strict=True))

    def moved(size: float) -> float:
        own = {key: x + size * along[key] for key, x in case.parameters.items()}
        given = case.settings, own, state + size * step, 0.5
        if not hard:
            return float(np.sum(probe * plain.hnl(*given)))
        # Weights move as the soft ones do, from where the hard ones are.
        there = plain.memory(*given)
        here = plain.memory(case.settings, case.parameters, state, 0.5).scores
        weights = plain.weights_of(there.scores, "softmax") - plain.weights_of(here, "softmax")
        return float(np.sum(probe * plain.recalled(there, plain.chosen(here) + weights)))

    wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5
    scale = sum(np.sum(np.abs(g * x)) for g, x in zip(found, [*along.values(), step], strict=True))
    agree("derivative", np.asarray(slope), wanted, (1e-7 + 64.0 * subject.eps) * scale)


@statement("N5")
@given(case=networks(), order=st.permutations(range(5)), hard=st.booleans())
def test_the_order_of_the_memory(
    subject: Subject, case: Case, order: list[int], hard: bool
) -> None:
    case = case.on(subject)
    memory = ("lookup_weights", "target_weights")
    turned = {key: x[:, order] if key in memory else x for key, x in case.parameters.items()}
    before, after = (
        asked(subject, hopcore.layers.hnl, one, 0.3, hard=hard)
        for one in (case, case.but(parameters=turned))
    )
    if hard:
        _, within, ready = best_of(subject, case, 0.3)
        agree("hard", after[ready], before[ready], 2.0 * within)
    else:
        agree("soft", after, before, 2.0 * soft(subject, case, 0.3)[1])


@statement("N6")
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("temperature", [None, 0.3])
def test_a_network_is_its_layers(subject: Subject, hard: bool, temperature: Any) -> None:
    case = network_case(STACK, np.random.default_rng(2)).on(subject)
    got = asked(subject, hopcore.layers.hnm, case, temperature, hard=hard)
    state = case.inputs["state"]
    assert len(STACK.layers) == 2
    for place, layer in enumerate(STACK.layers):
        own = inner(case.parameters, f"layers.{place}")
        there = Case(layer, dict(own), {"state": state})
        state = asked(subject, hopcore.layers.hnl, there, temperature, hard=hard)
    # Values with gaps between them are given to the second layer alone, and may add up in another
    # order than those that the first one returns.
    within = 64 * subject.eps * (1.0 + np.max(np.abs(state))) if subject.strided else 0.0
    agree("output", got, state, within)


@statement("N6")
@given(case=networks({"stack": STACK}))
def test_a_network_is_its_formula(subject: Subject, case: Case) -> None:
    case = case.on(subject)
    got = asked(subject, hopcore.layers.hnm, case, 0.5)

    def compute(blur: Any) -> Array:
        state = case.inputs["state"]
        for place, layer in enumerate(STACK.layers):
            own = inner(case.parameters, f"layers.{place}")
            state = plain.hnl(layer, own, state, 0.5, blur=blur)
        return state

    agree("output", got, *measured(subject, compute))


@statement("N7")
@pytest.mark.parametrize("hard", [False, True])
def test_numbers_arrays_and_traces_agree(subject: Subject, hard: bool) -> None:
    case = network_case(NETWORKS["softmax"], np.random.default_rng(3)).on(subject)
    within = 2.0 * soft(subject, case, 0.25)[1]
    wanted = asked(subject, hopcore.layers.hnl, case, 0.25, hard=hard)
    wide = subject.precise
    for kind in (subject, wide):
        # Exact in every dtype.
        given = kind.put(np.asarray(0.25))
        agree("array", asked(subject, hopcore.layers.hnl, case, given, hard=hard), wanted, within)
    agree(
        "NumPy",
        asked(subject, hopcore.layers.hnl, case, np.float32(0.25), hard=hard),
        wanted,
        within,
    )
    call = layer_at(case.settings, tuple(case.parameters), hard)
    arrays = [subject.put(x) for x in (*case.parameters.values(), case.inputs["state"])]
    if subject.backend.name == "jax":
        import jax  # noqa: PLC0415

        agree("traced", subject.get(jax.jit(call)(*arrays, 0.25)), wanted, within)
    if subject.backend.name == "torch":
        import torch  # noqa: PLC0415

        mapped = torch.func.vmap(lambda heat: call(*arrays, heat))
        both = subject.get(mapped(wide.put(np.asarray([0.25, 1.0]))))
        agree("mapped", both[0], wanted, within)


@statement("N7")
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("temperature", [1e-300, 1e-30, 1e30, 1e300])
def test_outputs_are_finite(subject: Subject, hard: bool, temperature: float) -> None:
    case = network_case(NETWORKS["softmax"], np.random.default_rng(3)).on(subject)
    found = [asked(subject, hopcore.layers.hnl, case, temperature, hard=hard)]
    if 1e-37 < temperature < 1e37:
        array = subject.precise.put(np.asarray(temperature))
        found.append(asked(subject, hopcore.layers.hnl, case, array, hard=hard))
    assert all(np.all(np.isfinite(one)) for one in found)
    # A cold memory has chosen; a hot one recalls its mean.
    memory = plain.memory(case.settings, case.parameters, case.inputs["state"], 1.0)
    even = np.full(memory.scores.shape, 0.2)
    best, within, ready = best_of(subject, case, 0.1)
    size = np.max(np.abs(memory.values)) * np.max(np.sum(np.abs(memory.weight), axis=-1))
    for one in found:
        if temperature < 1.0:
            agree("cold", one[ready], best[ready], within)
        elif not hard:
            agree("hot", one, plain.recalled(memory, even), within + 4.0 * size / temperature)
    if subject.differentiates:
        # An array of the dtype, which in half precision holds less.
        limits = (1e-4, 1e4) if subject.eps > 1e-5 else (1e-30, 1e30)
        gradients = subject.gradient(
            layer_at(case.settings, tuple(case.parameters), hard),
            *case.parameters.values(),
            case.inputs["state"],
            np.asarray(np.clip(temperature, *limits)),
            by=range(len(case.parameters) + 1),
        )
        assert all(np.all(np.isfinite(one)) for one in gradients)


@statement("N7", "B.extreme")
@pytest.mark.parametrize("hard", [False, True])
def test_no_row_and_rows_of_one_value(subject: Subject, hard: bool) -> None:
    case = network_case(NETWORKS["softmax"], np.random.default_rng(5)).on(subject)
    state = case.inputs["state"]
    none = case.but(patterns={"state": state[..., :0, :]})
    got = asked(subject, hopcore.layers.hnl, none, 0.1, hard=hard)
    assert got.shape == (*state.shape[:-2], 0, got.shape[-1])
    for value in (0.0, 2.0):
        flat = case.but(patterns={"state": np.full_like(state, value)})
        assert np.all(np.isfinite(asked(subject, hopcore.layers.hnl, flat, 1e-30, hard=hard)))


@statement("N8")
@given(case=networks(), rng=generators(), temperature=st.sampled_from((0.3, 2.0)))
def test_noise_is_added_to_the_scores(
    subject: Subject, case: Case, rng: np.random.Generator, temperature: float
) -> None:
    case = case.on(subject)
    scores = scores_of(subject, case, temperature)[0]
    drawn = subject.rounded(rng.gumbel(size=scores.shape))
    given = subject.put(drawn)
    seen = []

    def noise(shape: tuple[int, ...], like: Any) -> Any:
        seen.append((tuple(shape), like.dtype))
        return given

    got = asked(subject, hopcore.layers.hnl, case, temperature, noise=noise)
    agree("soft", got, *soft(subject, case, temperature, drawn))
    got = asked(subject, hopcore.layers.hnl, case, temperature, noise=noise, hard=True)
    wanted, within, ready = best_of(subject, case, temperature, drawn)
    agree("hard", got[ready], wanted[ready], within)
    assert seen == [(scores.shape, given.dtype)] * 2
