"""Type checkers accept right uses of hopcore and refuse wrong ones: see ``typing_uses.py``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USES = Path(__file__).with_name("typing_uses.py")
SOURCES = [str(ROOT), str(ROOT / "backends"), str(ROOT / "conformance")]


def wrong_lines() -> set[int]:
    lines = USES.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}


def needs(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def test_pyright(tmp_path: Path) -> None:
    needs("pyright", "torch", "jax", "equinox")
    config = tmp_path / "pyrightconfig.json"
    shutil.copy(USES, tmp_path)
    options = {"include": [USES.name], "extraPaths": SOURCES, "typeCheckingMode": "standard"}
    config.write_text(json.dumps(options), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "-p", str(config), "--outputjson"]
    done = subprocess.run(
        [*command, "--pythonpath", sys.executable], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    found = {
        one["range"]["start"]["line"] + 1: one["message"]
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    }
    check(found)


@pytest.mark.full  # half a minute, since the cache of types begins empty
def test_mypy(tmp_path: Path) -> None:
    needs("mypy", "torch", "jax", "equinox")
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent",
            f"--cache-dir={tmp_path}", "--no-error-summary", "--hide-error-context", str(USES),
        ],
        capture_output=True, text=True, check=False,
        env={**os.environ, "MYPYPATH": os.pathsep.join(SOURCES)},
    )  # fmt: skip
    found = re.findall(rf"{USES.name}:(\d+): error: (.*)", done.stdout)
    assert not done.stderr
    check({int(line): message for line, message in found})


def check(found: dict[int, str]) -> None:
    """Assert that exactly the marked lines are errors."""
    wrong = wrong_lines()
    assert len(wrong) > 30
    assert {line: found[line] for line in sorted(found.keys() - wrong)} == {}, "right, but refused"
    assert sorted(wrong - found.keys()) == [], "wrong, but accepted"
