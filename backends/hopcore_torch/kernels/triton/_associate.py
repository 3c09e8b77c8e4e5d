"""Associations, statistics and best patterns by the kernels in Triton, where they take a call."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.autograd import Function

from hopcore.arrays import Backend, Beta, SeparationFunction
from hopcore.memory import FusedOrder
from hopcore_torch.kernels._autograd import Association, grads, pull_back
from hopcore_torch.kernels._modes import differentiated
from hopcore_torch.kernels.triton._choice import SWITCH, refusal
from hopcore_torch.kernels.triton._launch import Launch, Memory

Tensor = torch.Tensor


class Fused(NamedTuple):
    """What a call is besides the tensors it is differentiated by."""

    association: Association
    order: FusedOrder

    def launch(self, tensors: Any) -> Launch:
        """Return the call with its tensors: state, stored, projection, beta and bias."""
        state, stored, projection, beta, bias = tensors
        beta = self.association.beta if beta is None else beta
        projection = stored if projection is None else projection
        mask, causal = self.association.mask, self.association.causal
        return Launch(Memory(state, stored, projection, beta, mask, bias, self.order, causal))


class Differentiated(Function):
    """The output and the conjugate, with the backward pass of the kernels as derivative.

    A derivative of that is the one of the portable formula.
    """

    @staticmethod
    def forward(ctx: Any, call: Fused, *tensors: Any) -> tuple[Tensor | None, Tensor]:
        output = tensors[2] is not None
        results = call.launch(tensors).forward(output=output, derivative=True)
        ctx.call, ctx.saved = call, results._replace(output=None, conjugate=None)
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return results.output, results.conjugate

    @staticmethod
    def backward(ctx: Any, by_output: Tensor | None, by_conjugate: Tensor | None) -> Any:
        tensors, needs = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if by_output is None and by_conjugate is None:
            return (None,) * 6
        if torch.is_grad_enabled():
            return None, *by_formula(ctx.call, tensors, needs, by_output, by_conjugate)
        launch = ctx.call.launch(tensors)
        if by_output is None and needs[2]:  # the conjugate alone does not depend on projections
            needs = (*needs[:2], False, *needs[3:])
            found = launch.backward(ctx.saved, needs, by_output, by_conjugate)
            return None, *found[:2], torch.zeros_like(tensors[2]), *found[3:]
        return None, *launch.backward(ctx.saved, needs, by_output, by_conjugate)


def by_formula(
    call: Fused, tensors: Any, needs: Any, by_output: Tensor | None, by_conjugate: Tensor | None
) -> Any:
    """Return derivatives that can be differentiated again."""
    association = call.association
    state, stored, projection, beta, bias = tensors
    if bias is not None:
        beta = association.beta if beta is None else beta
        output = Backend.associate_biased(
            association.backend, state, stored, projection, beta, association.mask, bias,
            association.separation,
        )  # fmt: skip
        assert by_output is not None  # a biased association has no conjugate
        return grads(output, tensors, needs, by_output, create_graph=True)
    if association.causal:
        mask = association.backend.causal_mask(state, stored)
        association = association._replace(mask=mask)
    # The kernels have no derivative by the orders of an entmax.
    without_bias = state, stored, projection, beta, None
    found = pull_back(association, without_bias, needs, by_conjugate, by_output)
    return *found[:4], None


def associate(
    backend: Backend,
    state: Tensor,
    stored: Tensor,
    projection: Tensor | None,
    beta: Beta,
    mask: Tensor | None,
    separation: SeparationFunction,
    bias: Tensor | None = None,
    causal: bool = False,
) -> tuple[Any, Tensor] | None:
    """Return output and conjugate, or None if the kernels do not take the call.

    Without a projection there is no output.
    """
    if bias is None and not causal and shares_memory(state, stored, projection, mask):
        flat = as_queries(state, beta, mask)
        found = associate(backend, flat[0], stored, projection, *flat[1:], separation)
        if found is None:
            return None
        axes = state.shape[:-1]
        output = None if projection is None else found[0].reshape(*axes, projection.shape[-1])
        return output, found[1].reshape(axes)
    if refusal(state, stored, projection, beta, mask, separation, bias):
        return None
    association = Association(backend, separation, beta, mask, causal=causal)
    call = Fused(association, FusedOrder.of(separation))
    tensors = state, stored, projection, None if isinstance(beta, float) else beta, bias
    if differentiated(*tensors):
        return Differentiated.apply(call, *tensors)
    results = call.launch(tensors).forward(output=projection is not None)
    return results.output, results.conjugate


def shares_memory(state: Tensor, stored: Tensor, projection: Any, mask: Any) -> bool:
    """Whether queries with leading axes have one memory and one mask, and are simply more."""
    shared = stored.ndim == 2 and (projection is None or projection.ndim == 2)
    return shared and state.ndim > 2 and (mask is None or mask.shape[:-1].numel() == 1)


def as_queries(state: Tensor, beta: Beta, mask: Any) -> tuple[Tensor, Beta, Any]:
    """Return states without leading axes, with their inverse temperatures and the mask."""
    if isinstance(beta, torch.Tensor):
        beta = beta.expand(state.shape[:-1]).reshape(-1)
    mask = mask if mask is None or mask.ndim < 2 else mask.reshape(1, mask.shape[-1])
    return state.reshape(-1, state.shape[-1]), beta, mask


def best(
    state: Tensor,
    stored: Tensor,
    beta: Beta,
    mask: Tensor | None,
    separation: SeparationFunction,
) -> tuple[Tensor, ...] | None:
    """Return what :meth:`hopcore.Backend.best` does, or None if no kernel takes the call."""
    if shares_memory(state, stored, None, mask):
        flat = as_queries(state, beta, mask)
        found = best(flat[0], stored, *flat[1:], separation)
        return None if found is None else tuple(x.reshape(state.shape[:-1]) for x in found)
    if refusal(state, stored, None, beta, mask, separation):
        return None
    memory = Memory(state, stored, stored, beta, mask, None, FusedOrder.of(separation))
    results = Launch(memory).forward(output=False, best=True)
    return results.index, results.top, results.weight, results.conjugate


def statistics(
    state: Tensor,
    stored: Tensor,
    beta: Beta,
    mask: Tensor | None,
    separation: SeparationFunction,
) -> tuple[Tensor, ...] | None:
    """Return what :meth:`hopcore.Backend.statistics` does, or None if no kernel takes the call.

    No kernel does if a derivative is recorded.
    """
    differentiates = differentiated(state, stored, None if isinstance(beta, float) else beta)
    if differentiates or refusal(state, stored, None, beta, mask, separation):
        return None
    leads = [state.shape[:-2], stored.shape[:-2], () if mask is None else mask.shape[:-2]]
    leads.append(beta.shape[:-1] if isinstance(beta, torch.Tensor) else ())
    # Each place of the leading axes receives for itself, so it has a memory of its own.
    stored = stored.expand(*torch.broadcast_shapes(*leads), *stored.shape[-2:])
    launch = Launch(Memory(state, stored, stored, beta, mask, None, FusedOrder.of(separation)))
    found = launch.forward(output=False, derivative=True, entropy=True)
    numbers = found.conjugate, found.entropy, found.square, found.weight
    return *numbers, launch.received(found)


def hard_lookup(
    state: Tensor, stored: Tensor, projection: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the projection of the pattern with the largest product, its index and the product.

    This is the association for :math:`\beta \to \infty`. It has no derivative by states and
    patterns, and none is recorded.

    Parameters
    ----------
    state : tensor (..., L, d)
        Float32, bfloat16 or float16, on a GPU (or on the CPU, where kernels are interpreted).
    stored : tensor (..., S, d)
        Of the same dtype.
    projection : tensor (..., S, v)
        What is looked up, of the same dtype.
    mask : boolean tensor broadcastable to (..., L, S), optional
        True where a query may attend to a pattern.

    Returns
    -------
    tuple of tensors (..., L, v), (..., L), (..., L)
        The projections, the indices of the first patterns with the largest products, and these
        products in float32. A query that may attend to nothing gets zeros, -1 and -inf.

    Raises
    ------
    ValueError
        The kernels do not take the call; the message says why.
    """
    found = refusal(state, stored, projection, 1.0, mask, HARD)
    if not found and not SWITCH[0].interprets and not state.is_cuda:
        found = "the tensors are not on a GPU"
    if found:
        raise ValueError(f"hard_lookup does not take these tensors: {found}")
    hard = Memory(state, stored, projection, 1.0, mask, None, FusedOrder(1.0))
    results = Launch(hard).lookup()
    return results.output, results.index, results.top


class Hard:
    """The formula of :func:`hard_lookup`, of which refusals only ask whether it is a softmax."""

    softmax = True


HARD: Any = Hard()


def is_left_to_torch(separation: SeparationFunction) -> bool:
    """Whether torch's own fused kernel is preferred: for a softmax without conjugate on GPUs."""
    return separation.softmax and not SWITCH[0].interprets
