"""Read a table of numbers from a CSV file, with or without a header."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from hopcore.arrays._scalar_checks import short_repr
from hopcore.files._plain import read_text


def read_numbers(path: Path, *, missing: bool = False) -> np.ndarray:
    r"""Return the numbers of a CSV file, one row for each line.

    The first line is a header if none of its cells is a number. Empty lines, and lines that
    begin with ``#``, are skipped.

    Parameters
    ----------
    path : Path
        Comma-separated values in UTF-8.
    missing : bool
        Accept ``nan``, for values that are not known.

    Returns
    -------
    float64 array (n, d)

    Raises
    ------
    ValueError
        There are no numbers; a cell is not a finite number; a line is longer or shorter than the
        first one.
    OSError
        The file cannot be opened, or is not a plain file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from hopcore.files._numbers import read_numbers
    >>> path = Path(tempfile.mkdtemp()) / "patterns.csv"
    >>> _ = path.write_text("left,right\n1,-1\n0.5,2\n")
    >>> read_numbers(path)
    array([[ 1. , -1. ],
           [ 0.5,  2. ]])
    """
    lines = read_text(path).removeprefix("\ufeff").splitlines()  # spreadsheets write the mark
    rows: list[list[float]] = []
    width = None
    try:
        for place, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            cells = next(csv.reader([line], strict=True))
            numbers = [number_in(cell) for cell in cells]
            if width is None:
                width = len(cells)
                if not any(number is not None for number in numbers):
                    continue  # a header
            rows.append(row_of(numbers, cells, width, place, missing))
    except csv.Error as error:
        raise ValueError(f"{path} is not a table of comma-separated values: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a table of numbers: {error}") from None
    if not rows:
        raise ValueError(f"{path} is not a table of numbers: it has none")
    return np.asarray(rows, np.float64)


def number_in(cell: str) -> float | None:
    """Return the number in a cell, or None if there is none."""
    try:
        return None if "_" in cell else float(cell)  # Python reads 1_000 as a number
    except ValueError:
        return None


def row_of(
    numbers: list[float | None], cells: list[str], width: int, place: int, missing: bool
) -> list[float]:
    """Return the numbers of a line, or raise if it has another length or a cell without one."""
    if len(cells) != width:
        raise ValueError(f"line {place} has {len(cells)} cells, the first line has {width}")
    found = []
    for column, (value, cell) in enumerate(zip(numbers, cells, strict=True), start=1):
        if value is None or not (math.isfinite(value) or (missing and math.isnan(value))):
            raise ValueError(
                f"line {place}, column {column} must be a finite number, got {short_repr(cell)}"
            )
        found.append(value)
    return found
