r"""The energy transformer block beside all its weights in float64 (docs/spec/layers.md).

With features and weights of size about 1, normalised tokens are at most about 4, queries and keys
about 10 and scores about 100. A score is then off by a few roundings of the sum of its terms,
weights and updates by as much relative to their size; 1,000 roundings leave room for the sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import hopcore
from hopcore.layers import EnergyTransformerSettings, energy_transformer, energy_transformer_energy
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.checks.measure import agree, at_most
from hopcore_conformance.oracle import energy_transformer as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

NAMES = "norm_weight", "norm_bias", "query_weight", "key_weight", "memory_weight"

settings_drawn = st.builds(
    lambda itself, beta, size: EnergyTransformerSettings(
        input_size=4,
        num_heads=2,
        head_size=3,
        quantity=5,
        beta=beta,
        attends_to_itself=itself,
        step_size=size,
    ),
    st.booleans(),
    st.sampled_from((None, 0.25, 2.0)),
    st.sampled_from((0.0625, 1.0)),
)


class Block:
    """Tokens (2, L, d), parameters and a padding mask that are exact in a dtype."""

    def __init__(self, subject: Subject, rng: np.random.Generator, settings: Any) -> None:
        self.settings = settings
        drawn = hopcore.initial_parameters(settings, seed=int(rng.integers(2**31)), dtype="float64")
        drawn["norm_bias"] = rng.normal(size=drawn["norm_bias"].shape)
        self.parameters = {name: subject.rounded(np.asarray(drawn[name])) for name in NAMES}
        self.tokens = subject.rounded(rng.normal(size=(2, 4, 4)))
        self.padding = rng.random((2, 4)) < 0.3

    def call(self, function: Any, subject: Subject, tokens: Array, **options: Any) -> Array:
        """The result of a function of the block, called by position."""

        def positional(tokens: Any, padding: Any, *parameters: Any) -> Any:
            named = dict(zip(NAMES, parameters, strict=True))
            return function(self.settings, named, tokens, padding_mask=padding, **options)

        return subject(positional, tokens, self.padding, *self.parameters.values())

    def of_each(self, formula: Any, tokens: Array) -> Array:
        """A formula of the oracle for each sequence."""
        g = plain.normalized(tokens, self.parameters, self.settings.eps)
        pairs = zip(g, ~self.padding, strict=True)
        return np.asarray([formula(x, self.parameters, s, self.settings) for x, s in pairs])


@statement("L.energy")
@given(rng=generators(), settings=settings_drawn)
def test_energy_of_a_block(subject: Subject, rng: np.random.Generator, settings: Any) -> None:
    block = Block(subject, rng, settings)
    wanted = block.of_each(plain.energy, block.tokens)
    got = block.call(energy_transformer_energy, subject, block.tokens)
    agree("energy", got, wanted, 1000 * subject.fine * (10.0 + np.abs(wanted)))


@statement("L.step", "L.padding")
@given(rng=generators(), settings=settings_drawn)
def test_a_step_follows_the_gradient(
    subject: Subject, rng: np.random.Generator, settings: Any
) -> None:
    block = Block(subject, rng, settings)
    down = block.of_each(plain.descent, block.tokens)
    wanted = block.tokens + settings.step_size * down
    got = block.call(energy_transformer, subject, block.tokens, steps=1)
    size = 10.0 + np.max(np.abs(wanted))
    agree("tokens", got, wanted, (1000 * subject.fine + 4 * subject.eps) * size)
    # Padding stays to the last digit, whatever it holds.
    agree("padding", got[block.padding], block.tokens[block.padding], 0.0)
    filled = np.where(block.padding[..., None], np.nan, block.tokens)
    again = block.call(energy_transformer, subject, filled, steps=1)
    agree("tokens beside nan", again[~block.padding], got[~block.padding], 0.0)


@statement("L.step")
@given(rng=generators(), settings=settings_drawn)
def test_the_descent_is_the_slope_of_the_energy(
    subject: Subject, rng: np.random.Generator, settings: Any
) -> None:
    """The oracle's formula beside differences of its energy."""
    block = Block(subject, rng, settings)
    g = plain.normalized(block.tokens, block.parameters, settings.eps)[0]
    shown, along = ~block.padding[0], rng.normal(size=g.shape)
    step = 1e-6
    rise = [
        plain.energy(g + sign * step * along, block.parameters, shown, settings)
        for sign in (1.0, -1.0)
    ]
    slope = (rise[0] - rise[1]) / (2.0 * step)
    down = plain.descent(g, block.parameters, shown, settings)
    agree("slope", np.asarray(-np.sum(down * along)), slope, 1e-4 * (10.0 + abs(slope)))


@statement("L.descent")
@given(rng=generators(), settings=settings_drawn)
def test_the_energy_falls_along_a_step(
    subject: Subject, rng: np.random.Generator, settings: Any
) -> None:
    block = Block(subject, rng, settings)
    got = block.call(energy_transformer, subject, block.tokens, steps=1)
    way = (got - block.tokens) / settings.step_size
    size, step = 10.0 + np.max(np.abs(got)), 1e-6
    ahead, behind = (
        block.of_each(plain.energy, block.tokens + sign * step * way) for sign in (1.0, -1.0)
    )
    # The way is off by so much; the slope by the tokens is that of the normalised ones, over sigma.
    deviation = float(np.min(np.std(block.tokens, axis=-1)))
    off = (1000 * subject.fine + 4 * subject.eps) * size / settings.step_size
    within = 1e-4 * size + 20.0 * off * np.max(np.abs(way)) / max(deviation, 1e-2)
    at_most("slope of the energy", (ahead - behind) / (2.0 * step), 0.0, within)
