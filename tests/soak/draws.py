"""Arguments that nobody would choose, drawn from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore_conformance.subject import Subject

Array = np.ndarray

SIZES = (0.0, 1e-30, 1e-4, 1.0, 1.0, 1.0, 1e3, 1e15)
BETAS = (0.0, 1e-30, 1e-3, 0.3, 1.0, 1.0, 4.0, 1e4, 1e30, -1.0, np.inf, np.nan)
SEPARATIONS = ("softmax", "softmax", "sparsemax", "entmax15", "argmax", None, 1.5)
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
        self.random = np.random.default_rng(seed)
        self.subject = subject
        self.few = subject.backend.name == "jax"
        self.lead = self.pick([(), (2,)] if self.few else [(), (), (1,), (2,), (3, 2), (0,)])
        self.dim = self.size([3, 1, 2, 16, 65])
        # B.extreme promises results up to here; the sums of a diffusion grow a little.
        self.most = 1e3 if subject.dtype == "float16" else 1e15
        self.hostile = bool(self.random.random() < 0.3)
        self.wrong = False

    def pick(self, among: Any) -> Any:
        """One of them."""
        return among[int(self.random.integers(len(among)))]

    def size(self, among: Any) -> Any:
        """Pick one of some sizes; mostly the first one where every size is compiled anew."""
        return among[0] if self.few and self.random.random() < 0.9 else self.pick(among)

    def rows(self, count: int, dim: int | None = None) -> Any:
        """Patterns: usual, repeated, zero, integers, one-hot, with one that is far longer."""
        lead = self.lead[int(self.random.integers(len(self.lead) + 1)) :]
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
        """The values as the library's array, sometimes with gaps."""
        subject = self.subject
        strided = bool(values.size and self.random.random() < 0.4)
        return Subject(subject.backend, subject.dtype, subject.device, strided).put(values)

    def beta(self, queries: int) -> Any:
        """An inverse temperature, or one for each query."""
        if self.random.random() < 0.3:
            return self.array(np.exp(self.random.normal(size=(*self.lead, queries))))
        beta = self.pick(BETAS) if self.hostile else float(np.exp(self.random.normal()))
        self.wrong |= not 0 < beta < np.inf
        return beta

    def mask(self, queries: int, patterns: int) -> Any:
        """No mask, or one in which some rows hide everything."""
        if self.random.random() < 0.4:
            return None
        shape = (self.pick([1, queries]), self.pick([1, patterns]))
        shown = self.random.random(shape) < self.pick([0.0, 0.3, 0.9])
        return self.subject.put(np.asarray(shown))

    def separation(self) -> Any:
        """A separation function by name or number, or no such thing."""
        found = self.pick(SEPARATIONS)
        if found in ("argmax", None, 1.5) and not self.hostile:
            return "softmax"
        return found

    def spoilt(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Sometimes with one argument that is something else altogether."""
        if not self.hostile or self.random.random() < 0.6:
            return arguments
        name = self.pick(sorted(arguments))
        self.wrong = True
        return {**arguments, name: self.pick(NONSENSE)}
