"""What results show of themselves in a session: one line, whatever they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hopcore.arrays._scalar_checks import short_repr


def one_line(result: Any) -> str:
    """Return the fields of a named tuple, of arrays only the dtype and the shape.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.training.Images(np.zeros((9, 4)), np.zeros(9))
    Images(pixels=float64 (9, 4), target=float64 (9,))
    """
    fields = zip(result._fields, result, strict=True)
    return f"{type(result).__name__}({', '.join(f'{name}={brief(x)}' for name, x in fields)})"


def brief(value: Any) -> str:
    """Return one value in a few words."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        kind = str(value.dtype).rpartition(".")[2]
        return f"{kind} {tuple(value.shape)}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return f"<{len(value)} entries>"
    if isinstance(value, str):
        return repr(value)
    return repr(value) if hasattr(value, "_fields") else short_repr(value)
