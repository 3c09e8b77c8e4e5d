"""Indexes of nearest neighbours beside prepared memories: each arm is a process of its own."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

import hopcore
from benchmarks import prepared_data
from benchmarks.prepared_data import Array, Data
from benchmarks.worker import memory as resident

HITS, ERROR = 32, 1e-6
"""How many neighbours of an index are associated, and the error of a memory."""

ASKED = 32
"""The number of queries."""

COLDER = 1e4
"""By how much beta is raised to find the nearest pattern."""

PATIENCE = 300.0
"""Seconds after which an arm that has not answered is given up."""


class Index(NamedTuple):
    """What answers queries ``(d,)``."""

    associate: Callable[[Array, float], Array]
    """The association of a query at an inverse temperature."""
    best: Callable[[Array], int]
    """The pattern that the index takes for the nearest."""
    certificate: Callable[[Array, float], float] | None = None
    """What is stated of the error of an association; None where nothing is."""


Search = Callable[[Array], Array]
"""The numbers of the nearest patterns of a query."""


def of_hits(stored: Array, search: Search) -> Index:
    """Return an index that associates a query with the patterns that a search finds."""

    def associate(query: Array, beta: float) -> Array:
        return hopcore.association(query, stored[search(query)], beta=beta, similarity="distance")

    return Index(associate, lambda query: int(search(query)[0]))


def plain(stored: Array, beta: float) -> Index:
    """Return calls of hopcore with the array."""

    def associate(query: Array, beta: float) -> Array:
        return hopcore.association(query, stored, beta=beta, similarity="distance")

    return Index(associate, lambda query: best_of(query, stored, beta))


def memory(stored: Array, beta: float) -> Index:
    """Return a prepared memory that leaves patterns out."""
    prepared = hopcore.Memory(stored, beta=beta, error=ERROR)
    return Index(
        lambda query, beta: hopcore.association(query, prepared, beta=beta),
        lambda query: best_of(query, prepared, beta),
        lambda query, beta: ERROR,
    )


def certified(stored: Array, beta: float) -> Index:
    """Return a prepared memory that is asked for certificates."""
    prepared = hopcore.Memory(stored, beta=beta, error=ERROR)

    def answer(query: Array, beta: float) -> tuple[Array, Array]:
        return prepared.association(query, beta=beta, return_certificate=True)

    return Index(
        lambda query, beta: answer(query, beta)[0],
        lambda query: best_of(query, prepared, beta),
        lambda query, beta: float(answer(query, beta)[1]),
    )


def best_of(query: Array, stored: Any, beta: float) -> int:
    """Return the pattern at which one update of a query arrives when the memory is cold."""
    found = hopcore.retrieve(query, stored, COLDER * beta, similarity="distance", max_steps=1)
    return int(found.index)


def released() -> None:
    """Give free memory back, which would hide how much an index needs."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def faiss_index(kind: str) -> Callable[[Array, float], Index]:
    """Return what builds an index of FAISS."""

    def build(stored: Array, beta: float) -> Index:
        import faiss  # noqa: PLC0415 - it may not be installed

        faiss.omp_set_num_threads(1)
        count, width = stored.shape
        if kind == "flat":
            index = faiss.IndexFlatL2(width)
        elif kind == "IVF":
            lists = int(4 * count**0.5)
            index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, lists)
            index.cp.min_points_per_centroid = 1  # which only silences a warning
            index.train(stored)
            index.nprobe = max(1, lists // 32)
        else:
            index = faiss.IndexHNSWFlat(width, 32)
            index.hnsw.efSearch = 64
        index.add(stored)

        def search(query: Array) -> Array:
            found = index.search(query[None], HITS)[1][0]
            return found[found >= 0]

        return of_hits(stored, search)

    return build


def neighbours(algorithm: str) -> Callable[[Array, float], Index]:
    """Return what builds scikit-learn's neighbours."""

    def build(stored: Array, beta: float) -> Index:
        from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - takes long to import

        index = NearestNeighbors(n_neighbors=HITS, algorithm=algorithm, n_jobs=1).fit(stored)
        return of_hits(stored, lambda q: index.kneighbors(q[None], return_distance=False)[0])

    return build


MEMORY = "hopcore.Memory, error=1e-6"
ARMS: dict[str, Callable[[Array, float], Index]] = {
    "hopcore, plain array": plain,
    MEMORY: memory,
    "the same, with certificates": certified,
    "FAISS flat": faiss_index("flat"),
    "FAISS IVF": faiss_index("IVF"),
    "FAISS HNSW": faiss_index("HNSW"),
    "scikit-learn brute": neighbours("brute"),
    "scikit-learn ball tree": neighbours("ball_tree"),
}


def data_of(name: str, quick: bool) -> Data:
    """Return the patterns of a name."""
    if name == "mnist":
        return prepared_data.mnist(quick)
    if name == "texts":
        return prepared_data.texts(quick)
    return prepared_data.augmented(2000 if quick else 100_000, 64, quick)


def serve(connection: Connection, arm: str, name: str, quick: bool, betas: list[float]) -> None:
    """Build an index, then measure it each time a round is asked for; a string is a failure."""
    try:
        data = data_of(name, quick)
        asked = next(iter(data.queries.values()))(ASKED, 3)
        ARMS[arm](data.stored[:500], betas[0]).associate(asked[0], betas[0])  # imports packages
        released()
        before = resident("VmRSS") if os.path.exists("/proc/self/status") else 0
        begin = time.process_time()
        index = ARMS[arm](data.stored, betas[0])
        index.associate(asked[0], betas[0])
        built = time.process_time() - begin
        released()
        size = resident("VmRSS") - before if before else 0
        answers = [[index.associate(q, beta) for q in asked] for beta in betas]
        bound = index.certificate
        stated = [max(bound(q, beta) for q in asked) for beta in betas] if bound else None
        best = [index.best(q) for q in asked]
        connection.send((built, size, np.asarray(answers), best, stated))
        while connection.recv() is not None:
            times = []
            for beta in betas:
                begin = time.process_time()
                for query in asked:
                    index.associate(query, beta)
                times.append((time.process_time() - begin) / len(asked))
            connection.send(times)
    except ModuleNotFoundError:
        connection.send("not installed")
    except (EOFError, OSError):
        return
    except Exception as problem:
        connection.send(f"{type(problem).__name__}: {problem}")


class Arm:
    """The process of an arm."""

    def __init__(self, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, child = context.Pipe()
        self.process = context.Process(target=serve, args=(child, *arguments), daemon=True)
        self.process.start()
        child.close()

    def answer(self) -> Any:
        """Return what the process sends next; a string where it failed."""
        try:
            return self.connection.recv() if self.connection.poll(PATIENCE) else "no answer"
        except EOFError:
            return "its process ended"

    def measure(self) -> list[float]:
        """Return the times of one round."""
        self.connection.send(True)
        return self.answer()

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def measured(name: str, beta: float, quick: bool, rounds: int) -> list[list[Any]]:
    """Return the lines of one set of patterns; arms take turns, after all of them are built."""
    data, betas = data_of(name, quick), [beta, beta / 10.0]
    asked = next(iter(data.queries.values()))(ASKED, 3)
    nearest, exact = exactly(data.stored, asked, betas)
    arms, opened, times = {}, {}, {}
    try:
        for arm in ARMS:
            arms[arm] = Arm(arm, name, quick, betas)
            opened[arm] = arms[arm].answer()  # one after another: each has a core for itself
        ready = [arm for arm in ARMS if not isinstance(opened[arm], str)]
        times = {arm: [] for arm in ready}
        for _ in range(rounds):
            for arm in ready:
                times[arm].append(arms[arm].measure())
    finally:
        for arm in arms.values():
            arm.stop()
    return [line(data, arm, asked, opened[arm], times.get(arm), nearest, exact) for arm in ARMS]


def line(
    data: Data, arm: str, asked: Array, opened: Any, times: Any, nearest: Array, exact: Array
) -> list[Any]:
    """Return one line of the table."""
    if isinstance(opened, str):
        return [data.name, arm, opened, *[""] * (len(COLUMNS) - 3)]
    built, size, answers, best, stated = opened
    apart = np.linalg.norm(answers.astype(np.float64) - exact, axis=-1).max(axis=-1)
    cold, warm = (1e3 * float(t) for t in np.median(times, axis=0))
    found = np.linalg.norm(data.stored[best].astype(np.float64) - asked, axis=-1)
    recall = f"{float(np.mean(found <= nearest * (1.0 + 1e-6))):.0%}"
    said = stated or ["none", "none"]
    if arm == MEMORY:
        said = [f"{ERROR:.0e} + rounding"] * 2
    return [
        data.name, arm, built, size / 2**20, recall,
        cold, float(apart[0]), said[0], warm, float(apart[1]), said[1],
    ]  # fmt: skip


COLUMNS = [
    "memory", "index", "built, s", "MiB", "recall@1",
    "ms", "error", "stated",
    "ms at beta / 10", "error at beta / 10", "stated at beta / 10",
]  # fmt: skip


def exactly(stored: Array, asked: Array, betas: list[float]) -> tuple[Array, Array]:
    """Return the distances of queries to their nearest patterns, and associations in float64."""
    stored, asked = stored.astype(np.float64), asked.astype(np.float64)
    found = [hopcore.association(asked, stored, beta=b, similarity="distance") for b in betas]
    squares = np.vecdot(stored, stored)
    places = [int(np.argmin(squares - 2.0 * (stored @ query))) for query in asked]
    nearest = np.linalg.norm(stored[places] - asked, axis=-1)
    return np.asarray(nearest), np.asarray(found)
