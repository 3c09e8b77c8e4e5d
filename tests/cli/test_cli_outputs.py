"""Results and pictures: the extension says the format, and a line says what was written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore import plots
from hopcore.__main__ import main
from hopcore.cli import retrieval_method
from hopcore.experiments.outputs import write_results
from hopcore.experiments.tables import in_percent
from hopcore.phase import HypothesisWarning

Run = Callable[..., tuple[int, str, str]]
STARTS = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF", ".svg": b"<?xml"}
PATTERNS = np.random.default_rng(0).normal(size=(20, 16))
QUERIES = PATTERNS[:7] + 0.1


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command beside P.npy and Q.npy; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    np.save("P.npy", PATTERNS)
    np.save("Q.npy", QUERIES)

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, printed.out, printed.err

    return call


@pytest.mark.parametrize("name", ["R.npz", "R.npy", "R.csv", "R.json", "R.CSV"])
def test_results_are_written_as_the_extension_says(run: Run, name: str) -> None:
    code, text, err = run("retrieve", "P.npy", "Q.npy", "--beta", 2, "--out", name)
    assert (code, err) == (0, "")
    wanted = hopcore.retrieve(QUERIES, PATTERNS, 2.0)
    what = "state" if name == "R.npy" else "state, steps, converged, residual and energy"
    assert text.splitlines()[-1] == f"Wrote {name}: {what} of 7 queries."
    if name == "R.npz":
        with np.load(name) as found:
            assert {key: value.tolist() for key, value in found.items()} == {
                key: value.tolist() for key, value in wanted._asdict().items()
            }
    elif name == "R.npy":
        np.testing.assert_array_equal(np.load(name), wanted.state)
    elif name == "R.json":
        found = json.loads(Path(name).read_text())
        assert found == {key: value.tolist() for key, value in wanted._asdict().items()}
    else:
        rows = list(csv.DictReader(Path(name).read_text().splitlines()))
        assert [float(row["energy"]) for row in rows] == wanted.energy.tolist()
        assert [int(row["steps"]) for row in rows] == wanted.steps.tolist()
        state = [[float(row[f"state_{k}"]) for k in range(16)] for row in rows]
        assert state == wanted.state.tolist()


@pytest.mark.parametrize("kind", [".npz", ".npy", ".csv", ".json"])
def test_results_of_no_queries(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"R{kind}"
    write_results(path, {"state": np.empty((0, 3)), "steps": np.empty(0, int)})
    if kind == ".csv":
        assert path.read_text() == "steps,state_0,state_1,state_2\n"
    assert path.stat().st_size > 0


@pytest.mark.parametrize("suffix", STARTS)
def test_pictures_are_drawn_as_the_extension_says_and_repeat(run: Run, suffix: str) -> None:
    files = [Path(f"{name}{suffix}") for name in "ab"]
    for path in files:
        code, text, err = run("retrieve", "P.npy", "Q.npy", "--beta", 2, "--plot", path)
        assert (code, err) == (0, "")
        assert f"Wrote {path}: a picture of the first 7 queries." in text
        assert path.read_bytes().startswith(STARTS[suffix])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_figure_in_another_format_is_refused(tmp_path: Path) -> None:
    figure = plots.new_figure(2, 2)
    with pytest.raises(ValueError, match=r"path must end in \.png, \.pdf or \.svg, got .*a\.gif"):
        plots.save(figure, tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        (["retrieve", "P.npy", "Q.npy"], "--out FILE.npz or --plot FILE.png"),
        (["phase", "P.npy", "--betas", "5"], "--plot FILE.png or --csv FILE.csv"),
        (
            ["experiment", "retrieval", "--dataset", "digits", "--stored", "9", "--seeds", "1"],
            "--csv FILE.csv or --markdown FILE.md",
        ),
    ],
)
def test_without_an_output_a_line_says_so(run: Run, command: list[str], options: str) -> None:
    code, text, err = run(*command)
    assert (code, err) == (0, "")
    assert text.splitlines()[-1] == f"Nothing was written: use {options}."


def test_json_alone_is_printed_and_lists_what_was_written(run: Run) -> None:
    _, text, _ = run("retrieve", "P.npy", "Q.npy", "--out", "R.npz", "--plot", "R.png", "--json")
    assert json.loads(text)["written"] == ["R.npz", "R.png"]


# Why this beta


def test_the_rule_that_chose_beta_is_named(run: Run) -> None:
    found = hopcore.suggest_beta(PATTERNS)
    _, text, _ = run("retrieve", "P.npy", "Q.npy")
    said = " ".join(text.split())
    assert f"beta = {found.beta:.4g} was chosen by suggest_beta, goal retrieve: " in said
    assert f"goal retrieve: {found.reason}." in said
    facts = json.loads(run("retrieve", "P.npy", "Q.npy", "--json")[1])
    assert facts["beta_reason"] == f"suggest_beta, goal retrieve: {found.reason}"
    assert "chosen" not in run("retrieve", "P.npy", "Q.npy", "--beta", 2)[1]


def test_a_warning_of_the_rule_is_passed_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = retrieval_method.suggest_beta

    def warned(*args: object, **options: object) -> object:
        import warnings

        warnings.warn("the patterns are odd", HypothesisWarning, stacklevel=2)
        return rule(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(retrieval_method, "suggest_beta", warned)
    code, text, err = run("retrieve", "P.npy", "Q.npy")
    assert (code, err) == (0, "")
    assert "Note: the patterns are odd." in text
    assert json.loads(run("retrieve", "P.npy", "Q.npy", "--json")[1])["notes"] == [
        "the patterns are odd"
    ]


# Percentages


@given(st.floats(0.0, 1.0))
def test_a_share_has_one_decimal_and_no_sign_of_zero(value: float) -> None:
    text = in_percent(value)
    assert text.endswith("%")
    assert abs(float(text[:-1]) - 100.0 * value) <= 0.0501
    assert len(text.partition(".")[2]) == 2


def test_a_small_loss_is_no_negative_zero() -> None:
    assert in_percent(-1e-9) == "0.0%"


def test_shares_are_percentages(run: Run) -> None:
    _, text, _ = run("retrieve", "--dataset", "digits", "--stored", 50)
    for name in ("converged", "success", "same"):
        (row,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
        assert row.split()[1].endswith("%")
