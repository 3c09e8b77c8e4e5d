"""Conjugate gradients for many small symmetric positive definite systems at once."""

from __future__ import annotations

from collections.abc import Callable

from hopcore.arrays._backend import Array, Backend


def conjugate_gradients(
    matvec: Callable[[Array], Array],
    right: Array,
    backend: Backend,
    *,
    max_steps: int,
    tol: float,
    axis: int = -1,
) -> Array:
    r"""Solve :math:`A u = b` for each row b of ``right``, A symmetric positive definite per row.

    Parameters
    ----------
    matvec : callable
        ``matvec(u)`` is A times u, row by row; shapes ``(..., d)``.
    right : array (..., d)
        Right-hand sides.
    backend : Backend
        The backend whose ``loop`` runs the iteration.
    max_steps : int
        The largest number of steps; in exact arithmetic d steps are enough.
    tol : float
        A row is done when its residual is at most ``tol`` times its right-hand side.
    axis : int
        The axis of a system; with -2 each column is a right-hand side.

    Returns
    -------
    array (..., d)
        The solutions. If A is not positive definite, the last iterate before this was found.
    """
    xp = backend.xp

    def dot(a: Array, b: Array) -> Array:
        return xp.sum(a * b, axis=axis, keepdims=True)

    enough = tol * tol * dot(right, right)

    def step(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        u, residual, direction, square = carry
        image = matvec(direction)
        curvature = dot(direction, image)
        active = (square > enough) & (curvature > 0)
        length = xp.where(active, square / xp.where(curvature > 0, curvature, 1.0), 0.0)
        u = u + length * direction
        residual = residual - length * image
        after = xp.where(active, dot(residual, residual), 0.0)
        turn = after / xp.where(square > 0, square, 1.0)
        return u, residual, residual + turn * direction, after

    square = dot(right, right)
    init = (xp.zeros_like(right), right, right, square)
    return backend.loop(lambda carry: xp.any(carry[3] > enough), step, init, max_steps)[0]
