"""Arguments that nobody would choose, drawn from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

import hopcore
from hopcore_conformance.subject import Subject

Array = np.ndarray

SIZES = (0.0, 1e-30, 1e-4, 1.0, 1.0, 1.0, 1e3, 1e15)
BETAS = (0.0, 1e-30, 1e-3, 0.3, 1.0, 1.0, 4.0, 1e4, 1e30, -1.0, np.inf, np.nan)
LEADS = ((), (), (), (1,), (2,), (2,), (3, 2), (0,))
QUERIES = (2, 5, 1, 2, 5, 2, 1, 0)
"""Axes of size 0 are rare: no value is computed then."""
SEPARATIONS = (
    *["softmax"] * 4,
    *["sparsemax"] * 2,
    *["entmax15"] * 2,
    hopcore.Entmax(1.3),
    hopcore.KSubsets(2),
    hopcore.Normmax(2),
    hopcore.Normmax(5),
    hopcore.Epanechnikov(),
    hopcore.Epanechnikov(2),
)
NO_SEPARATIONS = ("argmax", None, 1.5)
BLOCK = 100
"""How many calls with the same shapes and options a library makes that compiles them."""
NONSENSE = (None, "patterns", 3, [[1.0, 2.0]], {}, b"", np.ones((2, 2), dtype=complex))


class Draw:
    """Draws NumPy arrays and hands them over as arrays of the subject, in layouts of all kinds.

    Parameters
    ----------
    seed : int
        Of everything that is drawn.
    subject : Subject
        The backend, dtype and device of the arrays.
    """

    def __init__(self, seed: int, subject: Subject) -> None:
        self.seed, self.random = seed, np.random.default_rng(seed)
        self.subject = subject
        self.compiles = subject.backend.name == "jax"
        self.lead = self.shared("lead", LEADS)
        self.dim = self.shared("dim", [3, 1, 2, 16, 65])
        # B.extreme promises results up to here; the sums of a diffusion grow a little.
        self.most = 1e3 if subject.dtype == "float16" else 1e15
        self.hostile = bool(self.random.random() < 0.3)
        self.wrong = False

    def pick(self, among: Any) -> Any:
        """One of them."""
        return among[int(self.random.integers(len(among)))]

    def shared(self, name: str, among: Any) -> Any:
        """Pick a size or option; where each is compiled, it is the same in a block of seeds."""
        if not self.compiles:
            return self.pick(among)
        random = np.random.default_rng([self.seed // BLOCK, *name.encode()])
        return among[int(random.integers(len(among)))]

    def rows(self, name: str, count: int, dim: int | None = None) -> Any:
        """Patterns: usual, repeated, zero, integers, one-hot, with one that is far longer."""
        lead = self.lead[self.shared(f"lead of {name}", range(len(self.lead) + 1)) :]
        shape = (*lead, count, self.dim if dim is None else dim)
        values = self.random.standard_normal(shape)
        kind = self.pick(["usual", "usual", "repeated", "zero", "integers", "far"])
        if kind == "repeated":
            values = np.broadcast_to(values[..., :1, :], shape)
        elif kind == "zero":
            values = np.zeros(shape)
        elif kind == "integers":
            values = np.round(values)
        elif kind == "far":
            values = values * self.random.choice([1.0, 1e6], size=(*shape[:-1], 1))
        values = values * self.pick(SIZES) if self.hostile else values
        return self.array(np.clip(values, -self.most, self.most))

    def array(self, values: Array) -> Any:
        """The values as the library's array, sometimes with gaps, sometimes spoilt."""
        if self.hostile and values.size and self.random.random() < 0.1:
            values = np.array(values)
            values.flat[int(self.random.integers(values.size))] = self.pick([np.nan, np.inf])
            self.wrong = True
        return self.laid_out(values)

    def laid_out(self, values: Array) -> Any:
        """The values as the library's array, sometimes with gaps (of which JAX has none)."""
        subject = self.subject
        strided = bool(values.size and not self.compiles and self.random.random() < 0.4)
        with np.errstate(over="ignore"):  # what is padded may be too large for half precision
            return Subject(subject.backend, subject.dtype, subject.device, strided).put(values)

    def beta(self, queries: int) -> Any:
        """An inverse temperature, or one for each query."""
        if self.shared("beta", range(10)) < 3:
            return self.array(np.exp(self.random.normal(size=(*self.lead, queries))))
        beta = self.pick(BETAS) if self.hostile else float(np.exp(self.random.normal()))
        self.wrong |= not 0 < beta < np.inf
        return beta

    def mask(self, queries: int, patterns: int) -> Any:
        """No mask, or one in which some rows hide everything."""
        if self.shared("mask", range(10)) < 4:
            return None
        rows, columns = self.shared("rows of the mask", [1, queries]), [1, patterns]
        shape = (rows, self.shared("columns of the mask", columns))
        shown = self.random.random(shape) < self.pick([0.0, 0.3, 0.9])
        return self.subject.put(np.asarray(shown))

    def separation(self) -> Any:
        """A separation function by name or number, or no such thing."""
        if self.hostile and self.random.random() < 0.3:
            return self.pick(NO_SEPARATIONS)
        return self.shared("separation", SEPARATIONS)

    def similarity(self) -> Any:
        """How scores are computed, sometimes in no way that there is."""
        if self.hostile and self.random.random() < 0.05:
            return self.pick(["cosine", 2.0])
        return self.shared("similarity", [None, "dot", "distance", "distance"])

    def bias(self, patterns: int) -> Any:
        """No number, or one for each pattern, which is added to its scores."""
        if self.shared("bias", range(10)) < 6:
            return None
        values = self.random.normal(size=patterns) * (self.pick(SIZES) if self.hostile else 1.0)
        return self.array(np.clip(values, -self.most, self.most))

    def known(self, queries: int) -> tuple[Any, str]:
        """Which coordinates of the queries are known, and what becomes of the others."""
        unknown = self.shared("unknown", ["ignore", "ignore", "settle"])
        if self.shared("known", range(10)) < 6:
            return None, unknown
        rows = self.shared("rows of the known", [1, queries])
        shown = self.random.random((rows, self.dim)) < self.pick([0.0, 0.5, 0.9, 1.0])
        return self.subject.put(np.asarray(shown)), unknown

    def spoilt(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Sometimes with one argument that is something else altogether."""
        if not self.hostile or self.random.random() < 0.6:
            return arguments
        name = self.pick(sorted(arguments))
        self.wrong = True
        return {**arguments, name: self.pick(NONSENSE)}
