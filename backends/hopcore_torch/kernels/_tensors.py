"""Tensors of torch as arrays: their values, devices and identity, read only where that is safe."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef

from hopcore.arrays import BLOCK, Backend
from hopcore_torch.kernels._modes import differentiated, eager, traced

PLAIN_TYPES = (torch.Tensor, torch.nn.Parameter)

BLOCK_ELSEWHERE = 64 * BLOCK
"""How many scores are held at once on a GPU (512 MiB in float32), where small blocks are slow."""


class Identity(NamedTuple):
    """A tensor with its values: see :meth:`TorchTensors.identity`."""

    storage: StorageWeakRef
    version: int
    place: tuple[Any, ...]

    @property
    def expired(self) -> bool:
        """Whether the memory no longer exists."""
        return self.storage.expired()


class TorchTensors(Backend):
    """What kernels ask of a tensor before they use it."""

    def can_read_values(self, array: torch.Tensor) -> bool:
        """On the CPU, in eager mode; a GPU would have to be waited for."""
        return type(array) in PLAIN_TYPES and array.is_cpu and eager()

    def can_fetch_values(self, array: torch.Tensor) -> bool:
        """Whether values exist: in eager mode, on every device but ``meta``."""
        return type(array) in PLAIN_TYPES and eager() and not array.is_meta

    def identity(self, array: torch.Tensor) -> Any:
        """The memory of a tensor, its place there, and how often autograd saw it change."""
        if type(array) not in PLAIN_TYPES or not eager() or array.is_inference():
            return None
        return Identity(
            # A weak reference: as long as it exists, no other memory has this number.
            StorageWeakRef(array.untyped_storage()),
            array._version,
            (array.storage_offset(), array.shape, array.stride(), array.dtype, array.device),
        )

    def cache_context(self) -> AbstractContextManager[Any]:
        """Outside of inference mode, whose tensors autograd refuses."""
        return torch.inference_mode(False)

    def requires_gradient(self, *arrays: torch.Tensor) -> bool:
        """Whether autograd records what is done with one of them."""
        return differentiated(*arrays)

    def has_dynamic_shapes(self, array: torch.Tensor) -> bool:
        """Where values are visible; elsewhere a count would have to be waited for."""
        return self.can_read_values(array)

    def has_known_sizes(self, array: torch.Tensor) -> bool:
        """Unless a compiler, an exporter or ``torch.jit`` leaves them open."""
        return not traced() or (
            torch.compiler.is_compiling()
            and not torch.compiler.is_dynamo_compiling()
            and all(type(n) is int for n in array.shape)
        )

    def all_finite(self, array: torch.Tensor) -> bool:
        """A sum first: it is not finite if any value is not (or if it overflows)."""
        if array.is_meta:
            raise TypeError("a tensor on the device meta has no values, which are needed here")
        if array.requires_grad:
            array = array.detach()
        return math.isfinite(array.sum().item()) or bool(torch.isfinite(array).all())

    def check_layout(self, name: str, array: torch.Tensor) -> None:
        """Refuse tensors that are sparse, nested or opaque; kernels read strided memory."""
        if array.layout is not torch.strided or array.is_nested:
            kind, way = str(array.layout).removeprefix("torch.").lstrip("_"), ".to_dense()"
            if array.is_nested:
                kind, way = "nested", "torch.nested.to_padded_tensor, and a mask"
            raise TypeError(f"{name} must be a dense tensor, got a {kind} one; use {way}")

    def all_moderate(self, array: torch.Tensor) -> bool:
        """One look at all values; nan is compared with nothing."""
        if array.numel() == 0:
            return True
        low, high = torch.aminmax(array.detach())
        return max(-low.item(), high.item()) < torch.finfo(array.dtype).max ** 0.25

    def device(self, array: torch.Tensor) -> torch.device:
        """The tensor's own device; inputs that cannot be read are refused here."""
        if array.layout is not torch.strided or array.is_nested:
            self.check_layout("an input", array)
        return array.device

    def asarray(self, values: Any, *, dtype: str | None = None, device: Any = None) -> torch.Tensor:
        """A tensor that shares no memory with ``values``."""
        try:
            where = None if device is None else torch.device(device)
            kind = None if dtype is None else getattr(torch, dtype)
            return torch.tensor(np.asarray(values), dtype=kind, device=where)
        except (RuntimeError, AssertionError) as refused:
            reason = str(refused).splitlines()[0]
            raise ValueError(f"torch has no device {device!r} here: {reason}") from None

    def to_numpy(self, array: torch.Tensor) -> np.ndarray:
        """The values on the host; bfloat16, which NumPy lacks, as float32."""
        array = array.detach().cpu().resolve_neg()
        return (array.float() if array.dtype == torch.bfloat16 else array).numpy()

    def copied(self, array: torch.Tensor) -> torch.Tensor:
        """A clone, of which a view that was broadcast becomes whole."""
        return array.clone(memory_format=torch.contiguous_format)

    def constant(self, array: Any) -> Any:
        """The tensor, detached; a number that a compiler leaves open is fixed.

        With ``dynamic=True`` numbers are open, which torch's loops cannot take.
        """
        if not isinstance(array, float):
            return array.detach()
        return float.fromhex(array.hex()) if torch.compiler.is_dynamo_compiling() else array

    def block(self, array: torch.Tensor) -> int:
        """More on a device where each call of a kernel has a cost of its own."""
        return super().block(array) if array.device.type == "cpu" else BLOCK_ELSEWHERE

    def uses_autocast(self, array: torch.Tensor) -> bool:
        """Under autocast."""
        kind = array.device.type  # "meta" knows of no autocast
        return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
