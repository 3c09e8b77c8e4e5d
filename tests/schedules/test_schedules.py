"""Schedules of temperature and the phase transition: examples by hand, and bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore import Constant, Cosine, Exponential, Geometric, Linear, PhaseAware
from hopcore.schedules import Schedule, compute_annealed_temperature


def test_a_training_as_it_is_planned() -> None:
    # Warm for 10 steps, cosine for 100, never below a twentieth, nothing changes after step 80.
    schedule = Cosine(1.0, 0.01, steps=100, warmup=10, floor=0.05, freeze_after=80)
    assert [schedule(n) for n in (0, 5, 10)] == [1.0, 1.0, 1.0]
    assert schedule(60) == pytest.approx(0.505)
    assert schedule(80) == schedule(81) == schedule(10_000) == pytest.approx(0.2140, abs=1e-4)
    assert Cosine(1.0, 0.01, steps=100, floor=0.05)(1000) == 0.05


def test_geometric_with_a_floor() -> None:
    # By 0.97 each epoch from 1: at a floor of a half after 23 epochs, of a tenth after 76.
    for floor, epoch in ((0.5, 23), (0.1, 76)):
        schedule = Geometric(1.0, 0.97, floor=floor)
        assert schedule(epoch - 1) > floor
        assert schedule(epoch) == floor
    frozen = Geometric(1.0, 0.97, floor=0.1, freeze_after=15)
    assert frozen(40) == pytest.approx(0.97**15)


def test_steps_of_epochs() -> None:
    schedule = Geometric(1.0, 0.5, every=100)
    assert [schedule(n) for n in (0, 99, 100, 199, 200)] == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_a_schedule_beside_that_of_an_optimiser() -> None:
    torch = pytest.importorskip("torch")
    schedule = Exponential(0.1, 0.001, steps=10)
    weight = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda n: schedule(n) / schedule(0))
    seen = []
    for _ in range(11):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        rate.step()
    assert seen == pytest.approx([schedule(n) / 0.1 for n in range(11)])


def test_a_schedule_as_one_of_optax() -> None:
    optax = pytest.importorskip("optax")
    jnp = pytest.importorskip("jax.numpy")
    schedule = Cosine(0.1, 0.001, steps=10)
    transform = optax.scale_by_schedule(schedule)
    state = transform.init(jnp.zeros(1))
    for n in range(12):
        update, state = transform.update(jnp.ones(1), state)
        assert float(update[0]) == pytest.approx(schedule(n), rel=1e-5)


def test_joined_schedules_nest() -> None:
    first = Linear(1.0, 0.5, steps=4).then(Constant(0.5), at=4)
    schedule = first.then(Linear(0.5, 0.1, steps=2), at=6)
    assert [schedule(n) for n in range(9)] == pytest.approx(
        [1.0, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5, 0.3, 0.1]
    )
    assert Schedule.from_dict(schedule.to_dict()) == schedule


def test_phase_aware_crosses_slowly() -> None:
    stored = np.random.default_rng(0).normal(size=(50, 16))
    schedule = PhaseAware.of_patterns(stored, 100.0, 0.01, 100, share=0.8)
    plain = Exponential(100.0, 0.01, steps=100)

    def inside(one: Schedule) -> int:
        return sum(schedule.cold <= one(n) <= schedule.hot for n in range(101))

    assert inside(schedule) >= 79
    assert inside(plain) < 30


def test_phase_aware_of_a_network() -> None:
    settings = hopcore.layers.HNLSettings(input_size=6, quantity=9)
    parameters = hopcore.initial_parameters(settings, dtype="float64")
    scale, patterns = hopcore.layers.effective_memory(settings, parameters)
    assert patterns == 9
    assert 0.0 < scale <= 2.0  # unit vectors are 2 apart at most, whose half square is 2
    schedule = PhaseAware.of_memory(scale, patterns, 10.0, 0.001, 100)
    assert schedule.cold == pytest.approx(scale / 9.0)


def test_the_effective_memory_is_where_keys_are() -> None:
    settings = hopcore.layers.HNLSettings(input_size=4, quantity=7, num_heads=2, hidden_size=3)
    parameters = hopcore.initial_parameters(settings, dtype="float64")
    rows = parameters["hopfield.association_core.in_proj_weight"][6:12]
    keys = (parameters["lookup_weights"][0] @ rows.T).reshape(7, 2, 3)
    keys = keys - keys.mean(axis=-1, keepdims=True)
    keys = keys / np.linalg.norm(keys, axis=-1, keepdims=True)
    pairs = [
        np.sum((keys[i, h] - keys[j, h]) ** 2) / 2.0
        for h in range(2)
        for j in range(7)
        for i in range(j)
    ]
    # But for the eps of the normalisation.
    assert hopcore.layers.effective_memory(settings, parameters)[0] == pytest.approx(
        np.mean(pairs), rel=1e-3
    )


@pytest.mark.parametrize("name", ["linear", "cosine", "exponential"])
def test_annealed_temperatures(name: str) -> None:
    given = 1000, 0.1, 0.001
    found = [compute_annealed_temperature(n, *given, schedule=name) for n in (0, 1000, 9999)]
    assert found == pytest.approx([0.1, 0.001, 0.001], rel=1e-15)
    steps = np.asarray([0, 500])
    array = compute_annealed_temperature(steps, *given, schedule=name)
    assert array.shape == (2,)
    assert array.dtype == np.float64


def test_widely_different_ends() -> None:
    schedule = Exponential(1e300, 1e-300, steps=2)
    assert schedule(1) == pytest.approx(1.0, rel=1e-12)


BAD: list[tuple[Any, type[Exception], str]] = [
    (lambda: Linear(0.0, 0.1, steps=5), ValueError, "start must be positive and finite, got 0.0"),
    (lambda: Linear(-1.0, 0.1, steps=5), ValueError, "start must be positive and finite, got -1.0"),
    (lambda: Linear(1.0, 0.0, steps=5), ValueError, "end must be positive and finite, got 0.0"),
    (lambda: Linear(math.nan, 0.1, steps=5), ValueError, "start must be positive and finite"),
    (lambda: Linear(math.inf, 0.1, steps=5), ValueError, "start must be positive and finite"),
    (lambda: Linear("1", 0.1, steps=5), TypeError, "start must be a number, got '1'"),
    (lambda: Linear(1.0, 0.1, steps=0), ValueError, "steps must be >= 1, got 0"),
    (lambda: Linear(1.0, 0.1, steps=2.5), TypeError, "steps must be an integer, got 2.5"),
    (lambda: Linear(1.0, 0.1, steps=5, floor=2.0), ValueError, "start at its floor or above, "
     "got 1 below 2"),
    (lambda: Linear(1.0, 0.1, steps=5, floor=-1.0), ValueError, "floor must be >= 0 and finite"),
    (lambda: Linear(1.0, 0.1, steps=5, warmup=-1), ValueError, "warmup must be >= 0, got -1"),
    (lambda: Linear(1.0, 0.1, steps=5, freeze_after=-2), ValueError, "freeze_after must be >= 0"),
    (lambda: Constant(0.0), ValueError, "value must be positive"),
    (lambda: Geometric(1.0, 0.0), ValueError, "factor must be positive"),
    (lambda: Geometric(1.0, 1.1), ValueError, "factor must be in .* got 1.1"),
    (lambda: Geometric(1.0, 0.9, every=0), ValueError, "every must be >= 1, got 0"),
    (lambda: PhaseAware(1.0, 0.1, 5, hot=0.1, cold=0.2), ValueError, "hot must be >= 0.2"),
    (lambda: PhaseAware(1.0, 0.1, 5, hot=0.2, cold=0.0), ValueError, "cold must be positive"),
    (lambda: PhaseAware(1.0, 0.1, 5, hot=0.2, cold=0.1, share=1.0), ValueError,
     r"share must be in \(0, 1\), got 1.0"),
    (lambda: PhaseAware.of_patterns(np.ones((4, 2)), 1.0, 0.1, 5), ValueError, "all the same"),
    (lambda: PhaseAware.of_patterns(np.ones((1, 2)), 1.0, 0.1, 5), ValueError,
     r"N >= 2 patterns, got \(1, 2\)"),
    (lambda: Linear(1.0, 0.1, steps=5)(-1), ValueError, "step must be >= 0, got -1"),
    (lambda: Linear(1.0, 0.1, steps=5)("3"), TypeError, "step must be an array"),
    (lambda: Linear(1.0, 0.1, steps=5).then(0.1, at=3), TypeError, "second must be a schedule, "
     "got float"),
    (lambda: Linear(1.0, 0.1, steps=5).then(Constant(0.1), at=-3), ValueError, "at must be >= 0"),
    (lambda: compute_annealed_temperature(1, 10, 1.0, 0.1, "quadratic"), ValueError,
     "unknown schedule 'quadratic'; known: linear, cosine, exponential"),
    (lambda: compute_annealed_temperature(1, 0, 1.0, 0.1), ValueError, "steps must be >= 1, got 0"),
    (lambda: Schedule.from_dict({"schedule": "warm"}), ValueError, "unknown schedule 'warm'; "
     "known: constant, cosine, exponential"),
    (lambda: Schedule.from_dict({"value": 1.0}), ValueError, "unknown schedule None"),
    (lambda: Schedule.from_dict({"schedule": "constant", "value": 1.0, "end": 2.0}), ValueError,
     "a constant schedule has no end"),
    (lambda: hopcore.transition(1), ValueError, "patterns must be >= 2, got 1"),
    (lambda: hopcore.transition(2.0), TypeError, "patterns must be an integer, got 2.0"),
    (lambda: hopcore.phase.saddle_node_beta(1), ValueError, "patterns must be >= 2, got 1"),
    (lambda: hopcore.phase.coexistence_beta(2.0), TypeError, "patterns must be an array"),
    (lambda: hopcore.phase.centroid_beta(np.asarray([3, 1])), ValueError,
     "patterns must be >= 2 and finite, got"),
    (lambda: hopcore.phase.effective_beta(np.eye(2), 0.0), ValueError,
     "beta must be positive and finite, got 0.0"),
    (lambda: hopcore.phase.effective_scale(np.ones(3)), ValueError, r"\(..., N, d\)"),
    (lambda: hopcore.phase.effective_scale(np.ones((3, 2), dtype=int)), TypeError, "real floating"),
    (lambda: hopcore.phase.effective_scale([[1.0], [2.0]]), TypeError, "stored must be an array"),
    (lambda: hopcore.phase.effective_scale(np.full((3, 2), np.nan)), ValueError,
     "stored must be finite"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), BAD)
def test_bad_input_gets_one_line(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_compilers_that_divide_by_multiplying_change_no_step() -> None:
    """49 * (1 / 49) is below 1: neither the end nor an epoch may be a step late."""
    jax = pytest.importorskip("jax")

    def compiled(schedule: Schedule, steps: list[int]) -> list[float]:
        return jax.jit(schedule)(jax.numpy.asarray(steps)).tolist()

    for count in (1, 2, 41, 47, 49, 55, 61, 82, 98, 107):
        for kind in (Linear, Cosine, Exponential):
            assert compiled(kind(1.0, 8.0, steps=count), [count, count + 1]) == [8.0, 8.0]
        halved = Geometric(1.0, 0.5, every=count)
        steps = [count - 1, count, 2 * count, 3 * count - 1]
        assert compiled(halved, steps) == pytest.approx([1.0, 0.5, 0.25, 0.25], rel=1e-6)
