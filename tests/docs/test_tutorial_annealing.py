"""What the tutorial on annealing says of its picture is what its code finds."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "annealing.md"


def test_four_trainings():
    matplotlib = pytest.importorskip("matplotlib", reason="the extra 'plots'")
    matplotlib.use("Agg")
    text = PAGE.read_text(encoding="utf-8")
    block = re.findall(r"^\.\. plot::\n(?:   :.*\n)*\n((?:   .*\n|\n)*)", text, re.MULTILINE)[0]
    names = {}
    exec(compile(textwrap.dedent(block), str(PAGE), "exec"), names)
    names["plt"].close("all")
    last = {name: history[-1] for name, history in names["histories"].items()}
    assert last["warm"].soft > 0.95
    assert last["warm"].gap > 0.005  # the hard path lags behind
    assert last["cold"].soft < 0.7  # hardly learns
    assert last["annealed"].hard > 0.93
    assert abs(last["annealed"].gap) < 0.02  # the paths meet
    lost = names["histories"]["constant rate"]
    assert max(epoch.hard for epoch in lost[:6]) > 0.85  # learns as much at first
    assert max(last["constant rate"].soft, last["constant rate"].hard) < 0.8  # both paths fall
