"""What is measured and by whom. Imports no array library."""

from __future__ import annotations

import math
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
    k: int = 0
    """Neighbours that each of the S patterns chooses in a graph; 0 where there is none."""
    steps: int = 0
    """Steps of diffusion over the graph, or temperatures of a sweep."""
    heads: int = 0
    """Heads of a layer; 0 where there is none."""

    @property
    def pairs(self) -> int:
        """Bytes of an (L, S) array of float32 for each head."""
        return 4 * math.prod(self.batch) * max(self.heads, 1) * self.L * self.S

    def __str__(self) -> str:
        if not self.L and not self.k:
            kind = "" if self.stored == "random" else f"{self.stored} "
            return f"{kind}N={self.S} d={self.d}" + (f" T={self.steps}" if self.steps else "")
        if self.k and not self.heads:
            steps = f" T={self.steps}" if self.steps else ""
            kind = "" if self.stored == "random" else f"{self.stored} "
            return f"{kind}N={self.S} d={self.d} k={self.k}{steps}"
        shape = "x".join(map(str, (*self.batch, self.L, self.S, self.d)))
        separation = self.separation
        if not isinstance(separation, str):
            separation = f"entmax({separation:g})"
        words = [shape, f"heads={self.heads}" if self.heads else f"beta={self.beta:g}"]
        if self.k:
            words.append(f"k={self.k} T={self.steps}")
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
        program = "hopcore" if program.startswith("ours") else program
        return f"{program}-{self.library} {self.work}".replace("_", "-")


@dataclass(frozen=True)
class Row:
    """One comparison, over some cases; at most one of ``most``, ``least`` and ``added``."""

    name: str
    about: str
    ours: tuple[Side, ...]
    cases: tuple[Case, ...]
    quick: tuple[Case, ...]
    peer: Side | None = None
    clock: Literal["wall", "cpu"] = "wall"
    """Which time is judged; both are printed."""
    most: float | None = None
    """Our time may be at most so many times the peer's."""
    least: float | None = None
    """The peer's time must be at least so many times ours."""
    added: float | None = None
    """Our time may be at most so many microseconds above the peer's."""
    scratch: float | None = None
    """At most so many MiB of memory above what was there before the call, the result included."""
    same: bool = True
    """Both sides compute the same values, so that they can be compared."""
    no_scores: bool = False
    """The scratch must stay below half of the (L, S) arrays of float32, one for each head."""
    pairs: bool = False
    """The memory of the (L, S) arrays is printed beside the scratch memory."""
    exponent: float | None = None
    """Without a peer: the largest power of the axes that the times may grow with."""
    axes: tuple[str, ...] = ("L", "S", "d")
    """The sizes whose powers are fitted."""

    @property
    def target(self) -> str:
        """The target in words."""
        words = []
        if self.most is not None:
            words.append(f"{self.clock} <= {self.most:g} x")
        if self.least is not None:
            words.append(f"{self.clock} {self.least:g} x faster")
        if self.added is not None:
            words.append(f"{self.clock} <= +{self.added:g} us")
        if self.scratch is not None:
            words.append(f"<= {self.scratch:g} MiB")
        if self.no_scores:
            words.append("no (L, S) array")
        if self.exponent is not None:
            words.append(f"{self.clock} exponent <= {self.exponent:g}")
        return ", ".join(words) or "reported"

    def scratch_limit(self, case: Case) -> float | None:
        """Bytes of scratch memory that a case may take, or None."""
        limits = [] if self.scratch is None else [self.scratch * 2**20]
        if self.no_scores:
            limits.append(0.5 * case.pairs)
        return min(limits, default=None)
