"""The kernels of layers: linear maps, normalisation, the error function; portable versions."""

from __future__ import annotations

from itertools import accumulate, pairwise

from hopcore.arrays._library import Array, ArrayLibrary


class LayerKernels(ArrayLibrary):
    """What :class:`hopcore.Backend` can do for layers."""

    def linear(self, features: Array, weight: Array, bias: Array | None) -> Array:
        """``x W^T + b`` for features ``(..., n)``, weight ``(m, n)`` and bias ``(m,)``."""
        product = self.xp.matmul(features, self.xp.matrix_transpose(weight))
        return product if bias is None else product + bias

    def layer_norm(
        self, features: Array, weight: Array | None, bias: Array | None, eps: float
    ) -> Array:
        """Features ``(..., n)`` with mean 0 and variance 1 over n, then scaled and shifted.

        Half precision is computed in float32.
        """
        xp, dtype = self.xp, features.dtype
        wide = self.astype(features, self.precise[dtype])
        wide = wide - xp.mean(wide, axis=-1, keepdims=True)
        wide = wide / xp.sqrt(xp.mean(wide * wide, axis=-1, keepdims=True) + eps)
        if weight is not None:
            wide = wide * self.astype(weight, wide.dtype)
        if bias is not None:
            wide = wide + self.astype(bias, wide.dtype)
        return self.astype(wide, dtype)

    def split(self, array: Array, sizes: list[int], axis: int) -> list[Array]:
        """An array in pieces of these sizes along an axis."""
        ends = list(accumulate(sizes, initial=0))
        lead = (slice(None),) * (axis % array.ndim)
        return [array[(*lead, slice(*part), ...)] for part in pairwise(ends)]

    def erf(self, values: Array) -> Array:
        """The error function; the Array API has none, so that the portable one is SciPy's."""
        from scipy.special import erf  # noqa: PLC0415 - 30 ms that few need

        found = self.asarray(erf(self.to_numpy(values)), device=self.device(values))
        return self.astype(found, values.dtype)
