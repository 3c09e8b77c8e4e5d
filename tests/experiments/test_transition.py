"""The studies of real patterns: where they appear, what a suggested beta earns, warm states."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import hopcore
from hopcore import datasets
from hopcore.__main__ import main
from hopcore.datasets import Images
from hopcore.experiments.data.smaller_images import shrink_to
from hopcore.experiments.suggested_beta import report as suggested_beta_report
from hopcore.experiments.suggested_beta import trials as suggested_beta
from hopcore.experiments.suggested_beta.trials import GRID
from hopcore.experiments.transition import report as transition_report
from hopcore.experiments.transition import states as transition_states
from hopcore.experiments.transition import trials as transition
from hopcore.experiments.transition.local_saddle_node import local_saddle_node
from hopcore.experiments.transition.trials import Place
from hopcore.files._csv import from_csv
from hopcore.phase._patterns import HELD

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PNG = b"\x89PNG\r\n\x1a\n"
IMAGES = datasets.digits()


def stored(count=40, seed=0):
    return datasets.choose(IMAGES, count, np.random.default_rng(seed)).pixels


# The local saddle-node.


@pytest.mark.parametrize("count", [3, 10, 100])
def test_it_is_the_saddle_node_of_equidistant_patterns(count):
    patterns = 3.0 * np.eye(count)
    found = local_saddle_node(patterns, np.arange(count))
    wanted = hopcore.phase.saddle_node_beta(count) / hopcore.phase.effective_scale(patterns)
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_two_patterns_appear_where_they_are_held():
    """A weight p of one is a fixed point at b = ln (p / (1-p)) / (2 p - 1)."""
    found = local_saddle_node(np.eye(2), np.arange(2))
    np.testing.assert_allclose(found, math.log(HELD / (1.0 - HELD)) / (2.0 * HELD - 1.0), rtol=1e-7)


@pytest.mark.filterwarnings("ignore::hopcore.phase.HypothesisWarning")
def test_digits_appear_beyond_it_by_little():
    patterns = stored(100)
    appear = hopcore.critical_betas(patterns).appear
    known = np.isfinite(appear)
    ratio = appear[known] / local_saddle_node(patterns, np.arange(100))[known]
    assert known.sum() > 90
    assert ratio.min() > 1.0 - 1e-6
    assert np.median(ratio) < 1.1


@pytest.mark.filterwarnings("ignore::hopcore.phase.HypothesisWarning")
def test_by_distance_every_digit_appears_beyond_it_by_little():
    patterns = stored(100)
    appear = hopcore.critical_betas(patterns, similarity="distance").appear
    ratio = appear / local_saddle_node(patterns, np.arange(100), "distance")
    assert np.isfinite(appear).all()
    assert ratio.min() > 1.0 - 1e-6
    assert np.median(ratio) < 1.1


def test_by_distance_it_does_not_depend_on_the_origin():
    patterns, rows = stored(), np.arange(40)
    one, other = (local_saddle_node(patterns + c, rows, "distance") for c in (0.0, 3.0))
    np.testing.assert_allclose(one, other, rtol=1e-7)


def test_a_pattern_that_another_covers_never_appears():
    patterns = np.asarray([[1.0, 0.0], [2.0, 0.1], [0.0, 1.5]])
    found = local_saddle_node(patterns, np.arange(3))
    assert list(np.isfinite(found)) == [False, True, True]
    some = local_saddle_node(patterns, np.asarray([2]))
    np.testing.assert_array_equal(some, found[2:])


def test_scaled_patterns_appear_at_the_scaled_beta():
    patterns = stored()
    rows = np.arange(len(patterns))
    one, other = (local_saddle_node(c * patterns, rows) for c in (1.0, 10.0))
    np.testing.assert_allclose(one, 100.0 * other, rtol=1e-7)


# Where patterns appear.


def test_a_memory_beside_theory():
    (found, each), *_ = transition.run(IMAGES, [Place("digits", "unit", 30, 1)], 20)
    patterns = stored(30, seed=1)
    patterns = patterns - patterns.mean(axis=0)
    patterns /= np.linalg.norm(patterns, axis=-1, keepdims=True)
    assert found.place == ("digits", "unit", 30, 1)
    assert found.followed == len(each) == 20
    assert found.scale == pytest.approx(hopcore.phase.effective_scale(patterns), rel=1e-6)
    assert found.saddle_node * found.scale == pytest.approx(hopcore.phase.saddle_node_beta(30))
    largest = np.linalg.eigvalsh(np.cov(patterns.T, bias=True))[-1]
    assert found.centroid == pytest.approx(1.0 / largest, rel=1e-5)
    appear = np.asarray([one.appear for one in each])
    assert found.appear05 <= found.appear50 <= found.appear95
    assert found.appear50 in np.sort(appear)
    for one in each:
        apart = np.linalg.norm(patterns - patterns[one.pattern], axis=-1)
        apart[one.pattern] = math.inf
        assert one.distance == pytest.approx(apart.min(), rel=1e-4)
        scores = patterns @ patterns[one.pattern]
        rival = np.delete(scores, one.pattern).max()
        assert one.separation == pytest.approx(scores[one.pattern] - rival, rel=1e-4)
        assert one.norm == pytest.approx(1.0, rel=1e-6)
    separation = [one.separation for one in each]
    wanted = stats.spearmanr(appear, separation).statistic
    assert found.by_separation == pytest.approx(wanted, abs=1e-9)


def test_random_directions_are_what_theory_speaks_of():
    (found, _), *_ = transition.run(IMAGES, [Place("digits", "random", 100, 0)], 50)
    assert found.appear50 * found.scale == pytest.approx(
        hopcore.phase.saddle_node_beta(100), rel=0.05
    )
    assert found.appear95 / found.appear05 < 1.05


def test_of_all_images_there_is_one_memory():
    found = transition.places("digits", ["raw"], [10, 1797], 3, 1797)
    assert [(one.patterns, one.seed) for one in found] == [(10, 0), (10, 1), (10, 2), (1797, 0)]
    run = transition.run(IMAGES, found[:3], 5, done={found[0], found[1]})
    assert [one.place for one, _ in run] == [found[2]]


def test_a_line_through_points():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=9), rng.normal(size=9)
    wanted = stats.linregress(x, y)
    slope, error, kept = transition.line(x, y)
    assert slope == pytest.approx(wanted.slope)
    assert error == pytest.approx(wanted.stderr)
    assert kept == pytest.approx(wanted.rvalue**2)
    assert all(map(math.isnan, transition.line(x[:2], y[:2])))


# What a suggested inverse temperature earns.


def test_one_update_is_the_posterior_mean():
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(20, 8))
    patterns *= 2.0 / np.linalg.norm(patterns, axis=-1, keepdims=True)
    noise = 0.7
    query = patterns[:5] + noise * rng.normal(size=(5, 8))
    found = hopcore.update(query, patterns, suggested_beta.posterior(patterns, noise, "dot"))
    square = np.sum((query[:, None] - patterns) ** 2, axis=-1)
    chance = np.exp(-square / (2.0 * noise**2))
    wanted = chance @ patterns / chance.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert math.isnan(suggested_beta.posterior(patterns, None, "dot"))


def test_one_update_by_distance_is_the_posterior_mean_of_any_patterns():
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(20, 8)) * rng.uniform(0.3, 2.0, size=(20, 1))
    query = patterns[:5] + 0.7 * rng.normal(size=(5, 8))
    chance = np.exp(-np.sum((query[:, None] - patterns) ** 2, axis=-1) / (2.0 * 0.7**2))
    wanted = chance @ patterns / chance.sum(axis=-1, keepdims=True)
    beta = suggested_beta.posterior(patterns, 0.7, "distance")
    found = hopcore.update(query, patterns, beta, similarity="distance")
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert np.max(np.abs(hopcore.update(query, patterns, beta) - wanted)) > 0.1


def test_equidistant_patterns_have_appeared_at_once():
    patterns = np.eye(50)
    wanted = suggested_beta.FURTHER * hopcore.phase.saddle_node_beta(50)
    assert suggested_beta.appeared(patterns, None, "dot") == pytest.approx(wanted)
    assert suggested_beta.appeared(patterns, 0.1, "distance") == pytest.approx(wanted)


def test_patterns_that_noise_hides_are_not_waited_for():
    patterns = stored(200)
    colds = [suggested_beta.appeared(patterns, noise, "dot") for noise in (0.1, 1.0, 3.0)]
    assert colds == sorted(colds, reverse=True)
    assert colds[2] < colds[0]


def test_a_case_is_what_retrieval_does():
    case = suggested_beta.Case("digits", 30, "noise:0.5", "dot", 1, 2)
    found = suggested_beta.run_case(IMAGES, case, np.asarray([0.05, 2.0]))
    assert [one.rule for one in found] == [GRID, GRID, *suggested_beta.RULES]
    rng = np.random.default_rng(2)
    drawn = datasets.choose(IMAGES, 30, rng)
    queries = datasets.corrupt(drawn, "noise:0.5", rng).astype(np.float32)
    memory = drawn.pixels.astype(np.float32)
    state = hopcore.update(queries, memory, 2.0)
    apart = np.linalg.norm(state[:, None] - memory, axis=-1)
    assert found[1].own == np.mean(apart.argmin(axis=-1) == np.arange(30))
    product = np.sum(state * memory, axis=-1)
    length = np.linalg.norm(state, axis=-1) * np.linalg.norm(memory, axis=-1)
    assert found[1].cosine == np.mean(product > 0.9 * length)
    half = suggested_beta.run_case(IMAGES, case._replace(corruption="half"), np.asarray([2.0]))
    assert "posterior" not in [one.rule for one in half]
    other = suggested_beta.run_case(IMAGES, case._replace(similarity="distance"), np.asarray([2.0]))
    state = hopcore.update(queries, memory, 2.0, similarity="distance")
    apart = np.linalg.norm(state[:, None] - memory, axis=-1)
    assert other[0].own == np.mean(apart.argmin(axis=-1) == np.arange(30))


def test_the_knee_and_what_lies_beyond():
    place: Any = ("digits", 10, "half", "dot", 1)
    rows = [(1.0, 0.2), (2.0, 0.79), (4.0, 0.80), (8.0, 0.81)]
    trials = [suggested_beta.Trial(*place, 0, GRID, beta, own, own) for beta, own in rows]
    trials.append(suggested_beta.Trial(*place, 0, "suggested", 6.0, 0.80, 0.78))
    lines = suggested_beta_report.summary(trials)
    assert [one.measure for one in lines] == ["cosine", "own"]
    assert [one.rule for one in lines] == ["suggested"] * 2
    assert [one.knee for one in lines] == pytest.approx([2.0, 2.0])
    assert [one.beyond for one in lines] == pytest.approx([3.0, 3.0])
    assert [one.worst for one in lines] == pytest.approx([-0.01, -0.03])


# States of several patterns.


def test_purity():
    basin, labels = np.asarray([0, 0, 0, 4, 4]), np.asarray([7, 7, 1, 2, 3])
    assert transition_states.purity(basin, labels) == pytest.approx(3 / 5)


def test_one_state_is_the_mean():
    which = transition_states.Memory("digits", 60, 0, "average")
    (found,) = transition_states.run(IMAGES, [which])
    assert (found.states, found.shared, found.members, found.largest) == (1, 1, 1.0, 1.0)
    assert found.mean > 0.98
    assert found.purity == found.chance


def test_states_need_labels():
    which = transition_states.Memory("digits", 20, 0, "average")
    with pytest.raises(ValueError, match="labels"):
        list(transition_states.run(IMAGES._replace(labels=None), [which]))


# The command line.


def study(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        main(["experiment", *map(str, args)])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_transition_on_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["transition", "--stored", "5,10,20", "--images", "raw,random", "--patterns", "p.csv"]
    code, out, _ = study(capsys, *few, "--seeds", 1)
    assert code == 0
    assert "transition.csv" in out
    code, out, _ = study(capsys, *few, "--seeds", 2, "--resume", "--markdown", "t.md", "--json")
    assert code == 0
    found = json.loads(out)
    assert len(found["trials"]) == 12
    assert len(found["fits"]) == 4
    trials = from_csv(Path("transition.csv").read_text(), transition.Trial)
    assert Path("t.md").read_text() == transition_report.to_markdown(trials)
    assert len({one.place for one in trials}) == 12
    patterns = from_csv(Path("p.csv").read_text(), transition.Pattern)
    assert {(one.images, one.patterns, one.seed) for one in patterns} == {("raw", 20, 0)}
    for name in ("transition.png", "transition-patterns.png"):
        assert Path(name).read_bytes().startswith(PNG)


def test_suggested_beta_on_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["suggested-beta", "--stored", 12, "--corruption", "noise:0.3,half", "--updates", "1,5"]
    code, out, _ = study(capsys, *few, "--seeds", 1)
    assert code == 0
    assert "suggested-beta.png" in out
    code, out, _ = study(capsys, *few, "--seeds", 2, "--resume", "--markdown", "s.md", "--json")
    assert code == 0
    trials = from_csv(Path("suggested-beta.csv").read_text(), suggested_beta.Trial)
    lines = suggested_beta_report.summary(trials)
    assert {one.seeds for one in lines} == {2}
    assert Path("s.md").read_text() == suggested_beta_report.table(lines).markdown()
    assert len(json.loads(out)["lines"]) == len(lines)
    assert Path("suggested-beta.png").read_bytes().startswith(PNG)


def test_states_on_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["transition-states", "--stored", 80, "--seeds", 1]
    code, out, _ = study(capsys, *few, "--markdown", "m.md")
    assert code == 0
    assert Path("m.md").read_text() in out
    code, out, _ = study(capsys, *few, "--resume", "--json")
    assert code == 0
    assert [one["goal"] for one in json.loads(out)["trials"]] == ["metastable", "average"]
    assert Path("transition-states.png").read_bytes().startswith(PNG)
    code, out, _ = study(capsys, *few, "--side", 3, "--json")
    assert code == 0
    assert {one["data"] for one in json.loads(out)["trials"]} == {"digits-3x3"}


def test_smaller_images_are_means_of_squares():
    pixels = np.arange(2.0 * 5 * 7).reshape(2, 35)
    found = shrink_to(Images(pixels, (5, 7), np.asarray([3, 4])), 2)
    assert found.shape == (2, 2)
    np.testing.assert_array_equal(found.labels, [3, 4])
    first = pixels[0].reshape(5, 7)  # of which the last row and three columns are cut off
    wanted = [first[r : r + 2, c : c + 2].mean() for r in (0, 2) for c in (1, 3)]
    np.testing.assert_allclose(found.pixels[0], wanted)
    same = shrink_to(IMAGES, 8)
    np.testing.assert_array_equal(same.pixels, IMAGES.pixels)


@pytest.mark.parametrize(
    ("args", "wanted"),
    [
        (["transition", "--images", "grey"], "unknown images 'grey'"),
        (["transition", "--stored", "9999"], "between 1 and 1797"),
        (["transition", "--csv", "nowhere/t.csv"], "nowhere"),
        (["suggested-beta", "--corruption", "rain"], "unknown corruption 'rain'"),
        (["suggested-beta", "--stored", "10,10"], "twice"),
        (["suggested-beta", "--similarity", "dot,cosine"], "unknown similarity 'cosine'"),
        (["transition-states", "--dataset", "mnist"], "--data"),
        (["transition-states", "--side", "9"], "at most 8"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, args, wanted):
    monkeypatch.chdir(tmp_path)
    code, _, err = study(capsys, *args)
    assert code != 0
    assert wanted in err
    assert len(err.strip().splitlines()) == 1


# The page.


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_the_page_says_what_the_files_say(name):
    page = (RESULTS / "transition.md").read_text()
    trials = from_csv((RESULTS / f"transition-{name}.csv").read_text(), transition.Trial)
    for table in transition_report.to_markdown(trials).split("\n\n"):
        assert table in page
    text = (RESULTS / f"suggested-beta-{name}.csv").read_text()
    lines = suggested_beta_report.summary(from_csv(text, suggested_beta.Trial))
    assert suggested_beta_report.table(lines).markdown() in page


@pytest.mark.parametrize("name", ["digits", "mnist", "mnist-8x8"])
def test_the_page_says_what_the_states_are(name):
    page = (RESULTS / "transition.md").read_text()
    text = (RESULTS / f"transition-states-{name}.csv").read_text()
    found = from_csv(text, transition_states.Trial)
    assert {one.data for one in found} == {name}
    assert transition_states.table(found).markdown() in page
