"""Hopfield layers: the association of states with stored patterns."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import torch
from torch import nn

import hopcore
from hopcore import DiffusionConfig
from hopcore.layers import (
    PATTERNS,
    ActivationName,
    AssociationProperties,
    HopfieldSettings,
    hopfield_settings,
    layer_parameters,
    named_arguments,
    suggest_names,
)
from hopcore.memory import LearnableAlpha, SeparationName, Similarity, learned_alpha
from hopcore.schedules import LearnableTemperature, learned_temperature
from hopcore_torch.layers._base import (
    AssociationMask,
    Device,
    ParameterOwner,
    Scaling,
    dropout,
    parameter_of,
    split_scaling,
    start,
    tensor,
)
from hopcore_torch.layers._core import HopfieldCore
from hopcore_torch.layers._from_torch import attention_arguments, copy_parameters

Patterns = torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""One tensor for all patterns, or stored patterns, state patterns and pattern projections."""


class Hopfield(ParameterOwner, AssociationProperties):
    """A Hopfield layer: the association of states with stored patterns, in several heads.

    Parameters
    ----------
    input_size, hidden_size, output_size, pattern_size, num_heads
        Sizes and number of heads, see :class:`hopcore.HopfieldSettings`.
    scaling : float, int, tensor, torch.nn.Parameter or LearnableTemperature, optional
        The inverse temperature: a number, a number for each head, a parameter of one of these
        shapes that is trained with the layer, or a learned temperature, which stays positive.
    update_steps_max, update_steps_eps
        The largest number of updates of the state, and the tolerance for convergence.
    learnable_scaling : bool
        Whether ``scaling`` is trained with the layer.
    separation : str or float
        ``"softmax"``, ``"sparsemax"``, or the alpha > 1 of an entmax, whose weights are sparse.
    similarity : {"dot", "distance"}
        How queries are compared with keys: by dot products, or by distances.
    normalize_stored_pattern, normalize_stored_pattern_affine, normalize_stored_pattern_eps
        Whether the stored patterns pass through layer normalisation, whether its scale and shift
        are learned, and what it adds to the variance.
    normalize_state_pattern, normalize_state_pattern_affine, normalize_state_pattern_eps
        The same for the states.
    normalize_pattern_projection, normalize_pattern_projection_affine
    normalize_pattern_projection_eps
        The same for the projections.
    normalize_hopfield_space, normalize_hopfield_space_affine, normalize_hopfield_space_eps
        The same for states and stored patterns in the association space of each head.
    stored_pattern_as_static, state_pattern_as_static, pattern_projection_as_static : bool
        Whether these patterns are already in the association space and are not projected.
    pattern_projection_as_connected : bool
        Whether the values pass through the projection of the stored patterns before their own.
    stored_pattern_size, pattern_projection_size : int, optional
        The numbers of features of the stored patterns and projections; the default is
        ``input_size``.
    batch_first : bool
        Whether inputs have the shape ``(..., L, d)``, and otherwise ``(L, ..., d)``.
    association_activation : str, optional
        The activation function of the output: one of :data:`hopcore.layers.ACTIVATIONS`.
    dropout : float
        The probability with which an association weight is dropped during training.
    input_bias : bool
        Whether projections, including that of the output, have a bias.
    concat_bias_pattern, add_zero_association : bool
        Whether to add a learned pattern, or a pattern of zeros, to the memory of each head.
    disable_out_projection : bool
        Whether the output is the concatenation of the heads, without a projection.
    diffusion : DiffusionConfig, optional
        Diffuse the memory over the graph of its nearest neighbours; its ``beta`` is not used.
    device, dtype
        The device and the dtype of the parameters.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid, or settings contradict each other.

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

    @suggest_names
    def __init__(
        self,
        input_size: int | None = None,
        hidden_size: int | None = None,
        output_size: int | None = None,
        pattern_size: int | None = None,
        num_heads: int = 1,
        scaling: Scaling | None = None,
        update_steps_max: int | tuple[int, ...] | None = 0,
        update_steps_eps: float | tuple[float, ...] = 1e-4,
        *,
        learnable_scaling: bool = False,
        separation: SeparationName | float | LearnableAlpha = "softmax",
        similarity: Similarity = "dot",
        normalize_stored_pattern: bool = True,
        normalize_stored_pattern_affine: bool = True,
        normalize_stored_pattern_eps: float = 1e-5,
        normalize_state_pattern: bool = True,
        normalize_state_pattern_affine: bool = True,
        normalize_state_pattern_eps: float = 1e-5,
        normalize_pattern_projection: bool = True,
        normalize_pattern_projection_affine: bool = True,
        normalize_pattern_projection_eps: float = 1e-5,
        normalize_hopfield_space: bool = False,
        normalize_hopfield_space_affine: bool = False,
        normalize_hopfield_space_eps: float = 1e-5,
        stored_pattern_as_static: bool = False,
        state_pattern_as_static: bool = False,
        pattern_projection_as_static: bool = False,
        pattern_projection_as_connected: bool = False,
        stored_pattern_size: int | None = None,
        pattern_projection_size: int | None = None,
        batch_first: bool = True,
        association_activation: ActivationName | None = None,
        dropout: float = 0.0,
        input_bias: bool = True,
        concat_bias_pattern: bool = False,
        add_zero_association: bool = False,
        disable_out_projection: bool = False,
        diffusion: DiffusionConfig | None = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        arguments, parameter = split_scaling(named_arguments(HopfieldSettings, locals()))
        self._make(hopfield_settings(arguments), parameter, device=device, dtype=dtype)

    @classmethod
    def of(
        cls,
        settings: HopfieldSettings,
        scaling: nn.Parameter | None = None,
        *,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> Self:
        """Return the layer with these settings, with parameters of this device and dtype."""
        layer = cls.__new__(cls)
        layer._make(settings, scaling, device=device, dtype=dtype)
        return layer

    @classmethod
    def from_multihead_attention(cls, attention: nn.MultiheadAttention) -> Hopfield:
        """The layer that computes what attention computes, with copies of its parameters.

        Parameters
        ----------
        attention : torch.nn.MultiheadAttention
            With any of its options; ``batch_first`` and the mode, training or not, are kept.

        Returns
        -------
        Hopfield
            Called with keys, queries and values, in this order. Its masks have the meaning that
            they have in torch, **True = not attended**: ``key_padding_mask`` is
            ``stored_pattern_padding_mask``, ``attn_mask`` is ``association_mask``. A query that
            may attend to nothing gets zeros before the output's bias, where torch returns nan.

        Raises
        ------
        TypeError
            Not a ``torch.nn.MultiheadAttention``, or one with another ``forward``.
        ValueError
            Its parameters are not those of its options, or it has hooks, which a copy would lack.

        Notes
        -----
        Scores are divided by the root of the depth of a head, as in torch, and unlike in a
        :class:`HopfieldCore` that loads the same state dict. The weights that torch returns are
        the mean of :meth:`association_weights` over the heads.

        Examples
        --------
        >>> import torch
        >>> from hopcore_torch import Hopfield
        >>> attention = torch.nn.MultiheadAttention(8, 2, batch_first=True).eval()
        >>> layer = Hopfield.from_multihead_attention(attention)
        >>> query, key = torch.randn(3, 10, 8), torch.randn(3, 50, 8)
        >>> output, weights = attention(query, key, key)
        >>> torch.allclose(layer((key, query, key)), output, atol=1e-6)
        True
        >>> torch.allclose(layer.association_weights((key, query, key)).mean(1), weights, atol=1e-6)
        True
        """
        if cls is not Hopfield:
            raise TypeError(
                f"a {cls.__name__} computes something else than attention: call "
                "Hopfield.from_multihead_attention"
            )
        layer = Hopfield(**attention_arguments(attention))
        copy_parameters(layer, attention, {"association_core": ""})
        return layer.train(attention.training)

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
        if "alpha_logit" in parameters:
            thetas = {"alpha_logit": parameters["alpha_logit"]}
            self.alpha_logit = tensor(thetas["alpha_logit"], **where)
            start(self, thetas)
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

    @property
    def alpha(self) -> torch.Tensor:
        """The current learned alpha, one for all heads or one for each, with its gradient."""
        return learned_alpha(parameter_of(self, "alpha_logit"))

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

    @suggest_names
    def forward(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: AssociationMask | None = None,
    ) -> torch.Tensor:
        """Return the association of the states with the stored patterns.

        Parameters
        ----------
        input : tensor, or tuple of three
            Stored patterns, states and projections, ``(..., S or L, d)``; one tensor is used for
            all three.
        stored_pattern_padding_mask : tensor (..., S), optional
            True means that a pattern is ignored; numbers are added to the scores. The masks of the
            core, such as of :func:`hopcore.association`, have the opposite meaning: True means
            attend.
        association_mask : tensor (L, S), (B H, L, S) or (B, H, L, S), or "causal", optional
            True means that a query may not attend to a pattern; numbers are added to the scores.
            With ``"causal"``, query i attends to the patterns 0 to i alone.

        Returns
        -------
        tensor (..., L, output_size)
        """
        return hopcore.hopfield(
            self.settings,
            self.arrays(),
            *unpack_inputs(input),
            stored_pattern_padding_mask=stored_pattern_padding_mask,
            association_mask=association_mask,
            drop=dropout(self, self.settings.dropout),
            cache=self.cache,
        )

    @suggest_names
    def association_weights(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: AssociationMask | None = None,
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

    def statistics(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: AssociationMask | None = None,
    ) -> hopcore.Statistics[torch.Tensor]:
        """Return the statistics of each head: ``(..., H, L)``, and received ``(..., H, S)``.

        They are those of the weights of the forward pass without dropout; see
        :func:`hopcore.layers.hopfield_statistics`.
        """
        return hopcore.layers.hopfield_statistics(
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
        association_mask: AssociationMask | None = None,
    ) -> torch.Tensor:
        """:meth:`association_weights` without a gradient."""
        return self.association_weights(input, stored_pattern_padding_mask, association_mask)

    @torch.no_grad()
    def get_projected_pattern_matrix(
        self,
        input: Patterns,
        stored_pattern_padding_mask: torch.Tensor | None = None,
        association_mask: AssociationMask | None = None,
    ) -> torch.Tensor:
        """Return the values of each head, ``(..., H, S, v)``, without a gradient."""
        return hopcore.layers.hopfield_projections(
            self.settings, self.arrays(), *unpack_inputs(input)
        )


def unpack_inputs(input: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return stored patterns, states and projections."""
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
        f"projections; got {type(input).__name__}, of which torch.as_tensor(...) makes a tensor"
    )
