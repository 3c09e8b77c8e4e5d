"""Vector quantisers on NumPy: examples by hand, chance, training, and bad input."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.layers import QuantizerSettings, quantize

CORNERS = {"codebook": np.asarray([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])}
PLANE = QuantizerSettings(input_size=2, quantity=4)


def test_the_corners_of_a_square() -> None:
    points = np.asarray([[0.1, 0.2], [0.9, 0.3], [0.4, 0.8], [2.0, 2.0]])
    found = quantize(PLANE, CORNERS, points, hard=True)
    np.testing.assert_array_equal(found.codes, [[0], [1], [2], [3]])
    np.testing.assert_allclose(found.values, [[0, 0], [1, 0], [0, 1], [1, 1]], atol=1e-15)
    square = np.mean([0.01, 0.04, 0.01, 0.09, 0.16, 0.04, 1.0, 1.0])
    assert found.commitment == pytest.approx(1.25 * square)


def test_the_middle_of_a_square() -> None:
    found = quantize(PLANE, CORNERS, np.asarray([[0.5, 0.5]]), temperature=0.1)
    np.testing.assert_allclose(found.weights, np.full((1, 1, 4), 0.25))
    np.testing.assert_allclose(found.values, [[0.5, 0.5]])
    assert found.divergence == pytest.approx(math.log(4.0))
    # Of equals the first.
    np.testing.assert_array_equal(found.codes, [[0]])


def test_soft_weights_by_hand() -> None:
    found = quantize(PLANE, CORNERS, np.asarray([[0.25, 0.0]]), temperature=0.5)
    squares = np.asarray([0.0625, 0.5625, 1.0625, 1.5625])
    weights = np.exp(-squares / 0.5) / np.sum(np.exp(-squares / 0.5))
    np.testing.assert_allclose(found.weights[0, 0], weights)
    assert found.divergence == pytest.approx(-math.log(weights[0]))


def test_groups_have_codebooks_of_their_own() -> None:
    settings = QuantizerSettings(input_size=4, groups=2, quantity=2)
    codebook = np.asarray([[[0.0, 0.0], [1.0, 1.0]], [[5.0, 5.0], [9.0, 9.0]]])
    x = np.asarray([[0.9, 0.9, 0.9, 0.9]])
    found = quantize(settings, {"codebook": codebook}, x, hard=True)
    np.testing.assert_array_equal(found.codes, [[1, 0]])
    np.testing.assert_allclose(found.values, [[1.0, 1.0, 5.0, 5.0]])


def test_axes_before_the_features() -> None:
    points = np.random.default_rng(0).normal(size=(3, 5, 2))
    found = quantize(PLANE, CORNERS, points)
    assert found.values.shape == (3, 5, 2)
    assert found.codes.shape == (3, 5, 1)
    alone = quantize(PLANE, CORNERS, points[1, 2])
    np.testing.assert_allclose(found.values[1, 2], alone.values, rtol=1e-12)
    assert alone.codes.shape == (1,)


def test_far_from_all_codes() -> None:
    # A square distance of 1e8 at a temperature of 1e-6 is no cause for nan.
    found = quantize(PLANE, CORNERS, np.asarray([[1e4, 1e4]]), temperature=1e-6)
    np.testing.assert_array_equal(found.weights[0, 0], [0.0, 0.0, 0.0, 1.0])
    assert found.divergence == 0.0


def test_gumbel_noise_chooses_by_the_weights() -> None:
    points = np.broadcast_to([0.3, 0.1], (20_000, 2))
    rng = np.random.default_rng(0)
    found = quantize(
        PLANE, CORNERS, points, temperature=0.5, hard=True,
        noise=lambda shape, like: rng.gumbel(size=shape),
    )  # fmt: skip
    share = np.mean(found.codes[:, 0, None] == np.arange(4), axis=0)
    wanted = quantize(PLANE, CORNERS, points[:1], temperature=0.5).weights[0, 0]
    assert np.all(np.abs(share - wanted) < 5.0 * np.sqrt(wanted * (1.0 - wanted) / 20_000))


def test_a_codebook_learns_from_the_commitment() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    centres = np.asarray([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    points = centres[rng.integers(4, size=400)] + 0.1 * rng.normal(size=(400, 2))
    features = torch.asarray(points)
    codebook = torch.asarray(0.5 * centres[None] + 1.0).requires_grad_()
    optimiser = torch.optim.SGD([codebook], lr=2.0)
    for _ in range(30):
        optimiser.zero_grad()
        quantize(PLANE, {"codebook": codebook}, features, hard=True).commitment.backward()
        optimiser.step()
    np.testing.assert_allclose(codebook.detach().numpy()[0], centres, atol=0.05)


def test_settings_survive_json() -> None:
    settings = QuantizerSettings(input_size=6, groups=3, quantity=5, temperature=0.3)
    again = QuantizerSettings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert hopcore.layers.parameter_shapes(again) == {"codebook": (3, 5, 2)}


POINT = np.asarray([[0.1, 0.2]])

BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: quantize(PLANE, CORNERS, POINT, temperature=0.0), ValueError,
     "temperature must be positive and finite, got 0.0"),
    (lambda: quantize(PLANE, CORNERS, POINT, temperature=math.nan), ValueError, "got nan"),
    (lambda: quantize(PLANE, CORNERS, POINT, temperature=np.asarray(-2.0)), ValueError, "got -2.0"),
    (lambda: quantize(PLANE, CORNERS, POINT, temperature=np.ones(3)), ValueError,
     r"one number, got shape \(3,\)"),
    (lambda: quantize(PLANE, CORNERS, np.ones((2, 3))), ValueError,
     r"features must be \(..., 2\), as input_size, got \(2, 3\)"),
    (lambda: quantize(PLANE, CORNERS, np.asarray(1.0)), ValueError, r"got \(\)"),
    (lambda: quantize(PLANE, CORNERS, np.ones((2, 2), dtype=int)), TypeError,
     "features must be real floating"),
    (lambda: quantize(PLANE, CORNERS, np.ones((2, 2), dtype=np.float32)), TypeError,
     "one dtype, got float32 and float64"),
    (lambda: quantize(PLANE, CORNERS, [[0.1, 0.2]]), TypeError, "features must be an array"),
    (lambda: QuantizerSettings(input_size=5, groups=2), ValueError,
     "input_size must be a multiple of groups, got 5 and 2"),
    (lambda: QuantizerSettings(input_size=4, quantity=0), ValueError, "quantity must be >= 1"),
    (lambda: QuantizerSettings(input_size=4, temperature=-1.0), ValueError,
     "temperature must be positive and finite, got -1.0"),
    (lambda: QuantizerSettings(input_size=4, commitment=-0.1), ValueError,
     "commitment must be >= 0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_bad_input_gets_one_line(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def halves(name: str) -> Any:
    """Features and a codebook of torch in a dtype, of values in the thousands."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    dtype = getattr(torch, name)
    codebook = torch.tensor(300.0 * rng.normal(size=(2, 16, 2)), dtype=dtype, requires_grad=True)
    features = torch.tensor(900.0 * rng.normal(size=(50, 4)), dtype=dtype, requires_grad=True)
    return codebook, features


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_hard_values_are_codes_to_the_last_digit(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    settings = QuantizerSettings(input_size=4, quantity=16, groups=2)
    codebook, features = halves(dtype)
    found = quantize(settings, {"codebook": codebook}, features, hard=True)
    exact = torch.stack([codebook[g][found.codes[:, g]] for g in range(2)], 1).reshape(50, 4)
    assert torch.equal(found.values, exact)
    by_features, by_codes = torch.autograd.grad(
        found.values.sum(), (features, codebook), allow_unused=True
    )
    assert torch.equal(by_features, torch.ones_like(features))
    assert by_codes is None or not by_codes.any()


def test_hard_values_of_numpy_are_codes_to_the_last_digit() -> None:
    rng = np.random.default_rng(0)
    settings = QuantizerSettings(input_size=4, quantity=16, groups=2)
    codebook, features = rng.normal(size=(2, 16, 2)), 3.0 * rng.normal(size=(50, 4))
    found = quantize(settings, {"codebook": codebook}, features, hard=True)
    exact = np.stack([codebook[g][found.codes[:, g]] for g in range(2)], 1).reshape(50, 4)
    np.testing.assert_array_equal(found.values, exact)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_losses_of_half_precision_are_float32(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    settings = QuantizerSettings(input_size=4, quantity=16, groups=2)
    codebook, features = halves(dtype)
    found = quantize(settings, {"codebook": codebook}, features, hard=True)
    assert found.commitment.dtype == found.divergence.dtype == torch.float32
    nearest = found.values.detach().double()
    wanted = (1.0 + settings.commitment) * ((nearest - features.detach().double()) ** 2).mean()
    assert found.commitment.detach().item() == pytest.approx(
        float(wanted), rel=1e-6
    )  # 4e5, above 65504
    found.commitment.backward()
    assert torch.isfinite(codebook.grad).all()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("hard", [False, True])
def test_no_samples_cost_nothing(hard: bool) -> None:
    for shape in ((0, 2), (0, 3, 2), (2, 0, 2)):
        found = quantize(PLANE, CORNERS, np.ones(shape), hard=hard)
        assert found.values.shape == shape
        assert found.codes.shape == (*shape[:-1], 1)
        assert (found.commitment, found.divergence) == (0.0, 0.0)
