"""Layers made from Hopfield layers: pooling, lookup, transformer layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore_conformance.cases.composed_layers import COMPOSED, composed
from hopcore_conformance.cases.layer_modules import FUNCTIONS
from hopcore_conformance.cases.layers import PATTERNS, QUERIES, formula, run
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

LEARNED = sorted(name for name in COMPOSED if name.startswith(("pooling", "lookup")))
TRANSFORMERS = sorted(set(COMPOSED) - set(LEARNED))


@statement("L10")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", LEARNED)
def test_learned_patterns_are_those_of_every_sample(subject: Subject, name: str, seed: int) -> None:
    case = composed(name, seed).on(subject)
    got = run(subject, FUNCTIONS[type(case.settings)], case)
    agree("output", got, *formula(subject, case))


@statement("L10", "L7")
@pytest.mark.parametrize("name", ["pooling, two queries", "pooling, diffused"])
def test_pooling_sees_a_set(subject: Subject, name: str) -> None:
    case = composed(name, 0).on(subject)
    columns = np.random.default_rng(1).permutation(PATTERNS)
    patterns = {key: x[:, columns] for key, x in case.patterns.items()}
    masks = {key: x[:, columns] for key, x in case.masks.items()}
    before = run(subject, hopcore.layers.hopfield_pooling, case)
    after = run(subject, hopcore.layers.hopfield_pooling, case.but(patterns=patterns, masks=masks))
    agree("output in another order", after, before, 2 * formula(subject, case)[1])


@statement("L10", "L2")
@pytest.mark.parametrize("name", LEARNED)
def test_learned_patterns_are_parameters(subject: Subject, name: str) -> None:
    settings = COMPOSED[name]
    own = settings.hopfield
    many = settings.quantity
    sizes = {
        "pooling_weights": own.hidden_size if own.state_pattern_as_static else own.input_size,
        "lookup_weights": own.hidden_size if own.stored_pattern_as_static else own.stored_size,
        "target_weights": own.projection_size,
    }
    found = hopcore.layers.parameter_shapes(settings)
    inner = hopcore.layers.parameter_shapes(own)
    assert {key: found.pop(f"hopfield.{key}") for key in inner} == inner
    wanted = ["pooling_weights" if "pooling" in name else "lookup_weights"]
    wanted += ["target_weights"] if "separate" in name else []
    shape = (1, many) if own.batch_first else (many, 1)
    assert found == {key: (*shape, sizes[key]) for key in wanted}


@statement("L11")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer_layers(subject: Subject, name: str, seed: int) -> None:
    case = composed(name, seed).on(subject)
    got = run(subject, FUNCTIONS[type(case.settings)], case)
    agree("output", got, *formula(subject, case))


@statement("L11")
@pytest.mark.parametrize("name", ["encoder", "encoder, normalised first"])
def test_a_causal_mask_hides_the_future(subject: Subject, name: str) -> None:
    case = composed(name, 0).on(subject)
    case = case.but(masks={"src_mask": case.masks["src_mask"]})
    axis = 1 if case.settings.association.batch_first else 0
    changed = np.moveaxis(case.patterns["src"].copy(), axis, 0)
    changed[-1] = 3.0
    other = case.but(patterns={"src": np.moveaxis(changed, 0, axis)})
    before, after = (
        np.moveaxis(run(subject, hopcore.layers.encoder_layer, one), axis, 0)
        for one in (case, other)
    )
    agree("output of the past", after[:-1], before[:-1], formula(subject, case)[1])
    assert np.any(after[-1] != before[-1])


@statement("L11", "L9")
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer_layers_drop_by_name(subject: Subject, name: str) -> None:
    case = composed(name, 0).on(subject)
    settings, seen = replace(case.settings, dropout=0.5), []

    def dropped(settings: Any, parameters: Any, **inputs: Any) -> Any:
        def drop(place: str, values: Any) -> Any:
            seen.append((place, tuple(values.shape)))
            return values if place == "dropout_residual" else 0.0 * values

        return FUNCTIONS[type(settings)](settings, parameters, **inputs, drop=drop)

    got = run(subject, dropped, case.but(settings=settings))
    encoder = "encoder" in name
    associations = ["association"] if encoder else ["association_self", "association_cross"]
    names = [*(f"dropout_hopfield_{x}" for x in associations), "dropout_residual", "dropout_output"]
    first = case.patterns["src" if encoder else "tgt"]
    hidden = (*first.shape[:-1], settings.dim_feedforward)
    shapes = [hidden if x == "dropout_residual" else first.shape for x in names]
    assert seen == list(zip(names, shapes, strict=True))
    if settings.norm_first:
        # Without its branches, a layer that normalises first does nothing.
        agree("output without branches", got, first, 0.0)
    assert first.shape[1 if settings.association.batch_first else 0] == QUERIES
