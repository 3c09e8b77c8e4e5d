"""Patterns and queries with which prepared memories and indexes are measured."""

from __future__ import annotations

import ast
import os
import re
import sysconfig
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

import hopcore

Array = np.ndarray
CHUNK = 10_000
"""So many images are augmented at once."""

WORDS = 8
"""A paragraph has at least so many words."""

LONGEST_SHIFT, GRAIN = 2, 0.05
"""By how many pixels an image is moved at most, and the deviation of the noise of a pixel."""

NEAR, HALF, UNSEEN = "noise 0.3", "left half", "half of the words"
"""Kinds of queries."""


class Data(NamedTuple):
    """Patterns, and queries of each kind."""

    name: str
    stored: Array
    queries: dict[str, Callable[[int, int], Array]]
    """Functions of the number of queries and of a seed."""

    @property
    def width(self) -> int:
        """The number of values of a pattern."""
        return self.stored.shape[1]


def noisy(stored: Array, deviation: float = 0.3) -> Callable[[int, int], Array]:
    """Return a function that draws patterns with normal noise."""

    def ask(count: int, seed: int) -> Array:
        rng = np.random.default_rng(seed)
        chosen = stored[rng.integers(len(stored), size=count)]
        return (chosen + deviation * rng.standard_normal(chosen.shape)).astype(stored.dtype)

    return ask


def halved(stored: Array) -> Callable[[int, int], Array]:
    """Return a function that draws images of which the right half is 0."""
    side = round(stored.shape[1] ** 0.5)
    left = np.arange(stored.shape[1]) % side < side // 2

    def ask(count: int, seed: int) -> Array:
        chosen = stored[np.random.default_rng(seed).integers(len(stored), size=count)]
        return np.where(left, chosen, 0).astype(stored.dtype)

    return ask


def normal(count: int, width: int) -> Data:
    """Return standard normal patterns: of these, no few coordinates tell much."""
    stored = np.random.default_rng(0).standard_normal((count, width), np.float32)
    return Data(f"normal {count:,} x {width}", stored, {NEAR: noisy(stored)})


@cache
def images(quick: bool) -> tuple[str, Array]:
    """Return the test images of MNIST in the folder ``HOPCORE_MNIST``; without it, digits."""
    folder = os.environ.get("HOPCORE_MNIST")
    found = hopcore.datasets.mnist(folder) if folder else hopcore.datasets.digits()
    pixels = found.pixels.reshape(len(found.pixels), -1).astype(np.float32)
    return "MNIST" if folder else "digits", pixels[: 500 if quick else None]


def mnist(quick: bool) -> Data:
    """Return the images, with noisy ones and left halves as queries."""
    name, stored = images(quick)
    queries = {NEAR: noisy(stored), HALF: halved(stored)}
    return Data(f"{name} {len(stored):,} x {stored.shape[1]}", stored, queries)


def digits() -> Data:
    """Return the digits of scikit-learn."""
    found = hopcore.datasets.digits().pixels
    stored = found.reshape(len(found), -1).astype(np.float32)
    return Data(f"digits {len(stored):,} x {stored.shape[1]}", stored, {NEAR: noisy(stored)})


@cache
def augmented(count: int, width: int, quick: bool, seed: int = 0) -> Data:
    """Return images that are moved and have noise, in their leading principal coordinates.

    Each of them is a random image, moved by up to 2 pixels in both directions (what leaves the
    image on one side returns on the other, where images are empty), plus normal noise of deviation
    0.05. The coordinates are those of the images without noise, around their mean.
    """
    name, pixels = images(quick)
    side = round(pixels.shape[1] ** 0.5)
    rng = np.random.default_rng(seed)
    mean = pixels.mean(axis=0)
    _, vectors = np.linalg.eigh((pixels - mean).T @ (pixels - mean))
    basis = np.ascontiguousarray(vectors[:, ::-1][:, :width], np.float32)
    stored = np.empty((count, basis.shape[1]), np.float32)
    for begin in range(0, count, CHUNK):
        part = stored[begin : begin + CHUNK]
        chosen = pixels[rng.integers(len(pixels), size=len(part))].reshape(-1, side, side)
        down, right = rng.integers(-LONGEST_SHIFT, LONGEST_SHIFT + 1, size=(2, len(part), 1, 1))
        rows, columns = np.arange(side)[:, None], np.arange(side)
        places = np.arange(len(part))[:, None, None]
        moved = chosen[places, (rows - down) % side, (columns - right) % side]
        moved = moved.reshape(len(part), -1)
        moved += np.float32(GRAIN) * rng.standard_normal(moved.shape, np.float32)
        np.matmul(moved - mean, basis, out=part)
    return Data(f"{name}, moved {count:,} x {basis.shape[1]}", stored, {NEAR: noisy(stored)})


@cache
def texts(quick: bool, width: int = 128) -> Data:
    """Return embeddings of the documentation of Python, with halves of paragraphs as queries.

    The paragraphs are those of ``pydoc_data.topics`` and of all docstrings of the standard library.
    Counts of words, hashed, are projected to the leading singular vectors (scikit-learn's
    HashingVectorizer and TruncatedSVD) and divided by their length.
    """
    from sklearn.decomposition import TruncatedSVD  # noqa: PLC0415 - takes long to import
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415

    found = paragraphs(quick)
    counts = HashingVectorizer(n_features=2**16)
    projection = TruncatedSVD(min(width, len(found) // 4), random_state=0)

    def unit(vectors: Array) -> Array:
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return (vectors / lengths).astype(np.float32)

    stored = unit(projection.fit_transform(counts.transform(found)))

    def ask(count: int, seed: int) -> Array:
        rng = np.random.default_rng(seed)
        chosen = [found[i].split() for i in rng.integers(len(found), size=count)]
        kept = [" ".join(np.asarray(words)[rng.random(len(words)) < 0.5]) for words in chosen]
        return unit(projection.transform(counts.transform(kept)))

    return Data(f"texts {len(stored):,} x {stored.shape[1]}", stored, {UNSEEN: ask})


def paragraphs(quick: bool) -> list[str]:
    """Return the different paragraphs of the documentation of Python, in a fixed order."""
    from pydoc_data.topics import topics  # noqa: PLC0415 - a large file

    found = [topics[key] for key in sorted(topics)]
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(library.rglob("*.py"))
    left_out = {"site-packages", "test", "tests", "lib2to3", "idlelib"}
    files = [file for file in files if not left_out & set(file.relative_to(library).parts)]
    for file in files[: 20 if quick else None]:
        found += docstrings(file)
    pieces = (piece.strip() for text in found for piece in re.split(r"\n\s*\n", text))
    return list(dict.fromkeys(piece for piece in pieces if len(piece.split()) >= WORDS))


def docstrings(file: Path) -> list[str]:
    """Return the docstrings of a module, its classes and functions; the module is not run."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old escapes in strings
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return []
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]
