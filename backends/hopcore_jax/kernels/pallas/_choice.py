"""Which calls the kernels in Pallas take, and the switch that chooses among all kernels.

The kernels have not run on a GPU yet, so the default, ``cudnn``, never uses them: on GPUs of NVIDIA
the attention of cuDNN computes the calls that it takes (``_cudnn_choice.py``), and the
portable kernels compute all others. The environment variable ``HOPCORE_JAX_KERNELS`` changes this:
with ``auto`` those in Pallas are used on such GPUs where they apply and cuDNN does not, and with
``pallas-interpret`` on any device, run by the interpreter of Pallas, which is slow and meant for
tests. With ``portable`` neither cuDNN nor Pallas is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np

from hopcore.arrays import Array, SeparationFunction
from hopcore.memory import fused_gpu_refusal, fused_refusal
from hopcore_jax.kernels import _loops as loops

Kernels: TypeAlias = Literal["auto", "cudnn", "portable", "pallas-interpret"]

NAMES: tuple[str, ...] = get_args(Kernels)

VARIABLE = "HOPCORE_JAX_KERNELS"

DTYPES = tuple(map(np.dtype, (np.float32, jnp.bfloat16, np.float16)))

INTERPRETED = 1024
"""The most tiles of an interpreted call."""

ENTRIES = 2**31 - 1
"""The most entries of a mask or a bias, which Pallas numbers in 32 bits."""

VERSION = 0, 10
"""The least version of JAX, whose Pallas has the functions of the kernels."""


class Switch:
    """The kernels that are used; see the environment variable."""

    def __init__(self, kernels: str) -> None:
        if kernels not in NAMES:
            *some, last = map(repr, NAMES)
            raise ValueError(f"{VARIABLE} must be {', '.join(some)} or {last}, got {kernels!r}")
        self.kernels = kernels
        self.interprets = kernels == "pallas-interpret"
        self.on_gpus = kernels == "auto"
        self.uses_cudnn = kernels in ("auto", "cudnn")


SWITCH = [Switch(os.environ.get(VARIABLE, "cudnn"))]


@contextmanager
def using_kernels(kernels: Kernels) -> Iterator[None]:
    """Use other kernels within a ``with`` statement, in all threads.

    What JAX has compiled is forgotten at both ends, since it holds the kernels of its time.

    Parameters
    ----------
    kernels : {"auto", "cudnn", "portable", "pallas-interpret"}
        As in the environment variable ``HOPCORE_JAX_KERNELS``.

    Raises
    ------
    ValueError
        The name is unknown.

    Examples
    --------
    >>> import jax.numpy as jnp, hopcore
    >>> from hopcore_jax.kernels.pallas import using_kernels
    >>> with using_kernels("portable"):
    ...     hopcore.association(jnp.ones((1, 2)), jnp.eye(2), beta=1.0)
    Array([[0.5, 0.5]], dtype=float32)
    """
    before, SWITCH[0] = SWITCH[0], Switch(kernels)
    changes = before.kernels != kernels
    try:
        if changes:
            jax.clear_caches()
        yield
    finally:
        SWITCH[0] = before
        if changes:
            jax.clear_caches()


def uses_pallas(device: Any) -> bool:
    """Whether Pallas may be used on a device, the default one if None; importing nothing."""
    switch = SWITCH[0]
    if not switch.on_gpus:
        return switch.interprets
    device = device_by_default() if device is None else device
    return device.platform in ("gpu", "cuda") and gpu_refusal(device) == ""


def device_by_default() -> Any:
    """The device of arrays that are on no chosen one."""
    chosen: Any = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    return chosen if hasattr(chosen, "platform") else jax.local_devices()[0]


@cache
def gpu_refusal(device: Any) -> str:
    """Why the kernels cannot run on a GPU; empty if they can."""
    if find_spec("jax.experimental.pallas.triton") is None:
        return "this version of JAX cannot compile Pallas by Triton"
    return (
        version_refusal(jax.__version__)
        or platform_refusal(device.client.platform_version)
        or fused_gpu_refusal(capability_of(device))
    )


def version_refusal(installed: str) -> str:
    """Why a version of JAX is too old; empty if it is not."""
    if tuple(map(int, installed.split(".")[:2])) < VERSION:
        return f"JAX {installed} is older than {VERSION[0]}.{VERSION[1]}"
    return ""


def platform_refusal(platform: str) -> str:
    """Why a platform is none of NVIDIA's; empty if it is."""
    if "rocm" in platform.lower():
        return "the kernels were lowered for NVIDIA GPUs only"
    return ""


def capability_of(device: Any) -> tuple[int, int]:
    """The compute capability of a device, which JAX writes as "8.0"; 0.0 if it has none."""
    major, minor = getattr(device, "compute_capability", "0.0").split(".")
    return int(major), int(minor)


def refusal(
    state: Array,
    stored: Array,
    projection: Array | None,
    beta: Any,
    mask: Array | None,
    separation: SeparationFunction,
    bias: Array | None = None,
) -> str:
    """Say why the kernels do not take a call; return an empty string if they do.

    Parameters
    ----------
    state, stored, projection, beta, mask, separation
        As in :meth:`hopcore.Backend.associate`; no projection for the conjugate alone.
    bias : array broadcastable to (..., L, S), optional
        A number for each query and pattern, which is added to their score.

    Returns
    -------
    str
        The reason, such as "float64 is wider than the sums of the kernels"; empty if the kernels
        compute this call.
    """
    arrays = [x for x in (state, stored, projection) if x is not None]
    others = [x for x in (beta, mask, bias) if hasattr(x, "shape")]
    if found := wrong_arrays(arrays, others):
        return found
    lead = int(np.prod(np.broadcast_shapes(*(x.shape[:-2] for x in arrays)), dtype=np.int64))
    numbers: Any = {"queries": state.shape[-2], "lead": lead}
    numbers["interpreted"] = INTERPRETED if SWITCH[0].interprets else None
    coordinates = max(x.shape[-1] for x in arrays)
    return fused_refusal(separation, coordinates, stored.shape[-2], **numbers) or too_many_entries(
        others
    )


def wrong_arrays(arrays: list[Any], others: list[Any]) -> str:
    """Say what is wrong with dtypes or devices, or with sizes that are 0 or not known."""
    dtype = arrays[0].dtype
    if dtype not in DTYPES:
        return f"{dtype} is wider than the sums of the kernels"
    if any(x.dtype != dtype for x in arrays):
        return "the arrays differ in dtype"
    if not all(isinstance(size, int) for x in arrays + others for size in x.shape):
        return "a size is open"
    if any(0 in x.shape for x in arrays + others):
        return "an array is empty"
    if any(on_several_devices(x) for x in arrays + others):
        return "an array is on several devices"
    return ""


def on_several_devices(array: Any) -> bool:
    """Whether an array is divided, or a program for each of several devices is being traced."""
    if loops.traced(array):
        return bool(jax.sharding.get_abstract_mesh().manual_axes)
    return isinstance(array, jax.Array) and len(array.devices()) > 1


def too_many_entries(others: list[Any]) -> str:
    """Say why beta, a mask or a bias has too many entries."""
    largest = max((int(np.prod(x.shape, dtype=np.int64)) for x in others), default=0)
    if largest > ENTRIES:
        return f"{largest} entries of beta, mask or bias are more than {ENTRIES}"
    return ""
