"""Hopfield network layers on NumPy: examples by hand, chance, and bad input."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.layers import HNLSettings, HNMSettings, hnl, hnm, straight_through

SETTINGS = HNLSettings(input_size=4, output_size=3, quantity=5, num_heads=2, hidden_size=3)
PARAMETERS = hopcore.initial_parameters(SETTINGS, dtype="float64")
X = np.random.default_rng(0).normal(size=(6, 4))


def transparent() -> tuple[HNLSettings, dict[str, Any]]:
    """One head that compares features with a memory of three as they are, and names them."""
    settings = HNLSettings(input_size=3, quantity=3, num_heads=1, hidden_size=3)
    memory = np.asarray([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0], [1.0, -1.0, 0.0]])
    eye = np.eye(3)
    return settings, {
        "lookup_weights": memory[None],
        "target_weights": 10.0 * eye[None],
        "hopfield.association_core.in_proj_weight": np.concatenate([eye, eye, eye]),
        "hopfield.association_core.in_proj_bias": np.zeros(9),
        "hopfield.association_core.out_proj.weight": eye,
        "hopfield.association_core.out_proj.bias": np.zeros(3),
    }


def test_a_memory_by_hand() -> None:
    settings, parameters = transparent()
    # The correlations of the first pattern with the three are 1, 1/2 and 1/2.
    first = parameters["lookup_weights"][0, :1]
    soft = hnl(settings, parameters, first, temperature=0.5)
    weights = np.exp([2.0, 1.0, 1.0]) / np.sum(np.exp([2.0, 1.0, 1.0]))
    np.testing.assert_allclose(soft, 10.0 * weights[None], rtol=1e-4)
    hard = hnl(settings, parameters, first, temperature=0.5, hard=True)
    np.testing.assert_array_equal(hard, [[10.0, 0.0, 0.0]])


def test_scores_do_not_see_sizes() -> None:
    settings, parameters = transparent()
    x = parameters["lookup_weights"][0]
    wanted = hnl(settings, parameters, x, temperature=0.3)
    for change in (100.0 * x, x + 7.0, 3.0 * x - 2.0):
        found = hnl(settings, parameters, change, temperature=0.3)
        np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_a_cold_memory_is_a_hard_one() -> None:
    hard = hnl(SETTINGS, PARAMETERS, X, hard=True)
    gaps = [
        np.max(np.abs(hard - hnl(SETTINGS, PARAMETERS, X, temperature=T)))
        for T in (10.0, 0.1, 1e-3, 1e-8)
    ]
    assert gaps[-1] < 1e-12
    assert gaps[0] > 0.1
    assert sorted(gaps, reverse=True) == gaps


def test_the_temperature_of_the_settings() -> None:
    wanted = hnl(SETTINGS, PARAMETERS, X, temperature=SETTINGS.temperature)
    np.testing.assert_array_equal(hnl(SETTINGS, PARAMETERS, X), wanted)
    for same in (np.asarray(0.1), np.float64(0.1)):
        np.testing.assert_array_equal(hnl(SETTINGS, PARAMETERS, X, temperature=same), wanted)


def test_hard_drops_what_was_dropped() -> None:
    settings, parameters = transparent()
    first = parameters["lookup_weights"][0, :1]
    kept = np.asarray([0.0, 1.0, 1.0])
    found = hnl(settings, parameters, first, hard=True, drop=lambda w: w * kept)
    assert found[0, 0] == 0.0
    assert found.sum() == 10.0
    nothing = hnl(settings, parameters, first, hard=True, drop=lambda w: 0.0 * w)
    np.testing.assert_array_equal(nothing, [[0.0, 0.0, 0.0]])


def test_gumbel_noise_chooses_by_the_weights() -> None:
    settings, parameters = transparent()
    state = np.broadcast_to(parameters["lookup_weights"][0, :1], (20_000, 1, 3))
    rng = np.random.default_rng(0)
    found = hnl(
        settings, parameters, state, temperature=0.5, hard=True,
        noise=lambda shape, like: rng.gumbel(size=shape).astype(like.dtype),
    )  # fmt: skip
    share = np.mean(found[:, 0] > 5.0, axis=0)
    wanted = hnl(settings, parameters, state[0], temperature=0.5)[0] / 10.0
    # Five standard deviations of a share.
    assert np.all(np.abs(share - wanted) < 5.0 * np.sqrt(wanted * (1.0 - wanted) / 20_000))


def test_straight_through_by_hand() -> None:
    weights = np.asarray([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    wanted = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    np.testing.assert_array_equal(straight_through(weights), wanted)


def test_the_gradient_goes_straight_through() -> None:
    torch = pytest.importorskip("torch")
    scores = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    (straight_through(torch.softmax(scores, 0)) @ value).backward()
    weights = torch.softmax(scores.detach(), 0)
    wanted = weights * (value - weights @ value)
    torch.testing.assert_close(scores.grad, wanted)


def test_features_keep_their_size_through_a_stack() -> None:
    settings = HNMSettings(input_size=64, output_size=64, widths=(64, 64, 64))
    parameters = hopcore.initial_parameters(settings)
    x = np.random.default_rng(0).normal(size=(200, 64)).astype(np.float32)
    for temperature in (0.1, 0.01):
        spread = np.std(hnm(settings, parameters, x, temperature=temperature))
        assert 0.3 < spread < 3.0


def test_settings_survive_json() -> None:
    for one in (SETTINGS, HNMSettings(input_size=4, output_size=3, widths=(5, 6))):
        again = type(one).from_dict(json.loads(json.dumps(one.to_dict())))
        assert again == one
        assert hopcore.layers.parameter_shapes(again) == hopcore.layers.parameter_shapes(one)


def test_a_temperature_is_no_cause_to_compile_again() -> None:
    jax = pytest.importorskip("jax")
    traces = []

    @jax.jit
    def call(parameters: Any, x: Any, temperature: Any) -> Any:
        traces.append(1)
        return hnl(SETTINGS, parameters, x, temperature=temperature)

    parameters = hopcore.initial_parameters(SETTINGS, backend="jax")
    x = jax.numpy.asarray(X.astype(np.float32))
    found = [call(parameters, x, T) for T in (0.1, 0.05, 1e-3)]
    assert len(traces) == 1
    wanted = hnl(SETTINGS, parameters, x, temperature=1e-3)
    np.testing.assert_allclose(found[-1], wanted, rtol=1e-4, atol=1e-5)


def test_a_stack_under_autocast() -> None:
    torch = pytest.importorskip("torch")
    settings = HNMSettings(input_size=4, output_size=3, widths=(5,))
    parameters = hopcore.initial_parameters(settings, backend="torch")
    x = torch.asarray(X, dtype=torch.float32)
    wanted = hnm(settings, parameters, x, temperature=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = hnm(settings, parameters, x, temperature=1.0)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)


def layer(temperature: Any, x: Any = X, **options: Any) -> Any:
    return hnl(SETTINGS, PARAMETERS, x, temperature=temperature, **options)


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: layer(0.0), ValueError, "temperature must be positive and finite, got 0.0"),
    (lambda: layer(-1), ValueError, "temperature must be positive and finite, got -1"),
    (lambda: layer(math.nan), ValueError, "temperature must be positive and finite, got nan"),
    (lambda: layer(math.inf), ValueError, "temperature must be positive and finite, got inf"),
    (lambda: layer(np.asarray(-0.5)), ValueError, "temperature must be positive .* got -0.5"),
    (lambda: layer(np.asarray([0.1, 0.2])), ValueError, r"one number, got shape \(2,\)"),
    (lambda: layer("cold"), TypeError, "temperature must be an array .* got str"),
    (lambda: layer(True), TypeError, "temperature must be a positive number, got a bool"),
    (lambda: layer(0.1, X[:, :3]), ValueError, "4"),
    (lambda: layer(0.1, X[0]), ValueError, r"\(4,\)"),
    (lambda: layer(0.1, X.astype(int)), TypeError, "state must be real floating"),
    (lambda: layer(0.1, X.astype(np.float32)), TypeError,
     "state and lookup_weights must share one dtype, got float32 and float64"),
    (lambda: layer(0.1, noise=lambda shape, like: np.zeros((2, 2))), ValueError, r"\(2, 2\)"),
    (lambda: HNLSettings(input_size=4, temperature=0.0), ValueError, "must be positive and finite"),
    (lambda: HNLSettings(input_size=4, hidden_size=1), ValueError, "hidden_size must be >= 2"),
    (lambda: HNLSettings(input_size=4, quantity=0), ValueError, "quantity"),
    (lambda: HNLSettings(input_size=4, num_heads=0), ValueError, "num_heads"),
    (lambda: HNLSettings(input_size=4, separation="hard"), ValueError, "'hard'"),
    (lambda: HNLSettings(input_size=4, dropout=1.0), ValueError, "dropout"),
    (lambda: HNMSettings(input_size=4, output_size=3, widths=(0,)), ValueError,
     "widths must be >= 1, got 0"),
    (lambda: HNLSettings.from_dict({"input_size": 4, "heat": 1.0}), ValueError, "heat"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_bad_input_gets_one_line(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_temperature_of_another_library() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="one library, got numpy and torch"):
        layer(torch.tensor(0.1))
