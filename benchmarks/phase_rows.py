"""The rows of the phase transition: what follows states, beside retrieval of all patterns again."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.cases import Case, Row, Side

MEMORY = Case(0, 1000, d=784, stored="clustered", steps=100)
"""As many patterns as large as images, and so many inverse temperatures."""

SMALLER = replace(MEMORY, S=300)
QUICK = (Case(0, 200, d=64, stored="clustered", steps=20),)


def ours(work: str, *libraries: str) -> tuple[Side, ...]:
    return tuple(Side("ours_phase", library, work) for library in libraries)


PHASE_ROWS = (
    Row(
        "sweep",
        "a sweep over T temperatures on heating and on cooling, against retrieving every pattern "
        "once at each temperature in NumPy",
        ours("sweep", "numpy", "torch"),
        (SMALLER,),
        QUICK,
        Side("by_hand_numpy", "numpy", "heated"),
        least=2,
        same=False,
    ),
    Row(
        "sweep-thousand",
        "a sweep of 1,000 patterns, which takes more than two minutes by hand",
        ours("sweep", "numpy", "torch"),
        (MEMORY,),
        QUICK,
    ),
    Row(
        "critical-betas",
        "the critical temperature of every pattern",
        ours("critical_betas", "numpy", "torch"),
        (MEMORY,),
        QUICK,
    ),
    Row(
        "suggest-beta",
        "a suggested beta for retrieval",
        ours("suggest_beta", "numpy", "torch"),
        (MEMORY, Case(0, 10000, d=784, stored="clustered")),
        QUICK,
    ),
)
