"""``hopcore train``: what it prints and writes, and one line for every kind of bad input."""

from __future__ import annotations

import json
import re
import sys
from functools import partialmethod
from pathlib import Path

import pytest
from rich.progress import Progress

from hopcore.__main__ import main
from hopcore.cli import train as cli_train
from hopcore.experiments.trained import SPLITS, accuracies, open_run, samples_of
from hopcore.training._run_files import BEST, HISTORY, LAST, read_run

pytest.importorskip("torch")


@pytest.fixture
def train(capsys, tmp_path, monkeypatch):
    """Run the command in a folder of its own; exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["train", *map(str, args)])
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return call


def test_a_run(train, tmp_path):
    code, out, err = train("--model", "mlp", "--epochs", 3, "--plot", "run.png")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "Training finished: mlp on digits, torch"
    assert [line.split(":")[0].strip() for line in lines[1:6]] == [
        "Best epoch", "validation accuracy", "test accuracy", "Last epoch", "validation accuracy",
    ]  # fmt: skip
    folder = tmp_path / "mlp-digits-torch-0"
    written = [f"{folder.name}/{name}" for name in (BEST, LAST, HISTORY)] + ["run.png"]
    assert [line.split(":")[0].removeprefix("Wrote ") for line in lines[6:]] == written
    assert sorted(path.name for path in folder.iterdir()) == sorted([BEST, HISTORY, LAST])
    told = [line for line in err.splitlines() if line.startswith("Epoch")]
    assert len(told) == 3
    assert re.match(r"Epoch 3/3: loss: [\d.]+, acc: [\d.]+, validation: [\d.]+(, best)?$", told[-1])
    assert not re.search("soft|hard", out + err)  # which an MLP has not
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert read_run(folder / BEST).about == {"dataset": "digits"}


@pytest.mark.parametrize("model", ["hnm", "cnn", "vq"])
def test_every_model_and_json(train, model):
    code, out, _ = train("--model", model, "--epochs", 1, "--json", "--out", "here")
    facts = json.loads(out)
    assert code == 0
    assert facts["folder"] == "here"
    assert facts["model"]["kind"] == model
    (epoch,) = facts["history"]
    assert epoch == facts["best"]
    assert epoch["hard"] > 0.2
    ends = {"hnm": {"memory": 0.001}, "cnn": {}, "vq": {"codes": 0.1, "symbols": 0.1}}
    assert epoch["temperatures"] == pytest.approx(ends[model])


def test_temperatures_as_they_are_asked_for(train):
    options = ["--temp-start", 0.5, "--temp-end", 0.05, "--schedule", "geometric", "--factor", 0.5]
    _, out, _ = train("--epochs", 3, *options, "--floor", 0.2, "--widths", "0", "--json")
    found = [epoch["temperatures"]["memory"] for epoch in json.loads(out)["history"]]
    assert found == pytest.approx([0.25, 0.2, 0.2])


def test_going_on(train, tmp_path, monkeypatch):
    """Ctrl-C in the second epoch: it says how to go on, and that does."""
    seen = []

    def interrupted(epoch, run, width):
        seen.append(epoch)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return ""

    with monkeypatch.context() as patch:
        patch.setattr(cli_train, "line_of", interrupted)
        code, out, err = train("--model", "mlp", "--epochs", 4, "--out", "run")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == (
        "interrupted in epoch 3; 2 epochs are kept: hopcore train --resume run"
    )
    code, _, err = train("--resume", "run")
    assert code == 0
    assert [line.split()[1] for line in err.splitlines()] == ["3/4:", "4/4:"]
    assert [epoch.epoch for epoch in read_run(tmp_path / "run" / LAST).history] == [1, 2, 3, 4]
    code, _, err = train("--resume", "run", "--epochs", 9, "--temp-start", 1)
    assert code == 2
    assert err == ("hopcore: a resumed run keeps its settings: leave out --epochs, --temp-start\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temp-start", "0"], "temp_start must be positive and finite, got 0.0"),
        (["--temp-start", "nan"], "temp_start must be positive and finite, got nan"),
        (["--temp-end", "-1"], "temp_end must be positive and finite, got -1.0"),
        (["--floor", "0.5"], "temp_start must not be below the floor, got 0.1 and 0.5"),
        (["--temp-anneal-steps", "0"], "temp_anneal_steps must be >= 1, got 0"),
        (["--temp-anneal-steps", "99999"], "temp_anneal_steps must be within the 1600 steps"),
        (["--schedule", "sudden"], "unknown schedule 'sudden'; known: constant, geometric"),
        (["--model", "gru"], "unknown model 'gru'; known: hnm, mlp, cnn, vq"),
        (
            ["--model", "cnn", "--widths", "3"],
            "--widths is an option of the models hnm and mlp, got it for cnn",
        ),
        (["--widths", "a"], "widths must be integers, got 'a'"),
        (["--backend", "numpy"], "nothing trains on 'numpy'; torch and jax do"),
        (["--dataset", "mnist"], "mnist is read from a folder of IDX files; none was given"),
        (["--dataset", "mnist", "--data", "nowhere"], "nowhere holds no t10k-images-idx3-ubyte"),
        (["--dataset", "faces"], "unknown data set 'faces'"),
        (["--resume", "nowhere"], "nowhere/last.safetensors: No such file or directory"),
        (["--device", "nowhere"], "torch has no device 'nowhere' here"),
        (["--backend", "jax", "--device", "nowhere"], "JAX has no device 'nowhere' here"),
        (["--path", "both"], "unknown path 'both'; known: soft, hard"),
        (["--plot", "no/where.png"], "no/where.png: the folder no does not exist"),
    ],
)
def test_bad_input(train, tmp_path, options, message):
    code, out, err = train(*options)
    assert (code, out) == (2, "")
    assert err.startswith(f"hopcore: {message}")
    assert err.count("\n") == 1
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_run_is_not_written_over(train):
    assert train("--model", "mlp", "--epochs", 1, "--out", "run")[0] == 0
    code, _, err = train("--model", "mlp", "--epochs", 1, "--out", "run")
    assert code == 2
    assert err == "hopcore: run holds a run already: resume it, or name another folder\n"


def test_truncated_data(train, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03\0\0\0\x02")
    code, _, err = train("--dataset", "mnist", "--data", "mnist")
    assert code == 2
    assert "is truncated within its header of 16 bytes" in err


def test_checkpoints_need_safetensors(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    code, _, err = train("--model", "mlp", "--epochs", 1)
    assert code == 2
    assert err == "hopcore: checkpoints need safetensors: pip install 'hopcore[checkpoint]'\n"


def test_the_test_images_are_measured_once_and_as_evaluate_does(train):
    """At the end, with the parameters of the best epoch, on images that no epoch looked at."""
    code, out, _ = train("--model", "hnm", "--epochs", 2, "--json", "--out", "run")
    assert code == 0
    facts = json.loads(out)
    assert {epoch["split"] for epoch in facts["history"]} == {"validation"}
    assert facts["best"] == max(facts["history"], key=lambda epoch: epoch["hard"])
    run = open_run(Path("run"))
    samples = samples_of(run, None)
    assert [len(samples[name].target) for name in SPLITS] == [1258, 179, 360]
    assert facts["test"] == accuracies(run, samples["test"])
    assert accuracies(run, samples["validation"]) == {
        name: pytest.approx(facts["best"][name], abs=0.01) for name in ("soft", "hard")
    }


def test_on_a_terminal_there_is_a_bar_for_each_epoch(train, monkeypatch):
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("COLUMNS", "150")
    # Each step is drawn; by itself the bar is drawn ten times a second, however fast steps are.
    drawn = partialmethod(Progress.update, refresh=True)
    monkeypatch.setattr(Progress, "update", drawn)
    code, _, err = train("--model", "hnm", "--epochs", 2)
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err).replace("\r", "\n").splitlines()
    look = (
        r"Epoch ([12])/2: +(\d+)%\|[█ ]{20}\| \d+/40 \[\d\d:\d\d<\d\d:\d\d, loss: \d\.\d{4}, "
        r"acc: \d\.\d{4}, temp: \d\.\d\de-\d\d(, val: \d\.\d{4})?\]( best)?"
    )
    bars = [re.fullmatch(look, line.rstrip()) for line in plain if line.startswith("Epoch")]
    assert all(bars)
    assert [bar[1] for bar in bars if bar[3]] == ["1", "2"]  # one line of each epoch is left
    assert len({bar[2] for bar in bars}) > 20  # it moves
