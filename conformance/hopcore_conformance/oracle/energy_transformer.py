"""The energy transformer block, written plainly in NumPy float64 with all weights."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def normalized(x: Array, p: dict[str, Array], eps: float) -> Array:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + eps)
    return p["norm_weight"] * centred / deviation + p["norm_bias"]


def attended(shown: Array, settings: Any) -> Array:
    """Which key each query may attend to, (L, L); padding neither asks nor answers."""
    mask = shown[:, None] & shown[None, :]
    return mask if settings.attends_to_itself else mask & ~np.eye(len(shown), dtype=bool)


def scores(g: Array, p: dict[str, Array], settings: Any) -> tuple[Array, Array, Array]:
    """Queries and keys (H, L, y), and beta times their products (H, L, L)."""
    heads, size = settings.num_heads, settings.head_size
    q, k = (
        (g @ p[f"{name}_weight"].T).reshape(-1, heads, size).swapaxes(0, 1)
        for name in ("query", "key")
    )
    return q, k, settings.inverse_temperature * q @ k.swapaxes(-1, -2)


def energy(g: Array, p: dict[str, Array], shown: Array, settings: Any) -> float:
    """The energy of one sequence of normalised tokens (L, d)."""
    _, _, z = scores(g, p, settings)
    mask = attended(shown, settings)
    total = 0.0
    for head in z:
        for row, some in zip(head, mask, strict=True):
            if np.any(some):
                top = np.max(row[some])
                total -= (top + np.log(np.sum(np.exp(row[some] - top)))) / (
                    settings.inverse_temperature
                )
    hidden = np.maximum(g[shown] @ p["memory_weight"].T, 0.0)
    return float(total - 0.5 * np.sum(hidden**2))


def descent(g: Array, p: dict[str, Array], shown: Array, settings: Any) -> Array:
    """Minus the gradient of the energy, (L, d), from all weights."""
    q, k, z = scores(g, p, settings)
    mask = attended(shown, settings)
    z = np.where(mask, z, -np.inf)
    top = np.max(z, axis=-1, keepdims=True)
    weights = np.exp(z - np.where(np.isneginf(top), 0.0, top))
    total = np.sum(weights, axis=-1, keepdims=True)
    weights = weights / np.where(total > 0.0, total, 1.0)
    by_query = (weights @ k).swapaxes(0, 1).reshape(len(g), -1) @ p["query_weight"]
    by_key = (weights.swapaxes(-1, -2) @ q).swapaxes(0, 1).reshape(len(g), -1) @ p["key_weight"]
    hidden = np.maximum(g @ p["memory_weight"].T, 0.0) @ p["memory_weight"]
    return np.where(shown[:, None], by_query + by_key + hidden, 0.0)
