"""The report that docs/tutorials/beta.md shows is the one that the command prints."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "beta.md"


def test_the_command_prints_what_the_page_says(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```console\n\$ hopcore (.*)\n((?:(?!```).*\n)+)```$", text, re.M)
    patterns = np.random.default_rng(0).choice([-1.0, 1.0], size=(200, 64))
    np.save(tmp_path / "patterns.npy", patterns)
    command, report = shown
    done = subprocess.run(
        [sys.executable, "-m", "hopcore", *shlex.split(command)],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == report.split()
