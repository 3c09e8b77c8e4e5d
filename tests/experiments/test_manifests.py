"""The manifest beside the data of a study says how they were made."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import hopcore
from hopcore.__main__ import main
from hopcore.experiments import manifest
from hopcore.experiments.registry import COMMANDS


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as done:
        main(["experiment", *words])
    assert not done.value.code


FEW = ("--patterns", "random", "--stored", "3", "--seeds", "1")


def test_a_study_writes_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("capacity", *FEW)
    found = json.loads((tmp_path / "capacity-manifest.json").read_text())
    (one,) = found["runs"]
    assert one["command"] == f"hopcore experiment capacity {' '.join(FEW)}"
    assert one["versions"]["numpy"] == np.__version__
    assert one["hopcore"] == hopcore.__version__
    assert one["seconds"] > 0.0
    assert one["date"].endswith(" UTC")
    if "commit" in one:
        assert len(one["commit"]) == 40
        assert isinstance(one["changed"], bool)
    for name, digest in found["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
    assert set(found["files"]) == {"capacity.csv", "capacity.png"}
    # A run that continues is added; one that begins anew replaces the manifest.
    run("capacity", *FEW[:-3], "3,4", "--seeds", "1", "--resume")
    first, second = json.loads((tmp_path / "capacity-manifest.json").read_text())["runs"]
    assert first == one
    assert second["command"].endswith("--stored 3,4 --seeds 1 --resume")
    (tmp_path / "capacity-manifest.json").write_text("{")
    run("capacity", *FEW, "--resume")
    (again,) = json.loads((tmp_path / "capacity-manifest.json").read_text())["runs"]
    assert again["note"] == "rows of earlier runs, which left no manifest, were kept"


def test_the_study_of_retrieval_writes_one_beside_its_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("retrieval", "--dataset", "digits", "--stored", "9", "--seeds", "1")
    run(*words)
    assert not list(tmp_path.iterdir())
    run(*words, "--csv", "trials.csv")
    found = json.loads((tmp_path / "trials-manifest.json").read_text())
    assert shlex.split(found["runs"][0]["command"])[2:] == [*words, "--csv", "trials.csv"]
    assert list(found["files"]) == ["trials.csv"]


@pytest.mark.parametrize(
    ("study", "options", "words"),
    [
        ("latch", {"length": "20", "seeds": 10}, "--length 20"),
        ("bit-pattern", {"transfer": True, "epochs": 20}, "--transfer --epochs 20"),
        ("annealing", {"arm": "fixed warm,cosine"}, "--arm 'fixed warm,cosine'"),
        ("capacity", {"data": Path("/home/someone/mnist")}, "--data DIR"),
        ("mil", {"data": "/a/tiger.npz,/b/fox.npz"}, "--data DIR/tiger.npz,DIR/fox.npz"),
        ("transition", {"csv": Path("/somewhere/a.csv"), "resume": True}, "--csv a.csv --resume"),
        ("noise-robustness", {"k": "3", "as_json": True}, "--k 3 --json"),
    ],
)
def test_command_lines(study: str, options: dict[str, object], words: str) -> None:
    line = manifest.command_line(study, COMMANDS[study], options)
    prefix = f"hopcore experiment {study} "
    assert line.startswith(prefix)
    assert sorted(shlex.split(line.removeprefix(prefix))) == sorted(shlex.split(words))


def test_a_place_without_git_has_no_commit(tmp_path: Path) -> None:
    assert manifest.commit_of(tmp_path) == {}
