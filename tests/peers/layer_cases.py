"""A layer of both packages and the inputs on which they are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

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


def noise(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
