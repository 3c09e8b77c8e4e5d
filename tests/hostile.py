"""Hostile variants of JSON and of arrays, drawn from a seed."""

from __future__ import annotations

import copy
import json
import random
import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hopcore.files._safetensors import digest

NESTED: Any = []
for _ in range(150):
    NESTED = [NESTED]

VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**40, 2**62, 2**63, 2**64, 10**30, 10**400,
    -(10**400), 0.5, -0.0, 5e-324, 1e-320, 1e-30, 1e30, 1e308, float("nan"), float("inf"),
    -float("inf"), "", "softmax", "sparsemax", "relu", "chebyshev", "graph", "query", "\0", "a\nb",
    "x" * 1000, [], {}, [1], [1.0, 2.0], [0.5, -1.0], [None], [2**62, 2], [[1]], {"a": 1},
    {"factor": 1.0, "per_head": True}, {"factor": [1.0, 2.0]}, {"schedule": "constant"}, NESTED,
    [1] * 1000,
]  # fmt: skip
"""What a field may be replaced by."""

ROOM = 1 << 28
"""Bytes that reading a small file may take beyond what the process has."""


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a tree of mappings and lists."""
    if not isinstance(tree, dict | list):
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(tree: Any, chance: random.Random) -> Any:
    """Return a copy of a tree in which one to three things are wrong, or at least different."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        path: Any = chance.choice([*places(tree)] or [()])
        if not path:
            return chance.choice(VALUES)
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        how = chance.random()
        if how < 0.8 or not isinstance(parent, dict):
            parent[path[-1]] = copy.deepcopy(chance.choice(VALUES))
        elif how < 0.9:
            del parent[path[-1]]
        else:
            parent[chance.choice(["unheard", "", "\n", "__class__"])] = chance.choice(VALUES)
    return tree


def reshaped(arrays: Mapping[str, np.ndarray], chance: random.Random) -> dict[str, np.ndarray]:
    """Return arrays of which one is missing, renamed, or of another shape or dtype."""
    found = dict(arrays)
    name = chance.choice(sorted(found) or ["none"])
    value = found.pop(name, np.ones(2, np.float32))
    how = chance.randrange(6)
    if how == 1:
        found[name + ".more"] = value
    elif how == 2:
        found[name] = value[..., None]
    elif how == 3:
        found[name] = value.astype(chance.choice(["int32", "bool", "float16", "float64", "uint8"]))
    elif how == 4:
        found[name] = np.zeros((0, *value.shape), value.dtype)
    elif how == 5:
        found[name] = np.full_like(value, np.nan if value.dtype.kind == "f" else 255)
    return found


def forge(path: Path, header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file with a header and the digest that belongs to it."""
    own = {name: np.array(array, order="C") for name, array in arrays.items()}
    path.write_bytes(save(own, metadata={**header, "digest": digest(header, own)}))


def as_json(value: Any) -> str:
    """Return JSON, with the nan and inf that Python's reader accepts."""
    return json.dumps(value)


@contextmanager
def little_memory() -> Iterator[None]:
    """Let this process take at most ``ROOM`` more bytes of memory, so that a huge array fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refusal(error: Exception) -> str | None:
    """Return what is wrong with the refusal of a file, or None if it is one line."""
    if type(error) not in (ValueError, TypeError) or "\n" in str(error) or not str(error):
        return f"{type(error).__name__}: {error}"
    return f"{len(str(error))} characters" if len(str(error)) > 600 else None
