"""Layers and inputs for the comparison with difflayers, drawn by hypothesis.

A drawn layer is one that the peer can build and run; where it computes something else than is
meant, the difference has a name in ``layer_differences``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import assume
from hypothesis import strategies as st

import hopcore_torch

STATIC = "state_pattern_as_static", "stored_pattern_as_static", "pattern_projection_as_static"
PATTERNS = "state_pattern", "stored_pattern", "pattern_projection"
KINDS = "Hopfield", "HopfieldPooling", "HopfieldLayer", "HopfieldCore"


@dataclass(frozen=True)
class Case:
    """A layer, and what it is asked.

    ``settings`` are arguments of both constructors, ``own`` those that one kind of layer has;
    ``depths`` are those of state patterns, stored patterns and pattern projections.
    """

    kind: str
    settings: dict[str, Any]
    own: dict[str, Any] = field(default_factory=dict)
    depths: tuple[int, int, int] = (4, 4, 4)
    batch: int = 2
    queries: int = 3
    stored: int = 4
    shared: bool = False
    padding: str | None = None
    association: str | None = None
    seed: int = 0
    steps: dict[str, Any] = field(default_factory=dict)

    @property
    def heads(self) -> int:
        return self.settings["num_heads"]

    @property
    def batch_first(self) -> bool:
        return self.settings["batch_first"]

    @property
    def static(self) -> tuple[bool, bool, bool]:
        state, stored, projection = (self.settings[name] for name in STATIC)
        return state, stored, projection

    @property
    def separate(self) -> bool:
        """Whether the projections of the inputs are matrices of their own."""
        return separate(self.settings)

    @property
    def head_size(self) -> int:
        return head_size(self.settings)

    def layer(self, package: Any, **changes: Any) -> torch.nn.Module:
        """The layer of a package, in float64."""
        settings = {**self.settings, **changes}
        if self.kind == "HopfieldCore":
            names = {core: name for name, core in CORE.items()}
            given = {core: settings[name] for core, name in names.items()}
            first = {"batch_first": settings["batch_first"]} if package is hopcore_torch else {}
            return package.HopfieldCore(**given, **first).double()
        where = {"dtype": torch.float64} if package is hopcore_torch else {}
        return getattr(package, self.kind)(**settings, **self.own, **where).double()

    def sizes(self) -> list[tuple[int, int, int]]:
        """Shapes ``(B, L, d)`` of the tensors that are handed in."""
        rows = self.queries, self.stored, self.stored
        state, stored, projection = (
            (self.batch, count, depth) for count, depth in zip(rows, self.depths, strict=True)
        )
        if self.kind == "HopfieldLayer":
            return [state]
        if self.shared:
            return [stored]
        if self.kind == "HopfieldPooling":
            return [stored, projection]
        return (
            [state, stored, projection]
            if self.kind == "HopfieldCore"
            else [stored, state, projection]
        )

    def inputs(self) -> list[torch.Tensor]:
        """Leaf tensors, drawn."""
        draw = torch.Generator().manual_seed(self.seed)
        found = [torch.randn(size, generator=draw, dtype=torch.float64) for size in self.sizes()]
        if not self.batch_first:
            found = [x.transpose(0, 1).contiguous() for x in found]
        return [x.requires_grad_() for x in found]

    def masks(self) -> dict[str, torch.Tensor]:
        """Masks that leave something for each query to attend to."""
        draw = torch.Generator().manual_seed(self.seed + 1)
        found = {}
        if self.padding:
            hidden = torch.rand(self.batch, self.stored, generator=draw) < 0.5
            hidden[:, 0] = False
            found["stored_pattern_padding_mask"] = hidden
        if self.association:
            lead = (self.batch * self.heads,) if self.association.endswith("3") else ()
            size = (*lead, self.queries, self.stored)
            hidden = torch.rand(size, generator=draw) < 0.5
            hidden[..., 0] = False
            if self.association.startswith("float"):
                scores = torch.randn(size, generator=draw, dtype=torch.float64)
                hidden = scores.masked_fill(hidden, -torch.inf)
            found["association_mask"] = hidden
        return found


def separate(settings: dict[str, Any]) -> bool:
    """Whether the projections of the inputs are matrices of their own."""
    if static_execution(settings):
        return settings["pattern_size"] is not None
    return (
        settings["pattern_size"] is not None
        or settings["pattern_projection_as_connected"]
        or any(
            settings[name] not in (None, settings["input_size"])
            for name in ("stored_pattern_size", "pattern_projection_size")
        )
    )


def static_execution(settings: dict[str, Any]) -> bool:
    """Whether nothing at all is projected."""
    return (
        all(settings[name] for name in STATIC)
        and settings["disable_out_projection"]
        and not settings["pattern_projection_as_connected"]
        and not settings["normalize_hopfield_space"]
    )


def head_size(settings: dict[str, Any]) -> int:
    """Depth of the association space of a head."""
    return settings["hidden_size"] or settings["input_size"] // settings["num_heads"]


CORE = {
    "input_size": "embed_dim", "num_heads": "num_heads", "dropout": "dropout", "input_bias": "bias",
    "concat_bias_pattern": "add_bias_kv", "add_zero_association": "add_zero_attn",
    "stored_pattern_size": "kdim", "pattern_projection_size": "vdim", "hidden_size": "head_dim",
    "pattern_size": "pattern_dim", "output_size": "out_dim",
    "disable_out_projection": "disable_out_projection", "stored_pattern_as_static": "key_as_static",
    "state_pattern_as_static": "query_as_static",
    "pattern_projection_as_static": "value_as_static",
    "pattern_projection_as_connected": "value_as_connected",
    "normalize_hopfield_space": "normalize_pattern",
    "normalize_hopfield_space_affine": "normalize_pattern_affine",
    "normalize_hopfield_space_eps": "normalize_pattern_eps",
}  # fmt: skip
"""Arguments of a layer by the names that ``HopfieldCore`` has for them."""

USUAL: dict[str, Any] = {
    "input_size": 4, "hidden_size": None, "output_size": None, "pattern_size": None, "num_heads": 1,
    "normalize_hopfield_space": False, "normalize_hopfield_space_affine": False,
    **dict.fromkeys(STATIC, False), "pattern_projection_as_connected": False,
    "stored_pattern_size": None, "pattern_projection_size": None, "batch_first": True,
    "dropout": 0.0, "input_bias": True, "concat_bias_pattern": False, "add_zero_association": False,
    "disable_out_projection": False,
}  # fmt: skip


def usual(kind: str = "Hopfield", **settings: Any) -> Case:
    """A layer with the usual settings but for some, and inputs of its depths."""
    found = {**USUAL, **settings}
    if kind == "HopfieldCore":
        found.setdefault("normalize_hopfield_space_eps", 1e-5)
    state, stored, projection = (
        head_size(found)
        if found[f"{name}_as_static"]
        else found.get(f"{name}_size") or found["input_size"]
        for name in PATTERNS
    )
    return Case(kind, found, depths=(state, stored, projection))


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
