"""``hopcore evaluate`` and ``hopcore predict`` use the folder that ``hopcore train`` wrote."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hopcore
from hopcore import datasets
from hopcore.__main__ import main
from hopcore.experiments.trained import open_run, samples_of, scores_of
from hopcore.training import read_run

pytest.importorskip("torch")
pytest.importorskip("safetensors")

Run = Callable[..., tuple[int, str, str]]
WARM = ["--schedule", "constant", "--temp-start", "0.3"]  # so that the paths differ
MODELS = {"hnm": ["--widths", "0", *WARM], "mlp": ["--widths", "64"], "cnn": [], "vq": []}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each model, one epoch long, and with images to classify."""
    folder = tmp_path_factory.mktemp("runs")
    for model, options in MODELS.items():
        with pytest.raises(SystemExit):
            main(["train", "--model", model, *options, "--epochs", "1", "--json", "--out",
                  str(folder / model)])  # fmt: skip
    pixels = datasets.digits().pixels[:30]
    np.save(folder / "images.npy", pixels.reshape(-1, 8, 8))
    np.save(folder / "small.npy", pixels[:, :63])
    np.save(folder / "bytes.npy", ((pixels + 1.0) * 127.5).astype(np.uint8))
    return folder


@pytest.fixture
def run(runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command there; exit code, standard output, standard error."""
    monkeypatch.chdir(runs)

    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        printed = capsys.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return code, printed.out, printed.err

    return call


@pytest.mark.parametrize("model", MODELS)
def test_the_accuracy_is_that_of_the_classes_that_are_written(
    run: Run, model: str, tmp_path: Path
) -> None:
    out = tmp_path / "classes.csv"
    code, text, err = run("evaluate", model, "--out", out, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(text)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert len(rows) == facts["images"] == 360
    paths = ["soft", "hard"] if model in {"hnm", "vq"} else ["soft"]
    assert list(facts["accuracy"]) == paths
    for path in paths:
        found = [row[f"class_{path}" if len(paths) > 1 else "class"] for row in rows]
        right = np.mean([one == row["target"] for one, row in zip(found, rows, strict=True)])
        assert facts["accuracy"][path] == pytest.approx(right)
        assert right > 0.2


@pytest.mark.parametrize("model", ["hnm", "mlp"])
def test_evaluate_in_words(run: Run, model: str) -> None:
    code, text, err = run("evaluate", model, "--split", "validation")
    assert (code, err) == (0, "")
    first, second, last = text.splitlines()
    assert first.startswith(f"{model}/best.safetensors: {model} on digits, epoch 1 of 1")
    assert second.startswith("  validation accuracy: ")
    assert second.endswith("% of 179 images")
    assert ("hard" in second) == (model == "hnm")
    assert last == "Nothing was written: use --out FILE.csv."


def test_predict_names_what_evaluate_counts(run: Run, tmp_path: Path) -> None:
    trained = open_run(Path("hnm"))
    samples = samples_of(trained, None)["test"]
    np.save("test.npy", samples.pixels)
    out = tmp_path / "found.npz"
    code, _, err = run("predict", "hnm", "test.npy", "--path", "hard", "--out", out)
    assert (code, err) == (0, "")
    accuracy = json.loads(run("evaluate", "hnm", "--json")[1])["accuracy"]["hard"]
    with np.load(out) as found:
        assert np.mean(found["class"] == samples.target) == pytest.approx(accuracy)
        assert np.all((found["probability"] > 0.0) & (found["probability"] <= 1.0))
        want = scores_of(trained, samples.pixels, "hard")
        np.testing.assert_array_equal(found["class"], want.argmax(-1))


def test_a_classifier_is_asked_at_its_own_temperature_on_the_path_that_is_named(
    run: Run,
) -> None:
    trained = open_run(Path("hnm"))
    pixels = samples_of(trained, None)["test"].pixels
    assert trained.epoch.temperatures == {"memory": 0.3}
    found = {}
    for path in ("soft", "hard"):
        found[path] = scores_of(trained, pixels, path)
        wanted = hopcore.layers.hnm(
            trained.model.settings, trained.saved.parameters, pixels,  # type: ignore[attr-defined]
            temperature=0.3, hard=path == "hard",
        )  # fmt: skip
        np.testing.assert_allclose(found[path], wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(found["soft"] - found["hard"]).max() > 0.1


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize("model", MODELS)
def test_other_libraries_find_the_same(run: Run, library: str, model: str) -> None:
    pytest.importorskip(library)
    found = [
        json.loads(run("predict", model, "images.npy", "--backend", one, "--json")[1])
        for one in ("numpy", library)
    ]
    assert found[0]["class"] == found[1]["class"]
    assert found[0]["probability"] == pytest.approx(found[1]["probability"], abs=1e-3)


def test_predict_lists_few_images_and_counts_many(run: Run) -> None:
    np.save("few.npy", np.load("images.npy")[:3])
    _, few, _ = run("predict", "mlp", "few.npy")
    assert "image" in few.splitlines()[2]
    _, many, _ = run("predict", "mlp", "few.npy", "images.npy")
    assert "mean probability" in many
    assert sum(int(line.split()[1]) for line in many.splitlines() if line.endswith("% ")) == 33


def test_pixels_on_another_scale_are_a_note(run: Run) -> None:
    _, text, _ = run("predict", "mlp", "bytes.npy")
    assert "Note: pixels lie between 0 and 255; the classifier was trained on pixels" in text


BAD = {
    "no run": ("evaluate nowhere", "nowhere: No such file"),
    "no images": ("predict mlp", "Missing argument"),
    "other images": ("predict mlp small.npy", "must hold images of 64 pixels, (n, 64)"),
    "a checkpoint": ("evaluate mlp --checkpoint first", "unknown checkpoint 'first'; known: best"),
    "a split": ("evaluate mlp --split all", "unknown split 'all'; known: train, validation, test"),
    "a path": ("predict hnm images.npy --path both", "unknown path 'both'; known: soft, hard"),
    "a format": ("evaluate mlp --out a.txt", "--out must end in .npz, .npy, .csv or .json"),
    "no file of a run": ("evaluate images.npy", "images.npy is not a whole safetensors file"),
    "its own files": ("evaluate mlp --out mlp/history.csv", "would overwrite mlp/history.csv"),
    "its images": ("predict mlp images.npy --out images.npy", "would overwrite images.npy"),
    "a backend": ("evaluate mlp --backend tensor", "unknown backend 'tensor'"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(run: Run, what: str) -> None:
    line, message = BAD[what]
    code, out, err = run(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("hopcore: ")
    assert err.count("\n") == 1
    assert message in err


def test_layers_and_runs_name_each_others_readers(runs: Path, tmp_path: Path) -> None:
    best = runs / "mlp" / "best.safetensors"
    with pytest.raises(ValueError, match=r"which hopcore\.training\.read_run reads"):
        hopcore.load_layer(best)
    settings = hopcore.HopfieldSettings(input_size=4)
    layer = tmp_path / "layer.safetensors"
    hopcore.save_layer(layer, settings, hopcore.initial_parameters(settings))
    with pytest.raises(ValueError, match=r"which hopcore\.load_layer reads"):
        read_run(layer)
    assert read_run(best).model["kind"] == "mlp"
