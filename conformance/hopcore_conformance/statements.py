"""What the specification says, statement by statement, and the mark that a check wears for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Check = TypeVar("Check", bound=Callable[..., None])

STATEMENTS: dict[str, str] = {
    # E: energy and update (Ramsauer et al. 2021).
    "E.lse": "lse(beta, z) = log(sum_i exp(beta z_i)) / beta",
    "E.energy": "E(xi) = -lse(beta, X xi) + ||xi||^2/2 + log(N)/beta + M^2/2",
    "E.update": "f(xi) = X^T softmax(beta X xi)",
    "E.association": "association with pattern projections: V^T softmax(beta X xi)",
    "E.mask": "True = attend; patterns masked for a query count for nothing, neither in N nor in M",
    "E.empty": "a query that may attend to nothing associates to zeros; its energy is +inf",
    "E.merge": "associations with the pieces of a memory merge exactly into that with the whole",
    "E.retrieval": "f is iterated until ||xi_{t+1} - xi_t|| <= tol M, at most max_steps times",
    "E.alone": "every query stops on its own: what it returns never depends on its batch-mates",
    "E1": "0 <= E <= 2 M^2 in the convex hull of the patterns",
    "E2": "descent: E(xi) - E(f(xi)) >= ||f(xi) - xi||^2 / 2",
    "E3": "grad E = xi - f(xi): fixed points of f are the stationary points of E",
    "E4": "Jacobian of f = beta Cov_p(x), norm <= beta diam^2/4 and <= beta ||X||_2^2/2; "
    "beta diam^2 < 4 implies one global attractor",
    "E5": "dE/dbeta = -(log N - H(p))/beta^2 <= 0: a rising beta never raises the energy",
    "E6": "||f(xi) - x_i|| <= 2 (N-1) M exp(-beta (Delta_i - 2 r M))",
    # F: separation functions (Santos et al. 2024).
    "F.weights": "the weights are argmax_y <y, z> - Omega(y) over the simplex, alpha in (1, 50]",
    "F.softmax": "softmax: w_i = exp(z_i) / sum_j exp(z_j)",
    "F.sparsemax": "sparsemax is the closed form that sorting gives",
    "F.entmax15": "1.5-entmax is the closed form that sorting gives",
    "F.limit": "alpha-entmax tends to the softmax as alpha tends to 1",
    "F.permutation": "weights follow their patterns under a permutation",
    "F.conjugate": "the conjugate is <w, z> - Omega(w); its gradient is the weights",
    "F.jacobian": "the Jacobian of the weights is diag(s) - s s^T / sum(s), s = w^(2-alpha)",
    "F.reach": "a score 1/(alpha-1) or more below the largest gets weight exactly 0",
    "F.energy": "E = -L_Omega(beta X xi; 1/N)/beta + ||xi - mean||^2/2 + (M^2 - ||mean||^2)/2",
    "F1": "descent as in E2, for every alpha",
    "F2": "0 <= E <= min(2 M^2, -Omega(1/N)/beta + M^2/2) in the hull",
    "F3": "margin m = 1/(alpha-1): x_i is an exact fixed point iff Delta_i >= m/beta, and a query "
    "with xi.(x_i - x_j) >= m/beta for all j retrieves x_i exactly in one step",
    # A: what an input may be, and what comes back.
    "A.type": "not an array, not real floating, two libraries or dtypes: TypeError",
    "A.shape": "shapes that do not fit: ValueError that names both",
    "A.value": "nan, inf, beta <= 0, alpha <= 1, unknown names, bad options: an error that says so",
    "A.kind": "results have the library, device and dtype of the input; energies at least float32",
    "A.unchanged": "inputs are never written to, read-only ones are welcome",
    # B: what every backend owes.
    "B.batch": "leading axes broadcast, and give what a loop over them gives",
    "B.beta": "beta per query, per head or batched gives what a loop over its values gives",
    "B.blocks": "a memory too large for one block gives what small blocks give",
    "B.extreme": "finite: beta 1e-6 to 1e6, norms 1e-20 to 1e15, one pattern, copies, d = 1, L = 0",
    "B.half": "results lie within a few eps of the float64 results of the same inputs",
    "B.gradient": "automatic derivatives are those of the formula, and finite everywhere",
    "B.implicit": "gradient='implicit' is the unrolled gradient at a fixed point",
}
"""Identifier and text of every statement that the suite checks."""


def statement(*identifiers: str) -> Callable[[Check], Check]:
    """Mark a check with the statements it verifies.

    Raises
    ------
    KeyError
        No such statement.
    """

    def mark(check: Check) -> Check:
        vars(check)["statements"] = {name: STATEMENTS[name] for name in identifiers}
        return check

    return mark
