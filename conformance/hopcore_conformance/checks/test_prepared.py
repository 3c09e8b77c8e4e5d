"""Prepared memories beside their patterns, and certificates (docs/spec/prepared.md)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import KINDS, SPARSE, generators, memory, queries
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray
WIDE = np.longdouble

MANY, DEPTH = 4600, 240
"""A memory of this size is not read whole where a few patterns are enough."""

similarities = st.sampled_from(("distance", "dot"))
separations = st.sampled_from(("softmax", *SPARSE))


def floats_of(subject: Subject) -> Any:
    """The dtype of the patterns of a memory."""
    if subject.dtype not in ("float64", "float32"):
        pytest.skip("a Memory holds float32 or float64")
    return np.dtype(subject.dtype)


@statement("R.plain")
@given(
    rng=generators(), kind=st.sampled_from(KINDS), similarity=similarities, separation=separations
)
def test_results_are_those_of_the_patterns(
    subject: Subject, rng: np.random.Generator, kind: str, similarity: Any, separation: Any
) -> None:
    dtype = floats_of(subject)
    stored = memory(rng, kind, 6, 4).astype(dtype)
    values = rng.normal(size=(6, 2)).astype(dtype)
    state = subject.put(queries(rng, "near", stored, 3))
    options = {"similarity": similarity, "separation": separation}
    prepared = hopcore.Memory(stored, values, beta=2.0, **options)
    own = subject.put(stored)
    got = hopcore.association(state, prepared, beta=2.0)
    wanted = hopcore.association(state, own, subject.put(values), beta=2.0, **options)
    agree("association", subject.get(got), subject.get(wanted), 0.0)
    for ask in (hopcore.energy, hopcore.update, hopcore.association_weights):
        got, wanted = ask(state, prepared, 2.0), ask(state, own, 2.0, **options)
        agree(ask.__name__, subject.get(got), subject.get(wanted), 0.0)


@statement("R.changes")
@given(rng=generators(), error=st.sampled_from((0.0, 1e-6)), similarity=similarities)
def test_changes_leave_a_memory_of_what_is_left(
    subject: Subject, rng: np.random.Generator, error: float, similarity: Any
) -> None:
    dtype = floats_of(subject)
    # Each pattern has a close neighbour, so that a few patterns are enough for each state.
    middles = rng.normal(size=(MANY // 2, DEPTH))
    near = middles + 0.1 * rng.normal(size=middles.shape)
    stored = np.concatenate([middles, near]).astype(dtype)
    options = {"similarity": similarity, "beta": 4.0, "error": error}
    changed = hopcore.Memory(stored[: MANY // 2], **options)
    changed.add(stored[MANY // 2 :])
    before = changed.snapshot()
    gone = rng.choice(MANY // 2, 100, replace=False).tolist()  # whose neighbours stay
    changed.remove(gone[:90])
    new = rng.normal(size=(10, DEPTH)).astype(dtype)
    changed.update(gone[90:], new)
    left = np.concatenate([np.delete(stored, gone, axis=0), new])
    agree("patterns", changed.patterns, left, 0.0)
    agree("patterns of before", before.patterns, stored, 0.0)
    # Removed patterns are the best matches of these states, and new ones of those.
    states = np.concatenate([stored[gone[:3]], new[:3]])
    fresh = hopcore.Memory(left, **options)
    within = 1e3 * float(np.finfo(dtype).eps) * math.sqrt(DEPTH) + 2.0 * error
    state = subject.put(states)
    for _ in range(2):  # the first update at a beta may read all patterns, and the second few
        got, wanted = hopcore.update(state, changed, 4.0), hopcore.update(state, fresh, 4.0)
        agree("update", subject.get(got), subject.get(wanted), within)


@statement("R.empty")
@given(rng=generators(), similarity=similarities)
def test_memories_without_patterns(
    subject: Subject, rng: np.random.Generator, similarity: Any
) -> None:
    empty = hopcore.Memory(np.empty((0, 4), floats_of(subject)), similarity=similarity)
    state = subject.put(rng.normal(size=(3, 4)))
    got = subject.get(hopcore.association(state, empty, beta=1.0))
    agree("association", got, np.zeros((3, 4)), 0.0)
    assert np.isposinf(subject.get(hopcore.energy(state, empty, 1.0))).all()


def exact(state: Array, held: hopcore.Memory, beta: float) -> Array:
    """The association of one state with a memory, in extended precision."""
    at, stored, values = (x.astype(WIDE) for x in (state, held.patterns, held.values))
    scores = WIDE(beta) * (stored @ at)
    if held.similarity == "distance":
        scores = -WIDE(beta) / 2 * ((at - stored) ** 2).sum(axis=-1)
    if held.bias is not None:
        scores = scores + held.bias
    weights = np.exp(scores - scores.max())
    return weights @ values / weights.sum()


def certified(subject: Subject, held: hopcore.Memory, states: Array) -> tuple[Array, Array]:
    """Associations of states with a memory and their certificates, in the dtype of the memory."""
    state = subject.put(states)
    try:
        found = held.association(state, return_certificate=True)
    except TypeError as refused:
        if "states on the CPU" not in str(refused) or subject.backend.can_read_values(state):
            raise
        pytest.skip("certificates exist for states on the CPU")
    output, certificate = (subject.get(one).astype(held.dtype) for one in found)
    return output, certificate


def graded(rng: np.random.Generator, beta: float, step: float) -> Array:
    """Clusters of 40 patterns, whose scores with the first of them fall by ``step`` each.

    There are more clusters than principal coordinates, so that bounds need the rest of a pattern.
    """
    count = MANY // 40
    middles, around = rng.normal(size=(count, DEPTH)), rng.normal(size=(MANY, DEPTH))
    middles *= math.sqrt(1200.0 / beta) / np.linalg.norm(middles, axis=-1, keepdims=True)
    around /= np.linalg.norm(around, axis=-1, keepdims=True)
    away = np.sqrt(2.0 * step / beta * (np.arange(MANY) % 40))
    return np.repeat(middles, 40, axis=0) + around * away[:, None]


@statement("R1", "R3")
@given(
    rng=generators(),
    similarity=similarities,
    cold=st.floats(-1.0, 2.0),
    longer=st.sampled_from((1.0, 1e6)),
)
def test_certificates(
    subject: Subject, rng: np.random.Generator, similarity: Any, cold: float, longer: float
) -> None:
    dtype, beta = floats_of(subject), 10.0**cold
    # Some patterns lie just beyond what is visited, wherever that ends.
    stored = graded(rng, beta, 2.0).astype(dtype)
    values = rng.normal(size=(MANY, 2)).astype(dtype)
    late = np.arange(MANY) % 3 == 0
    held = hopcore.Memory(
        stored[~late], values[~late], similarity=similarity, beta=beta, error=1e-3
    )
    for factor, part in zip(
        (1.0, longer), np.split(rng.permutation(np.flatnonzero(late)), 2), strict=True
    ):
        # The last values may be far longer than those with which the sketch was made.
        held.add(stored[part], dtype.type(factor) * values[part])
    states = stored[::400]
    check_certificates(subject, held, states, beta)


@statement("R1")
@given(
    rng=generators(),
    similarity=similarities,
    beta=st.sampled_from((1e-3, 0.1)),
    mean=st.sampled_from((0.0, 1.0, 100.0)),
    projected=st.booleans(),
)
def test_certificates_with_all_patterns(
    subject: Subject, rng: np.random.Generator, similarity: Any, beta: float, mean: float,
    projected: bool,
) -> None:  # fmt: skip
    dtype = floats_of(subject)
    stored = (rng.normal(size=(MANY, DEPTH)) + mean).astype(dtype)
    values = rng.normal(size=(MANY, 2)).astype(dtype) if projected else None
    held = hopcore.Memory(stored, values, similarity=similarity, beta=beta, error=1e-6)
    held.remove(rng.choice(MANY, 50, replace=False).tolist())
    states = stored[::900] + dtype.type(0.1)
    if mean == 0.0:
        assert (np.asarray(held.visits(states).share) == 1.0).all()
    check_certificates(subject, held, states, beta)


def check_certificates(subject: Subject, held: hopcore.Memory, states: Array, beta: float) -> None:
    """Compare associations of states with exact ones, and fail if a certificate is violated."""
    output, certificate = certified(subject, held, states)
    for i, state in enumerate(states):
        apart = output[i].astype(WIDE) - exact(state, held, beta)
        length = np.sqrt((apart * apart).sum())
        assert length <= certificate[i], f"off by {length}, certified {certificate[i]}"


class Counted:
    """Patterns of which slices are arrays, and that count the rows of them."""

    def __init__(self, values: Array) -> None:
        self.values, self.read = values, 0
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, rows: slice) -> Array:
        found = self.values[rows]
        self.read += len(found)
        return found


@statement("R6")
@given(
    rng=generators(),
    similarity=similarities,
    separation=st.sampled_from(("softmax", "sparsemax")),
    cold=st.sampled_from((0.01, 10.0, 100.0)),
    rows=st.sampled_from((700, 2400)),
)
def test_streamed_memories(
    subject: Subject, rng: np.random.Generator, similarity: Any, separation: Any, cold: float,
    rows: int,
) -> None:  # fmt: skip
    dtype = floats_of(subject)
    # Half of each cluster is nearly together in the file, and the other half is far apart.
    order = rng.permutation(MANY)
    order[: MANY // 2].sort()
    stored = graded(rng, 10.0, 2.0)[order].astype(dtype)
    source = Counted(stored)
    held = hopcore.Memory(
        hopcore.Streamed(source, rows=rows), similarity=similarity, separation=separation,
        beta=cold, error=1e-3,
    )  # fmt: skip
    gone = rng.choice(MANY, 50, replace=False)
    held.remove(gone.tolist())
    left = np.delete(stored, gone, axis=0)
    plain = hopcore.Memory(
        left, similarity=similarity, separation=separation, beta=cold, error=1e-3
    )
    # Some of the states are patterns that were removed.
    states = np.concatenate([left[::800], stored[gone[:2]]])
    source.read = 0
    output, certificate = held.association(states, return_certificate=True)
    read = source.read
    wanted, other = plain.association(states, return_certificate=True)
    apart = np.linalg.norm(output.astype(np.float64) - wanted, axis=-1)
    assert (apart <= certificate.astype(np.float64) + other).all(), "certificates contradict"
    if separation == "softmax":
        for i, state in enumerate(states):
            exactly = exact(state, plain, cold)
            apart = output[i].astype(WIDE) - exactly
            length = np.sqrt((apart * apart).sum())
            assert length <= certificate[i], f"off by {length}, certified {certificate[i]}"
    needed = held.visits(states).patterns
    if (needed < len(left)).all():  # candidates for the best pattern, and rows between two
        assert read < MANY, f"{read} rows were read, and {needed} needed"


@statement("R2")
@given(rng=generators(), separation=st.sampled_from(SPARSE))
def test_sparse_weights_are_exact(
    subject: Subject, rng: np.random.Generator, separation: Any
) -> None:
    dtype = floats_of(subject)
    stored = graded(rng, 4.0, 0.05).astype(dtype)  # with whole clusters within reach
    options: Any = {"similarity": "distance", "separation": separation}
    held = hopcore.Memory(stored, beta=4.0, error=1.0, **options)
    states = stored[:120:40]
    wanted = hopcore.update(states.astype(np.float64), stored.astype(np.float64), 4.0, **options)
    power = min(1.0, 1.0 / (hopcore.memory.get_separation(separation).alpha - 1.0))
    within = 256.0 * (256.0 * float(np.finfo(dtype).eps)) ** power
    for _ in range(2):  # the first update at a beta may read all patterns, and the second few
        got = subject.get(hopcore.update(subject.put(states), held, 4.0))
        agree("update", got, wanted, within * float(np.abs(stored).max()))


@statement("R4")
def test_false_alarms(subject: Subject) -> None:
    dtype, rate, count = floats_of(subject), 0.1, 99
    rng = np.random.default_rng(0)
    stored = rng.normal(size=(30, 6)).astype(dtype)

    def known(size: int) -> Array:
        drawn = stored[rng.integers(30, size=size)]
        return (drawn + 0.4 * rng.normal(size=drawn.shape)).astype(dtype)

    refused, splits, size = 0, 50, 100
    for _ in range(splits):
        held = hopcore.Memory(stored, beta=2.0)
        held.calibrate(known(count), false_alarms=rate)
        refused += int((~subject.get(held.accepts(subject.put(known(size))))).sum())
    # The rates of the splits have a beta distribution around the stated one.
    variance = rate * (1.0 - rate) * (1.0 / (splits * size) + 1.0 / (splits * (count + 2)))
    share = refused / (splits * size)
    assert abs(share - rate) < 4.0 * math.sqrt(variance), f"{share} were refused, stated {rate}"


@statement("R5")
@given(
    rng=generators(), similarity=similarities, width=st.floats(-3.0, 0.0), cold=st.floats(-1.0, 1.0)
)
def test_merged_patterns(
    subject: Subject, rng: np.random.Generator, similarity: Any, width: float, cold: float
) -> None:
    dtype, beta = floats_of(subject), 10.0**cold
    middles = rng.normal(size=(5, 3))
    sizes = rng.integers(1, 30, size=5)
    stored = np.repeat(middles, sizes, axis=0)
    stored = stored + 10.0**width * rng.normal(size=stored.shape)
    values = rng.normal(size=(len(stored), 2))
    held = hopcore.Memory(
        stored.astype(dtype), values.astype(dtype), similarity=similarity, beta=beta
    )
    states = rng.normal(size=(4, 3)).astype(dtype)
    found = held.compact(5, queries=states)
    assert len(found.memory) <= 5
    for i, state in enumerate(states):
        apart = (exact(state, found.memory, beta) - exact(state, held, beta)).astype(np.float64)
        length = float(np.linalg.norm(apart))
        assert length <= found.certificate[i], f"{length}, certified {found.certificate[i]}"
        within = 1e4 * float(np.finfo(dtype).eps) * (1.0 + beta)
        agree("error", found.error[i], length, within)
    if width < -2.9 and cold < -0.5:
        assert np.isfinite(found.certificate).all()
