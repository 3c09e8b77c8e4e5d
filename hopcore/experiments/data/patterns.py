"""What a retrieval starts from: stored patterns and queries, from files or from a data set.

A file of stored patterns that is larger than :data:`LOADED` is never loaded: it is streamed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore import datasets
from hopcore.experiments.data.inputs import (
    is_stored,
    is_streamable,
    read_known,
    read_patterns,
    stored_source,
)
from hopcore.prepared._memory import Memory as Prepared
from hopcore.streamed._streamed import Streamed

DTYPES = ("float16", "float32", "float64")


LOADED = 1 << 28
"""Bytes of stored patterns, 256 MiB, up to which they are loaded; more are streamed."""


class Memory(NamedTuple):
    """Stored patterns and the queries put to them.

    Attributes
    ----------
    stored : array (S, d), Streamed or hopcore.Memory
    queries : array (L, d)
        Of the same dtype.
    shape : tuple of int
        The height and width with which a pattern is drawn; the last row may be cut short.
    original : array (L, d) or None
        What the queries were before they were corrupted, where that is known.
    known : boolean array (L, d) or None
        Which values of the queries are known; None if all are.
    """

    stored: Any
    queries: np.ndarray
    shape: tuple[int, int]
    original: np.ndarray | None
    known: np.ndarray | None = None


def from_files(
    patterns: Path,
    queries: Path,
    dtype: str | None = None,
    *,
    known: Path | None = None,
    track: Callable[..., Any] | None = None,
    dask: bool = False,
) -> Memory:
    """Patterns and queries of the user's own.

    Parameters
    ----------
    patterns, queries : Path
        As in :func:`hopcore.experiments.data.inputs.read_patterns`, of shape (S, d) and (L, d), or
        images (S, h, w) and (L, h, w). In queries, nan is a value that is not known.
    dtype : str, optional
        Convert both to it; without it they keep their own.
    known : Path, optional
        Which values of the queries are known, as in
        :func:`hopcore.experiments.data.inputs.read_known`: of the shape of the queries, or of one
        of them.
    track, dask
        As in :class:`hopcore.Streamed`, for patterns of more than :data:`LOADED` bytes. With
        ``dask`` all are streamed.

    Raises
    ------
    TypeError, ValueError, OSError
        As :func:`hopcore.experiments.data.inputs.read_patterns` and :class:`hopcore.Streamed`;
        shapes or dtypes that do not fit; a dtype that is not floating, or that the values overflow.
    """
    start = read_patterns(queries, missing=True)
    stored, given = stored_in(patterns, dtype, track, dask)
    if len(given) not in (2, 3) or 0 in given:
        raise ValueError(f"{patterns} must be (S, d) or (S, h, w), not empty, got {given}")
    axes = given[1:]
    if start.shape[1:] != axes:
        raise ValueError(
            f"{queries} must have the axes of a pattern in {patterns}, (L, "
            f"{', '.join(map(str, axes))}), got {start.shape}"
        )
    seen = known_in(start, known)
    start = start.reshape(len(start), math.prod(axes))
    if dtype is not None:
        start = converted(start, dtype)
    if stored.dtype != start.dtype:
        raise ValueError(
            f"patterns and queries must share one dtype: {patterns} has {stored.dtype} and "
            f"{queries} has {start.dtype}; convert both, for example with --dtype float32"
        )
    return Memory(stored, start, image_shape(axes), None, seen)


def from_memory(memory: Path, queries: Path, *, known: Path | None = None) -> Memory:
    """A prepared memory, and queries of the user's own, which are converted to its dtype.

    Parameters
    ----------
    memory : Path
        A file that :meth:`hopcore.Memory.save` wrote.
    queries, known : Path
        As in :func:`from_files`; images have as many pixels as a pattern has values.

    Raises
    ------
    TypeError, ValueError, OSError
        As :meth:`hopcore.Memory.load` and :func:`from_files`.
    """
    held = Prepared.load(memory)
    start = read_patterns(queries, missing=True)
    axes, depth = start.shape[1:], held.shape[1]
    if start.ndim not in (2, 3) or math.prod(axes) != depth:
        raise ValueError(
            f"{queries} must have {depth} values in each query, as many as a pattern of {memory}, "
            f"got the shape {start.shape}"
        )
    seen = known_in(start, known)
    flat = converted(start.reshape(len(start), depth), held.dtype.name)
    return Memory(held, flat, image_shape(axes), None, seen)


def known_in(queries: np.ndarray, path: Path | None) -> np.ndarray | None:
    """Return which values of queries are known (L, d): not nan, and known by the file."""
    known = ~np.isnan(queries)
    if path is not None:
        given = read_known(path)
        if given.shape not in (queries.shape, queries.shape[1:], (1, *queries.shape[1:])):
            raise ValueError(
                f"{path} must have the shape of the queries, {queries.shape}, or of one query, "
                f"{queries.shape[1:]}, got {given.shape}"
            )
        known &= given
    return None if known.all() else known.reshape(len(known), math.prod(known.shape[1:]))


def stored_in(
    path: Path, dtype: str | None, track: Callable[..., Any] | None, dask: bool
) -> tuple[Any, tuple[int, ...]]:
    """Stored patterns ``(S, d)`` of a file, loaded or streamed, and the shape that it has."""
    large = path.is_file() and path.stat().st_size > LOADED
    if is_streamable(path) and (dask or large or is_stored(path)):
        source = stored_source(path)
        shape = source.shape
        if dask or math.prod(shape) * source.dtype.itemsize > LOADED:
            return Streamed(source, dtype=dtype, track=track, dask=dask), shape
    elif dask:
        raise ValueError(
            "--workers and --scheduler read .npy files, FILE.h5:NAME and folders of Zarr, got "
            f"{path}"
        )
    values = read_patterns(path)
    if values.ndim not in (2, 3) or values.size == 0:
        return values, values.shape
    stored = values.reshape(len(values), -1)
    return stored if dtype is None else converted(stored, dtype), values.shape


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
    if np.isinf(new).any():
        raise ValueError(f"values up to {np.nanmax(np.abs(values))} do not fit into {dtype}")
    return new


def image_shape(axes: tuple[int, ...]) -> tuple[int, int]:
    """How a pattern is drawn: ``(h, w)`` as it is, d values folded into the smallest square."""
    if len(axes) == 2:
        return axes[0], axes[1]
    side = math.isqrt(axes[0] - 1) + 1
    return math.ceil(axes[0] / side), side
