"""What a setting draws does not depend on the other settings of the list."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from hopcore.__main__ import main
from hopcore.experiments.data.sequences import TASKS
from hopcore.experiments.temperature_profiles import trials as profiles

TIMES = {"seconds", "milliseconds", "search", "fit", "apply"}
"""Columns that no seed repeats."""

STUDIES: dict[str, tuple[list[str], list[str]]] = {
    "retrieval": (
        ["--dataset", "digits", "--beta", "0.1", "--seeds", "1"],
        ["--stored", "20,40", "--stored", "40"],
    ),
    "noise-robustness": (
        ["--stored", "40", "--level", "10", "--seeds", "1"],
        ["--corruption", "noise:0.5,noise:1", "--corruption", "noise:1"],
    ),
    "steps-sweep": (
        ["--stored", "40", "--level", "10", "--eta", "0.1", "--seeds", "1"],
        ["--steps", "0,1,3", "--steps", "3"],
    ),
    "ablation": (
        ["--level", "10", "--k", "3", "--seeds", "1"],
        ["--stored", "30,40", "--stored", "40"],
    ),
    "transition": (
        ["--stored", "20", "--seeds", "1"],
        ["--images", "raw,unit,random", "--images", "random"],
    ),
    "suggested-beta": (
        ["--stored", "30", "--updates", "1", "--seeds", "1"],
        ["--corruption", "noise:0.3,noise:1.0", "--corruption", "noise:1.0"],
    ),
    "transition-states": (["--seeds", "1"], ["--stored", "60,80", "--stored", "80"]),
    "capacity": (["--patterns", "random", "--seeds", "1"], ["--stored", "5,10", "--stored", "10"]),
    "capacity-masked": (
        ["--dataset", "digits", "--beta", "1", "--seeds", "1"],
        ["--stored", "20,30", "--stored", "30"],
    ),
    "completion": (
        ["--seeds", "1"],
        ["--method", "mean,average,nearest", "--method", "nearest"],
    ),
    "estimators": (["--seeds", "1"], ["--task", "regress,classify", "--task", "classify"]),
    "attention-entropy": (
        ["--attention", "softmax", "--steps", "5", "--seeds", "1"],
        ["--task", "copy,chain", "--task", "chain"],
    ),
    "annealing": (
        ["--epochs", "1", "--seeds", "1"],
        ["--arm", "fixed warm,cosine,MLP", "--arm", "cosine"],
    ),
    "temperature-floor": (
        ["--study", "cures", "--epochs", "1", "--seeds", "1"],
        ["--arm", "as it is,clipping", "--arm", "clipping"],
    ),
}
"""Options that two runs of a study share, and the list of a setting with others and alone."""

NEEDS = {
    "attention-entropy": ("torch", "transformers"),
    "annealing": ("torch",),
    "temperature-floor": ("torch",),
    "estimators": ("sklearn",),
}


def rows(words: list[str], path: Path) -> list[tuple[tuple[str, str], ...]]:
    """The rows of a run, without times."""
    plot = [] if words[1] == "retrieval" else ["--plot", str(path.with_suffix(".png"))]
    with pytest.raises(SystemExit) as done:
        main([*words, "--csv", str(path), *plot])
    assert not done.value.code
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [tuple((k, v) for k, v in row.items() if k not in TIMES) for row in found]


@pytest.mark.parametrize("study", STUDIES)
def test_a_setting_alone_gives_its_rows(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NEEDS.get(study, ()):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    shared, (option, several, _, single) = STUDIES[study]
    within = rows(["experiment", study, *shared, option, several], tmp_path / "within.csv")
    alone = rows(["experiment", study, *shared, option, single], tmp_path / "alone.csv")
    assert alone
    missing = [row for row in alone if row not in within]
    assert not missing, f"{len(missing)} of {len(alone)} rows are other ones, such as {missing[0]}"
    assert len(within) > len(alone)


def test_profiles_are_tested_with_the_same_sequences() -> None:
    """One model learns all tasks of the list; what tests it is drawn for each task by itself."""
    for task in TASKS:
        one, again = (profiles.tested(task, 4, seed=0) for _ in range(2))
        np.testing.assert_array_equal(one.symbols, again.symbols)
        other = profiles.tested(task, 4, seed=1)
        assert np.any(one.symbols != other.symbols)
