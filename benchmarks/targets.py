"""All targets in one table: what each row of the benchmarks was held against, and what it reached.

``python -m benchmarks --targets`` prints it from the records that are kept in
``benchmarks/results``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"


class Target(NamedTuple):
    """A target, the rows that measure it, and the obstacle where it is known to be missed."""

    work: str
    rows: tuple[str, ...]
    obstacle: str = ""


TARGETS = (
    Target("torch module, one update, dense", ("layer-torch", "layer-backward-torch")),
    Target(
        "the same against difflayers",
        ("layer-difflayers", "layer-backward-difflayers"),
        "with one head and 8,192 patterns, the same layer by hand takes as long",
    ),
    Target(
        "NumPy association",
        ("association-numpy",),
        "the two products of NumPy's BLAS take 1.2 to 1.5 x those of torch; exp and max are passes",
    ),
    Target(
        "torch association",
        ("association-torch", "association-torch-backward"),
        "more than 16,384 patterns are added up in parts; a small call has its checks",
    ),
    Target("JAX on CPU, no (L, S) array", ("association-jax", "layer-jax")),
    Target(
        "sparsemax and entmax, time <= 4 x softmax",
        ("separations-numpy", "separations-torch", "separations-jax"),
        "three Newton steps process all scores of a full support; XLA pads the supports",
    ),
    Target("entmax against the entmax package", ("entmax-package", "entmax-package-exact")),
    Target(
        "retrieval to convergence",
        ("retrieval", "retrieval-clustered", "retrieval-few"),
        "products take most of two or three updates; JAX freezes finished queries and drops none",
    ),
    Target("energy of 1e4 states over 1e5 patterns", ("energy-torch", "energy-numpy")),
    Target(
        "energy gradient",
        ("gradient",),
        "with 256 queries the fused association alone takes as long as the gradient",
    ),
    Target(
        "exact nearest neighbours, N = 1e4",
        ("knn-numpy", "knn-torch", "knn-jax", "knn-difflayers"),
        "the products alone take half of the time; in JAX the sieve is the sort of XLA",
    ),
    Target(
        "approximate nearest neighbours, N = 1e5",
        ("knn-approximate",),
        "a fifth of the time is reached at a recall of 0.965 only",
    ),
    Target(
        "diffusion, T = 3, N = 1e4",
        ("diffusion-sparse", "diffusion-dense", "diffusion-backward-torch"),
        "the sparse product of SciPy is four times slower than embedding_bag of torch",
    ),
    Target("heat kernel to 1e-6, N = 1e3", ("heat-scipy", "heat-eigh")),
    Target(
        "DiffusedHopfield, S = 8192",
        ("diffused-difflayers", "diffused-cached-difflayers"),
        "the plain layer in it takes 22 of 24 ms, and its attention alone is 20 x as fast",
    ),
    Target(
        "DiffusedHopfield, S = 1024, cached",
        ("diffused-plain",),
        "the figure is above the target by less than the same code twice may differ",
    ),
    Target(
        "a call at (8, 10, 50, 64)",
        ("layer-call", "layer-call-by-hand", "layer-backward-call-by-hand", "diffused-call"),
        "the same layer by hand takes more than the target against difflayers",
    ),
    Target(
        "NumPy dispatch",
        ("overhead-numpy", "one-query-numpy"),
        "the checks take 6.5 us, and 40 us after a pass over a memory, when they left the cache",
    ),
    Target(
        "growth",
        ("growth", "knn-growth", "diffusion-growth", "heat-growth"),
        "the features exceed the cache",
    ),
    Target("pooling", ("pooling", "pooling-backward")),
    Target(
        "masks and causal layers",
        ("attention-causal", "attention-causal-backward", "encoder-causal"),
    ),
    Target(
        "training a diffused layer on a small memory",
        ("diffused-backward-plain",),
        "for each entry of the graph, two rows of all heads are gathered and multiplied",
    ),
    Target(
        "memory of dropout, biases and transforms",
        (
            "memory-dropout-torch",
            "memory-dropout-jax",
            "memory-eager-dropout-jax",
            "memory-bias-row-torch",
            "memory-bias-torch",
            "memory-func-grad-torch",
            "memory-compiled-energy-torch",
            "memory-compiled-sparsemax-torch",
            "memory-causal-energy-numpy",
            "memory-causal-association-torch",
            "memory-sparsemax",
        ),
    ),
    Target(
        "what users would pick instead",
        (
            "flex-attention",
            "multihead-attention",
            "equinox-attention",
            "vector-quantize",
            "sklearn-neighbors",
            "pynndescent",
            "faiss",
        ),
    ),
)


def records() -> dict[str, list[dict[str, Any]]]:
    """All results that are kept, by row."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(RESULTS.glob("*.json")):
        for result in json.loads(file.read_text(encoding="utf-8")).get("results", []):
            found.setdefault(result["row"], []).append(result)
    return found


def lines() -> list[list[str]]:
    """The table: work, row, target, the worst figure of its cases, verdict, obstacle."""
    kept = records()
    table = [["work", "row", "target", "figure", "verdict", "obstacle"]]
    for target in TARGETS:
        for row in target.rows:
            results = kept.get(row)
            if not results:
                table.append([target.work, row, "", "", "not measured", ""])
                continue
            shown = min(results, key=rank)
            words = verdict(results)
            obstacle = target.obstacle if "missed" in words else ""
            table.append([target.work, row, shown["target"], shown["figure"], words, obstacle])
    return table


def rank(result: dict[str, Any]) -> int:
    """Missed results first, then those that were not judged."""
    return {False: 0, None: 1, True: 2}[result["met"]]


def verdict(results: list[dict[str, Any]]) -> str:
    """How many of the cases of a row met the target."""
    judged = [result["met"] for result in results if result["met"] is not None]
    failed = [result for result in results if side_failed(result)]
    if failed and len(failed) == len(results):
        return f"missing: {side_failed(failed[0])}"
    if not judged:
        return "reported"
    if all(judged):
        return "met"
    return f"missed in {len(judged) - sum(judged)} of {len(judged)}"


def side_failed(result: dict[str, Any]) -> str:
    """Why a side failed, or ""."""
    return result["ours"]["failed"] or (result["peer"] or {}).get("failed", "")


def text() -> str:
    """The table with columns in line."""
    table = lines()
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )
