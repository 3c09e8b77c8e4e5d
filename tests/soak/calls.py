"""Draw a call of any public function from a seed, and find what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hopcore_conformance.subject import Subject
from soak import layers, memories
from soak.draws import Draw
from soak.laws import Call, Finding, findings_of

KINDS: dict[str, Callable[[Draw], memories.Drawn]] = {**memories.KINDS, **layers.KINDS}
"""What is drawn, by name."""


def drawn(seed: int, subject: Subject) -> Call:
    """Return the call that belongs to a seed."""
    draw = Draw(seed, subject)
    names = sorted(KINDS)
    if not subject.differentiates:
        names.remove("gradient")
    kinds = [draw.shared("kind", names), draw.shared("another kind", names)]
    function, arguments = KINDS[draw.pick(kinds)](draw)
    arguments = draw.spoilt(arguments)
    return Call(function, arguments, not draw.wrong)


def findings(seeds: range, subject: Subject, threads: int) -> Iterator[Finding]:
    """Report what is wrong with the calls of some seeds."""
    return findings_of({seed: drawn(seed, subject) for seed in seeds}, subject, threads)
