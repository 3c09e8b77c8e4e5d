r"""What the kernels for GPUs in Triton and in Pallas have in common: tiles, and names of formulas.

The weights of an entmax of order :math:`\alpha` are powers with exponents that depend on
:math:`a = \alpha - 1`. Two orders have formulas without a power.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class FusedOrder(NamedTuple):
    """The order of an entmax as the kernels use it; 1 for the softmax.

    Examples
    --------
    >>> import hopcore
    >>> hopcore.memory.FusedOrder.of(hopcore.Entmax(1.5)).kind
    'half'
    """

    alpha: float

    # Without annotations, since these are no fields.
    CLOSE = 4 * float(np.finfo(np.float32).eps)
    """The relative step of Newton's method at which the threshold of an entmax is found."""
    PASSES = 48
    """The largest number of passes over the patterns that find a threshold."""

    @classmethod
    def of(cls, separation: Any) -> FusedOrder:
        """Return the order of a separation function that :func:`fused_refusal` accepts."""
        return cls(1.0 if separation.softmax else float(separation.alpha))

    @property
    def kind(self) -> str:
        """Return which formula the weights have, "softmax", "half" (a = 1/2), "one" or "any"."""
        return {1.0: "softmax", 1.5: "half", 2.0: "one"}.get(self.alpha, "any")

    @property
    def a(self) -> float:
        """The order minus 1."""
        return self.alpha - 1.0

    @property
    def steep(self) -> float:
        """The factor a of the scores, larger by two roundings.

        So a score that is 1/a below the largest one has no weight although 1/a was rounded.
        """
        return self.a * (1.0 + 2.0 * float(np.finfo(np.float32).eps))


class FusedTiles(NamedTuple):
    """How large the tiles of a kernel are, and how it is compiled."""

    block: int
    """Queries of a program, or of one step of a program."""
    tile: int
    """Patterns of one step of a program, or of a program."""
    depth: int
    """Coordinates of a pattern, padded to a power of two."""
    width: int
    """Coordinates of a projection, padded to a power of two."""
    warps: int
    """Warps of a program."""
    stages: int
    """Steps of a loop whose loads are in flight together."""

    @property
    def of_memories(self) -> FusedTiles:
        """The same for derivatives by memories, which keep the sums of two arrays in registers."""
        return self._replace(warps=8)

    @classmethod
    def of(cls, size: int, depth: int, width: int, *, interpreted: bool = False) -> FusedTiles:
        """Return tiles that fit into the shared memory of every GPU that the kernels run on.

        Parameters
        ----------
        size : int
            The bytes of a number, 2 or 4.
        depth, width : int
            The coordinates of a pattern and of a projection.
        interpreted : bool
            Whether the kernels are interpreted: with tiles that no GPU could multiply, so that
            small inputs have several.

        Examples
        --------
        >>> import hopcore
        >>> hopcore.memory.FusedTiles.of(2, 65, 64)
        FusedTiles(block=64, tile=32, depth=128, width=64, warps=8, stages=2)
        """
        depth, width = padded(depth), padded(width)
        if interpreted:
            return cls(4, 4, depth, width, 4, 1)
        widest = max(depth, width)
        if size == 4:  # float32, whose tiles are in registers as parts, too
            block, tile = (32, 32) if widest <= 64 else (32, 16) if widest <= 128 else (16, 16)
            return cls(block, tile, depth, width, 4, 2 if widest <= 128 else 1)
        if widest <= 64:
            return cls(64, 64, depth, width, 4, 2)
        if widest <= 128:
            return cls(64, 32, depth, width, 8, 2)
        return cls(32, 32, depth, width, 8, 1)


def padded(size: int) -> int:
    """Return the next power of two, at least 16, which products of tiles need."""
    return max(16, 1 << (size - 1).bit_length())
