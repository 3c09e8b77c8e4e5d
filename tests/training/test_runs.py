"""Runs: what an epoch does, what is in the files, and what is left of a run that is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from libraries import libraries

from hopcore import Constant, Linear, PhaseAware
from hopcore.experiments.models.image_classifiers import CLASSIFIERS, CNN, HNM, MLP, VQ, Images
from hopcore.layers import effective_memory, inner
from hopcore.training._config import TrainConfig
from hopcore.training._epoch_loop import Run
from hopcore.training._run_files import BEST, HISTORY, LAST, read_run
from hopcore.training._trainer import Conditions

pytest.importorskip("torch")
pytest.importorskip("safetensors")


def drawn(count, seed=0):
    """Images of 4 x 4 pixels in three classes: which third is bright."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 3, count)
    pixels = rng.normal(0.0, 0.4, (count, 16))
    for row, label in enumerate(target):
        pixels[row, 5 * label : 5 * label + 5] += 1.0
    return Images(pixels.astype(np.float32), target.astype(np.int32))


TRAIN, TEST = drawn(80), drawn(40, seed=1)
SMALL = HNM(size=16, classes=3, widths=(8,), quantity=8, num_heads=2, hidden_size=4, dropout=0.2)
MODELS = [
    SMALL,
    MLP(size=16, classes=3, widths=(8,)),
    CNN(shape=(4, 4), classes=3, channels=(4,)),
    VQ(size=16, classes=3, width=16, groups=2, code_size=4, quantity=8, symbols=4, alignment=0.1),
]
CONFIG = TrainConfig(epochs=4, batch_size=16, learning_rate=1e-2, schedule="cosine")


HELD_OUT = drawn(30, seed=2)


def run(model=SMALL, config=CONFIG, **options):
    return Run(model, config, TRAIN, TEST, **options)


def without_time(history):
    return [epoch._replace(seconds=0.0) for epoch in history]


@pytest.mark.parametrize("backend", libraries())
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.KIND)
def test_every_model_learns(model, backend):
    config = replace(CONFIG, epochs=30, path="soft")  # enough for any rounding
    if model.KIND == "vq":
        config = replace(config, temp_start=1.0, temp_end=0.1)
    found = run(model, config, backend=backend)
    *_, last = found.epochs()
    assert last.hard > 0.85
    assert last.loss < 0.7 * found.history[0].loss
    assert set(last.temperatures) == set(model.TEMPERATURES)
    assert all(value == pytest.approx(config.temp_end) for value in last.temperatures.values())
    if not model.TEMPERATURES:
        assert last.gap == 0.0
    assert found.best is max(found.history, key=lambda epoch: epoch.hard)


@pytest.mark.parametrize("backend", libraries())
@pytest.mark.parametrize(("gumbel", "validation"), [(False, None), (True, None), (True, HELD_OUT)])
def test_a_run_that_goes_on_is_the_run_that_never_stopped(tmp_path, backend, gumbel, validation):
    """Bit for bit: parameters, moments, random numbers, history; with dropout and noise."""
    config = replace(CONFIG, schedule="phase-aware", path="hard", gumbel=gumbel)
    options = {"config": config, "backend": backend, "validation": validation}
    whole = run(**options, folder=tmp_path / "whole")
    list(whole.epochs())
    stopped = run(**options, folder=tmp_path / "stopped")
    for epoch in stopped.epochs():
        if epoch.epoch == 2:
            break
    again = Run.resumed(
        tmp_path / "stopped", TRAIN, TEST, validation=validation, models=CLASSIFIERS
    )
    assert again.config == config
    assert again.model == SMALL
    list(again.epochs())
    assert without_time(again.history) == without_time(whole.history)
    for name in (LAST, BEST):
        kept, same = read_run(tmp_path / "whole" / name), read_run(tmp_path / "stopped" / name)
        assert set(kept.arrays) == set(same.arrays)
        for key, value in kept.arrays.items():
            np.testing.assert_array_equal(value, same.arrays[key], err_msg=key)
    assert list(again.epochs()) == []


def test_two_runs_of_a_seed_agree_and_of_two_differ():
    first, same, other = (list(run(config=replace(CONFIG, seed=s)).epochs()) for s in (0, 0, 1))
    assert without_time(first) == without_time(same)
    assert without_time(first) != without_time(other)


def test_torch_and_jax_run_alike():
    pytest.importorskip("optax")
    still = replace(SMALL, dropout=0.0)
    config = replace(CONFIG, epochs=2, schedule="constant")
    found = [list(run(still, config, backend=b).epochs()) for b in ("torch", "jax")]
    for ours, others in zip(*found, strict=True):
        assert ours.loss == pytest.approx(others.loss, rel=1e-3)
        assert ours.soft == pytest.approx(others.soft, abs=0.03)


# Validation


def test_validation_samples_decide_which_epoch_is_the_best():
    """Training is the same with and without them; what the epochs are measured on is not."""
    plain, held = run(), run(validation=HELD_OUT)
    for ours, others in zip(held.epochs(), plain.epochs(), strict=True):
        assert (ours.split, others.split) == ("validation", "test")
        assert ours.loss == others.loss
        for hard, value in ((False, ours.soft), (True, ours.hard)):
            conditions = Conditions(ours.temperatures, hard=hard)
            outputs = held.model.outputs(held.trainer.parameters(), HELD_OUT, conditions)
            assert np.mean(outputs.argmax(-1) == HELD_OUT.target) == pytest.approx(value, abs=0.04)
    assert held.best is max(held.history, key=lambda epoch: epoch.hard)


def test_no_epoch_looks_at_the_test_samples():
    """Other test samples, of which none is classified rightly, change nothing."""
    wrong = TEST._replace(target=(TEST.target + 1) % 3)
    runs = [Run(SMALL, CONFIG, TRAIN, test, validation=HELD_OUT) for test in (TEST, wrong)]
    first, second = (without_time(one.epochs()) for one in runs)
    assert first == second


def test_a_run_goes_on_with_its_own_validation_samples_alone(tmp_path):
    next(run(folder=tmp_path, validation=HELD_OUT).epochs())
    assert (tmp_path / HISTORY).read_text().splitlines()[0].split(",")[-3] == "split"
    for validation in (None, drawn(30, seed=3)):
        with pytest.raises(ValueError, match="started with another"):
            Run.resumed(tmp_path, TRAIN, TEST, validation=validation, models=CLASSIFIERS)
    again = Run.resumed(tmp_path, TRAIN, TEST, validation=HELD_OUT, models=CLASSIFIERS)
    assert {epoch.split for epoch in again.epochs()} == {"validation"}


def test_a_file_that_says_another_split_than_that_of_its_samples_is_refused(tmp_path):
    from hopcore.training._run_files import write_run

    next(run(folder=tmp_path, validation=HELD_OUT).epochs())
    saved = read_run(tmp_path / LAST)
    write_run(tmp_path / LAST, saved._replace(history=[saved.history[0]._replace(split="test")]))
    with pytest.raises(ValueError, match="started with another split of its samples"):
        Run.resumed(tmp_path, TRAIN, TEST, validation=HELD_OUT, models=CLASSIFIERS)


def test_a_split_that_there_is_not_is_refused(tmp_path):
    from hopcore.training._run_files import write_run

    next(run(folder=tmp_path).epochs())
    saved = read_run(tmp_path / LAST)
    write_run(tmp_path / LAST, saved._replace(history=[saved.history[0]._replace(split="train")]))
    with pytest.raises(ValueError, match="epoch 1 makes no sense"):
        read_run(tmp_path / LAST)


# Temperatures


def test_temperatures_and_rates_are_those_of_the_schedules():
    seen = []
    config = replace(CONFIG, schedule="linear", freeze_after=2)
    found = run(config=config)
    epochs = list(found.epochs(seen.append))
    schedule = Linear(0.1, 0.001, 4 * 5, freeze_after=10)
    assert [m.temperatures["memory"] for m in seen] == [schedule(step) for step in range(20)]
    assert [m.step for m in seen] == 4 * [1, 2, 3, 4, 5]
    assert [e.temperatures["memory"] for e in epochs] == [schedule(5 * e) for e in (1, 2, 3, 4)]
    assert [e.rate for e in epochs] == pytest.approx(
        [0.5 + 0.5**0.5 / 2, 0.5, 0.5 - 0.5**0.5 / 2, 0]
    )
    assert seen[-1].loss == epochs[-1].loss


def test_a_geometric_schedule_goes_epoch_by_epoch():
    config = replace(CONFIG, epochs=30, schedule="geometric", temp_start=1.0, floor=0.5)
    schedule = config.schedule_of(steps=7)
    for epoch in range(1, 31):
        expected = max(0.5, 0.97 ** (epoch - 1))
        assert schedule(7 * (epoch - 1)) == pytest.approx(expected)
        assert schedule(7 * epoch - 1) == pytest.approx(expected)


def test_a_phase_aware_schedule_follows_the_memory_and_never_goes_back():
    seen = []
    found = run(config=replace(CONFIG, epochs=6, schedule="phase-aware", learning_rate=0.05))
    list(found.epochs(lambda moment: seen.append(moment.temperatures["memory"])))
    assert all(after <= before for before, after in pairwise(seen))
    assert seen[0] == pytest.approx(0.1)
    first = SMALL.first_parameters(seed=0)
    scales = [
        effective_memory(layer, inner(first, f"layers.{place}"))[0]
        for place, layer in enumerate(SMALL.settings.layers)
    ]
    scale = float(np.mean(scales))
    schedule = PhaseAware.of_memory(scale, 8, 0.1, 0.001, 6 * 5)
    assert seen[:5] == pytest.approx([schedule(step) for step in range(5)])


def test_each_temperature_may_have_its_own_schedule():
    model = MODELS[-1]
    config = replace(CONFIG, schedules={"symbols": Constant(0.7)}, temp_start=1.0, temp_end=0.5)
    *_, last = run(model, config).epochs()
    assert last.temperatures == {"codes": 0.5, "symbols": 0.7}
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="a hnm has no temperature symbols; it has memory"):
        run(config=config)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.KIND)
def test_without_a_start_nothing_is_annealed(model, tmp_path):
    """A model keeps the temperature of its settings, also in a run that is resumed."""
    config = replace(CONFIG, temp_start=None, schedule="phase-aware")
    found = run(model, config, folder=tmp_path / "run")
    first, *_ = found.epochs()
    assert first.temperatures == {}
    models = {one.KIND: type(one) for one in MODELS}
    given = found.train, found.test
    assert Run.resumed(tmp_path / "run", *given, models=models).history[0] == first
    if model.KIND == "hnm":
        constant = replace(config, temp_start=0.1, schedule="constant")
        same, *_ = run(model, constant).epochs()
        assert same._replace(seconds=0.0, temperatures={}) == first._replace(seconds=0.0)
    if model.KIND == "vq":
        own = replace(config, schedules={"symbols": Constant(0.7)})
        assert next(run(model, own).epochs()).temperatures == {"symbols": 0.7}
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="no temperature is annealed: temp_start is None"):
        config.schedule_of(10)
    with pytest.raises(ValueError, match="rate 'temperature' needs a temp_start, got None"):
        replace(config, rate="temperature")


def test_the_gap_is_measured_on_both_paths():
    """Warm, soft and hard differ; cold, they are the same."""
    warm, cold = (
        list(run(config=replace(CONFIG, schedule="constant", temp_start=t)).epochs())[-1]
        for t in (1.0, 1e-4)
    )
    assert abs(warm.gap) > 0.0 == cold.gap
    assert warm.gap == warm.soft - warm.hard


# Files


def test_the_files_of_a_run(tmp_path):
    found = run(folder=tmp_path / "a" / "run", about={"dataset": "thirds"})
    list(found.epochs())
    last, best = (read_run(tmp_path / "a" / "run" / name) for name in (LAST, BEST))
    assert last.history == found.history
    assert best.history[-1] == found.best
    assert last.about == {"dataset": "thirds"}
    parameters = found.trainer.parameters()
    assert set(last.parameters) == set(best.parameters) == set(parameters)
    for name, value in parameters.items():
        np.testing.assert_array_equal(last.parameters[name], value)
    logits = found.model.outputs(best.parameters, TEST)
    assert logits.shape == (40, 3)
    lines = (tmp_path / "a" / "run" / HISTORY).read_text().splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("gap,temperature_memory")


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    list(run(folder=tmp_path, config=replace(CONFIG, epochs=1)).epochs())
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(ValueError, match="holds a run already: resume it, or name another folder"):
        run(folder=tmp_path)
    assert (tmp_path / LAST).read_bytes() == before


def test_a_folder_may_be_a_string(tmp_path):
    place = str(tmp_path / "run")
    next(run(folder=place).epochs())
    again = Run.resumed(place, TRAIN, TEST, models=CLASSIFIERS)
    assert [epoch.epoch for epoch in again.history] == [1]
    assert again.folder == tmp_path / "run"


def test_what_is_not_this_run(tmp_path):
    list(run(folder=tmp_path, config=replace(CONFIG, epochs=1)).epochs())
    with pytest.raises(ValueError, match="started with another data set"):
        Run.resumed(tmp_path, TRAIN, drawn(41), models=CLASSIFIERS)
    content = (tmp_path / LAST).read_bytes()
    for damage in (content[:-1], content[:100], b"", content[:-50] + b"x" * 50):
        (tmp_path / LAST).write_bytes(damage)
        with pytest.raises(ValueError, match=r"is not a whole"):
            Run.resumed(tmp_path, TRAIN, TEST, models=CLASSIFIERS)
    (tmp_path / LAST).unlink()
    with pytest.raises(FileNotFoundError):
        Run.resumed(tmp_path, TRAIN, TEST, models=CLASSIFIERS)


def test_a_checkpoint_of_another_model(tmp_path):
    """Parameters of other shapes than those of the settings beside them, with a right digest."""
    from hopcore.training._run_files import write_run

    list(run(folder=tmp_path, config=replace(CONFIG, epochs=1)).epochs())
    saved = read_run(tmp_path / LAST)
    settings = dict(saved.model["settings"], quantity=9)
    write_run(tmp_path / LAST, saved._replace(model={"kind": "hnm", "settings": settings}))
    with pytest.raises(ValueError, match=r"started with another model .*lookup_weights"):
        Run.resumed(tmp_path, TRAIN, TEST, models=CLASSIFIERS)
    write_run(tmp_path / LAST, saved._replace(model={"kind": "gru", "settings": settings}))
    with pytest.raises(ValueError, match="unknown model 'gru'; known: hnm, mlp, cnn, vq"):
        Run.resumed(tmp_path, TRAIN, TEST, models=CLASSIFIERS)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    found = run(folder=tmp_path)
    epochs = found.epochs()
    next(epochs)
    before = (tmp_path / LAST).read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            next(epochs)
    assert (tmp_path / LAST).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([LAST, BEST, HISTORY])
    again = Run.resumed(tmp_path, TRAIN, TEST, models=CLASSIFIERS)
    whole = run()
    assert without_time(again.epochs()) == without_time(whole.epochs())[1:]


def command(folder, *options):
    return [
        sys.executable, "-m", "hopcore", "train", "--model", "mlp", "--out", str(folder),
        "--epochs", "1000", *options,
    ]  # fmt: skip


@pytest.fixture
def listening():
    """What is started in the background ignores SIGINT, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_loses_one_epoch_at_most(tmp_path, how):
    folder = tmp_path / "run"
    said = []
    with subprocess.Popen(command(folder), stderr=subprocess.PIPE, text=True) as begun:
        for line in begun.stderr:
            said.append(line)
            if line.startswith("Epoch 3/"):
                break
        begun.send_signal(how)
        rest = begun.stderr.read()
        status = begun.wait(timeout=60)
    kept = len(read_run(folder / LAST).history)
    told = sum(line.startswith("Epoch") for line in [*said, *rest.splitlines()])
    assert told <= kept <= told + 1
    if how == signal.SIGINT:
        assert status == 130
        assert f"hopcore train --resume {folder}" in rest.splitlines()[-1]
        assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    else:
        assert status == -signal.SIGKILL


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temp_start": 0.0}, "temp_start must be positive and finite, got 0.0"),
        ({"temp_end": float("nan")}, "temp_end must be positive and finite, got nan"),
        (
            {"temp_start": 0.1, "floor": 0.5},
            "temp_start must not be below the floor, got 0.1 and 0.5",
        ),
        ({"temp_anneal_steps": 0}, "temp_anneal_steps must be >= 1, got 0"),
        (
            {"schedule": "sudden"},
            "unknown schedule 'sudden'; known: constant",
        ),
        ({"path": "both"}, "unknown path 'both'; known: soft, hard"),
        ({"epochs": 0}, "epochs must be >= 1, got 0"),
        ({"warmup": 4}, "warmup must end before 4 epochs, got 4"),
        ({"factor": -1.0}, "factor must be positive and finite, got -1.0"),
        ({"factor": 1.5}, r"factor must be in \(0, 1\], got 1.5"),
        ({"clip_norm": 0.0}, "clip_norm must be positive and finite, got 0.0"),
        ({"seed": -1}, "seed must be >= 0, got -1"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        replace(CONFIG, **change)


def test_settings_that_do_not_fit_the_run():
    with pytest.raises(ValueError, match=r"must be within the 20 steps .* got 21"):
        run(config=replace(CONFIG, temp_anneal_steps=21))
    with pytest.raises(ValueError, match="a phase-aware schedule needs a model with a memory: hnm"):
        run(MODELS[-1], replace(CONFIG, schedule="phase-aware"))
    with pytest.raises(ValueError, match=r"train must hold pixels \(n, d\) and n targets, got"):
        Run(SMALL, CONFIG, Images(TRAIN.pixels, TRAIN.target[:3]), TEST)
    bad = TRAIN.pixels.copy()
    bad[3, 4] = np.nan
    with pytest.raises(ValueError, match="train must hold finite pixels"):
        Run(SMALL, CONFIG, Images(bad, TRAIN.target), TEST)


def test_a_sample_may_have_several_answers(tmp_path):
    """Accuracies are shares of the answers, and a resumed run knows how many there are."""
    train, test = (one._replace(target=one.target[:, None] + [0, 1]) for one in (TRAIN, TEST))
    model = replace(MODELS[-1], classes=4, answers=2)
    found = Run(model, CONFIG, train, test, folder=tmp_path / "run")
    for epoch in found.epochs():
        assert 0.0 <= epoch.accuracy <= 1.0
    parameters = read_run(tmp_path / "run" / LAST).parameters
    outputs = model.outputs(parameters, test, Conditions())
    assert outputs.shape == (40, 2, 4)
    right = outputs.argmax(axis=-1) == test.target
    assert found.accuracy({}, hard=False) == pytest.approx(right.mean())
    assert found.history[-1].accuracy > 0.4  # a third by chance
    again = Run.resumed(tmp_path / "run", train, test, models=CLASSIFIERS)
    assert again.history == found.history


def test_a_lost_loss_is_reported():
    found = run(MODELS[1], replace(CONFIG, learning_rate=1e30, clip_norm=None, rate="constant"))
    with pytest.raises(
        ValueError, match=r"the loss is nan in epoch 1, step 2; try a smaller learning rate"
    ):
        list(found.epochs())
