r"""Does diffusion help? Plain retrieval and diffused memories, measured on the same queries.

Every diffused trial has plain retrieval beside it, on the same memory and queries, at three
temperatures: the same beta; the beta of equal *spread*, at which beta times the mean squared
distance of the patterns is that of the diffused memory; and the beta of equal *entropy*, at which
the association weights of the queries have the diffused memory's mean entropy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np

import hopcore
from hopcore import datasets
from hopcore.arrays._backend import Array
from hopcore.experiments.batched_retrieval import nearest, on_device
from hopcore.experiments.diffusion.settings import (
    PLAIN,
    Method,
    Setting,
    Trial,
    rounded,
    setting_of,
)
from hopcore.graphs._graph import Graph
from hopcore.memory import Similarity


class Task(NamedTuple):
    """A memory and queries put to it, on the host and on the backend."""

    backend: hopcore.Backend
    stored: np.ndarray
    labels: np.ndarray
    wanted: np.ndarray
    wanted_labels: np.ndarray
    memory: Array
    queries: Array
    similarity: Similarity
    spread: float
    entropies: Callable[[float], float]


def run_trials(
    images: datasets.Images,
    methods: Sequence[Method],
    *,
    stored: Sequence[int],
    corruptions: Sequence[str],
    levels: Sequence[float],
    updates: int = 1,
    unseen: bool = False,
    similarity: Similarity = "dot",
    shuffled: bool = False,
    seeds: int = 5,
    backend: str = "numpy",
    device: str | None = None,
    done: Collection[tuple[Setting, int]] = frozenset(),
) -> Iterator[Trial]:
    """Plain retrieval and every method, seed by seed; a seed draws one memory of each size.

    Parameters
    ----------
    images : Images
        With labels.
    methods : sequence of Method
        Plain retrieval is added.
    stored : sequence of int
        Sizes of the memory.
    corruptions : sequence of str
        As in :func:`hopcore.datasets.corrupt`; the same noise at each strength.
    levels : sequence of float
        Effective inverse temperatures before diffusion, see :class:`Setting`.
    updates : int
        Updates at most; an evolving memory makes T, and so does plain retrieval beside it.
    unseen : bool
        Query with as many other images instead of the stored ones. The wanted pattern is the stored
        one that is nearest to the clean image, the wanted label that of the image.
    similarity : {"dot", "distance"}
        As in :func:`hopcore.diffused_retrieve`, for plain retrieval and every method.
    shuffled : bool
        Join patterns as the neighbours of other patterns are joined: a graph with the same edges,
        whose nodes are exchanged at random.
    seeds, backend, device
        As in :func:`hopcore.experiments.retrieval.run_trials`.
    done : collection of (Setting, int)
        Settings and seeds that are not measured again, in five digits as in a CSV file.

    Raises
    ------
    ValueError
        Images without labels; more of them wanted than there are; a name that is not known.
    """
    if images.labels is None:
        raise ValueError("labels are needed for class-level retrieval, and the data set has none")
    chosen = hopcore.backend(backend)
    graphs: dict[int, Graph] = {}
    for seed, size in product(range(seeds), stored):
        drawn = datasets.choose(images, size * (1 + unseen), np.random.default_rng(seed))
        graphs.clear()
        for corruption in corruptions:
            left = [
                (level, method)
                for level, method in product(levels, [Method(PLAIN), *methods])
                if (rounded(setting_of(method, size, corruption, level, updates, similarity)), seed)
                not in done
            ]
            if not left:
                continue
            noise = np.random.default_rng((seed, 1))
            corrupted = datasets.corrupt(drawn, corruption, noise)
            task = task_of(chosen, device, drawn, size, corrupted, similarity)
            for level, method in left:
                if method.name != PLAIN and method.config.k_neighbors not in graphs:
                    k = method.config.k_neighbors
                    graphs[k] = graph_of(task, k, seed if shuffled else None)
                graph = graphs.get(method.config.k_neighbors)
                yield trial(task, method, graph, corruption, level, updates, seed)


def graph_of(task: Task, k: int, shuffling: int | None) -> Graph:
    """Return the graph of the nearest neighbours; a seed exchanges its nodes at random."""
    if shuffling is None:
        return hopcore.knn_graph(task.memory, k)
    order = np.random.default_rng((shuffling, 2)).permutation(len(task.stored))
    device = task.backend.device(task.memory)
    return hopcore.knn_graph(on_device(task.backend, task.stored[order], device), k)


def task_of(
    backend: hopcore.Backend,
    device: str | None,
    drawn: datasets.Images,
    size: int,
    corrupted: np.ndarray,
    similarity: Similarity,
) -> Task:
    """The first ``size`` images as a memory; the last ``size``, corrupted, as its queries."""
    pixels, labels = drawn.pixels.astype(np.float32), np.asarray(drawn.labels)
    stored, queries = pixels[:size], corrupted[-size:].astype(np.float32)
    wanted = nearest(pixels[-size:], stored)
    spread = spread_of(stored)
    scores = queries @ stored.T
    if similarity == "distance":  # but for what all scores of a query have in common
        scores = scores - 0.5 * np.sum(stored**2, axis=-1)
    return Task(
        backend, stored, labels[:size], wanted, labels[-size:],
        on_device(backend, stored, device), on_device(backend, queries, device), similarity,
        spread, entropy_inverse(scores, spread),
    )  # fmt: skip


def spread_of(patterns: np.ndarray) -> float:
    """The mean squared distance of two patterns, halved."""
    wide = patterns.astype(np.float64)
    return float(np.sum((wide - wide.mean(axis=0)) ** 2) / max(len(wide) - 1, 1))


def entropy_inverse(scores: np.ndarray, spread: float) -> Callable[[float], float]:
    """The beta at which softmax weights of scores have a mean entropy, by interpolation."""
    betas = np.geomspace(0.1, 1e4, 61) / spread
    entropies = [mean_entropy(softmax(beta * scores)) for beta in betas]

    def inverse(entropy: float) -> float:
        found = np.interp(entropy, entropies[::-1], np.log(betas[::-1]))
        return float(np.exp(found))

    return inverse


def softmax(scores: np.ndarray) -> np.ndarray:
    """Softmax weights of rows."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def mean_entropy(weights: np.ndarray) -> float:
    """The mean entropy of rows that are distributions, in nats."""
    logs = np.log(np.where(weights > 0, weights, 1.0))
    return float(-np.mean(np.sum(weights * logs, axis=-1, dtype=np.float64)))


def trial(
    task: Task,
    method: Method,
    graph: Graph | None,
    corruption: str,
    level: float,
    updates: int,
    seed: int,
) -> Trial:
    """One method on one task, and plain retrieval beside it."""
    beta, config = level / task.spread, method.config
    size = len(task.stored)
    setting = setting_of(method, size, corruption, level, updates, task.similarity)
    if method.name == PLAIN or graph is None:
        (output, _), milliseconds = timed(task, lambda: (plain(task, beta, updates), None))
        own = shares(task, output)
        weights = hopcore.association_weights(
            task.queries, task.memory, beta, similarity=task.similarity
        )
        entropy = mean_entropy(task.backend.to_numpy(weights))
        return Trial(setting, seed, beta, level, entropy, *own, *own, *own, *own, milliseconds)
    updates, eta = setting.updates, config.eta
    if method.normalization == "none":
        eta /= float(np.mean(task.backend.to_numpy(graph.deg)))
    normalized = method.normalization == "symmetric"
    chosen = method._replace(config=replace(config, eta=eta, use_normalized_laplacian=normalized))
    found, milliseconds = timed(task, lambda: diffused(task, chosen, graph, beta, updates))
    output, keys = found
    effective = None if keys is None else beta * spread_of(task.backend.to_numpy(keys))
    entropy = mean_entropy(task.backend.to_numpy(weights_of(task, chosen, graph, keys, beta)))
    nothing: tuple[float | None, float | None] = (None, None)
    evenly = nothing
    if effective is not None:
        evenly = shares_of_plain(task, effective / task.spread, updates)
    return Trial(
        setting, seed, beta, effective, entropy,
        *shares(task, output),
        *shares_of_plain(task, beta, updates),
        *evenly,
        *shares_of_plain(task, task.entropies(entropy), updates),
        milliseconds,
    )  # fmt: skip


def plain(task: Task, beta: float, updates: int) -> Array:
    """Plain retrieval."""
    return hopcore.retrieve(
        task.queries, task.memory, beta, similarity=task.similarity, max_steps=updates
    ).state


def diffused(
    task: Task, method: Method, graph: Graph, beta: float, updates: int
) -> tuple[Array, Array | None]:
    """Diffused retrieval: the output, and the diffused keys where all queries share them."""
    config = method.config
    if method.normalization == "random_walk":  # no configuration names it: the operator by itself
        operator = hopcore.diffusion_operator(
            graph.using("random_walk"), config.eta, config.diffusion_mode, config.steps
        )
        keys = operator(task.memory)
        if method.values != "tied":
            raise ValueError("the random-walk Laplacian can only be measured with tied values")
        found = hopcore.retrieve(
            task.queries, keys, beta, similarity=task.similarity, max_steps=updates
        )
        return found.state, keys
    once = method.values == "evolving" or config.use_logit_diffusion
    found = hopcore.diffused_retrieve(
        task.queries, task.memory, beta, config=config, values=method.values, graph=graph,
        similarity=task.similarity,
        max_steps=None if once or config.adaptive_eta == "query" else updates,
    )  # fmt: skip
    return found.output, found.keys


def weights_of(task: Task, method: Method, graph: Graph, keys: Array | None, beta: float) -> Array:
    """The association weights of the queries, after all that was done to keys, queries, weights."""
    if method.values == "evolving" or method.normalization == "random_walk":
        assert keys is not None
        return hopcore.association_weights(task.queries, keys, beta, similarity=task.similarity)
    size = len(task.stored)
    xp = task.backend.xp
    unit = xp.eye(size, dtype=task.memory.dtype, device=task.backend.device(task.memory))
    found = hopcore.diffused_retrieve(
        task.queries, task.memory, beta,
        config=method.config, projection=unit, values="untied", graph=graph,
        similarity=task.similarity,
    )  # fmt: skip
    return found.output


def shares_of_plain(task: Task, beta: float, updates: int) -> tuple[float, float]:
    """What plain retrieval comes to at a beta."""
    return shares(task, task.backend.to_numpy(plain(task, beta, updates)))


def shares(task: Task, output: np.ndarray) -> tuple[float, float]:
    """The shares of outputs nearest to the wanted pattern, and to one of the wanted label."""
    found = nearest(output, task.stored)
    exact = np.mean(found == task.wanted)
    return float(exact), float(np.mean(task.labels[found] == task.wanted_labels))


def timed(
    task: Task, work: Callable[[], tuple[Array, Array | None]]
) -> tuple[tuple[np.ndarray, Array | None], float]:
    """What the work returns, its output on the host, and the milliseconds of the faster of two."""

    def once() -> tuple[np.ndarray, Array | None, float]:
        begun = time.perf_counter()
        output, keys = work()
        host = task.backend.to_numpy(output)
        return host, keys, 1e3 * (time.perf_counter() - begun)

    _, _, first = once()
    host, keys, second = once()
    return (host, keys), min(first, second)
