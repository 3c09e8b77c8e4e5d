"""Shared by the checks of layers: cases, functions that run them, and their rounding errors.

Settings are drawn from a list and sizes are few, since some libraries compile once for each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

import hopcore
from hopcore import HopfieldSettings
from hopcore_conformance.cases.memory import generators
from hopcore_conformance.oracle import composed_layers as plain_composed
from hopcore_conformance.oracle import layers as plain
from hopcore_conformance.oracle.heads import Noise, exact
from hopcore_conformance.subject import Subject

Array = np.ndarray

BATCH, QUERIES, PATTERNS = 2, 3, 5
"""B, L and S of most cases."""

MASKS = ("none", "padding", "shared", "heads", "batch", "numbers", "both")
"""Kinds of masks: none, (B, S), (L, S), (B H, L, S), (B, H, L, S), floats of each, and two."""


@dataclass(frozen=True)
class Case:
    """A layer with its parameters and inputs; fields are named after the arguments."""

    settings: Any
    parameters: dict[str, Array]
    patterns: dict[str, Array]
    masks: dict[str, Array] = field(default_factory=dict)

    def on(self, subject: Subject) -> Case:
        """The case with values that the subject's dtype holds exactly."""

        def rounded(given: dict[str, Array]) -> dict[str, Array]:
            return {
                name: x if x.dtype == np.bool_ else subject.rounded(x) for name, x in given.items()
            }

        parts = rounded(self.parameters), rounded(self.patterns), rounded(self.masks)
        return Case(self.settings, *parts)

    def but(self, **changes: Any) -> Case:
        """The case with some of its parts replaced."""
        return replace(self, **changes)

    @property
    def inputs(self) -> dict[str, Array]:
        """Patterns and masks."""
        return {**self.patterns, **self.masks}


def parameters_of(settings: Any, rng: np.random.Generator) -> dict[str, Array]:
    """Parameters of about the size of trained ones, with temperatures near their initial values."""
    found = {}
    for name, shape in hopcore.layers.parameter_shapes(settings).items():
        x = rng.normal(size=shape)
        if name.endswith("scaling"):
            start = settings.beta if isinstance(settings, HopfieldSettings) else 0.5
            x = np.asarray(start) * np.exp(0.2 * x)
        elif name.endswith("norm_weight") or ("norm" in name and name.endswith("weight")):
            x = 1.0 + 0.3 * x
        elif name.endswith("bias"):
            x = 0.3 * x
        elif "weights" not in name and len(shape) == 2:
            x = x / np.sqrt(shape[1])
        found[name] = x
    return found


def depths(settings: HopfieldSettings) -> tuple[int, int, int]:
    """Depths of stored patterns, state patterns and pattern projections."""
    sizes = settings.stored_size, settings.input_size, settings.projection_size
    static = (
        settings.stored_pattern_as_static,
        settings.state_pattern_as_static,
        settings.pattern_projection_as_static,
    )
    pairs = zip(sizes, static, strict=True)
    stored, state, projection = (
        (settings.hidden_size if fixed else size) or 6 for size, fixed in pairs
    )
    return stored, state, projection


def patterns_of(
    settings: HopfieldSettings, rng: np.random.Generator, lead: tuple[int, ...] = (BATCH,)
) -> dict[str, Array]:
    """Stored patterns, state patterns and pattern projections (..., S or L, d)."""
    names = ("stored", PATTERNS), ("state", QUERIES), ("projection", PATTERNS)
    return {
        name: rng.normal(size=(*lead, many, size))
        for (name, many), size in zip(names, depths(settings), strict=True)
    }


def masks_of(
    settings: HopfieldSettings, rng: np.random.Generator, kind: str, hidden: float = 0.4
) -> dict[str, Array]:
    """Masks of this kind; the first query may attend to nothing.

    A layer with a compact kernel takes no numbers, and gets the same mask of booleans.
    """
    shape, found = (BATCH, settings.num_heads, QUERIES, PATTERNS), {}
    if kind in ("padding", "both"):
        padding = rng.random((BATCH, PATTERNS)) < hidden
        padding[:, 0] = False
        padding[-1, 1:] = True
        found["stored_pattern_padding_mask"] = padding
    if kind not in ("none", "padding"):
        mask = rng.random(shape[2:] if kind == "shared" else shape) < hidden
        mask[..., 0, :] |= rng.random() < 0.5
        if kind == "heads":
            mask = mask.reshape(-1, *shape[2:])
        if kind == "numbers" and "epanechnikov" not in str(settings.separation):
            mask = np.where(mask, -np.inf, rng.normal(size=shape))
        found["association_mask"] = mask
    return found


@st.composite
def cases(
    draw: st.DrawFn,
    among: dict[str, HopfieldSettings],
    masks: tuple[str, ...] = MASKS,
    lead: tuple[int, ...] = (BATCH,),
) -> Case:
    """A layer of some settings, with all three inputs and masks of a kind."""
    settings = among[draw(st.sampled_from(sorted(among)))]
    rng, kind = draw(generators()), draw(st.sampled_from(masks))
    found = patterns_of(settings, rng, lead)
    return Case(settings, parameters_of(settings, rng), found, masks_of(settings, rng, kind))


def case_of(settings: HopfieldSettings, seed: int = 0, masks: str = "none") -> Case:
    """A case of fixed values."""
    rng = np.random.default_rng(seed)
    found = patterns_of(settings, rng)
    return Case(settings, parameters_of(settings, rng), found, masks_of(settings, rng, masks))


def run(subject: Subject, function: Callable[..., Any], case: Case, **options: Any) -> Any:
    """A function of layers in the library, with parameters as arrays of it."""
    names = list(case.parameters)

    def call(*arrays: Any, **given: Any) -> Any:
        return function(case.settings, dict(zip(names, arrays, strict=True)), **given, **options)

    return subject(call, *case.parameters.values(), **case.inputs)


def measured(subject: Subject, compute: Callable[..., Array]) -> tuple[Array, float]:
    """The result of ``compute(blur=)``, and its tolerance for rounding.

    Each intermediate result is moved up or down by a unit in the last place of the terms that
    were summed for it, several times over; the largest change there is, doubled, is the tolerance.
    It includes the effect of a choice (a neighbour, an anchor, a stop) that rounding may change.
    """
    wanted = compute(blur=exact)
    off = 0.0
    for seed in range(4):
        noise = Noise(seed, subject.eps)
        off = max(off, float(np.max(np.abs(compute(blur=noise) - wanted), initial=0.0)))
    largest = float(np.max(np.abs(wanted), initial=0.0))
    return wanted, 2.0 * off + 4.0 * subject.eps * largest + subject.least


PLAIN: dict[type, Callable[..., Any]] = {
    HopfieldSettings: plain.layer,
    hopcore.layers.PoolingSettings: plain_composed.pooling,
    hopcore.layers.LookupSettings: plain_composed.lookup,
    hopcore.layers.EncoderSettings: plain_composed.encoder,
    hopcore.layers.DecoderSettings: plain_composed.decoder,
}
"""The formula of each kind of layer."""


def formula(subject: Subject, case: Case, **options: Any) -> tuple[Array, float]:
    """The output of a layer by its formula, and its tolerance."""
    function = PLAIN[type(case.settings)]

    def compute(blur: Any) -> Array:
        found = function(case.settings, case.parameters, **case.inputs, blur=blur, **options)
        return found.output if isinstance(found, plain.Layer) else found

    return measured(subject, compute)


@cache
def layer_of(settings: Any, names: tuple[str, ...], parameters: tuple[str, ...]) -> Any:
    """A layer as a function of arrays; equal arguments give the same function."""

    def call(*arrays: Any, **masks: Any) -> Any:
        values = dict(zip(names, arrays, strict=True))
        own = {name: values.pop(name) for name in parameters}
        return hopcore.hopfield(settings, own, **values, **masks)

    return call
