"""``hopcore phase``: what it finds, prints and writes, and one line for every kind of bad input."""

from __future__ import annotations

import csv
import gzip
import json
import struct
import sys

import numpy as np
import pytest

import hopcore
from hopcore.__main__ import main
from hopcore.cli import phase as cli_phase
from hopcore.experiments.phase.analysis import GOALS
from hopcore.phase import Branch

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(capsys):
    """Run ``hopcore phase`` in this process; exit code, standard output, standard error."""

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["phase", *map(str, args)])
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


@pytest.fixture
def facts(run):
    """Run it with ``--json`` and few betas; the object it prints."""

    def call(*args: object) -> dict:
        code, text, err = run("--betas", 12, *args, "--json")
        assert (code, err) == (0, "")
        return json.loads(text)

    return call


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of good and bad files."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    some = rng.normal(size=(20, 16)).astype(np.float32)
    some /= np.linalg.norm(some, axis=-1, keepdims=True)
    spoilt = some.copy()
    spoilt[2, 3] = np.nan
    arrays = {
        "some": some,
        "images": rng.integers(0, 256, (12, 3, 5), dtype=np.uint8),
        "equal": np.eye(10),
        "three": np.eye(3),
        "two": np.eye(2),
        "numbers": np.asarray([[0.0], [1.0], [3.0]]),
        "line": np.outer(np.arange(1.0, 7.0), some[0]),
        "copies": np.concatenate([some, some[:4]]),
        "lengths": some * np.geomspace(1.0, 50.0, 20, dtype=np.float32)[:, None],
        "zero": np.concatenate([some, 0.0 * some[:1]]),
        "offset": some + 100.0,
        "half": some.astype(np.float16),
        "whole": np.rint(20.0 * some).astype(np.int64),
        "one": some[:1],
        "alike": np.ones((5, 16)),
        "nan": spoilt,
        "complex": some + 0j,
        "vector": some[0],
        "none": some[:0],
        "deep": some.reshape(5, 4, 4, 4),
        "huge": 1e25 * some,
        "tiny": 1e-30 * some,
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "text.npy").write_text("no array")
    return folder


# What it finds


def test_equidistant_patterns_change_where_theory_says(facts, files):
    found = facts("--patterns", files / "equal.npy")
    theory = hopcore.transition(10)
    measured, estimates = found["measured"], found["estimates"]
    assert found["effective_scale"] == pytest.approx(1.0)
    assert estimates == pytest.approx(theory._asdict())
    for beta in measured["appear"].values():
        assert beta == pytest.approx(theory.saddle_node, rel=1e-6)
    assert measured["coexist"] == pytest.approx(theory.coexistence, rel=1e-5)
    assert measured["coexist_share"] == 1.0
    assert measured["centroid"] == pytest.approx(theory.spinodal)
    low, high, most = measured["hysteresis"]
    assert theory.saddle_node < low < high < theory.spinodal
    assert most == 1.0
    assert found["notes"] == []


def test_it_says_what_the_functions_say(facts, files):
    found = facts("--patterns", files / "some.npy", "--noise", 0.05)
    some = np.load(files / "some.npy")
    critical = hopcore.critical_betas(some)
    assert (found["stored"], found["dimension"], found["dtype"]) == (20, 16, "float32")
    assert found["noise"] == 0.05
    assert found["measured"]["centroid"] == pytest.approx(critical.centroid)
    assert found["measured"]["appear"]["0.5"] == np.sort(critical.appear)[9]
    assert set(found["suggestions"]) == set(GOALS)
    for goal, shown in found["suggestions"].items():
        one = hopcore.suggest_beta(some, goal, noise=0.05)
        assert shown["beta"] == one.beta
        assert shown["reason"] == one.reason
        assert shown["minima"] == np.mean(critical.appear <= one.beta)
    assert found["beta"] == found["suggestions"]["retrieve"]["beta"]
    assert f" take beta = {found['beta']:.4g}: queries keep a margin" in found["why"]
    assert found["suggestions"]["retrieve"]["success"] == 1.0
    assert found["suggestions"]["average"]["success"] == 0.0


@pytest.mark.parametrize("goal", GOALS)
def test_the_goal_decides(facts, files, goal):
    found = facts("--patterns", files / "some.npy", "--goal", goal)
    assert found["goal"] == goal
    assert found["beta"] == found["suggestions"][goal]["beta"]
    assert (
        f" take beta = {found['beta']:.4g}: {found['suggestions'][goal]['reason']}" in found["why"]
    )


def test_the_seed_draws_patterns_and_noise(facts, files):
    same = [facts("--patterns", files / "some.npy", "--stored", 9, "--seed", s) for s in (1, 1, 2)]
    for found in same:
        found.pop("seconds")
        assert found["stored"] == 9
    assert same[0] == same[1]
    assert same[0]["norms"] == same[2]["norms"] or same[0] != same[2]
    assert same[0]["measured"] != same[2]["measured"]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_another_backend(facts, files, backend):
    pytest.importorskip(backend)
    small = "--patterns", files / "some.npy", "--stored", 5, "--betas", 3
    some, found = facts(*small), facts(*small, "--backend", backend)
    assert found["backend"] == backend
    assert found["beta"] == pytest.approx(some["beta"], rel=1e-5)
    assert found["measured"]["appear"] == pytest.approx(some["measured"]["appear"], rel=1e-4)


def test_a_data_set(facts, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (30, 6, 6), dtype=np.uint8)
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 30, 6, 6)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + images.tobytes()))
    found = facts("--dataset", "mnist", "--data", tmp_path, "--stored", 25)
    assert (found["patterns"], found["stored"], found["dimension"]) == ("mnist", 25, 36)
    assert found["dtype"] == "float32"
    found = facts("--dataset", "digits", "--stored", 40, "--dtype", "float64")
    assert found["dtype"] == "float64"
    assert found["suggestions"]["retrieve"]["success"] > 0.9


# What it writes


def test_the_sweep_as_csv(facts, files, tmp_path):
    path = tmp_path / "sweep.csv"
    found = facts("--patterns", files / "equal.npy", "--csv", path)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert list(rows[0]) == [
        "beta", *(f"{way}_{field}" for way in ("heated", "cooled") for field in Branch._fields)
    ]  # fmt: skip
    betas = [float(row["beta"]) for row in rows]
    assert len(betas) == 12
    assert betas == sorted(betas)
    again = hopcore.phase.sweep(np.eye(10), betas)
    assert [int(row["heated_minima"]) for row in rows] == again.heated.minima.tolist()
    assert [float(row["cooled_retrieved"]) for row in rows] == again.cooled.retrieved.tolist()
    low, high, _ = found["measured"]["hysteresis"]
    assert betas[0] < low < high < betas[-1]


@pytest.mark.parametrize("name", ["some", "images", "three", "two", "numbers", "line", "lengths"])
def test_the_picture(run, files, tmp_path, name):
    plot = tmp_path / "report.png"
    code, _, err = run("--patterns", files / f"{name}.npy", "--betas", 8, "--plot", plot)
    assert (code, err) == (0, "")
    assert plot.read_bytes().startswith(PNG)


def test_a_picture_without_matplotlib_fails_before_the_work(run, files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(cli_phase.analysis, "study", lambda *_, **__: pytest.fail("worked"))
    code, out, err = run("--patterns", files / "some.npy", "--plot", tmp_path / "a.png")
    assert (code, out) == (2, "")
    assert "pip install 'hopcore[plots]'" in err
    assert not list(tmp_path.iterdir())


def test_the_tables(run, files):
    code, text, err = run("--patterns", files / "some.npy", "--betas", 12, "--noise", 0.05)
    assert (code, err) == (0, "")
    some = np.load(files / "some.npy")
    suggestion = hopcore.suggest_beta(some, noise=0.05)
    flat = " ".join(text.split())
    assert "20 of 16 values, float32" in flat
    assert f"take beta = {suggestion.beta:.4g}: queries keep a margin" in flat
    for goal in GOALS:
        assert f"{hopcore.suggest_beta(some, goal, noise=0.05).beta:.4g}" in flat
    rows = flat[flat.index("Which beta to take") :]
    assert rows.index("retrieve <") < rows.index("metastable") < rows.index("average")
    assert "…" not in text  # nothing is cut off at 80 columns
    assert max(map(len, text.splitlines())) <= 80


# Patterns that break a hypothesis, and bad input

NOTES = {
    "copies": "4 of 24 repeat others",
    "lengths": "norms, got 1 to 50",
    "zero": "norms, got 0 to 1",
    "whole": "int64 values were converted to float64",
    "offset": "take it off",
    "half": "float16 values were converted to float32",
    "images": "uint8 values were converted to float32",
}


@pytest.mark.parametrize("name", NOTES)
def test_what_is_broken_is_a_note(run, facts, files, name):
    found = facts("--patterns", files / f"{name}.npy")
    assert len([note for note in found["notes"] if NOTES[name] in note]) == 1
    assert found["beta"] > 0.0
    code, text, err = run("--patterns", files / f"{name}.npy", "--betas", 12)
    assert (code, err) == (0, "")
    assert NOTES[name] in " ".join(text.split())


@pytest.mark.parametrize("name", ["two", "numbers", "line"])
def test_small_and_odd_memories(facts, files, name):
    found = facts("--patterns", files / f"{name}.npy")
    assert found["beta"] > 0.0
    for suggestion in found["suggestions"].values():
        assert 0.0 <= suggestion["success"] <= 1.0


BAD = {
    "nothing given": ("", "give --patterns, or --dataset"),
    "both": ("--patterns some.npy --dataset digits", "not both"),
    "data without a data set": ("--patterns some.npy --data .", "give --patterns, or --dataset"),
    "an unknown data set": ("--dataset cifar", "unknown data set 'cifar'"),
    "mnist without data": ("--dataset mnist", "--data"),
    "too many digits": ("--dataset digits --stored 2000", "between 1 and 1797"),
    "no digits": ("--dataset digits --stored 0", "between 1 and 1797"),
    "too many of a file": ("--patterns some.npy --stored 21", "between 1 and 20"),
    "none of a file": ("--patterns some.npy --stored 0", "between 1 and 20"),
    "missing": ("--patterns no.npy", "no.npy: No such file"),
    "a folder": ("--patterns .", "a folder without PNG or JPEG images"),
    "no array": ("--patterns text.npy", "not a whole .npy"),
    "one pattern": ("--patterns one.npy", "N >= 2 patterns, got (1, 16)"),
    "all alike": ("--patterns alike.npy", "5 copies of one pattern"),
    "nan": ("--patterns nan.npy", "nan at index (2, 3)"),
    "complex": ("--patterns complex.npy", "complex64"),
    "a vector": ("--patterns vector.npy", "(16,)"),
    "no patterns": ("--patterns none.npy", "(0, 16)"),
    "four axes": ("--patterns deep.npy", "(5, 4, 4, 4)"),
    "too large": ("--patterns huge.npy", "squares float32 cannot hold"),
    "too small": ("--patterns tiny.npy", "squares float32 cannot hold"),
    "a dtype": ("--patterns some.npy --dtype int8", "dtype must be one of"),
    "beyond a dtype": ("--patterns huge.npy --dtype float16", "do not fit into float16"),
    "a goal": ("--patterns some.npy --goal forget", "goal must be one of"),
    "noise": ("--patterns some.npy --noise -1", "noise must be >= 0"),
    "noise nan": ("--patterns some.npy --noise nan", "noise must be >= 0"),
    "noise text": ("--patterns some.npy --noise loud", "--noise"),
    "betas": ("--patterns some.npy --betas 1", "at least 2 betas, got 1"),
    "followed": ("--patterns some.npy --followed 0", "followed must be >= 1"),
    "a backend": ("--patterns some.npy --backend tensor", "unknown backend 'tensor'"),
    "a device": ("--patterns some.npy --device cuda:9", "cuda:9"),
    "a seed": ("--patterns some.npy --seed -1", "--seed"),
    "no folder": ("--patterns some.npy --plot no/where.png", "folder no does not exist"),
    "a folder to write": ("--patterns some.npy --csv .", "not a plain file"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(run, files, monkeypatch, what):
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    line, message = BAD[what]
    code, out, err = run(*line.split())
    assert code == 2
    assert out == ""
    assert err.startswith("hopcore: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(files.rglob("*")) == before
