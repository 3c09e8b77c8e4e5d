"""The conformance suite can fail: each fault planted in temperatures is caught."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planting import MUTANTS, Mutant, change_method, core, everywhere, in_torch, mutant

import hopcore
from hopcore.arrays import Backend

KNOWN = len(MUTANTS)


# Schedules.


@mutant("linear from the end", "S1")
def from_the_end(patch):
    change_method(patch, hopcore.Linear, "_interpolate",
           lambda found, self, *_: self.start + self.end - found)  # fmt: skip


@mutant("a cosine of half the way", "S1")
def half_a_cosine(patch):
    def share(self, done, xp):
        return self.end + (self.start - self.end) * xp.cos(0.5 * np.pi * done)

    patch.setattr(hopcore.Cosine, "_interpolate", share)


@mutant("exponential in the difference", "S1")
def decaying(patch):
    def share(self, done, xp):
        return self.end + (self.start - self.end) * xp.exp(-5.0 * done)

    patch.setattr(hopcore.Exponential, "_interpolate", share)


@mutant("an end that is only nearly reached", "S2")
def nearly(patch):
    def after_steps(self, steps, xp):
        return self._interpolate(xp.where(steps < self.steps, steps / self.steps, 1.0 - 1e-9), xp)

    patch.setattr(core("schedules._kinds").Between, "_after_warmup", after_steps)


@mutant("a schedule that goes on", "S2")
def going_on(patch):
    patch.setattr(core("schedules._kinds").Between, "_after_warmup",
                  lambda self, steps, xp: self._interpolate(steps / float(self.steps), xp)
                  )  # fmt: skip


@mutant("a factor at every step", "S3")
def every_step(patch):
    change_method(patch, hopcore.Geometric, "_after_warmup",
           lambda found, self, steps, xp: self.start * self.factor ** (steps / self.every)
           )  # fmt: skip


@mutant("a geometric schedule that ends at 0", "S3")
def to_nothing(patch):
    def at(self, step, xp):
        found = self._after_warmup(step, xp)
        return xp.where(found > self.floor, found, xp.full_like(found, self.floor))

    patch.setattr(hopcore.schedules.Schedule, "_temperature", at)


@mutant("a floor below which it goes", "S4")
def no_floor(patch):
    change_method(patch, hopcore.schedules.Schedule, "_temperature",
                  lambda found, self, step, xp: replace(self, floor=0.0)._after_warmup(step, xp)
                  )  # fmt: skip


@mutant("frozen at the end", "S4")
def never_frozen(patch):
    right = hopcore.schedules.Schedule._temperature

    def at(self, step, xp):
        return right(replace(self, freeze_after=None), step, xp)

    patch.setattr(hopcore.schedules.Schedule, "_temperature", at)


@mutant("a warm-up that is lost", "S4")
def warmup_is_lost(patch):
    right = hopcore.schedules.Schedule._temperature
    patch.setattr(hopcore.schedules.Schedule, "_temperature",
                  lambda self, step, xp: right(replace(self, warmup=0), step, xp))  # fmt: skip


@mutant("an array has the temperature of its first step", "S5")
def of_the_first(patch):
    def change(found, self, step):
        return found if isinstance(found, float) or found.ndim != 1 else 0.0 * found + found[0]

    change_method(patch, hopcore.schedules.Schedule, "__call__", change)


@mutant("the second schedule from the step of the first", "S6")
def no_step_of_its_own(patch):
    def after_steps(self, steps, xp):
        later = self.second._temperature(steps, xp)
        return xp.where(steps < self.at, self.first._temperature(steps, xp), later)

    patch.setattr(hopcore.schedules.Joined, "_after_warmup", after_steps)


@mutant("a dictionary without the floor", "S7")
def no_floor_written(patch):
    change_method(
        patch, hopcore.schedules.Schedule, "to_dict", lambda found, self: {**found, "floor": 0.0}
    )


@mutant("half the share in the transition", "S8")
def half_the_share(patch):
    right = hopcore.PhaseAware._knots

    def knots(self):
        other = copy(self)  # not a new one, which would look at its own start
        object.__setattr__(other, "share", self.share / 2.0)
        return right(other)

    patch.setattr(hopcore.PhaseAware, "_knots", knots)


@mutant("a schedule that jumps over the transition", "S8")
def jumping(patch):
    def share(found, self, done, xp):
        return xp.where(found < self.hot, found * 0.99, found)

    change_method(patch, hopcore.PhaseAware, "_interpolate", share)


# Temperatures that are learned.


@mutant("theta starts at the temperature itself", "T1 T6")
def slip(patch):
    # Where the parameters are made: its own name there.
    patch.setattr(core("layers._parameters"), "theta_of_beta",
                  lambda betas: tuple(1.0 / b for b in betas) if isinstance(betas, tuple)
                  else 1.0 / betas)  # fmt: skip


@mutant("an exponential of theta", "T1 T3")
def exponential(patch):
    everywhere(
        patch,
        "schedules._learnable_temperature",
        "softplus",
        lambda right: lambda x: np.exp(np.clip(x, -34, 34)),
    )


@mutant("temperatures that reach 0", "T2")
def to_zero(patch):
    everywhere(
        patch,
        "schedules._learnable_temperature",
        "softplus",
        lambda right: lambda x: np.logaddexp(x, 0.0 * x),
    )


@mutant("scores times the temperature", "T3")
def times(patch):
    everywhere(patch, "schedules._learnable_temperature", "learned_temperature",
               lambda right: lambda *given: 1.0 / right(*given))  # fmt: skip


@mutant("a shared temperature that is forgotten", "T4")
def no_shared_temperature(patch):
    everywhere(patch, "schedules._learnable_temperature", "learned_temperature",
               lambda right: lambda theta, shared=None: right(theta))  # fmt: skip


@in_torch("a learned temperature without a derivative", "T5")
def still(patch):
    everywhere(patch, "schedules._learnable_temperature", "learned_temperature",
               lambda right: lambda *given: right(*given).detach() + 0.0 * given[0])  # fmt: skip


@mutant("from hot to cold in equal differences", "T6")
def equal_differences(patch):
    right = core("schedules._learnable_temperature").temperature_profile

    def profile(name, layers, heads=1):
        if name != "hot-to-cold":
            return right(name, layers, heads)
        return tuple(hopcore.LearnableTemperature(factor=float(x))
                     for x in np.linspace(2.0, 0.5, layers))  # fmt: skip

    patch.setattr(hopcore.schedules, "temperature_profile", profile)


# Networks of learned memories.


@mutant("scores that know the depth", "N1")
def depth(patch):
    change_method(patch, hopcore.layers.HNLSettings, "beta",
           lambda found, self, temperature: found * self.hidden_size**0.5)  # fmt: skip


@mutant("temperatures of a call that do nothing below a tenth", "N2 N7")
def never_cold(patch):
    right = hopcore.layers.HNLSettings.beta
    patch.setattr(
        hopcore.layers.HNLSettings, "beta", lambda self, T: right(self, max(float(T), 0.1))
    )


def change_choice(patch: Any, wrong: Any) -> None:
    everywhere(patch, "layers._recall", "straight_through", lambda right: lambda w: wrong(right, w))


@mutant("hard is soft, without dropout", "N3")
def recalled_softly(patch):
    everywhere(
        patch, "layers._recall", "chosen_of", lambda right: core("layers._recall").association_of
    )


@mutant("the worst memory, without dropout", "N3")
class Worst(Backend):
    def choose(self, state, stored, beta, mask):
        return super().choose(-state, stored, beta, mask)


@mutant("the last of equal scores, without dropout", "N3 N5")
class LastOfEquals(Backend):
    def choose(self, state, stored, beta, mask):
        last = stored.shape[-2] - 1
        flipped = None if mask is None else mask[..., ::-1]
        index, attends = super().choose(state, stored[..., ::-1, :], beta, flipped)
        return last - index, attends


@mutant("a soft weight that goes to the first of equal scores", "N2 N5")
class SoftlyFirst(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        largest = weights == np.max(weights, axis=-1, keepdims=True)
        first = np.cumsum(largest, axis=-1) == 1
        taken = np.sum(np.where(largest, weights, 0.0), axis=-1, keepdims=True)
        return np.where(largest, np.where(first, taken, 0.0), weights), conjugate


@mutant("a memory of one pattern that is not sure", "N2")
class NeverSure(Backend):
    def separate(self, scores, separation):
        weights, conjugate = super().separate(scores, separation)
        return (0.999 * weights if scores.shape[-1] == 1 else weights), conjugate


@mutant("hard is soft", "N4")
def never_hard(patch):
    change_choice(patch, lambda right, w: w)


@mutant("the worst memory", "N4 N8")
def worst(patch):
    change_choice(patch, lambda right, w: right(np.where(w == 0.0, 0.0, 1.0 - w)))


@mutant("the last of equals", "N4")
def last_of_equals(patch):
    change_choice(patch, lambda right, w: right(w[..., ::-1])[..., ::-1])


@mutant("rows of zeros choose", "N4")
def zeros_choose(patch):
    change_choice(patch, lambda right, w: right(w + 1e-12))


@in_torch("a choice without a derivative", "N4")
def no_derivative(patch):
    change_choice(patch, lambda right, w: right(w).detach() + 0.0 * w)


@mutant("the first pattern is always there", "N5")
def first_pattern(patch):
    def wrong(right):
        def lookup(settings, parameters, state, **options):
            mask = np.zeros((state.shape[-2], settings.quantity))
            mask[:, 0] = 1.0
            given = options.pop("association_mask", None)
            mask = mask if given is None else mask + given
            return right(settings, parameters, state, association_mask=mask, **options)

        return lookup

    everywhere(patch, "layers._pooling", "hopfield_lookup", wrong)


@mutant("only the first layer gets the temperature", "N6")
def first_layer(patch):
    def wrong(right):
        def hnl(settings, parameters, state, *, temperature=None, **options):
            if settings.input_size == 4 and settings.output_size == 3:
                temperature = None
            return right(settings, parameters, state, temperature=temperature, **options)

        return hnl

    # In the stack alone.
    patch.setattr(core("layers._networks"), "hnl", wrong(core("layers._networks").hnl))


@mutant("an array is an inverse temperature", "N7")
def inverse(patch):
    right = core("layers._networks").check_temperature

    def wrong(backend, like, temperature):
        found = right(backend, like, temperature)
        return found if isinstance(temperature, float | int) else 1.0 / found

    patch.setattr(core("layers._networks"), "check_temperature", wrong)


@mutant("noise before the temperature", "N8")
def early_noise(patch):
    def wrong(right):
        def hnl(settings, parameters, state, *, noise=None, temperature=None, **options):
            heat = settings.temperature if temperature is None else temperature
            some = None if noise is None else lambda *given: noise(*given) / heat
            return right(settings, parameters, state, noise=some, temperature=heat, **options)

        return hnl

    everywhere(patch, "layers._networks", "hnl", wrong)


# Quantisers.


def change_quantized(patch: Any, change: Any) -> None:
    """Change what a quantiser finds, given its settings, parameters, features and options."""

    def wrong(right):
        def quantize(settings, parameters, features, **options):
            found = right(settings, parameters, features, **options)
            return change(found, right, settings, parameters, features, options)

        return quantize

    everywhere(patch, "layers._quantizer", "quantize", wrong)


@mutant("distances that are not squared", "Q1")
def not_squared(patch):
    def change(found, right, settings, parameters, features, options):
        heat = options.get("temperature") or settings.temperature
        again = right(settings, parameters, features, **{**options, "temperature": 2.0 * heat})
        return found._replace(weights=again.weights)

    change_quantized(patch, change)


@mutant("soft values, whatever is asked for", "Q2")
def always_soft(patch):
    def change(found, right, settings, parameters, features, options):
        return right(settings, parameters, features, **{**options, "hard": False})

    change_quantized(patch, change)


@mutant("codes of the farthest", "Q2")
def farthest(patch):
    def change(found, *_):
        return found._replace(codes=np.argmin(found.weights, axis=-1))

    change_quantized(patch, change)


@mutant("a commitment without the codebook's part", "Q4")
def half_a_commitment(patch):
    def change(found, right, settings, *_):
        return found._replace(commitment=found.commitment / (1.0 + settings.commitment))

    change_quantized(patch, change)


@mutant("the divergence of the largest alone", "Q5")
def largest_alone(patch):
    def change(found, *_):
        return found._replace(divergence=-np.log(np.max(found.weights)))

    change_quantized(patch, change)


@mutant("the codebook of the first group for all", "Q1 Q2 Q6")
def one_codebook(patch):
    def wrong(right):
        def quantize(settings, parameters, features, **options):
            first = 0.0 * parameters["codebook"] + parameters["codebook"][-1:]
            return right(settings, {"codebook": first}, features, **options)

        return quantize

    everywhere(patch, "layers._quantizer", "quantize", wrong)


@mutant("the last of equally near codes", "Q2 Q6")
def last_code(patch):
    def change(found, right, settings, parameters, features, options):
        turned = {"codebook": parameters["codebook"][:, ::-1]}
        again = right(settings, turned, features, **options)
        last = settings.quantity - 1
        return found._replace(values=again.values, codes=last - again.codes)

    change_quantized(patch, change)


@in_torch("hard values without a derivative", "Q3")
def no_straight_through(patch):
    def change(found, right, settings, parameters, features, options):
        return found._replace(values=found.values.detach() + 0.0 * features)

    change_quantized(patch, change)


@in_torch("a commitment that pulls the features alone", "Q4")
def features_alone(patch):
    def change(found, right, settings, parameters, features, options):
        fixed = {"codebook": parameters["codebook"].detach()}
        return found._replace(commitment=right(settings, fixed, features, **options).commitment)

    change_quantized(patch, change)


@pytest.mark.parametrize(
    "mutant", MUTANTS[KNOWN:], ids=lambda mutant: mutant.name.replace(" ", "-")
)
def test_the_mutant_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.must_be_caught(monkeypatch)
