"""Signatures: every argument is spelled, typed and documented, and agrees with the settings."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, get_type_hints

import pytest

import hopcore
from hopcore import layers

ADAPTERS = "hopcore_torch", "hopcore_jax"
PROGRAMS = {"cli", "experiments"}
FACES = [
    "hopcore",
    *(f"hopcore.{name}" for name in hopcore.PACKAGES if name not in PROGRAMS),
    *(
        f"{adapter}{part}"
        for adapter in ADAPTERS
        for part in ("", ".kernels", ".layers", ".distributed")
    ),
]

POSITIONAL = (
    "input_size", "hidden_size", "output_size", "pattern_size", "num_heads", "scaling",
    "update_steps_max", "update_steps_eps",
)  # fmt: skip
"""The arguments of a Hopfield layer that may be given by position, in the order of its peers."""

OWN = {
    "hopcore_torch": ("device", "dtype"),
    "hopcore_jax": ("key", "dtype", "inference"),
}
"""The last arguments of every constructor."""

OTHER_TYPES = {"scaling"}
"""Arguments that also take arrays of the library, which settings do not hold."""

VARIADIC = {
    "over_blocks": "arrays that belong to the queries, as many as a block takes",
    "requires_gradient": "takes any number of arrays",
    "OverWorkers.sum": "passes the options of the namespace on",
    "OverWorkers.max": "passes the options of the namespace on",
}
"""Public callables with a variable number of arguments, and why."""


@dataclasses.dataclass(frozen=True)
class Constructor:
    """What a constructor must take, by the settings that its arguments become."""

    kind: type
    places: tuple[str, ...] = ()
    """The arguments that may be given by position, and are not in the order of the settings."""
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    """Arguments by other names, and the settings that they are."""
    inner: tuple[str, ...] = ()
    """Settings that are not arguments: they follow from others."""
    more: tuple[str, ...] = ()
    """Arguments that are no settings, or whose default or type is not that of the setting."""
    within: type | None = None
    """The settings of the layer within, whose fields are arguments, too."""


HOPFIELD = Constructor(layers.HopfieldSettings, POSITIONAL)
TRANSFORMER = ("dim_feedforward", "dropout", "activation", "layer_norm_eps", "batch_first")
FEATURES = ("input_size", "num_heads", "hopfield", "cross")

CONSTRUCTORS = {
    "Hopfield": HOPFIELD,
    "DiffusedHopfield": Constructor(
        layers.HopfieldSettings,
        POSITIONAL,
        inner=("diffusion", "beta", "steps"),
        more=("diffusion_steps", "config"),
        within=hopcore.DiffusionConfig,
    ),
    "HopfieldPooling": Constructor(
        layers.PoolingSettings, POSITIONAL, inner=("hopfield",), within=layers.HopfieldSettings
    ),
    "HopfieldLayer": Constructor(
        layers.LookupSettings,
        POSITIONAL,
        inner=("hopfield",),
        more=("quantity", "num_pattern_repetitions"),  # two names, of which one may be given
        within=layers.HopfieldSettings,
    ),
    "HopfieldCore": Constructor(
        layers.HopfieldSettings,
        tuple(layers.CORE),
        names=layers.CORE,
        inner=tuple(
            field.name
            for field in dataclasses.fields(layers.HopfieldSettings)
            if field.name not in {*layers.CORE.values(), "batch_first"}
        ),
        more=("batch_first",),  # False, as in torch
    ),
    "LearnableTemperatureAttention": Constructor(
        layers.HopfieldSettings,
        ("d_model", "num_heads", "init_temp_factor", "per_head", "shared"),
        names=layers.CORE,
        inner=tuple(
            field.name
            for field in dataclasses.fields(layers.HopfieldSettings)
            if field.name not in {*layers.CORE.values(), "separation", "similarity"}
            or field.name == "input_size"
        ),
        # The sizes have no default, and the last three arguments are settings of the temperature.
        more=("d_model", "num_heads", "init_temp_factor", "per_head", "shared"),
    ),
    **{
        f"Hopfield{kind}Layer": Constructor(
            getattr(layers, f"{kind}Settings"),
            ("d_model", "nhead", *TRANSFORMER, "norm_first", "bias"),
            inner=FEATURES,
            # The layer's own dropout, which its association shares; batch_first is False in torch.
            more=("d_model", "nhead", "batch_first", "dropout", "input_bias", *associations),
            within=layers.HopfieldSettings,
        )
        for kind, associations in (
            ("Encoder", ("hopfield_association",)),
            ("Decoder", ("hopfield_association_self", "hopfield_association_cross")),
        )
    },
    "HNL": Constructor(layers.HNLSettings),
    "HNM": Constructor(layers.HNMSettings),
    "VectorQuantizer": Constructor(layers.QuantizerSettings),
    "EnergyTransformer": Constructor(layers.EnergyTransformerSettings),
}
"""The constructors of both adapters."""

CLASSES = [(adapter, name) for adapter in ADAPTERS for name in CONSTRUCTORS]


def parameters_of(adapter: str, name: str) -> dict[str, inspect.Parameter]:
    function = getattr(import_module(adapter), name).__init__
    return dict(list(inspect.signature(function).parameters.items())[1:])


def settings_of(one: Constructor) -> dict[str, dataclasses.Field[Any]]:
    """The settings that are arguments, by the names of the arguments."""
    kinds = (one.kind,) if one.within is None else (one.kind, one.within)
    called = {setting: name for name, setting in one.names.items()}
    found: dict[str, dataclasses.Field[Any]] = {}
    for kind in kinds:
        for field in dataclasses.fields(kind):
            if field.name not in one.inner:
                found.setdefault(called.get(field.name, field.name), field)
    return found


def test_every_class_of_the_adapters_is_listed() -> None:
    for adapter in ADAPTERS:
        module = import_module(adapter)
        kinds = {name for name in module.__all__ if hasattr(getattr(module, name), "KIND")}
        assert kinds | {"HopfieldCore"} == set(CONSTRUCTORS)


@pytest.mark.parametrize(("adapter", "name"), CLASSES)
def test_names_are_those_of_the_settings(adapter: str, name: str) -> None:
    one, given = CONSTRUCTORS[name], parameters_of(adapter, name)
    associations = {key for key in given if key.startswith("hopfield_association")}
    assert bool(associations) == (adapter == "hopcore_torch" and "Layer" in name[9:])
    absent = {key for key in one.more if key.startswith("hopfield_association")} - associations
    assert set(given) == {*settings_of(one), *one.more, *OWN[adapter]} - absent


@pytest.mark.parametrize(("adapter", "name"), CLASSES)
def test_order_is_that_of_the_settings(adapter: str, name: str) -> None:
    one, given = CONSTRUCTORS[name], parameters_of(adapter, name)
    places = [key for key, each in given.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    assert tuple(places) == one.places
    assert tuple(given)[-len(OWN[adapter]) :] == OWN[adapter]
    named = [key for key in given if key not in (*places, *one.more, *OWN[adapter])]
    fields = [key for key in one.names or settings_of(one) if key in named]
    # Settings of a layer within may come before or after its own.
    inside = {field.name for field in dataclasses.fields(one.within)} if one.within else set()
    for group in (inside & set(fields), set(fields) - inside):
        own = [key for key in named if key in group]
        assert own == [key for key in fields if key in group]


@pytest.mark.parametrize(("adapter", "name"), CLASSES)
def test_defaults_are_those_of_the_settings(adapter: str, name: str) -> None:
    one, given = CONSTRUCTORS[name], parameters_of(adapter, name)
    for key, field in settings_of(one).items():
        if key not in one.more:
            missing = field.default is dataclasses.MISSING
            wanted = inspect.Parameter.empty if missing else field.default
            assert given[key].default == wanted, key
            assert type(given[key].default) is type(wanted), key


@pytest.mark.parametrize(("adapter", "name"), CLASSES)
def test_types_are_those_of_the_settings(adapter: str, name: str) -> None:
    one = CONSTRUCTORS[name]
    hints = get_type_hints(getattr(import_module(adapter), name).__init__)
    kinds = [get_type_hints(kind) for kind in (one.kind, one.within) if kind is not None]
    for key, field in settings_of(one).items():
        if key not in {*one.more, *OTHER_TYPES}:
            wanted = next(each[field.name] for each in kinds if field.name in each)
            assert hints[key] == wanted, key
    for key in OTHER_TYPES & hints.keys():
        assert {float, tuple[float, ...], type(None)} < set(hints[key].__args__)
        assert hopcore.LearnableTemperature in hints[key].__args__


def documented(kind: type) -> list[str]:
    """The arguments in the section "Parameters" of a docstring."""
    text = inspect.getdoc(kind) or ""
    section = re.search(r"Parameters\n-+\n(.*?)(?:\n\n[A-Z][a-z ]+\n-+\n|\Z)", text, re.DOTALL)
    assert section is not None
    heads = [line for line in section[1].splitlines() if line and not line.startswith(" ")]
    return [name.strip() for line in heads for name in line.split(" :")[0].split(",")]


@pytest.mark.parametrize(("adapter", "name"), CLASSES)
def test_arguments_are_documented(adapter: str, name: str) -> None:
    found = documented(getattr(import_module(adapter), name))
    assert len(found) == len(set(found))
    assert set(found) == set(parameters_of(adapter, name))


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("Hopfield", (), {"inptu_size": 32}, "did you mean input_size?"),
    ("Hopfield", (32,), {"n_heads": 2}, "did you mean num_heads?"),
    ("Hopfield", (32,), {"beta": 1.0}, "did you mean scaling?"),
    ("HopfieldPooling", (32,), {"trainabel": True}, "did you mean trainable?"),
    ("DiffusedHopfield", (32,), {"k": 3}, "did you mean k_neighbors?"),
    ("HopfieldCore", (32,), {"nhead": 3}, "did you mean num_heads?"),
    ("HopfieldEncoderLayer", (8,), {"num_heads": 2}, "did you mean nhead?"),
    ("HNL", (), {"in_features": 3}, "did you mean input_size?"),
    ("VectorQuantizer", (), {"zzz": 3}, "there are input_size, groups, quantity"),
    ("HNM", (8, 6), {}, "HNM takes its settings by name, input_size=, .*; got 2 by position"),
    ("Hopfield", (8, 4, 8, 4, 2, 1.0, 0, 1e-4, True), {}, "8 arguments by position, .* got 9"),
]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(("name", "args", "arguments", "words"), WRONG)
def test_a_wrong_argument_is_answered_with_the_right_one(
    adapter: str, name: str, args: tuple[Any, ...], arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words) as error:
        getattr(import_module(adapter), name)(*args, **arguments)
    assert "\n" not in str(error.value)


MADE_BY_OTHERS = {
    "Backend", "DiffusionOperator", "Retrieval", "Softmax", "Statistics", "backend",
}  # fmt: skip
"""Names of daily use that are derived from, returned, or take nothing by name."""


@pytest.mark.parametrize("name", sorted({*hopcore.__all__} - MADE_BY_OTHERS))
def test_names_of_daily_use_know_their_arguments(name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name} has no argument zzzzz: there are ") as error:
        getattr(hopcore, name)(zzzzz=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("adapter", "name"), CLASSES)
def test_calls_of_layers_know_their_arguments(adapter: str, name: str) -> None:
    kind = getattr(import_module(adapter), name)
    call = kind.forward if adapter == "hopcore_torch" else kind.__call__
    layer = object.__new__(kind)
    with pytest.raises(TypeError, match=f"^a call of {name} has no argument zzzzz: there are "):
        call(layer, zzzzz=1)
    made = sorted(parameters_of(adapter, name).keys() - inspect.signature(call).parameters)[0]
    with pytest.raises(TypeError, match=f"{made}= is given when the layer is made"):
        call(layer, **{made: 1})


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All public callables of the packages: functions, constructors, and public methods."""
    seen: set[int] = set()
    for face in FACES:
        module = import_module(face)
        for name in module.__all__:
            value = getattr(module, name)
            if id(value) in seen or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            seen.add(id(value))
            yield name, value
            if inspect.isclass(value):
                for key, method in inspect.getmembers(value, inspect.isroutine):
                    own = str(getattr(method, "__module__", "")).startswith("hopcore")
                    if own and (not key.startswith("_") or key == "__call__"):
                        yield f"{name}.{key}", method


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a callable of ours; none of protocols, aliases and exceptions."""
    if inspect.isclass(function) and (
        getattr(function, "_is_protocol", False)
        or issubclass(function, BaseException)
        or not function.__module__.startswith("hopcore")
    ):
        return None
    return inspect.signature(function)


def test_all_arguments_are_spelled_and_annotated() -> None:
    found = 0
    for name, function in callables():
        signature = signature_of(function)
        if signature is None:
            continue
        found += 1
        for one in signature.parameters.values():
            variadic = one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            excused = name in VARIADIC or name.split(".")[-1] in VARIADIC
            assert not variadic or excused, f"{name}: {one}"
            if one.name not in ("self", "cls"):
                assert one.annotation is not one.empty, f"{name}: {one}"
    assert found > 300
