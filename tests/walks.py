"""Follow one call through the code: which functions of which files it goes through, and how often.

``python tests/walks.py`` prints the three walks that docs/design/architecture.md draws.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hopcore": ROOT / "hopcore",
    "hopcore_torch": ROOT / "backends" / "hopcore_torch",
    "hopcore_jax": ROOT / "backends" / "hopcore_jax",
}


class Walk(NamedTuple):
    """The functions that a call went through, in the order in which each was first entered."""

    calls: Counter[tuple[str, str]]
    """By file and name, how often each function was entered."""
    edges: dict[tuple[tuple[str, str], tuple[str, str]], int]
    """By caller and callee, how often."""

    @property
    def files(self) -> list[str]:
        """The files, in the order in which they were first entered."""
        return list(dict.fromkeys(file for file, _ in self.calls))

    @property
    def total(self) -> int:
        """The number of calls."""
        return self.calls.total()


def place_of(frame: FrameType | None) -> tuple[str, str] | None:
    """The file and the function of a frame, or None outside of the project."""
    if frame is None:
        return None
    path = frame.f_code.co_filename
    for folder in PACKAGES.values():
        if path.startswith(f"{folder}/"):
            name = Path(path).relative_to(folder.parent)
            return str(name), frame.f_code.co_qualname
    return None


def walk(function: Callable[[], Any]) -> Walk:
    """Record the functions of the project that a call enters."""
    calls: Counter[tuple[str, str]] = Counter()
    edges: Counter[tuple[tuple[str, str], tuple[str, str]]] = Counter()

    def entered(frame: FrameType, event: str, _: Any) -> None:
        place = place_of(frame) if event == "call" else None
        if place is None or "<module>" in place[1]:
            return
        calls[place] += 1
        above = frame.f_back
        while above is not None and place_of(above) is None:
            above = above.f_back
        caller = place_of(above)
        if caller is not None:
            edges[caller, place] += 1

    function()  # what happens once only: imports, caches
    sys.setprofile(entered)
    try:
        function()
    finally:
        sys.setprofile(None)
    return Walk(calls, dict(edges))


def torch_layer() -> Walk:
    """One call of the torch layer: stored patterns, state patterns, pattern projections."""
    import torch

    from hopcore_torch import Hopfield

    layer = Hopfield(input_size=8, num_heads=2)
    stored, state = torch.randn(3, 5, 8), torch.randn(3, 4, 8)
    return walk(lambda: layer((stored, state, stored)))


def numpy_retrieve() -> Walk:
    """One call of ``hopcore.retrieve`` on NumPy that makes three updates."""
    import hopcore

    rng = np.random.default_rng(0)
    stored = rng.normal(size=(10, 8))
    state = stored[:2] + 0.1
    return walk(lambda: hopcore.retrieve(state, stored, beta=1.0, max_steps=3, tol=0.0))


def train() -> Walk:
    """``hopcore train`` for one epoch."""
    import contextlib
    import io
    import tempfile

    from hopcore.__main__ import main

    def epoch() -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            arguments = ["--epochs", "1", "--out", f"{folder}/run", "--json"]
            with contextlib.suppress(SystemExit):
                main(["train", *arguments])

    return walk(epoch)


WALKS = {"torch layer": torch_layer, "retrieve": numpy_retrieve, "train": train}

if __name__ == "__main__":
    for title in sys.argv[1:] or WALKS:
        found = WALKS[title]()
        print(  # noqa: T201
            f"{title}: {found.total} calls, {len(found.calls)} functions, {len(found.files)} files"
        )
        if title != "train":
            for (file, name), count in found.calls.items():
                print(f"  {count:4d} {file}: {name}")  # noqa: T201
