"""No command writes over what it reads, and no two results go to one file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hopcore.__main__ import main
from hopcore.experiments.registry import COMMANDS
from hopcore.training._run_files import BEST, HISTORY, LAST

IMAGES = "t10k-images-idx3-ubyte"

Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Refused:
    """Run a command that must be refused in one line, and leave every file as it is."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.eye(4))
    np.save("q.npy", np.ones((2, 4)))
    Path("mnist").mkdir()
    (Path("mnist") / IMAGES).write_bytes(b"images")
    (Path("mnist") / "t10k-labels-idx1-ubyte").write_bytes(b"labels")
    Path("a.zarr").mkdir()
    (Path("a.zarr") / "zarr.json").write_bytes(b"{}")
    Path("b.h5").write_bytes(b"h5")
    Path("run").mkdir()
    for name in (LAST, BEST, HISTORY):
        (Path("run") / name).write_bytes(b"run")
    Path("link").symlink_to("x.npy")
    os.link("x.npy", "hard.npy")

    def call(*arguments: Any) -> str:
        before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        with pytest.raises(SystemExit) as stop:
            main([str(one) for one in arguments])
        assert stop.value.code == 2
        assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return call


@pytest.mark.parametrize("option", ["--out", "--plot"])
@pytest.mark.parametrize("place", ["x.npy", "q.npy", "link", "hard.npy", "mnist/../x.npy"])
def test_retrieve_keeps_what_it_reads(refused: Refused, option: str, place: str) -> None:
    files = ["--patterns", "x.npy", "--queries", "q.npy", "--beta", "8"]
    line = refused("retrieve", *files, option, place)
    assert line.startswith(f"hopcore: {option} {place} would overwrite ")
    assert line.endswith(": name another file")


@pytest.mark.parametrize(
    ("given", "place"),
    [("a.zarr", "a.zarr/zarr.json"), ("a.zarr", "a.zarr/new"), ("b.h5:x", "b.h5")],
)
def test_retrieve_keeps_stores_of_arrays(refused: Refused, given: str, place: str) -> None:
    line = refused("retrieve", "--patterns", given, "--queries", "q.npy", "--out", place)
    assert f"--out {place} would overwrite {given.partition(':')[0]} of --patterns" in line


@pytest.mark.parametrize("option", ["--csv", "--plot"])
def test_phase_keeps_what_it_reads(refused: Refused, option: str) -> None:
    line = refused("phase", "--patterns", "x.npy", option, "x.npy")
    assert f"{option} x.npy would overwrite x.npy of --patterns" in line


@pytest.mark.parametrize("command", [["retrieve"], ["phase"]])
@pytest.mark.parametrize("name", [IMAGES, "t10k-labels-idx1-ubyte"])
def test_a_data_set_is_kept(refused: Refused, command: list[str], name: str) -> None:
    line = refused(*command, "--dataset", "mnist", "--data", "mnist", "--plot", f"mnist/{name}")
    assert f"--plot mnist/{name} would overwrite mnist/{name} of --data" in line


@pytest.mark.parametrize("name", [LAST, BEST, HISTORY])
@pytest.mark.parametrize("option", ["--resume", "--out"])
def test_train_keeps_its_run(refused: Refused, option: str, name: str) -> None:
    line = refused("train", option, "run", "--plot", f"run/{name}")
    assert f"--plot run/{name} would overwrite run/{name} of the run" in line


@pytest.mark.parametrize(
    ("command", "pair"),
    [
        (["retrieve", "--patterns", "x.npy", "--queries", "q.npy"], ("--out", "--plot")),
        (["phase", "--patterns", "x.npy"], ("--plot", "--csv")),
        (["experiment", "retrieval"], ("--csv", "--markdown")),
    ],
)
def test_two_results_need_two_files(
    refused: Refused, command: list[str], pair: tuple[str, str]
) -> None:
    line = refused(*command, pair[0], "new", pair[1], "mnist/../new")
    assert line == f"hopcore: {pair[0]} and {pair[1]} are both mnist/../new: name two files"


@pytest.mark.parametrize("study", [name for name in COMMANDS if name != "retrieval"])
def test_studies_need_a_file_for_each_result(refused: Refused, study: str) -> None:
    data = ["--data", "bags.npz"] if study == "mil" else []
    line = refused("experiment", study, *data, "--csv", "new", "--plot", "new")
    assert line == "hopcore: --csv and --plot are both new: name two files"
    line = refused("experiment", study, *data, "--csv", "new", "--markdown", "x.png", "--plot",
                   "x.png")  # fmt: skip
    assert line == "hopcore: --plot and --markdown are both x.png: name two files"


@pytest.mark.parametrize("study", ["annealing", "transition", "suggested-beta"])
def test_studies_keep_their_data_set(refused: Refused, study: str) -> None:
    options = ["--dataset", "mnist", "--data", "mnist", "--markdown", f"mnist/{IMAGES}"]
    line = refused("experiment", study, *options)
    assert f"--markdown mnist/{IMAGES} would overwrite mnist/{IMAGES} of --data" in line


def test_the_study_of_bags_keeps_its_bags(refused: Refused) -> None:
    line = refused("experiment", "mil", "--data", "x.npy,q.npy", "--csv", "q.npy")
    assert line.startswith("hopcore: --csv q.npy would overwrite q.npy of --data q.npy")


def test_files_beside_those_that_are_named_count(refused: Refused) -> None:
    line = refused("experiment", "annealing", "--csv", "a.csv", "--markdown", "a-epochs.csv")
    assert "are both a-epochs.csv: name two files" in line
    line = refused(
        "experiment", "temperature-profiles", "--csv", "a.csv", "--plot", "a-temperatures.csv"
    )
    assert "are both a-temperatures.csv: name two files" in line
