"""Which calls the kernels in Triton take, and the switch that chooses them.

The kernels have not run on a GPU yet, so the default, ``portable``, never uses them. The
environment variable ``HOPCORE_TORCH_KERNELS`` changes this: with ``auto`` they are used for CUDA
tensors where they apply and Triton can be imported, and with ``triton-interpret`` for tensors on
the CPU, run by the interpreter of Triton, which is slow and meant for tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import torch

from hopcore.arrays import SeparationFunction
from hopcore.memory import fused_gpu_refusal, fused_refusal
from hopcore_torch.kernels._modes import differentiated, eager

Kernels: TypeAlias = Literal["auto", "portable", "triton-interpret"]

VARIABLE = "HOPCORE_TORCH_KERNELS"

DTYPES = (torch.float32, torch.bfloat16, torch.float16)

INTERPRETED = 512
"""The most tiles of an interpreted call, each of which takes milliseconds."""

LEADS = 2**20
"""The most leading indices, each of which has a row in a table of offsets."""

VERSION = 3, 7
"""The least version of Triton, the one of torch 2.13."""

SHARED = 99 * 1024
"""Bytes of shared memory that a kernel may take; compute capability 8.6 has no more."""


class Switch:
    """The kernels that are used; see the environment variable."""

    def __init__(self, kernels: str) -> None:
        if kernels not in ("auto", "portable", "triton-interpret"):
            raise ValueError(
                f"{VARIABLE} must be 'auto', 'portable' or 'triton-interpret', got {kernels!r}"
            )
        self.kernels = kernels
        self.interprets = kernels == "triton-interpret"
        self.on_gpus = kernels == "auto"
        if self.interprets:
            # Triton reads this when it is imported, and when a function is decorated.
            os.environ.setdefault("TRITON_INTERPRET", "1")


SWITCH = [Switch(os.environ.get(VARIABLE, "portable"))]


@contextmanager
def using_kernels(kernels: Kernels) -> Iterator[None]:
    """Use other kernels within a ``with`` statement, in all threads.

    Parameters
    ----------
    kernels : {"auto", "portable", "triton-interpret"}
        As in the environment variable ``HOPCORE_TORCH_KERNELS``.

    Raises
    ------
    ValueError
        The name is unknown.

    Examples
    --------
    >>> import torch, hopcore
    >>> from hopcore_torch.kernels.triton import using_kernels
    >>> with using_kernels("portable"):
    ...     hopcore.association(torch.ones(1, 2), torch.eye(2), beta=1.0)
    tensor([[0.5000, 0.5000]])
    """
    before, SWITCH[0] = SWITCH[0], Switch(kernels)
    try:
        yield
    finally:
        SWITCH[0] = before


def uses_triton(array: torch.Tensor) -> bool:
    """Whether the kernels may be used on the device of a tensor; importing nothing."""
    if torch.compiler.is_compiling():  # whose traces would hold the switch, too
        return False
    switch = SWITCH[0]
    if array.is_cuda:
        return switch.on_gpus and eager() and gpu_refusal(array.device) == ""
    return switch.interprets and array.is_cpu


@cache
def gpu_refusal(device: torch.device) -> str:
    """Why the kernels cannot run on a GPU; empty if they can."""
    if find_spec("triton") is None:
        return "Triton is not installed"
    if found := version_refusal(version("triton")):
        return found
    if torch.version.hip is not None:
        return "the kernels were compiled for NVIDIA GPUs only"
    properties = torch.cuda.get_device_properties(device)
    return device_refusal(
        (properties.major, properties.minor),
        getattr(properties, "shared_memory_per_block_optin", SHARED),
    )


def version_refusal(installed: str) -> str:
    """Why a version of Triton is too old; empty if it is not."""
    if tuple(map(int, installed.split(".")[:2])) < VERSION:
        return f"Triton {installed} is older than {VERSION[0]}.{VERSION[1]}"
    return ""


def device_refusal(capability: tuple[int, int], shared: int) -> str:
    """Why a compute capability or a shared memory in bytes is too small; empty if it is not."""
    if found := fused_gpu_refusal(capability):
        return found
    if shared < SHARED:
        return f"{shared} bytes of shared memory are fewer than {SHARED}"
    return ""


def refusal(
    state: torch.Tensor,
    stored: torch.Tensor,
    projection: torch.Tensor | None,
    beta: Any,
    mask: torch.Tensor | None,
    separation: SeparationFunction,
    bias: torch.Tensor | None = None,
) -> str:
    """Say why the kernels do not take a call; return an empty string if they do.

    Parameters
    ----------
    state, stored, projection, beta, mask, separation
        As in :meth:`hopcore.Backend.associate`; no projection for the conjugate alone.
    bias : tensor broadcastable to (..., L, S), optional
        A number for each query and pattern, which is added to their score.

    Returns
    -------
    str
        The reason, such as "float64 is wider than the sums of the kernels"; empty if the kernels
        compute this call.
    """
    arrays = [x for x in (state, stored, projection) if x is not None]
    if found := wrong_arrays(arrays):
        return found
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in arrays)).numel()
    coordinates = max(x.shape[-1] for x in arrays)
    numbers: Any = {"queries": state.shape[-2], "lead": lead}
    numbers["interpreted"] = INTERPRETED if SWITCH[0].interprets else None
    return (
        fused_refusal(separation, coordinates, stored.shape[-2], **numbers)
        or (f"{lead} leading indices are more than {LEADS}" if lead > LEADS else "")
        or wrong_options(state, beta, mask)
        or wrong_bias(bias, arrays)
    )


def wrong_arrays(arrays: list[torch.Tensor]) -> str:
    """Say what is wrong with dtypes, devices or empty arrays."""
    dtype, device = arrays[0].dtype, arrays[0].device
    if not eager():
        return "traces and function transforms record plain operations"
    if dtype not in DTYPES:
        return f"{str(dtype).removeprefix('torch.')} is wider than the sums of the kernels"
    if any(x.dtype != dtype or x.device != device for x in arrays):
        return "the arrays differ in dtype or device"
    if any(x.numel() == 0 for x in arrays):
        return "an array is empty"
    return ""


def wrong_options(state: torch.Tensor, beta: Any, mask: Any) -> str:
    """Say why an inverse temperature or a mask is not taken."""
    if mask is not None and mask.dtype != torch.bool:
        return "the mask is not boolean"
    for x in (beta, mask):
        if isinstance(x, torch.Tensor) and (x.device != state.device or 0 in x.shape):
            return "beta or the mask is empty or on another device"
    return ""


def wrong_bias(bias: torch.Tensor | None, arrays: list[torch.Tensor]) -> str:
    """Say why a bias is not taken: one with a derivative must be one number for each pattern."""
    if bias is None:
        return ""
    if bias.device != arrays[0].device or 0 in bias.shape:
        return "the bias is empty or on another device"
    if differentiated(bias):
        if bias.shape[-2:-1].numel() > 1:
            return "a bias of each query has no derivative here"
        lead, memory = bias.shape[:-2], torch.broadcast_shapes(*(x.shape[:-2] for x in arrays[1:]))
        if torch.broadcast_shapes(lead, memory).numel() > memory.numel():
            return "a bias that differs where memories do not has no derivative here"
    return ""
