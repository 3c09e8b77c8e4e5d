"""Inputs for the checks of temperatures: schedules, and networks of few sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

import hopcore
from hopcore import LearnableTemperature
from hopcore.layers import HNLSettings, HNMSettings, QuantizerSettings
from hopcore_conformance.cases.layer_options import settings_of
from hopcore_conformance.cases.layers import Case, measured, parameters_of
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.oracle import temperature as plain
from hopcore_conformance.subject import Subject

Array = np.ndarray

SCHEDULES: dict[str, hopcore.schedules.Schedule] = {
    "constant": hopcore.Constant(0.3),
    "linear": hopcore.Linear(1.0, 0.1, steps=40),
    "linear, warming": hopcore.Linear(0.2, 0.7, steps=30, warmup=5),
    "cosine": hopcore.Cosine(0.5, 0.02, steps=50, warmup=7, freeze_after=40),
    "exponential": hopcore.Exponential(2.0, 0.01, steps=64, floor=0.05),
    "geometric": hopcore.Geometric(1.0, 0.9, every=5, floor=0.2, warmup=3, freeze_after=60),
    "geometric, to the end": hopcore.Geometric(1.0, 1e-6),
    "phase-aware": hopcore.PhaseAware(1.0, 0.01, steps=80, hot=0.3, cold=0.15, share=0.6),
    "phase-aware, warming": hopcore.PhaseAware(0.05, 2.0, steps=60, hot=0.5, cold=0.2, warmup=2),
    "phase-aware, begun inside": hopcore.PhaseAware(0.3, 0.01, steps=60, hot=0.5, cold=0.1),
    "phase-aware, all inside": hopcore.PhaseAware(0.3, 0.2, steps=60, hot=0.5, cold=0.1),
    "phase-aware, outside": hopcore.PhaseAware(0.05, 0.01, steps=60, hot=0.5, cold=0.1),
    "joined": hopcore.Linear(1.0, 0.5, steps=10).then(hopcore.Cosine(2.0, 0.1, steps=20), at=15),
    "joined twice": hopcore.Constant(1.0)
    .then(hopcore.Exponential(1.0, 0.1, steps=20), at=4)
    .then(hopcore.Constant(0.01, floor=0.002), at=30),
}
"""Schedules of every kind, with every option."""

STEPS = (0, 1, 7, 20, 33, 45, 79, 100)
"""Steps of most checks: exact in every dtype."""

TEMPERATURES = (0.05, 0.3, 2.0)

NETWORKS: dict[str, HNLSettings] = {
    "softmax": HNLSettings(
        input_size=4, output_size=3, quantity=5, num_heads=2, hidden_size=3, temperature=0.2
    ),
    "sparsemax": HNLSettings(
        input_size=4, quantity=5, num_heads=1, hidden_size=4, separation="sparsemax"
    ),
}
STACK = HNMSettings(
    input_size=4, output_size=3, widths=(4,), quantity=5, num_heads=2, hidden_size=3
)
QUANTIZER = QuantizerSettings(input_size=6, groups=2, quantity=4, commitment=0.3, temperature=0.7)

LEARNED = {
    "one": settings_of(scaling=LearnableTemperature(factor=2.0)),
    "of each head": settings_of(scaling=LearnableTemperature(factor=(2.0, 0.5))),
    "of each head, alike": settings_of(scaling=LearnableTemperature(per_head=True)),
    "shared": settings_of(scaling=LearnableTemperature(factor=(1.0, 3.0), shared=True)),
}
"""Layers that learn their temperature."""


@st.composite
def ways(draw: st.DrawFn, kinds: Sequence[str]) -> hopcore.schedules.Schedule:
    """Schedules between two temperatures, without floor, freeze or warm-up."""
    start, end = (10.0 ** draw(st.floats(-3.0, 1.0)) for _ in range(2))
    steps = draw(st.integers(1, 90))
    kind = draw(st.sampled_from(kinds))
    given: dict[str, Any] = {"schedule": kind, "start": start, "end": end, "steps": steps}
    if kind == "phase-aware":
        hot, cold = sorted((10.0 ** draw(st.floats(-3.0, 1.0)) for _ in range(2)), reverse=True)
        given |= {"hot": hot, "cold": cold, "share": draw(st.floats(0.05, 0.95))}
    return hopcore.schedules.Schedule.from_dict(given)


def rounding(schedule: dict[str, Any], eps: float) -> float:
    """The rounding error of a temperature, from the fraction of the steps and from logarithms.

    The steepest schedule is the one whose logarithm must cover the whole range outside a transition
    in the remaining fraction of the steps.
    """
    if schedule["schedule"] == "joined":
        return sum(rounding(schedule[name], eps) for name in ("first", "second"))
    if schedule["schedule"] == "constant":
        return 2.0 * eps * schedule["value"]
    if schedule["schedule"] == "geometric":
        return 256.0 * eps * schedule["start"] * (1.0 + abs(np.log(schedule["factor"])))
    a, b = schedule["start"], schedule["end"]
    steep = 1.0 + abs(np.log(b / a)) / min(1.0 - schedule.get("share", 0.0), 0.5)
    return 16.0 * eps * max(a, b) * (1.0 + steep)


def network_case(settings: Any, rng: np.random.Generator, rows: tuple[int, ...] = (2, 3)) -> Case:
    """A network, and features."""
    features = rng.normal(size=(*rows, settings.input_size))
    return Case(settings, parameters_of(settings, rng), {"state": features})


@st.composite
def networks(draw: st.DrawFn, among: Any = NETWORKS) -> Case:
    """A network of some settings."""
    return network_case(among[draw(st.sampled_from(sorted(among)))], draw(generators()))


def asked(
    subject: Subject, function: Callable[..., Any], case: Case, temperature: Any, **options: Any
) -> Any:
    """The result of a network or quantiser for a case at a temperature."""
    names = list(case.parameters)

    def call(*arrays: Any, **fixed: Any) -> Any:
        *own, features = arrays
        parameters = dict(zip(names, own, strict=True))
        return function(case.settings, parameters, features, temperature=temperature, **fixed)

    return subject(partial(call, **options), *case.parameters.values(), case.inputs["state"])


def scores_of(subject: Subject, case: Case, temperature: float) -> tuple[Array, float]:
    """The scores of a layer by their formula, and their rounding error."""
    given = case.settings, case.parameters, case.inputs["state"], temperature
    return measured(subject, lambda blur: plain.memory(*given, blur=blur).scores)


def clear(scores: Array, within: Any, eps: float) -> Array:
    """Where the largest score is so clear that rounding cannot change the choice."""
    best = np.sort(scores, axis=-1)
    return best[..., -1] - best[..., -2] > 2.0 * within + 16.0 * eps
