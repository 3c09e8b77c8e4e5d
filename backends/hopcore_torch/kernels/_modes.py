"""In which mode torch runs, and NumPy's kernels on the memory of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad


def eager() -> bool:
    """Whether operations run as called: no compiler, trace, function transform, forward mode."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None  # pyright: ignore[reportAttributeAccessIssue]
        and torch._C._functorch.peek_interpreter_stack() is None  # pyright: ignore[reportAttributeAccessIssue]
        and forward_ad._current_level < 0
    )


def traced() -> bool:
    """Whether operations are recorded for other inputs: by a compiler, or by ``torch.jit``."""
    return (
        torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None  # pyright: ignore[reportAttributeAccessIssue]
    )


def compiled() -> bool:
    """Whether torch.compile records operations; exports must not call operators of hopcore."""
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


def differentiated(*values: Any) -> bool:
    """Whether a gradient by any of the values may be asked for."""
    if torch.is_grad_enabled():
        for value in values:
            if getattr(value, "requires_grad", False):
                return True
    return False


def in_numpy(kernel: Callable[..., Any], *arguments: Any) -> Any:
    """A NumPy kernel on the memory of tensors on the CPU."""
    arrays = (
        x.detach().resolve_neg().numpy() if isinstance(x, torch.Tensor) else x for x in arguments
    )
    found = kernel(*arrays)
    return (
        tuple(map(torch.from_numpy, found)) if isinstance(found, tuple) else torch.from_numpy(found)
    )
