"""``hopcore memory``: from an empty folder to calibrated answers, and its errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")

import hopcore
from hopcore.__main__ import main

STORED = np.random.default_rng(0).standard_normal((20, 6))


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("patterns.npy", STORED)
    np.save("queries.npy", np.stack([STORED[3] + 0.01, STORED[3] + 9.0]))
    Path("names.txt").write_text("one\ntwo\n")
    Path("taken.txt").write_text("x\nx\n")


def run(line: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["memory", *line.split()])
    assert stop.value.code == code


def test_a_memory_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    run("build a.memory patterns.npy --beta 9 --error 1e-6 --separation sparsemax")
    np.save("more.npy", 2.0 * STORED[:2])
    run("add a.memory more.npy --keys names.txt")
    run("remove a.memory 0 two")
    run("calibrate a.memory --noise 0.1")
    held = hopcore.Memory.load("a.memory")
    assert held.keys == [*range(1, 20), "one"]
    assert (held.beta, held.error, held.separation.alpha) == (9.0, 1e-6, 2.0)
    capsys.readouterr()
    run("info a.memory --json")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["patterns"], facts["separation"]) == (20, "entmax:2.0")
    run("query a.memory queries.npy --out found.npz --json")
    assert json.loads(capsys.readouterr().out)["answers"][0]["key"] == 3
    with np.load("found.npz") as found:
        np.testing.assert_allclose(found["state"][0], STORED[3], atol=1e-9)
        assert found["accepted"].tolist() == [True, False]
    run("query a.memory queries.npy")
    assert "(not accepted)" in capsys.readouterr().out


def test_a_smaller_memory(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("copies.npy", np.repeat(STORED[:4], 5, axis=0))
    np.save("few.npy", STORED[:4])
    run("build a.memory copies.npy --beta 9")
    capsys.readouterr()
    run("compact a.memory b.memory --error 1e-6 --queries few.npy --json")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["patterns"], facts["clusters"]) == (20, 4)
    assert facts["largest error"] <= facts["certificate"] < 1e-6
    small = hopcore.Memory.load("b.memory")
    np.testing.assert_allclose(np.exp(small.bias), 5.0)
    run("compact a.memory b.memory --m 2")
    assert len(hopcore.Memory.load("b.memory")) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("add a.memory queries.npy --keys taken.txt", "keys must be distinct"),
        ("remove a.memory 77", "no key 77"),
        ("info patterns.npy", "safetensors"),
        ("info nothing.memory", "No such file"),
        ("build patterns.npy patterns.npy", "would overwrite"),
        ("build b.memory patterns.npy --similarity cosine", "'dot' or 'distance'"),
        ("compact a.memory a.memory --m 3", "would overwrite"),
        ("compact a.memory b.memory", "m"),
        ("query a.memory queries.npy --out found.txt", "--out must end in"),
    ],
)
def test_errors_of_one_line(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("build a.memory patterns.npy --beta 9")
    before = Path("a.memory").read_bytes()
    capsys.readouterr()
    run(line, 2)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert Path("a.memory").read_bytes() == before
