"""The study of estimators: what it compares, on the training rows alone, and its files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("sklearn")

from typer.testing import CliRunner

from hopcore import datasets
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
        monkeypatch.setattr(trials, "rows_of", lambda *_, found=(changed, wanted): found)
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


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A folder with 90 images of the size of MNIST's, a square in one of three places."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=90).astype(np.uint8)
    images = np.zeros((90, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[8 * label + 2 : 8 * label + 8, 4:10] = rng.integers(100, 256, size=(6, 6))
    for array, name in ((images, "images-idx3"), (labels, "labels-idx1")):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(header + array.tobytes())
    return tmp_path


def test_images_of_mnist_are_measured_where_a_folder_is_given(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mnist)
    for task in ("impute", "classify"):
        monkeypatch.setitem(trials.DATA, task, ())
    call = ["experiment", "estimators", "--task", "impute,classify", "--seeds", "1"]
    done = CliRunner().invoke(app, [*call, "--data", str(mnist), "--images", "60"])
    assert done.exit_code == 0, done.output
    rows = from_csv(Path("estimators.csv").read_text(), trials.Trial)
    assert {row.data for row in rows} == {"mnist:60"}
    errors = {(row.task, row.method): row.error for row in rows}
    assert errors["classify", "hopfield"] == 0
    assert errors["impute", "mean"] == pytest.approx(1.0, abs=0.2)
    assert errors["impute", "hopfield"] < 0.7 * errors["impute", "mean"]


def test_a_seed_draws_images_of_mnist_in_one_unit(mnist: Path) -> None:
    """The unit is that of the training images: their varying pixels have the mean square 1."""
    images = datasets.mnist(mnist)
    train, test, target, wanted = trials.split(trials.Case("impute", "mnist:60", "mean", 0), images)
    assert (len(train), len(test), len(target), len(wanted)) == (40, 20, 40, 20)
    varying = train.std(axis=0)[np.ptp(train, axis=0) > 0]
    assert np.mean(varying**2) == pytest.approx(1.0)
    other = trials.split(trials.Case("impute", "mnist:60", "mean", 1), images)
    assert not np.array_equal(other[2], target)


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [("91", True, "--images 91: .* has 90 images"), ("60", False, "holds no labels")],
)
def test_images_that_are_not_there_are_an_error(
    images: str, labels: bool, words: str, mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mnist)
    if not labels:
        (mnist / "t10k-labels-idx1-ubyte").unlink()
    call = ["experiment", "estimators", "--data", str(mnist), "--images", images]
    with pytest.raises(ValueError, match=words):
        CliRunner().invoke(app, call, catch_exceptions=False)
    assert not Path("estimators.csv").exists()


def test_the_csv_of_the_page_has_every_case() -> None:
    rows = from_csv((RESULTS / "estimators.csv").read_text(), trials.Trial)
    wanted = trials.cases(list(trials.DATA), 3, images=2000)
    assert {row[:4] for row in rows} == {tuple(case) for case in wanted}
