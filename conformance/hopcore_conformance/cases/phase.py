"""For the checks of the transition: kinds of memories, and the resolution of a check."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.oracle import phase as plain
from hopcore_conformance.subject import Subject

Array = np.ndarray


class Simplex(NamedTuple):
    """Equidistant patterns (N, N) that the subject holds, and what b is divided by to get beta."""

    stored: Array
    scale: float

    def betas(self, *values: float) -> Array:
        """The inverse temperatures for effective ones."""
        return np.asarray(values) / self.scale


def simplex(subject: Subject, patterns: int, seed: int = 0) -> Simplex:
    """Equidistant patterns of equal norm, rotated, scaled, and moved along their axis."""
    no_half(subject, "patterns are equidistant to its rounding only; float32 computes the same")
    rng = np.random.default_rng([seed, patterns])
    size = float(np.exp(rng.uniform(-1.0, 1.0)))
    return Simplex(subject.rounded(plain.simplex(rng, patterns, size)), size**2)


def nearness(subject: Subject) -> float:
    """The relative distance to a critical temperature at which its two sides are distinguished.

    In float32 the energies and states that are compared have errors of 1e-6 and more.
    """
    return 1e-4 if subject.dtype == "float64" else 1e-3


def clusters(subject: Subject, seed: int = 0) -> Array:
    """Three groups of three unit patterns (9, 9): the i-th, i + 3-th and i + 6-th are alike.

    Those of one group have products of about 0.8, those of two of about 0.
    """
    rng = np.random.default_rng(seed)
    group = np.arange(9) % 3
    products = 0.2 * np.eye(9) + 0.8 * (group[:, None] == group)
    stored = np.linalg.cholesky(products) + 0.01 * rng.normal(size=(9, 9))
    stored = stored @ np.linalg.qr(rng.normal(size=(9, 9)))[0]
    return subject.rounded(stored / np.linalg.norm(stored, axis=-1, keepdims=True))


def general(subject: Subject, rng: np.random.Generator, count: int = 7, width: int = 4) -> Array:
    """Patterns (N, d) of nearly equal norm, in any directions."""
    stored = rng.normal(size=(count, width))
    stored *= rng.uniform(0.9, 1.1, size=(count, 1)) / np.linalg.norm(stored, axis=-1)[:, None]
    return subject.rounded(stored)


def covered(subject: Subject, rng: np.random.Generator) -> Array:
    """Seven patterns (7, 4) that all point one way, as uncentred images do, with norms of 1 to 5.

    Dot products lose some of them to longer ones.
    """
    stored = np.abs(rng.normal(size=(7, 4))) + 0.2
    return subject.rounded(
        stored * np.linspace(1.0, 2.0, 7)[:, None] / np.linalg.norm(stored, axis=-1).min()
    )


def turned(subject: Subject, stored: Array, rng: np.random.Generator) -> Array:
    """Patterns after a rotation, rounded again; in half precision after one that needs none.

    Where rounding is coarse, it may make two minima one.
    """
    if subject.eps > 1e-4:
        signs = rng.choice((-1.0, 1.0), size=stored.shape[1])
        return stored[:, rng.permutation(stored.shape[1])] * signs
    return subject.rounded(stored @ np.linalg.qr(rng.normal(size=(stored.shape[1],) * 2))[0])


def fields(subject: Subject, found: Any) -> Any:
    """A result of :mod:`hopcore.phase` with all its arrays converted to NumPy."""
    # What is an array of the library comes back as NumPy's; what is NumPy's already stays.
    parts = (x if isinstance(x, (np.ndarray, float, str)) else subject.get(x) for x in found)
    return type(found)(*parts)
