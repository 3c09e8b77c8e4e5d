"""JAX's kernels, which hopcore finds when it is given JAX arrays."""

from hopcore_jax.kernels._backend import JaxBackend

__all__ = [
    "JaxBackend",
]
