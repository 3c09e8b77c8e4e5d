"""The conformance suite can fail: each fault planted in the transition is caught."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from planting import MUTANTS, Mutant, after, all_mutants, change_fields, core, everywhere, mutant

import hopcore
from hopcore.arrays import Backend
from hopcore_conformance import STATEMENTS

KNOWN = len(MUTANTS)


def factor(module: str, name: str, by: float) -> Any:
    """A fault: what a function returns is off by a factor."""

    def fault(patch: Any) -> None:
        after(patch, module, name, lambda found, *_: by * found)

    return fault


# Theory.


@mutant("the saddle-node of one pattern more", "P1")
def another_transition(patch):
    right = core("phase").transition
    patch.setattr(hopcore, "transition", lambda n: right(n)._replace(saddle_node=right(n + 1)[0]))


@mutant("coexistence by its limit", "P1")
def limit_of_coexistence(patch):
    right = core("phase").transition
    wrong = lambda n: right(n)._replace(coexistence=2.0 * np.log(n))  # noqa: E731
    patch.setattr(hopcore, "transition", wrong)


for _name in ("saddle_node_beta", "coexistence_beta", "centroid_beta"):
    for _by in (1.0 + 3e-4, 1.0 - 3e-4):
        mutant(f"{_name} times {_by}", "P1 P2")(factor("phase._theory", _name, _by))


@mutant("a map among N others", "P1")
def one_too_many(patch):
    after(patch, "phase._reduced_map", "map_overlaps",
          lambda found, overlap, b, n, xp: xp.expm1(b * overlap) / (xp.exp(b * overlap) + n)
          )  # fmt: skip


@mutant("a map that overflows", "P1")
def overflowing(patch):
    def wrong(right):
        return lambda s, b, n, xp: xp.expm1(b * s) / (xp.exp(b * s) + n - 1.0)

    everywhere(patch, "phase._reduced_map", "map_overlaps", wrong)


@mutant("a cobweb that goes across first", "P1")
def across_first(patch):
    after(patch, "phase._reduced_map", "cobweb", lambda found, *_: found[:, ::-1])


@mutant("fixed points without the barrier", "P1")
def no_barrier(patch):
    after(patch, "phase._reduced_map", "reduced_fixed_points",
          lambda found, *_: found if len(found) < 3 else found[::2])  # fmt: skip


@mutant("the slope of a logarithm", "P1")
def another_slope(patch):
    after(patch, "phase._reduced_map", "slope", lambda found, s, b, n: b * found)


@mutant("the mean square distance with pairs of one", "P5 S8")
def pairs_of_one(patch):
    after(patch, "phase", "effective_scale",
          lambda found, stored: found * (1.0 - 1.0 / stored.shape[-2]))  # fmt: skip


@mutant("an effective beta of the whole square", "P5")
def whole_square(patch):
    after(patch, "phase._effective_scale", "effective_beta", lambda found, *_: 2.0 * found)


# The update, which the theory is compared with.


@mutant("an update that is colder than asked", "P2 P8")
class Colder(Backend):
    def scores(self, state, stored, beta, mask):
        return super().scores(state, stored, beta, mask) * 1.01


@mutant("an energy that is hotter than asked", "P2")
def hotter_energy(patch):
    def wrong(right):
        return lambda inputs, *rest: right(inputs._replace(beta=inputs.beta * 0.99), *rest)

    everywhere(patch, "memory._energy", "energy_of", wrong)


@mutant("the covariance of a sample", "P6")
def of_a_sample(patch):
    after(patch, "phase._critical", "variance",
          lambda found, patterns: found * len(patterns) / (len(patterns) - 1.0))  # fmt: skip


@mutant("the two largest weights made alike", "P3")
class Alike(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        order = np.argsort(weights, axis=-1)[..., -2:]
        some = np.take_along_axis(weights, order, axis=-1)
        even = np.broadcast_to(np.mean(some, axis=-1, keepdims=True), some.shape)
        weights = weights.copy()
        np.put_along_axis(weights, order, even, axis=-1)
        return weights, conjugate


# Curvature.


@mutant("a radius of all eigenvalues together", "P3 P4 E4")
def mean_radius(patch):
    def wrong(right):
        def radius(state, stored, beta):
            hull = min(stored.shape[-2] - 1, stored.shape[-1])
            return (
                (1.0 - hopcore.phase.normalized_divergence(state, stored, beta)) * hull / hull**0.5
            )

        return radius

    everywhere(patch, "phase._sharpness", "jacobian_radius", wrong)


@mutant("a power method that ends at once", "P4 P7")
def powerless(patch):
    patch.setattr(core("phase._sharpness"), "POWER_STEPS", 1)


@mutant("a divergence about the origin", "P4")
def not_centred(patch):
    def wrong(right):
        def divergence(state, stored, beta, *, dimension=None):
            count, depth = stored.shape[-2:]
            weights = hopcore.association_weights(state, stored, beta)
            spread = weights @ np.sum(stored**2, axis=-1)
            return 1.0 - beta * spread / (dimension or min(count - 1, depth))

        return divergence

    everywhere(patch, "phase._sharpness", "normalized_divergence", wrong)


@mutant("a divergence of N dimensions", "P4")
def too_many_dimensions(patch):
    def wrong(right):
        def divergence(state, stored, beta, *, dimension=None):
            return right(state, stored, beta, dimension=dimension or stored.shape[-2])

        return divergence

    everywhere(patch, "phase._sharpness", "normalized_divergence", wrong)


@mutant("a divergence that takes no dimension", "P4")
def no_dimension(patch):
    def wrong(right):
        def divergence(state, stored, beta, *, dimension=None):
            return right(state, stored, beta)

        return divergence

    everywhere(patch, "phase._sharpness", "normalized_divergence", wrong)


# Minima and sweeps.


@mutant("basins in the order in which they were found", "P7")
def unsorted_basins(patch):
    change_fields(patch, "phase._fixed_points", "minima",
            lambda found, *_: {"basin": found.basin[::-1]})  # fmt: skip


@mutant("shares of the states", "P7")
def equal_shares(patch):
    change_fields(patch, "phase._fixed_points", "minima",
            lambda found, *_: {"share": 0.0 * found.share + 1.0 / len(found.share)})  # fmt: skip


@mutant("states that are told apart poorly", "P7")
def coarse(patch):
    patch.setattr(core("phase._fixed_points"), "SAME", (0.7, 0.7))


@mutant("states that are told apart too well", "P7")
def fine(patch):
    patch.setattr(core("phase._fixed_points"), "SAME", (1e-15, 1e-15))


@mutant("all states are stable", "P7")
def all_stable(patch):
    change_fields(patch, "phase._fixed_points", "minima",
            lambda found, *_: {"stable": found.radius < 2.0})  # fmt: skip


@mutant("states that have not come to rest", "P7")
def restless(patch):
    after(patch, "phase._fixed_points", "tolerance", lambda found, *_: 0.02)


@mutant("participation by the sum of squares", "P7 P8")
def squares(patch):
    def wrong(right):
        def describe_states(states, stored, beta, similarity, *, with_radius):
            found = right(states, stored, beta, similarity, with_radius=with_radius)
            weights = hopcore.association_weights(states, stored, beta, similarity=similarity)
            return found._replace(participation=1.0 / np.sum(weights**2, axis=-1))

        return describe_states

    everywhere(patch, "phase._fixed_points", "describe_states", wrong)


@mutant("cooled states that never fall apart", "P8")
def sticky(patch):
    patch.setattr(core("phase._sweep").Walk, "split_saddles",
                  lambda self, states, basin, beta: (states, basin))  # fmt: skip


@mutant("a sweep that begins anew at every temperature", "P8")
def forgetful(patch):
    def settle(self, states, basin, beta):
        return right(self, self.stored, np.arange(self.stored.shape[0]), beta)

    right = core("phase._sweep").Walk.settle
    patch.setattr(core("phase._sweep").Walk, "settle", settle)


@mutant("heated for cooled", "P8")
def exchanged(patch):
    change_fields(patch, "phase._sweep", "sweep",
            lambda found, *_: {"heated": found.cooled, "cooled": found.heated})  # fmt: skip


@mutant("a sweep in falling order", "P8")
def falling(patch):
    change_fields(patch, "phase._sweep", "sweep", lambda found, *_: {"betas": found.betas[::-1]})


# Inverse temperatures.


@mutant("patterns appear a little late", "P6")
def late(patch):
    change_fields(patch, "phase._critical", "critical_betas",
            lambda found, *_: {"appear": 1.0003 * found.appear})  # fmt: skip


@mutant("branches that end where patterns are sure", "P6")
def short_branch(patch):
    right = core("phase._continuation").np.linspace
    space = type("space", (), {"__getattr__": lambda self, name: getattr(np, name)})()
    space.linspace = lambda high, low, points: right(high, 0.5 * (high + low), points)
    patch.setattr(core("phase._continuation"), "np", space)


@mutant("branches that are not searched on where they are lost", "P6")
def lost(patch):
    everywhere(patch, "phase._continuation", "follow_down_in_beta",
               lambda right: lambda followed, states, betas: betas)  # fmt: skip


@mutant("branches of nearly covered patterns that begin too far down", "P6")
def far_down(patch):
    def change(found, followed, logit):
        return *found[:3], np.full_like(found[3], logit)

    after(patch, "phase._continuation", "first_guess", change)


@mutant("no parabolas", "P6")
def no_parabolas(patch):
    patch.setattr(core("phase._continuation"), "REFINE", 0)


@mutant("patterns in falling order", "P6")
def falling_patterns(patch):
    change_fields(patch, "phase._critical", "critical_betas",
            lambda found, *_: {"appear": found.appear[::-1]})  # fmt: skip


@mutant("coexistence at the saddle-node", "P6")
def early_coexistence(patch):
    change_fields(patch, "phase._critical", "critical_betas",
            lambda found, *_: {"coexist": found.appear})  # fmt: skip


@mutant("branches of distances that follow dot products", "P6")
def followed_by_products(patch):
    def wrong(right):
        return lambda stored, rows, similarity, backend: right(stored, rows, "dot", backend)

    everywhere(patch, "phase._continuation", "followed_in", wrong)


@mutant("separations of distances that are not halved", "P9 E6")
def whole_separations(patch):
    def wrong(right):
        def separations(stored, rows, backend, similarity="dot"):
            gap, apart, largest = right(stored, rows, backend, similarity)
            return (2.0 * gap if similarity == "distance" else gap), apart, largest

        return separations

    everywhere(patch, "phase._error_bound", "separations", wrong)


@mutant("distances from 0", "P9")
def no_origin(patch):
    after(patch, "phase._patterns", "origin_of", lambda found, *_: 0.0 * found)


@mutant("states of distances that are left at the origin", "P7")
def left_at_origin(patch):
    def wrong(right):
        def minima(stored, beta, *, similarity="dot", **options):
            found = right(stored, beta, similarity=similarity, **options)
            if similarity == "dot":
                return found
            return found._replace(state=found.state - np.mean(stored, axis=0))

        return minima

    everywhere(patch, "phase._fixed_points", "minima", wrong)


@mutant("a sweep that compares by products", "P8")
def swept_by_products(patch):
    right = core("phase._sweep").Walk.settle
    patch.setattr(core("phase._sweep").Walk, "settle", lambda self, states, basin, beta: right(
        self._replace(similarity="dot"), states, basin, beta))  # fmt: skip


@mutant("a bound that forgets its fixed point", "E6")
def near_fixed_point(patch):
    after(patch, "phase._error_bound", "norm", lambda found, *_: 0.0 * found)


@mutant("a bound of N = 2", "E6")
def two_alone(patch):
    after(patch, "phase._error_bound", "retrieval_error_bound",
          lambda found, stored, *_: found / (stored.shape[0] - 1.0))  # fmt: skip


@mutant("a beta that forgets how many there are", "P9")
def few_patterns(patch):
    change_fields(patch, "phase._suggest", "for_retrieval",
            lambda found, stored, *_: {"beta": found.beta - np.log(stored.shape[0]) / found.margin}
            )  # fmt: skip


@mutant("the median for the 5 % quantile", "P9")
def median(patch):
    module = core("phase._suggest")
    space = type("space", (), {"__getattr__": lambda self, name: getattr(np, name)})()
    space.quantile = lambda values, q: np.quantile(values, 0.5)
    patch.setattr(module, "np", space)


@mutant("a margin that any noise leaves", "P9")
def sure_margin(patch):
    def change(found, stored, noise, *_):
        return {"margin": found.margin * (1.0 - (noise or 0.0)), "error": found.error}

    change_fields(patch, "phase._suggest", "for_retrieval", change)


@mutant("an update that is slightly warmer where the centroid turns", "P2")
class WarmerAtThree(Backend):
    def scores(self, state, stored, beta, mask):
        turn = isinstance(beta, float) and beta == stored.shape[-2]
        return super().scores(state, stored, beta, mask) * (0.9 if turn else 1.0)


@mutant("a beta for patterns of length 1", "P9")
def of_one_length(patch):
    change_fields(patch, "phase._suggest", "suggest_beta",
            lambda found, stored, *_: {"beta": found.beta * math.sqrt(float(np.max(stored**2)))}
            )  # fmt: skip


@mutant("an average that is cold", "P9")
def cold_average(patch):
    change_fields(patch, "phase._suggest", "by_sweep",
            lambda found, stored, goal, *_: {"beta": found.beta * (3.0 if goal == "average" else 1)}
            )  # fmt: skip


@mutant("mixtures at their hot end", "P9")
def hot_end(patch):
    right = core("phase._suggest").np.nonzero
    space = type("space", (), {"__getattr__": lambda self, name: getattr(np, name)})()
    space.nonzero = lambda values: (right(values)[0][:1],)
    patch.setattr(core("phase._suggest"), "np", space)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)


def test_every_statement_can_fail() -> None:
    broken: set[Any] = {
        identifier for mutant in all_mutants() for identifier in mutant.breaks.split()
    }
    assert broken == set(STATEMENTS)
