"""Fused kernels in Triton for associations on GPUs; importing this package does not import Triton.

The page docs/design/gpu-kernels.md says what they compute, and what of it was verified how.
"""

from hopcore_torch.kernels.triton._associate import hard_lookup
from hopcore_torch.kernels.triton._choice import refusal, using_kernels

__all__ = ["hard_lookup", "refusal", "using_kernels"]
