"""Sequences that are remembered, their classifier, and the study of temperature profiles."""

from __future__ import annotations

import csv
import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from libraries import libraries, needs

from hopcore.__main__ import main
from hopcore.experiments.data import sequences
from hopcore.experiments.data.sequences import ASK, SYMBOLS, TASKS, VOCABULARY
from hopcore.experiments.models.sequence_classifier import SequenceClassifier
from hopcore.experiments.temperature_profiles import files as profiles_files
from hopcore.experiments.temperature_profiles import report as profiles_report
from hopcore.experiments.temperature_profiles import trials as profiles
from hopcore.experiments.temperature_profiles.trials import (
    ARMS,
    PACES,
    Arm,
    Fitting,
    Outcome,
    Trial,
    Warmth,
)
from hopcore.files._csv import from_csv, to_csv
from hopcore.schedules._learnable_temperature import PROFILES
from hopcore.training import _trainer as training

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PNG = b"\x89PNG\r\n\x1a\n"
SMALL = {"width": 16, "hidden": 16, "layers": 2, "num_heads": 2}


def rng(seed=0):
    return np.random.default_rng(seed)


# Sequences.


def remembered(task, row, distance):
    """What the symbols before the answers say of them, found as a reader would find it."""
    row = list(row)
    if task == "latch":
        return [row[0]]
    if task == "copy":
        return row[: row.index(ASK) - distance]
    pairs, asked = row[: -distance - sequences.PAIRS], row[-sequences.PAIRS :]
    return [pairs[pairs.index(key) + 1] for key in asked]


@pytest.mark.parametrize("distance", [0, 1, 7])
@pytest.mark.parametrize("task", TASKS)
def test_the_beginning_tells_the_answers(task, distance):
    if task == "recall" and distance == 0:
        distance = 2
    found = TASKS[task](rng(), 300, distance)
    for row, target in zip(found.symbols, found.target, strict=True):
        assert remembered(task, row, distance) == list(target)
    assert found.symbols.min() >= 0
    assert found.symbols.max() < VOCABULARY
    longer = TASKS[task](rng(), 300, distance + 5)
    assert longer.symbols.shape[1] == found.symbols.shape[1] + 5
    assert found.symbols.shape[1] <= sequences.longest(distance)


@pytest.mark.parametrize("task", TASKS)
def test_answers_are_spread_evenly(task):
    """No symbol is likelier than another, so that guessing has no head start."""
    found = TASKS[task](rng(), 4000, 3)
    symbols, counts = np.unique(found.target, return_counts=True)
    assert (
        len(symbols) == {"latch": sequences.FIRSTS, "copy": SYMBOLS, "recall": SYMBOLS // 2}[task]
    )
    assert counts.max() < 1.2 * counts.min()


def test_only_the_place_tells_the_latch():
    found = sequences.latch(rng(), 4000, 6)
    inside = [np.bincount(found.symbols[:, place], minlength=8) for place in range(7)]
    assert np.min(inside) > 0.8 * np.max(inside)
    assert (found.symbols[:, -1] == ASK).all()


def test_symbols_to_remember_differ_and_are_no_noise():
    copied = sequences.copy(rng(), 500, 4)
    assert all(len(set(row)) == sequences.COPIED for row in copied.target)
    gap = copied.symbols[:, sequences.COPIED : sequences.COPIED + 4]
    assert (gap.min(), gap.max()) == (SYMBOLS, ASK - 1)
    asked = sequences.recall(rng(), 500, 4).symbols[:, -sequences.PAIRS :]
    assert all(len(set(row)) == sequences.PAIRS for row in asked)


@pytest.mark.parametrize(("count", "distance"), [(0, 3), (3, -1)])
@pytest.mark.parametrize("task", TASKS)
def test_sequences_refuse(task, count, distance):
    with pytest.raises(ValueError, match=f"count >= 1 and distance >= 0, got {count}, {distance}"):
        TASKS[task](rng(), count, distance)


# The classifier.


def classifier(**options):
    return SequenceClassifier(length=sequences.longest(6), **(SMALL | options))


def test_an_answer_does_not_see_what_follows():
    model, batch = classifier(), sequences.copy(rng(), 5, 4)
    parameters = model.first_parameters(seed=0)
    plain = model.outputs(parameters, batch)
    for place in range(1, sequences.COPIED):
        changed = batch.symbols.copy()
        changed[:, -place] = (changed[:, -place] + 1) % SYMBOLS
        other = model.outputs(parameters, batch._replace(symbols=changed))
        np.testing.assert_array_equal(other[:, :-place], plain[:, :-place])
        assert (np.abs(other - plain)[:, -place:].max(axis=(1, 2)) > 1e-3).all()


def test_attention_is_to_what_was_before():
    model, batch = classifier(), sequences.recall(rng(), 3, 4)
    found = model.attention(model.first_parameters(seed=0), batch.symbols)
    length = batch.symbols.shape[1]
    assert [layer.shape for layer in found] == [(3, 2, length, length)] * 2
    for layer in found:
        np.testing.assert_allclose(layer.sum(axis=-1), 1.0, rtol=1e-5)
        assert (np.triu(layer, 1) == 0.0).all()
        assert (layer[..., 1:, :2].max(axis=-1) < 1.0).all()


@pytest.mark.parametrize("profile", PROFILES)
def test_fixed_learned_and_quick_start_alike(profile):
    batch, found, warm = sequences.copy(rng(), 4, 5), [], []
    for pace in PACES.values():
        model = classifier(profile=profile, learned=pace > 0.0, pace=pace or 1.0)
        parameters = model.first_parameters(seed=3)
        assert any("temperature" in name for name in parameters) == (pace > 0.0)
        found.append(model.outputs(parameters, batch))
        warm.append(model.temperatures(parameters))
    factors = {
        "standard": [[1, 1], [1, 1]], "hot-to-cold": [[2, 2], [0.5, 0.5]],
        "throbbing": [[2, 2], [0.5, 0.5]], "hot-reasoner": [[2, 1], [2, 1]],
    }[profile]  # fmt: skip
    for outputs, temperatures in zip(found, warm, strict=True):
        np.testing.assert_allclose(outputs, found[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(temperatures, factors, rtol=1e-6)


def test_a_temperature_is_a_scale_of_the_queries():
    """So that learning one adds nothing to what a layer can say."""
    hot, plain = classifier(profile="throbbing"), classifier()
    parameters, batch = plain.first_parameters(seed=0), sequences.copy(rng(), 4, 5)
    scaled = dict(parameters)
    for layer, factor in enumerate((2.0, 0.5)):
        name = f"layers.{layer}.hopfield_association.association_core.in_proj_weight"
        scaled[name] = parameters[name].copy()
        scaled[name][: SMALL["width"]] /= factor  # the biases start at 0
    cooled = plain.outputs(scaled, batch)
    np.testing.assert_allclose(cooled, hot.outputs(parameters, batch), rtol=1e-4, atol=1e-5)
    assert np.abs(cooled - plain.outputs(parameters, batch)).max() > 1e-3


def test_a_classifier_refuses():
    model = classifier()
    long = sequences.copy(rng(), 1, 7)
    with pytest.raises(ValueError, match=r"must have 22 symbols at most, got 23"):
        model.outputs(model.first_parameters(seed=0), long)
    with pytest.raises(ValueError, match="unknown profile 'cold'"):
        classifier(profile="cold")
    with pytest.raises(ValueError, match="pace must be positive"):
        classifier(pace=0.0)


def quick_trainer(backend):
    """A small classifier whose temperatures are learned fast, and its trainer."""
    fitting = Fitting(**(SMALL | {"layers": 1}), distances=(4,))
    model = fitting.classifier(Arm("quick", "hot-reasoner"))
    parameters = model.first_parameters(seed=0)
    return model, training.trainer(backend, model, parameters, learning_rate=1e-3, weight_decay=0.0)


@pytest.mark.parametrize("backend", libraries())
def test_a_first_step_moves_each_temperature_by_the_rate(backend):
    """Adam's first step has the size of the learning rate, whatever the gradient."""
    model, trainer = quick_trainer(backend)
    before = model.temperatures(trainer.parameters())
    trainer.step(sequences.copy(rng(), 8, 4))
    after = model.temperatures(trainer.parameters())
    usual = math.sqrt(SMALL["width"] / SMALL["num_heads"])
    # softplus, whose slope is 1 - exp(-T)
    wanted = 1e-3 * PACES["quick"] * -np.expm1(-before * usual) / usual
    np.testing.assert_allclose(np.abs(after - before), wanted, rtol=0.01)


@pytest.mark.skipif(bool(needs("optax")), reason="optax is not installed")
def test_torch_and_jax_train_alike():
    batch, found = sequences.copy(rng(), 8, 4), []
    for backend in ("torch", "jax"):
        _, trainer = quick_trainer(backend)
        found.append([float(trainer.step(batch).loss) for _ in range(6)])
    np.testing.assert_allclose(*found, rtol=1e-4)


# The study.


def test_a_task_is_learned_where_two_batches_are_right():
    def steps(*shares):
        return profiles.converged(dict(zip(range(1, 100, 7), shares, strict=False)))

    assert steps(0.1, 0.95, 0.2, 0.9, 1.0, 0.3) == 22
    assert steps(1.0, 1.0) == 1
    assert steps(0.0, 0.5, 0.89, 1.0) is None
    assert steps(1.0) is None


def test_tasks_and_distances_take_turns_and_the_rate_rises_and_falls():
    fitting = Fitting(distances=(2, 4), steps=40)
    assert fitting.cells == [(task, distance) for distance in (2, 4) for task in TASKS]
    rates = [fitting.rate(step) for step in range(1, 41)]
    assert rates[3:20] == [1.0] * 17
    assert rates[0] == 0.25
    assert rates[-1] == 0.05
    assert all(0.0 < rate <= 1.0 for rate in rates)


def test_a_small_classifier_learns_the_latch():
    fitting = Fitting(
        tasks=("latch",), distances=(2, 6), width=32, hidden=32, layers=1, num_heads=2,
        steps=160, batch_size=32, learning_rate=1e-2,
    )  # fmt: skip
    (found,) = profiles.run_trials([Arm("learned", "hot-reasoner")], fitting, [0])
    assert [trial.distance for trial in found.trials] == [2, 6]
    for trial in found.trials:
        assert trial.accuracy > 0.95
        assert 1.0 <= trial.perplexity < 1.3
        assert trial.converged is not None
        assert 1 <= trial.converged <= 159
    starts = [one.start for one in found.warmths]
    assert starts == pytest.approx([2.0, 1.0])
    assert all(abs(one.end - one.start) > 1e-3 for one in found.warmths)
    assert found.attention.shape[:2] == (1, 2)


def test_arms_see_the_same_sequences():
    """An arm's trial depends on its seed alone, not on what was trained before."""
    fitting = Fitting(**SMALL, distances=(2,), steps=6, batch_size=4)
    arms = [Arm("fixed", "standard"), Arm("learned", "throbbing")]
    both = list(profiles.run_trials(arms, fitting, [0, 1]))
    alone = list(profiles.run_trials(arms[1:], fitting, [1], done={(arms[1], 0)}))
    assert len(both) == 4
    assert [t._replace(seconds=0) for t in both[3].trials] == [
        t._replace(seconds=0) for t in alone[0].trials
    ]
    left = profiles.run_trials(arms, fitting, [0], done={(arm, 0) for arm in arms})
    assert list(left) == []


# Reports.


def made(arm, seed, task="copy", distance=4, accuracy=0.5, converged=None):
    return Trial(*arm, seed, task, distance, accuracy, 2.0, converged, 1.5)


ONE, TWO = Arm("fixed", "standard"), Arm("quick", "throbbing")


def test_a_summary():
    trials = [
        made(TWO, 0, distance=8, accuracy=0.25, converged=10),
        made(TWO, 1, distance=8, accuracy=0.75),
        made(ONE, 0, distance=8), made(ONE, 0), made(ONE, 0, task="latch", distance=8),
    ]  # fmt: skip
    lines = profiles_report.summary(trials)
    assert [(line.task, line.arm, line.seeds) for line in lines] == [
        ("copy", ONE, 1), ("copy", TWO, 2), ("latch", ONE, 1)
    ]  # fmt: skip
    assert lines[1].accuracy == pytest.approx((0.5, 0.125**0.5))
    assert profiles_report.cells(lines[0])[-1] == "-"
    assert profiles_report.cells(lines[1])[2:] == (
        "2", "50.0 ± 35.4", "2.000 ± 0.000", "10 (1 of 2)"
    )  # fmt: skip
    json.dumps([line.facts() for line in lines], allow_nan=False)


def test_moves_are_factors():
    warmths = [
        Warmth(*ONE, 0, 0, 0, 1.0, 1.0), Warmth(*TWO, 0, 0, 0, 2.0, 4.0),
        Warmth(*TWO, 0, 0, 1, 0.5, 0.25), Warmth(*TWO, 1, 0, 0, 2.0, 4.0),
    ]  # fmt: skip
    (move,) = profiles_report.moves(warmths)
    assert move == (TWO, 0.5, 2.0, pytest.approx(2.0))
    assert (
        "| quick:throbbing | 0.500 | 2.000 | 2.000 |"
        in profiles_report.table_of_moves([move]).markdown()
    )


def test_files_are_read_as_they_were_written(tmp_path):
    kept = profiles_files.Kept([], [], {})
    for seed in (0, 1):
        trials = [made(ONE, seed, converged=7), made(ONE, seed, task="latch")]
        warmths = [Warmth(*ONE, seed, 0, 1, 0.5, 0.625)]
        kept.add(Outcome(trials, warmths, np.full((1, 1, 2, 2), 0.5 + seed)))
    path = tmp_path / "x.csv"
    profiles_files.write(kept, path)
    again = profiles_files.read(path)
    assert again[:2] == kept[:2]
    assert again.done == {(ONE, 0), (ONE, 1)}
    np.testing.assert_array_equal(again.attention[str(ONE)], 0.5)
    # A run that ended between two files: the temperatures of a trial that is not there.
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    assert profiles_files.read(path).warmths == kept.warmths[:1]
    (tmp_path / "x-attention.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"x-attention.npz is no whole .npz file"):
        profiles_files.read(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="the columns must be mode, profile"):
        profiles_files.read(path)


def test_the_page_shows_the_tables_of_its_trials():
    names = "temperature-profiles.csv", "temperature-profiles-temperatures.csv"
    texts = [(RESULTS / name).read_text(encoding="utf-8") for name in names]
    trials, warmths = (
        from_csv(text, kind) for text, kind in zip(texts, (Trial, Warmth), strict=True)
    )
    assert to_csv(trials, Trial) == texts[0]
    assert to_csv(warmths, Warmth) == texts[1]
    page = (RESULTS / "temperature-profiles.md").read_text(encoding="utf-8")
    assert profiles_report.table(profiles_report.summary(trials)).markdown() in page
    assert profiles_report.table_of_moves(profiles_report.moves(warmths)).markdown() in page
    assert "\n$ hopcore experiment temperature-profiles" in page
    for end in ("", "-temperatures", "-attention"):
        assert f"](temperature-profiles{end}.png)" in page
        assert (RESULTS / f"temperature-profiles{end}.png").read_bytes().startswith(PNG)
    places = [(t.arm, t.seed, t.task, t.distance) for t in trials]
    assert len(set(places)) == len(places)
    heads = {(one.arm, one.seed, one.layer, one.head) for one in warmths}
    ran = {(t.arm, t.seed) for t in trials}
    assert heads == {
        (*one, layer, head) for one in ran for layer, head in product(range(4), range(4))
    }


def compared(trials, mode):
    """Compare an arm with the fixed arm that has the same start.

    Count the pairs with equal steps, all pairs, and those that need fewer and more steps; the last
    value is how far the mean accuracies differ, in percentage points.
    """
    found = {(t.arm, t.seed, t.task, t.distance): t for t in trials}
    pairs = [
        (t, found[Arm("fixed", t.profile), t.seed, t.task, t.distance])
        for t in trials
        if t.mode == mode
    ]
    same = sum(one.converged == other.converged for one, other in pairs)
    more = 100.0 * np.mean([one.accuracy - other.accuracy for one, other in pairs])
    both = [
        (one.converged, other.converged)
        for one, other in pairs
        if None not in (one.converged, other.converged)
    ]
    earlier = sum(one < other for one, other in both)
    later = sum(one > other for one, other in both)
    return same, len(pairs), earlier, later, f"{abs(more):.2f}"


def test_the_page_counts_the_pairs_of_its_trials():
    text = (RESULTS / "temperature-profiles.csv").read_text(encoding="utf-8")
    page = (RESULTS / "temperature-profiles.md").read_text(encoding="utf-8")
    words = " ".join(page.split())
    for mode in ("learned", "quick"):
        same, pairs, earlier, later, more = compared(from_csv(text, Trial), mode)
        assert same + earlier + later == pairs
        assert f"in {same} of {pairs} pairs" in words
        assert f"earlier in {earlier} of the others" in words
        assert f"later in {later}" in words
        assert f"accuracies differ by {more} points" in words


def test_no_temperature_went_farther_than_its_steps():
    """As the page says: AdamW's steps are about as long as the learning rate, and no longer."""
    fitting = Fitting()
    text = (RESULTS / "temperature-profiles-temperatures.csv").read_text(encoding="utf-8")
    way = fitting.learning_rate * sum(fitting.rate(step) for step in range(1, fitting.steps + 1))
    assert way == pytest.approx(0.135, abs=5e-4)
    for one in from_csv(text, Warmth):
        moved = math.sqrt(fitting.width / fitting.num_heads) * abs(one.end - one.start)
        assert moved <= way * PACES[one.mode]


# The command line.

FEW = ["--steps", "6", "--d-model", "16", "--d-ff", "16", "--layers", "2", "--heads", "2",
       "--distance", "2,4", "--batch-size", "4"]  # fmt: skip


@pytest.fixture
def study(capsys, tmp_path, monkeypatch):
    """Run the command in a folder of its own; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(profiles, "TESTED", 8)

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main(["experiment", "temperature-profiles", *map(str, args)])
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_command_writes_its_files_and_goes_on(study, tmp_path, monkeypatch):
    arms = ["--arm", "fixed:standard,learned:hot-reasoner"]
    code, out, err = study(*FEW, *arms, "--seeds", 1)
    assert (code, err) == (0, "")
    assert "learned:hot-reasoner" in out
    assert "…" not in out
    ends = (
        ".csv",
        ".png",
        "-attention.npz",
        "-attention.png",
        "-manifest.json",
        "-temperatures.csv",
        "-temperatures.png",
    )
    assert {path.name for path in tmp_path.iterdir()} == {f"temperature-profiles{e}" for e in ends}
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(PNG)
    first = (tmp_path / "temperature-profiles.csv").read_text()
    assert first.count("\n") == 1 + 2 * 6

    asked, outcome = [], profiles.outcome
    monkeypatch.setattr(profiles, "outcome", lambda *args: asked.append(args[:2]) or outcome(*args))
    code, out, err = study(*FEW, *arms, "--seeds", 2, "--resume", "--json", "--markdown", "t.md")
    assert (code, err) == (0, "")
    assert asked == [(ONE, 1), (Arm("learned", "hot-reasoner"), 1)]
    assert (tmp_path / "temperature-profiles.csv").read_text().startswith(first)
    found = json.loads(out)
    assert {line["seeds"] for line in found["lines"]} == {2}
    assert [move["arm"] for move in found["moves"]] == ["learned:hot-reasoner"]
    text = (tmp_path / "t.md").read_text()
    assert text.count("\n") == 2 + len(found["lines"]) + 1 + 2 + 1
    again = rows(tmp_path / "temperature-profiles-temperatures.csv")
    assert len(again) == 2 * 2 * 4

    few = [*FEW, "--layers", "1"]
    code, out, err = study(*few, *arms, "--resume")
    assert (code, out) == (2, "")
    assert "have other tasks, distances, layers or heads" in err
    assert err.count("\n") == 1


def test_trials_that_only_stay_draw_no_temperatures(study, tmp_path):
    code, _, err = study(*FEW, "--arm", "fixed:throbbing", "--seeds", 1, "--task", "copy")
    assert (code, err) == (0, "")
    assert not (tmp_path / "temperature-profiles-temperatures.png").exists()
    assert {row["task"] for row in rows(tmp_path / "temperature-profiles.csv")} == {"copy"}


BAD = {
    "task": ("--task sort", "unknown task 'sort'; known: latch, copy, recall"),
    "arm": ("--arm learned:cold", "unknown arm 'learned:cold'"),
    "arm twice": ("--arm fixed:standard,fixed:standard", "arm must have no value twice"),
    "distance": ("--distance 1.5", "distance must be integers"),
    "distance below 0": ("--distance -1,4", "distance >= 0"),
    "steps": ("--steps 0", "--steps"),
    "heads": ("--heads 3", "num_heads"),
    "numpy": ("--backend numpy", "nothing trains on 'numpy'"),
    "folder": ("--csv no/where.csv", "folder no does not exist"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(study, tmp_path, what):
    command, message = BAD[what]
    code, out, err = study(*FEW, *command.split())
    assert (code, out) == (2, "")
    assert err.startswith("hopcore: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_every_profile_has_every_mode():
    assert len(set(map(str, ARMS))) == len(PACES) * len(PROFILES)
