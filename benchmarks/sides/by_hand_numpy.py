"""NumPy without hopcore."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays, temperatures


def association(case: Case, library: str) -> Prepared:
    """The bare expression, with all its scores."""
    state, stored = arrays(case)

    def call() -> np.ndarray:
        weights = case.beta * state @ stored.swapaxes(-1, -2)
        weights -= weights.max(-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(-1, keepdims=True)
        return weights @ stored

    return Prepared(call)


def statistics(case: Case, library: str) -> Prepared:
    """Entropy, effective number, largest weight and what is received, from all weights."""
    state, stored = arrays(case)

    def call() -> np.ndarray:
        weights = case.beta * state @ stored.swapaxes(-1, -2)
        weights -= weights.max(-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(-1, keepdims=True)
        entropy = -np.sum(weights * np.log(weights), axis=-1)
        others = 1.0 / np.sum(weights * weights, axis=-1), weights.max(-1), weights.sum(-2)
        assert len(others) == 3
        return entropy

    return Prepared(call)


def two_products(case: Case, library: str) -> Prepared:
    """The products of a query with the memory, and of as many weights with it."""
    state, stored = arrays(case)

    def call() -> np.ndarray:
        return (state @ stored.T) @ stored

    return Prepared(call)


def pairs(case: Case, library: str) -> Prepared:
    """The inner products of all pairs of stored patterns and nothing else, in tiles."""
    return gemm(replace(case, L=case.S, state="noisy"), library)


def gemm(case: Case, library: str) -> Prepared:
    """All scores and nothing else, in tiles that stay in the cache."""
    state, stored = arrays(case)
    buffer = np.empty(512 * 2048, np.float32)

    def call() -> np.ndarray:
        for i in range(0, case.L, 512):
            for j in range(0, case.S, 2048):
                some, others = state[i : i + 512], stored[j : j + 2048]
                tile = buffer[: len(some) * len(others)].reshape(len(some), len(others))
                np.matmul(some, others.T, out=tile)
        return buffer

    return Prepared(call)


def heated(case: Case, library: str) -> Prepared:
    """All patterns retrieved from themselves at each temperature, until the last one rests."""
    stored = arrays(case)[1]
    betas = temperatures(case).astype(np.float32)
    still = np.float32(1e-6 * np.linalg.norm(stored, axis=-1).max())

    def call() -> np.ndarray:
        state = stored
        for beta in betas:
            state = stored
            for _ in range(2000):
                weights = beta * state @ stored.T
                weights -= weights.max(-1, keepdims=True)
                np.exp(weights, out=weights)
                weights /= weights.sum(-1, keepdims=True)
                new = weights @ stored
                rests = np.linalg.norm(new - state, axis=-1).max() <= still
                state = new
                if rests:
                    break
        return state

    return Prepared(call)
