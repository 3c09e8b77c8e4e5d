"""What a command writes: checked before the work, in the format of the extension, and reported."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from hopcore.files._csv import csv_of
from hopcore.files._extensions import PICTURES, RESULTS, check_extension
from hopcore.files._files import check_places, write_whole

EXTENSIONS: dict[str, Sequence[str]] = {"--csv": (".csv",), "--plot": PICTURES, "--out": RESULTS}
"""The extensions of options, by their names; of other options any will do."""


def check_outputs(
    writes: Mapping[str, Path | None],
    reads: Mapping[str, Path | None] | None = None,
    extensions: Mapping[str, Sequence[str]] = EXTENSIONS,
) -> None:
    """Raise before the work begins if a command must not write a file, or does not know its format.

    Parameters
    ----------
    writes, reads : mapping of str to Path or None
        As in :func:`hopcore.files._files.check_places`. A name with brackets is that of a file
        beside the one of an option, whose extension is not the user's.
    extensions : mapping of str to sequence of str
        By option.

    Raises
    ------
    ValueError, OSError
        As :func:`hopcore.files._files.check_places`; another extension than those of the option.
    """
    check_places(writes, reads)
    for name, path in writes.items():
        known = extensions.get(name)
        if path is not None and known is not None:
            check_extension(name, path, known)


def write_results(path: Path, results: Mapping[str, np.ndarray]) -> str:
    """Write arrays of one length in the format of the extension; return what was written.

    Parameters
    ----------
    path : Path
        ``.npz`` and ``.json`` hold all arrays by their names, ``.json`` with null in place of inf
        and nan, ``.npy`` the first one alone, and
        ``.csv`` has one line for each query or image and numbers the columns of a matrix.
    results : mapping of str to array (n, ...)

    Returns
    -------
    str
        The names, in words.
    """
    first, *_ = results
    kind = path.suffix.lower()
    if kind == ".npz":
        arrays: dict[str, Any] = dict(results)
        write_whole(path, lambda file: np.savez(file, **arrays))
    elif kind == ".npy":
        write_whole(path, lambda file: np.save(file, results[first]))
        return first
    elif kind == ".csv":
        text = table_of(results)
        write_whole(path, lambda file: file.write(text.encode()))
    else:
        plain = {name: with_nulls(values).tolist() for name, values in results.items()}
        text = json.dumps(plain, allow_nan=False)
        write_whole(path, lambda file: file.write(f"{text}\n".encode()))
    return listed(list(results))


def with_nulls(values: np.ndarray) -> np.ndarray:
    """Return values with None in place of inf and nan, which JSON lacks."""
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return values
    found = values.astype(object)
    found[~np.isfinite(values)] = None
    return found


def table_of(results: Mapping[str, np.ndarray]) -> str:
    """Return arrays of one length as CSV with all digits; a matrix has several columns."""
    names: list[str] = []
    columns: list[list[object]] = []
    # The columns that are one value wide are read more easily before hundreds of others.
    for name, values in sorted(results.items(), key=lambda one: one[1].ndim):
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        names += [name] if values.ndim == 1 else [f"{name}_{k}" for k in range(flat.shape[1])]
        columns += flat.T.tolist()
    return csv_of(names, zip(*columns, strict=True), digits=None)


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def say_written(path: Path, what: str) -> None:
    """Print one line that says what was written into a file."""
    typer.echo(f"Wrote {path}: {what}.")


def say_nothing_written(*options: str) -> None:
    """Print one line that says that nothing was written, and which options write something."""
    typer.echo(f"Nothing was written: use {' or '.join(options)}.")
