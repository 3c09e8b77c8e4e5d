"""Layers and inputs for the comparison with difflayers, drawn by hypothesis.

A drawn layer is one that the peer can build and run; where it computes something else than is
meant, the difference has a name in ``layer_differences``.
"""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st
from layer_cases import PATTERNS, STATIC, Case, head_size, static_execution

flags = st.booleans()
rare = st.sampled_from([False] * 9 + [True])
some = st.sampled_from([False, False, True])


@st.composite
def layers(draw: st.DrawFn, kind: str) -> Case:
    """A layer of one kind that the peer can build and run, with inputs that fit it."""
    settings, depths, own = draw(sized(kind))
    settings |= {
        "batch_first": draw(flags),
        "dropout": draw(st.sampled_from([0.0, 0.4])),
        "input_bias": draw(flags),
        "add_zero_association": draw(flags),
        "concat_bias_pattern": draw(rare),
        "normalize_hopfield_space_eps": draw(st.sampled_from([1e-5, 1e-2])),
    }
    steps = draw(updates(settings["num_heads"]))
    if kind == "HopfieldCore":
        settings["batch_first"] = False
    else:
        settings |= steps
        settings |= draw(normalised(settings, depths))
        settings["association_activation"] = draw(
            st.sampled_from([None, "relu", "tanh", "sigmoid", "selu"])
        )
    if kind in ("HopfieldPooling", "HopfieldLayer"):
        for name in [name for name in settings if name.endswith("_eps") and "update" not in name]:
            del settings[name]
    batch, stored = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    queries = draw(st.integers(1, 4))
    alike = depths[1] == depths[2] and (kind == "HopfieldPooling" or depths[0] == depths[1])
    shared = alike and draw(flags)
    if shared and kind in ("Hopfield", "HopfieldCore"):
        queries = stored
    if kind == "HopfieldPooling":
        own["quantity"] = queries
    if kind == "HopfieldLayer":
        own["quantity"] = stored
    masks = st.sampled_from([None, None, "bool2", "bool3", "float2", "float3"])
    return Case(
        kind, settings, own, depths, batch, queries, stored, shared,
        padding="bool" if draw(flags) else None, association=draw(masks),
        seed=draw(st.integers(0, 2**16)), steps=steps,
    )  # fmt: skip


@st.composite
def sized(
    draw: st.DrawFn, kind: str
) -> tuple[dict[str, Any], tuple[int, int, int], dict[str, Any]]:
    """Heads, sizes and what is static; the depths of the three inputs; arguments of the kind."""
    size, maybe = st.integers(1, 6), st.one_of(st.none(), st.integers(1, 6))
    heads = draw(st.integers(1, 3))
    hidden = draw(maybe)
    found: dict[str, Any] = {
        "num_heads": heads,
        "hidden_size": hidden,
        "input_size": draw(size) * (1 if hidden else heads),
        "output_size": draw(maybe),
        "disable_out_projection": draw(some),
        "normalize_hopfield_space": draw(flags),
        "pattern_projection_as_connected": draw(some),
        **{name: draw(some) for name in STATIC},
    }
    if draw(st.sampled_from([False] * 4 + [True])):
        found |= dict.fromkeys(("disable_out_projection", *STATIC), True)
        found |= {"normalize_hopfield_space": False, "pattern_projection_as_connected": False}
    connected = found["pattern_projection_as_connected"]
    found["normalize_hopfield_space_affine"] = bool(
        found["normalize_hopfield_space"] and hidden and draw(flags)
    )
    head = head_size(found)
    found["pattern_size"] = draw(st.sampled_from([None, head]) if connected else maybe)
    found["stored_pattern_size"] = draw(maybe)
    found["pattern_projection_size"] = found["stored_pattern_size"] if connected else draw(maybe)
    depths = draw(depths_of(kind, found))
    own: dict[str, Any] = {}
    if kind in ("HopfieldPooling", "HopfieldLayer"):
        own["trainable"] = draw(flags)
    if kind == "HopfieldLayer":
        depths, own = draw(learned(found, depths, own))
    return found, depths, own


@st.composite
def depths_of(draw: st.DrawFn, kind: str, found: dict[str, Any]) -> tuple[int, int, int]:
    """The depths of the inputs that a layer takes."""
    whole, fixed = static_execution(found), kind in ("HopfieldPooling", "HopfieldLayer")
    head = found["input_size"] if whole else head_size(found)
    static = [found[name] for name in STATIC]
    free = not fixed and not found["pattern_projection_as_connected"]
    if static[0] and static[1] and free and not found["normalize_hopfield_space_affine"]:
        # What is static on both sides may have any depth.
        head = draw(st.integers(1, 6)) if whole else max(head, draw(st.integers(1, 6)))
    value = found["pattern_size"] or head_size(found)
    if found["disable_out_projection"] and not found["pattern_projection_as_connected"]:
        value = draw(st.integers(1, 6))
    own = found["input_size"]
    stored, projection = (
        found["stored_pattern_size"] or own,
        found["pattern_projection_size"] or own,
    )
    if static[2] and found["pattern_projection_as_connected"] and not static[1]:
        # The peer wants the depth of the values before and after the projection of the keys.
        if not found["disable_out_projection"]:
            projection = found["stored_pattern_size"] = found["pattern_projection_size"] = value
            stored = projection
        value = projection
    return (
        head if static[0] else own,
        head if static[1] else stored,
        value if static[2] else projection,
    )


@st.composite
def learned(
    draw: st.DrawFn, found: dict[str, Any], depths: tuple[int, int, int], own: dict[str, Any]
) -> tuple[tuple[int, int, int], dict[str, Any]]:
    """A learned memory whose values are separate if their depth asks for it."""
    connected = found["pattern_projection_as_connected"]
    if found["pattern_projection_as_static"] and found["disable_out_projection"] and not connected:
        # Values may have any depth: that of the learned ones.
        depths = *depths[:2], found["pattern_projection_size"] or depths[1]
    own["lookup_weights_as_separated"] = depths[1] != depths[2] or draw(flags)
    if own["lookup_weights_as_separated"]:
        own["lookup_targets_as_trainable"] = draw(flags)
        if (found["pattern_projection_size"] or depths[1]) != depths[2]:
            assume(not connected)
            found["pattern_projection_size"] = depths[2]
    return depths, own


@st.composite
def normalised(
    draw: st.DrawFn, settings: dict[str, Any], depths: tuple[int, int, int]
) -> dict[str, Any]:
    """Which inputs are normalised: static ones only if they have the depth of projected ones."""
    found: dict[str, Any] = {}
    for name, depth in zip(PATTERNS, depths, strict=True):
        wanted = settings.get(f"{name}_size") or settings["input_size"]
        on = depth == wanted and draw(flags)
        found[f"normalize_{name}"] = on
        found[f"normalize_{name}_affine"] = on and draw(flags)
        found[f"normalize_{name}_eps"] = draw(st.sampled_from([1e-5, 1e-2]))
    return found


@st.composite
def updates(draw: st.DrawFn, heads: int) -> dict[str, Any]:
    """Inverse temperatures, and updates that no rule stops: their threshold is tiny."""
    beta, steps = st.floats(0.1, 3.0), st.integers(0, 3)
    scaling = draw(st.one_of(st.none(), beta, st.lists(beta, min_size=heads, max_size=heads)))
    most = draw(st.one_of(steps, st.lists(steps, min_size=heads, max_size=heads)))
    if isinstance(scaling, list):
        scaling = torch.tensor(scaling if draw(flags) else scaling[:1] * heads, dtype=torch.float64)
    if isinstance(most, list):
        most = torch.tensor(most, dtype=torch.int32)
    eps = 1e-300 if draw(flags) else torch.full((heads,), 1e-300, dtype=torch.float64)
    return {"scaling": scaling, "update_steps_max": most, "update_steps_eps": eps}
