"""The study of the heads of a decoder: its tasks, its attentions, its summary, and its files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("transformers")

from typer.testing import CliRunner

from hopcore.cli.app import app
from hopcore.experiments.attention_entropy import report, trials
from hopcore.files._csv import from_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["experiment", "attention-entropy", "--steps", "3", "--seeds", "1"]
    done = CliRunner().invoke(app, call, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = from_csv(Path("attention-entropy.csv").read_text(), trials.Trial)
    assert len(rows) == 12 * 2 * trials.LAYERS * trials.HEADS
    uniform = [row.entropy for row in rows if row.attention == "uniform"]
    every = np.log(np.arange(1, 2 * trials.HALF + 1)).mean()
    assert uniform == pytest.approx([every] * len(uniform), abs=1e-4)
    assert Path("attention-entropy.png").read_bytes().startswith(b"\x89PNG")


def test_a_copy_needs_the_first_half_and_a_chain_only_the_token_before() -> None:
    copy = trials.sequences("copy", 4, np.random.default_rng(0))
    np.testing.assert_array_equal(copy[:, : trials.HALF], copy[:, trials.HALF :])
    chain = trials.sequences("chain", 50, np.random.default_rng(0))
    following = {(int(a), int(b)) for row in chain for a, b in pairwise(row)}
    assert len(following) == len({first for first, _ in following}) == trials.TOKENS


@pytest.mark.parametrize(("task", "branches"), [("branch", 4), ("random", trials.TOKENS)])
def test_in_the_other_controls_several_tokens_may_follow_whatever_stands_before(
    task: str, branches: int
) -> None:
    drawn = trials.sequences(task, 8000, np.random.default_rng(0))
    assert drawn.shape == (8000, 2 * trials.HALF)
    counts = np.zeros((trials.TOKENS,) * 3)
    np.add.at(counts, (drawn[:, :-2], drawn[:, 1:-1], drawn[:, 2:]), 1)
    following = counts.sum(0)
    assert set(np.count_nonzero(following, axis=1)) == {branches}
    for before in counts:
        # A token that has come before the last one changes no probability.
        given = before[before.sum(1) > 0]
        assert set(np.count_nonzero(given, axis=1)) == {branches}
        shares = given / given.sum(1, keepdims=True)
        np.testing.assert_allclose(shares[shares > 0], 1 / branches, atol=0.1)


def test_the_summary_says_when_a_task_is_learned_and_when_an_entropy_falls() -> None:
    entropies = {0: (2.0, 2.0), 10: (1.5, 0.9), 20: (0.4, 0.2)}
    rows = [
        trials.Trial("copy", "softmax", 0, step, 0, head, step / 20, entropy, 3.0, 0.5, 1.0)
        for step, heads in entropies.items()
        for head, entropy in enumerate(heads)
    ]
    (line,) = report.summary(rows)
    assert (line.learned, line.fallen) == (20, 10)
    assert line.untrained.mean == 2.0
    assert line.entropy.mean == pytest.approx(0.3)
    (never,) = report.summary([row for row in rows if row.step < 20])
    assert never.learned is None


def test_the_csv_of_the_page_has_every_case() -> None:
    rows = from_csv((RESULTS / "attention-entropy.csv").read_text(), trials.Trial)
    wanted = trials.cases(list(trials.TASKS), list(trials.ATTENTIONS), 5)
    assert {row[:3] for row in rows} == {tuple(case) for case in wanted}
