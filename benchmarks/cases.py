"""What is measured and by whom. Imports no array library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Case:
    """One call: its shapes, its inverse temperature, its separation function, its data.

    With standard normal patterns the scores have standard deviation ``beta sqrt(d)``: at the
    default ``beta = 1/8`` and d = 64 that is one, as in attention.
    """

    L: int
    S: int
    d: int = 64
    beta: float = 0.125
    separation: str | float = "softmax"
    """``"softmax"``, ``"sparsemax"``, or the alpha of an entmax."""
    batch: tuple[int, ...] = ()
    stored: Literal["random", "clustered"] = "random"
    """Standard normal, or 64 clusters with standard normal centres and deviations of 0.3."""
    state: Literal["random", "noisy"] = "random"
    """Standard normal, or stored patterns plus noise of deviation 0.5."""

    def __str__(self) -> str:
        shape = "x".join(map(str, (*self.batch, self.L, self.S, self.d)))
        separation = self.separation
        if not isinstance(separation, str):
            separation = f"entmax({separation:g})"
        words = [shape, f"beta={self.beta:g}"]
        if separation != "softmax":
            words.insert(0, separation)
        if self.stored != "random":
            words.insert(0, self.stored)
        return " ".join(words)


@dataclass(frozen=True)
class Side:
    """Who does the work: the function ``benchmarks.sides.MODULE.WORK(case, library)``."""

    module: str
    library: str
    work: str

    def __str__(self) -> str:
        program = self.module.removeprefix("peer_").removesuffix(f"_{self.library}")
        program = "hopcore" if program == "ours" else program
        return f"{program}-{self.library} {self.work}".replace("_", "-")
