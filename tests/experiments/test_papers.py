"""The study of papers: its formulas, its measurements, its command and the tables of its page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("sklearn")
pytest.importorskip("torch")

from typer.testing import CliRunner

import hopcore
from hopcore import datasets, plots
from hopcore.cli.app import app
from hopcore.experiments.capacity import masked
from hopcore.experiments.capacity import report as capacity_report
from hopcore.experiments.mil import report as mil_report
from hopcore.experiments.mil import trials as mil_trials
from hopcore.experiments.papers import denoising, emergent_minima, report, separation_loss
from hopcore.experiments.papers import exponential_capacity as capacity
from hopcore.experiments.papers.rows import Case, Trial
from hopcore.experiments.papers.study import PAPERS
from hopcore.experiments.tables import percent
from hopcore.files._csv import from_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAGE = (RESULTS / "papers.md").read_text(encoding="utf-8")


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["experiment", "papers", *words])
    assert done.exit_code != 0
    return str(done.exception or done.output)


@pytest.mark.parametrize(
    ("name", "size"),
    [("exponential-capacity", 10), ("emergent-minima", 4), ("denoising", 20),
     ("separation-loss", 8)],
)  # fmt: skip
def test_the_command_writes_its_files(
    name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(denoising, "TRAINED", 80)
    monkeypatch.setattr(separation_loss, "EPOCHS", 2)
    options = ["--paper", name, "--size", str(size), "--seeds", "2", "--markdown", "table.md"]
    done = CliRunner().invoke(app, ["experiment", "papers", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = from_csv(Path(f"papers-{name}.csv").read_text(), Trial)
    assert {row.seed for row in rows} == {0, 1}
    assert {row.task for row in rows} == set(PAPERS[name].tasks)
    assert all(math.isfinite(row.value) for row in rows)
    assert Path(f"papers-{name}.png").read_bytes().startswith(b"\x89PNG")
    assert Path("table.md").read_text() == PAPERS[name].table(rows).markdown()


def test_bad_options_are_refused() -> None:
    assert "unknown paper 'other'; known: exponential-capacity" in refused("--paper", "other")
    assert "size must be from 2 to 14 for --paper emergent-minima, got 15" in refused(
        "--paper", "emergent-minima", "--size", "15"
    )
    assert "needs no images" in refused("--dataset", "mnist")
    assert "between 1 and 1797 patterns" in refused("--paper", "separation-loss", "--size", "2000")


@pytest.mark.parametrize("task", capacity.LAMBDAS)
def test_the_threshold_tends_to_the_formula(task: str) -> None:
    distances = [capacity.asymptotic(task) - capacity.finite(task, size) for size in (30, 300, 900)]
    if task == "gaussian, 1":  # there the field of the others keeps every state where it is
        assert distances == pytest.approx([0.0, 0.0, 0.0], abs=1e-4)
        return
    assert distances[0] > distances[1] > distances[2] > 0.0
    assert distances[2] < 0.02


def test_the_field_of_the_others_is_an_average() -> None:
    size, strength = 12, 0.7
    for task in ("gaussian, 0.5", "sphere, 0.5"):
        others = capacity.drawn(task, 400_000, size, 3).astype(np.float64)
        state = np.zeros(size)
        state[0] = math.sqrt(size)  # a pattern of the squared length N
        terms = np.exp(strength * others @ state)
        log_mean, mean = capacity.field_of_others(task, strength, size)
        assert log_mean == pytest.approx(math.log(np.mean(terms)), abs=0.1)
        assert mean == pytest.approx(terms @ (others @ state) / size / np.sum(terms), abs=0.05)


def test_few_patterns_are_retrieved_and_many_are_not() -> None:
    patterns = capacity.drawn("sphere, 0.5", 4000, 16, 0)
    assert capacity.by_exponential(patterns[:10], 0.5) == 1.0
    assert capacity.by_exponential(patterns, 0.5) == 0.0
    assert capacity.by_power(patterns[:4], 0.5) == 1.0
    assert capacity.by_power(patterns, 0.5) == 0.0
    np.testing.assert_array_equal(patterns[:10], capacity.drawn("sphere, 0.5", 10, 16, 0))


def test_the_crossing_is_interpolated() -> None:
    rows = [
        Trial("p", "t", 10, 0, "m", at, share) for at, share in ((0.1, 1.0), (0.2, 0.6), (0.3, 0.2))
    ]
    assert capacity.crossing(rows) == pytest.approx(0.225)
    assert capacity.crossing(rows[:2]) is None
    assert capacity.crossing(rows[2:]) == 0.3


@pytest.mark.parametrize("task", denoising.VARIANCES)
def test_the_best_prediction_is_the_mean_of_the_posterior(task: str) -> None:
    """Weigh many samples of the distribution of one prompt by how likely they make the query."""
    rng = np.random.default_rng(0)
    found = denoising.prompts(task, 1, 200_000, rng)
    noise = denoising.VARIANCES[task][1]
    tokens, query = found.tokens[0].astype(np.float64), found.query[0].astype(np.float64)
    exponents = -np.sum(np.square(tokens - query), axis=1) / (2.0 * noise)
    weights = np.exp(exponents - np.max(exponents))
    wanted = weights @ tokens / np.sum(weights)
    spread = 4.0 * np.sqrt(np.sum(weights**2)) / np.sum(weights)
    np.testing.assert_allclose(found.best[0], wanted, atol=spread)


def test_the_bayes_error_of_the_linear_task_is_the_formula() -> None:
    found = denoising.prompts("linear", 20_000, 2, np.random.default_rng(0))
    assert denoising.error(found.best, found.clean) == pytest.approx(1.0 / 3.0, rel=0.02)
    assert denoising.bayes_error("linear") == pytest.approx(1.0 / 3.0)


def test_one_update_is_near_the_best_and_its_controls_are_not() -> None:
    train, test = (
        denoising.prompts("sphere", count, 400, np.random.default_rng(count)) for count in (60, 300)
    )
    beta, scale = denoising.fitted(denoising.updated, train)
    assert 4.0 < beta < 30.0  # the optimum of infinitely many tokens is 1 / 0.1
    errors = {
        "best": denoising.error(test.best, test.clean),
        "one": denoising.error(scale * denoising.updated(test, beta), test.clean),
    }
    beta, scale = denoising.fitted(denoising.of_another, train)
    errors["other"] = denoising.error(scale * denoising.of_another(test, beta), test.clean)
    assert errors["best"] < errors["one"] < 1.3 * errors["best"]
    assert errors["other"] > 1.5 * errors["best"]


def least_error(states: np.ndarray, clean: np.ndarray) -> float:
    """The mean squared error with the best scale, by a solver of least squares."""
    column = states.astype(np.float64).reshape(-1, 1)
    scale = np.linalg.lstsq(column, clean.reshape(-1), rcond=None)[0]
    return float(np.mean((column @ scale - clean.reshape(-1)) ** 2))


def retrieved(found: denoising.Prompts, beta: float) -> np.ndarray:
    return np.asarray(hopcore.retrieve(found.query[:, None], found.tokens, beta, max_steps=1000,
                                       tol=1e-4).state[:, 0])  # fmt: skip


def associated(found: denoising.Prompts, beta: float, similarity: Any = "dot") -> np.ndarray:
    return np.asarray(hopcore.association(found.query[:, None], found.tokens, beta=beta,
                                          similarity=similarity)[:, 0])  # fmt: skip


@pytest.mark.parametrize("task", denoising.VARIANCES)
def test_every_method_has_the_beta_and_the_scale_that_are_best_for_it(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the training prompts as test prompts, no other choice has a smaller error."""
    found = denoising.prompts(task, 40, 20, np.random.default_rng(5))
    other = found._replace(tokens=np.roll(found.tokens, 1, axis=0))
    betas = (0.1, 1.0, 4.0, 20.0, 100.0)
    monkeypatch.setattr(denoising, "BETAS", betas)
    monkeypatch.setattr(denoising, "prompts", lambda *given: found)
    measured = denoising.measure(Case("denoising", task, 20, 0))
    assert [row.method for row in measured] == list(denoising.METHODS)
    linear = np.stack([x.T @ x @ y for x, y in zip(found.tokens, found.query, strict=True)])
    wanted = {
        "Bayes": denoising.error(found.best, found.clean),
        "one update": min(least_error(associated(found, b), found.clean) for b in betas),
        "until at rest": min(least_error(retrieved(found, b), found.clean) for b in betas),
        "other context": min(least_error(associated(other, b), found.clean) for b in betas),
        "linear attention": least_error(linear, found.clean),
        "nearest token": least_error(associated(found, 1e6, "distance"), found.clean),
        "equal weights": least_error(np.mean(found.tokens, axis=1), found.clean),
        "query alone": least_error(found.query, found.clean),
        "zero": float(np.mean(found.clean**2)),
    }
    assert {row.method: row.value for row in measured} == pytest.approx(wanted, rel=1e-4)
    assert {row.method for row in measured if row.at is not None} == set(denoising.WARM)


def test_a_row_of_dots_shows_its_mean_and_interval() -> None:
    ax = plots.new_figure(3.0, 2.0).subplots()
    report.dots(ax, {"one": [1.0, 2.0, 3.0], "two": [5.0]}, {"one": "red", "two": "blue"})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["one", "two"]
    assert ax.yaxis_inverted()
    bars = [bar.lines[2][0].get_segments() for bar in ax.containers if bar.has_xerr]
    assert len(bars) == 1  # one value has no interval
    np.testing.assert_allclose(bars[0][0][:, 0], [2.0 - 2.484, 2.0 + 2.484], atol=1e-3)


def test_the_counts_of_minima_are_averaged_over_the_seeds() -> None:
    rows = [
        Trial("p", "t", 5, seed, "m", at + 0.1 * seed, value)
        for seed, values in enumerate(((1.0, 4.0), (3.0, 4.0)))
        for at, value in zip((1.0, 2.0), values, strict=True)
    ]
    (mean, low, high), last = emergent_minima.mean_counts(rows)
    assert (mean, low, high) == pytest.approx((2.0, 2.0 - 12.706, 2.0 + 12.706), abs=1e-3)
    assert last == pytest.approx((4.0, 4.0, 4.0))
    assert emergent_minima.mean_counts(rows[:2]) == [(1.0, 1.0, 1.0), (4.0, 4.0, 4.0)]


def test_each_task_of_emergent_minima_has_a_panel() -> None:
    rows = from_csv((RESULTS / "papers-emergent-minima.csv").read_text(encoding="utf-8"), Trial)
    assert list(emergent_minima.panels(rows)) == [
        "Uniform, 8 dimensions", "Uniform, 32 dimensions",
        "As the code draws, 8 dimensions", "As the code draws, 32 dimensions",
    ]  # fmt: skip


def test_minima_are_counted() -> None:
    rows = emergent_minima.measure(Case("emergent-minima", "uniform, d = 8", 5, 0))
    last = max(row.at or 0.0 for row in rows)
    first = min(row.at or 0.0 for row in rows)
    counts = {(row.method, row.at): row.value for row in rows}
    assert counts[emergent_minima.STORED, last] == 5
    assert counts[emergent_minima.EMERGENT, last] == 0
    assert counts[emergent_minima.SOFT_MIXED, first] == 1  # one average of all
    patterns = emergent_minima.drawn("uniform, d = 8", 5, 0)
    for at in {row.at for row in rows}:
        found = hopcore.phase.compact_minima(patterns, at)
        assert counts[emergent_minima.EMERGENT, at] == np.sum(found.emergent)
    assert max(emergent_minima.peaks(rows, emergent_minima.EMERGENT)) > 5


def test_the_separation_loss_falls() -> None:
    images = datasets.digits()
    rows = separation_loss.measure(Case("separation-loss", "images", 20, 0), images)
    values = {row.method: row.value for row in rows}
    before = values[f"separation loss, {separation_loss.UNTRAINED}"]
    assert values[f"separation loss, {separation_loss.LEARNED}"] < before < 0.0


def test_a_planted_fault_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoising, "best_of_clusters", lambda centres, query, own, noise:
                        hopcore.association(query[:, None], centres, beta=1.0)[:, 0])  # fmt: skip
    with pytest.raises(AssertionError):
        test_the_best_prediction_is_the_mean_of_the_posterior("clusters")


@pytest.mark.parametrize("name", PAPERS)
def test_the_tables_of_the_page_are_those_of_the_files(name: str) -> None:
    paper = PAPERS[name]
    rows = from_csv((RESULTS / f"papers-{name}.csv").read_text(encoding="utf-8"), Trial)
    assert paper.table(rows).markdown() in PAGE
    assert f"--paper {name}" in PAGE
    measured = {row[:4] for row in rows}
    wanted = {tuple(case) for case in paper.cases(name, paper.sizes, paper.seeds)}
    if name == "exponential-capacity":
        wanted = {
            case for case in wanted
            if math.exp(capacity.finite(case[1], case[2]) * case[2]) <= capacity.MOST
        }  # fmt: skip
    assert measured == wanted


def test_the_figures_of_other_pages_are_those_of_their_files() -> None:
    bags = from_csv((RESULTS / "mil.csv").read_text(encoding="utf-8"), mil_trials.Trial)
    for line in mil_report.summary(bags):
        if line.layer == "pooling":
            assert f"| {line.data}: " in PAGE
        if line.layer in ("pooling", "uniform"):
            assert percent(line.auc) in PAGE
    images = from_csv((RESULTS / "capacity-masked.csv").read_text(encoding="utf-8"), masked.Trial)
    shares = capacity_report.masked_lines(images)
    for variant in ("softmax", "sparsemax"):
        assert f"{variant} {100 * shares[variant, 0.1, 1024].mean:.1f} %" in PAGE
    for count in (10, 1000):
        assert f"{hopcore.phase.saddle_node_beta(count):.2f}" in PAGE
