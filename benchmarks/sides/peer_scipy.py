"""SciPy and NumPy on the same Laplacian."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import expm_multiply as multiply

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays
from benchmarks.sides.ours_graphs import graph


def expm_multiply(case: Case, library: str) -> Prepared:
    """The exponential of the normalised Laplacian times the patterns."""
    negated = -hopcore.compute_normalized_laplacian(graph(case, "numpy")).to_scipy()
    patterns = arrays(case)[1]
    return Prepared(lambda: multiply(negated, patterns))


def eigh(case: Case, library: str) -> Prepared:
    """The same by all eigenvalues and eigenvectors."""
    laplacian = hopcore.compute_normalized_laplacian(graph(case, "numpy")).to_dense()
    patterns = arrays(case)[1]

    def call() -> np.ndarray:
        values, vectors = np.linalg.eigh(laplacian)
        return vectors @ (np.exp(-values)[:, None] * (vectors.T @ patterns))

    return Prepared(call)
