"""Hopfield layers: association of state patterns with stored patterns, plain and diffused."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import (
    DIFFUSION,
    PATTERNS,
    POSITIONAL,
    AssociationProperties,
    DiffusionMethods,
    HopfieldSettings,
    bind_arguments,
    diffused_arguments,
    hopfield_settings,
    layer_parameters,
    refuse_arguments,
)
from hopcore.schedules import LearnableTemperature, learned_temperature
from hopcore_torch.layers._base import (
    ParameterOwner,
    dropout,
    parameter_of,
    split_scaling,
    start,
    tensor,
)
from hopcore_torch.layers._core import HopfieldCore

Patterns = torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""One tensor for all patterns, or stored patterns, state patterns and pattern projections."""


class Hopfield(ParameterOwner, AssociationProperties):
    """A Hopfield layer: state patterns recall from stored patterns, in several heads.

    Parameters
    ----------
    input_size, hidden_size, output_size, pattern_size, num_heads
        Depths and heads, see :class:`hopcore.HopfieldSettings`.
    scaling : float, int, tensor, torch.nn.Parameter or LearnableTemperature, optional
        Inverse temperature: a number, one for each head, or a parameter of one of these shapes that
        is trained with the layer; or a temperature that is learned and stays positive.
    update_steps_max, update_steps_eps
        Updates of the state, and when it rests.
    device, dtype
        Of the parameters.
    **settings
        All other fields of :class:`hopcore.HopfieldSettings`.

    Raises
    ------
    TypeError, ValueError
        Settings that make no sense, or contradict each other.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import Hopfield
    >>> layer = Hopfield(input_size=8, num_heads=2)
    >>> stored, state = torch.ones(3, 50, 8), torch.ones(3, 10, 8)
    >>> layer((stored, state, stored)).shape
    torch.Size([3, 10, 8])
    """

    KIND: ClassVar[type] = HopfieldSettings

    def __init__(
        self,
        *args: Any,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> None:
        arguments, scaling = split_scaling(bind_arguments(POSITIONAL, args, settings))
        self._make(hopfield_settings(arguments), scaling, device=device, dtype=dtype)

    @classmethod
    def of(
        cls, settings: HopfieldSettings, scaling: nn.Parameter | None = None, **where: Any
    ) -> Hopfield:
        """The layer with these settings; ``device`` and ``dtype`` of its parameters."""
        layer = cls.__new__(cls)
        layer._make(settings, scaling, **where)
        return layer

    def _make(self, settings: HopfieldSettings, scaling: nn.Parameter | None, **where: Any) -> None:
        parameters = layer_parameters(settings)
        # The inverse temperature is an attribute where it is no parameter.
        learned = isinstance(settings.scaling, LearnableTemperature)
        names = parameters if learned else dict.fromkeys([*parameters, "scaling"])
        self._own(settings, names)
        self.association_core = HopfieldCore.of(settings, **where)
        sizes = settings.stored_size, settings.input_size, settings.projection_size
        for name, size in zip(PATTERNS, sizes, strict=True):
            norm = None
            if settings.normalizes(name):
                eps = getattr(settings, f"normalize_{name}_eps")
                affine = settings.affine(name)
                assert size is not None
                norm = nn.LayerNorm(size, eps, elementwise_affine=affine, **where)
            setattr(self, f"norm_{name}", norm)
        if learned:
            names = ("temperature", "shared_temperature")
            thetas = {name: parameters[name] for name in names if name in parameters}
            # Not registered: the name is that of a property, which says the temperature itself.
            self._parameters.update({name: tensor(one, **where) for name, one in thetas.items()})
            start(self, thetas)
        else:
            self._scale(settings, scaling, **where)
        self._watch("association_core", *(f"norm_{name}" for name in PATTERNS))
        diffusion = settings.diffusion
        self.cache = hopcore.GraphCache(diffusion) if diffusion and diffusion.cache_graph else None

    def _scale(
        self, settings: HopfieldSettings, scaling: nn.Parameter | None, **where: Any
    ) -> None:
        """The inverse temperature as an attribute: number, buffer or parameter."""
        beta: Any = settings.beta
        if settings.learnable_scaling:
            begin = torch.as_tensor(beta, device=where.get("device"), dtype=where.get("dtype"))
            beta = nn.Parameter(begin) if scaling is None else scaling
        if isinstance(beta, tuple):
            begin = torch.tensor(beta, device=where.get("device"), dtype=where.get("dtype"))
            self.register_buffer("scaling", begin, persistent=False)
        else:
            self.scaling = beta

    @property
    def association_settings(self) -> HopfieldSettings:
        """The settings of the association."""
        return self.settings

    @property
    def temperature(self) -> Any:
        """The current temperature, one for all heads or one for each, with its gradient."""
        learned = self.settings.scaling
        if isinstance(learned, LearnableTemperature):
            shared = parameter_of(self, "shared_temperature") if learned.shared else None
            return learned_temperature(parameter_of(self, "temperature"), shared)
        return 1.0 / self.scaling

    @temperature.setter
    def temperature(self, value: Any) -> None:
        if not isinstance(self.settings.scaling, LearnableTemperature):
            raise AttributeError("a temperature that is not learned is 1 / scaling: set scaling")
        # As torch sets plain tensors on the replicas of a layer, in place of its parameters.
        self.__dict__["temperature"] = value

    def __getattr__(self, name: str) -> Any:
        """The inverse temperature, where the temperature is learned."""
        if name == "scaling" and "temperature" in self._parameters:
            return 1.0 / self.temperature
        return super().__getattr__(name)

    def forward(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
        **others: Any,
    ) -> torch.Tensor:
        """Return what each state pattern recalls.

        Parameters
        ----------
        input : tensor, or tuple of three
            Stored patterns, state patterns and pattern projections, ``(..., S or L, d)``; one
            tensor stands for all.
        stored_pattern_padding_mask : tensor (..., S), optional
            True = ignored; or numbers that are added to the scores. The masks of the core, as of
            :func:`hopcore.association`, are the opposite: True = attend.
        association_mask : tensor (L, S), (B H, L, S) or (B, H, L, S), optional
            True = not attended; or numbers that are added to the scores.
        **others
            None: an argument of another library is refused by the name that it has here.

        Returns
        -------
        tensor (..., L, output_size)
        """
        if others:
            refuse_arguments(others)
        return hopcore.hopfield(
            self.settings,
            self.arrays(),
            *unpack_inputs(input),
            stored_pattern_padding_mask=stored_pattern_padding_mask,
            association_mask=association_mask,
            drop=dropout(self, self.settings.dropout),
            cache=self.cache,
        )

    def association_weights(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return how much each query of each head attends to each pattern, ``(..., H, L, S)``."""
        return hopcore.layers.hopfield_weights(
            self.settings,
            self.arrays(),
            *unpack_inputs(input),
            stored_pattern_padding_mask=stored_pattern_padding_mask,
            association_mask=association_mask,
            cache=self.cache,
        )

    @torch.no_grad()
    def get_association_matrix(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """:meth:`association_weights` without a gradient."""
        return self.association_weights(input, stored_pattern_padding_mask, association_mask)

    @torch.no_grad()
    def get_projected_pattern_matrix(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the values of each head, ``(..., H, S, v)``, without a gradient."""
        return hopcore.layers.hopfield_projections(
            self.settings, self.arrays(), *unpack_inputs(input)
        )


class DiffusedHopfield(Hopfield, DiffusionMethods):
    """A Hopfield layer whose memory is diffused over the graph of its nearest neighbours.

    The keys of all heads are diffused over one graph for each sample; then the layer associates as
    ever, with its own inverse temperature, and recalls the values as given.

    Parameters
    ----------
    *args, **settings
        As in :class:`Hopfield`, and the fields of :class:`hopcore.DiffusionConfig`.
    diffusion_steps : int
        T, the ``steps`` of the configuration.
    config : DiffusionConfig, optional
        The whole configuration, instead of its fields; its ``beta`` is not used.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import DiffusedHopfield
    >>> layer = DiffusedHopfield(input_size=8, num_heads=2, eta=0.1, k_neighbors=3)
    >>> layer(torch.ones(3, 5, 8)).shape
    torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        *args: Any,
        diffusion_steps: int | None = None,
        config: DiffusionConfig | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **diffused_arguments(settings, diffusion_steps, config))

    def invalidate_cache(self) -> None:
        """Forget the graphs of memories that were seen; never needed for a right answer."""
        if self.cache is not None:
            self.cache.clear()

    def __getattr__(self, name: str) -> Any:
        """The fields of the configuration."""
        if name in DIFFUSION:
            return getattr(self.config, name)
        return super().__getattr__(name)


def unpack_inputs(input: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return stored patterns, state patterns and pattern projections."""
    if isinstance(input, torch.Tensor):
        patterns, nested = (input, input, input), input.is_nested
    elif isinstance(input, tuple | list) and len(input) == 3:
        stored, state, projection = patterns = input[0], input[1], input[2]
        nested = getattr(stored, "is_nested", False) or getattr(state, "is_nested", False)
        nested = nested or getattr(projection, "is_nested", False)
    else:
        patterns, nested = None, False
    if nested:
        raise TypeError(
            "input must not be a nested tensor: pad it, x.to_padded_tensor(0.0), and mask the "
            "padding with stored_pattern_padding_mask"
        )
    if patterns is not None:
        return patterns
    raise TypeError(
        "input must be one tensor, or three: stored patterns, state patterns and pattern "
        f"projections; got {type(input).__name__}"
    )
