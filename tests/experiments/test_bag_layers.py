"""The layers that bags are classified with: controls and layers of others are what they claim."""

from __future__ import annotations

import numpy as np
import pytest

from hopcore.experiments.data import bags
from hopcore.experiments.mil import layers as of_bags
from hopcore.experiments.mil import tasks
from hopcore.experiments.mil.layers import LAYERS, SPARSE, classifier
from hopcore.experiments.models.bag_classifier import BagClassifier, Bags
from hopcore.experiments.models.bag_layers import DeepSet, LearnedQuery
from hopcore.layers import hopfield_pooling

WIDTH, HEADS = 16, 4


def built(layer):
    return classifier(layer, 3, width=WIDTH, heads=HEADS)


def some_features(seed=0, count=6, instances=9, depth=WIDTH):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, instances, depth)).astype(np.float32)
    padding = np.arange(instances) >= rng.integers(1, instances + 1, count)[:, None]
    return features, padding


def moved(parameters, seed=1, spread=0.5):
    """Parameters far from the start, so that weights differ."""
    rng = np.random.default_rng(seed)
    return {
        name: (value + rng.normal(0.0, spread, value.shape)).astype(np.float32)
        for name, value in parameters.items()
    }


def test_the_control_is_pooling_with_equal_weights():
    """It starts as pooling does, and its answer is the mean of the values, whatever the state."""
    pooling, control = built("pooling"), built("uniform")
    first = pooling.first_parameters(seed=3)
    for name, value in control.first_parameters(seed=3).items():
        np.testing.assert_array_equal(value, first.pop(name))
    assert not first
    parameters = moved(pooling.first_parameters(seed=3))
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(5, 7, 3)).astype(np.float32)
    data = Bags(patterns, np.zeros((5, 7), bool), np.ones(5, np.float32))
    answers = control.outputs(parameters, data)
    other = dict(parameters)
    other["layer.pooling_weights"] = 5.0 - 3.0 * other["layer.pooling_weights"]
    np.testing.assert_array_equal(control.outputs(other, data), answers)
    assert np.abs(pooling.outputs(other, data) - pooling.outputs(parameters, data)).max() > 0.01
    single = [
        control.outputs(parameters, Bags(patterns[:, i : i + 1], data.padding[:, :1], data.target))
        for i in range(7)
    ]
    np.testing.assert_allclose(answers, np.mean(single, axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [8, 32, 64, 128])
def test_layers_that_are_compared_have_as_many_parameters(width):
    sizes = {
        name: sum(
            value.size
            for value in classifier(name, 8, width=width, heads=8).first_parameters(seed=0).values()
        )
        for name in ("pooling", "uniform", "gated", "deep-set", "multihead")
    }
    assert sizes["uniform"] == sizes["pooling"]
    for name in ("gated", "deep-set"):
        assert sizes[name] == pytest.approx(sizes["pooling"], rel=0.03)
    assert sizes["multihead"] == sizes["pooling"] - 6 * width  # without the three normalisations


def test_multihead_is_the_module_of_torch():
    torch = pytest.importorskip("torch")
    layer = LearnedQuery(input_size=WIDTH, num_heads=HEADS)
    parameters = moved(layer.first_parameters(np.random.default_rng(0)))
    features, padding = some_features()
    module = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    module.load_state_dict(
        {
            name.removeprefix("hopfield.association_core."): torch.from_numpy(value)
            for name, value in parameters.items()
            if name != "pooling_weights"
        }
    )
    query = torch.from_numpy(parameters["pooling_weights"]).expand(len(features), -1, -1)
    stored = torch.from_numpy(features)
    with torch.no_grad():
        want = module(query, stored, stored, key_padding_mask=torch.from_numpy(padding))[0][:, 0]
    np.testing.assert_allclose(
        layer.answer(parameters, features, padding, None), want.numpy(), rtol=1e-4, atol=1e-5
    )


def test_multihead_starts_as_the_module_of_torch():
    torch = pytest.importorskip("torch")
    layer = LearnedQuery(input_size=64, num_heads=8)
    first = layer.first_parameters(np.random.default_rng(0))
    for name, value in torch.nn.MultiheadAttention(64, 8).state_dict().items():
        mine = first[f"hopfield.association_core.{name}"]
        assert mine.shape == tuple(value.shape)
        assert mine.std() == pytest.approx(float(value.std()), rel=0.05)
        assert np.abs(mine).max() == pytest.approx(float(value.abs().max()), rel=0.05)


def test_gated_attention_by_hand():
    layer = of_bags.gated(of_bags.HopfieldSettings(input_size=WIDTH, num_heads=HEADS))
    p = moved(layer.first_parameters(np.random.default_rng(0)))
    features, padding = some_features()
    want = []
    for bag, empty in zip(features.astype(np.float64), padding, strict=True):
        here = bag[~empty]
        hidden = np.tanh(here @ p["tanh.weight"].T + p["tanh.bias"])
        hidden /= 1.0 + np.exp(-(here @ p["gate.weight"].T + p["gate.bias"]))
        scores = hidden @ p["score.weight"][0] + p["score.bias"]
        weights = np.exp(scores - scores.max())
        want.append(weights / weights.sum() @ here)
    found = layer.answer(p, features, padding, None)
    np.testing.assert_allclose(found, np.stack(want), rtol=1e-4, atol=1e-5)


def test_a_deep_set_and_the_maximum_by_hand():
    layer = DeepSet(input_size=WIDTH, hidden_size=5)
    p = moved(layer.first_parameters(np.random.default_rng(0)))
    features, padding = some_features()
    sets, most = [], []
    for bag, empty in zip(features, padding, strict=True):
        each = np.maximum(bag[~empty] @ p["each.weight"].T + p["each.bias"], 0.0).mean(axis=0)
        sets.append(np.maximum(each @ p["all.weight"].T + p["all.bias"], 0.0))
        most.append(bag[~empty].max(axis=0))
    np.testing.assert_allclose(
        layer.answer(p, features, padding, None), np.stack(sets), rtol=1e-4, atol=1e-5
    )
    model = of_bags.Maximum(input_size=WIDTH)
    np.testing.assert_array_equal(model.answer({}, features, padding, None), np.stack(most))


@pytest.mark.parametrize("layer", [name for name in LAYERS if name not in SPARSE])
def test_counts_are_repeated_instances(layer):
    model = built(layer)
    parameters = moved(model.first_parameters(seed=0), spread=0.3)
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(4, 3, 3)).astype(np.float32)
    counts = np.asarray([[1, 2, 3], [4, 0, 1], [1, 1, 1], [0, 0, 5]])
    target = np.ones(4, np.float32)
    with np.errstate(divide="ignore"):
        counted = Bags(patterns, np.log(counts).astype(np.float32), target)
    repeated = bags.padded(
        [bag.repeat(count, axis=0) for bag, count in zip(patterns, counts, strict=True)], target
    )
    np.testing.assert_allclose(
        model.outputs(parameters, counted), model.outputs(parameters, repeated),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip


def test_a_layer_must_fit_the_embedding():
    with pytest.raises(ValueError, match="input_size=8, as the last embedding, got 5"):
        BagClassifier(input_size=3, embedding=(8,), layer=of_bags.Maximum(input_size=5))
    with pytest.raises(ValueError, match="unknown layer 'average'; known: mean, uniform"):
        classifier("average", 3, width=8, heads=2)


# Tasks.


def test_large_bags_are_held_as_counts():
    found = bags.bit_patterns(np.random.default_rng(0), bags=40, instances=100, bits=4, signals=2)
    counts = np.exp(found.padding)
    assert found.patterns.shape == (40, 16, 4)
    np.testing.assert_allclose(counts.sum(axis=1), 100.0, rtol=1e-5)
    held = counts[found.target == 1].sum(axis=0) > 0
    signals = held & (counts[found.target == 0].sum(axis=0) == 0)
    assert signals.sum() == 2
    np.testing.assert_allclose(counts[:, signals].sum(axis=1), found.target, atol=1e-5)


def test_noise_is_added_to_the_same_bags():
    plain, noisy = (
        bags.bit_patterns(np.random.default_rng(0), bags=50, noise=noise) for noise in (0.0, 0.5)
    )
    np.testing.assert_array_equal(plain.target, noisy.target)
    added = noisy.patterns - plain.patterns
    assert added.std() == pytest.approx(0.5, rel=0.03)
    assert added.mean() == pytest.approx(0.0, abs=0.02)


def test_the_first_of_two_symbols_is_the_target_and_the_mean_says_nothing():
    found = bags.ordered_sequences(
        np.random.default_rng(0), sequences=400, length=12, repeats=3, symbols=5
    )
    symbols = found.patterns[..., :5].argmax(axis=-1)
    for row, target in zip(symbols, found.target, strict=True):
        assert row[row < 2][0] == target
        assert (row == 0).sum() == (row == 1).sum() == 3
    assert set(symbols.ravel()) == set(range(5))
    mean = found.patterns.mean(axis=1)
    np.testing.assert_allclose(mean[:, :2], 0.25, rtol=1e-6)
    np.testing.assert_allclose(mean[:, 5:], np.tile(mean[0, 5:], (400, 1)), atol=1e-6)
    later = symbols[:, 6:]
    share = [(later[found.target == t] == 0).sum() for t in (0, 1)]
    assert min(share) > 0  # both occur in the second half, whatever the target
    with pytest.raises(ValueError, match="length >= 2 repeats, got 2048, 4, 6 and 7"):
        bags.ordered_sequences(np.random.default_rng(0), length=7)
    with pytest.raises(ValueError, match="depth must be an even number >= 2, got 3"):
        bags.ordered_sequences(np.random.default_rng(0), depth=3)


def test_places_differ():
    found = bags.ordered_sequences(np.random.default_rng(0), sequences=1, length=100)
    where = found.patterns[0, :, 6:]
    distance = np.linalg.norm(where[:, None] - where[None], axis=-1) + 9.0 * np.eye(100)
    assert distance.min() > 0.1


def numbered(images=200):
    from hopcore import datasets

    pixels = np.stack([np.arange(images), np.arange(images) % 10], axis=1).astype(np.float64)
    return datasets.Images(pixels, (1, 2), np.arange(images) % 10)


@pytest.mark.parametrize("least", [1, 3])
def test_bags_with_at_least_so_many_images_of_a_digit_are_positive(least):
    found = bags.digit_bags(
        np.random.default_rng(0), numbered(), bags=200, digit=7, length=12, deviation=2, least=least
    )
    counts = ((found.patterns[..., 1] == 7) & ~found.padding).sum(axis=1)
    np.testing.assert_array_equal(found.target, counts >= least)
    assert set(counts) == set(range(2 * least))
    for options, message in (
        ({"least": 0}, "least must be >= 1, got 0"),
        ({"least": 2, "witnesses": 1}, "got both, 1 and 2"),
    ):
        with pytest.raises(ValueError, match=message):
            bags.digit_bags(np.random.default_rng(0), numbered(), bags=4, **options)


def test_bags_hold_as_many_witnesses_as_asked_for():
    found = bags.digit_bags(
        np.random.default_rng(0), numbered(), bags=60, digit=7, length=40, deviation=8, witnesses=2
    )
    held = ((found.patterns[..., 1] == 7) & ~found.padding).sum(axis=1)
    np.testing.assert_array_equal(held, 2 * found.target)
    with pytest.raises(ValueError, match="witnesses must be >= 1, got 0"):
        bags.digit_bags(np.random.default_rng(0), numbered(), bags=4, witnesses=0)


def same(one, other):
    assert one.keys() == other.keys()
    for name, mine in one.items():
        for x, y in zip(mine, other[name], strict=True):
            np.testing.assert_array_equal(x, y)


def drawn(splits, wanted, seed=4):
    """The bags of the split whose only test set has this name."""
    (split,) = [split for split in splits(seed) if set(split.tests) == {wanted}]
    return {"train": split.train, "validation": split.validation, "test": split.tests[wanted]}


ALONE_AND_AMONG_OTHERS = {
    "bags of bit patterns": (
        tasks.bit_patterns([8]), tasks.bit_patterns([4, 8, 20]), "8"
    ),
    "sizes of bit patterns": (
        tasks.bit_patterns([8], [300]), tasks.bit_patterns([8], [4, 300, 16]), "300"
    ),
    "noise": (
        tasks.bit_patterns([8], [4], [0.5]), tasks.bit_patterns([8], [4], [0.0, 0.5, 1.0]), "0.5"
    ),
    "latch": (tasks.latch_sequences([7]), tasks.latch_sequences([5, 7, 9]), "7"),
    "order": (tasks.latch_sequences([9], 2), tasks.latch_sequences([5, 9], 2), "9"),
    "bags of digits": (
        tasks.digit_bags(numbered(), [8]), tasks.digit_bags(numbered(), [4, 8, 20]), "8"
    ),
    "sizes of bags of digits": (
        tasks.digit_bags(numbered(), [8], 9, [12]),
        tasks.digit_bags(numbered(), [8], 9, [10, 12, 6]), "12",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ALONE_AND_AMONG_OTHERS)
def test_draws_of_a_setting_do_not_depend_on_the_others(what):
    alone, among, name = ALONE_AND_AMONG_OTHERS[what]
    single = alone(4)
    (split,) = single
    only = {
        "train": split.train,
        "validation": split.validation,
        "test": next(iter(split.tests.values())),
    }
    same(only, drawn(among, name))


@pytest.mark.parametrize(
    ("one", "transfer"),
    [
        (tasks.bit_patterns([8], [16]), tasks.bit_patterns([8], [16, 300], transfer=True)),
        (
            tasks.digit_bags(numbered(), [8], 9, [10], 1),
            tasks.digit_bags(numbered(), [8], 9, [10, 30], 1, transfer=True),
        ),
    ],
)
def test_a_transfer_trains_with_the_first_setting_and_tests_with_all(one, transfer):
    (single,), (split,) = one(2), transfer(2)
    same({"a": single.train, "b": single.validation}, {"a": split.train, "b": split.validation})
    first, second = split.tests.values()
    same({"a": next(iter(single.tests.values()))}, {"a": first})
    assert len(first.target) == len(second.target)
    assert first.patterns.shape[1] < second.patterns.shape[1]


def test_signals_are_the_same_in_bags_of_every_size():
    (split,) = tasks.bit_patterns([1536], [16, 300], transfer=True)(0)
    small, large = split.tests.values()
    codes = (small.patterns > 0) @ (1 << np.arange(8))
    positive = small.target == 1
    only = set(codes[positive].ravel()) - set(codes[~positive].ravel())
    counts = np.exp(large.padding)
    never = set(np.flatnonzero(counts[large.target == 0].sum(axis=0) == 0))
    assert never == only & never
    assert len(never) == 8


def test_pooling_without_normalisation_is_multihead():
    layer = LearnedQuery(input_size=WIDTH, num_heads=HEADS)
    parameters = moved(layer.first_parameters(np.random.default_rng(0)))
    features, padding = some_features()
    want = hopfield_pooling(
        layer.pooling, parameters, features, stored_pattern_padding_mask=padding
    )
    np.testing.assert_array_equal(layer.answer(parameters, features, padding, None), want)
