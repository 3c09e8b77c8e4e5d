"""What an input may be, and what computes with it: backends and their kernels.

An array belongs to a library (NumPy, torch, JAX or another one that speaks the Array API). Its
:class:`Backend` brings the library's namespace and the kernels; :func:`backend` finds one by name.
Authors of a backend derive from :class:`Backend` and use the helpers that are listed here.
"""

from hopcore.arrays._backend import (
    BLOCK,
    Array,
    Backend,
    Beta,
    Loop,
    SeparationFunction,
    block_rows,
    columns_of_mask,
    rows_of,
    rows_of_mask,
    scaled,
)
from hopcore.arrays._conjugate_gradients import conjugate_gradients
from hopcore.arrays._discovery import BY_TYPE, backend, backend_of, register_array_type
from hopcore.arrays._graph_kernels import MASKED, SOME, Rows, stretches, without_rounding
from hopcore.arrays._inputs import check
from hopcore.arrays._merge import OverWorkers, merged_over, too_many_weights

__all__ = [
    "BLOCK",
    "BY_TYPE",
    "MASKED",
    "SOME",
    "Array",
    "Backend",
    "Beta",
    "Loop",
    "OverWorkers",
    "Rows",
    "SeparationFunction",
    "backend",
    "backend_of",
    "block_rows",
    "check",
    "columns_of_mask",
    "conjugate_gradients",
    "merged_over",
    "register_array_type",
    "rows_of",
    "rows_of_mask",
    "scaled",
    "stretches",
    "too_many_weights",
    "without_rounding",
]
