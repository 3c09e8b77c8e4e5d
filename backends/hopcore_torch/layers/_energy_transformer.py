"""The energy transformer block as a module."""

from __future__ import annotations

import torch
from torch import nn

import hopcore
from hopcore.layers import EnergyTransformerSettings, named_arguments, suggest_names
from hopcore_torch.layers._base import Device
from hopcore_torch.layers._networks import FlatNetwork


class EnergyTransformer(FlatNetwork):
    """An energy transformer block: tokens follow the gradient of one energy (Hoover et al. 2023).

    Parameters
    ----------
    input_size, num_heads, head_size, quantity, beta, steps, step_size, attends_to_itself, eps
        See :class:`hopcore.layers.EnergyTransformerSettings`.
    device, dtype
        The device and the dtype of the parameters.

    Raises
    ------
    TypeError, ValueError
        A setting is not valid.

    Notes
    -----
    A training holds the tokens of every step; ``torch.utils.checkpoint`` computes them again.

    Examples
    --------
    >>> import torch
    >>> from hopcore_torch import EnergyTransformer
    >>> layer = EnergyTransformer(input_size=16, num_heads=2, head_size=8)
    >>> tokens = torch.randn(3, 5, 16)
    >>> bool((layer.energy(layer(tokens)) < layer.energy(tokens)).all())
    True
    """

    KIND = EnergyTransformerSettings
    norm_weight: nn.Parameter
    norm_bias: nn.Parameter
    query_weight: nn.Parameter
    key_weight: nn.Parameter
    memory_weight: nn.Parameter

    @suggest_names
    def __init__(
        self,
        *,
        input_size: int,
        num_heads: int = 8,
        head_size: int = 16,
        quantity: int = 64,
        beta: float | None = None,
        steps: int = 12,
        step_size: float = 0.1,
        attends_to_itself: bool = True,
        eps: float = 1e-5,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        arguments = named_arguments(EnergyTransformerSettings, locals())
        settings = EnergyTransformerSettings.from_dict(arguments)
        self._make(settings, device=device, dtype=dtype)

    @suggest_names
    def forward(
        self,
        tokens: torch.Tensor,
        padding_mask: torch.Tensor | None = None,
        steps: int | None = None,
    ) -> torch.Tensor:
        """Return the tokens after some steps down the energy.

        Parameters
        ----------
        tokens : tensor (..., L, input_size)
            Token features.
        padding_mask : boolean tensor (..., L), optional
            **True = padding**: such a token takes no part and stays as it is.
        steps : int, optional
            The number of steps; the default is that of the settings.

        Returns
        -------
        tensor (..., L, input_size)
        """
        return hopcore.layers.energy_transformer(
            self.settings, self.arrays(), tokens, padding_mask=padding_mask, steps=steps
        )

    @suggest_names
    def energy(
        self, tokens: torch.Tensor, padding_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the energy of tokens ``(..., L, input_size)``, a tensor ``(...)``."""
        return hopcore.layers.energy_transformer_energy(
            self.settings, self.arrays(), tokens, padding_mask=padding_mask
        )
