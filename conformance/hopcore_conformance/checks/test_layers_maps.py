"""Association weights of layers: those of the forward pass, whose output follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore.layers import DecoderSettings, EncoderSettings, LookupSettings, PoolingSettings
from hopcore_conformance.cases.composed_layers import COMPOSED, composed
from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.cases.layer_modules import (
    FUNCTIONS,
    NAMES,
    has_modules,
    module_of,
    module_output,
)
from hopcore_conformance.cases.layer_options import EVERY
from hopcore_conformance.cases.layers import PLAIN, Case, case_of, formula, measured, run
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.oracle import layers as plain
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

ASSOCIATED = (
    *("as it comes", "patterns added", "sparse", "two updates", "until at rest"),
    *("eta of each query", "along the graph", "weights"),
)
"""Settings of one association: longer memories, updates, each way to diffuse."""

NAMED = sorted(COMPOSED) + [f"layer, {name}" for name in ASSOCIATED]


def masked(name: str, subject: Subject) -> Case:
    """The case of a name, with masks."""
    if name in COMPOSED:
        return composed(name, 0).on(subject)
    own = name.removeprefix("layer, ")
    if own == "until at rest":
        no_half(subject, "rounding moves a state by more than the distance at which it rests")
    return case_of(EVERY[own], masks="both" if own != "sparse" else "numbers").on(subject)


def maps_of(settings: Any, parameters: Any, **inputs: Any) -> Any:
    """The weights that the functions report, one array for each association."""
    if isinstance(settings, EncoderSettings):
        return (hopcore.layers.encoder_weights(settings, parameters, **inputs),)
    if isinstance(settings, DecoderSettings):
        tgt, memory = inputs.pop("tgt"), inputs.pop("memory")
        own = {key: x for key, x in inputs.items() if key.startswith("tgt")}
        return (
            hopcore.layers.decoder_weights_self(settings, parameters, tgt, **own),
            hopcore.layers.decoder_weights_cross(settings, parameters, tgt, memory, **inputs),
        )
    if isinstance(settings, PoolingSettings):
        state = hopcore.layers.learned(parameters["pooling_weights"])
        settings, parameters = settings.hopfield, hopcore.layers.inner(parameters, "hopfield")
        inputs["state"] = state
    elif isinstance(settings, LookupSettings):
        stored, targets = parameters["lookup_weights"], parameters.get("target_weights")
        inputs["stored"] = hopcore.layers.learned(stored)
        if targets is not None:
            inputs["projection"] = hopcore.layers.learned(targets)
        settings, parameters = settings.hopfield, hopcore.layers.inner(parameters, "hopfield")
    return (hopcore.layers.hopfield_weights(settings, parameters, **inputs),)


def module_maps(subject: Subject, case: Case) -> Any:
    """The weights that the module reports, one array for each association."""
    names, kind = list(case.parameters), NAMES[type(case.settings)]

    def call(*arrays: Any, **given: Any) -> Any:
        module = module_of(subject, case.settings, dict(zip(names, arrays, strict=True)))
        patterns = [given.pop(name) for name in case.patterns]
        if kind == "HopfieldDecoderLayer":
            own = {key: x for key, x in given.items() if key.startswith("tgt")}
            return (
                module.get_association_matrix_self(patterns[0], **own),
                module.get_association_matrix_cross(*patterns, **given),
            )
        if kind in ("Hopfield", "HopfieldPooling"):
            patterns = [patterns[0] if len(patterns) == 1 else tuple(patterns)]
        return (module.get_association_matrix(*patterns, **given),)

    return subject(call, *case.parameters.values(), **case.inputs)


def gives_output(subject: Subject, case: Case, maps: Any, output: Array) -> None:
    """Compare an output with the formula, evaluated with the reported weights."""
    kind = type(case.settings)
    given: dict[str, Any] = {"drop": lambda _: maps[0]}
    if kind in (EncoderSettings, DecoderSettings):
        given = {"maps": maps}

    def compute(blur: Any) -> Array:
        found = PLAIN[kind](case.settings, case.parameters, **case.inputs, blur=blur, **given)
        return found.output if isinstance(found, plain.Layer) else found

    wanted, within = measured(subject, compute)
    agree("output by the weights", output, wanted, within + formula(subject, case)[1])


@statement("L18", "L8")
@pytest.mark.parametrize("name", NAMED)
def test_weights_are_those_of_the_forward_pass(subject: Subject, name: str) -> None:
    case = masked(name, subject)
    maps = run(subject, maps_of, case)
    gives_output(subject, case, maps, run(subject, FUNCTIONS[type(case.settings)], case))


@statement("L18", "L16")
@pytest.mark.parametrize("name", NAMED)
def test_modules_report_the_weights_of_their_forward_pass(subject: Subject, name: str) -> None:
    if not has_modules(subject):
        pytest.skip(f"{subject.backend.name} has no modules")
    case = masked(name, subject)
    gives_output(subject, case, module_maps(subject, case), module_output(subject, case))
