"""What is measured: the sizes and values of one call. Imports no array library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Case:
    """One call: its shapes, its inverse temperature, its separation function, its data.

    With standard normal patterns the scores have standard deviation ``beta sqrt(d)``: at the default
    ``beta = 1/8`` and d = 64 that is one, as in attention.
    """

    L: int
    S: int
    d: int = 64
    beta: float = 0.125
    separation: str | float = "softmax"
    """``"softmax"``, ``"sparsemax"``, or the alpha of an entmax."""
    batch: tuple[int, ...] = ()
    stored: Literal["random", "clustered"] = "random"
    """Standard normal, or 64 clusters of standard normal centres and deviations of 0.3."""
    state: Literal["random", "noisy"] = "random"
    """Standard normal, or stored patterns with standard normal noise halved."""

    def __str__(self) -> str:
        shape = "x".join(map(str, (*self.batch, self.L, self.S, self.d)))
        words = [shape, f"beta={self.beta:g}"]
        if self.separation != "softmax":
            named = isinstance(self.separation, str)
            words.insert(0, str(self.separation) if named else f"entmax({self.separation:g})")
        if self.stored != "random":
            words.insert(0, self.stored)
        return " ".join(words)


@dataclass(frozen=True)
class Side:
    """Who does the work: ``benchmarks.sides.PROGRAM.WORK(case, library)``."""

    program: str
    library: str
    work: str

    def __str__(self) -> str:
        return f"{self.program.removeprefix('peer_').replace('_', ' ')} ({self.library}) {self.work}"
