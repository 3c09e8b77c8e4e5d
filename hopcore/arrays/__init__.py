"""Arrays of any library: checked inputs, the backend that computes with them, and its kernels.

An array belongs to a library: NumPy, torch, JAX, or another one that follows the Array API. The
:class:`Backend` of the library brings its namespace and the kernels. :func:`backend_of` finds it
from an array, :func:`backend` by its name, and :func:`check_inputs` checks the arrays of one call
against each other and returns their backend with them.

Authors of a backend derive from :class:`Backend`, whose portable kernels they replace where their
library has something faster. The other names are helpers for such kernels: parts of masks and
betas, blocks of a fixed size, the rows of a graph, and the merge of memories in parts.
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
    orders_of,
    orders_of_rows,
    with_orders,
)
from hopcore.arrays._best import best_of, best_over_workers
from hopcore.arrays._conjugate_gradients import conjugate_gradients
from hopcore.arrays._discovery import BY_TYPE, backend, backend_of, register_array_type
from hopcore.arrays._edge import as_patterns
from hopcore.arrays._graph_kernels import (
    GATHER_BLOCK,
    MASKED_SCORE,
    Rows,
    chunks,
    without_rounding,
)
from hopcore.arrays._inputs import check_inputs
from hopcore.arrays._library import AnyArray, BetaLike, SomeArray
from hopcore.arrays._long_sums import LONG, PART, long_product
from hopcore.arrays._masked import attended_by_some
from hopcore.arrays._merge import OverWorkers, merge_over_workers, orders_in_parts, too_many_weights
from hopcore.arrays._scalar_checks import MOST_NUMBER
from hopcore.arrays._score_kernels import scale_by_beta
from hopcore.arrays._weight_statistics import weight_statistics

__all__ = [  # noqa: RUF022 (grouped by subject)
    # Arrays, their backends and the checks of a call
    "AnyArray",
    "Array",
    "SomeArray",
    "Backend",
    "backend",
    "backend_of",
    "as_patterns",
    "check_inputs",
    "register_array_type",
    "BY_TYPE",
    # Arguments of kernels
    "Beta",
    "BetaLike",
    "Loop",
    "SeparationFunction",
    # Blocks of an association
    "BLOCK",
    "block_rows",
    "beta_of_rows",
    "mask_of_rows",
    "mask_of_columns",
    "attended_by_some",
    "scale_by_beta",
    "orders_of",
    "orders_of_rows",
    "with_orders",
    "LONG",
    "PART",
    "MOST_NUMBER",
    "long_product",
    "conjugate_gradients",
    "weight_statistics",
    # Graphs
    "Rows",
    "GATHER_BLOCK",
    "MASKED_SCORE",
    "chunks",
    "without_rounding",
    # Memories in parts
    "OverWorkers",
    "best_of",
    "best_over_workers",
    "merge_over_workers",
    "too_many_weights",
    "orders_in_parts",
]
