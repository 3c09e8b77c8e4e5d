"""The conformance suite can fail: each fault planted in memories in parts is caught."""

from __future__ import annotations

from typing import Any

import pytest
from planting import MUTANTS, Mutant, core, everywhere, mutant

from hopcore.streamed import Streamed
from hopcore.streamed._backend import StreamedBackend

KNOWN = len(MUTANTS)


@mutant("parts that weigh the same", "M1 E.merge")
def equal_weights(patch):
    def wrong(right):
        def merged(xp, first, second):
            output, lse = right(xp, first, second)
            return (0.5 * (first[0] + second[0]) if output.shape[-1] else output), lse

        return merged

    everywhere(patch, "arrays._merge", "merged", wrong)


@mutant("the largest of log-sum-exps for all of them", "M1 E.merge")
def largest_for_all(patch):
    def wrong(right):
        return lambda xp, first, second: (
            right(xp, first, second)[0],
            xp.maximum(first[1], second[1]),
        )

    everywhere(patch, "arrays._merge", "merged", wrong)


def pieces(patch: Any, change: Any) -> None:
    """Change which pieces a pass has."""
    right = Streamed.pieces

    def changed(*given: Any, **named: Any) -> Any:
        yield from change(list(right(*given, **named)))

    patch.setattr(Streamed, "pieces", changed)


@mutant("the last piece forgotten", "M1")
def forgotten(patch):
    pieces(patch, lambda found: found[:-1] or found)


@mutant("the first piece twice", "M1")
def twice(patch):
    pieces(patch, lambda found: [found[0], *found])


@mutant("the whole memory as one piece", "M1")
def all_at_once(patch):
    everywhere(
        patch,
        "arrays._graph_kernels",
        "chunks",
        lambda _: lambda patterns, _: [slice(0, patterns)],
    )


@mutant("every piece read twice", "M3")
def read_twice(patch):
    right = Streamed.read

    def read(self, *given, **named):
        right(self, *given, **named)
        return right(self, *given, **named)

    patch.setattr(Streamed, "read", read)


@mutant("a mask that stays where it is", "M1")
def first_columns(patch):
    def columns(mask, rows):
        return mask if mask is None else mask[..., : rows.stop - rows.start]

    everywhere(patch, "arrays._backend", "mask_of_columns", lambda _: columns)


@mutant("M of one piece", "M1")
def radius_of_one(patch):
    right = StreamedBackend.radius

    def radius(self, stored, mask):
        return right(self, Streamed(stored.read(stored.parts[0])), None)

    patch.setattr(StreamedBackend, "radius", radius)


@mutant("N of one piece", "M1")
def count_of_one(patch):
    patch.setattr(
        StreamedBackend,
        "count_attended",
        lambda self, stored, mask: self.one(stored, float(stored.rows)),
    )


@mutant("sparse weights that sum to one in every piece", "M1")
def sums_of_a_piece(patch):
    right = core("streamed._scores").ScoresNamespace._reduced

    def reduced(array, function, join, options):
        if function.__name__ != "sum" or not hasattr(array, "of"):
            return right(array, function, join, options)
        return right(array, function, lambda first, second: first, options)

    patch.setattr(core("streamed._scores").ScoresNamespace, "_reduced", staticmethod(reduced))


@mutant("all patterns sent to who asks", "M2")
def sent(patch):
    right = StreamedBackend.associate

    def associate(self, state, stored, *rest):
        stored.reduce(lambda piece: piece.patterns, lambda first, second: first)
        return right(self, state, stored, *rest)

    patch.setattr(StreamedBackend, "associate", associate)


@mutant("the place in the piece for that in the memory", "M4")
def place_in_the_piece(patch):
    def wrong(right):
        return lambda found, dtype, start, **options: right(found, dtype, 0, **options)

    everywhere(patch, "streamed._sources", "patterns_of", wrong)


@mutant("nan passed on", "M4")
def unchecked(patch):
    def wrong(right):
        return lambda found, dtype, start, **options: found.reshape(len(found), -1).astype(dtype)

    everywhere(patch, "streamed._sources", "patterns_of", wrong)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
