"""Check the arguments of pictures: numbers of any library, and results of hopcore."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from hopcore.arrays._discovery import backend_of


def host(name: str, values: Any) -> np.ndarray:
    """Return numbers of any library, or of a list, on the host in double precision.

    Raises
    ------
    TypeError
        The values are not numbers.
    """
    with suppress(TypeError):  # no array: a number, or a sequence of them
        values = backend_of(values).to_numpy(values)
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be numbers, or an array of any library, got {type(values).__name__}"
        ) from None


def by_name(values: Any) -> dict[str, Any]:
    """Values with their names, a mapping; those that have none get an empty one."""
    return dict(values) if isinstance(values, Mapping) else {"": values}


def instance(name: str, value: Any, kind: type, function: str) -> None:
    """Raise an error for an object that is not the result of this function of hopcore."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be what hopcore.phase.{function} found, got {type(value).__name__}"
        )
