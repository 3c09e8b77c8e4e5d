"""Experiments: the suggested beta keeps its word, trials repeat, tables read back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import hopcore
from hopcore import datasets
from hopcore.experiments import retrieval
from hopcore.experiments.batched_retrieval import CHUNK, cosine, nearest, run_job
from hopcore.experiments.data.patterns import image_shape
from hopcore.experiments.demo import run_demo
from hopcore.experiments.parsing import integers, numbers, separation_named
from hopcore.experiments.study import read_rows

RESULTS = Path(__file__).parents[2] / "docs" / "results"
SEPARATIONS = {
    "softmax": "softmax",
    "entmax:1.5": hopcore.Entmax(1.5),
    "sparsemax": "sparsemax",
    "entmax:3": hopcore.Entmax(3.0),
}


def margin(states: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """How far each state's score with its own pattern lies above the others."""
    scores = states @ stored.T
    own = np.diagonal(scores).copy()
    np.fill_diagonal(scores, -np.inf)
    return own - scores.max(axis=-1)


@pytest.mark.parametrize(
    ("name", "count"),
    [*((name, count) for name in SEPARATIONS for count in (2, 50)), ("softmax", 5000)],
)
def test_suggested_beta_retrieves_in_one_update(name, count):
    """Every query whose margin is at least half of the quantile of the separations."""
    rng = np.random.default_rng(count)
    stored = 3.0 * rng.normal(size=(count, 20))
    separation = SEPARATIONS[name]
    beta = hopcore.suggest_beta(stored, separation=separation).beta
    part = slice(0, 400)
    queries = stored + 0.5 * rng.normal(size=stored.shape)
    compared = np.unique(np.linspace(0, count - 1, min(count, 4096)).astype(int))
    gaps = margin(stored, stored)[compared]
    enough = margin(queries, stored)[part] >= 0.5 * np.quantile(gaps[gaps > 0], 0.05)
    assert enough.sum() >= 0.1 * len(enough)
    state = hopcore.update(queries[part], stored, beta, separation=separation)
    error = np.linalg.norm(state - stored[part], axis=-1)[enough]
    largest = np.linalg.norm(stored, axis=-1).max()
    assert error.max() <= (0.01 if name == "softmax" else 1e-9) * largest


@pytest.mark.parametrize("scale", [1e-150, 1e-3, 1e9])
def test_suggested_beta_scales_with_the_patterns(scale):
    stored = np.random.default_rng(0).normal(size=(30, 5))
    expected = hopcore.suggest_beta(stored).beta / scale**2
    assert hopcore.suggest_beta(scale * stored).beta == pytest.approx(expected, rel=1e-9)


def test_suggested_beta_of_odd_memories():
    one = np.asarray([[3.0, 4.0]])
    copies = np.random.default_rng(0).normal(size=(1, 64)).repeat(5, axis=0).astype(np.float32)
    twins = np.concatenate([np.eye(4), np.eye(4)])
    for stored in (one, copies, np.zeros((3, 2)), twins, np.asarray([[1.0], [2.0], [3.0]])):
        for separation in SEPARATIONS.values():
            assert 0.0 < hopcore.suggest_beta(stored, separation=separation).beta < np.inf
    state = hopcore.update(0.5 * copies, copies, hopcore.suggest_beta(copies).beta)
    np.testing.assert_allclose(state, copies, rtol=1e-5)


@pytest.mark.parametrize("name", SEPARATIONS)
@pytest.mark.parametrize("corruption", ["half", "noise:0.5"])
def test_suggested_beta_retrieves_digits(name, corruption):
    rng = np.random.default_rng(0)
    images = datasets.choose(datasets.digits(), 100, rng)
    queries = datasets.corrupt(images, corruption, rng)
    beta = hopcore.suggest_beta(images.pixels, separation=SEPARATIONS[name]).beta
    found = run_job(queries, images.pixels, beta, separation=SEPARATIONS[name]).found
    assert found.converged.all()
    assert np.mean(cosine(found.state, images.pixels) > 0.9) >= 0.9
    # It is not that any beta would do: a thousandth of it finds means of many images.
    hot = run_job(queries, images.pixels, beta / 1000, separation=SEPARATIONS[name]).found
    assert np.mean(cosine(hot.state, images.pixels) > 0.9) <= 0.5


def test_a_job_in_chunks_is_one_retrieval():
    rng = np.random.default_rng(0)
    stored = rng.normal(size=(7, 5))
    queries = rng.normal(size=(2 * CHUNK + 3, 5))
    seen = []

    def track(parts, total):
        for part in parts:
            seen.append((part.start, total))
            yield part

    outcome = run_job(queries, stored, 1.5, track=track)
    assert seen == [(0, 3), (CHUNK, 3), (2 * CHUNK, 3)]
    whole = hopcore.retrieve(queries, stored, 1.5)
    np.testing.assert_allclose(outcome.found.state, whole.state, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(outcome.found.steps, whole.steps)
    np.testing.assert_allclose(outcome.before, hopcore.energy(queries, stored, 1.5), rtol=1e-10)


def test_a_job_without_queries():
    outcome = run_job(np.zeros((0, 3)), np.eye(3), 1.0)
    assert [field.shape[0] for field in outcome.found] == [0] * 5
    assert outcome.before.shape == (0,)


def test_measures():
    stored = np.asarray([[1.0, 0.0], [0.0, 10.0], [0.0, 0.0]])
    states = np.asarray([[2.0, 0.0], [3.0, 4.0], [1.0, 1.0]])
    np.testing.assert_allclose(cosine(states, stored), [1.0, 0.8, 0.0])
    np.testing.assert_array_equal(nearest(states, stored), [0, 0, 0])
    np.testing.assert_array_equal(nearest(stored, stored), [0, 1, 2])


def test_names():
    assert separation_named("entmax:1.5") == hopcore.Entmax(1.5)
    assert separation_named("sparsemax") == hopcore.Entmax(2.0)
    assert numbers("1,0.1", "beta") == [1.0, 0.1]
    assert integers("1,20", "stored") == [1, 20]
    for text in ("", "entmax", "entmax:", "softmax:2", "hardmax"):
        with pytest.raises(ValueError, match="unknown separation"):
            separation_named(text)
    for text in ("entmax:x", "entmax:1", "entmax:nan", "entmax:inf"):
        with pytest.raises(ValueError, match="alpha must be"):
            separation_named(text)
    for text in ("1.5", "", "1,", "x", "nan"):
        with pytest.raises(ValueError, match="stored must be integers"):
            integers(text, "stored")


def test_image_shapes():
    for axes, shape in (((28, 20), (28, 20)), ((64,), (8, 8)), ((1,), (1, 1)), ((7,), (3, 3))):
        assert image_shape(axes) == shape
    for size in range(1, 200):
        height, width = image_shape((size,))
        assert (height - 1) * width < size <= height * width


def trials(**changes):
    settings = {
        "stored": [20, 60],
        "betas": [5.0, 0.05],
        "separations": ["softmax", "sparsemax"],
        "max_steps": [1, 5],
        "seeds": 2,
    }
    return list(retrieval.run_trials(datasets.digits(), **settings | changes))


def test_trials_repeat_and_cover_the_grid():
    first = trials()
    assert first == trials()
    assert len({trial[:6] for trial in first}) == len(first) == 2 * 2 * 2 * 2 * 2
    low = [trial.success for trial in first if trial.beta < 1 and trial.separation == "softmax"]
    high = [trial.success for trial in first if trial.beta > 1]
    assert max(low) < 0.5
    assert min(high) > 0.9


def test_sparsemax_outlasts_the_softmax():
    """The experiment's finding, on digits: at a beta that is too low for the softmax."""
    done = trials(betas=[0.5], stored=[60], max_steps=[5])
    by_name = {name: [t.success for t in done if t.separation == name] for name in SEPARATIONS}
    assert min(by_name["sparsemax"]) > max(by_name["softmax"]) + 0.2


def test_distances_are_another_setting():
    both = trials(betas=[5.0], stored=[60], max_steps=[1], similarities=["dot", "distance"])
    alone = trials(betas=[5.0], stored=[60], max_steps=[1], similarities=["distance"])
    assert [t for t in both if t.similarity == "distance"] == alone
    assert {t.same for t in both if t.similarity == "dot"} != {t.same for t in alone}


def test_summary_and_tables():
    base = {
        "separation": "softmax",
        "similarity": "dot",
        "beta": 0.1,
        "stored": 4,
        "max_steps": 5,
        "at_start": 0.0,
    }
    done = [
        retrieval.Trial(**base, seed=0, success=1.0, same=0.5),
        retrieval.Trial(**base, seed=1, success=0.5, same=0.25),
        retrieval.Trial(**base | {"beta": 1.0}, seed=0, success=1.0, same=1.0),
    ]
    first, second = retrieval.summary(done)
    assert first == retrieval.Setting("softmax", "dot", 0.1, 4, 5, 2, 0.75, 0.125**0.5, 0.5, 0.375)
    assert second == retrieval.Setting("softmax", "dot", 1.0, 4, 5, 1, 1.0, 0.0, 1.0, 1.0)
    rows = list(csv.DictReader(retrieval.to_csv(done).splitlines()))
    assert [float(row["success"]) for row in rows] == [1.0, 0.5, 1.0]
    lines = retrieval.to_markdown([first, second]).splitlines()
    assert lines[2] == "| 0.1 | 4 | 5 | softmax | dot | 75.0% | 35.4% | 50.0% | 37.5% |"
    assert {line.count("|") for line in lines} == {10}


@pytest.mark.parametrize("name", ["retrieval", "retrieval-steps"])
def test_the_page_has_the_table_of_the_file(name):
    page = (RESULTS / "retrieval.md").read_text(encoding="utf-8")
    table = retrieval.to_markdown(
        retrieval.summary(read_rows(RESULTS / f"{name}.csv", retrieval.Trial))
    )
    assert table.replace("| beta |", r"| $\beta$ |") in page


def test_demo_repeats():
    first, again, other = (run_demo(seed=seed, stored=40) for seed in (3, 3, 4))
    timeless = [[row._replace(seconds=0.0) for row in demo.rows] for demo in (first, again, other)]
    assert timeless[0] == timeless[1] != timeless[2]
    for key, state in first.states.items():
        np.testing.assert_array_equal(state, again.states[key])
    for row in first.rows:
        assert row.success >= 0.9
        assert row.energy_after < row.energy_before
        assert row.steps >= 1.0
