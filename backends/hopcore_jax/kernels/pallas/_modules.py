"""The modules with kernels in Pallas; importing this one imports Pallas."""

from hopcore_jax.kernels.pallas import _backward, _entmax, _entropy, _lookup, _softmax, _tiles

__all__ = ["_backward", "_entmax", "_entropy", "_lookup", "_softmax", "_tiles"]
