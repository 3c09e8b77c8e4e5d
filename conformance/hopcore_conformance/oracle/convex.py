"""Lagrangians and memories of two convex functions, written plainly in NumPy float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from hopcore_conformance.oracle import memory as plain

Array = np.ndarray


def positive(u: Array) -> Array:
    return np.maximum(u, 0.0)


def value(kind: str, u: Array, number: float) -> Array:
    """L(u) along the last axis."""
    d = u.shape[-1]
    formulas: dict[str, Any] = {
        "Quadratic": lambda: np.sum(u**2, axis=-1) / 2.0,
        "Polynomial": lambda: np.sum(positive(u) ** number, axis=-1) / number,
        "PowerNorm": lambda: np.sum(positive(u) ** number, axis=-1) ** (1.0 / number),
        "Exponential": lambda: np.sum(np.exp(number * u), axis=-1) / number,
        "FenchelYoung": lambda: plain.conjugate(number * u, 1.0) / number,
        "Norm": lambda: np.sqrt(np.sum(u**2, axis=-1)),
        "LayerNorm": lambda: d * np.sqrt(np.var(u, axis=-1) + number),
        "LogCosh": lambda: np.sum(np.log(np.cosh(number * u)), axis=-1) / number,
        "AbsoluteSum": lambda: np.sum(np.abs(u), axis=-1),
    }
    return formulas[kind]()


def activation(kind: str, u: Array, number: float) -> Array:
    """The gradient of L."""
    formulas: dict[str, Any] = {
        "Quadratic": lambda: u,
        "Polynomial": lambda: positive(u) ** (number - 1.0),
        "PowerNorm": lambda: (
            (positive(u) / np.maximum(value(kind, u, number), 1e-300)[..., None]) ** (number - 1.0)
        ),
        "Exponential": lambda: np.exp(number * u),
        "FenchelYoung": lambda: plain.weights(number * u, 1.0),
        "Norm": lambda: u / value(kind, u, number)[..., None],
        "LayerNorm": lambda: (
            (u - np.mean(u, axis=-1, keepdims=True))
            / np.sqrt(np.var(u, axis=-1, keepdims=True) + number)
        ),
        "LogCosh": lambda: np.tanh(number * u),
        "AbsoluteSum": lambda: np.sign(u),
    }
    return formulas[kind]()
