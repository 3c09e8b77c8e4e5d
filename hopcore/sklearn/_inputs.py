"""Check rows the way scikit-learn does."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)


def training_rows(estimator: Any, X: Any, *, allow_nan: bool = False) -> np.ndarray:
    """Return checked training rows in float32 or float64; remember their columns."""
    return checked(estimator, X, allow_nan=allow_nan, reset=True)


def later_rows(estimator: Any, X: Any, *, allow_nan: bool = False) -> np.ndarray:
    """Return checked rows of the columns that a fitted estimator knows."""
    check_is_fitted(estimator)
    return checked(estimator, X, allow_nan=allow_nan, reset=False)


def training_targets(estimator: Any, rows: np.ndarray, y: Any, *, dtype: Any) -> np.ndarray:
    """Return the checked targets of training rows, one or several for each row."""
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    targets: Any = check_array(y, ensure_2d=False, dtype=dtype, input_name="y")
    check_consistent_length(rows, targets)
    return targets


def checked(estimator: Any, X: Any, *, allow_nan: bool, reset: bool) -> np.ndarray:
    """Return finite rows; float16 becomes float32, and integers become float64."""
    rows: Any = validate_data(
        estimator,
        X,
        dtype=FLOAT_DTYPES,
        ensure_all_finite="allow-nan" if allow_nan else True,
        reset=reset,
    )
    return rows.astype(np.result_type(rows.dtype, np.float32), copy=False)
