"""The study of completed images: its patches, its methods, its controls, and its files.

The tests of small sizes run in the default matrix; a whole training is marked as full.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("sklearn")

from libraries import needs
from typer.testing import CliRunner

from hopcore import datasets
from hopcore.cli.app import app
from hopcore.experiments.completion import memories, networks, patches, report, trials
from hopcore.experiments.completion.networks import ENERGY, NETWORKS, Fitting
from hopcore.experiments.models.image_completer import PARTS, Completer, Patches
from hopcore.files._csv import from_csv
from hopcore.training import Conditions, trainer

RESULTS = Path(__file__).parents[2] / "docs" / "results"
LIBRARIES = [
    pytest.param("torch", id="torch", marks=needs("torch")),
    pytest.param("jax", id="jax", marks=[*needs("optax"), pytest.mark.full]),  # JAX compiles
]
SMALL = Fitting(width=8, heads=2, hidden=8, steps=3, epochs=1, rates=(1e-2,))


def drawn(count: int = 6, seed: int = 0) -> Patches:
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(-1.0, 1.0, (count, 16, 4)).astype(np.float32)
    return Patches(pixels, patches.half_hidden(count, 16, rng))


def parameters_of(model: Completer, seed: int = 0) -> dict[str, np.ndarray]:
    """Return parameters none of which is at its start, but those that are switched off."""
    rng = np.random.default_rng(seed)
    return {
        name: value + 0.3 * rng.normal(size=value.shape) * np.any(value)
        for name, value in model.first_parameters(seed=seed).items()
    }


# Patches.


@pytest.mark.parametrize(("shape", "side"), [((8, 8), 2), ((6, 9), 3), ((4, 4), 4), ((3, 5), 1)])
def test_patches_are_images_again(shape: tuple[int, int], side: int) -> None:
    images = np.arange(2 * shape[0] * shape[1]).reshape(2, *shape)
    cut = patches.as_patches(images.reshape(2, -1), shape, side)
    assert cut.shape == (2, shape[0] * shape[1] // side**2, side**2)
    np.testing.assert_array_equal(cut[:, 0], images[:, :side, :side].reshape(2, -1))
    np.testing.assert_array_equal(patches.as_images(cut, shape, side), images)


def test_patches_that_do_not_fill_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match="patches of 3 x 3 do not fill images of 8 x 8"):
        patches.as_patches(np.zeros((1, 64)), (8, 8), 3)


@pytest.mark.parametrize("count", [16, 49])
def test_half_of_the_patches_are_hidden_anywhere(count: int) -> None:
    hidden = patches.half_hidden(2000, count, np.random.default_rng(0))
    assert set(hidden.sum(axis=1)) == {count // 2}
    assert np.abs(hidden.mean(axis=0) - (count // 2) / count).max() < 0.06


def test_the_parts_of_a_split_share_no_image() -> None:
    images = datasets.digits()
    split = patches.split_of(images, 2, 3)
    parts = [split.train, split.validation.pixels, split.test.pixels]
    assert [len(part) for part in parts] == [1258, 179, 360]
    again = np.concatenate([patches.as_images(part, images.shape, 2) for part in parts])
    order = [np.lexsort(x.reshape(len(x), -1).T) for x in (again, images.pixels)]
    np.testing.assert_allclose(
        again.reshape(len(again), -1)[order[0]], images.pixels[order[1]], atol=1e-6
    )
    other = patches.split_of(images, 2, 4)
    assert (other.test.hidden != split.test.hidden).any()


def test_the_error_is_that_of_hidden_pixels() -> None:
    batch = drawn()
    outputs = np.where(batch.hidden[..., None], batch.pixels + 0.5, 9.0)
    assert patches.error(outputs, batch) == pytest.approx(0.25, rel=1e-6)


# Memories.


def test_memories_do_not_see_what_is_hidden() -> None:
    train, batch = drawn(40, seed=1).pixels, drawn()
    spoiled = batch._replace(pixels=np.where(batch.hidden[..., None], np.nan, batch.pixels))
    for name in ("mean", "nearest", "retrieve"):
        plain, blind = (memories.MEMORIES[name](train, x, x).test for x in (batch, spoiled))
        np.testing.assert_array_equal(plain[batch.hidden], blind[batch.hidden])
    plain, blind = (memories.recalled(train, x, 2.0) for x in (batch, spoiled))
    np.testing.assert_array_equal(plain, blind)


def test_the_nearest_image_is_that_of_the_distances() -> None:
    train, batch = drawn(40, seed=1).pixels, drawn()
    difference = (batch.pixels[:, None] - train) * ~batch.hidden[:, None, :, None]
    wanted = train[(difference**2).sum(axis=(-2, -1)).argmin(axis=1)]
    found = memories.nearest_image(train, batch, batch).test
    np.testing.assert_allclose(found[batch.hidden], wanted[batch.hidden], atol=1e-6)


def test_the_inverse_temperature_is_chosen_on_the_validation_images() -> None:
    train, validation, test = drawn(40, seed=1).pixels, drawn(), drawn(5, seed=2)
    found = memories.averaged(train, validation, test)
    errors = {
        beta: patches.error(memories.recalled(train, validation, beta, max_steps=1), validation)
        for beta in memories.GRID
    }
    assert found.chosen is not None
    assert errors[found.chosen] == min(errors.values())


# Networks.


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_does_not_see_what_is_hidden(name: str) -> None:
    model, batch = SMALL.model(name, 16, 4), drawn()
    parameters = parameters_of(model)
    plain = model.outputs(parameters, batch)
    spoiled = batch._replace(pixels=np.where(batch.hidden[..., None], 7.0, batch.pixels))
    np.testing.assert_array_equal(plain, model.outputs(parameters, spoiled))
    assert plain.shape == batch.pixels.shape


@pytest.mark.parametrize("name", NETWORKS)
def test_only_without_attention_do_tokens_not_know_of_each_other(name: str) -> None:
    model, batch = SMALL.model(name, 16, 4), drawn()
    parameters = parameters_of(model)
    pixels = batch.pixels.copy()
    seen = np.flatnonzero(~batch.hidden[0])[0]
    pixels[0, seen] += 0.5
    outputs = [model.outputs(parameters, one) for one in (batch, batch._replace(pixels=pixels))]
    changed = (outputs[0] != outputs[1]).any(axis=-1)[0]
    assert changed[seen]
    others = np.delete(changed, seen)
    assert others.all() if name != "without-attention" else not others.any()


def test_a_block_whose_energies_are_both_off_does_not_move() -> None:
    batch = drawn()
    model = SMALL.model("without-attention", 16, 4)
    parameters = parameters_of(model)
    parameters["block.memory_weight"] *= 0.0
    tokens = model.embedded(parameters, batch)
    np.testing.assert_array_equal(model.moved(parameters, tokens), tokens)


@pytest.mark.parametrize("backend", LIBRARIES)
@pytest.mark.parametrize("off", PARTS)
def test_what_is_switched_off_stays_off_in_a_training(backend: str, off: str) -> None:
    model = SMALL.model(f"without-{off}", 16, 4)
    trained = trainer(backend, model, model.first_parameters(seed=0), learning_rate=0.1)
    for _ in range(3):
        trained.step(drawn())
    found = trained.parameters()
    for part, own in PARTS.items():
        for name in own:
            assert np.any(found[f"block.{name}"]) == (part != off), name


@pytest.mark.parametrize("backend", LIBRARIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_libraries_agree_and_learn(backend: str, name: str) -> None:
    model, batch = SMALL.model(name, 16, 4), drawn()
    first = model.first_parameters(seed=0)
    trained = trainer(backend, model, first, learning_rate=1e-2)
    np.testing.assert_allclose(
        trained.values(batch), model.outputs(first, batch), rtol=1e-3, atol=1e-4
    )
    losses = [float(trained.step(batch).loss) for _ in range(12)]
    assert losses[0] == pytest.approx(patches.error(model.outputs(first, batch), batch), rel=1e-4)
    assert losses[-1] < losses[0]


def test_the_loss_is_that_of_hidden_patches() -> None:
    model, batch = SMALL.model(ENERGY, 16, 4), drawn()
    parameters = parameters_of(model)
    loss, outputs = model.objective(parameters, batch, Conditions())
    assert float(loss) == pytest.approx(patches.error(outputs, batch))


def test_the_steps_are_those_of_the_block() -> None:
    split = patches.split_of(datasets.digits(), 2, 0)
    few = Patches(*(array[:5] for array in split.test))
    found = networks.fitted(
        ENERGY, split._replace(train=split.train[:64], validation=few, test=few), 0, SMALL, str
    )
    rows = networks.descent(found, few, 0, 2 * SMALL.steps)
    assert [row.step for row in rows] == list(range(7))
    assert rows[3].error == pytest.approx(patches.error(found.test, few), rel=1e-4)
    assert rows[0].rise is None
    assert all(row.rise is not None and row.rise < 0.0 for row in rows[1:])


@pytest.mark.parametrize(
    ("off", "repeated"), [("values", False), ("attention", True)], ids=["unknown", "encoder"]
)
def test_only_an_energy_can_be_switched_off(off: str, repeated: bool) -> None:
    layer = SMALL.model("encoder" if repeated else ENERGY, 16, 4).layer
    with pytest.raises(ValueError, match="off must be None, or attention or memory of an energy"):
        Completer(tokens=16, pixels=4, layer=layer, off=off)


# The summary and the files.


def test_differences_are_paired_by_seed() -> None:
    errors = {"mean": (0.4, 0.2), ENERGY: (0.2, 0.1), "encoder": (0.3, 0.2)}
    rows = [
        trials.Trial("digits", method, seed, 7, None, 0.0, error, 1.0)
        for method, both in errors.items()
        for seed, error in enumerate(both)
    ]
    mean, energy, encoder = report.summary(rows)
    assert encoder.against is not None
    assert encoder.against.mean == pytest.approx(0.1)
    assert encoder.against.deviation == pytest.approx(0.0, abs=1e-12)
    assert encoder.error.deviation > 0.05
    assert energy.against is None
    assert energy.explained is not None
    assert energy.explained.mean == pytest.approx(0.5)
    assert mean.explained is not None
    assert mean.explained.mean == 0.0
    cells = report.table([mean, energy, encoder]).rows[2]
    assert cells == ["encoder", "7", "0.250 ± 0.071", "12.5", "+0.100 ± 0.000", "1"]


def test_the_command_writes_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--method", f"mean,{ENERGY}", "--seeds", "1", "--epochs", "1", "--steps", "2",
               "--batch-size", "512", "--learning-rate", "0.01"]  # fmt: skip
    done = CliRunner().invoke(app, ["experiment", "completion", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = from_csv(Path("completion.csv").read_text(), trials.Trial)
    assert [(row.method, row.seed) for row in rows] == [("mean", 0), (ENERGY, 0)]
    steps = from_csv(Path("completion-steps.csv").read_text(), networks.Descent)
    assert [row.step for row in steps] == list(range(2 * trials.BEYOND + 1))
    assert steps[2].error == pytest.approx(rows[1].test, rel=1e-3)
    assert Path("completion.png").read_bytes().startswith(b"\x89PNG")
    assert f"seed 0, {ENERGY}, learning rate 0.01: epoch 1 of 1, error" in done.stderr
    picture, csv = Path("completion.png").read_bytes(), Path("completion.csv").read_text()
    again = ["experiment", "completion", *options, "--resume"]
    done = CliRunner().invoke(app, again, catch_exceptions=False)
    assert done.stderr == ""
    assert Path("completion.png").read_bytes() == picture
    assert Path("completion.csv").read_text() == csv


@pytest.mark.full
def test_attention_is_what_completes_an_image() -> None:
    fitting = Fitting(epochs=12, rates=(1e-2,))
    wanted = trials.cases("digits", ["mean", ENERGY, "without-attention"], 1)
    rows = [one.trial for one in trials.run(wanted, datasets.digits(), fitting)]
    mean, energy, without = (row.test for row in rows)
    assert energy < 0.9 * mean
    assert without == pytest.approx(mean, rel=0.03)


@pytest.mark.parametrize("dataset", ["digits"])
def test_the_csv_of_the_page_has_every_case(dataset: str) -> None:
    rows = from_csv((RESULTS / "completion.csv").read_text(), trials.Trial)
    wanted = {(dataset, method, seed) for method in trials.METHODS for seed in range(3)}
    assert {row[:3] for row in rows} == wanted
    steps = from_csv((RESULTS / "completion-steps.csv").read_text(), networks.Descent)
    assert all(row.rise is None or row.rise < 0.0 for row in steps)


def test_the_page_shows_the_table_of_its_trials() -> None:
    rows = from_csv((RESULTS / "completion.csv").read_text(), trials.Trial)
    page = (RESULTS / "completion.md").read_text(encoding="utf-8")
    assert report.table(report.summary(rows)).markdown() in page
