"""The study of the heads of trained transformers: its statistics, its controls, its page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("torch")

from typer.testing import CliRunner

from hopcore.cli.app import app
from hopcore.experiments.attention_analysis import report, trials
from hopcore.experiments.data import sequences
from hopcore.files._csv import from_csv, to_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_statistics_lie_within_their_bounds() -> None:
    rng = np.random.default_rng(0)
    weights = np.tril(rng.random((3, 2, 9, 9)) ** 4)
    weights /= weights.sum(axis=-1, keepdims=True)
    found = trials.statistics(weights, 4)
    assert len(found) == 2
    for entropy, effective, distance, uniform in found:
        assert 0.0 < entropy < uniform
        assert 1.0 < np.exp(entropy) <= effective < 9.0  # the mean of exp is the larger one
        assert 0.0 < distance < 1.0
        # Pinsker's inequality, and Jensen's for the square root.
        assert distance <= np.sqrt(0.5 * (uniform - entropy))
        assert uniform == pytest.approx(np.log([6, 7, 8, 9]).mean())


def test_shuffled_answers_are_those_of_other_sequences() -> None:
    batch = sequences.copy(np.random.default_rng(0), 64, 3)
    for seed in range(9):
        other = trials.shuffled(batch, np.random.default_rng(seed))
        assert np.array_equal(batch.symbols, other.symbols)
        assert sorted(map(tuple, batch.target)) == sorted(map(tuple, other.target))
        assert not np.any(np.all(batch.target == other.target, axis=1))


def test_the_untrained_transformer_is_the_first_one() -> None:
    fitting = trials.Fitting(width=16, hidden=16, steps=2, batch_size=4)
    untrained, trained = (
        trials.heads_of_case(trials.Case("copy", arm, 0), fitting)
        for arm in ("untrained", "trained")
    )
    assert len(untrained) == len(trained) == fitting.layers * fitting.num_heads
    assert {one.accuracy for one in untrained} != {1.0}
    assert untrained != trained
    assert all(abs(a.entropy - b.entropy) < 1.0 for a, b in zip(untrained, trained, strict=True))


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["experiment", "attention-analysis", "--steps", "2", "--seeds", "1", "--d-model", "16"]
    done = CliRunner().invoke(app, [*call, "--task", "latch,copy"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = from_csv(Path("attention-analysis.csv").read_text(), trials.Trial)
    assert len(rows) == 2 * 3 * 2 * 4
    assert Path("attention-analysis.png").read_bytes().startswith(b"\x89PNG")
    wrong = CliRunner().invoke(app, ["experiment", "attention-analysis", "--task", "sort"])
    assert wrong.exit_code != 0


def test_the_page_shows_the_table_of_its_trials() -> None:
    text = (RESULTS / "attention-analysis.csv").read_text()
    rows = from_csv(text, trials.Trial)
    assert to_csv(rows, trials.Trial) == text
    wanted = trials.cases(list(sequences.TASKS), list(trials.ARMS), 10)
    assert {tuple(row[:3]) for row in rows} == {tuple(case) for case in wanted}
    page = (RESULTS / "attention-analysis.md").read_text()
    assert report.table(report.summary(rows)).markdown() in page
    assert "\n$ hopcore experiment attention-analysis" in page


def test_the_page_says_how_sharp_the_sharper_layer_is() -> None:
    rows = from_csv((RESULTS / "attention-analysis.csv").read_text(), trials.Trial)
    page = " ".join((RESULTS / "attention-analysis.md").read_text().split())
    found: dict[str, list[str]] = {}
    for arm in trials.ARMS:
        for task in ("latch", "copy", "recall"):
            heads = np.array(
                [
                    [[r.effective for r in rows if r[:3] == (task, arm, seed) and r.layer == layer]
                     for layer in (0, 1)]
                    for seed in range(10)
                ]
            )  # fmt: skip
            layers = heads.mean(axis=-1)
            found.setdefault(arm, []).append(f"{np.median(layers.min(axis=-1)):.1f}")
            if arm == "trained":
                found.setdefault("second", []).append(str((layers[:, 1] < layers[:, 0]).sum()))
    first, second, third = found["trained"]
    assert f"a median of {first}, {second} and {third} effective positions" in page
    first, second, third = found["shuffled"]
    assert f"at {first} (latch), {second} (copy) and {third} (recall)" in page
    first, second, third = found["untrained"]
    assert f"begins with {first}, {second} and {third}" in page
    assert found["second"] == ["5", "4", "10"]
