"""Networks with a learned memory, whose temperature is an argument of the call."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import nn

import hopcore
from hopcore.layers import (
    HNLSettings,
    HNMSettings,
    Noise,
    Quantized,
    QuantizerSettings,
    layer_parameters,
    named_arguments,
    suggest_names,
)
from hopcore.memory import SeparationName
from hopcore_torch.layers._base import Device, ParameterOwner, dropout, tensor
from hopcore_torch.layers._hopfield import Hopfield
from hopcore_torch.training import gumbel


class _Network(ParameterOwner):
    """The base of modules whose constructor takes only settings."""

    KIND: ClassVar[type]

    @classmethod
    def of(cls, settings: Any, *, device: Device = None, dtype: torch.dtype | None = None) -> Self:
        """Return the layer with these settings, with parameters of this device and dtype."""
        layer = cls.__new__(cls)
        layer._make(settings, device=device, dtype=dtype)
        return layer

    def _make(self, settings: Any, **where: Any) -> None:
        if not isinstance(settings, self.KIND):
            raise TypeError(f"settings must be {self.KIND.__name__}, got {type(settings).__name__}")
        self._own(settings, layer_parameters(settings))
        self._register(**where)
        self.reset_parameters()
        self._watch(*(name for name, _ in self.named_modules() if name))

    def _register(self, **where: Any) -> None:
        """Register modules and parameters, by the names of the parameters."""
        raise NotImplementedError


class FlatNetwork(_Network):
    """The base of modules whose parameters all belong to the module itself."""

    def _register(self, **where: Any) -> None:
        for name, parameter in layer_parameters(self.settings).items():
            self.register_parameter(name, tensor(parameter, **where))


class HNL(_Network):
    """A Hopfield network layer: features attend to a learned memory, on the soft or hard path.

    Parameters
    ----------
    input_size, output_size, quantity, num_heads, hidden_size, temperature, separation, dropout
        See :class:`hopcore.layers.HNLSettings`.
    device, dtype
        Of the parameters.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid.

    Notes
    -----
    Under ``torch.compile``, a call with another temperature, a number or a tensor, does not cause a
    new compilation. Noise can only be drawn there with ``torch.default_generator``.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HNL
    >>> layer = HNL(input_size=8, output_size=3, quantity=32)
    >>> layer(torch.ones(5, 8), temperature=0.01, hard=True).shape
    torch.Size([5, 3])
    """

    KIND = HNLSettings

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        output_size: int | None = None,
        quantity: int = 64,
        num_heads: int = 8,
        hidden_size: int = 16,
        temperature: float = 0.1,
        separation: SeparationName | float = "softmax",
        dropout: float = 0.0,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = HNLSettings.from_dict(named_arguments(HNLSettings, locals()))
        self._make(settings, device=device, dtype=dtype)

    def _register(self, **where: Any) -> None:
        lookup = self.settings.lookup
        self.hopfield = Hopfield.of(lookup.hopfield, **where)
        for name, parameter in layer_parameters(lookup).items():
            if "." not in name:
                self.register_parameter(name, tensor(parameter, **where))

    @suggest_names
    def forward(
        self,
        x: torch.Tensor,
        temperature: float | torch.Tensor | None = None,
        hard: bool = False,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Return the association of features with the memory at a temperature.

        Parameters
        ----------
        x : tensor (..., n, d)
            Features, one sample in each row.
        temperature : float or tensor (), optional
            Positive; the default is that of the settings.
        hard : bool
            Each head returns one pattern, with the gradient of the soft weights.
        generator : torch.Generator, optional
            The generator of Gumbel noise for the scores; ``torch.default_generator`` means torch's
            own generator on any device. Without a generator there is no noise.

        Returns
        -------
        tensor (..., n, output_size)
        """
        return hopcore.layers.hnl(
            self.settings,
            self.arrays(),
            x,
            temperature=temperature_argument(temperature, x),
            hard=hard,
            noise=noise_of(generator),
            drop=dropout(self, self.settings.dropout),
        )


class HNM(_Network):
    """A stack of Hopfield network layers, all at the same temperature.

    Parameters
    ----------
    input_size, output_size, widths
        See :class:`hopcore.layers.HNMSettings`.
    quantity, num_heads, hidden_size, temperature, separation, dropout
        Settings of every layer, see :class:`hopcore.layers.HNLSettings`.
    device, dtype
        Of the parameters.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import HNM
    >>> model = HNM(input_size=8, output_size=3, widths=(16,))
    >>> model(torch.ones(5, 8), temperature=0.01).shape
    torch.Size([5, 3])
    """

    KIND = HNMSettings
    layers: nn.ModuleList

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        output_size: int,
        widths: tuple[int, ...] = (64,),
        quantity: int = 64,
        num_heads: int = 8,
        hidden_size: int = 16,
        temperature: float = 0.1,
        separation: SeparationName | float = "softmax",
        dropout: float = 0.0,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = HNMSettings.from_dict(named_arguments(HNMSettings, locals()))
        self._make(settings, device=device, dtype=dtype)

    def _register(self, **where: Any) -> None:
        self.layers = nn.ModuleList(HNL.of(one, **where) for one in self.settings.layers)

    @suggest_names
    def forward(
        self,
        x: torch.Tensor,
        temperature: float | torch.Tensor | None = None,
        hard: bool = False,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Return the output of the last layer, with arguments as in :class:`HNL`."""
        return hopcore.layers.hnm(
            self.settings,
            self.arrays(),
            x,
            temperature=temperature_argument(temperature, x),
            hard=hard,
            noise=noise_of(generator),
            drop=dropout(self, self.settings.dropout),
        )


class VectorQuantizer(FlatNetwork):
    """A vector quantiser: features become a soft mixture of codes, or the nearest code.

    Parameters
    ----------
    input_size, groups, quantity, temperature, commitment
        See :class:`hopcore.layers.QuantizerSettings`.
    device, dtype
        The device and the dtype of the codebook.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import VectorQuantizer
    >>> layer = VectorQuantizer(input_size=8, groups=2, quantity=16)
    >>> found = layer(torch.ones(5, 8), temperature=0.1, hard=True)
    >>> found.values.shape, found.codes.shape
    (torch.Size([5, 8]), torch.Size([5, 2]))
    """

    KIND = QuantizerSettings
    codebook: nn.Parameter

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        groups: int = 1,
        quantity: int = 64,
        temperature: float = 1.0,
        commitment: float = 0.25,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        settings = QuantizerSettings.from_dict(named_arguments(QuantizerSettings, locals()))
        self._make(settings, device=device, dtype=dtype)

    @suggest_names
    def forward(
        self,
        x: torch.Tensor,
        temperature: float | torch.Tensor | None = None,
        hard: bool = False,
        generator: torch.Generator | None = None,
    ) -> Quantized[torch.Tensor]:
        """Return features ``(..., input_size)`` replaced by codes.

        Arguments are as in :class:`HNL`, the result is a :class:`hopcore.layers.Quantized`:
        ``values``, ``codes``, ``weights`` and the losses ``commitment`` and ``divergence``.
        """
        return hopcore.layers.quantize(
            self.settings,
            self.arrays(),
            x,
            temperature=temperature_argument(temperature, x),
            hard=hard,
            noise=noise_of(generator),
        )


def temperature_argument(temperature: Any, x: torch.Tensor) -> Any:
    """Return the temperature of a call on the device of the features, in a trace as a tensor."""
    if isinstance(temperature, torch.Tensor):
        return temperature if temperature.ndim else temperature.to(x.device)
    if torch.compiler.is_compiling() and isinstance(temperature, float) and temperature > 0.0:
        # The compiler would take the number for a constant.
        wide = torch.promote_types(x.dtype, torch.float32)
        return torch.full((), temperature, dtype=wide, device=x.device)
    return temperature


def noise_of(generator: torch.Generator | None) -> Noise | None:
    """Return Gumbel noise of a generator, or None; torch's own generator works on any device."""
    if generator is None:
        return None
    return partial(gumbel, generator=None if generator is torch.default_generator else generator)
