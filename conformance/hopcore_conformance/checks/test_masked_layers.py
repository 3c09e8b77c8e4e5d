"""Patterns that no query may attend to have no influence, in layers, graphs and diffusion."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import hopcore
from hopcore_conformance.cases import diffused
from hopcore_conformance.cases.composed_layers import COMPOSED, composed
from hopcore_conformance.cases.diffused import no_half
from hopcore_conformance.cases.layer_modules import FUNCTIONS
from hopcore_conformance.cases.layer_options import DIFFUSED, SETTINGS, UPDATES, settings_of
from hopcore_conformance.cases.layers import BATCH, PATTERNS, Case, case_of, formula, run
from hopcore_conformance.cases.masked import CONTENTS, filled
from hopcore_conformance.checks.measure import agree
from hopcore_conformance.report.statements import statement
from hopcore_conformance.subject import Subject

Array = np.ndarray

LAYERS = {
    **{name: SETTINGS[name] for name in ("as it comes", "connected", "patterns added", "sparse")},
    "nothing projected": SETTINGS["nothing projected"],
    "two updates": UPDATES["two updates"],
    **{name: DIFFUSED[name] for name in ("factored", "eta of each query", "along the graph")},
}

PADDED = np.asarray([[False, False, True, False, True], [True, False, False, True, True]])
"""The padding of stored patterns, (B, S)."""

SEQUENCE = settings_of(normalize_pattern_projection=False, scaling=0.7)
"""A layer whose input associates with itself."""


def padded(case: Case, content: str, subject: Subject) -> Case:
    """The case with contents in the padding of stored patterns and projections."""
    changes = {
        name: filled(case.patterns[name], PADDED, content, subject)
        for name in ("stored", "projection")
    }
    return case.but(patterns={**case.patterns, **changes})


@statement("A.masked", "L4")
@pytest.mark.parametrize(
    ("name", "content"),
    [*((name, "mixed") for name in sorted(LAYERS)), *(("factored", x) for x in CONTENTS[:-1])],
)
def test_a_layer_does_not_read_its_padding(subject: Subject, name: str, content: str) -> None:
    case = case_of(LAYERS[name]).on(subject).but(masks={"stored_pattern_padding_mask": PADDED})
    bad = padded(case, content, subject)
    agree("output", run(subject, hopcore.hopfield, bad), *formula(subject, case))
    # A mask of the association hides the same patterns, as booleans or as numbers.
    full = (BATCH, case.settings.num_heads, 3, PATTERNS)
    mask = np.broadcast_to(PADDED[:, None, None], full)
    for form in (mask, np.where(mask, -np.inf, 0.0)):
        other = bad.but(masks={"association_mask": form})
        agree("output", run(subject, hopcore.hopfield, other), *formula(subject, case))


@statement("A.masked", "L5")
@pytest.mark.parametrize("content", ["inf", "large", "mixed"])
@pytest.mark.parametrize("name", ["as it comes", "factored", "patterns added"])
def test_padding_is_in_no_derivative(subject: Subject, name: str, content: str) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} takes no derivatives")
    no_half(subject, "derivatives of layers are checked in float32 and float64")
    case = case_of(LAYERS[name]).on(subject)
    slopes = [
        slopes_of(subject, one, stored_pattern_padding_mask=PADDED)
        for one in (case, padded(case, content, subject))
    ]
    for key, wanted in slopes[0].items():
        # Masked patterns have no derivative, whatever they hold (L5).
        within = 256 * subject.eps * max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
        agree(f"derivative by {key}", slopes[1][key], wanted, within)


def slopes_of(
    subject: Subject, case: Case, probe: Array | None = None, **masks: Array
) -> dict[str, Array]:
    """The derivatives of the output of a layer with respect to its patterns and parameters."""
    values = {**case.patterns, **case.parameters}
    function = function_of(case.settings, tuple(values), tuple(case.parameters))
    by = range(len(values))
    found = subject.gradient(function, *values.values(), by=by, probe=probe, **masks)
    return dict(zip(values, found, strict=True))


@cache
def function_of(settings: Any, names: tuple[str, ...], parameters: tuple[str, ...]) -> Any:
    """A layer of any kind as a function of arrays; equal arguments give the same function."""
    function = FUNCTIONS.get(type(settings), hopcore.hopfield)

    def call(*arrays: Any, **masks: Any) -> Any:
        values = dict(zip(names, arrays, strict=True))
        own = {name: values.pop(name) for name in parameters}
        return function(settings, own, **values, **masks)

    return call


SEQUENCES = {"src": "src_key_padding_mask", "tgt": "tgt_key_padding_mask"}
"""Inputs that associate with themselves, and the masks of their padding."""


def masked_case(name: str, content: str, subject: Subject) -> tuple[Case, Case, Array]:
    """A composed layer without and with contents in its padding, and the mask of its output."""
    case = composed(name, 0).on(subject)
    first = case.settings.hopfield.batch_first
    masks = {
        "stored": "stored_pattern_padding_mask",
        "projection": "stored_pattern_padding_mask",
        "memory": "memory_key_padding_mask",
        **SEQUENCES,
    }
    patterns, shown = dict(case.patterns), np.asarray(True)
    for key, x in case.patterns.items():
        if masks.get(key) in case.masks:
            hidden = case.masks[masks[key]]
            patterns[key] = filled(x, hidden if first else hidden.T, content, subject)
            if key in SEQUENCES:
                shown = ~(hidden if first else hidden.T)[..., None]
    return case, case.but(patterns=patterns), shown


@statement("A.masked", "L10", "L11")
@pytest.mark.parametrize("content", ["large", "mixed"])
@pytest.mark.parametrize("name", sorted(name for name in COMPOSED if "lookup" not in name))
def test_composed_layers_do_not_read_padding(subject: Subject, name: str, content: str) -> None:
    case, bad, shown = masked_case(name, content, subject)
    got = run(subject, FUNCTIONS[type(case.settings)], bad)
    wanted, within = formula(subject, case)
    assert np.all(np.isfinite(got)), f"output: {got!r}"
    agree("output", np.where(shown, got, 0.0), np.where(shown, wanted, 0.0), within)


@statement("A.masked", "L10", "L11")
@pytest.mark.parametrize("content", ["mixed"])
@pytest.mark.parametrize("name", ["pooling", "encoder", "decoder, normalised first"])
def test_padding_of_composed_layers_is_in_no_derivative(
    subject: Subject, name: str, content: str
) -> None:
    if not subject.differentiates:
        pytest.skip(f"{subject.backend.name} takes no derivatives")
    no_half(subject, "derivatives of layers are checked in float32 and float64")
    case, bad, shown = masked_case(name, content, subject)
    shape = np.shape(formula(subject, case)[0])
    probe = np.where(shown, np.random.default_rng(0).normal(size=shape), 0.0)
    slopes = [slopes_of(subject, one, probe, **case.masks) for one in (case, bad)]
    for key, wanted in slopes[0].items():
        within = 256 * subject.eps * max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
        agree(f"derivative by {key}", slopes[1][key], wanted, within)


@statement("A.masked", "L4")
@pytest.mark.parametrize("content", CONTENTS)
def test_padded_positions_of_a_sequence_are_queries_of_zeros(
    subject: Subject, content: str
) -> None:
    rng = np.random.default_rng(3)
    case = case_of(SEQUENCE).on(subject)
    sequence = subject.rounded(rng.normal(size=(BATCH, PATTERNS, 6)))
    masks = {"stored_pattern_padding_mask": PADDED}
    zeros = np.where(PADDED[..., None], 0.0, sequence)
    wanted, within = formula(subject, case.but(patterns=triple(zeros), masks=masks))
    filling = {"stored": filled(sequence, PADDED, content, subject)}
    if content == "mixed":  # ordinary numbers beside others: no padded position is all of one kind
        assert np.all(np.any(~np.isfinite(filling["stored"][PADDED]), axis=-1))
    got = run(subject, hopcore.hopfield, case.but(patterns=filling, masks=masks))
    agree("output of a sequence", got, wanted, within)
    # Ordinary numbers there are queries like any others.
    plain = case.but(patterns={"stored": sequence}, masks=masks)
    right = formula(subject, case.but(patterns=triple(sequence), masks=masks))
    agree("output with ordinary padding", run(subject, hopcore.hopfield, plain), *right)
    if not subject.differentiates or subject.dtype not in ("float32", "float64"):
        return
    for key, slope in slopes_of(subject, case.but(patterns=filling), **masks).items():
        assert np.all(np.isfinite(slope)), f"derivative by {key}: {slope!r}"


def triple(sequence: Array) -> dict[str, Array]:
    """A sequence as stored patterns, state patterns and projections."""
    return dict.fromkeys(("stored", "state", "projection"), sequence)


NODES = np.arange(7) % 3 != 1
"""The patterns of a graph that are not masked."""


@statement("A.masked", "G.batch")
@pytest.mark.parametrize("content", CONTENTS)
def test_graphs_do_not_read_masked_patterns(subject: Subject, content: str) -> None:
    def weights(patterns: Any, mask: Any) -> tuple[Any, Any]:
        graph = hopcore.knn_graph(patterns, 2, mask=mask)
        return graph.to_dense(), hopcore.build_similarity_matrix(patterns, mask=mask)

    def alone(patterns: Any) -> tuple[Any, Any]:
        graph = hopcore.knn_graph(patterns, 2)
        return graph.to_dense(), hopcore.build_similarity_matrix(patterns)

    patterns = subject.rounded(np.random.default_rng(4).normal(size=(7, 4)))
    got = subject(weights, filled(patterns, ~NODES, content, subject), NODES)
    wanted = subject(alone, patterns[NODES])
    for name, found, right in zip(("neighbours", "similarities"), got, wanted, strict=True):
        both = np.ix_(NODES, NODES)
        agree(name, found[both], right, 16 * (subject.eps if name[0] == "s" else subject.fine))
        agree(f"{name} of masked patterns", found[~NODES], np.zeros_like(found[~NODES]), 0.0)


@statement("A.masked", "J0")
@pytest.mark.parametrize("content", ["large", "mixed"])
@pytest.mark.parametrize("values", ["tied", "untied", "evolving"])
@pytest.mark.parametrize("given", [True, False], ids=["graph given", "graph of the patterns"])
def test_diffusion_does_not_read_masked_patterns(
    subject: Subject, given: bool, values: Any, content: str
) -> None:
    case = diffused.case_of(1).on(subject)
    shown = np.asarray([True, True, False, True, True, True])
    config = hopcore.DiffusionConfig(eta=0.2, steps=2, k_neighbors=2)

    def call(*arrays: Any, edges: Any, **options: Any) -> tuple[Any, ...]:
        if given:
            options["graph"] = diffused.graph_of(edges)
        found = hopcore.diffused_retrieve(
            *arrays, config=config, values=values,
            **({"max_steps": 1} if values == "tied" else {}), **options,
        )  # fmt: skip
        return found.output, found.keys, found.energy

    def retrieved(stored: Array, projection: Array, shown: Array = shown) -> Any:
        p, mask = case.p, np.broadcast_to(shown, (3, len(shown)))
        return subject(call, p.state, stored, p.beta, edges=case.edges, mask=mask,
                       projection=projection)  # fmt: skip

    arrays = case.p.stored, case.p.projection
    got = retrieved(*(filled(x, ~shown, content, subject) for x in arrays))
    wanted = retrieved(*(np.where(shown[:, None], x, 0.0) for x in arrays))
    for name, found, right in zip(("output", "keys", "energy"), got, wanted, strict=True):
        agree(name, found, right, 0.0)
    if not given:  # then it is the memory without them
        alone = retrieved(*(x[shown] for x in arrays), shown[shown])
        within = 64 * subject.eps * max(1.0, float(np.max(np.abs(alone[2]))))
        agree("output", got[0], alone[0], within)
        agree("keys", got[1][shown], alone[1], within)
        agree("energy", got[2], alone[2], within)
