"""Layers as functions on NumPy: examples by hand, known special cases, bad input."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import DiffusionConfig, HopfieldSettings
from hopcore.layers import DecoderSettings, EncoderSettings, LookupSettings, PoolingSettings

STATIC = {
    "stored_pattern_as_static": True,
    "state_pattern_as_static": True,
    "pattern_projection_as_static": True,
    "disable_out_projection": True,
    "normalize_stored_pattern": False,
    "normalize_state_pattern": False,
    "normalize_pattern_projection": False,
}
RNG = np.random.default_rng(0)
STORED, STATE, VALUES = (RNG.normal(size=shape) for shape in [(2, 5, 6), (2, 3, 6), (2, 5, 6)])
SETTINGS = HopfieldSettings(input_size=6, num_heads=2)
PARAMETERS = hopcore.initial_parameters(SETTINGS, dtype="float64")


def test_a_static_layer_is_the_association() -> None:
    settings = HopfieldSettings(**STATIC, scaling=2.0)
    assert hopcore.layers.parameter_shapes(settings) == {}
    got = hopcore.hopfield(settings, {}, STORED, STATE, VALUES)
    wanted = hopcore.association(STATE, STORED, VALUES, beta=2.0)
    np.testing.assert_allclose(got, wanted, rtol=1e-13)


def test_a_static_layer_that_rests_is_a_retrieval() -> None:
    settings = HopfieldSettings(
        **STATIC, scaling=2.0, update_steps_max=None, update_steps_eps=1e-12
    )
    at_rest = hopcore.retrieve(STATE, STORED, 2.0, max_steps=1000, tol=1e-12)
    wanted = hopcore.association(at_rest.state, STORED, VALUES, beta=2.0)
    got = hopcore.hopfield(settings, {}, STORED, STATE, VALUES)
    np.testing.assert_allclose(got, wanted, rtol=1e-10)


def test_a_sharp_static_layer_looks_up() -> None:
    keys, names = np.eye(4)[None], np.asarray([[[1.0], [2.0], [3.0], [4.0]]])
    settings = HopfieldSettings(**STATIC, scaling=100.0)
    got = hopcore.hopfield(settings, {}, keys, 0.9 * keys[:, [2, 0]], names)
    np.testing.assert_allclose(got, [[[3.0], [1.0]]], atol=1e-12)


def test_identity_projections_leave_attention() -> None:
    # One head, W = 1, b = 0: attention with 1/sqrt(d), as anyone would write it.
    off = {key: False for key in STATIC if key.startswith("normalize")}
    settings = HopfieldSettings(input_size=6, **off)
    shapes = hopcore.layers.parameter_shapes(settings)
    parameters = {name: np.zeros(shape) for name, shape in shapes.items()}
    parameters["association_core.in_proj_weight"] = np.concatenate([np.eye(6)] * 3)
    parameters["association_core.out_proj.weight"] = np.eye(6)
    got = hopcore.hopfield(settings, parameters, STORED, STATE, VALUES)
    z = STATE @ np.swapaxes(STORED, -1, -2) / np.sqrt(6.0)
    weights = np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)
    np.testing.assert_allclose(got, weights @ VALUES, rtol=1e-12)


def test_the_zero_pattern_takes_what_fits_nothing() -> None:
    settings = HopfieldSettings(**STATIC, scaling=50.0, add_zero_association=True)
    memory = np.eye(3)[None]
    recalled = hopcore.hopfield(settings, {}, memory, np.asarray([[[-1.0, -1.0, -1.0]]]))
    np.testing.assert_allclose(recalled, np.zeros((1, 1, 3)), atol=1e-12)


def test_integers_in_a_mask_are_booleans() -> None:
    mask = np.asarray([[False, True, False, False, True], [True, False, False, False, False]])
    found = [
        hopcore.hopfield(SETTINGS, PARAMETERS, STORED, STATE, VALUES, stored_pattern_padding_mask=m)
        for m in (mask, mask.astype(np.int64), mask.astype(np.uint8))
    ]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_memory_stays_linear_in_length() -> None:
    # No (L, S) array: one would be 800 MB here.
    stored = np.random.default_rng(0).normal(size=(1, 10_000, 6))
    tracemalloc.start()
    hopcore.hopfield(SETTINGS, PARAMETERS, stored)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def test_a_set_of_any_size_is_pooled() -> None:
    settings = PoolingSettings(hopfield=SETTINGS, quantity=3)
    parameters = hopcore.initial_parameters(settings, dtype="float64")
    for count in (1, 4, 9):
        bag = RNG.normal(size=(2, count, 6))
        assert hopcore.layers.hopfield_pooling(settings, parameters, bag).shape == (2, 18)
        # Padded to a common size it gives the same.
        padded = np.concatenate([bag, np.full((2, 2, 6), 1e3)], axis=1)
        mask = np.arange(count + 2) >= count
        got = hopcore.layers.hopfield_pooling(
            settings, parameters, padded, stored_pattern_padding_mask=np.stack([mask, mask])
        )
        wanted = hopcore.layers.hopfield_pooling(settings, parameters, bag)
        np.testing.assert_allclose(got, wanted, rtol=1e-10)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"num_heads": 0}, ValueError, "num_heads must be >= 1, got 0"),
        ({"num_heads": 2.0}, TypeError, "num_heads must be an integer"),
        ({"num_heads": 4}, ValueError, "divisible by num_heads"),
        ({"input_size": None}, ValueError, "input_size"),
        ({"hidden_size": -1}, ValueError, "hidden_size must be >= 1"),
        ({"scaling": 0.0}, ValueError, "scaling must be positive"),
        ({"scaling": (1.0, 1.0, 1.0)}, ValueError, "one value for each of the 2 heads, got 3"),
        ({"update_steps_max": -1}, ValueError, "update_steps_max must be >= 0"),
        ({"update_steps_max": True}, TypeError, "update_steps_max must be an integer"),
        ({"update_steps_eps": float("nan")}, ValueError, "update_steps_eps must be >= 0"),
        ({"dropout": 1.0}, ValueError, "dropout must be a probability"),
        ({"input_bias": 1}, TypeError, "input_bias must be a bool"),
        ({"association_activation": "swish"}, ValueError, "association_activation must be one of"),
        ({"normalize_state_pattern_eps": -1.0}, ValueError, "normalize_state_pattern_eps must be"),
        ({"diffusion": {"eta": 0.1}}, TypeError, "diffusion must be a DiffusionConfig"),
        (
            {"pattern_projection_as_connected": True, "pattern_size": 4},
            ValueError,
            "pattern_size = hidden_size = 3, got 4",
        ),
        (
            {"pattern_projection_as_connected": True, "stored_pattern_size": 4},
            ValueError,
            "size of the stored patterns, 4, got 6",
        ),
        (
            {
                "concat_bias_pattern": True,
                "stored_pattern_as_static": True,
                "pattern_projection_as_static": True,
                "hidden_size": 6,
            },
            ValueError,
            "needs a projected memory",
        ),
        (
            {"diffusion": DiffusionConfig(use_logit_diffusion=True), "update_steps_max": 1},
            ValueError,
            "need update_steps_max=0, got 1",
        ),
        (
            {"diffusion": DiffusionConfig(attention_mode="graph"), "add_zero_association": True},
            ValueError,
            "cannot be combined with concat_bias_pattern or add_zero_association",
        ),
        (
            {"diffusion": DiffusionConfig(attention_mode="graph", adaptive_eta="query")},
            ValueError,
            "give only one of logit diffusion",
        ),
        (
            {"diffusion": DiffusionConfig(energy_stop_tol=0.1, adaptive_eta="query")},
            ValueError,
            "needs energy_stop_tol=0, got 0.1",
        ),
    ],
)
def test_settings_that_make_no_sense(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        HopfieldSettings(**{"input_size": 6, "num_heads": 2, **given})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PoolingSettings(hopfield=SETTINGS, quantity=0), "quantity must be >= 1"),
        (lambda: LookupSettings(hopfield=SETTINGS, quantity=0), "quantity must be >= 1"),
        (lambda: PoolingSettings(hopfield=HopfieldSettings(**STATIC)), "input_size is needed"),
        (lambda: EncoderSettings(hopfield=SETTINGS, activation="swish"), "activation must be one"),
        (lambda: EncoderSettings(hopfield=SETTINGS, dim_feedforward=0), "dim_feedforward"),
        (
            lambda: EncoderSettings(hopfield=HopfieldSettings(input_size=6, output_size=4)),
            "got input_size=6 and output_size=4",
        ),
        (
            lambda: DecoderSettings(hopfield=SETTINGS, cross=HopfieldSettings(input_size=4)),
            "depth of its input",
        ),
    ],
)
def test_composed_settings_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"stored": STORED.tolist()}, TypeError, "stored"),
        ({"stored": STORED.astype(np.int64)}, TypeError, "stored"),
        ({"stored": STORED[0, 0]}, ValueError, r"patterns must be \(\.\.\., L, d\)"),
        ({"stored": STORED[..., :4]}, ValueError, r"stored_pattern must be \(\.\.\., 6\)"),
        ({"state": STATE[..., :4]}, ValueError, r"state_pattern must be .* \(2, 3, 4\)"),
        ({"state": STATE.astype(np.float32)}, TypeError, "float32"),
        ({"projection": VALUES[:, :4]}, ValueError, "one pattern projection for each stored"),
        ({"projection": np.ones((3, 5, 6))}, ValueError, "broadcast"),
        ({"stored": STORED[:, :0], "projection": VALUES[:, :0]}, ValueError, "at least one"),
    ],
)
def test_patterns_that_do_not_fit(
    given: dict[str, Any], error: type[Exception], message: str
) -> None:
    patterns = {"stored": STORED, "state": STATE, "projection": VALUES, **given}
    with pytest.raises(error, match=message) as found:
        hopcore.hopfield(SETTINGS, PARAMETERS, **patterns)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("stored_pattern_padding_mask", (2, 4)),
        ("stored_pattern_padding_mask", (3, 5)),
        ("stored_pattern_padding_mask", (2, 2, 5)),
        ("association_mask", (5,)),
        ("association_mask", (3, 4)),
        ("association_mask", (3, 3, 5)),
        ("association_mask", (2, 3, 3, 5)),
    ],
)
def test_masks_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"{name}.*\({shape[0]},"):
        hopcore.hopfield(
            SETTINGS, PARAMETERS, STORED, STATE, VALUES, **{name: np.zeros(shape, dtype=bool)}
        )


def test_an_array_of_another_library_is_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="one library"):
        hopcore.hopfield(SETTINGS, PARAMETERS, STORED, torch.zeros(2, 3, 6, dtype=torch.float64))
    mask = torch.zeros(2, 5, dtype=torch.bool)
    with pytest.raises(TypeError, match="one library, got numpy and torch"):
        hopcore.hopfield(SETTINGS, PARAMETERS, STORED, stored_pattern_padding_mask=mask)


def test_old_settings_still_read() -> None:
    # Fields that a file does not have keep their default.
    assert HopfieldSettings.from_dict({"input_size": 6, "num_heads": 2}) == SETTINGS
    nested = EncoderSettings.from_dict({"hopfield": {"input_size": 6, "num_heads": 2}})
    assert nested == EncoderSettings(hopfield=SETTINGS)
    with pytest.raises(ValueError, match="no such fields: etaa"):
        HopfieldSettings.from_dict({"input_size": 6, "diffusion": {"etaa": 0.1}})


def test_settings_of_a_module_cannot_be_set():
    torch_layers = pytest.importorskip("hopcore_torch")
    layer = torch_layers.Hopfield(input_size=4, num_heads=2)
    with pytest.raises(AttributeError, match="num_heads is a setting"):
        layer.num_heads = 7
    pooling = torch_layers.HopfieldPooling(input_size=4, num_heads=2)
    pooling.hopfield = torch_layers.Hopfield(input_size=4, num_heads=1)
    assert pooling.num_heads == 1  # what the layer computes with


def test_projections_can_be_written_to_and_share_no_memory_with_the_input():
    static = {f"{name}_as_static": True for name in ("stored_pattern", "state_pattern")}
    bare = {f"normalize_{name}": False for name in ("stored_pattern", "state_pattern")}
    settings = hopcore.HopfieldSettings(
        input_size=3, **static, **bare, pattern_projection_as_static=True,
        normalize_pattern_projection=False, disable_out_projection=True,
    )  # fmt: skip
    given = np.ones((2, 4, 3))
    found = hopcore.layers.hopfield_projections(settings, {}, given)
    found[...] = 7.0
    np.testing.assert_array_equal(given, np.ones((2, 4, 3)))


def test_no_dropout_may_be_written_as_false() -> None:
    assert HopfieldSettings(input_size=6, dropout=False).dropout == 0.0
    assert hopcore.layers.hopfield_settings({"input_size": 6, "dropout": False}).dropout == 0.0
    assert EncoderSettings(hopfield=SETTINGS, dropout=False).dropout == 0.0
    with pytest.raises(TypeError, match="dropout"):
        HopfieldSettings(input_size=6, dropout=True)


def test_a_lookup_recalls_patterns_of_the_depth_of_its_values() -> None:
    inner = HopfieldSettings(input_size=4, stored_pattern_size=6)
    with pytest.raises(ValueError, match="must be equal, got 6 and 4"):
        LookupSettings(hopfield=inner)
    deep = HopfieldSettings(input_size=4, stored_pattern_size=6, pattern_projection_size=6)
    for settings in (
        LookupSettings(hopfield=deep, quantity=3),
        LookupSettings(hopfield=inner, quantity=3, lookup_weights_as_separated=True),
    ):
        parameters = hopcore.initial_parameters(settings)
        got = hopcore.layers.hopfield_lookup(settings, parameters, np.ones((2, 5, 4), np.float32))
        assert got.shape == (2, 5, 4)


def test_a_stack_says_how_deep_its_answer_is() -> None:
    with pytest.raises(TypeError, match="output_size must be an integer, got None"):
        hopcore.layers.HNMSettings(input_size=4, output_size=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e300])
@pytest.mark.parametrize("diffused", [False, True], ids=["plain", "diffused"])
@pytest.mark.parametrize("normalized", [False, True], ids=["as they are", "normalised"])
def test_what_is_not_finite_gives_nan_without_a_warning(
    bad: float, diffused: bool, normalized: bool
) -> None:
    """Layers do not look for it, and torch and JAX do not warn either; other samples are apart."""
    settings = hopcore.HopfieldSettings(
        input_size=4,
        num_heads=2,
        diffusion=hopcore.DiffusionConfig(k_neighbors=1) if diffused else None,
        **{f"normalize_{name}": normalized for name in ("stored_pattern", "state_pattern")},
    )
    parameters = hopcore.initial_parameters(settings, dtype="float64")
    patterns = np.random.default_rng(0).normal(size=(2, 3, 4))
    wanted = hopcore.hopfield(settings, parameters, patterns)
    patterns[1, 1, 2] = bad
    with np.errstate(all="raise"):
        try:
            found = hopcore.hopfield(settings, parameters, patterns)
        except ValueError as error:
            assert diffused
            assert re.search(r"patterns must be finite|too large", str(error))  # noqa: PT017
        else:
            assert bad == 1e300 or not np.all(np.isfinite(found[1]))
            np.testing.assert_allclose(found[0], wanted[0], rtol=1e-9)
