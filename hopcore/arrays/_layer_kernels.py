"""Portable kernels of layers: linear maps, normalisation, the error function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from types import ModuleType

from hopcore.arrays._library import Array, ArrayLibrary


class LayerKernels(ArrayLibrary):
    """Portable kernels of :class:`hopcore.Backend` for layers."""

    def linear(self, features: Array, weight: Array, bias: Array | None) -> Array:
        """``x W^T + b`` for features ``(..., n)``, weight ``(m, n)`` and bias ``(m,)``."""
        product = self.xp.matmul(features, self.xp.matrix_transpose(weight))
        return product if bias is None else product + bias

    def layer_norm(
        self, features: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> Array:
        """Features ``(..., n)`` with mean 0 and variance 1 over n, then scaled and shifted.

        Half precision is computed in float32. If ``eps`` is 0, features that are all equal become
        zeros, with the derivative 0.
        """
        xp, dtype = self.xp, features.dtype
        centred = self.astype(features, self.precise[dtype])
        centred = centred - xp.mean(centred, axis=-1, keepdims=True)
        variance = xp.mean(centred * centred, axis=-1, keepdims=True) + eps
        if eps == 0.0:
            centred = xp.where(variance > 0, centred, 0.0)
            variance = xp.where(variance > 0, variance, 1.0)
        normed = centred / xp.sqrt(variance)
        if weight is not None:
            normed = normed * self.astype(weight, normed.dtype)
        if bias is not None:
            normed = normed + self.astype(bias, normed.dtype)
        return self.astype(normed, dtype)

    def runs_plain_calls(
        self, stored: Array, state: Array, projection: Array, weight: Array
    ) -> bool:
        """Whether these arrays go to :meth:`attention_in_heads`, which few libraries have."""
        return False

    def attention_in_heads(
        self, queries: Array, keys: Array, values: Array, heads: int, beta: float
    ) -> Array:
        """Softmax association of features ``(B, L, H d)`` in H heads, whose outputs are joined."""
        raise NotImplementedError

    def split(self, array: Array, sizes: list[int], axis: int) -> Sequence[Array]:
        """Split an array into pieces of these sizes along an axis."""
        ends = list(accumulate(sizes, initial=0))
        lead = (slice(None),) * (axis % array.ndim)
        return [array[(*lead, slice(*part), ...)] for part in pairwise(ends)]

    def relu(self, values: Array) -> Array:
        """``max(x, 0)``; the derivative at 0 is 0."""
        return self.xp.where(values <= 0, self.xp.zeros_like(values), values)

    def gelu(self, values: Array) -> Array:
        """``x Phi(x)``, with the normal distribution function Phi, computed by :meth:`erf`."""
        precise = self.astype(values, self.precise[values.dtype])
        result = 0.5 * precise * (1.0 + self.erf(precise / math.sqrt(2.0)))
        return self.astype(result, values.dtype)

    def erf(self, values: Array) -> Array:
        """The error function; the Array API has none, so the portable version is SciPy's."""
        from scipy.special import erf  # noqa: PLC0415 - 30 ms that few need

        result = self.asarray(erf(self.to_numpy(values)), device=self.device(values))
        return self.astype(result, values.dtype)


def sigmoid(values: Array, xp: ModuleType) -> Array:
    """``1 / (1 + exp(-x))``, by the exponential of a negative number, which never overflows."""
    # exp(-abs(x)) has the same value, but libraries give it a derivative at 0 that would be wrong.
    small = xp.exp(xp.where(values > 0, -values, values))
    return xp.where(values > 0, 1.0 / (1.0 + small), small / (1.0 + small))
