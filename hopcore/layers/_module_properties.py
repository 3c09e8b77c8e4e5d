"""What a layer says of itself, in torch as in JAX; the names are those of hopfield-layers."""

from __future__ import annotations

from typing import Any

from hopcore.layers._settings import HopfieldSettings

SAME = (
    "batch_first",
    "input_size",
    "num_heads",
    "update_steps_max",
    "update_steps_eps",
    "stored_pattern_as_static",
    "state_pattern_as_static",
    "pattern_projection_as_static",
    "normalize_stored_pattern",
    "normalize_state_pattern",
    "normalize_pattern_projection",
    "normalize_hopfield_space",
)
"""Properties that are settings of the same name."""


class Described:
    """Properties of a layer with an association, read from its settings.

    A layer has ``association_settings``, those of its Hopfield layer.
    """

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        raise NotImplementedError

    @property
    def hidden_size(self) -> int | None:
        """Depth of the association space of a head."""
        return self.association_settings.head_size

    @property
    def output_size(self) -> int | None:
        """Depth of the output."""
        return self.association_settings.out_size

    @property
    def pattern_size(self) -> int | None:
        """Depth of what a head recalls."""
        return self.association_settings.value_size

    @property
    def state_pattern_dim(self) -> int | None:
        """Depth of the state patterns."""
        return self.association_settings.input_size

    @property
    def stored_pattern_dim(self) -> int | None:
        """Depth of the stored patterns."""
        return self.association_settings.stored_size

    @property
    def pattern_projection_dim(self) -> int | None:
        """Depth of the pattern projections."""
        return self.association_settings.projection_size


def _setting(name: str) -> Any:
    return property(
        lambda self: getattr(self.association_settings, name), doc=f"The setting ``{name}``."
    )


def _affine(name: str) -> Any:
    return property(
        lambda self: self.association_settings.affine(name),
        doc=f"Whether the normalisation of the {name} is learnable.",
    )


for _name in SAME:
    setattr(Described, _name, _setting(_name))
    if _name.startswith("normalize_"):
        setattr(Described, f"{_name}_affine", _affine(_name.removeprefix("normalize_")))
