"""Checkpoints with a right digest and hostile settings end in one line, and take no memory."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import as_json, changed, forge, little_memory, refusal, reshaped

import hopcore
import hopcore_torch
from hopcore.files._safetensors import read_tensors
from hopcore.layers import HNLSettings, HNMSettings, QuantizerSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")

INNER = hopcore.HopfieldSettings(input_size=6, num_heads=2, scaling=(0.5, 1.5), dropout=0.25)
STATIC = {
    "stored_pattern_as_static": True, "state_pattern_as_static": True,
    "pattern_projection_as_static": True, "disable_out_projection": True,
    "normalize_stored_pattern": False, "normalize_state_pattern": False,
    "normalize_pattern_projection": False,
}  # fmt: skip
KINDS = {
    "hopfield": INNER,
    "static": hopcore.HopfieldSettings(**STATIC),
    "learned": hopcore.HopfieldSettings(
        input_size=6, num_heads=2, scaling=hopcore.LearnableTemperature(per_head=True, shared=True)
    ),
    "diffused": hopcore.HopfieldSettings(input_size=6, diffusion=hopcore.DiffusionConfig()),
    "pooling": hopcore.layers.PoolingSettings(hopfield=INNER, quantity=3),
    "lookup": hopcore.layers.LookupSettings(hopfield=INNER, lookup_weights_as_separated=True),
    "encoder": hopcore.layers.EncoderSettings(hopfield=INNER, dim_feedforward=8),
    "decoder": hopcore.layers.DecoderSettings(hopfield=INNER, dim_feedforward=8),
    "hnl": HNLSettings(input_size=4, quantity=3, num_heads=2, hidden_size=2),
    "hnm": HNMSettings(input_size=4, output_size=2, widths=(3,), num_heads=2, hidden_size=2),
    "quantizer": QuantizerSettings(input_size=4, groups=2, quantity=3),
}
CASES = 280
"""Forged files of each kind of layer: more than 3,000 together."""


def complaint(load: Callable[[Path], Any], path: Path) -> str | None:
    """Return what is wrong with the answer to a file, or None if it is loaded or refused well."""
    try:
        load(path)
    except Exception as error:
        return refusal(error)
    return None


def forged(path: Path, kind: str, cases: int) -> Any:
    """Write forged files of a kind of layer, one after another, and yield what is in each."""
    chance = random.Random(kind)
    settings = KINDS[kind]
    hopcore.save_layer(path, settings, hopcore.initial_parameters(settings))
    header, arrays = read_tensors(path)
    del header["digest"]
    tree = json.loads(header["settings"])
    for _ in range(cases):
        own, parameters = dict(header), arrays
        what = chance.random()
        if what < 0.85:
            own["settings"] = as_json(changed(tree, chance))
        if what > 0.8:
            parameters = reshaped(arrays, chance)
        if what > 0.98:
            own["layer"] = chance.choice([*KINDS, "", "Hopfield", "__class__"])
        forge(path, own, parameters)
        yield own["layer"], own["settings"]


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_settings_end_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "layer.safetensors"
    wrong = []
    with little_memory():
        for content in forged(path, kind, CASES):
            for load in (hopcore.load_layer, hopcore_torch.load_layer):
                found = complaint(load, path)
                if found is not None:
                    wrong.append((load.__module__, found, content))
    assert wrong == []


@pytest.mark.parametrize("kind", ["hopfield", "quantizer"])
def test_jax_refuses_hostile_settings(tmp_path: Path, kind: str) -> None:
    hopcore_jax = pytest.importorskip("hopcore_jax")
    path = tmp_path / "layer.safetensors"
    for content in forged(path, kind, 60):
        assert complaint(hopcore_jax.load_layer, path) is None, content


def test_huge_sizes_are_compared_with_the_file_first(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    hopcore.save_layer(path, INNER, hopcore.initial_parameters(INNER))
    header, arrays = read_tensors(path)
    del header["digest"]
    settings = {**json.loads(header["settings"]), "hidden_size": 2**31}
    forge(path, {**header, "settings": as_json(settings)}, arrays)
    with little_memory(), pytest.raises(ValueError, match=r"must have shape \(12884901888, 6\)"):
        hopcore_torch.load_layer(path)
    settings = {**STATIC, "num_heads": 2**40, "scaling": {"factor": 1.0, "per_head": True}}
    forge(path, {**header, "settings": as_json(settings)}, {"temperature": np.ones(2, np.float32)})
    with little_memory(), pytest.raises(ValueError, match="at most 65536 heads can each learn"):
        hopcore.load_layer(path)


def test_fields_are_checked_against_their_types() -> None:
    kind = hopcore.HopfieldSettings
    for values, message in (
        ({"input_size": 2**70}, r"input_size must be int \| None, got 1180591620717411303424"),
        (
            {"separation": ["softmax"]},
            r"separation must be 'softmax' \| 'sparsemax' \| 'entmax15' \| 'epanechnikov' \| "
            r"float \| LearnableAlpha, got \['softmax'\]",
        ),
        ({"diffusion": 3}, r"diffusion must be DiffusionConfig \| None, got 3"),
        ({"scaling": [None]}, r"scaling must be float \| tuple\[float, ...\] .*, got \[None\]"),
        ({"update_steps_max": [1.0]}, r"update_steps_max must be int \| .*, got \[1.0\]"),
    ):
        with pytest.raises(TypeError, match=message):
            kind.from_dict(values)
