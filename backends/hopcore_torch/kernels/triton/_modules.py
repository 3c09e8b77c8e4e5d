"""The modules with kernels in Triton; importing this one imports Triton."""

import triton.language as tl  # pyright: ignore[reportMissingImports]

from hopcore_torch.kernels.triton import _backward, _entmax, _entropy, _lookup, _softmax, _tiles
from hopcore_torch.kernels.triton._interpreter import replace_once

INTERPRETED = {type(f).__name__ for f in (tl.sum, _tiles.finite)} == {"InterpretedFunction"}
"""Whether Triton's own functions and the kernels were decorated for the interpreter."""

if INTERPRETED:
    replace_once()

__all__ = ["INTERPRETED", "_backward", "_entmax", "_entropy", "_lookup", "_softmax", "_tiles"]
