"""The libraries that train, as parameters of a test; those that are not installed are skipped."""

from __future__ import annotations

import pytest


def libraries():
    return [
        pytest.param("torch", id="torch", marks=needs("torch")),
        pytest.param("jax", id="jax", marks=needs("optax")),
    ]


def needs(name):
    try:
        __import__(name)
    except ModuleNotFoundError:
        return [pytest.mark.skip(reason=f"{name} is not installed")]
    return []
