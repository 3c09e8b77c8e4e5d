"""The statistics of heads over a training: records, files, pictures, torch's monitor, JAX."""

from __future__ import annotations

import csv
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import plots
from hopcore.training import AttentionRecord, AttentionRecords


def monitor_of(model: Any, **options: Any) -> Any:
    return importlib.import_module("hopcore_torch.monitor").AttentionMonitor(model, **options)


def some_records() -> AttentionRecords:
    collected, rng = AttentionRecords(), np.random.default_rng(0)
    for step in range(3):
        state, stored = rng.normal(size=(2, 2, 4, 3)), rng.normal(size=(2, 2, 6, 3))
        for layer in ("first", "second"):
            collected.add(step, layer, hopcore.statistics(state, stored, 1.0 + step))
    return collected


def test_records_are_means_of_each_head() -> None:
    rng = np.random.default_rng(0)
    found = hopcore.statistics(rng.normal(size=(2, 2, 4, 3)), rng.normal(size=(2, 2, 6, 3)), 1.0)
    ignored = np.asarray([[False, True, False, True], [False, False, False, True]])
    collected = AttentionRecords()
    collected.add(7, "layer", found, ignored)
    for head, row in enumerate(collected.records):
        assert (row.step, row.layer, row.head, row.queries) == (7, "layer", head, 5)
        assert row.entropy == pytest.approx(found.entropy[:, head][~ignored].mean(), rel=1e-14)
        assert row.energy == pytest.approx(found.energy[:, head][~ignored].mean(), rel=1e-14)
        received = found.received[:, head]
        used = received.sum(-1) ** 2 / np.sum(received**2, axis=-1)
        assert row.used == pytest.approx(used.mean(), rel=1e-14)


def test_queries_with_nothing_to_attend_to_are_left_out() -> None:
    mask = np.asarray([[True, True], [False, False]])
    found = hopcore.statistics(np.zeros((1, 2, 2)), np.eye(2)[None], 1.0, mask=mask)
    means = hopcore.layers.mean_statistics(found)
    assert float(means["effective"][0]) == 2.0
    assert float(means["queries"][0]) == 1.0
    assert np.isfinite(means["energy"][0])


def test_records_are_written_as_rows(tmp_path: Path) -> None:
    collected = some_records()
    collected.save(tmp_path / "heads.json")
    rows = json.loads((tmp_path / "heads.json").read_text())
    assert [AttentionRecord(**row) for row in rows] == collected.records
    collected.save(tmp_path / "heads.csv")
    with (tmp_path / "heads.csv").open() as file:
        cells = list(csv.DictReader(file))
    assert [float(cell["entropy"]) for cell in cells] == [x.entropy for x in collected.records]
    with pytest.raises(ValueError, match=r"\.json or \.csv, got 'heads.txt'"):
        collected.save(tmp_path / "heads.txt")


def test_a_picture_has_a_line_for_each_head() -> None:
    pytest.importorskip("matplotlib")
    records = some_records().records
    axes = plots.statistics(records, "entropy")
    assert [line.get_label() for line in axes.lines] == [
        f"{layer}, head {head}" for layer in ("first", "second") for head in (0, 1)
    ]
    one = plots.statistics(records, layer="second", ax=axes.figure.add_subplot())
    wanted = [x.effective for x in records if (x.layer, x.head) == ("second", 1)]
    assert list(np.asarray(one.lines[1].get_ydata())) == wanted
    with pytest.raises(ValueError, match=r"name must be one of .* got 'entropies'"):
        plots.statistics(records, "entropies")
    with pytest.raises(ValueError, match="no records of layer 'third'"):
        plots.statistics(records, layer="third")


def test_the_monitor_of_torch() -> None:
    torch = pytest.importorskip("torch")
    hopcore_torch = pytest.importorskip("hopcore_torch")
    layer = hopcore_torch.Hopfield(4, num_heads=2, dropout=0.5)
    x, padding = torch.randn(3, 5, 4), torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = True
    before = layer(x, padding).shape
    torch.manual_seed(0)
    plain = layer(x, padding)
    with monitor_of(layer, every=2) as monitor:
        torch.manual_seed(0)
        watched = layer(x, stored_pattern_padding_mask=padding)
        for _ in range(3):
            layer(x, padding)
        layer.eval()
        layer(x, padding)
    layer(x, padding)
    assert before == watched.shape
    assert torch.equal(plain, watched)  # dropout is drawn as without the monitor
    assert [(row.step, row.head) for row in monitor.records] == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert monitor.step == 4
    assert {row.queries for row in monitor.records} == {13}
    found = layer.statistics(x, padding)
    wanted = found.entropy[:, 1][~padding].mean().item()
    assert monitor.records[1].entropy == pytest.approx(wanted, rel=1e-5)


def test_the_monitor_refuses_what_it_cannot_watch() -> None:
    torch = pytest.importorskip("torch")
    hopcore_torch = pytest.importorskip("hopcore_torch")
    with pytest.raises(ValueError, match=r"a Linear has no hopcore_torch\.Hopfield"):
        monitor_of(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="every must be >= 1, got 0"):
        monitor_of(hopcore_torch.Hopfield(2), every=0)


def test_the_monitor_looks_into_transformers() -> None:
    torch = pytest.importorskip("torch")
    hopcore_torch = pytest.importorskip("hopcore_torch")
    encoder = hopcore_torch.HopfieldEncoderLayer(hopcore_torch.Hopfield(4, num_heads=2))
    with monitor_of(encoder) as monitor:
        encoder(torch.randn(2, 5, 4))
    assert [row.layer for row in monitor.records] == 2 * ["hopfield_association"]


def test_statistics_beside_the_output_in_jax() -> None:
    jax = pytest.importorskip("jax")
    eqx = pytest.importorskip("equinox")
    hopcore_jax = pytest.importorskip("hopcore_jax")
    with_statistics = importlib.import_module("hopcore_jax.monitor").with_statistics
    first, second = jax.random.split(jax.random.key(0))
    model = eqx.nn.Sequential(
        [
            eqx.nn.Lambda(hopcore_jax.Hopfield(4, num_heads=2, key=first)),
            eqx.nn.Lambda(hopcore_jax.HopfieldPooling(4, key=second)),
        ]
    )
    x = jax.random.normal(jax.random.key(1), (3, 5, 4))
    output, found = jax.jit(with_statistics(model))(x)
    np.testing.assert_allclose(output, model(x), rtol=1e-5, atol=1e-6)
    assert list(found) == ["layers[0].fn", "layers[1].fn"]
    wanted = model.layers[0].fn.statistics(x)
    np.testing.assert_allclose(found["layers[0].fn"].entropy, wanted.entropy, rtol=1e-5)
    collected = AttentionRecords()
    collected.add_all(0, found)
    assert len(collected.records) == 3
    with pytest.raises(ValueError, match="a Linear has no layer with statistics"):
        with_statistics(eqx.nn.Linear(2, 2, key=first))


def test_the_monitor_of_a_learned_temperature_reads_keys_as_keys() -> None:
    torch = pytest.importorskip("torch")
    hopcore_torch = pytest.importorskip("hopcore_torch")
    torch.manual_seed(0)
    layer = hopcore_torch.LearnableTemperatureAttention(4, 2, init_temp_factor=0.3)
    x, y, padding = torch.randn(3, 5, 4), torch.randn(3, 7, 4), torch.zeros(3, 5, dtype=torch.bool)
    padding[0, 3:] = True
    hidden = torch.zeros(3, 7, dtype=torch.bool)
    hidden[:, 0] = True
    with monitor_of(layer) as monitor:
        layer(x, y, y, hidden)
        layer(x, key_padding_mask=padding)
        layer(x, x, key_padding_mask=padding)
        layer(query=x, key=y)
    entropies = [row.entropy for row in monitor.records if row.head == 0]
    weights = [
        layer.association_weights(x, y, y, hidden),
        layer.association_weights(x, key_padding_mask=padding),
        layer.association_weights(x, x, key_padding_mask=padding),
        layer.association_weights(x, y),
    ]
    shown = torch.ones(3, 5, dtype=torch.bool)
    counted = [shown, ~padding, ~padding, shown]
    for entropy, each, some in zip(entropies, weights, counted, strict=True):
        wanted = torch.special.entr(each[:, 0]).sum(-1)[some].mean().item()
        assert entropy == pytest.approx(wanted, rel=1e-5)
    assert [row.queries for row in monitor.records if row.head == 0] == [15, 13, 13, 15]


@pytest.mark.parametrize("monitor", ["hopcore_torch.monitor", "hopcore_torch.huggingface"])
@pytest.mark.parametrize("every", [0, True, 1.5])
def test_every_monitor_checks_its_steps_alike(monitor: str, every: Any) -> None:
    pytest.importorskip("torch")
    if monitor.endswith("huggingface"):
        pytest.importorskip("transformers")
    with pytest.raises((TypeError, ValueError), match="every must be"):
        importlib.import_module(monitor).AttentionMonitor(None, every=every)


def test_statistics_beside_the_output_look_into_transformer_layers_of_jax() -> None:
    jax = pytest.importorskip("jax")
    hopcore_jax = pytest.importorskip("hopcore_jax")
    with_statistics = importlib.import_module("hopcore_jax.monitor").with_statistics
    keys = jax.random.split(jax.random.key(0), 4)
    x, y = jax.random.normal(keys[0], (2, 5, 4)), jax.random.normal(keys[1], (2, 7, 4))
    encoder = hopcore_jax.HopfieldEncoderLayer(4, 2, dim_feedforward=8, key=keys[2])
    decoder = hopcore_jax.HopfieldDecoderLayer(
        4, 2, dim_feedforward=8, norm_first=True, key=keys[3]
    )

    def both(layers: Any, *arrays: Any, **options: Any) -> Any:
        first, second = layers
        return second(arrays[0], first(arrays[1], **options), **options)

    model = jax.tree_util.Partial(both, (encoder, decoder))
    output, found = jax.jit(lambda *arrays: with_statistics(model)(*arrays, inference=True))(x, y)
    np.testing.assert_allclose(output, model(x, y, inference=True), rtol=1e-5, atol=1e-6)
    by_name = {name.rsplit(".", 1)[1]: statistics for name, statistics in found.items()}
    assert set(by_name) == {
        "hopfield_association",
        "hopfield_association_self",
        "hopfield_association_cross",
    }
    first, own, cross = (by_name[f"hopfield_association{end}"] for end in ("", "_self", "_cross"))
    wanted = encoder.hopfield_association.statistics(y)
    np.testing.assert_allclose(first.entropy, wanted.entropy, rtol=1e-5)
    assert own.received.shape == (2, 2, 5)
    assert cross.received.shape == (2, 2, 7)
    assert cross.entropy.shape == (2, 2, 5)
    alone = with_statistics(encoder)(y, key=keys[0])[1]
    assert list(alone) == ["hopfield_association"]  # as the monitor of torch names it
    layer = hopcore_jax.LearnableTemperatureAttention(4, 2, key=keys[2])
    found = with_statistics(layer)(x, y, inference=True)[1][""]
    np.testing.assert_allclose(found.entropy, layer.statistics(x, y).entropy, rtol=1e-5)
