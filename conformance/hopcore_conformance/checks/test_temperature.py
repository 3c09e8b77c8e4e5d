"""Schedules of temperature, and where they follow the phase transition."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.cases.temperature import SCHEDULES, STEPS, rounding, ways
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import phase as plain_phase
from hopcore_conformance.oracle import temperature as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

TABLE = {
    "linear": (0.1, 0.07525, 0.0505, 0.02575, 0.001),
    "cosine": (0.1, 0.0855, 0.0505, 0.0155, 0.001),
    "exponential": (0.1, 0.0316, 0.0100, 0.0032, 0.001),
}
"""From 0.1 to 0.001 in 1000 steps, at every quarter."""


def whole_steps(subject: Subject, steps: Any) -> Any:
    """Steps as an integer array of the library."""
    return subject.backend.asarray(np.asarray(steps), dtype="int32", device=subject.device)


def temperatures(subject: Subject, schedule: hopcore.schedules.Schedule, steps: Any) -> Array:
    """The temperatures at an array of integer steps."""
    found = schedule(whole_steps(subject, steps))
    assert found.dtype == subject.backend.xp.asarray(0.0).dtype
    return subject.get(found)


def default_eps(subject: Subject) -> float:
    """The rounding unit of the default floating dtype of the library."""
    xp = subject.backend.xp
    return float(xp.finfo(xp.asarray(0.0).dtype).eps)


@statement("S1")
@pytest.mark.parametrize("kind", sorted(TABLE))
def test_the_table(subject: Subject, kind: str) -> None:
    found = [
        hopcore.schedules.compute_annealed_temperature(n, 1000, 0.1, 0.001, schedule=kind)
        for n in (0, 250, 500, 750, 1000)
    ]
    # As it is printed, with four digits; the linear one is exact.
    within = 1e-15 if kind == "linear" else 5e-5
    agree("temperatures", np.asarray(found), TABLE[kind], within)
    steps = whole_steps(subject, [0, 250, 500, 750, 1000])
    got = subject.get(hopcore.schedules.compute_annealed_temperature(steps, 1000, 0.1, 0.001, kind))
    agree("temperatures of an array", got, found, 64.0 * default_eps(subject) * 0.1)


@statement("S1", "S2")
@given(schedule=ways(("linear", "cosine", "exponential", "phase-aware")))
def test_from_start_to_end(subject: Subject, schedule: Any) -> None:
    given = schedule.to_dict()
    steps = np.unique(np.linspace(0, schedule.steps, 9).astype(int))
    steps = np.concatenate([steps, [schedule.steps + 1] * (10 - len(steps))])
    wanted = np.asarray([plain.schedule(given, n) for n in steps])
    found = np.asarray([schedule(int(n)) for n in steps])
    agree("temperatures", found, wanted, rounding(given, np.finfo(float).eps))
    got, eps = temperatures(subject, schedule, steps), default_eps(subject)
    within = rounding(given, eps)
    agree("temperatures of an array", got, wanted, within)
    largest = max(schedule.start, schedule.end)
    agree("start", found[0], schedule.start, 4.0 * np.finfo(float).eps * largest)
    assert schedule(schedule.steps) == schedule(10 * schedule.steps) == schedule.end
    end = subject.get(subject.backend.xp.asarray(schedule.end))
    assert np.all(got[steps >= schedule.steps] == end)
    fall = np.sign(schedule.start - schedule.end)
    at_most("rise on the way", -fall * -np.diff(got), 0.0, within)
    at_most("rise on the way", fall * np.diff(found), 0.0, rounding(given, np.finfo(float).eps))


@statement("S3")
@given(start=st.floats(0.01, 10.0), factor=st.floats(0.01, 1.0), every=st.integers(1, 9))
def test_geometric(subject: Subject, start: float, factor: float, every: int) -> None:
    schedule = hopcore.Geometric(start, factor, every=every)
    eps = default_eps(subject)
    for n in STEPS:
        wanted = start
        for _ in range(n // every):
            wanted = wanted * factor
        size = (1.0 + n) * (1.0 + abs(np.log(factor))) * wanted
        agree("temperature", np.asarray(schedule(n)), wanted, 1e-15 * size)
        # The smallest normal number is where it stays.
        got, least = temperatures(subject, schedule, [n]), np.finfo(np.float32).tiny
        agree("temperature of an array", got, [wanted], 4.0 * eps * size + least)
        at_most("-temperature", -got, -np.finfo(float).tiny)
    assert schedule(10**5) > 0.0


@statement("S4")
@given(
    schedule=ways(("linear", "cosine", "exponential", "phase-aware")),
    warmup=st.integers(0, 30),
    freeze=st.integers(0, 120),
    share=st.floats(0.0, 1.0),
)
def test_floor_freeze_and_warmup(
    subject: Subject, schedule: Any, warmup: int, freeze: int, share: float
) -> None:
    bare = schedule.to_dict()
    floor = share * schedule.start
    held = hopcore.schedules.Schedule.from_dict(
        {**bare, "floor": floor, "warmup": warmup, "freeze_after": freeze}
    )
    got = temperatures(subject, held, STEPS)
    for n, one in zip(STEPS, got, strict=True):
        wanted = max(schedule(max(min(n, freeze) - warmup, 0)), floor)
        agree("temperature", np.asarray(held(n)), wanted, 1e-15 * wanted)
        agree("of an array", one, wanted, rounding(bare, default_eps(subject)))
    assert held(freeze) == held(freeze + 1000)
    assert all(held(n) == held(0) for n in range(min(warmup, freeze) + 1))
    assert min(held(n) for n in STEPS) >= floor


@statement("S5")
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_integers_arrays_and_traces_agree(subject: Subject, name: str) -> None:
    schedule, eps = SCHEDULES[name], default_eps(subject)
    given = schedule.to_dict()
    wanted = np.asarray([plain.schedule(given, n) for n in STEPS])
    agree("Python", np.asarray([schedule(n) for n in STEPS]), wanted, rounding(given, 2.0**-52))
    agree("NumPy's integers", np.asarray([schedule(np.int64(n)) for n in STEPS]), wanted,
          rounding(given, 2.0**-52))  # fmt: skip
    least = float(np.finfo(np.float32).tiny)
    within = rounding(given, eps) + least
    agree("an array", temperatures(subject, schedule, STEPS), wanted, within)
    shaped = temperatures(subject, schedule, np.reshape(STEPS, (2, 4)))
    agree("an array of two axes", shaped, wanted.reshape(2, 4), within)
    agree("an array of none", temperatures(subject, schedule, STEPS[2]), wanted[2], within)
    own = subject.put(np.asarray(STEPS, dtype=float))
    found = schedule(own)
    assert found.dtype == own.dtype
    agree("steps of the dtype", subject.get(found), wanted,
          rounding(given, subject.eps) + subject.least / subject.eps)  # fmt: skip
    trace = tracer(subject)
    if trace is not None:
        traced = subject.get(trace(schedule)(whole_steps(subject, STEPS)))
        agree("traced", traced, wanted, within)


def tracer(subject: Subject) -> Any:
    """The transform that hides the values of arguments from a function, if the library has one."""
    if subject.backend.name == "jax":
        import jax  # noqa: PLC0415

        return jax.jit
    if subject.backend.name == "torch":
        import torch  # noqa: PLC0415

        return torch.func.vmap
    return None


@statement("S6")
@given(
    first=ways(("linear", "cosine", "exponential")),
    second=ways(("linear", "cosine", "exponential")),
    at=st.integers(0, 100),
)
def test_joined(subject: Subject, first: Any, second: Any, at: int) -> None:
    schedule = first.then(second, at=at)
    steps = np.asarray([0, at - 1, at, at + 1, at + 20, 100]).clip(0)
    wanted = [first(int(n)) if n < at else second(int(n) - at) for n in steps]
    assert [schedule(int(n)) for n in steps] == wanted
    within = rounding(schedule.to_dict(), default_eps(subject))
    agree("temperatures of an array", temperatures(subject, schedule, steps), wanted, within)


@statement("S7")
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_survive_their_dictionary(subject: Subject, name: str) -> None:
    schedule = SCHEDULES[name]
    written = json.loads(json.dumps(schedule.to_dict()))
    again = hopcore.schedules.Schedule.from_dict(written)
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert [again(n) for n in STEPS] == [schedule(n) for n in STEPS]
    with pytest.raises(ValueError, match="has no heat"):
        hopcore.schedules.Schedule.from_dict({**written, "heat": 1.0})


@statement("S8")
@given(
    logs=st.lists(st.floats(-3.0, 1.0), min_size=4, max_size=4),
    share=st.floats(0.1, 0.9),
    warming=st.booleans(),
)
def test_phase_aware(subject: Subject, logs: list[float], share: float, warming: bool) -> None:
    # Far enough from each other to be told from rounding.
    start, hot, cold, end = (
        10.0 ** (x - 0.1 * i) for i, x in enumerate(sorted(logs, reverse=True))
    )
    if warming:
        start, end = end, start
    steps = 200
    schedule = hopcore.PhaseAware(start, end, steps, hot=hot, cold=cold, share=share)
    found = np.asarray([schedule(n) for n in range(steps + 1)])
    assert found[-1] == end
    inside = (found >= cold * (1 - 1e-12)) & (found <= hot * (1 + 1e-12))
    # Neither of the two bends need be at a whole step.
    at_most("steps outside of the transition", np.sum(~inside), (1.0 - share) * steps, 2.0)
    slopes = np.abs(np.diff(np.log(found)))
    steepest = 0.0
    for part in (inside, ~inside):
        # One slope inside, one outside, on whichever side that is.
        here = slopes[part[1:] & part[:-1]]
        agree("slope", here, np.full(here.shape, here[:1].sum()), 1e-12)
        steepest = max(steepest, here[:1].sum())
    at_most("jump", slopes, steepest, 1e-12)
    agree("all of the way", np.sum(slopes), abs(np.log(end / start)), 1e-12)


@statement("S8")
@given(rng=generators())
def test_phase_aware_of_patterns(subject: Subject, rng: np.random.Generator) -> None:
    stored = subject.rounded(rng.normal(size=(7, 3)))
    schedule = hopcore.PhaseAware.of_patterns(subject.put(stored), 100.0, 1e-3, 50, share=0.7)
    scale, betas = plain_phase.half_square(stored), hopcore.transition(7)
    within = 64.0 * subject.fine * scale
    agree("hot", np.asarray(schedule.hot), scale / betas.saddle_node, within)
    agree("cold", np.asarray(schedule.cold), scale / betas.spinodal, within)
    assert (schedule.start, schedule.end, schedule.steps) == (100.0, 1e-3, 50)
    assert schedule.share == 0.7
