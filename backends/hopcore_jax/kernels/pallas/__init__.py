"""Fused kernels in Pallas for associations on GPUs; importing this package does not import Pallas.

The page docs/design/gpu-kernels.md says what they compute, and what of it was verified how.
"""

from hopcore_jax.kernels.pallas._associate import hard_lookup
from hopcore_jax.kernels.pallas._choice import refusal, using_kernels

__all__ = ["hard_lookup", "refusal", "using_kernels"]
