"""A network that fills in hidden patches of images: tokens go through one block and are decoded.

A patch is a token: a linear map embeds its pixels, a hidden patch has the mask token instead, and
each place adds a position of its own. After the block the tokens are normalised, and a linear map
makes pixels of them (Hoover et al. 2023, "Energy transformer", section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import check_integer
from hopcore.layers._composed_settings import EncoderSettings
from hopcore.layers._energy_transformer import energy_transformer, energy_transformer_energy
from hopcore.layers._linear_maps import linear
from hopcore.layers._network_settings import EnergyTransformerSettings
from hopcore.layers._parameters import SPREAD, Parameters, initial_parameters, inner
from hopcore.layers._transformer import encoder_layer
from hopcore.training._trainer import Conditions

ANY = Conditions()

PARTS: dict[str, tuple[str, ...]] = {
    "attention": ("query_weight", "key_weight"),
    "memory": ("memory_weight",),
}
"""The parameters of the two energies of a block. If they are 0, the energy is constant, their own
derivatives are 0 as well, and so no training switches the energy on."""


class Patches(NamedTuple):
    """Images as patches, some of which are hidden.

    Attributes
    ----------
    pixels : float32 array (n, L, p)
        The pixels of each patch, those of hidden patches included.
    hidden : boolean array (n, L)
        True = the network does not see this patch, and is to fill it in.
    """

    pixels: Array
    hidden: Array


@dataclass(frozen=True, kw_only=True)
class Completer:
    """An embedding of patches, an energy transformer block or an encoder layer, and a decoder.

    Attributes
    ----------
    tokens, pixels : int
        The number of patches of an image, and of pixels of a patch.
    layer : EnergyTransformerSettings or EncoderSettings
        The block; its depth is that of the tokens.
    repeats : int
        How often an encoder layer is applied, with the same parameters. An energy transformer takes
        the steps of its settings instead.
    off : str, optional
        The energy of an energy transformer that is switched off, ``"attention"`` or ``"memory"``.

    Raises
    ------
    TypeError, ValueError
        A size is not valid; ``off`` is not one of the two energies, or the block has none.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore.experiments.models.image_completer import Completer, Patches
    >>> block = hopcore.layers.EnergyTransformerSettings(input_size=8, num_heads=2, head_size=4)
    >>> model = Completer(tokens=16, pixels=4, layer=block)
    >>> batch = Patches(np.ones((3, 16, 4), np.float32), np.arange(48).reshape(3, 16) % 2 == 0)
    >>> model.outputs(model.first_parameters(seed=0), batch).shape
    (3, 16, 4)
    """

    tokens: int
    pixels: int
    layer: EnergyTransformerSettings | EncoderSettings
    repeats: int = 1
    off: str | None = None

    def __post_init__(self) -> None:
        """Validate the settings."""
        for name in ("tokens", "pixels", "repeats"):
            check_integer(name, getattr(self, name), 1)
        has_energies = isinstance(self.layer, EnergyTransformerSettings)
        if self.off is not None and (self.off not in PARTS or not has_energies):
            raise ValueError(
                f"off must be None, or {' or '.join(PARTS)} of an energy transformer, got "
                f"{self.off!r} with {type(self.layer).__name__}"
            )

    @property
    def width(self) -> int:
        """The number of features of a token."""
        if isinstance(self.layer, EnergyTransformerSettings):
            return self.layer.input_size
        width = self.layer.association.input_size
        assert width is not None
        return width

    def first_parameters(self, *, seed: int) -> dict[str, np.ndarray]:
        """Return initial parameters; embedding, positions and decoder do not depend on the block.

        Weights are drawn so that each linear map keeps the magnitude of its input.
        """
        rng = np.random.default_rng(seed)

        def drawn(*shape: int) -> np.ndarray:
            return rng.normal(0.0, shape[-1] ** -0.5, shape).astype(np.float32)

        found = {
            "embedding.weight": drawn(self.width, self.pixels),
            "embedding.bias": np.zeros(self.width, np.float32),
            "mask_token": rng.normal(0.0, SPREAD, self.width).astype(np.float32),
            "positions": rng.normal(size=(self.tokens, self.width)).astype(np.float32),
            "decoder.weight": drawn(self.pixels, self.width),
            "decoder.bias": np.zeros(self.pixels, np.float32),
        }
        block = initial_parameters(self.layer, seed=seed)
        for name, value in block.items():
            if isinstance(self.layer, EncoderSettings) and value.ndim == 2:
                block[name] = value / np.float32(SPREAD * value.shape[1] ** 0.5)
        for name in PARTS[self.off] if self.off else ():
            block[name] = np.zeros_like(block[name])
        return found | {f"block.{name}": value for name, value in block.items()}

    def embedded(self, parameters: Parameters, batch: Patches) -> Array:
        """Return the tokens before the block, ``(n, L, d)``."""
        backend = backend_of_input("pixels", batch.pixels)
        seen = linear(parameters, "embedding", batch.pixels)
        tokens = backend.xp.where(batch.hidden[..., None], parameters["mask_token"], seen)
        return tokens + parameters["positions"]

    def moved(self, parameters: Parameters, tokens: Array, steps: int | None = None) -> Array:
        """Return the tokens after the block, or after some steps of it."""
        block = inner(parameters, "block")
        if isinstance(self.layer, EnergyTransformerSettings):
            return energy_transformer(self.layer, block, tokens, steps=steps)
        for _ in range(self.repeats if steps is None else steps):
            tokens = encoder_layer(self.layer, block, tokens)
        return tokens

    def decoded(self, parameters: Parameters, tokens: Array) -> Array:
        """Return the pixels that tokens stand for, ``(n, L, p)``."""
        backend = backend_of_input("tokens", tokens)
        return linear(parameters, "decoder", backend.layer_norm(tokens, None, None, 1e-5))

    def energy(self, parameters: Parameters, tokens: Array) -> Array:
        """Return the energy of the tokens of each image, ``(n,)``."""
        if not isinstance(self.layer, EnergyTransformerSettings):
            raise TypeError("an encoder layer has no energy")
        return energy_transformer_energy(self.layer, inner(parameters, "block"), tokens)

    def outputs(
        self, parameters: Parameters, batch: Patches, conditions: Conditions = ANY
    ) -> Array:
        """Return the pixels of all patches, ``(n, L, p)``."""
        return self.decoded(parameters, self.moved(parameters, self.embedded(parameters, batch)))

    def objective(
        self, parameters: Parameters, batch: Patches, conditions: Conditions
    ) -> tuple[Array, Array]:
        """Return the mean squared error of the pixels of hidden patches, and all pixels."""
        outputs = self.outputs(parameters, batch, conditions)
        backend = backend_of_input("pixels", outputs)
        hidden = backend.astype(batch.hidden, outputs.dtype)[..., None]
        squares = hidden * (outputs - batch.pixels) ** 2
        return backend.xp.sum(squares) / (backend.xp.sum(hidden) * self.pixels), outputs
