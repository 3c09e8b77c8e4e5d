"""Normmax wherever a separation function is accepted, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import array_api_compat.numpy as xp
import numpy as np
import pytest

import hopcore
from hopcore import Normmax
from hopcore.convex import ConvexMemory, FenchelYoung
from hopcore.experiments.parsing import separation_named
from hopcore.memory import get_separation
from hopcore_conformance.oracle import normmax as plain

RNG = np.random.default_rng(0)
STATE, STORED = RNG.normal(size=(5, 3)), RNG.normal(size=(300, 3))


def test_names() -> None:
    name: Any = "normmax:2"
    assert get_separation(name) == Normmax(2)
    assert separation_named("normmax:1.5") == Normmax(1.5)


@pytest.mark.parametrize("name", ["normmax:1", "normmax:0.5", "normmax:a", "normmax:inf"])
def test_wrong_names_are_refused_in_one_line(name: Any) -> None:
    for named in (get_separation, separation_named):
        with pytest.raises(
            ValueError, match=f"^separation 'normmax:alpha' needs .*, got '{name}'$"
        ):
            named(name)


@pytest.mark.parametrize("alpha", [1.0, 0.0, -2.0, np.inf, np.nan])
def test_an_alpha_is_above_one_and_finite(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"^alpha .* got "):
        Normmax(alpha)


@pytest.mark.parametrize("alpha", ["2", None, True, np.ones(3)])
def test_an_alpha_is_a_number(alpha: Any) -> None:
    with pytest.raises(TypeError, match=r"^alpha must be "):
        Normmax(alpha)


def test_the_formulas_are_those_of_a_search() -> None:
    # The maximum of <w, z> - ||w||_alpha + 1 by projected steps from many starts.
    z = np.asarray([0.9, 0.5, 0.1, -0.8])
    for alpha in (1.5, 2.0, 5.0):
        found, conjugate = Normmax(alpha).evaluate(z, xp, hopcore.backend("numpy").loop)
        others = RNG.dirichlet(np.full(4, 0.5), size=20_000)
        near = np.maximum(found + 0.01 * RNG.normal(size=(20_000, 4)), 0.0)
        for weights in (others, near / near.sum(-1, keepdims=True)):
            gain = weights @ z - plain.norm(weights, alpha) + 1.0
            assert np.max(gain) <= float(conjugate) + 1e-15
            assert np.max(gain) >= float(conjugate) - 0.02
        own = found @ z - plain.norm(found, alpha) + 1.0
        np.testing.assert_allclose(conjugate, own, rtol=1e-15)


@pytest.mark.parametrize("alpha", [1.1, 2.0, 5.0])
@pytest.mark.parametrize("beta", [0.01, 1.3, 1e4])
def test_associations_of_whole_and_streamed_memories(alpha: float, beta: float) -> None:
    wanted = plain.weights(beta * STATE @ STORED.T, alpha)
    options: Any = {"beta": beta, "separation": Normmax(alpha)}
    found = hopcore.association(STATE, STORED, **options)
    np.testing.assert_allclose(found, wanted @ STORED, atol=1e-10)
    streamed = hopcore.association(STATE, hopcore.Streamed(STORED), **options)
    np.testing.assert_allclose(streamed, found, atol=1e-11)
    told = hopcore.statistics(STATE, STORED, beta, separation=Normmax(alpha))
    np.testing.assert_allclose(told.largest, wanted.max(-1), atol=1e-11)


def test_a_separated_pattern_is_retrieved_exactly() -> None:
    stored = np.eye(6)
    query = stored[:1] + 0.2 * stored[1:2]
    found = hopcore.retrieve(query, stored, 1.25, separation=Normmax(5.0))
    np.testing.assert_array_equal(found.state, stored[:1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [1.0 + 1e-12, 1.01, 2.0, 50.0, 1e300])
def test_extreme_scores_and_orders(dtype: str, alpha: float) -> None:
    most = np.finfo(dtype).max / 2.0
    scores = np.asarray(
        [[most, -most, 0.0], [0.0, -np.inf, -most], [-np.inf] * 3, [1e-30, 0.0, -np.inf]], dtype
    )
    weights, conjugate = Normmax(alpha).evaluate(scores, xp, hopcore.backend("numpy").loop)
    np.testing.assert_array_equal(weights[:3], [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0] * 3])
    np.testing.assert_allclose(weights[3], [0.5, 0.5, 0.0], rtol=1e-6)
    np.testing.assert_array_equal(conjugate[:3], np.asarray([most, 0.0, -np.inf], dtype))
    moved = Normmax(alpha).tangent(weights, np.ones_like(weights), xp)
    assert np.all(np.isfinite(moved))


@pytest.mark.parametrize("alpha", [1.0 + 1e-14, 1.0 + 1e-8, 1.0001])
def test_weights_stay_precise_as_alpha_tends_to_one(alpha: float) -> None:
    a = float(alpha) - 1.0
    weights = hopcore.separate(np.asarray([0.0, -a, -2.0 * a]), Normmax(alpha))
    # The ratios of q tend to exp(z / a).
    wanted = np.exp(-np.arange(3.0))
    np.testing.assert_allclose(weights, wanted / wanted.sum(), rtol=4.0 * a + 1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [1.001, 1.5, 5.0, 50.0])
@pytest.mark.parametrize("width", [5, 130, 3000])
def test_few_steps_find_the_threshold(dtype: str, alpha: float, width: int) -> None:
    steps = []

    def loop(cond: Any, body: Any, value: Any, most: int) -> Any:
        for _ in range(most):
            if not bool(cond(value)):
                break
            value = body(value)
            steps.append(1)
        return value

    scores = RNG.normal(size=(20, width)) * np.logspace(-3, 4, 20)[:, None]
    weights, _ = Normmax(alpha).evaluate(scores.astype(dtype), xp, loop)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=width * float(np.finfo(dtype).eps))
    assert len(steps) <= 20


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", [1.001, 1.5, 2.0, 5.0, 1e4, 1e12])
def test_only_scores_above_the_lowest_have_weights(dtype: str, alpha: float) -> None:
    scores = (RNG.normal(size=(40, 400)) * np.logspace(-3, 2, 40)[:, None]).astype(dtype)
    some = scores[:, ::7]
    lowest = Normmax(alpha).lowest(some, hopcore.separate(some, Normmax(alpha)), xp)
    weights = hopcore.separate(scores, Normmax(alpha))
    assert np.all((scores >= lowest) | (weights == 0.0))
    if alpha <= 5.0:
        # No more than needed: the threshold of the same scores is only a rounding above.
        lowest = Normmax(alpha).lowest(scores, weights, xp)
        wanted = plain.conjugate(scores.astype(float), alpha)[:, None] - 1.0
        rounding = 300.0 * np.finfo(dtype).eps * (1.0 + np.abs(scores).max(-1, keepdims=True))
        np.testing.assert_array_less(wanted - rounding, lowest)


@pytest.mark.parametrize("alpha", [1.2, 2.0, 5.0])
def test_the_negentropy_is_a_norm(alpha: float) -> None:
    weights = RNG.dirichlet(np.ones(6), size=4)
    found = Normmax(alpha).negentropy(weights, xp)
    np.testing.assert_allclose(found, (weights**alpha).sum(-1) ** (1 / alpha) - 1.0, rtol=1e-13)
    uniform = Normmax(alpha).negentropy(np.full((1, 6), 1.0 / 6.0), xp)
    np.testing.assert_allclose(Normmax(alpha).uniform(np.full(1, 6.0), xp), -uniform, rtol=1e-13)


def test_layers_and_their_checkpoints(tmp_path: Path) -> None:
    options: Any = {"separation": "normmax:5", "scaling": 50.0}
    settings = hopcore.HopfieldSettings(input_size=6, num_heads=2, **options)
    assert settings.separation_function == Normmax(5.0)
    parameters = hopcore.initial_parameters(settings)
    hopcore.save_layer(tmp_path / "layer", settings, parameters)
    assert hopcore.load_layer(tmp_path / "layer").settings == settings
    x = RNG.normal(size=(2, 7, 6)).astype(np.float32)
    weights = hopcore.layers.hopfield_weights(settings, parameters, x)
    np.testing.assert_allclose(weights.sum(-1), 1.0, rtol=1e-5)
    assert np.any(weights == 0.0)


def test_a_beta_is_suggested_for_the_margin() -> None:
    found = hopcore.suggest_beta(np.eye(4), separation=Normmax(5.0))
    assert found.error == 0.0
    assert found.beta == pytest.approx(2.0)  # half of the separation, 1, is the margin
    others = hopcore.suggest_beta(np.eye(4), separation="sparsemax")
    assert others.beta == found.beta


def test_a_capacity_is_guaranteed_by_the_margin() -> None:
    stored = RNG.choice([-1.0, 1.0], size=(20, 64))
    found = hopcore.phase.capacity(stored, 0.2, noise=0.1, separation=Normmax(2.0))
    assert 0.0 < found.guaranteed <= found.measured


def test_a_convex_memory_has_the_same_update() -> None:
    memory = ConvexMemory(FenchelYoung(2.0, Normmax(2.0)))
    wanted = hopcore.update(STATE, STORED, 2.0, separation=Normmax(2.0))
    np.testing.assert_allclose(memory.update(STATE, STORED), wanted, rtol=1e-14)
    shift = memory.energy(STATE, STORED) - hopcore.energy(STATE, STORED, 2.0, separation=Normmax(2))
    np.testing.assert_allclose(shift, shift[0], rtol=1e-12)
    with pytest.raises(TypeError, match=r"^separation must be the softmax, an entmax or a normmax"):
        FenchelYoung(2.0, hopcore.KSubsets(2))
