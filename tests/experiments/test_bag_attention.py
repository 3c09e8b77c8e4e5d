"""The study of what trained classifiers of bags attend to: places, weights, controls, pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("torch")

from typer.testing import CliRunner

from hopcore import datasets
from hopcore.cli.app import app
from hopcore.experiments.bag_attention import report, trials
from hopcore.experiments.data import bags
from hopcore.experiments.mil.layers import classifier
from hopcore.files._csv import from_csv, to_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results"


def test_places_say_what_an_instance_is() -> None:
    rng = np.random.default_rng(0)
    found = bags.ordered_sequences(rng, sequences=20, length=12, repeats=2)
    symbols = found.patterns[..., :6].argmax(axis=-1)
    for row, places, label in zip(symbols, trials.ranks(found), found.target, strict=True):
        assert sorted(places[places >= 0]) == [0, 1, 2, 3]
        assert row[places == 0] == label
        assert (row[places == trials.NOISE] >= 2).all()
    images = datasets.digits()
    nines = bags.digit_bags(rng, images, bags=8, witnesses=1)
    shown = trials.digits_of(images)(nines)
    assert (shown[nines.padding] == trials.NOISE).all()
    assert np.array_equal((shown == 9).sum(axis=1), nines.target)


@pytest.mark.parametrize("layer", ["pooling", "uniform", "multihead", "gated"])
def test_weights_are_those_of_the_answer(layer: str) -> None:
    images = datasets.digits()
    found = bags.digit_bags(np.random.default_rng(0), images, bags=6, length=5.0)
    model = classifier(layer, 64, width=16, heads=4)
    weights = model.weights(parameters := model.first_parameters(seed=0), found)
    assert weights.shape == (6, 1 if layer == "gated" else 4, found.padding.shape[1])
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-5)
    assert (np.swapaxes(weights, 1, 2)[found.padding] == 0.0).all()
    if layer == "uniform":
        count = np.sum(~found.padding, axis=1)[:, None, None]
        np.testing.assert_allclose((weights * count)[weights > 0.0], 1.0, rtol=1e-5)
    # A pattern without weight does not matter for the answer.
    outputs = model.outputs(parameters, found)
    found.patterns[found.padding] = 7.0
    np.testing.assert_allclose(model.outputs(parameters, found), outputs, rtol=1e-5)


def test_a_layer_without_weights_is_refused() -> None:
    found = bags.latch_sequences(np.random.default_rng(0), sequences=2, length=3)
    model = classifier("deep-set", 6, width=16, heads=4)
    with pytest.raises(TypeError, match="a layer with weights is pooling or an attention"):
        model.weights(model.first_parameters(seed=0), found)


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["experiment", "bag-attention", "--seeds", "1", "--epochs", "1", "--length", "8"]
    few = ["--bags", "20", "--size", "4", "--layer", "uniform,pooling,gated"]
    done = CliRunner().invoke(app, [*call, *few], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = from_csv(Path("bag-attention.csv").read_text(), trials.Trial)
    assert len(rows) == 3 * (8 + 8 + 10)
    uniform = [row.weight for row in rows if row.layer == "uniform"]
    assert uniform == pytest.approx([1.0] * len(uniform), abs=1e-4)
    assert Path("bag-attention.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("page", "stem"), [("latch", "latch-attention"), ("mnist-bags", "mnist-bags-attention")]
)
def test_a_page_shows_the_table_of_its_trials(page: str, stem: str) -> None:
    text = (RESULTS / f"{stem}.csv").read_text()
    rows = from_csv(text, trials.Trial)
    assert to_csv(rows, trials.Trial) == text
    shown = (RESULTS / f"{page}.md").read_text()
    assert report.table(report.summary(rows, 9)).markdown() in shown
    assert "\n$ hopcore experiment bag-attention" in shown
    assert f"]({stem}.png)" in shown
    assert {row.seed for row in rows} == set(range(10))
