"""Memories in parts, read piece by piece, with states of the subject (docs/spec/parts.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import SEPARATIONS, Problem, generators, problems
from hopcore_conformance.checks import measure, tolerance
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray


class Watched:
    """An array that records the slices by which it is read."""

    def __init__(self, values: Array) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.reads: list[tuple[int, int]] = []

    def __getitem__(self, rows: slice) -> Array:
        self.reads.append((rows.start, rows.stop))
        return self.values[rows]


def streamed(subject: Subject, values: Array, rows: int) -> tuple[hopcore.Streamed, Watched]:
    """Patterns that are read this many at a time, in the dtype of the subject."""
    if subject.dtype not in ("float64", "float32"):
        pytest.skip("what is read from elsewhere is float32 or float64")
    watched = Watched(values.astype(subject.dtype))
    return hopcore.Streamed(watched, rows=rows), watched


def options_of(subject: Subject, p: Problem) -> dict[str, Any]:
    """Mask and separation function, as arrays of the library."""
    mask = {} if p.mask is None else {"mask": subject.put(p.mask)}
    return {**mask, "separation": p.separation}


@statement("M1")
@given(p=problems(projected=True), rows=st.integers(1, 5), both=st.booleans())
def test_association_with_any_pieces(subject: Subject, p: Problem, rows: int, both: bool) -> None:
    p = p.on(subject)
    assert p.projection is not None
    stored, watched = streamed(subject, p.stored, rows)
    values: Any = subject.put(p.projection)
    if both:
        values, _ = streamed(subject, p.projection, rows + 1)
    state, options = subject.put(p.state), options_of(subject, p)
    got = hopcore.association(state, stored, values, beta=p.beta, **options)
    within = 4 * tolerance.association(subject, p, p.projection)[..., None]
    agree("association", subject.get(got), measure.association(subject, p, p.projection), within)
    got = subject.get(hopcore.energy(state, stored, p.beta, **options))
    agree("energy", got, measure.energy(subject, p), 4 * tolerance.energy(subject, p))
    most = max(stop - start for start, stop in watched.reads)
    assert most <= rows, f"{most} patterns were read at once, of {rows}"


@statement("M1")
@given(p=problems(separations=SEPARATIONS), rows=st.integers(1, 5))
def test_retrieval_with_any_pieces(subject: Subject, p: Problem, rows: int) -> None:
    p = p.on(subject)
    stored, _ = streamed(subject, p.stored, rows)
    state, options = subject.put(p.state), {**options_of(subject, p), "tol": 0.0}
    found = subject.get(hopcore.retrieve(state, stored, p.beta, max_steps=1, **options))
    within = 4 * tolerance.association(subject, p)
    agree("state after one update", found.state, measure.update(subject, p), within[..., None])
    after = p.but(state=found.state)
    agree("its energy", found.energy, measure.energy(subject, after),
          4 * tolerance.energy(subject, after))  # fmt: skip


@statement("M2")
@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_what_parts_exchange_does_not_grow(subject: Subject, separation: Any) -> None:
    def exchanged(size: int) -> set[int]:
        stored, _ = streamed(subject, rng.normal(size=(size, 4)), 10)
        right, found = stored.reduce, set()

        def reduce(work: Any, join: Any, **beside: Any) -> Any:
            def counted(piece: Any) -> Any:
                result = work(piece)
                each = result if isinstance(result, tuple) else (result,)
                found.add(sum(int(np.prod(np.shape(x))) for x in each))
                return result

            return right(counted, join, **beside)

        vars(stored)["reduce"] = reduce
        hopcore.retrieve(subject.put(state), stored, 2.0, separation=separation, max_steps=2)
        return found

    rng = np.random.default_rng(0)
    state = rng.normal(size=(3, 4))
    few, many = exchanged(20), exchanged(200)
    assert few == many, f"numbers exchanged: {few} with 20 patterns, {many} with 200"
    assert max(many) <= 3 * (4 + 2)


@statement("M3")
@given(p=problems(separations=("softmax",)), rows=st.integers(1, 5), updates=st.integers(1, 3))
def test_an_update_reads_each_pattern_once(
    subject: Subject, p: Problem, rows: int, updates: int
) -> None:
    p = p.on(subject)
    stored, watched = streamed(subject, p.stored, rows)
    state, options = subject.put(p.state), options_of(subject, p)
    hopcore.energy(state, stored, p.beta, **options)  # N and M have been found
    for _ in range(updates):
        watched.reads.clear()
        state = hopcore.update(state, stored, p.beta, **options)
        subject.get(state)
        ends = sorted(watched.reads)
        assert [start for start, _ in ends] == list(range(0, p.stored.shape[0], rows)), ends
        assert [stop for _, stop in ends[:-1]] == [start for start, _ in ends[1:]], ends
        assert ends[-1][1] == p.stored.shape[0], ends


@statement("M4")
@given(p=problems(masked=False), rng=generators(), rows=st.integers(1, 5))
def test_what_is_not_finite_is_found_where_it_is(
    subject: Subject, p: Problem, rng: np.random.Generator, rows: int
) -> None:
    p = p.on(subject)
    bad = p.stored.copy()
    place = tuple(int(rng.integers(size)) for size in bad.shape)
    bad[place] = rng.choice([np.nan, np.inf, -np.inf])
    stored, _ = streamed(subject, bad, rows)
    with pytest.raises(ValueError, match="finite") as refused:
        subject.get(hopcore.association(subject.put(p.state), stored, beta=p.beta))
    assert str(place) in str(refused.value)


@statement("M4")
def test_weights_of_a_memory_in_parts_are_refused(subject: Subject) -> None:
    stored, _ = streamed(subject, np.eye(3, 2), 2)
    with pytest.raises(TypeError, match="weights"):
        hopcore.association_weights(subject.put(np.ones((1, 2))), stored, 1.0)
