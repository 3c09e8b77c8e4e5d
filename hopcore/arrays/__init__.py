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
    beta_of_rows,
    block_rows,
    mask_of_columns,
    mask_of_rows,
    scale_by_beta,
)
from hopcore.arrays._conjugate_gradients import conjugate_gradients
from hopcore.arrays._discovery import BY_TYPE, backend, backend_of, register_array_type
from hopcore.arrays._graph_kernels import MASKED, SOME, Rows, chunks, without_rounding
from hopcore.arrays._inputs import check_inputs
from hopcore.arrays._merge import OverWorkers, merge_over_workers, too_many_weights

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
    "beta_of_rows",
    "block_rows",
    "check_inputs",
    "chunks",
    "conjugate_gradients",
    "mask_of_columns",
    "mask_of_rows",
    "merge_over_workers",
    "register_array_type",
    "scale_by_beta",
    "too_many_weights",
    "without_rounding",
]
