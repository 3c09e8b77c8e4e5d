"""What a setting draws does not depend on the other settings of the list."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from hopcore.__main__ import main
from hopcore.experiments.data.sequences import TASKS
from hopcore.experiments.registry import COMMANDS
from hopcore.experiments.temperature_profiles import trials as profiles

TIMES = {"seconds", "milliseconds", "search", "fit", "apply"}
"""Columns that no seed repeats."""

BAGS = ["--layer", "mean", "--epochs", "1", "--learning-rate", "0.01", "--seeds", "1"]
TRANSFORMER = ["--d-model", "8", "--heads", "2", "--layers", "1", "--steps", "1", "--seeds", "1"]

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
    "mode-comparison": (
        ["--stored", "30", "--level", "10", "--eta", "0.1", "--steps", "3", "--seeds", "1"],
        ["--k", "3,5", "--k", "5"],
    ),
    "logit-vs-feature": (
        ["--stored", "30", "--eta", "0.1", "--steps", "3", "--seeds", "1"],
        ["--level", "5,10", "--level", "10"],
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
    "bit-pattern": ([*BAGS], ["--bags", "8,12", "--bags", "12"]),
    "bit-pattern --size": ([*BAGS, "--bags", "8"], ["--size", "4,6", "--size", "6"]),
    "bit-pattern --noise": ([*BAGS, "--bags", "8"], ["--noise", "0,0.1", "--noise", "0.1"]),
    "bit-pattern --layer": (
        [*BAGS, "--bags", "8", "--size", "4"],
        ["--layer", "mean,pooling", "--layer", "pooling"],
    ),
    "latch": ([*BAGS], ["--length", "4,6", "--length", "6"]),
    "latch --repeats": ([*BAGS, "--repeats", "2"], ["--length", "4,6", "--length", "6"]),
    "mnist-bags": ([*BAGS], ["--bags", "8,12", "--bags", "12"]),
    "mnist-bags --size": ([*BAGS, "--bags", "8"], ["--size", "4,6", "--size", "6"]),
    "mnist-bags --least": ([*BAGS, "--bags", "8"], ["--least", "1,3", "--least", "3"]),
    "mil": ([*BAGS, "--folds", "3"], ["--data", "a.npz,b.npz", "--data", "b.npz"]),
    "mil --layer": (
        [*BAGS[2:], "--folds", "3", "--data", "a.npz"],
        ["--layer", "mean,pooling", "--layer", "pooling"],
    ),
    "bag-attention": (
        ["--layer", "untrained", "--length", "8", "--bags", "8", "--size", "4", "--seeds", "1"],
        ["--task", "latch,order,digits", "--task", "digits"],
    ),
    "bag-attention --layer": (
        ["--task", "latch", "--length", "8", "--epochs", "1", "--seeds", "1"],
        ["--layer", "pooling,gated", "--layer", "gated"],
    ),
    "temperature-router": (
        ["--router", "entropy", "--budget", "0.5", "--steps", "1", "--seeds", "1"],
        ["--task", "copy,brackets", "--task", "brackets"],
    ),
    "temperature-router --router": (
        ["--task", "copy", "--budget", "0.5", "--steps", "1", "--seeds", "1"],
        ["--router", "entropy,random", "--router", "random"],
    ),
    "temperature-router --budget": (
        ["--task", "copy", "--router", "random", "--steps", "1", "--seeds", "1"],
        ["--budget", "0.25,0.5", "--budget", "0.5"],
    ),
    "attention-analysis": (
        [*TRANSFORMER, "--arm", "trained"],
        ["--task", "latch,copy", "--task", "copy"],
    ),
    "attention-analysis --arm": (
        [*TRANSFORMER, "--task", "copy"],
        ["--arm", "trained,untrained,shuffled", "--arm", "shuffled"],
    ),
    "compact": (
        ["--stored", "40", "--m", "4", "--effective", "4", "--steps", "1", "--seeds", "1"],
        ["--patterns", "digits,keys", "--patterns", "keys"],
    ),
    "compact --m": (
        ["--patterns", "digits", "--stored", "40", "--effective", "4", "--seeds", "1"],
        ["--m", "4,8", "--m", "8"],
    ),
    "compact --effective": (
        ["--patterns", "digits", "--stored", "40", "--m", "4", "--seeds", "1"],
        ["--effective", "4,10", "--effective", "10"],
    ),
    "papers": (["--seeds", "1"], ["--size", "5,6", "--size", "6"]),
    "papers denoising": (
        ["--paper", "denoising", "--seeds", "1"],
        ["--size", "4,8", "--size", "8"],
    ),
    "papers emergent-minima": (
        ["--paper", "emergent-minima", "--seeds", "1"],
        ["--size", "3,5", "--size", "5"],
    ),
    "papers separation-loss": (
        ["--paper", "separation-loss", "--seeds", "1"],
        ["--size", "8,10", "--size", "10"],
    ),
}
"""Options that two runs of a study share, and the list of a setting with others and alone.

The name of the study may be followed by what is special to an entry.
"""

NAMED_BY_LIST = {
    "bit-pattern --size",
    "bit-pattern --noise",
    "mnist-bags --size",
    "mnist-bags --least",
}
"""Entries whose column ``data`` has the value of the list, or the number of bags without a list."""

ELSEWHERE = {"temperature-profiles"}
"""Studies that have a test of their own."""

NEEDS = {
    "attention-entropy": ("torch", "transformers"),
    "annealing": ("torch",),
    "temperature-floor": ("torch",),
    "estimators": ("sklearn",),
    **dict.fromkeys(
        (
            "bit-pattern", "latch", "mnist-bags", "mil", "bag-attention", "temperature-router",
            "attention-analysis", "compact",
        ),
        ("torch",),
    ),
}  # fmt: skip


def rows(words: list[str], path: Path) -> list[tuple[tuple[str, str], ...]]:
    """The rows of a run, without times."""
    plot = [] if words[1] == "retrieval" else ["--plot", str(path.with_suffix(".png"))]
    with pytest.raises(SystemExit) as done:
        main([*words, "--csv", str(path), *plot])
    assert not done.value.code
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    return [tuple((k, v) for k, v in row.items() if k not in TIMES) for row in found]


def write_bags(folder: Path) -> None:
    """Write two files of bags of random features."""
    for seed, name in enumerate("ab"):
        bag = np.arange(20).repeat(3)
        features = np.random.default_rng(seed).normal(size=(60, 4))
        np.savez(folder / f"{name}.npz", features=features, bag=bag, label=bag % 2)


def test_every_study_has_an_entry() -> None:
    assert {entry.partition(" ")[0] for entry in STUDIES} | ELSEWHERE == set(COMMANDS)


@pytest.mark.parametrize("entry", STUDIES)
def test_a_setting_alone_gives_its_rows(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = entry.partition(" ")[0]
    for name in NEEDS.get(study, ()):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    write_bags(tmp_path)
    shared, (option, several, _, single) = STUDIES[entry]
    within, alone = (
        [
            tuple((k, v) for k, v in row if k != "data" or entry not in NAMED_BY_LIST)
            for row in rows(
                ["experiment", study, *shared, option, value], tmp_path / f"{value}.csv"
            )
        ]
        for value in (several, single)
    )
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
