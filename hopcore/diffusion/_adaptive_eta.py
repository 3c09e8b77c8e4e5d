r"""Diffusion whose strength eta grows with the entropy of the association weights.

With H the entropy of the association weights before diffusion, :math:`\eta_{eff} = \eta\,
\sigma(\tau (H - h))`. A diffused memory is a polynomial in the Laplacian times the memory, and only
the coefficients of the polynomial depend on eta. So one basis is enough for all samples, or even
all queries, with different eta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import Inputs, in_precise_dtype
from hopcore.arrays._layer_kernels import sigmoid
from hopcore.diffusion._chebyshev import (
    LONGEST,
    basis,
    coefficients_at,
    heat_degree,
    resolvent_degree,
)
from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._eta_checks import check_eta, check_stable, eigenvalue_bound
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._dense_laplacian import AnyLaplacian
from hopcore.memory._separation import get_separation

TOLERANCE = 1e-6
"""The sup error of a series that is not exact."""


def association_entropy(inputs: Inputs, bias: Array | None = None) -> Array:
    r"""Return the entropy in nats of each query's softmax weights, ``(..., L)``; differentiable.

    :math:`H = \operatorname{lse}(z) - \langle p, z \rangle` with scores :math:`z = \beta X \xi`,
    so one association is enough. It is 0 for queries that may attend to nothing. ``bias``, if
    given, is added to the scores.
    """
    backend, xp, state, stored, _, beta, mask = inputs
    softmax = get_separation("softmax")
    if bias is not None:
        scores = backend.scores(state, stored, beta, mask) + bias
        weights, lse = backend.separate(scores, softmax)
        mean = xp.sum(weights * xp.where(weights > 0, scores, 0.0), axis=-1)
    else:
        state, stored, beta = in_precise_dtype(inputs)
        recalled, lse = backend.associate(state, stored, stored, beta, mask, softmax, True)
        assert lse is not None
        mean = beta * xp.sum(state * recalled, axis=-1)
    attends = lse > -float(xp.finfo(lse.dtype).max)
    entropy = xp.where(attends, lse, 0.0) - mean
    return xp.where(attends & (entropy > 0), entropy, 0.0)


def adapted_eta(inputs: Inputs, config: DiffusionConfig, bias: Array | None = None) -> Array:
    """Return ``eta sigmoid(temperature (H - threshold))`` of each query or of each sample.

    Returns
    -------
    array (..., L) or (...)
        In [0, eta]. The H of a sample is the mean over its queries that may attend to at least one
        pattern. ``bias``, if given, is added to the scores.
    """
    backend, xp = inputs.backend, inputs.xp
    entropy = association_entropy(inputs, bias)
    if config.adaptive_eta != "query":
        entropy = sample_mean(inputs, entropy)
    gate = config.adaptive_temperature * (entropy - config.adaptive_threshold)
    return backend.astype(float(config.eta) * sigmoid(gate, xp), entropy.dtype)


def sample_mean(inputs: Inputs, entropy: Array) -> Array:
    """Return the mean over the queries that may attend to a pattern, 0 if there is none."""
    xp, mask = inputs.xp, inputs.mask
    if mask is None:
        return xp.sum(entropy, axis=-1) / max(entropy.shape[-1], 1)
    attends = xp.any(mask, axis=-1, keepdims=mask.ndim == 1)
    counted = xp.where(attends, xp.ones_like(entropy), 0.0)
    count = xp.sum(counted, axis=-1)
    return xp.sum(counted * entropy, axis=-1) / xp.where(count > 0, count, 1.0)


class Spectrum(NamedTuple):
    """Diffusion operators, one for each eta, as polynomials in the Laplacian over one basis."""

    laplacian: AnyLaplacian
    largest: Any
    degree: int
    response: Callable[[Any, Any, Any], Any]
    """``response(eta, eigenvalues, exp)``."""

    def basis(self, features: Array) -> list[Array]:
        """Return the Chebyshev polynomials 0 to ``degree`` of the Laplacian, times features."""
        laplacian = self.laplacian
        twice = 4.0 / self.largest
        if self.degree == 0:
            return [features]
        rest = [*basis(lambda x: twice * (laplacian @ x) - 2.0 * x, features, self.degree)]
        # The first product gives features that all graphs share the leading axes of the batch.
        return [laplacian.backend.xp.broadcast_to(features, rest[0].shape), *rest]

    def coefficients(self, eta: Array) -> Array:
        """Return the coefficients of each eta over the basis, ``(..., degree + 1)``."""
        backend = self.laplacian.backend

        def response(eigenvalues: Array) -> Array:
            return self.response(eta[..., None], eigenvalues, backend.xp.exp)

        return coefficients_at(backend, response, self.largest, self.degree, eta)

    def diffused(self, features: Array, eta: Array) -> Array:
        """Diffuse features ``(..., N, d)`` with the eta ``(...)`` of their sample."""
        xp = self.laplacian.backend.xp
        parts = xp.stack(self.basis(features), axis=-1)
        terms = self.laplacian.backend.astype(self.coefficients(eta), parts.dtype)
        return xp.sum(parts * terms[..., None, None, :], axis=-1)


def spectrum(laplacian: AnyLaplacian, config: DiffusionConfig, steps: int) -> Spectrum:
    """Return the operators of a configuration for every eta up to its own."""
    mode, eta = config.diffusion_mode, check_eta(laplacian, config.eta)
    if mode in ("factored", "iterative", "simple"):
        check_stable(laplacian, eta)
        power = 1 if mode == "simple" else steps
        bound = laplacian.bound
        largest = bound or 1.0 if isinstance(bound, float) else bound

        def explicit(eta: Any, x: Any, exp: Any) -> Any:
            return (1.0 - eta * x) ** power

        return Spectrum(laplacian, largest, power, explicit)
    largest = eigenvalue_bound(laplacian, None)
    if mode == "implicit":

        def implicit(eta: Any, x: Any, exp: Any) -> Any:
            return 1.0 / (1.0 + eta * x)

        degree = resolvent_degree(eta * largest, TOLERANCE)
        return Spectrum(laplacian, largest, check_length(degree, eta), implicit)
    degree = heat_degree(eta * largest, TOLERANCE) if eta else 0
    return Spectrum(
        laplacian, largest, check_length(degree, eta), lambda eta, x, exp: exp(-eta * x)
    )


def check_length(degree: int, eta: float) -> int:
    """Return the degree, or raise if it is too large for a basis of polynomials."""
    if degree > LONGEST:
        raise ValueError(
            f"an adaptive eta of up to {eta:g} needs a series of more than {LONGEST} terms; "
            "use a smaller eta"
        )
    return degree


class AdaptedDiffusion(DiffusionOperator):
    """A diffusion operator with an eta for each sample, ``(...)``."""

    def __init__(self, family: Spectrum, eta: Array) -> None:
        self.laplacian, self.family, self.eta = family.laplacian, family, eta

    def __call__(self, features: Array) -> Array:
        """Diffuse features ``(..., N, d)``, each sample with its own eta."""
        return self.family.diffused(features, self.eta)


def association_per_query(inputs: Inputs, family: Spectrum, eta: Array, *, tied: bool) -> Array:
    r"""Associate each query with a memory that is diffused with the query's own eta.

    The score of :math:`\sum_k c_k(\eta) T_k x_i` is the score of the stacked patterns :math:`(T_0
    x_i, T_1 x_i, \dots)` for the stacked query :math:`(c_0 \xi, c_1 \xi, \dots)`, so that one
    association suffices.
    """
    backend, xp, _, _, projection, beta, mask = inputs
    queries, keys = stacked(inputs, family, eta)
    values = xp.concat(family.basis(projection), axis=-1) if tied else projection
    output, _ = backend.associate(queries, keys, values, beta, mask, get_separation("softmax"))
    if not tied:
        return output
    terms = backend.astype(family.coefficients(eta), output.dtype)
    parts = xp.reshape(output, (*output.shape[:-1], family.degree + 1, projection.shape[-1]))
    return xp.sum(parts * terms[..., None], axis=-2)


def stacked(inputs: Inputs, family: Spectrum, eta: Array) -> tuple[Array, Array]:
    """Return queries and keys whose scores are those of memories diffused for each query."""
    backend, xp, state = inputs.backend, inputs.xp, inputs.state
    terms = backend.astype(family.coefficients(eta), state.dtype)
    queries = terms[..., None] * state[..., None, :]
    queries = xp.reshape(queries, (*queries.shape[:-2], queries.shape[-2] * queries.shape[-1]))
    return queries, xp.concat(family.basis(inputs.stored), axis=-1)
