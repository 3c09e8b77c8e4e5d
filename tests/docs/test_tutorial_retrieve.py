"""The commands of docs/tutorials/retrieve.md: each is run, and prints what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("typer")
pytest.importorskip("matplotlib")

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "retrieve.md"
BLOCKS = re.findall(r"^```console\n\$ hopcore (.*)\n((?:(?!```).*\n)*)```$", PAGE.read_text(), re.M)


def test_all_commands_are_found() -> None:
    assert len(BLOCKS) == PAGE.read_text().count("```console")


@pytest.mark.parametrize(("command", "output"), BLOCKS, ids=[one.split()[0] for one, _ in BLOCKS])
def test_commands_print_what_the_page_says(command: str, output: str, tmp_path: Path) -> None:
    patterns = np.random.default_rng(0).choice([-1.0, 1.0], size=(20, 8, 8))
    np.save(tmp_path / "patterns.npy", patterns)
    np.save(tmp_path / "queries.npy", 0.5 * patterns)
    done = subprocess.run(
        [sys.executable, "-m", "hopcore", *shlex.split(command)],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    for name in re.findall(r"\S+\.(?:npz|png)", command + output):
        assert (tmp_path / name).stat().st_size > 0
    if output:
        assert_similar(done.stdout.split(), output.split())


def assert_similar(found: list[str], page: list[str]) -> None:
    """The same words, and numbers that are nearly the same; ``...`` stands for any one of them."""
    assert len(found) == len(page)
    for mine, theirs in zip(found, page, strict=True):
        wanted = value(theirs)
        if isinstance(wanted, float):
            assert value(mine) == pytest.approx(wanted, rel=0.02)
        elif theirs != "..." and not theirs.startswith("──"):  # a rule is as wide as the times
            assert mine == theirs


def value(word: str) -> float | str:
    """A number or a share, or a word as it is."""
    try:
        return float(word.rstrip("%"))
    except ValueError:
        return word
