"""Trainings that anneal: what the studies measure, and that pages say what was run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from libraries import libraries

from hopcore import datasets
from hopcore.__main__ import main
from hopcore.experiments.annealing import distributions, temperature_floor
from hopcore.experiments.annealing import gradients as annealing_gradients
from hopcore.experiments.annealing import report as annealing_report
from hopcore.experiments.annealing import trials as annealing
from hopcore.experiments.annealing.gradients import Gradient
from hopcore.experiments.annealing.report import Point
from hopcore.experiments.annealing.trials import Outcome, Trial
from hopcore.experiments.models.image_classifiers import HNM, VQ, Images
from hopcore.experiments.tables import Spread, facts_of, percent
from hopcore.files._csv import from_csv, to_csv
from hopcore.training import Conditions
from hopcore.training import _trainer as training
from hopcore.training._run_files import Epoch

RESULTS = Path(__file__).parents[2] / "docs" / "results"


# Images.


def numbered(count):
    """Images that say which they are."""
    return datasets.Images(np.arange(float(count))[:, None], (1, 1), np.arange(count) % 10)


@pytest.mark.parametrize("count", [2, 3, 11, 1797])
def test_every_image_trains_or_tests(count):
    parts = datasets.split_images(numbered(count), 3)
    assert [len(part.target) for part in parts] == [count * 4 // 5, count - count * 4 // 5]
    pixels = np.concatenate([part.pixels for part in parts])[:, 0]
    np.testing.assert_array_equal(np.sort(pixels), np.arange(count))
    for part in parts:
        np.testing.assert_array_equal(part.target, part.pixels[:, 0] % 10)
        assert (part.pixels.dtype, part.target.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize("count", [10, 11, 25, 1797])
def test_every_image_trains_validates_or_tests(count):
    """The images that test are the same with and without validation images."""
    train, validation, test = datasets.split_three(numbered(count), 3)
    whole, alone = datasets.split_images(numbered(count), 3)
    np.testing.assert_array_equal(test.pixels, alone.pixels)
    both = [np.concatenate(pair) for pair in zip(train, validation, strict=True)]
    for joined, one in zip(both, whole, strict=True):
        np.testing.assert_array_equal(joined, one)
    assert len(validation.target) == count * 4 // 5 // 8 > 0


def test_a_seed_draws_who_trains():
    one, again, other = (datasets.split_images(numbered(50), seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.pixels, again.pixels)
    assert set(one.pixels[:, 0]) != set(other.pixels[:, 0])


def test_what_cannot_be_split():
    with pytest.raises(ValueError, match="need labels"):
        datasets.split_images(numbered(9)._replace(labels=None), 0)
    with pytest.raises(ValueError, match=r"at least 2 images.*got 1"):
        datasets.split_images(numbered(1), 0)
    with pytest.raises(ValueError, match=r"at least 10 images.*got 9"):
        datasets.split_three(numbered(9), 0)


# Trials.


def test_a_trial_is_what_its_epochs_were():
    arms = annealing.schedules(epochs=3, batch_size=200)
    arms = [arm for arm in arms if arm.name in ("linear", "MLP")][:3]
    found = list(annealing.run_trials("digits", datasets.digits(), arms, seeds=2))
    assert [(o.trial.model, o.trial.seed) for o in found] == [
        (model, seed) for seed in (0, 1) for model in ("HNM 1", "HNM 2", "baseline")
    ]
    for trial, history in found:
        last, hard = history[-1], [epoch.hard for epoch in history]
        assert [epoch.epoch for epoch in history] == [1, 2, 3]
        assert (trial.loss, trial.train) == (last.loss, last.accuracy)
        assert (trial.soft, trial.hard) == (last.soft, last.hard)
        assert (trial.best, trial.best_epoch) == (max(hard), 1 + int(np.argmax(hard)))
        plain = trial.model == "baseline"
        assert trial.temperature == (None if plain else pytest.approx(0.001))
    assert found[0].trial.hard != found[3].trial.hard


def test_arms_differ_from_the_first_in_what_they_say():
    """Of the studies that change one thing, or what belongs together, of a first arm."""
    for arms in (temperature_floor.causes([30]), temperature_floor.cures([30])):
        for model in dict.fromkeys(arm.model for arm in arms):
            first, *others = [arm for arm in arms if arm.model == model]
            for arm in others:
                config, model_settings = arm.config.to_dict(), arm.build((8, 8)).to_dict()
                start, own = first.config.to_dict(), first.build((8, 8)).to_dict()
                kinds = {type(arm.build((8, 8))), type(first.build((8, 8)))}
                unlike = {k for k in config if config[k] != start[k]}
                unlike |= {k for k in own if own[k] != model_settings[k]}
                assert unlike or len(kinds) == 2, arm.name
                assert len(unlike) <= 2, arm.name


def test_an_unbound_bottleneck_has_the_cross_entropy_alone():
    model, bound = temperature_floor.Unbound(size=64), VQ(size=64)
    parameters = model.first_parameters(seed=0)
    batch = datasets.split_images(datasets.digits(), 0)[1]
    loss, outputs = model.objective(parameters, batch, Conditions())
    logs = outputs - np.log(np.exp(outputs).sum(axis=-1, keepdims=True))
    assert loss == pytest.approx(-logs[np.arange(len(outputs)), batch.target].mean(), rel=1e-5)
    whole, same = bound.objective(parameters, batch, Conditions())
    np.testing.assert_array_equal(outputs, same)
    assert whole > loss + 0.1


# Gradients.


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
@pytest.mark.parametrize("temperature", [0.1, 0.002])
@pytest.mark.parametrize("clip_norm", [None, 0.01])
@pytest.mark.parametrize("backend", libraries())
def test_the_norm_of_a_step_is_that_of_torchs_gradient(backend, clip_norm, temperature, hard):
    torch = pytest.importorskip("torch")
    model = HNM(size=6, classes=3, widths=(5,), quantity=7, num_heads=2)
    parameters, rng = model.first_parameters(seed=0), np.random.default_rng(0)
    pixels = rng.normal(size=(9, 6)).astype(np.float32)
    batch = Images(pixels, (np.arange(9) % 3).astype(np.int32))
    at = {"memory": temperature}
    one = training.trainer(backend, model, parameters, learning_rate=0.0, clip_norm=clip_norm)
    found = one.step(batch, at, hard=hard)
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in parameters.items()}
    tensors = Images(*(torch.tensor(array) for array in batch))
    want, _ = model.objective(leaves, tensors, Conditions(at, hard))
    want.backward()
    squares = sum(float((leaf.grad.double() ** 2).sum()) for leaf in leaves.values())
    assert float(found.loss) == pytest.approx(float(want.detach()), rel=1e-4)
    assert float(found.norm) == pytest.approx(squares**0.5, rel=1e-3)
    for name, value in one.parameters().items():
        np.testing.assert_array_equal(value, parameters[name])


# Reports.


def made(arm, seed, soft, hard, best, *, model="m", epochs=2, at=2):
    return Trial("d", model, arm, epochs, seed, 0.5, 1.0, soft, hard, best, at, 0.1, 1.5)


def test_a_line_is_an_arm_over_its_seeds():
    done = [
        made("a", 0, 0.9, 0.5, 0.75), made("b", 0, 1.0, 1.0, 1.0, model="n"),
        made("a", 1, 0.7, 0.7, 0.75, at=1), made("a", 0, 0.5, 0.5, 0.5, epochs=9),
        made("c", 0, 0.5, 0.7, 0.5), made("c", 1, 0.5, 0.6, 0.5),
    ]  # fmt: skip
    lines = annealing_report.summary(done)
    assert [(line.model, line.epochs, line.arm, line.seeds) for line in lines] == [
        ("m", 2, "a", 2), ("m", 2, "c", 2), ("m", 9, "a", 1), ("n", 2, "b", 1)
    ]  # fmt: skip
    first = lines[0]
    assert first.soft == pytest.approx((0.8, 0.02**0.5))
    assert first.lost == pytest.approx((0.15, 0.02**0.5))
    assert first.gap == pytest.approx((0.2, 0.08**0.5))
    assert (first.most_lost, first.most_gap) == pytest.approx((0.25, 0.4))
    assert first.best_epoch.mean == 1.5
    assert first.more == (0.0, 0.0)
    assert lines[1].more == pytest.approx((0.05, 0.045**0.5))
    table = annealing_report.table(lines).markdown()
    assert table.startswith("| model | epochs | arm | soft |")
    assert "| 15.0 ± 14.1 (25.0) | 20.0 ± 28.3 (40.0) |" in table
    assert annealing_report.table(lines[:2]).markdown().startswith("| model | arm | soft |")
    assert json.loads(json.dumps(facts_of(first)))["lost"]["mean"] == pytest.approx(0.15)


def test_points_are_means_over_the_seeds():
    def epoch(number, hard, temperatures):
        return Epoch(number, 0.5, 0.5, 0.5, hard, 1.0, temperatures, 1.0, 1.0)

    histories = [[(1, 0.5), (2, 0.75)], [(1, 0.25), (2, 0.75)]]
    done = [
        Outcome(made("a", seed, 1, 1, 1), [epoch(*one, {"x": 0.5, "y": 9.0}) for one in history])
        for seed, history in enumerate(histories)
    ]
    done.append(Outcome(made("b", 0, 1, 1, 1), [epoch(1, 0.5, {})]))
    found = annealing_report.points(done)
    assert [point[2:6] for point in found] == [
        ("a", 2, 1, 0.5), ("a", 2, 2, 0.5), ("b", 2, 1, None)
    ]  # fmt: skip
    assert [point[-3:] for point in found] == [(0.375, 0.25, 0.5), (0.75,) * 3, (0.5,) * 3]
    text = to_csv(found, Point)
    assert from_csv(text, Point) == found


def test_a_table_of_gradients_has_the_largest_mean():
    found = [
        Gradient("d", "m", "a", 2, seed, "soft", t, 0.5, mean, 9.0, 0.25 * seed, 1.0)
        for seed in (0, 1)
        for t, mean in ((0.1, 1.0), (0.01, 5.0 + seed), (0.001, 2.0))
    ]
    table = annealing_gradients.table(found).markdown()
    assert table.endswith(
        "| m | a | soft | 1 | 5.5 | 2 | 5.5 (0.01) |" + " 12.5 |" * 3 + " 100.0 |" * 3 + "\n"
    )


def test_unstable_trainings_are_shown_as_distributions():
    """Of five seeds, two lose more than five points."""
    hards, bests = (0.2, 0.9, 0.85, 0.95, 1.0), (0.9, 0.95, 0.95, 0.95, 1.0)
    both = zip(hards, bests, strict=True)
    trials = [
        Trial("d", "m", arm, 3, seed, 0.1, 1.0, hard + 0.01, hard + more, best + more, 2, 0.1, 1.0)
        for seed, (hard, best) in enumerate(both)
        for arm, more in (("first", 0.0), ("second", -0.1))
    ]
    first, second = distributions.summary(trials)
    assert (first.arm, first.seeds, first.collapsed, second.collapsed) == ("first", 5, 2, 2)
    assert tuple(first.hard) == pytest.approx((0.2, 0.85, 0.9, 0.95))
    assert (first.most_lost, first.lost.median) == pytest.approx((0.7, 0.05))
    assert second.more == pytest.approx((-0.1, -0.1, -0.1))
    text = distributions.table([first, second]).markdown()
    assert "| m | first | 91.0 | 90.0 (85.0-95.0) | 20.0 | 5.0 (0.0-10.0) | 70.0 | 2 of 5 |" in text
    assert text.endswith("| -10.0 (-10.0 to -10.0) |\n")
    assert json.loads(json.dumps(first.facts()))["hard"]["median"] == pytest.approx(0.9)


def test_shares_are_shown_with_the_worst():
    assert percent(Spread(0.5, 0.015)) == "50.0 ± 1.5"
    assert annealing_report.with_worst(Spread(0.5, 0.015), 0.75) == "50.0 ± 1.5 (75.0)"


CURES = "temperature-floor-cures"
PAGES = {
    "annealing-digits": ("annealing", ""),
    "annealing-mnist": ("annealing", " --dataset mnist"),
    "annealing-mnist-rate": ("annealing", " --dataset mnist"),
    "annealing-survival": ("annealing", " --study survival"),
    "annealing-survival-mnist": ("annealing", " --study survival --dataset mnist"),
    "annealing-sizes": ("annealing", " --study sizes"),
    "annealing-sizes-mnist": ("annealing", " --study sizes --dataset mnist"),
    "temperature-floor": ("temperature-floor", ""),
    "temperature-floor-causes": ("temperature-floor", " --study causes"),
    "temperature-floor-jump": ("temperature-floor", " --study jump"),
    "temperature-floor-words": ("temperature-floor", " --dataset words"),
    CURES: ("temperature-floor", " --study cures"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_the_table_of_its_trials(name):
    text = (RESULTS / f"{name}.csv").read_text(encoding="utf-8")
    trials = from_csv(text, Trial)
    assert to_csv(trials, Trial) == text
    assert len({trial[:5] for trial in trials}) == len(trials)
    where, command = PAGES[name]
    page = (RESULTS / f"{where}.md").read_text(encoding="utf-8")
    table = annealing_report.table(annealing_report.summary(trials))
    if name == CURES:
        table = distributions.table(distributions.summary(trials))
        assert len({trial.seed for trial in trials}) >= 10
    assert table.markdown() in page
    assert f"\n$ hopcore experiment {where}{command}" in page
    shows_picture(page, name)
    each = (RESULTS / f"{name}-epochs.csv").read_text(encoding="utf-8")
    points = from_csv(each, Point)
    assert to_csv(points, Point) == each
    places = {point[:4]: point for point in points}  # the last epochs
    for line in annealing_report.summary(trials):
        last = places[line[:4]]
        assert last.epoch == line.epochs
        assert (last.soft, last.hard) == pytest.approx((line.soft.mean, line.hard.mean), abs=1e-4)


def test_a_page_shows_the_table_of_its_gradients():
    text = (RESULTS / "annealing-gradients.csv").read_text(encoding="utf-8")
    found = from_csv(text, Gradient)
    assert to_csv(found, Gradient) == text
    page = (RESULTS / "annealing.md").read_text(encoding="utf-8")
    assert annealing_gradients.table(found).markdown() in page
    assert "\n$ hopcore experiment annealing --study gradients" in page
    shows_picture(page, "annealing-gradients")


def shows_picture(page, name):
    assert f"]({name}.png)" in page
    assert (RESULTS / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


# The command line.


def run(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


FEW = {
    "annealing": ("annealing-schedules", 5, "--arm linear,phase-aware,MLP"),
    "annealing --study survival": ("annealing-survival", 4, "--arm constant\N{SPACE}rate"),
    "annealing --study sizes": ("annealing-sizes", 2, "--arm MLP,gumbel"),
    "temperature-floor": ("temperature-floor-fixes", 4, "--arm aligned,hard\N{SPACE}path"),
    "temperature-floor --dataset words": ("temperature-floor-fixes", 2, "--arm hard\N{SPACE}path"),
    "temperature-floor --study causes": ("temperature-floor-causes", 4, "--arm unbound,bare"),
    "temperature-floor --study cures": ("temperature-floor-cures", 4, "--arm aligned,clipping"),
}


@pytest.mark.parametrize("command", FEW)
def test_a_command_writes_its_csvs_its_picture_and_its_table(
    capsys, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    name, count, arms = FEW[command]
    epochs = "1,2" if "floor" in command else "1"
    if "causes" in command or "cures" in command:
        epochs = "1"
    args = ["experiment", *command.split(), *arms.split(maxsplit=1), "--epochs", epochs]
    args += ["--batch-size", "128", "--seeds", "1"]
    code, out, err = run(capsys, *args)
    assert (code, err) == (0, "")
    assert ("(quartiles)" if "cures" in command else "±") in out
    assert "…" not in out
    first = (tmp_path / f"{name}.csv").read_text()
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert len((tmp_path / f"{name}-epochs.csv").read_text().splitlines()) > count
    code, out, err = run(capsys, *args, "--markdown", "t.md", "--json")
    assert (code, err) == (0, "")
    again = (tmp_path / f"{name}.csv").read_text()
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(x.splitlines())]
        for x in (first, again)
    ]
    assert timeless[0] == timeless[1]
    assert len(timeless[0]) == count
    assert len(json.loads(out)["lines"]) == count
    assert (tmp_path / "t.md").read_text().count("\n") == 2 + count


def test_gradients_on_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(annealing_gradients, "TEMPERATURES", (0.1, 0.01))
    args = ["experiment", "annealing", "--study", "gradients", "--arm", "cosine", "--seeds", "1"]
    code, out, err = run(
        capsys, *args, "--epochs", "1", "--batch-size", "400", "--markdown", "t.md"
    )
    assert (code, err) == (0, "")
    assert "at T" in out
    assert "…" not in out
    text = (tmp_path / "annealing-gradients.csv").read_text()
    found = from_csv(text, Gradient)
    places = {(one.model, one.path, one.temperature) for one in found}
    assert len(places) == len(found) == 2 * 2 * 2
    assert all(0.0 < one.mean <= one.most for one in found)
    assert all(one.full == one.scaled for one in found if one.temperature == 0.1)
    assert all(one.full != one.scaled for one in found if one.temperature != 0.1)
    assert (tmp_path / "t.md").read_text() == annealing_gradients.table(found).markdown()
    assert (tmp_path / "annealing-gradients.png").read_bytes().startswith(b"\x89PNG")


BAD = {
    "study": ("annealing --study x", "unknown study 'x'"),
    "floor study": ("temperature-floor --study schedules", "unknown study 'schedules'"),
    "rate": ("annealing --rate none --epochs 1", "unknown rate 'none'"),
    "arm": ("annealing --arm linear,warm", "unknown arm 'warm'"),
    "arm twice": ("annealing --arm linear,linear", "arm must have no value twice"),
    "epochs": ("temperature-floor --epochs 30,1.5", "epochs must be integers"),
    "no epochs": ("temperature-floor --epochs 0", "epochs must be >= 1, got 0"),
    "epochs twice": ("temperature-floor --epochs 3,3", "epochs must have no value twice"),
    "numpy": ("annealing --backend numpy", "nothing trains on 'numpy'"),
    "data set": ("annealing --dataset cifar", "unknown data set 'cifar'"),
    "no data": ("temperature-floor --dataset mnist", "none was given (data=, or --data)"),
    "no such words": ("temperature-floor --dataset text", "known: digits, mnist, words"),
    "folder of words": ("temperature-floor --dataset words --data .", "the words come with Python"),
    "folder": ("annealing --csv no/where.csv", "folder no does not exist"),
    "seeds": ("annealing --seeds 0", "--seeds"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    command, message = BAD[what]
    code, out, err = run(capsys, "experiment", *command.split())
    assert (code, out) == (2, "")
    assert err.startswith("hopcore: ")
    assert err.count("\n") == 1
    assert message in err
    assert not list(tmp_path.iterdir())
