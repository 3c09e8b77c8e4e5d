r"""Which calls the attention of cuDNN takes.

Only those for which it computes what the portable kernels do, up to rounding. So there is no mask
of booleans, under which a query may attend to nothing: hopcore returns zeros for it, and cuDNN does
not. Beta multiplies the products in float32, and is a constant of the compiled program. An array
of betas would have to multiply the queries, which would be rounded afterwards: scores of 100 would
be off by up to 0.2 in bfloat16, and weights by 20 %.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hopcore.arrays import Array, SeparationFunction
from hopcore.memory import fused_gpu_refusal, fused_refusal
from hopcore_jax.kernels import _loops as loops
from hopcore_jax.kernels._blocks import Places
from hopcore_jax.kernels._cudnn import Shape, refusal_of_jax
from hopcore_jax.kernels._products import half_of
from hopcore_jax.kernels.pallas._choice import (
    SWITCH,
    capability_of,
    device_by_default,
    platform_refusal,
    wrong_arrays,
)

DEEPEST, STEP = 128, 8
"""The most coordinates, and the number of which theirs must be a multiple.

Newer GPUs take up to 256, but a program may be lowered before its GPU is known, and cuDNN has
derivatives for 8.0 to 8.9 up to 128 only (its support matrix, cudnn-frontend, Attention.md).
"""

MOST_MEMORIES = 2**16 - 1
"""The most memories, and sequences of queries of a memory: CUDA has no longer second axis of a
launch."""

LEAST_BETA, MOST_BETA = 2.0**-126, 2.0**127
"""Between them beta is a normal number in float32."""


def cudnn_refusal(
    state: Array,
    stored: Array,
    projection: Array,
    beta: Any,
    mask: Array | None,
    separation: SeparationFunction,
    *,
    bias: Array | None = None,
    causal: bool = False,
    need_conjugate: bool = False,
) -> str:
    """Say why the attention of cuDNN does not take a call; return an empty string if it does.

    Parameters
    ----------
    state, stored, projection, beta, mask, separation, need_conjugate
        As in :meth:`hopcore.Backend.associate`.
    bias : array, optional
        As in :meth:`hopcore.Backend.associate_biased`.
    causal : bool
        Whether query i may attend to the patterns 0 to i only.

    Returns
    -------
    str
        The reason, such as "float32 is not a dtype of half precision".
    """
    if half_of(state.dtype) is None:
        return f"{state.dtype} is not a dtype of half precision"
    if not SWITCH[0].uses_cudnn:
        return f"the chosen kernels are {SWITCH[0].kernels!r}"
    return (
        wrong_call(beta, mask, separation, bias, need_conjugate)
        or wrong_arrays([state, stored, projection], [])
        or wrong_sizes(state, stored, projection, causal)
        or fused_refusal(separation, state.shape[-1], stored.shape[-2])
        or cudnn_gpu_refusal(device_by_default())
        or refusal_of_jax((1, 1, STEP), (1, 1, STEP), state.dtype, False)
        or refusal_of_jax(*flat_shapes(state, stored, projection, causal), state.dtype, causal)
    )


def wrong_call(
    beta: Any, mask: Any, separation: SeparationFunction, bias: Any, need_conjugate: bool
) -> str:
    """Say what is asked for that cuDNN does not compute, or not as the portable kernels do."""
    if not separation.softmax:
        return "the separation function is not the softmax"
    if need_conjugate:
        return "JAX rounds the log-sum-exp of cuDNN to half precision"
    if mask is not None:
        return "a mask may hide every pattern from a query, and then cuDNN returns no zeros"
    if bias is not None:
        return "cuDNN rounds a bias to half precision"
    return wrong_beta(beta)


def wrong_beta(beta: Any) -> str:
    """Say why an inverse temperature cannot be a constant of a call of cuDNN."""
    if not isinstance(beta, float):
        return "beta is an array, and the queries times beta would be rounded"
    if not LEAST_BETA <= beta <= MOST_BETA:
        return f"beta={beta:g} is not a normal number in float32"
    if not loops.staged():
        return "no program is compiled, of which beta could be a constant"
    return ""


def wrong_sizes(state: Array, stored: Array, projection: Array, causal: bool) -> str:
    """Say which sizes cuDNN does not take."""
    depth, width = state.shape[-1], projection.shape[-1]
    if depth != width:
        return f"states have {depth} coordinates and projections have {width}"
    if depth > DEEPEST or depth % STEP:
        return f"{depth} coordinates are not a multiple of {STEP} up to {DEEPEST}"
    if causal and state.shape[-2] != stored.shape[-2]:
        return f"there are {state.shape[-2]} queries and {stored.shape[-2]} patterns"
    (memories, queries, _), _ = flat_shapes(state, stored, projection, causal)
    sequences = queries // state.shape[-2] if causal else 1
    if max(memories, sequences) > MOST_MEMORIES:
        return f"{memories} memories or {sequences} sequences are more than {MOST_MEMORIES}"
    return ""


def flat_shapes(
    state: Array, stored: Array, projection: Array, causal: bool
) -> tuple[Shape, Shape]:
    """Return the shapes of the queries ``(B, R, d)`` and of the memories ``(B, S, d)``."""
    places = Places.of(state, stored, projection, np.ones(1), None)
    queries = math.prod(places.lead) // places.batch * places.length
    return (places.batch, queries, state.shape[-1]), (places.batch, *stored.shape[-2:])


def cudnn_gpu_refusal(device: Any) -> str:
    """Say why cuDNN cannot run on a device; return "" if it can, or where another one may follow.

    A program that is traced where there is no GPU may be lowered for one.
    """
    if device.platform not in ("gpu", "cuda"):
        return ""
    return platform_refusal(device.client.platform_version) or fused_gpu_refusal(
        capability_of(device)
    )
