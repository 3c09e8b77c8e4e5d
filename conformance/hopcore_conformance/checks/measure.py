"""Results of the subject, each compared with NumPy float64 before a check looks at it."""

from __future__ import annotations

from typing import Any

import numpy as np

import hopcore
from hopcore.memory import get_separation
from hopcore_conformance.cases.memory import Problem
from hopcore_conformance.checks import tolerance
from hopcore_conformance.report.record import LARGEST
from hopcore_conformance.subject import Subject, reference

Array = np.ndarray


def agree(what: str, got: Array, wanted: Any, within: Any) -> None:
    """Fail if results differ in shape, in infinite entries, or by more than ``within``."""
    wanted = np.asarray(wanted)
    if got.shape != wanted.shape:
        raise AssertionError(f"{what}: shape {got.shape}, expected {wanted.shape}")
    with np.errstate(invalid="ignore"):
        off = np.where(got == wanted, 0.0, np.abs(got - wanted))
        wrong = ~(off <= within)
    LARGEST.add(off, within)
    if np.any(wrong):
        raise AssertionError(report(what, wrong, off, within, got=got, expected=wanted))


def at_most(what: str, value: Array, bound: Any, within: Any = 0.0) -> None:
    """Fail if values are above a bound by more than ``within``."""
    with np.errstate(invalid="ignore"):
        excess = value - np.asarray(bound)
        wrong = ~(excess <= within) & (value != bound)
    LARGEST.add(excess, within)
    if np.any(wrong):
        raise AssertionError(report(what, wrong, excess, within, value=value, bound=bound))


def report(what: str, wrong: Array, off: Array, within: Any, **results: Any) -> str:
    """The message of a failed comparison: the largest error, its position, and both results."""
    within = np.broadcast_to(np.asarray(within, np.float64), off.shape)
    margin = np.where(wrong, np.nan_to_num(off - within, nan=np.inf), -np.inf)
    worst = np.unravel_index(np.argmax(margin), margin.shape)
    by, allowed = float(off[worst]), float(within[worst])
    far = f": {by / allowed:.3g} times that" if allowed > 0 and by < np.inf else ""
    there = ", ".join(
        f"{name} {np.broadcast_to(value, off.shape)[worst]!s}" for name, value in results.items()
    )
    lines = [f"{what}: {np.count_nonzero(wrong)} of {wrong.size} wrong"]
    where = f" at {tuple(map(int, worst))}" if worst else ""
    lines += [f"  worst{where}: {there}", f"  off by {by:.3g}, allowed {allowed:.3g}{far}"]
    indent = max(map(len, results)) + 4
    with np.printoptions(precision=6, floatmode="maxprec", threshold=200):
        for name, value in results.items():
            array = np.array2string(np.asarray(value), separator=", ", prefix=" " * indent)
            lines += [f"  {name}:".ljust(indent) + array]
    return "\n".join(lines)


def energy(subject: Subject, p: Problem) -> Array:
    """Energies, (..., L)."""
    got = subject(hopcore.energy, *p.arrays, **p.options)
    wanted = reference(hopcore.energy, *p.arrays, **p.options)
    agree("energy against NumPy float64", got, wanted, tolerance.energy(subject, p))
    return got


def weights(subject: Subject, p: Problem) -> Array:
    """Association weights, (..., L, S)."""
    got = subject(hopcore.association_weights, *p.arrays, **p.options)
    wanted = reference(hopcore.association_weights, *p.arrays, **p.options)
    within = tolerance.weights(subject, p)[..., None]
    agree("weights against NumPy float64", got, wanted, within)
    return got


def update(subject: Subject, p: Problem) -> Array:
    """Updated states, (..., L, d)."""
    got = subject(hopcore.update, *p.arrays, **p.options)
    wanted = reference(hopcore.update, *p.arrays, **p.options)
    within = tolerance.association(subject, p)[..., None]
    agree("update against NumPy float64", got, wanted, within)
    return got


def association(subject: Subject, p: Problem, projection: Array) -> Array:
    """Associations with pattern projections, (..., L, v)."""
    given = (p.state, p.stored, projection)
    got = subject(hopcore.association, *given, beta=p.beta, **p.options)
    wanted = reference(hopcore.association, *given, beta=p.beta, **p.options)
    within = tolerance.association(subject, p, projection)[..., None]
    agree("association against NumPy float64", got, wanted, within)
    return got


def separate(subject: Subject, z: Array, separation: Any) -> tuple[Array, Array]:
    """Weights and conjugate of scores that are exact in the precise dtype of the subject."""
    fine = subject.precise

    def kernel(side: Subject) -> tuple[Array, Array]:
        return side(lambda given: side.backend.separate(given, function), z)

    function = get_separation(separation)
    got, wanted = kernel(fine), kernel(reference)
    largest = np.max(np.where(np.isneginf(z), 0.0, np.abs(z)), axis=-1, keepdims=True)
    within = tolerance.weights_of(fine, fine.fine * largest, function, z.shape[-1])
    agree("weights against NumPy float64", got[0], wanted[0], within)
    agree("conjugate against NumPy float64", got[1], wanted[1], tolerance.conjugate(fine, z))
    return got
