"""Errors for arguments that a function does not have: they name the one that was probably meant.

The names that other libraries use, above all torch's attention, are listed here once: for the
functions of hopcore, for the constructors of the layers, and for their calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

MEANT = {
    "state": "query queries q xi state_pattern state_patterns",
    "stored": "key keys memory patterns stored_pattern stored_patterns",
    "projection": "value values v pattern_projection",
    "patterns": "stored memory x",
    "beta": "scale scaling softmax_scale inverse_temperature",
    "init_temp_factor": "scaling temperature beta",
    "scaling": "beta scale softmax_scale inverse_temperature",
    "separation": "activation normalization attention_activation sparsity",
    "max_steps": "steps n_steps num_steps max_iter n_iter iterations update_steps_max",
    "update_steps_max": "steps n_steps num_steps max_iter n_iter iterations max_steps",
    "tol": "eps atol tolerance update_steps_eps",
    "update_steps_eps": "eps atol tolerance tol",
    "gradient": "grad differentiation backward",
    "num_heads": "n_heads heads nhead n_head",
    "nhead": "n_heads heads num_heads n_head",
    "dropout": "dropout_p p attn_dropout attention_dropout",
    "d_model": "input_size embed_dim in_features input_dim dim",
    "embed_dim": "input_size d_model in_features input_dim dim",
    "input_size": "d_model embed_dim in_features input_dim dim",
    "hidden_size": "hidden_dim head_dim",
    "output_size": "out_features output_dim n_classes num_classes",
    "quantity": "num_patterns n_patterns memory_size codes num_codes",
    "config": "diffusion",
    "k_neighbors": "k n_neighbors neighbors",
    "k": "k_neighbors n_neighbors neighbors",
    "seed": "rng random_state generator key",
    "generator": "seed rng random_state noise_key",
    "noise_key": "seed rng random_state generator",
    "key": "seed rng rngs random_state generator prng_key",
    "inference": "deterministic train training is_training",
    "goal": "target task",
    "diffusion_mode": "mode method",
    "stored_pattern_padding_mask": "padding_mask src_key_padding_mask",
    "src_key_padding_mask": "key_padding_mask padding_mask",
    "association_mask": "attention_mask src_mask",
    "src_mask": "attn_mask attention_mask mask",
    "src": "input x sequence",
    "input": "src x query",
    "tgt_is_causal": "is_causal",
    "steps": "n_steps num_steps T_max epochs",
    "end": "stop T_min eta_min",
    "start": "initial T_0",
    "factor": "gamma decay",
    "every": "step_size period",
    "p": "power exponent order",
    "ax": "axes axis",
    "per_head": "num_heads n_heads",
}
"""The arguments of hopcore, each with the names that other libraries, or other functions, have."""

HEADS = "heads are a leading axis, state (..., H, L, d) and stored (..., H, S, d)"
CAUSAL = "True above the diagonal: ones(L, S, dtype=bool).triu(1), or ~jnp.tri(L, S, dtype=bool)"
ADVICE = {
    "key_padding_mask": {
        "stored_pattern_padding_mask": "stored_pattern_padding_mask= takes it, True = ignored as "
        "in torch",
        "tgt_key_padding_mask": "did you mean tgt_key_padding_mask or memory_key_padding_mask?",
        "mask": "write mask=~key_padding_mask[..., None, :], since True = attend here",
    },
    "src_key_padding_mask": {
        "tgt_key_padding_mask": "did you mean tgt_key_padding_mask or memory_key_padding_mask?",
        "mask": "write mask=~src_key_padding_mask[..., None, :], since True = attend here",
    },
    "attn_mask": {
        "association_mask": "association_mask= takes it, True = not attended as in torch",
        "tgt_mask": "did you mean tgt_mask or memory_mask?",
        "mask": "write mask=~attn_mask, since True = attend here",
    },
    "mask": {
        "association_mask": "association_mask= takes ~mask: True = not attended; in the core "
        "True = attend",
        "tgt_mask": "did you mean tgt_mask or memory_mask?",
    },
    "is_causal": {
        "association_mask": f"pass association_mask=, {CAUSAL}",
        "src_mask": f"pass src_mask=, {CAUSAL}",
        "tgt_is_causal": "",
        "tgt_mask": f"pass tgt_mask=, {CAUSAL}",
        "attn_mask": f"pass attn_mask=, {CAUSAL}",
        "mask": "pass mask=np.tri(L, S, dtype=bool), True = attend",
    },
    "need_weights": {
        "src_mask": "layer.get_association_matrix(...) returns the weights",
        "tgt_mask": "layer.get_association_matrix_self(...) and _cross(...) return the weights",
        "association_mask": "layer.association_weights(...) returns the weights",
        "stored": "hopcore.association_weights(...) returns the weights",
    },
    "temperature": {
        "beta": "write beta=1 / temperature, the inverse",
        "init_temp_factor": "",
        "scaling": "did you mean scaling? It is the inverse, 1 / temperature",
    },
    "beta": {"temperature": "write temperature=1 / beta"},
    "alpha": {"separation": "write separation=hopcore.Entmax(alpha)"},
    "dropout_p": {
        "stored": "the core drops nothing; multiply hopcore.association_weights(...) instead",
    },
    **{
        name: {"config": f"write config=hopcore.DiffusionConfig({name}=...)"}
        for name in ("eta", "k_neighbors", "diffusion_mode", "adaptive_eta")
    },
    "k": {"k_neighbors": "", "config": "write config=hopcore.DiffusionConfig(k_neighbors=...)"},
    "src_mask": {"tgt_mask": "did you mean tgt_mask or memory_mask?"},
    "figsize": {"ax": "pass ax=hopcore.plots.new_figure(width, height).subplots()"},
    "device": {"inference": "jax.device_put moves arrays, jax.default_device chooses a device"},
    **{
        name: {"association_mask": "give one tuple, layer((key, query, value))"}
        for name in ("query", "key", "value")
    },
    **{name: {"stored": HEADS} for name in ("num_heads", "n_heads", "nhead", "heads")},
}
"""What to write instead of an argument, by the argument of hopcore that does the same.

An empty text asks whether this argument was meant.
"""
for also, name in {"dropout": "dropout_p", "return_weights": "need_weights"}.items():
    ADVICE[also] = ADVICE[name]

Function = TypeVar("Function", bound=Callable[..., Any])


def suggest_names(function: Function) -> Function:
    """Return a function with an error that suggests the right name of an unknown argument.

    The function may also be a method or a constructor. Given a class, its constructor is replaced.
    ``inspect.signature``, ``help`` and type checkers still see the arguments themselves.

    Examples
    --------
    >>> from hopcore.layers import suggest_names
    >>> @suggest_names
    ... def recall(state, beta=1.0):
    ...     return state
    >>> recall(3.0, scale=0.5)
    Traceback (most recent call last):
    TypeError: recall has no argument scale: did you mean beta?
    """
    if isinstance(function, type):
        kind: Any = function
        kind.__init__ = suggest_names(kind.__init__)
        return cast(Function, kind)
    parameters = list(signature(function).parameters.values())
    method = bool(parameters) and parameters[0].name == "self"
    known = frozenset(one.name for one in parameters)
    places = sum(one.kind in (one.POSITIONAL_OR_KEYWORD, one.POSITIONAL_ONLY) for one in parameters)

    @wraps(function)
    def call(*args: Any, **arguments: Any) -> Any:
        for name in arguments:
            if name not in known:
                raise TypeError(no_argument(function, args[:method], name))
        if len(args) > places:
            raise TypeError(by_position(function, args[:method], len(args) - method))
        return function(*args, **arguments)

    return cast(Function, call)


def own_names(function: Callable[..., Any], *, by_position: bool = False) -> list[str]:
    """Return the names of the arguments of a function; those that may go by position if asked."""
    return [
        one.name
        for one in signature(function).parameters.values()
        if one.name != "self" and (not by_position or one.kind is one.POSITIONAL_OR_KEYWORD)
    ]


def title(function: Callable[..., Any], layer: Sequence[Any]) -> str:
    """Say which function it is; a method comes with its object, in a sequence of one."""
    name = getattr(function, "__name__", "the function")
    if not layer:
        return name
    kind = type(layer[0]).__name__
    if name == "__init__":
        return kind
    return f"a call of {kind}" if name in ("__call__", "forward") else f"{kind}.{name}"


def by_position(function: Callable[..., Any], layer: Sequence[Any], given: int) -> str:
    """Return the error for more arguments by position than a function takes."""
    names, places = own_names(function), own_names(function, by_position=True)
    which = title(function, layer)
    if not places:
        named = ", ".join(f"{name}=" for name in names)
        return f"{which} takes its settings by name, {named}; got {given} by position"
    count = f"{len(places)} argument{'s' * (len(places) > 1)} by position, {', '.join(places)}"
    others = ", and the others by name" if len(names) > len(places) else ""
    return f"{which} takes {count}{others}; got {given} by position"


def no_argument(function: Callable[..., Any], layer: Sequence[Any], name: str) -> str:
    """Return the error for an argument that a function does not have."""
    made: list[str] = []
    which = title(function, layer)
    if which.startswith("a call of "):
        made = own_names(type(layer[0]).__init__)
    return f"{which} has no argument {name}: {hint(name, own_names(function), made)}"


def hint(name: str, own: Sequence[str], made: Iterable[str]) -> str:
    """Return what to write instead of an argument.

    Parameters
    ----------
    name : str
        An argument that is unknown.
    own : sequence of str
        The arguments that there are.
    made : iterable of str
        The arguments with which the layer is made that is called.
    """
    for meant, words in ADVICE.get(name, {}).items():
        if meant in own:
            return words or f"did you mean {meant}?"
    synonyms = [meant for meant, names in MEANT.items() if name in names.split()]
    for meant in synonyms:
        if meant in own:
            return f"did you mean {meant}?"
    for meant in (name, *ADVICE.get(name, {}), *synonyms):
        if meant in made:
            return f"{meant}= is given when the layer is made"
    near = get_close_matches(name, own, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(own)}"
