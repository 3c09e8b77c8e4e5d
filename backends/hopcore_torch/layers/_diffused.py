"""Hopfield layers whose memory is diffused over its graph."""

from __future__ import annotations

from typing import Any

from hopcore import DiffusionConfig
from hopcore.layers import DIFFUSION, DiffusionMethods, diffused_arguments
from hopcore_torch.layers._hopfield import Hopfield


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
