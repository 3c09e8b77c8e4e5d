"""Follow one call through the code: which functions of which files it goes through, and how often.

``python tests/walks.py`` prints the three walks that docs/design/architecture.md shows, and
``python tests/walks.py --draw docs/design`` draws them. List comprehensions do not count as calls:
Python 3.11 makes functions of them, later versions do not. Nor does the look at the names of the
arguments (``suggest_names``) that stands before every public function, and the look at the type of
a memory (``own_options``) that follows it.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
from walk_pictures import boxes, lanes

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hopcore": ROOT / "hopcore",
    "hopcore_torch": ROOT / "backends" / "hopcore_torch",
    "hopcore_jax": ROOT / "backends" / "hopcore_jax",
}

NO_CALLS = (
    *("<module>", "<listcomp>", "<setcomp>", "<dictcomp>"),
    "suggest_names.<locals>.call",
    "own_options.<locals>.call",
)


class Walk(NamedTuple):
    """The functions that a call went through, in the order in which each was first entered."""

    calls: Counter[tuple[str, str]]
    """By file and name, how often each function was entered."""
    callers: dict[tuple[str, str], tuple[str, str]]
    """By function, the one that entered it first."""

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


def caller_of(frame: FrameType) -> tuple[str, str] | None:
    """The closest function of the project that a frame was entered from."""
    above = frame.f_back
    while above is not None:
        place = place_of(above)
        if place is not None and not place[1].endswith(NO_CALLS):
            return place
        above = above.f_back
    return None


def walk(function: Callable[[], Any]) -> Walk:
    """Record the functions of the project that a call enters."""
    calls: Counter[tuple[str, str]] = Counter()
    callers: dict[tuple[str, str], tuple[str, str]] = {}

    def entered(frame: FrameType, event: str, _: Any) -> None:
        place = place_of(frame) if event == "call" else None
        if place is None or place[1].endswith(NO_CALLS):
            return
        calls[place] += 1
        if calls[place] == 1 and (caller := caller_of(frame)) is not None:
            callers[place] = caller

    function()  # what happens once only: imports, caches
    sys.setprofile(entered)
    try:
        function()
    finally:
        sys.setprofile(None)
    return Walk(calls, callers)


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


WALKS = {"torch-layer": torch_layer, "retrieve": numpy_retrieve, "train": train}

TITLES = {
    "torch-layer": "One call of the torch layer Hopfield",
    "retrieve": "hopcore.retrieve on NumPy, three updates",
    "train": "hopcore train, one epoch",
}


def summary(title: str, taken: Walk) -> str:
    """A walk in one line."""
    counts = f"{taken.total} calls of {len(taken.calls)} functions in {len(taken.files)} files"
    return f"{TITLES[title]}: {counts}"


def draw(title: str, taken: Walk) -> str:
    """The picture of a walk; of a long one, the files alone."""
    if title == "train":
        return boxes(f"{TITLES[title]}: {len(taken.files)} files, package by package", taken.files)
    return lanes(summary(title, taken), taken.calls, taken.callers)


def main(arguments: list[str]) -> None:
    """Print the walks, or draw them into a folder."""
    if arguments[:1] == ["--draw"]:
        for title, record in WALKS.items():
            picture = draw(title, record())
            Path(arguments[1], f"walk-{title}.svg").write_text(picture, encoding="utf-8")
        return
    for title in arguments or WALKS:
        taken = WALKS[title]()
        print(summary(title, taken))  # noqa: T201
        if title != "train":
            for (file, name), count in taken.calls.items():
                print(f"  {count:4d} {file}: {name}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
