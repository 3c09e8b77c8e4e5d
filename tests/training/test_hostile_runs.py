"""Files of runs with a right digest and hostile content, and two runs in one folder."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import as_json, changed, forge, little_memory, refusal, reshaped
from libraries import libraries

from hopcore import Constant, Linear
from hopcore.experiments.models.image_classifiers import CLASSIFIERS, CNN, HNM, MLP, VQ, Images
from hopcore.files._locks import LOCK, locked
from hopcore.files._safetensors import read_tensors
from hopcore.training._config import TrainConfig
from hopcore.training._epoch_loop import Run
from hopcore.training._run_files import LAST, read_run
from hopcore.training._trainer import trainer

pytest.importorskip("torch")
pytest.importorskip("safetensors")

MODELS = [
    HNM(size=6, classes=2, widths=(4,), quantity=3, num_heads=2, hidden_size=2),
    MLP(size=6, classes=2, widths=(3,)),
    CNN(shape=(3, 2), classes=2, channels=(2,)),
    VQ(size=6, classes=2, width=4, groups=2, code_size=2, quantity=3, symbols=2),
]
CONFIG = TrainConfig(epochs=3, batch_size=4, learning_rate=1e-2)
DATA = Images(
    np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32),
    np.arange(8, dtype=np.int32) % 2,
)
CASES = 300
"""Forged files of each kind of model: 1,200 together."""


def begun(folder: Path, model: Any, backend: str = "torch", epochs: int = 2) -> None:
    """Train a model for some epochs in a folder."""
    schedules = {name: Linear(1.0, 0.5, steps=3).then(Constant(0.5), at=4)
                 for name in model.TEMPERATURES[:1]}  # fmt: skip
    config = replace(CONFIG, schedules=schedules)
    run = Run(model, config, DATA, DATA, folder=folder, backend=backend, about={"dataset": "none"})
    for epoch in run.epochs():
        if epoch.epoch == epochs:
            break


def answer(folder: Path) -> str | None:
    """Return what is wrong with the answer to a file, or None if it goes on or is refused well."""
    try:
        list(Run.resumed(folder, DATA, DATA, models=CLASSIFIERS).epochs())
    except Exception as error:
        return refusal(error)
    return None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.KIND)
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_hostile_runs_end_in_one_line(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path, model)
    # Whatever could still be trained would be: only what is checked before is of interest here.
    monkeypatch.setattr(Run, "_epoch", stop)
    header, arrays = read_tensors(tmp_path / LAST)
    del header["digest"]
    tree, chance, wrong = json.loads(header["run"]), random.Random(model.KIND), []
    with little_memory():
        for _ in range(CASES):
            own, values = dict(header), arrays
            what = chance.random()
            if what < 0.8:
                own["run"] = as_json(changed(tree, chance))
            if what > 0.75:
                values = reshaped(arrays, chance)
            forge(tmp_path / LAST, own, values)
            found = answer(tmp_path)
            if found is not None:
                wrong.append((found, own["run"]))
    assert wrong == []


def stop(*_: Any) -> Any:
    """End a training before its first step."""
    raise ValueError("it would be trained")


@pytest.mark.parametrize("backend", libraries())
def test_a_state_of_another_shape_is_refused(tmp_path: Path, backend: str) -> None:
    begun(tmp_path, MODELS[1], backend)
    header, arrays = read_tensors(tmp_path / LAST)
    del header["digest"]
    for name, value in arrays.items():
        if name.startswith("optimizer.") and value.shape:
            forge(tmp_path / LAST, header, {**arrays, name: value[..., None]})
            with pytest.raises(
                ValueError, match=r"the state of AdamW|started with another trainer"
            ):
                Run.resumed(tmp_path, DATA, DATA, models=CLASSIFIERS)
    for name in ("generator", "key"):
        if name in arrays:
            rest = {key: value for key, value in arrays.items() if key != name}
            forge(tmp_path / LAST, header, rest)
            with pytest.raises(ValueError, match=rf"started with another trainer \({name}\)"):
                Run.resumed(tmp_path, DATA, DATA, models=CLASSIFIERS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.KIND)
def test_shapes_are_known_before_arrays_are_made(model: Any) -> None:
    first = model.first_parameters(seed=0)
    assert model.parameter_shapes() == {name: value.shape for name, value in first.items()}


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_a_huge_model_is_compared_with_the_file_first(tmp_path: Path) -> None:
    begun(tmp_path, MODELS[1])
    header, arrays = read_tensors(tmp_path / LAST)
    del header["digest"]
    tree = json.loads(header["run"])
    tree["model"]["settings"]["widths"] = [2**40]
    forge(tmp_path / LAST, {**header, "run": as_json(tree)}, arrays)
    with little_memory(), pytest.raises(ValueError, match=r"another model \(layers.0.bias"):
        Run.resumed(tmp_path, DATA, DATA, models=CLASSIFIERS)


@pytest.mark.parametrize("name", ["", "torch.kernels", "../torch", "\0"])
def test_a_trainer_is_not_looked_for_under_any_name(name: str) -> None:
    with pytest.raises(ValueError, match="nothing trains on"):
        trainer(name, MODELS[1], {})


# Two runs in one folder


def test_a_folder_is_locked_while_a_run_writes(tmp_path: Path) -> None:
    first, second = (Run(MODELS[1], CONFIG, DATA, DATA, folder=tmp_path) for _ in range(2))
    running = first.epochs()
    next(running)
    with pytest.raises(ValueError, match="is being written to by another run: wait for its end"):
        next(second.epochs())
    again = Run.resumed(tmp_path, DATA, DATA, models=CLASSIFIERS)
    with pytest.raises(ValueError, match="is being written to by another run"):
        next(again.epochs())
    assert len(list(running)) == 2
    assert not (tmp_path / LOCK).exists()
    with pytest.raises(ValueError, match="holds a run already: resume it, or name another folder"):
        next(second.epochs())
    with pytest.raises(ValueError, match="was continued by another process: resume it again"):
        next(again.epochs())
    assert len(read_run(tmp_path / LAST).history) == 3


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from hopcore.files._locks import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('locked', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match="another run"), locked(tmp_path):
            pass
        owner.send_signal(signal.SIGKILL)
    assert (tmp_path / LOCK).exists()  # it is left, but nobody holds it
    with locked(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"\.lock"), locked(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_two_commands_in_one_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = ["--model", "mlp", "--epochs", "1000", "--out", str(folder)]
    command = [sys.executable, "-m", "hopcore", "train", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    two = [subprocess.Popen([*command, "--seed", str(seed)], **pipes) for seed in (1, 2)]
    try:
        while all(one.poll() is None for one in two):
            time.sleep(0.05)
        refused = next(one for one in two if one.poll() is not None)
        assert refused.returncode == 2
        (line,) = refused.communicate()[1].splitlines()
        assert line.startswith(f"hopcore: {folder} ")
        assert "by another run: wait" in line or "holds a run already" in line
    finally:
        for one in two:
            one.kill()
            one.communicate()
    assert read_run(folder / LAST).config.seed == 2 - two.index(refused)


# A training that goes wrong


@pytest.mark.parametrize("backend", libraries())
@pytest.mark.parametrize("rate", [1e38, 1e30])
def test_a_learning_rate_beyond_measure(tmp_path: Path, backend: str, rate: float) -> None:
    begun(tmp_path, MODELS[1], backend, epochs=1)
    before = (tmp_path / LAST).read_bytes()
    run = Run.resumed(tmp_path, DATA, DATA, models=CLASSIFIERS)
    run.trainer.learning_rate = rate  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="try a smaller learning rate") as error:
        list(run.epochs())
    assert "\n" not in str(error.value)
    assert (tmp_path / LAST).read_bytes() == before


def test_parameters_that_the_last_step_spoiled_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(MODELS[1], replace(CONFIG, batch_size=8), DATA, DATA, folder=tmp_path)
    step = run.trainer.step

    def spoiled(batch: Any, *given: Any, **options: Any) -> Any:
        found = step(batch, *given, **options)
        run.trainer._parameters["layers.1.bias"].data.fill_(np.nan)  # type: ignore[attr-defined]
        return found

    epochs = run.epochs()
    next(epochs)
    monkeypatch.setattr(run.trainer, "step", spoiled)
    with pytest.raises(ValueError, match="the output of the soft path is nan in epoch 2, step 1"):
        next(epochs)
    assert len(read_run(tmp_path / LAST).history) == 1
