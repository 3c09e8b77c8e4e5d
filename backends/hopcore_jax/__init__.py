"""hopcore for JAX: compiled kernels, behind the functions of :mod:`hopcore`.

Nothing here needs to be imported: :mod:`hopcore` finds the backend from JAX arrays.
"""

from hopcore_jax.kernels import JaxBackend

__all__ = ["JaxBackend"]
