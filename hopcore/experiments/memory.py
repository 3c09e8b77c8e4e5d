"""What a retrieval starts from: stored patterns and queries, from files or from a data set."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hopcore import datasets
from hopcore.files import read_array

DTYPES = ("float16", "float32", "float64")


class Memory(NamedTuple):
    """Stored patterns and the queries put to them.

    Attributes
    ----------
    stored : array (S, d)
    queries : array (L, d)
        Of the same dtype.
    shape : tuple of int
        The height and width with which a pattern is drawn; the last row may be cut short.
    original : array (L, d) or None
        What the queries were before they were corrupted, where that is known.
    """

    stored: np.ndarray
    queries: np.ndarray
    shape: tuple[int, int]
    original: np.ndarray | None


def from_files(patterns: Path, queries: Path, dtype: str | None = None) -> Memory:
    """Patterns and queries of the user's own.

    Parameters
    ----------
    patterns, queries : Path
        ``.npy`` files of shape (S, d) and (L, d), or images (S, h, w) and (L, h, w).
    dtype : str, optional
        Convert both to it; without it they keep their own.

    Raises
    ------
    TypeError, ValueError, OSError
        As :func:`hopcore.files.read_array`; shapes that do not fit; a dtype that is not floating,
        or that the values overflow.
    """
    stored, start = read_array(patterns), read_array(queries)
    if stored.ndim not in (2, 3) or stored.size == 0:
        raise ValueError(f"{patterns} must be (S, d) or (S, h, w), not empty, got {stored.shape}")
    if start.ndim != stored.ndim or start.shape[1:] != stored.shape[1:]:
        raise ValueError(
            f"{queries} must have the axes of a pattern in {patterns}, (L, "
            f"{', '.join(map(str, stored.shape[1:]))}), got {start.shape}"
        )
    axes = stored.shape[1:]
    stored, start = stored.reshape(len(stored), -1), start.reshape(len(start), stored[0].size)
    if dtype is not None:
        stored, start = (converted(values, dtype) for values in (stored, start))
    return Memory(stored, start, image_shape(axes), None)


def from_dataset(
    name: str, data: Path | None, stored: int, corruption: str, seed: int, dtype: str | None = None
) -> Memory:
    """Images of a data set, chosen by the seed, and their corrupted copies.

    Parameters
    ----------
    name, data
        As in :func:`hopcore.datasets.load`.
    stored : int
        How many images.
    corruption : str
        As in :func:`hopcore.datasets.corrupt`.
    seed : int
        Chooses the images and draws the noise; >= 0.
    dtype : str, optional
        float32 if not given.

    Raises
    ------
    ValueError, ModuleNotFoundError, OSError
        As :func:`hopcore.datasets.load`; too many images; an unknown corruption.
    """
    rng = np.random.default_rng(seed)
    images = datasets.choose(datasets.load(name, data), stored, rng)
    queries = datasets.corrupt(images, corruption, rng)
    original, start = (converted(values, dtype or "float32") for values in (images.pixels, queries))
    return Memory(original, start, images.shape, original)


def converted(values: np.ndarray, dtype: str) -> np.ndarray:
    """The values in another floating dtype, refused if they do not fit into its range."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    with np.errstate(over="ignore"):
        new = values.astype(dtype)
    if not np.isfinite(new).all():
        raise ValueError(f"values up to {np.abs(values).max()} do not fit into {dtype}")
    return new


def image_shape(axes: tuple[int, ...]) -> tuple[int, int]:
    """How a pattern is drawn: ``(h, w)`` as it is, d values folded into the smallest square."""
    if len(axes) == 2:
        return axes[0], axes[1]
    side = math.isqrt(axes[0] - 1) + 1
    return math.ceil(axes[0] / side), side
