"""Random calls of layers, networks and quantisers, as functions and as modules.

Layers do not look for nan and infinity in patterns (docs/spec/layers.md), so that none is drawn but
where a mask hides it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hopcore
from hopcore_conformance.cases.composed_layers import COMPOSED, composed
from hopcore_conformance.cases.layer_modules import FUNCTIONS, NAMES, has_modules, module_of
from hopcore_conformance.cases.layer_options import DIFFUSED, SETTINGS, UPDATES
from hopcore_conformance.cases.layers import MASKS, Case, case_of
from hopcore_conformance.cases.temperature import NETWORKS, QUANTIZER, STACK, network_case
from soak.draws import Draw
from soak.memories import Drawn

ASSOCIATED = {**SETTINGS, **UPDATES, **DIFFUSED}
"""Hopfield layers that together have every option."""

TEMPERATURES = (1e-30, 1e-6, 0.01, 0.3, 1.0, 5.0, 1e6, 1e30)


def case(draw: Draw) -> Case:
    """A layer with its parameters, patterns and masks; what is padded may hold anything."""
    seed = int(draw.random.integers(2**31))
    if draw.shared("composed", range(10)) < 3:
        found = composed(draw.shared("settings", sorted(COMPOSED)), seed)
    else:
        settings = ASSOCIATED[draw.shared("settings", sorted(ASSOCIATED))]
        found = case_of(settings, seed, draw.shared("masks", MASKS))
    patterns = {name: scaled(draw, values) for name, values in found.patterns.items()}
    padding = found.masks.get("stored_pattern_padding_mask")
    if padding is not None and draw.random.random() < 0.5:
        content = draw.pick([np.nan, np.inf, -np.inf, 1e30])
        batch_first = getattr(found.settings, "hopfield", found.settings).batch_first
        hidden = padding if batch_first else padding.T
        for name in patterns.keys() & {"stored", "projection"}:
            if patterns[name].shape[:2] == hidden.shape:
                patterns[name] = np.where(hidden[..., None], content, patterns[name])
    return found.but(patterns=patterns)


def scaled(draw: Draw, values: np.ndarray) -> np.ndarray:
    """Patterns as they are, or in a hostile draw zero, repeated, tiny or long."""
    if not draw.hostile:
        return values
    kind = draw.pick(["usual", "repeated", "zero", "long", "tiny"])
    if kind == "repeated":
        return np.array(np.broadcast_to(values[:, :1], values.shape))
    return values * {"usual": 1.0, "zero": 0.0, "long": 1e3, "tiny": 1e-6}[kind]


def layer(draw: Draw) -> Drawn:
    """A layer as a function, or as a module where its library has them."""
    drawn = case(draw)
    subject = draw.subject
    parameters = {name: subject.put(x) for name, x in drawn.parameters.items()}
    arguments = {
        name: subject.put(x) if x.dtype == np.bool_ else draw.laid_out(x)
        for name, x in drawn.inputs.items()
    }
    if has_modules(subject) and draw.shared("module", [False, True]):
        return as_module(draw, drawn, parameters), arguments
    function = FUNCTIONS[type(drawn.settings)]

    def layer_function(**given: Any) -> Any:
        return function(drawn.settings, parameters, **given)

    return layer_function, arguments


def as_module(draw: Draw, drawn: Case, parameters: dict[str, Any]) -> Callable[..., Any]:
    """The module of a case, as a function of its patterns and masks by name."""
    names, kind = list(drawn.patterns), NAMES[type(drawn.settings)]
    module = module_of(draw.subject, drawn.settings, parameters)

    def layer_module(**given: Any) -> Any:
        patterns = [given.pop(name) for name in names]
        if kind in ("Hopfield", "HopfieldPooling"):
            patterns = [patterns[0] if len(patterns) == 1 else tuple(patterns)]
        found = module(*patterns, **given)
        return found.detach() if hasattr(found, "detach") else found

    return layer_module


def network(draw: Draw) -> Drawn:
    """A Hopfield network of lookups at a temperature, softly or hard."""
    settings = draw.shared("settings", [*NETWORKS.values(), STACK])
    drawn = network_case(settings, draw.random)
    parameters = {name: draw.subject.put(x) for name, x in drawn.parameters.items()}
    temperature = draw.pick(TEMPERATURES) if draw.hostile else 0.3
    function = hopcore.layers.hnm if settings is STACK else hopcore.layers.hnl

    def network_function(**given: Any) -> Any:
        return function(settings, parameters, **given)

    hard = draw.shared("hard", [False, True])
    state = draw.laid_out(scaled(draw, drawn.patterns["state"]))
    return network_function, {"state": state, "temperature": temperature, "hard": hard}


def quantizer(draw: Draw) -> Drawn:
    """A vector quantiser of two groups."""
    shape = (QUANTIZER.groups, QUANTIZER.quantity, QUANTIZER.input_size // QUANTIZER.groups)
    codebook = draw.subject.put(draw.random.normal(size=shape))
    rows = draw.shared("rows", [5, 0, 1])

    def quantize(**given: Any) -> Any:
        return hopcore.layers.quantize(QUANTIZER, {"codebook": codebook}, **given)

    features = scaled(draw, draw.random.normal(size=(rows, QUANTIZER.input_size)))
    return quantize, {
        "features": draw.laid_out(features),
        "temperature": draw.pick(TEMPERATURES) if draw.hostile else 0.5,
        "hard": draw.shared("hard", [False, True]),
    }


KINDS: dict[str, Callable[[Draw], Drawn]] = {
    "layer": layer,
    "layer again": layer,
    "network": network,
    "quantize": quantizer,
}
"""Layers are drawn twice as often, since they have the most options."""
