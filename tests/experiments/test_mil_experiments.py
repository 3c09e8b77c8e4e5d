"""Training, bags and their studies: nothing leaks, both libraries agree, pages say what was run."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from libraries import libraries, needs
from sklearn.metrics import roc_auc_score

import hopcore
from hopcore import datasets
from hopcore.__main__ import main
from hopcore.experiments.data import bag_files, bags
from hopcore.experiments.mil import report as mil_report
from hopcore.experiments.mil import studies, tasks
from hopcore.experiments.mil import trials as mil
from hopcore.experiments.mil.layers import LAYERS
from hopcore.experiments.mil.trials import Fitting, Split, Trial
from hopcore.experiments.models.bag_classifier import BagClassifier, Bags
from hopcore.files._csv import from_csv, to_csv
from hopcore.layers import _losses as losses
from hopcore.training import _trainer as training

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SMALL = Fitting(width=16, heads=2, epochs=2)


class Data(NamedTuple):
    x: np.ndarray
    y: np.ndarray


def some_bags(seed=0, count=24, instances=5, depth=3):
    """Bags of different sizes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, instances + 1, count)
    sizes[0] = instances
    found = [rng.normal(size=(size, depth)) for size in sizes]
    return bags.padded(found, np.arange(count) % 2)


def trained(backend, model, data, steps=3, **options):
    trainer = training.trainer(backend, model, model.first_parameters(seed=0), **options)
    return trainer, [float(trainer.step(data).loss) for _ in range(steps)]


# Training.


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10, 99])
def test_batches_hold_every_sample_once(size):
    data = Data(np.arange(10), np.arange(10) ** 2)
    found = list(training.batches(data, size, np.random.default_rng(0)))
    assert sorted(np.concatenate([batch.x for batch in found])) == list(range(10))
    assert all((batch.y == batch.x**2).all() for batch in found)
    sizes = {len(batch.x) for batch in found}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1
    in_order = np.concatenate([batch.x for batch in training.batches(data, size)])
    np.testing.assert_array_equal(in_order, data.x)


@pytest.mark.parametrize("size", [0, -1])
def test_batches_refuse(size):
    with pytest.raises(ValueError, match="samples and a size >= 1"):
        next(training.batches(Data(np.arange(3), np.arange(3)), size))
    with pytest.raises(ValueError, match="samples and a size >= 1, got 0 and 4"):
        next(training.batches(Data(np.arange(0), np.arange(0)), 4))


def test_auc_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for ties in (3, 10**6):
        scores, target = rng.integers(0, ties, 50), rng.integers(0, 2, 50)
        assert training.auc(scores, target) == pytest.approx(roc_auc_score(target, scores))
    with pytest.raises(ValueError, match="needs both targets, got 3 positive and 0 negative"):
        training.auc(np.arange(3), np.ones(3))


def test_logistic_loss_far_out_and_its_gradient_at_zero():
    z = np.asarray([-1e4, -2.0, 0.0, 2.0, 1e4])
    y = np.asarray([1.0, 0.0, 1.0, 0.25, 1.0])
    with np.errstate(over="ignore"):
        mid = np.log1p(np.exp(z[1:4])) - y[1:4] * z[1:4]
    want = (1e4 + mid.sum() + 0.0) / 5
    assert losses.logistic_loss(z, y) == pytest.approx(want)
    with pytest.raises(ValueError, match=r"one shape, got \(5,\) and \(5, 1\)"):
        losses.logistic_loss(z, y[:, None])
    torch = pytest.importorskip("torch")
    zero = torch.zeros(1, requires_grad=True)
    losses.logistic_loss(zero, torch.ones(1)).backward()
    assert float(zero.grad) == -0.5


class Unstable:
    """A trainer whose loss is lost in its second epoch."""

    count = 0

    def step(self, batch):
        self.count += 1
        return training.Step(np.float32(1.0 if self.count < 3 else np.nan), None, None)


def test_an_epoch_is_the_mean_over_samples_and_a_lost_loss_is_reported():
    data = Data(np.arange(3), np.arange(3))
    losses = training.train(Unstable(), data, epochs=5, batch_size=2, rng=np.random.default_rng(0))
    assert next(losses) == 1.0
    with pytest.raises(ValueError, match="the loss is nan in epoch 2"):
        next(losses)


def test_who_does_not_train(monkeypatch):
    for name in ("numpy", "torch.nn", ""):
        with pytest.raises(ValueError, match=f"nothing trains on '{name}'; torch and jax do"):
            training.trainer(name, None, {})
    with pytest.raises(ValueError, match="learning_rate must be >= 0 and finite, got nan"):
        training.trainer("torch", None, {}, learning_rate=float("nan"))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "hopcore_torch.training", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hopcore\[torch\]'"):
        training.trainer("torch", None, {})


# The classifier.


@pytest.mark.parametrize("layer", LAYERS)
def test_padding_and_order_do_not_matter(layer):
    model = SMALL.classifier(layer, 3)
    rng = np.random.default_rng(2)
    parameters = {  # larger than at the start, so that the association is far from even
        name: value + rng.normal(0.0, 0.3, value.shape).astype(np.float32)
        for name, value in model.first_parameters(seed=0).items()
    }
    data = some_bags()
    plain = model.outputs(parameters, data)
    assert np.ptp(plain) > 0.1
    garbage = np.where(data.padding[..., None], np.float32(7.0), data.patterns)
    more = Bags(
        np.concatenate([garbage, np.full((24, 2, 3), 9.0, np.float32)], axis=1),
        np.concatenate([data.padding, np.ones((24, 2), bool)], axis=1),
        data.target,
    )
    order = np.random.default_rng(1).permutation(7)
    mixed = Bags(more.patterns[:, order], more.padding[:, order], more.target)
    for other in (more, mixed):
        np.testing.assert_allclose(model.outputs(parameters, other), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"disable_out_projection": True}, {"output_size": 5}])
def test_the_answer_is_as_deep_as_the_layer_makes_it(options):
    inner = hopcore.HopfieldSettings(input_size=8, hidden_size=3, num_heads=2, **options)
    pooling = hopcore.layers.PoolingSettings(hopfield=inner, quantity=3)
    for layer in (inner, pooling, hopcore.layers.LookupSettings(hopfield=inner, quantity=4)):
        model = BagClassifier(input_size=3, embedding=(4, 8), layer=layer)
        assert model.outputs(model.first_parameters(seed=0), some_bags()).shape == (24,)


def test_a_classifier_refuses():
    inner = hopcore.HopfieldSettings(input_size=8)
    with pytest.raises(ValueError, match="input_size=16, as the last embedding"):
        BagClassifier(input_size=3, embedding=(16,), layer=inner)
    with pytest.raises(ValueError, match=r"one or more sizes >= 1, got \(\)"):
        BagClassifier(input_size=3, embedding=(), layer=None)
    fixed = hopcore.layers.PoolingSettings(hopfield=inner, trainable=False)
    with pytest.raises(ValueError, match="all parameters are trained, got pooling_weights"):
        BagClassifier(input_size=3, embedding=(8,), layer=fixed)


# Trainers.


@pytest.mark.parametrize("backend", libraries())
def test_a_trainer(backend):
    """It starts at NumPy's values, learns, and leaves what it was given alone."""
    model, data = SMALL.classifier("pooling", 3), some_bags()
    first = model.first_parameters(seed=0)
    trainer = training.trainer(backend, model, first, learning_rate=1e-2)
    np.testing.assert_allclose(
        trainer.values(data), model.outputs(first, data), rtol=1e-4, atol=1e-5
    )
    losses = [float(trainer.step(data).loss) for _ in range(30)]
    start = float(model.objective(first, data, training.Conditions())[0])
    assert losses[0] == pytest.approx(start, rel=1e-4)
    assert losses[-1] < 0.5 * losses[0]
    after = trainer.parameters()
    assert set(after) == set(first)
    again = model.first_parameters(seed=0)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
        assert after[name].shape == value.shape
    np.testing.assert_allclose(trainer.values(data), model.outputs(after, data), rtol=1e-3)


class Slope:
    """A model whose loss is three times its parameter."""

    def objective(self, parameters, batch, conditions):
        return 3.0 * parameters["scale"], parameters["scale"]


@pytest.mark.parametrize("backend", libraries())
def test_the_first_step_of_adamw(backend):
    """By hand: the decay, and a step of the learning rate against the sign of the gradient."""
    start, data = {"scale": np.asarray(2.0, np.float32)}, Data(np.zeros(1), np.zeros(1))
    trainer = training.trainer(backend, Slope(), start, learning_rate=0.1, weight_decay=0.5)
    assert float(trainer.step(data).loss) == 6.0
    assert trainer.parameters()["scale"] == pytest.approx(2.0 * (1.0 - 0.1 * 0.5) - 0.1)


@pytest.mark.parametrize("backend", libraries())
def test_dropout_is_drawn_from_the_seed(backend):
    model, data = SMALL.classifier("pooling", 3, dropout=0.5), some_bags()
    runs = [trained(backend, model, data, seed=seed)[1] for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    still = SMALL.classifier("pooling", 3)
    assert trained(backend, still, data, seed=0)[1] == trained(backend, still, data, seed=1)[1]


class Dropped:
    """A model that is its dropout."""

    def objective(self, parameters, batch, conditions):
        outputs = conditions.dropout(batch.x, 0.75) * parameters["scale"]
        return (outputs * batch.y).sum(), outputs


@pytest.mark.parametrize("backend", libraries())
def test_dropout_keeps_the_mean(backend):
    model, start = Dropped(), {"scale": np.ones((), np.float32)}
    x, picks = np.ones(4096, np.float32), np.eye(4096, dtype=np.float32)[:8]
    found = [
        float(training.trainer(backend, model, start, seed=3).step(Data(x, y)).loss) for y in picks
    ]
    assert set(found) <= {0.0, 4.0}
    trainer = training.trainer(backend, model, start)
    assert float(trainer.step(Data(x, x / 4096)).loss) == pytest.approx(1.0, abs=0.1)


@pytest.mark.skipif(bool(needs("optax")), reason="optax is not installed")
@pytest.mark.parametrize("layer", LAYERS)
def test_torch_and_jax_train_alike(layer):
    model, data = SMALL.classifier(layer, 3), some_bags()
    torchs, jaxs = (trained(backend, model, data)[1] for backend in ("torch", "jax"))
    np.testing.assert_allclose(torchs, jaxs, rtol=1e-4)


# Bags.


def codes(found):
    """Bit patterns as numbers, bags as sets of them."""
    return ((found.patterns > 0) @ (1 << np.arange(found.patterns.shape[-1]))).astype(int)


def test_positive_bags_hold_one_signal_and_others_none():
    found = bags.bit_patterns(np.random.default_rng(0), bags=600, instances=5, bits=5, signals=3)
    assert set(np.unique(found.patterns)) == {-1.0, 1.0}
    numbers, positive = codes(found), found.target == 1
    assert positive.sum() == 300
    assert not found.padding.any()
    signals = set(numbers[positive].ravel()) - set(numbers[~positive].ravel())
    assert len(signals) == 3
    held = np.isin(numbers, list(signals)).sum(axis=1)
    np.testing.assert_array_equal(held, positive)
    places = np.argwhere(np.isin(numbers, list(signals)))[:, 1]
    assert set(places) == set(range(5))


@pytest.mark.parametrize(
    "sizes", [{"bags": 0}, {"bits": 3, "signals": 8}, {"bits": 17}, {"instances": 0}]
)
def test_bit_patterns_refuse(sizes):
    with pytest.raises(ValueError, match="fewer signals than patterns"):
        bags.bit_patterns(np.random.default_rng(0), **sizes)


def test_a_latch_sequence_begins_with_its_target():
    rng = np.random.default_rng(0)
    found = bags.latch_sequences(rng, sequences=50, length=30, symbols=4)
    symbols = found.patterns.argmax(axis=-1)
    np.testing.assert_array_equal(found.patterns.sum(axis=-1), 1.0)
    np.testing.assert_array_equal(symbols[:, 0], found.target)
    assert set(symbols[:, 1:].ravel()) == {2, 3}
    with pytest.raises(ValueError, match="symbols >= 3, got 2048, 20 and 2"):
        bags.latch_sequences(np.random.default_rng(0), symbols=2)


def numbered(count=200):
    """Images that say which they are, and which digit."""
    pixels = np.stack([np.arange(count), np.arange(count) % 10], axis=1).astype(np.float64)
    return datasets.Images(pixels, (1, 2), np.arange(count) % 10)


def test_bags_of_digits_hold_the_digit_or_do_not():
    found = bags.digit_bags(np.random.default_rng(0), numbered(), bags=400, digit=7)
    holds = ((found.patterns[..., 1] == 7) & ~found.padding).any(axis=1)
    np.testing.assert_array_equal(holds, found.target)
    sizes = (~found.padding).sum(axis=1)
    assert found.target.sum() == 200
    assert sizes.mean() == pytest.approx(10.0, abs=0.4)
    assert sizes.std() == pytest.approx(2.0, abs=0.3)
    # More images make the digit likelier in a bag of any kind: sizes must not tell the label.
    assert sizes[holds].mean() == pytest.approx(sizes[~holds].mean(), abs=0.5)


@pytest.mark.parametrize("options", [{"least": 4}, {"witnesses": 4}])
def test_small_bags_have_room_for_the_images_that_make_their_label(options):
    """With a mean of 4 images, many bags would be smaller than that, whatever their label."""
    rng = np.random.default_rng(0)
    found = bags.digit_bags(rng, numbered(), bags=200, digit=7, length=4.0, **options)
    shown = ((found.patterns[..., 1] == 7) & ~found.padding).sum(axis=1)
    positive = found.target == 1
    assert (shown[~positive] < 4).all()
    assert (shown[positive] >= 4).all()
    assert shown[positive].max() == 4 or "least" in options
    sizes = (~found.padding).sum(axis=1)
    assert {sizes[positive].min(), sizes[~positive].min()} == {4}


def test_bags_of_digits_refuse():
    rng, images = np.random.default_rng(0), numbered()
    for length in (0.0, -3.0, float("nan")):
        with pytest.raises(ValueError, match=f"length must be >= 1, got {length}"):
            bags.digit_bags(rng, images, bags=4, length=length)
    with pytest.raises(ValueError, match="images with labels"):
        bags.digit_bags(rng, images._replace(labels=None), bags=4)
    for labels in (np.full(200, 9), np.zeros(200)):
        with pytest.raises(ValueError, match="images of 9 and others"):
            bags.digit_bags(rng, images._replace(labels=labels), bags=4)


def test_bags_are_read_in_the_order_of_their_numbers(tmp_path):
    features = np.arange(12.0).reshape(6, 2)
    number, label = np.asarray([9, 2, 9, 5, 2, 2]), np.asarray([1, 0, 1, 1, 0, 0])
    np.savez(tmp_path / "x.npz", features=features, bag=number, label=label)
    found = bag_files.read_bags(tmp_path / "x.npz")
    assert found.target.tolist() == [0, 1, 1]
    for row, bag in enumerate((2, 5, 9)):
        here = found.patterns[row][~found.padding[row]]
        np.testing.assert_array_equal(here, features[number == bag])
    assert (found.patterns[found.padding] == 0).all()


GOOD = {"features": np.ones((3, 2)), "bag": np.asarray([0, 0, 1]), "label": np.asarray([0, 0, 1])}
BAD_FILES = {
    "no labels": ({"label": None}, "no .npz file of features, bag, label"),
    "too few labels": ({"label": np.ones(2)}, r"got \(3, 2\), \(3,\) and \(2,\)"),
    "no instances": ({"features": np.ones((0, 2))}, r"features \(n, d\)"),
    "nan": ({"features": np.full((3, 2), np.nan)}, "must be finite"),
    "three labels": ({"label": np.asarray([0, 0, 2])}, "must be 0 or 1"),
    "two labels": ({"label": np.asarray([0, 1, 1])}, "bag 0 of .* has two labels"),
    "text": ({"bag": np.asarray(["a", "a", "b"])}, "bag of .* must be numbers"),
    "objects": ({"bag": np.asarray([None, None, None])}, "no .npz file"),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_damaged_files_are_refused(tmp_path, what):
    change, message = BAD_FILES[what]
    kept = {name: value for name, value in (GOOD | change).items() if value is not None}
    np.savez(tmp_path / "x.npz", **kept)
    with pytest.raises(ValueError, match=message):
        bag_files.read_bags(tmp_path / "x.npz")


def test_files_that_are_none(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", **GOOD)
    whole = (tmp_path / "x.npz").read_bytes()
    place = whole.index(b"features.npy") + 60
    bad = whole[:place] + bytes(8) + whole[place + 8 :]
    single = tmp_path / "single.npy"
    np.save(single, np.ones(3))
    for content in (
        b"",
        b"PK\x03\x04",
        b"text",
        whole[: len(whole) // 2],
        bad,
        single.read_bytes(),
    ):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"no \.npz file of features"):
            bag_files.read_bags(tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError):
        bag_files.read_bags(tmp_path / "none.npz")


def test_features_are_normalised_by_the_bags_that_train():
    train, test = some_bags(0), some_bags(1)
    train.patterns[..., 2] = np.where(train.padding, 0.0, 0.1)
    here, there = bags.normalised(train, test)
    inside = here.patterns[~here.padding]
    np.testing.assert_allclose(inside.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(inside.std(axis=0), [1.0, 1.0, 0.0], atol=1e-6)
    known = train.patterns[~train.padding].astype(np.float64)
    want = (test.patterns[..., :2] - known.mean(axis=0)[:2]) / known.std(axis=0)[:2]
    np.testing.assert_allclose(
        there.patterns[~there.padding][:, :2], want[~test.padding], rtol=1e-4, atol=1e-5
    )
    for one in (here, there):
        assert (one.patterns[one.padding] == 0).all()
        assert one.patterns.dtype == np.float32
    other = bags.normalised(train, test._replace(patterns=5.0 + test.patterns))[0]
    np.testing.assert_array_equal(other.patterns, here.patterns)


def test_folds_part_the_bags_and_keep_the_shares():
    target = np.asarray([1] * 13 + [0] * 22)
    parts = bags.folds(target, 5, np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(range(35))
    assert {int(target[part].sum()) for part in parts} == {2, 3}
    assert {len(part) for part in parts} == {7}
    for count in (1, 14):
        with pytest.raises(
            ValueError, match=f"at most 13, the number of samples of the rarer target, got {count}"
        ):
            bags.folds(target, count, np.random.default_rng(0))
    with pytest.raises(ValueError, match="samples of two targets or more, got one target only"):
        bags.folds(np.ones(20), 10, np.random.default_rng(0))


def test_every_possible_number_of_folds_can_be_run_and_no_other():
    """The bags that train in a fold must themselves be divided, to validate."""

    def runs(found, count):
        try:
            for split in mil.cross_validated("x", found, count, np.random.default_rng(0)):
                next(mil.cross_validated("", split.train, mil.PARTS, np.random.default_rng(0)))
        except ValueError:
            return False
        return True

    def accepted(found, count):
        try:
            tasks.check_file(Path("x.npz"), found, count)
        except ValueError:
            return False
        return True

    for few in range(1, 14):
        target = np.asarray([1] * few + [0] * 15)
        found = bags.padded([np.ones((2, 1))] * len(target), target)
        for count in range(2, 16):
            assert accepted(found, count) == runs(found, count), (few, count)


# Studies.


def test_images_that_test_neither_train_nor_validate():
    for split in tasks.digit_bags(numbered(600), [2, 40])(0):
        parts = split.train, split.validation, split.tests[split.task]
        train, validation, test = (set(part.patterns[~part.padding][:, 0]) for part in parts)
        assert not train & validation
        assert not (train | validation) & test
        assert len(test) <= 120


def test_smaller_training_sets_are_parts_of_larger_ones():
    small, large = tasks.bit_patterns([10, 30])(3)
    np.testing.assert_array_equal(small.train.patterns, large.train.patterns[:10])
    np.testing.assert_array_equal(small.tests["10"].patterns, large.tests["30"].patterns)
    whole = bags.bit_patterns(np.random.default_rng(3), bags=2304)
    np.testing.assert_array_equal(large.validation.patterns, whole.patterns[1536:1792])
    np.testing.assert_array_equal(large.tests["30"].patterns, whole.patterns[1792:])


def test_every_bag_tests_once(tmp_path):
    rng = np.random.default_rng(0)
    bag = np.arange(40).repeat(2)
    np.savez(tmp_path / "a.npz", features=rng.normal(size=(80, 3)), bag=bag, label=bag % 2)
    splits = list(tasks.files([tmp_path / "a.npz"], 4)(0))
    assert all(split.validation is None for split in splits)
    tested = np.concatenate([split.tests["a"].patterns for split in splits])
    trained_too = [np.concatenate([s.train.patterns, s.tests["a"].patterns]) for s in splits]
    whole = bag_files.read_bags(tmp_path / "a.npz").patterns
    for found in (tested, *trained_too):
        np.testing.assert_array_equal(np.sort(found.ravel()), np.sort(whole.ravel()))
    with pytest.raises(ValueError, match="files must have different names"):
        tasks.files([tmp_path / "a.npz", tmp_path / "a.npz"], 4)


@pytest.mark.parametrize("own", [True, False])
def test_nothing_is_chosen_or_learned_by_the_bags_that_test(own):
    """The chosen settings and the trained parameters do not depend on the test bags."""
    fitting = Fitting(
        width=16, heads=2, rates=(1e-3, 1e-2), dropouts=(0.0, 0.9), normalise=True, epochs=3
    )
    train, validation, test = some_bags(0, 40), some_bags(2, 20), some_bags(1)
    other = Bags(3.0 - 5.0 * test.patterns, ~test.padding, 1.0 - test.target)
    found = []
    for which in (test, other):
        split = Split("x", 0, train, validation if own else None, {"x": which})
        (trial,) = mil.run_trials(lambda seed, s=split: [s], ["pooling"], fitting, seeds=[0])
        found.append((trial.rate, trial.dropout, trial.epochs, trial.loss))
    assert found[0] == found[1]


def test_the_validation_bags_choose_the_candidate_and_the_epoch_with_the_lowest_loss(monkeypatch):
    losses = {(0.1, 0.0): [0.9, 0.5, 0.7], (0.2, 0.0): [0.8, 0.6, 0.4], (0.3, 0.0): [0.4, 0.4, 0.5]}
    now = []

    class Stub:
        def __init__(self, rate):
            self.rate = rate

        def parameters(self):
            return {"rate": np.asarray(self.rate)}

    def trained(train, layer, candidate, seed, fitting, epochs):
        for loss in losses[candidate]:
            now.append(loss)
            yield 10.0 * loss, Stub(candidate[0])

    monkeypatch.setattr(mil, "trained", trained)
    monkeypatch.setattr(mil.training, "scores", lambda trainer, data: np.full(24, now[-1]))
    monkeypatch.setattr(mil, "logistic_loss", lambda scores, target: scores[0])
    fitting = Fitting(rates=(0.1, 0.2, 0.3), epochs=3)
    found = mil.chosen(some_bags(), some_bags(), "mean", 0, fitting)
    assert found[:4] == (0.2, 0.0, 3, 4.0)  # the first of equal losses
    assert found.parameters["rate"] == 0.2
    assert len(now) == 9
    now.clear()
    patient = replace(fitting, patience=1)  # ends the first and the last training early
    assert mil.chosen(some_bags(), some_bags(), "mean", 0, patient)[:4] == (0.2, 0.0, 3, 4.0)
    assert now == [0.9, 0.5, 0.7, 0.8, 0.6, 0.4, 0.4, 0.4]


def test_a_first_seed_leaves_the_others_as_they_are(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(first, seeds):
        study = studies.Latch(
            layer="mean", length="8", epochs=1, first_seed=first, seeds=seeds, learning_rate="0.01"
        )
        return [trial[:-1] for trial in study.outcomes()[0]]

    assert run(1, 2) == run(0, 3)[1:]


def test_what_is_there_is_not_trained_again(monkeypatch):
    fitting = Fitting(width=8, heads=2, rates=(0.01,), epochs=1)

    def splits(seed):
        return mil.cross_validated("x", some_bags(seed, 40), 3, np.random.default_rng(seed))

    layers = ["mean", "pooling"]
    whole = list(mil.run_trials(splits, layers, fitting, seeds=[0, 1]))
    trained = []
    right = mil.trials_of_task

    def counted(folds, layer, seed, fitting):
        trained.append((layer, seed))
        return right(folds, layer, seed, fitting)

    monkeypatch.setattr(mil, "trials_of_task", counted)
    # The last of the three folds of pooling with seed 0 is missing, and all of seed 1.
    again = list(mil.run_trials(splits, layers, fitting, seeds=[0, 1], known=whole[:5]))
    assert [one[:-1] for one in again] == [one[:-1] for one in whole]
    assert trained == [("pooling", 0), ("mean", 1), ("pooling", 1)]


def test_layers_without_weights_have_no_dropout():
    fitting = Fitting(rates=(0.1,), dropouts=(0.0, 0.5))
    assert fitting.candidates("deep-set") == [(0.1, 0.0)]
    assert fitting.candidates("pooling") == [(0.1, 0.0), (0.1, 0.5)]


def test_the_parameters_of_the_chosen_epoch_are_tested():
    """More epochs than the validation bags chose change nothing."""
    train, validation, test = some_bags(0, 40), some_bags(2, 20), some_bags(1)
    split = Split("x", 0, train, validation, {"x": test})
    fitting = Fitting(width=16, heads=2, rates=(0.03,), epochs=12)
    (long,) = mil.run_trials(lambda seed: [split], ["pooling"], fitting, seeds=[0])
    assert long.epochs < 12
    short = Fitting(width=16, heads=2, rates=(0.03,), epochs=long.epochs)
    (again,) = mil.run_trials(lambda seed: [split], ["pooling"], short, seeds=[0])
    assert again[:-1] == long[:-1]


def test_an_association_finds_what_the_mean_does_not():
    fitting = Fitting(width=32, heads=4, epochs=20)

    def splits(seed):
        rng = np.random.default_rng(seed)
        found = bags.bit_patterns(rng, bags=800, instances=8, bits=5, signals=2)
        parts = np.arange(500), np.arange(500, 600), np.arange(600, 800)
        train, validation, test = (training.chosen(found, part) for part in parts)
        yield Split("x", 0, train, validation, {"x": test})

    found = {t.layer: t for t in mil.run_trials(splits, ["mean", "pooling"], fitting, seeds=[0])}
    assert found["pooling"].accuracy > 0.9
    assert found["pooling"].auc > found["mean"].auc
    assert found["pooling"].bags == 500


# Reports.


def made(data, layer, seed, fold, accuracy, auc, pooled=0.5):
    return Trial(data, layer, seed, fold, 10, 0.01, 0.5, 7, 0.25, accuracy, auc, pooled, 1.5)


def test_folds_are_averaged_before_seeds():
    done = [
        made("a", "mean", 0, 0, 0.5, 0.2), made("a", "mean", 0, 1, 0.7, 0.4),
        made("b", "mean", 0, 0, 1.0, 1.0), made("a", "pooling", 0, 0, 1.0, 1.0),
        made("a", "mean", 1, 0, 0.9, 0.6, 0.7), made("a", "mean", 1, 1, 0.7, 0.6, 0.7),
    ]  # fmt: skip
    lines = mil_report.summary(done)
    assert [line[:4] for line in lines] == [
        ("a", "mean", 2, 2), ("a", "pooling", 1, 1), ("b", "mean", 1, 1)
    ]  # fmt: skip
    assert lines[0].accuracy == pytest.approx((0.7, 0.02**0.5))
    assert lines[0].auc == pytest.approx((0.45, 0.045**0.5))
    assert lines[0].pooled == pytest.approx((0.6, 0.02**0.5))
    assert lines[0].auc_quartiles == pytest.approx((0.3, 0.375, 0.45, 0.525))
    assert from_csv(to_csv(done, Trial), Trial) == done


def test_differences_are_paired_by_seed_and_fold():
    values = {("pooling", 0): 0.9, ("pooling", 1): 0.7, ("uniform", 0): 0.6, ("uniform", 1): 0.6}
    done = [
        made("a", layer, seed, fold, value + 0.01 * fold, 0.5 * value)
        for (layer, seed), value in reversed(values.items())
        for fold in (1, 0)
    ]
    (found,) = mil_report.differences(done)
    assert found[:4] == ("a", "pooling", "uniform", 4)
    assert (found.accuracy, found.auc) == pytest.approx((0.2, 0.1))
    # By hand: differences 0.3, 0.3, 0.1, 0.1, of which the deviation is sqrt(0.04 / 3); t of three
    # degrees of freedom is 3.1824, and two folds have as many test bags as training bags.
    half = 3.18245 * (0.04 / 3.0) ** 0.5 * (0.25 + 1.0) ** 0.5
    limits = found.accuracy_low, found.accuracy_high
    assert limits == pytest.approx((0.2 - half, 0.2 + half), rel=1e-5)
    text = to_csv([found], mil_report.Difference)
    assert len(from_csv(text, mil_report.Difference)) == 1
    (alone,) = mil_report.differences([t for t in done if t.seed == 0 and t.fold == 0])
    assert (alone.pairs, alone.accuracy_low, alone.auc_high) == (1, None, None)
    assert mil_report.differences([made("a", "mean", 0, 0, 1.0, 1.0)]) == []


PAGES = {"bit-pattern": "bags", "latch": "length", "mnist-bags": "bags", "mil": "data"}
SHOWN = {
    "bit-pattern": {
        "bit-pattern-transfer": "size",
        "bit-pattern-noise": "noise",
        "bit-pattern-noisy": "size",
    },
    "latch": {"latch": "length", "latch-order": "length"},
    "mnist-bags": {"mnist-bags-transfer": "size", "mnist-bags-least": "least"},
    "mil": {"mil": "data"},
}
"""The CSV files of each page, and what distinguishes their tasks."""

FILES = [(page, stem, axis) for page, stems in SHOWN.items() for stem, axis in stems.items()]


@pytest.mark.parametrize(("name", "stem", "axis"), FILES, ids=[stem for _, stem, _ in FILES])
def test_a_page_shows_the_tables_of_its_trials(name, stem, axis):
    text = (RESULTS / f"{stem}.csv").read_text(encoding="utf-8")
    trials = from_csv(text, Trial)
    assert to_csv(trials, Trial) == text
    page = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert mil_report.table(axis, mil_report.summary(trials)).markdown() in page
    beside = (RESULTS / f"{stem}-differences.csv").read_text(encoding="utf-8")
    found = from_csv(beside, mil_report.Difference)
    again = mil_report.differences(trials)
    assert mil_report.table_of_differences(axis, again).markdown() in page
    for one, other in zip(again, found, strict=True):
        assert one[:4] == other[:4]
        assert one[4:] == pytest.approx(other[4:], abs=2e-4)
    assert f"\n$ hopcore experiment {name}" in page
    assert f"{{download}}`{stem}.csv`" in page
    assert f"]({stem}.png)" in page
    assert (RESULTS / f"{stem}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    places = {(trial.data, trial.layer, trial.seed, trial.fold) for trial in trials}
    assert len(places) == len(trials)
    folds = max(trial.fold for trial in trials) + 1
    assert len({trial.seed for trial in trials}) >= (5 if folds > 1 else 10)


# The command line.


def run(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The arguments of a small run of each study, from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name, count in (("TRAINED", 40), ("VALIDATED", 10), ("TESTED", 20)):
        monkeypatch.setattr(tasks, name, count)
    bag = np.arange(24).repeat(3)
    features = np.random.default_rng(0).normal(size=(72, 4))
    np.savez(tmp_path / "toy.npz", features=features, bag=bag, label=bag % 2)
    few = bag < 8
    np.savez(tmp_path / "few.npz", features=features[few], bag=bag[few], label=(bag % 2)[few])
    few = bag < 16
    np.savez(tmp_path / "eight.npz", features=features[few], bag=bag[few], label=(bag % 2)[few])
    np.savez(tmp_path / "one.npz", features=features, bag=bag, label=np.ones_like(bag))
    np.savez(tmp_path / "flat.npz", features=features, bag=np.arange(72), label=bag % 2)
    return {
        "bit-pattern": ["--bags", "10,20"],
        "latch": ["--length", "4,6"],
        "mnist-bags": ["--bags", "10,20"],
        "mil": ["--data", "toy.npz", "--folds", "2", "--dropout", "0,0.5"],
    }


@pytest.mark.parametrize("name", PAGES)
def test_a_command_writes_its_csvs_its_picture_and_its_tables(capsys, tmp_path, study, name):
    few = ["--layer", "mean,pooling", "--seeds", "2", "--epochs", "1", *study[name]]
    code, out, err = run(capsys, "experiment", name, *few)
    assert (code, err) == (0, "")
    assert "pooling minus" in out
    assert "…" not in out
    first_out = out
    first = (tmp_path / f"{name}.csv").read_text()
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    code, out, err = run(capsys, "experiment", name, *few, "--markdown", "t.md", "--json")
    assert (code, err) == (0, "")
    again = (tmp_path / f"{name}.csv").read_text()
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(x.splitlines())]
        for x in (first, again)
    ]
    assert timeless[0] == timeless[1]
    assert len(timeless[0]) == 8
    lines = json.loads(out)["lines"]
    assert {line["seeds"] for line in lines} == {2}
    assert (tmp_path / "t.md").read_text().count("\n") == 2 + len(lines) + 1 + 2 + len(lines) // 2
    beside = from_csv((tmp_path / f"{name}-differences.csv").read_text(), mil_report.Difference)
    assert {(one.layer, one.other) for one in beside} == {("pooling", "mean")}
    assert f"Wrote {name}-differences.csv" in " ".join(first_out.split())


BAD = {
    "layer": ("bit-pattern --bags 9 --layer mean,best", "unknown layer 'best'"),
    "layer twice": ("bit-pattern --bags 9 --layer mean,mean", "layer must have no value twice"),
    "bags": ("bit-pattern --bags 41", "bags must be between 2 and 40, got 41"),
    "no bags": ("mnist-bags --bags 1", "bags must be between 2 and 40, got 1"),
    "numbers": ("latch --length 1.5", "length must be integers"),
    "length": ("latch --length 0", "length must be at least 2"),
    "numpy": ("latch --backend numpy", "nothing trains on 'numpy'"),
    "epochs": ("latch --epochs 0", "--epochs"),
    "data set": ("mnist-bags --dataset cifar", "unknown data set 'cifar'"),
    "file": ("mil --data none.npz", "none.npz: No such file"),
    "folds": (
        "mil --data toy.npz --folds 13",
        "folds must be between 2 and 12 for toy.npz, which has 12 bags of label 0, got 13",
    ),
    "two folds": (
        "mil --data eight.npz --folds 2",
        "folds must be between 3 and 8 for eight.npz, which has 8 bags of label 0, got 2",
    ),
    "few bags": (
        "mil --data toy.npz,few.npz --folds 2",
        "few.npz has 4 bags of label 0, too few to validate and to test: at least 6 bags of each",
    ),
    "one label": (
        "mil --data one.npz",
        "one.npz has bags of one label only; classification needs both",
    ),
    "one instance": ("mil --data flat.npz", "every bag of flat.npz has one instance"),
    "one pattern": (
        "bit-pattern --bags 9 --size 4,1",
        "size must be at least 2, because one instance leaves nothing to pool, got 1",
    ),
    "one symbol": ("latch --length 1,9", "length must be at least 2"),
    "one image": ("mnist-bags --bags 9 --size 1", "size must be at least 2"),
    "one image shown": ("bag-attention --task digits --bags 9 --size 1", "--size"),
    "no image": ("mnist-bags --bags 9 --size 5,0 --transfer", "size must be at least 1, got 0"),
    "witnesses": (
        "mnist-bags --bags 8 --size 5 --witnesses 9",
        "witnesses must be at most the mean number of images in a bag, 5, got 9",
    ),
    "witnesses elsewhere": (
        "mnist-bags --bags 8 --size 9,5 --witnesses 6 --transfer",
        "witnesses must be at most the mean number of images in a bag, 5, got 6",
    ),
    "least": (
        "mnist-bags --bags 8 --size 5 --least 1,6",
        "least must be at most the mean number of images in a bag, 5, got 6",
    ),
    "dropout": ("mil --data toy.npz --folds 2 --dropout 1", "dropout must be a probability"),
    "two axes": ("bit-pattern --bags 9,10 --size 4,8", "got them for bags and size"),
    "transfer": ("bit-pattern --bags 9,10 --transfer", "several values of --size or --noise"),
    "counts": (
        "bit-pattern --bags 9 --size 300 --layer mean,sparsemax",
        "the layer sparsemax cannot count the patterns of a bag of 300",
    ),
    "noise": ("bit-pattern --bags 9 --noise -1", "noise must be >= 0 and finite, got -1.0"),
    "repeats": ("latch --length 7 --repeats 4", "length >= 2 repeats"),
    "shrink": ("mnist-bags --bags 9 --shrink 3", "must divide the images of 8 x 8, got 3"),
    "rate": ("latch --learning-rate 0", "rate must be positive and finite, got 0.0"),
    "folder": ("latch --csv no/where.csv", "folder no does not exist"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(capsys, tmp_path, study, what):
    command, message = BAD[what]
    before = sorted(tmp_path.iterdir())
    code, out, err = run(capsys, "experiment", *command.split())
    assert (code, out) == (2, "")
    assert err.startswith("hopcore: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_transfer_may_test_with_bags_of_one_pattern():
    """The classifier has learned to pool; a bag of one pattern asks whether it knows the signal."""
    (split,) = tasks.bit_patterns([9], [4, 1], transfer=True)(0)
    assert split.train.patterns.shape[1] == 4
    assert split.tests["1"].patterns.shape[1] == 1
