"""``hopcore retrieve --memory``: a memory in a file in place of the stored patterns."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")

import hopcore
from hopcore.__main__ import main

Run = Callable[..., tuple[int, str, str]]
STORED = np.random.default_rng(0).standard_normal((20, 6))
NAMES = [f"pattern {i}" for i in range(20)]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in a folder with memories and queries; exit code, output, error."""
    monkeypatch.chdir(tmp_path)
    memory = hopcore.Memory(STORED, keys=NAMES, beta=9.0, error=1e-6)
    memory.calibrate(noise=0.1)
    memory.save("a.memory")
    hopcore.Memory(STORED, beta=9.0, similarity="dot", separation="entmax15").save("dot.memory")
    hopcore.Memory(np.empty((0, 6)), beta=9.0).save("empty.memory")
    np.save("P.npy", STORED)
    np.save("Q.npy", np.stack([STORED[3] + 0.01, STORED[3] + 9.0]))
    np.save("halves.npy", np.where(np.arange(6) < 4, STORED[:5], np.nan))
    np.save("long.npy", np.ones((2, 7)))

    def call(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(line.split())
        printed = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, printed.out, printed.err

    return call


def test_the_output_names_keys_certificates_and_what_is_accepted(run: Run) -> None:
    code, text, err = run("retrieve --memory a.memory Q.npy --out R.csv")
    assert (code, err) == (0, "")
    first, second = text.splitlines()[:2]
    assert first.startswith("query 0: pattern 3, certificate ")
    assert second.endswith(" (not accepted)")
    assert "beta = 9 is that of the memory." in text
    with Path("R.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["key"] == "pattern 3"
    assert [row["accepted"] for row in rows] == ["True", "False"]
    memory = hopcore.Memory.load("a.memory")
    found = memory.retrieve(np.load("Q.npy"))
    np.testing.assert_array_equal([float(row["certificate"]) for row in rows], found.certificate)
    answers = json.loads(run("retrieve --memory a.memory --queries Q.npy --json")[1])["answers"]
    assert answers[0]["key"] == "pattern 3"
    assert [one["accepted"] for one in answers] == [True, False]
    assert 0.0 < answers[0]["certificate"] < 1e-6 + 1e-9


def test_memory_query_is_the_same(run: Run) -> None:
    _, text, _ = run("memory query a.memory Q.npy --json --beta 4 --out one.npz")
    one = json.loads(text)
    _, text, _ = run("retrieve --memory a.memory Q.npy --json --beta 4 --out two.npz")
    two = json.loads(text)
    for facts in (one, two):
        facts.pop("seconds")
        facts.pop("written")
    assert one == two
    with np.load("one.npz") as first, np.load("two.npz") as second:
        assert set(first) == set(second) >= {"state", "key", "certain", "certificate", "accepted"}
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("options", ["", " --backend array_api_strict", " --backend torch"])
def test_a_memory_stands_for_its_patterns(run: Run, options: str) -> None:
    for package in ("array_api_strict", "torch"):
        if package in options:
            pytest.importorskip(package)
    line = "retrieve P.npy Q.npy --beta 9 --similarity distance --out R.npz"
    assert run(line)[0] == 0
    with np.load("R.npz") as found:
        wanted = found["state"]
    # Options that agree with the memory may be repeated.
    line = "retrieve --memory a.memory Q.npy --similarity distance --separation softmax --beta auto"
    assert run(f"{line} --out S.npy{options}")[0] == 0
    np.testing.assert_allclose(np.load("S.npy"), wanted, atol=1e-6)


def test_values_that_are_not_known(run: Run) -> None:
    code, text, err = run("retrieve --memory a.memory halves.npy --out R.npz --plot R.png --json")
    assert (code, err) == (0, "")
    answers = json.loads(text)["answers"]
    assert [one["key"] for one in answers] == NAMES[:5]
    assert "accepted" not in answers[0]  # a threshold is one for whole queries
    np.save("zeros.npy", np.nan_to_num(np.load("halves.npy")))
    np.save("known.npy", np.arange(6) < 4)
    assert run("retrieve --memory a.memory zeros.npy --known known.npy --out S.npz")[0] == 0
    with np.load("R.npz") as first, np.load("S.npz") as second:
        np.testing.assert_array_equal(first["state"], second["state"])


def test_an_empty_memory_answers_without_a_key(run: Run) -> None:
    code, text, err = run("retrieve --memory empty.memory Q.npy --out R.json --json")
    assert (code, err) == (0, "")
    assert json.loads(text)["answers"] == [{"key": None, "certain": 0.0}] * 2
    found = json.loads(Path("R.json").read_text())
    assert (found["energy"], found["key"]) == ([None, None], ["", ""])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a.memory Q.npy --separation sparsemax", "contradicts the memory, which has softmax"),
        ("a.memory Q.npy --similarity dot", "contradicts the memory, which has distance"),
        ("a.memory Q.npy --similarity auto", "contradicts the memory, which has distance"),
        ("a.memory Q.npy --patterns P.npy", "--patterns contradicts --memory"),
        ("a.memory Q.npy --dataset digits", "--dataset contradicts --memory"),
        ("a.memory Q.npy --stored 256", "--stored contradicts --memory"),
        ("a.memory Q.npy --seed 0", "--seed contradicts --memory"),
        ("a.memory Q.npy --corruption half", "--corruption contradicts --memory"),
        ("a.memory Q.npy --dtype float64", "--dtype contradicts --memory"),
        ("a.memory Q.npy --workers 2", "--workers contradicts --memory"),
        ("a.memory P.npy Q.npy", "give one file more, that of the queries, got 2"),
        ("a.memory", "give one file more, that of the queries, got 0"),
        ("a.memory long.npy", "must have 6 values in each query"),
        ("dot.memory halves.npy", "build one with --similarity distance"),
        ("P.npy Q.npy", "safetensors"),
        ("nothing.memory Q.npy", "No such file"),
        ("a.memory Q.npy --beta cold", "beta must be a number"),
        ("a.memory Q.npy --out R.txt", "--out must end in"),
        ("a.memory Q.npy --out Q.npy", "would overwrite"),
    ],
)
def test_errors_of_one_line(run: Run, line: str, said: str) -> None:
    code, _, err = run(f"retrieve --memory {line}")
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
