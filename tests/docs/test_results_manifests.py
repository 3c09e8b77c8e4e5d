"""Each CSV file of a results page is listed in a manifest, which says how it was made."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).parents[2] / "docs" / "results"
MANIFESTS = sorted(RESULTS.glob("*-manifest.json"))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_each_file_of_data_has_a_manifest_with_its_digest() -> None:
    listed: dict[str, str] = {}
    for path in MANIFESTS:
        listed |= read(path)["files"]
    found = {path.name: path for path in RESULTS.glob("*.csv")}
    assert found.keys() - listed.keys() == set()
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_says_how_its_files_were_made(path: Path) -> None:
    for run in read(path)["runs"]:
        assert shlex.split(run["command"])[:2] == ["hopcore", "experiment"]
        assert len(run["commit"]) == 40
        assert "numpy" in run["versions"]
        # Some data are older than manifests: what is known of them was put together later.
        assert run["seconds"] > 0.0 if run["seconds"] is not None else "older" in run["note"]
