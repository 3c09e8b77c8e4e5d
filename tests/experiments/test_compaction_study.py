"""The study of smaller memories: its sources, its methods and controls, and its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("sklearn")

from typer.testing import CliRunner

import hopcore
from hopcore import datasets
from hopcore.cli.app import app
from hopcore.experiments.compaction import report, sources, trials
from hopcore.experiments.compaction.sources import Source, Sources
from hopcore.experiments.data.sequences import recall
from hopcore.experiments.models.sequence_classifier import SequenceClassifier
from hopcore.experiments.models.sequence_fitting import SequenceFitting
from hopcore.files._csv import from_csv
from hopcore.prepared import _compaction

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def unequal_clusters(similarity: Any = "distance") -> Source:
    """Return 120 patterns in clusters of 90, 20 and 10, and queries between them."""
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(3, 5)), [90, 20, 10], axis=0)
    stored = centres + 0.02 * rng.normal(size=centres.shape)
    return Source(stored, rng.normal(size=(120, 2)), rng.normal(size=(30, 5)), similarity)


def called(*words: str) -> str:
    done = CliRunner().invoke(app, ["experiment", "compact", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--patterns", "digits", "--stored", "60", "--m", "4,16", "--effective", "3,50"]
    called(*few, "--seeds", "2", "--markdown", "table.md")
    rows = from_csv(Path("compact.csv").read_text(), trials.Trial)
    assert len(rows) == 2 * 2 * 2 * len(trials.METHODS)
    for row in rows:
        assert (row.finite is None) == (row.method != trials.COMPACT)
        assert row.loose is None or row.loose >= 1.0  # a certificate holds
    assert Path("compact.png").read_bytes().startswith(b"\x89PNG")
    assert Path("table.md").read_text().count("\n") == 2 + 2 * 2


@pytest.mark.parametrize("similarity", ["distance", "dot"])
def test_beta_gives_the_effective_number(similarity) -> None:
    source = unequal_clusters(similarity)
    for wanted in (30.0, 100.0):
        beta = trials.beta_at(source, str(wanted))
        weights = hopcore.association_weights(
            source.queries, source.stored, beta=beta, similarity=similarity
        )
        entropy = -np.sum(weights * np.log(weights), axis=-1)
        assert np.median(np.exp(entropy)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("similarity", ["distance", "dot"])
def test_one_pattern_answers_with_the_mean_and_all_patterns_exactly(similarity) -> None:
    source = unequal_clusters(similarity)
    found = trials.measured(source, 2.0, 1, seed=0)
    for method in (trials.COMPACT, trials.UNWEIGHTED, "cells"):
        assert found[method].error == pytest.approx(1.0, abs=1e-9)
    found = trials.measured(source, 2.0, 120, seed=0)
    assert set(found) == set(trials.METHODS)
    assert all(one.error < 1e-9 for one in found.values())


def test_weights_matter_where_clusters_are_unequal() -> None:
    found = trials.measured(unequal_clusters(), 0.3, 3, seed=0)
    assert found[trials.COMPACT].error < 0.2 * found[trials.UNWEIGHTED].error


def test_a_planted_fault_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = _compaction.merged_rows

    def without_sizes(*given):
        new, place, moments = right(*given)
        return replace(new, bias=np.zeros(len(new.patterns))), place, moments

    monkeypatch.setattr(_compaction, "merged_rows", without_sizes)
    with pytest.raises(AssertionError):
        test_weights_matter_where_clusters_are_unequal()


def test_rows_that_are_far_apart_are_taken_once_even_if_they_are_equal() -> None:
    stored = np.repeat(np.eye(3), 4, axis=0)
    rows = trials.far_apart(stored, 12, np.random.default_rng(0))
    assert sorted(rows) == list(range(12))
    assert len(np.unique(stored[rows[:3]], axis=0)) == 3


def test_no_query_is_stored() -> None:
    images = datasets.digits()
    few = datasets.Images(images.pixels[:600], images.shape, None)
    (drawn,) = Sources(stored=300, digits=few).draw("digits", 0)
    assert (drawn.stored.shape, drawn.queries.shape) == ((300, 64), (sources.ASKED, 64))
    both = np.concatenate([drawn.stored, drawn.queries])
    assert len(np.unique(both, axis=0)) == len(np.unique(few.pixels, axis=0)) - 600 + len(both)


def test_keys_are_those_of_the_layer() -> None:
    """With its own inverse temperature, they give the attention of the transformer."""
    pytest.importorskip("torch")
    model = SequenceClassifier(length=30, width=16, hidden=16, layers=2, num_heads=2)
    parameters = model.first_parameters(seed=0)
    symbols = recall(np.random.default_rng(0), 3, 8).symbols
    queries, keys, values = model.patterns(parameters, symbols, 1)
    assert values.shape == (3, 2, symbols.shape[1], 8)
    wanted = model.attention(parameters, symbols)[1][..., -1, :]
    beta = float(np.mean(np.asarray(model.associations[1].beta)))
    found: Any = hopcore.association_weights(queries[..., -1:, :], keys, beta=beta)
    np.testing.assert_allclose(found[..., 0, :], wanted, rtol=1e-4, atol=1e-6)
    drawn = Sources(stored=50, fitting=SequenceFitting(width=16, hidden=16, num_heads=2, steps=2))
    first, second = drawn.draw("keys", 0)
    assert second.values is not None
    assert first.stored.shape == second.values.shape == (50, 8)
    assert first.queries.shape == (sources.ASKED, 8)
    assert first.beta == pytest.approx(8**-0.5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "."], "--data is for patches"),
        (["--m", "0"], "--m must be between 1 and --stored 1024"),
        (["--m", "4,2000"], "--m must be between 1 and --stored 1024"),
        (["--effective", "1"], "--effective must be above 1"),
        (["--stored", "1700"], "between 1 and 1797 patterns can be stored"),
        (["--patterns", "faces"], "unknown patterns"),
    ],
)
def test_wrong_options(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        called("--patterns", "digits", *words) if "--patterns" not in words else called(*words)


def test_the_table_pairs_the_seeds() -> None:
    def trial(seed, method, error):
        numbers = (0.5, 0.25, 3.0) if method == trials.COMPACT else (None, None, None)
        return trials.Trial("digits", seed, "4", 16, method, 64, 1.0, 4.0, error, *numbers, None)

    errors = {trials.COMPACT: (0.2, 0.4), trials.UNWEIGHTED: (0.3, 0.5)}
    rows = [trial(seed, method, errors.get(method, (1.0, 1.0))[seed])
            for seed in (0, 1) for method in trials.METHODS]  # fmt: skip
    (row,) = report.table(report.summary(rows)).rows
    assert row[3:5] == ["0.300 ± 0.141", "0.400"]
    assert row[-3:] == ["+0.100 (+0.100 to +0.100)", "50.0%", "25.0%"]
    assert len(report.table(report.summary(rows), narrow=True).rows[0]) == 3 + len(trials.METHODS)


def test_the_csv_of_the_page_has_every_case() -> None:
    rows = from_csv((RESULTS / "compact.csv").read_text(), trials.Trial)
    wanted = trials.cases(sources.SOURCES, 5)
    assert {row[:2] for row in rows} == {tuple(case) for case in wanted}
