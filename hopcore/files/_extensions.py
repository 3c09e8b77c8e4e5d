"""The extension of a file says its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

PICTURES = ".png", ".pdf", ".svg"
"""Extensions of pictures."""

RESULTS = ".npz", ".npy", ".csv", ".json"
"""Extensions of arrays and tables that a command writes."""


def check_extension(name: str, path: Path, known: Sequence[str]) -> None:
    """Raise a ValueError unless the extension of a path is one of those known, in any case.

    Parameters
    ----------
    name : str
        What the path was given as: an argument or an option of the command line.
    path : Path
    known : sequence of str
        Extensions with their dots.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hopcore.files._extensions import RESULTS, check_extension
    >>> check_extension("--out", Path("found.txt"), RESULTS)
    Traceback (most recent call last):
        ...
    ValueError: --out must end in .npz, .npy, .csv or .json, got found.txt
    """
    if path.suffix.lower() not in known:
        *most, last = known
        listed = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"{name} must end in {listed}, got {path}")
