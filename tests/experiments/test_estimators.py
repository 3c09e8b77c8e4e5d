"""The study of estimators: what it compares, on the training rows alone, and its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("sklearn")

from typer.testing import CliRunner

from hopcore.cli.app import app
from hopcore.experiments.estimators import trials
from hopcore.files._csv import from_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(trials.DATA, "impute", ("iris",))
    monkeypatch.setitem(trials.DATA, "regress", ("diabetes",))
    call = ["experiment", "estimators", "--task", "impute,regress", "--seeds", "1"]
    done = CliRunner().invoke(app, call, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = from_csv(Path("estimators.csv").read_text(), trials.Trial)
    assert len(rows) == len(trials.METHODS["impute"]) + len(trials.METHODS["regress"])
    assert Path("estimators.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("task", ["impute", "regress"])
def test_the_training_rows_alone_decide(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other test rows change the error of an estimator, but not what was chosen."""
    case = trials.Case(task, "diabetes", "hopfield-grid", 0)
    fitted = []
    rows, targets = trials.rows_of("diabetes")
    test = np.random.default_rng(0).permutation(len(rows))[: len(rows) // 3]
    for change in (1.0, 3.0):
        changed, wanted = rows.copy(), targets.copy()
        changed[test] *= change
        wanted[test] *= change
        monkeypatch.setattr(trials, "rows_of", lambda _, found=(changed, wanted): found)
        seen: list[float] = []
        note_beta(monkeypatch, seen)
        trials.imputed(case) if task == "impute" else trials.predicted(case)
        fitted.append(seen[-1])
    assert fitted[0] == fitted[1]


def note_beta(monkeypatch: pytest.MonkeyPatch, seen: list[float]) -> None:
    """Write down the beta of every estimator that is fitted; the last one is the chosen one."""
    from hopcore import sklearn

    for kind in (sklearn.HopfieldImputer, sklearn.HopfieldRegressor):
        fit = kind.fit

        def noted(self, *arguments, fit=fit):
            seen.append(self.beta)
            return fit(self, *arguments)

        monkeypatch.setattr(kind, "fit", noted)


def test_the_csv_of_the_page_has_every_case() -> None:
    rows = from_csv((RESULTS / "estimators.csv").read_text(), trials.Trial)
    assert {row[:4] for row in rows} == {tuple(case) for case in trials.cases(list(trials.DATA), 3)}
