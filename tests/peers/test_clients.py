"""Clients of hopfield-layers train with hopcore as they do with it.

Their code is not part of hopcore. ``HOPCORE_CLIENTS`` is the path of a folder with clones of
github.com/ml-jku's hopfield-layers, hopular, cloob, DeepRC and mhn-react.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
from client_notebooks import EPOCHS
from client_shims import DIFFERENCES, Difference, importable, shim
from clients import CLIENTS, IMPORTING, LIBRARY, of_client, of_notebook

import hopcore_torch

FOLDER = os.environ.get("HOPCORE_CLIENTS", "")

needs_clones = pytest.mark.skipif(not FOLDER, reason="HOPCORE_CLIENTS names no folder of clones")
old = pytest.mark.filterwarnings("ignore")  # the clients are older than what they import


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("hflayers", ["Hopfield", "HopfieldPooling", "HopfieldLayer"]),
        ("hflayers.activation", ["HopfieldCore"]),
        ("hflayers.transformer", ["HopfieldEncoderLayer", "HopfieldDecoderLayer"]),
    ],
)
def test_line_of_the_page_replaces_the_layers(place: str, names: list[str], tmp_path: Path) -> None:
    with importable(tmp_path, "hflayers"):
        exec(shim(), {"sys": sys, "hopcore_torch": hopcore_torch})
        for name in names:
            assert getattr(importlib.import_module(place), name) is getattr(hopcore_torch, name)


def clones(*names: str) -> Path:
    folder = Path(FOLDER).resolve()
    for name in names:
        if not (folder / name).is_dir():
            pytest.skip(f"{folder} contains no clone of {name}")
    return folder


def same(found: Difference) -> None:
    assert found.loss < 1e-12, found
    assert found.weight < 1e-9, found


@needs_clones
@old
@pytest.mark.parametrize("name", EPOCHS)
def test_notebooks_train_in_the_same_way(name: str) -> None:
    found = of_notebook(clones(LIBRARY), name, DIFFERENCES)
    assert found
    for one in found.values():
        same(one)


@needs_clones
@old
@pytest.mark.parametrize("name", CLIENTS)
def test_clients_train_in_the_same_way(name: str) -> None:
    needed = (LIBRARY, name) if name in IMPORTING else (name,)
    same(of_client(clones(*needed), name))
