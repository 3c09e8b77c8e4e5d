"""The pages on migration: their tables have every argument of the peers, and hold.

A row that says *same* or *renamed* gives the peer's numbers here. Signatures are those of
difflayers 0.1.1; it carries the layers of hopfield-layers 1.0.2, with the same arguments.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import difflayers
import pytest
import torch
from difflayers import functional, graph, transformer
from difflayers.auxiliary import data
from layer_cases import CORE, Case, usual
from migration_numbers import NUMBERS
from test_layers import ask, close, drawn, pair, transformers

import hopcore
import hopcore_torch

PAGES = Path(__file__).parents[2] / "docs" / "tutorials"
VERDICTS = "same", "renamed", "different", "gone"
LAYERS = "Hopfield", "HopfieldPooling", "HopfieldLayer", "HopfieldCore"
TRANSFORMERS = "HopfieldEncoderLayer", "HopfieldDecoderLayer"
OPERATORS = (
    "DiffusionOperator", "SimpleDiffusion", "IterativeDiffusion", "SpectralDiffusion",
    "FactoredDiffusion",
)  # fmt: skip
FUNCTIONS = (
    "build_similarity_matrix", "build_knn_graph", "compute_laplacian",
    "compute_normalized_laplacian", "apply_diffusion",
)  # fmt: skip
LIKE_HOPFIELD = "HopfieldPooling", "HopfieldLayer", "DiffusedHopfield"


def keys_of(cell: str) -> list[str]:
    """``a`` of an argument, ``f(a)`` of a method's, ``f()`` without any, ``.p`` of a property."""
    found = []
    for dot, name, inside in re.findall(r"`(\.?)(\w+)(\([^`]*\))?`", cell):
        arguments = [one.strip() for one in inside.strip("()").split(",") if one.strip()]
        found += [f"{name}({one})" for one in arguments] or [
            f"{name}()" if inside else f"{dot}{name}"
        ]
    return found


def tables(page: str) -> dict[str, dict[str, str]]:
    """What a page says of each argument, by the headings of its tables."""
    text = (PAGES / page).read_text(encoding="utf-8")
    text = text[text.index("## Argument by argument") :]
    text = text[: text.index("\n## ")]
    found: dict[str, dict[str, str]] = {}
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title, body = part.split("\n", 1)
        heading = title.strip("`")
        table = found.setdefault(heading, {})
        for first, verdict in re.findall(r"^\| (`.*?) \| (\w+) \|", body, flags=re.MULTILINE):
            for key in keys_of(first):
                assert key not in table, f"{heading}: {key} is there twice"
                table[key] = verdict
    return found


OLD, NEW = tables("migrate-hopfield-layers.md"), tables("migrate-difflayers.md")


def parameters(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def signature(kind: type) -> set[str]:
    """All that a user can hand to a class of the peer, or ask of it."""
    found = set(parameters(kind))
    for name, raw in vars(kind).items():
        one = raw.__func__ if isinstance(raw, staticmethod) else raw
        if isinstance(one, property):
            found.add(f".{name}")
        elif inspect.isfunction(one) and (not name.startswith("_") or name == "__call__"):
            found |= {f"{name}({x})" for x in parameters(one)} or {f"{name}()"}
    return found


def peer(name: str) -> Any:
    """What the peer has under a name, wherever it keeps it."""
    return next(vars(x)[name] for x in (difflayers, transformer, graph, data) if name in vars(x))


def there(name: str) -> set[str]:
    """All keys of a class or a function of the peer."""
    one = peer(name)
    if inspect.isclass(one):
        return signature(one)
    return {f"{name}({argument})" for argument in parameters(one)}


def told(name: str) -> dict[str, str]:
    """What the pages say of a class or a function of the peer."""
    if name in FUNCTIONS:
        return {k: x for k, x in NEW["Functions"].items() if k.startswith(f"{name}(")}
    own = {**OLD, **NEW}.get(name) or NEW["Operators"]
    return {**OLD["Hopfield"], **own} if name in LIKE_HOPFIELD else own


CLASSES = (
    *LAYERS, *TRANSFORMERS, *OPERATORS, "DiffusedHopfield", "DiffusionConfig", "GraphBuilder",
    "LaplacianBuilder", "GraphCache", "AttentionOperator", "DynamicsEngine", "EnergyTracker",
)  # fmt: skip


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])
def test_every_argument_is_told(name: str) -> None:
    assert there(name) <= set(told(name))


def test_nothing_is_told_that_is_not_there() -> None:
    for table in (OLD, NEW):
        for heading, rows in table.items():
            names = {"Operators": OPERATORS, "Functions": FUNCTIONS}.get(heading, (heading,))
            assert set(rows) <= set().union(*(there(name) for name in names)), heading
            assert set(rows.values()) <= set(VERDICTS)


def test_every_name_is_told() -> None:
    text = (PAGES / "migrate-difflayers.md").read_text(encoding="utf-8")
    table = text[text.index("## Names") : text.index("## Examples")]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    names = {name for row in rows for name in keys_of(row)}
    public = {*difflayers.__all__, *graph.__all__, "HopfieldEncoderLayer", "HopfieldDecoderLayer"}
    assert names == public | {"hopfield_core_forward", "BitPatternSet", "LatchSequenceSet"}
    assert set(CLASSES) | set(FUNCTIONS) == public
    assert functional.hopfield_core_forward
    # What stays under its name is there; the fluent chain has taken the place of one class.
    assert {name for name in public if not hasattr(hopcore_torch, name)} == {"LaplacianBuilder"}
    layers = {*LAYERS, *TRANSFORMERS, "DiffusedHopfield", "LaplacianBuilder"}
    assert {name for name in public if not hasattr(hopcore, name)} == layers


PATTERNS = "stored_pattern", "state_pattern", "pattern_projection"
VALUES: dict[str, dict[str, Any]] = {
    "input_size": {"input_size": 6},
    "hidden_size": {"hidden_size": 3},
    "output_size": {"output_size": 5},
    "pattern_size": {"pattern_size": 5},
    "num_heads": {"num_heads": 2},
    "update_steps_max": {"update_steps_max": 1, "scaling": 0.8},
    **{
        f"normalize_{x}": {f"normalize_{x}": False, f"normalize_{x}_affine": False}
        for x in PATTERNS
    },
    **{f"normalize_{x}_affine": {f"normalize_{x}_affine": False} for x in PATTERNS},
    **{f"normalize_{x}_eps": {f"normalize_{x}_eps": 0.5} for x in PATTERNS},
    "normalize_hopfield_space": {"normalize_hopfield_space": True},
    "normalize_hopfield_space_affine": {
        "normalize_hopfield_space": True, "normalize_hopfield_space_affine": True, "hidden_size": 3
    },
    "normalize_hopfield_space_eps": {
        "normalize_hopfield_space": True, "normalize_hopfield_space_eps": 0.5
    },
    "pattern_projection_as_connected": {"pattern_projection_as_connected": True},
    "stored_pattern_size": {"stored_pattern_size": 3},
    "pattern_projection_size": {"pattern_projection_size": 3},
    "batch_first": {"batch_first": False},
    "dropout": {"dropout": 0.5},
    "input_bias": {"input_bias": False},
    "add_zero_association": {"add_zero_association": True},
    "disable_out_projection": {"disable_out_projection": True},
    "quantity": {"quantity": 3},
    "trainable": {"trainable": False},
    "lookup_weights_as_separated": {"lookup_weights_as_separated": True},
    "lookup_targets_as_trainable": {"lookup_targets_as_trainable": False},
}  # fmt: skip
"""For each argument settings in which it is not what it is if it is not given."""

OWN = "quantity", "trainable", "lookup_weights_as_separated", "lookup_targets_as_trainable"


def case_of(kind: str, changes: dict[str, Any]) -> Case:
    """A layer with these settings, masks, and inputs that fit."""
    sizes = {"stored_pattern_size": 3, "pattern_projection_size": 3}
    if kind == "HopfieldLayer" and sizes.keys() & changes:
        changes = {**changes, **sizes}  # both are those of its lookup
    own = {name: value for name, value in changes.items() if name in OWN}
    first = {"batch_first": False} if kind == "HopfieldCore" else {}
    case = usual(kind, **{**first, **{n: x for n, x in changes.items() if n not in OWN}})
    quantity = {"HopfieldPooling": "queries", "HopfieldLayer": "stored"}.get(kind)
    rows = {quantity: own.get("quantity", 1)} if quantity else {}
    return replace(case, own=own, padding="bool", association="float2", **rows)


def same(kind: str) -> list[str]:
    return [key for key, verdict in told(kind).items() if verdict == "same"]


def arguments_of(kind: str) -> list[tuple[str, str]]:
    """The arguments of a layer's constructor that are said to be the same."""
    names = parameters(peer(kind))
    return [(kind, key) for key in same(kind) if key in names]


@pytest.mark.parametrize(
    ("kind", "argument"), [pair for kind in LAYERS for pair in arguments_of(kind)]
)
def test_same_arguments_of_layers(kind: str, argument: str) -> None:
    names = {core: name for name, core in CORE.items()} if kind == "HopfieldCore" else {}
    case = case_of(kind, VALUES[names.get(argument, argument)])
    default = inspect.signature(peer(kind)).parameters[argument].default
    assert case.own.get(argument, case.settings.get(names.get(argument, argument))) != default
    answers = []
    for layer in pair(case):
        torch.manual_seed(0)
        answers.append(ask(layer, case))
    close(answers[1][0], answers[0][0])
    assert answers[1][1].keys() == answers[0][1].keys()
    for name, gradient in answers[0][1].items():
        close(answers[1][1][name], gradient)


@pytest.mark.parametrize("kind", LAYERS[:3])
def test_same_methods_and_properties_of_layers(kind: str) -> None:
    changes = {"num_heads": 2, "hidden_size": 3, "output_size": 5}
    case = case_of(kind, changes | ({} if kind == "Hopfield" else {"quantity": 3}))
    theirs, ours = pair(case)
    inputs = case.inputs()
    given = inputs[0] if len(inputs) == 1 else tuple(inputs)
    for key in (set(same(kind)) & there(kind)) - set(parameters(peer(kind))):
        name = key.split("(")[0].removeprefix(".")
        if key.startswith("."):
            assert getattr(ours, name) == getattr(theirs, name), name
        elif name == "reset_parameters":
            shapes = {k: x.shape for k, x in ours.state_dict().items()}
            ours.reset_parameters()
            assert {k: x.shape for k, x in ours.state_dict().items()} == shapes
        else:
            found, expected = (getattr(x, name)(given, **case.masks()) for x in (ours, theirs))
            close(found, expected)
        ours.load_state_dict(theirs.state_dict())


def test_same_methods_of_the_core() -> None:
    case = replace(case_of("HopfieldCore", {"num_heads": 2}), association="bool2")
    theirs, ours = pair(case)
    masks = case.masks()
    given = {
        "key_padding_mask": masks["stored_pattern_padding_mask"],
        "attn_mask": masks["association_mask"],
        "need_weights": True, "update_steps_max": 1, "return_raw_associations": True,
        "return_pattern_projections": True,
    }  # fmt: skip
    asked = {f"forward({name})" for name in (*given, "query", "key", "value")}
    assert {key for key in same("HopfieldCore") if key.startswith("forward")} == asked
    for found, expected in zip(
        ours(*case.inputs(), **given), theirs(*case.inputs(), **given), strict=True
    ):
        close(found, expected)
    assert ours(*case.inputs(), need_weights=False)[1] is None


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_same_arguments_of_transformer_layers(name: str) -> None:
    """They are built with arguments that are not the usual ones, and asked with all masks."""
    theirs, ours, inputs = transformers(True, "tanh")[TRANSFORMERS.index(name)]
    later = torch.ones(3, 3, dtype=torch.bool).triu(1)
    padding = torch.tensor([[False, False, True], [False, True, False]])
    masks = {"src_mask": later, "src_key_padding_mask": padding}
    if len(inputs) == 2:
        across = torch.zeros(3, 5, dtype=torch.bool)
        across[1, 2] = True
        masks = {
            "tgt_mask": later, "tgt_key_padding_mask": padding, "memory_mask": across,
            "memory_key_padding_mask": torch.tensor([[False] * 4 + [True]] * 2),
        }  # fmt: skip
    asked = {f"forward({one})" for one in masks}
    sequences = {"forward(src)", "forward(tgt)", "forward(memory)"}
    assert {x for x in same(name) if x.startswith("forward")} - sequences == asked
    answers = []
    for layer in (theirs, ours):
        answers.append(layer.eval()(*inputs, **masks))
    close(answers[1], answers[0])
    for key in same(name):
        if key.startswith("."):
            assert getattr(ours, key[1:]) == getattr(theirs, key[1:])


KEPT = [
    (heading, key)
    for heading, rows in NEW.items()
    for key, verdict in rows.items()
    if verdict in ("same", "renamed")
]


@pytest.mark.parametrize(("heading", "key"), KEPT)
def test_same_and_renamed_arguments_of_the_diffusion(heading: str, key: str) -> None:
    NUMBERS[heading][key]()


def test_all_numbers_are_told() -> None:
    assert {(heading, key) for heading, keys in NUMBERS.items() for key in keys} == set(KEPT)


def test_a_layer_without_diffusion_is_a_plain_one_in_both() -> None:
    layers = [
        package.DiffusedHopfield(4, num_heads=2, eta=0.0).double()
        for package in (difflayers, hopcore_torch)
    ]
    drawn(layers[0], 3)
    layers[1].load_state_dict(layers[0].state_dict(), strict=True)
    case = usual(num_heads=2)
    close(ask(layers[1], case)[0], ask(layers[0], case)[0])
