"""Prepared memories that leave patterns out: what ``python -m benchmarks prepared`` measures."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import hopcore
from benchmarks import prepared_data, prepared_indexes, prepared_streamed, scale
from benchmarks.prepared_data import HALF, NEAR, UNSEEN, Array, Data
from benchmarks.table import machine

STREAMED = Path(__file__).with_name("results") / "prepared-streamed.json"
"""The record of memories in files, which is the last part of the page."""

ROUNDS, MOST, QUERIES = 3, 25, 4
"""The least and the largest number of rounds in which arms take turns; the queries of a round."""

FRESH = 15
"""The number of new memories whose first query is measured."""

ENOUGH = 0.4
"""Short calls get more rounds than ROUNDS, until they were measured for so many seconds."""

ERROR = 1e-6
COLUMNS = [
    "memory", "queries", "beta", "plain ms", "error=0 ms", "error=1e-6 ms",
    "plain / error=1e-6", "error=0 / error=1e-6", "answered", "visited", "bytes read",
    "largest error", "largest certificate",
]  # fmt: skip

TEXTS_BETA = 100.0
"""That of the texts, of which near copies would make the suggested one useless (over 100,000)."""


class Case(NamedTuple):
    """Patterns, and memories that leave nothing out and that leave patterns out."""

    data: Data
    beta: float
    dense: Any
    partial: Any


def prepared(data: Data, beta: float | None = None) -> Case:
    """Return patterns and their memories, with the beta of :func:`hopcore.suggest_beta`."""
    if beta is None:
        beta = hopcore.suggest_beta(data.stored[:2000], similarity="distance").beta
    errors = 0.0, ERROR
    return Case(data, beta, *(hopcore.Memory(data.stored, beta=beta, error=e) for e in errors))


def taking_turns(arms: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median CPU time of each arm in seconds; arms take turns, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    names, begin, number = list(arms), time.process_time(), 0
    while number <= rounds or (number <= MOST and time.process_time() - begin < ENOUGH):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]  # each of them is the first in turn
            start = time.process_time()
            arms[name]()
            if number:
                times[name].append(time.process_time() - start)
        number += 1
    return {name: float(np.median(found)) for name, found in times.items()}


def single(case: Case, kind: str, factor: float, rounds: int) -> list:
    """One line: times, what is read, errors and certificates for single queries."""
    stored, dense, partial = case.data.stored, case.dense, case.partial
    beta = case.beta * factor
    states = case.data.queries[kind](QUERIES, 1)

    def every(memory: Any, **options: Any) -> Callable[[], object]:
        def work() -> None:
            for state in states:
                hopcore.association(state, memory, beta=beta, **options)

        return work

    arms = {
        "plain": every(stored, similarity="distance"),
        "dense": every(dense),
        "partial": every(partial),
    }
    times = taking_turns(arms, rounds)
    plain, kept, left = (1e3 * times[name] / len(states) for name in arms)
    fresh = copy.copy(partial)  # which has not learned yet that trying is in vain
    needed, share = fresh.visits(states, beta=beta)
    answered = share < 1.0
    visited: Any = int(np.median(needed[answered])) if answered.any() else "-"
    read = f"{np.median(share[answered]):.1%}" if answered.any() else "-"
    outputs, certificates = fresh.association(states, beta=beta, return_certificate=True)
    exact = hopcore.association(
        states.astype(np.float64), stored.astype(np.float64), beta=beta, similarity="distance"
    )
    error = float(np.linalg.norm(outputs - exact, axis=-1).max())
    return [
        case.data.name, kind, f"{beta:.3g}", plain, kept, left, plain / left, kept / left,
        f"{answered.sum()} of {len(states)}", visited, read, error,
        float(certificates.max()),
    ]  # fmt: skip


def first(case: Case, kind: str, factor: float, rounds: int) -> list:
    """One line: the first query of new memories that were asked at a low beta before."""
    beta, low = case.beta * factor, 1e-6 * case.beta
    states = case.data.queries[kind](FRESH, 4)[: 5 * rounds]
    times: dict[float, list[float]] = {0.0: [], ERROR: []}
    for state in states:
        for error, found in times.items():
            memory = hopcore.Memory(case.data.stored, beta=case.beta, error=error)
            for _ in range(3):
                hopcore.association(state, memory, beta=low)
            begin = time.process_time()
            hopcore.association(state, memory, beta=beta)
            found.append(1e3 * (time.process_time() - begin))
    kept, left = (float(np.median(found)) for found in times.values())
    return [case.data.name, kind, f"{beta:.3g}", kept, left, kept / left]


def batches(case: Case, kind: str, factor: float, size: int, rounds: int) -> list:
    """One line: time for each query of a batch."""
    stored, dense, partial = case.data.stored, case.dense, case.partial
    states, beta = case.data.queries[kind](size, 2), case.beta * factor
    options = {"beta": beta}
    times = taking_turns(
        {
            "plain": lambda: hopcore.association(states, stored, similarity="distance", **options),
            "dense": lambda: hopcore.association(states, dense, **options),
            "partial": lambda: hopcore.association(states, partial, **options),
        },
        rounds,
    )
    each = [1e3 * value / len(states) for value in times.values()]
    ratios = each[0] / each[2], each[1] / each[2]
    return [case.data.name, kind, f"{beta:.3g}", len(states), *each, *ratios]


def changes(name: str, stored: Array, count: int = 500) -> list:
    """One line: the time of making a memory, and of changes."""
    begin = time.process_time()
    memory = hopcore.Memory(stored, beta=1.0, error=ERROR)
    made = time.process_time() - begin
    taken: list[float] = []
    for work in (
        lambda i: memory.add(stored[i], keys=f"new {i}"),
        lambda i: memory.update(f"new {i}", stored[i - 1]),
        lambda i: memory.remove(f"new {i}"),
    ):
        begin = time.process_time()
        for i in range(count):
            work(i)
        taken.append(1e3 * (time.process_time() - begin) / count)
    return [name, made, *taken]


def run(*, quick: bool) -> dict[str, Any]:
    """Measure everything; the record of the page."""
    rounds, small = (2, 17_000) if quick else (ROUNDS, 0)
    lines: dict[str, list[list]] = {
        name: [] for name in ("vain", "first", "warm", "count", "width", "batch", "made", "indexes")
    }
    for count, width in ((20_000, 64), (20_000, 256), (100_000, 64)):
        case = prepared(prepared_data.normal(small or count, width))
        lines["vain"] += [single(case, NEAR, f, rounds) for f in (0.003, 0.03, 0.3, 1.0, 3.0)]
        if width == 64:
            lines["first"] += [first(case, NEAR, f, rounds) for f in (0.003, 0.3, 3.0)]
        if (count, width) == (20_000, 64):
            lines["batch"] += [
                batches(case, NEAR, f, size, rounds) for size in (32, 256) for f in (0.003, 1.0)
            ]
            lines["made"].append(changes(case.data.name, case.data.stored))
    case = images = prepared(prepared_data.mnist(quick))
    lines["vain"] += [single(case, NEAR, f, rounds) for f in (0.003, 0.03)]
    lines["batch"] += [
        batches(case, NEAR, f, size, rounds) for size in (32, 256) for f in (0.003, 1.0)
    ]
    lines["first"] += [first(case, NEAR, f, rounds) for f in (0.003, 0.03, 1.0)]
    lines["first"] += [first(case, HALF, f, rounds) for f in (0.003, 1.0)]
    for kind in (NEAR, HALF):
        lines["warm"] += [single(case, kind, f, rounds) for f in (0.3, 1.0, 3.0)]
    lines["made"].append(changes(case.data.name, case.data.stored))
    case = prepared(prepared_data.digits())
    lines["warm"].append(single(case, NEAR, 1.0, rounds))
    case = prepared(prepared_data.texts(quick), TEXTS_BETA)
    lines["first"] += [first(case, UNSEEN, f, rounds) for f in (0.1, 1.0, 10.0)]
    lines["warm"] += [single(case, UNSEEN, f, rounds) for f in (0.1, 1.0, 10.0)]
    lines["made"].append(changes(case.data.name, case.data.stored))
    beta = prepared(prepared_data.augmented(small or 10_000, 64, quick)).beta
    for count in (10_000, 100_000, 1_000_000):
        case = prepared(prepared_data.augmented(small or count, 64, quick), beta)
        lines["count"] += [single(case, NEAR, f, rounds) for f in (0.1, 1.0)]
        lines["made"].append(changes(case.data.name, case.data.stored))
    del case
    for width in (16, 64, 256):
        case = prepared(prepared_data.augmented(small or 100_000, width, quick))
        if width == 16:
            lines["first"].append(first(case, NEAR, 0.1, rounds))
        lines["width"] += [single(case, NEAR, f, rounds) for f in (0.1, 1.0)]
    for name, cold in (("mnist", images.beta), ("texts", TEXTS_BETA), ("moved", beta)):
        lines["indexes"] += prepared_indexes.measured(name, cold, quick, rounds)
    record: dict[str, Any] = {"command": f"python -m benchmarks prepared{' --quick' * quick}"}
    record |= {"record": "prepared.json", "machine": machine()}
    return record | {"tables": tables(lines)}


def tables(lines: dict[str, list[list]]) -> list[scale.Table]:
    """The tables of the page."""
    return [
        table | {"columns": COLUMNS if columns is None else columns, "lines": lines[name]}
        for name, columns, table in (
            (
                "vain",
                None,
                {
                    "title": "Where nothing can be left out",
                    "about": "Standard normal patterns, of which a few coordinates tell little, "
                    "and images at 0.003 and 0.03 times the suggested beta, where many patterns "
                    "have weight. All patterns are read. Target: at least 0.9 x the speed of a "
                    "memory that never leaves out anything.",
                },
            ),
            (
                "first",
                [
                    "memory", "queries", "beta", "error=0 ms", "error=1e-6 ms",
                    "error=0 / error=1e-6",
                ],
                {
                    "title": "The first query at a beta",
                    "about": "A new memory is asked three times at a millionth of its beta, then "
                    "once at the beta of the line, which is measured: the median of 15 memories. "
                    "Nothing is known from earlier queries. A query that is far from all patterns "
                    "(left halves, texts) may be tried in vain; the next 3, 9 and 16 queries are "
                    "not. Target: at least 0.9.",
                },
            ),
            (
                "warm",
                None,
                {
                    "title": "At the temperatures of retrieval",
                    "about": "Images at 0.3, 1 and 3 times the beta that `suggest_beta` gives for "
                    "2,000 patterns, and texts at a beta of 10, 100 and 1,000. A memory with less "
                    "than 2^20 values, such as the digits, is read whole. Target: 4 x faster than "
                    "a plain call on MNIST at the suggested beta.",
                },
            ),
            (
                "count",
                None,
                {
                    "title": "More patterns",
                    "about": "Moved images in 64 principal coordinates, at 0.1 and 1 times the "
                    "suggested beta of the smallest memory, which is read whole: it has less than "
                    "2^20 values.",
                },
            ),
            (
                "width",
                None,
                {
                    "title": "Longer patterns",
                    "about": "100,000 moved images in 16, 64 and 256 principal coordinates, at 0.1 "
                    "and 1 times the suggested beta.",
                },
            ),
            (
                "batch",
                [
                    "memory", "queries", "beta", "batch", "plain ms", "error=0 ms",
                    "error=1e-6 ms", "plain / error=1e-6", "error=0 / error=1e-6",
                ],
                {
                    "title": "Batches",
                    "about": "Times per query, for batches of queries in one call. "
                    "Batches of more than 15 queries are remembered apart from the single queries "
                    "before, of which some, such as left halves, needed all patterns.",
                },
            ),
            (
                "made",
                ["memory", "made, s", "add, ms", "update, ms", "remove, ms"],
                {
                    "title": "Making and changing a memory",
                    "about": "The time of `Memory(stored, error=1e-6)` in seconds, and of the "
                    "change of one pattern in milliseconds, on average over 500 changes.",
                },
            ),
            ("indexes", prepared_indexes.COLUMNS, INDEXES),
        )
    ]  # fmt: skip


INDEXES = {
    "title": "Beside indexes of nearest neighbours",
    "about": "One query at a time, the median over 3 rounds of 32 queries: those of the tables "
    "above. An index finds 32 neighbours, which are associated with the query; hopcore associates "
    "it with all patterns. *error* is the largest distance from the exact association in float64, "
    "at the beta of the tables above (100 for texts) and at a tenth of it, and *stated* what "
    "bounds it: the largest certificate, or the `error` of a memory, to which rounding in float32 "
    "is added. *recall@1* is the share of the queries for which the nearest pattern was found, or "
    "one as near; for hopcore this is the pattern at which one update at 10,000 x beta arrives, "
    "`retrieve(..., max_steps=1).index`. *built* is CPU time, with the first query, and *MiB* is "
    "by how much the resident memory of the process grew, beside the array. IVF has 4 sqrt(N) "
    "lists, of which one in 32 is searched; HNSW has 32 links and searches 64 candidates; other "
    "settings are defaults.",
}


PAGE = """\
# Benchmarks: prepared memories

{results}

This page compares associations with a {{class}}`hopcore.Memory` that leaves patterns out
(`error=1e-6`) with one that does not (`error=0`), with a plain call on an array, and with indexes
of nearest neighbours. It is the output of

```sh
export OMP_NUM_THREADS=1 HOPCORE_MNIST=FOLDER
{command} --cores 1 --json benchmarks/results/{record}
python -m benchmarks --markdown benchmarks/results/{record} > docs/benchmarks/prepared.md
```

Cores used: {cores}; processor: {processor}; {system}; Python {python}; {packages}.

The machine was busy with other work. So times are CPU times of a query, on one thread, of arms that
take turns; each is the median of 3 to 25 rounds of 4 queries. All memories are float32 and
compared by distance. *answered* is the number of queries for which few patterns were enough,
*visited* the median number of patterns of which their associations are averages, and *bytes read*
the share of the bytes of the patterns that such a query reads: the sketch, and the patterns that it
could not exclude. The *largest error* is the largest distance from an association in float64, for
associations with a certificate (`return_certificate=True`), and the *largest certificate* what they
state.

Images are the test images of MNIST, with normal noise of deviation 0.3 for each pixel, or with
their right half set to 0, as queries. *Moved* images are made of them by a seeded generator: each
is moved by up to 2 pixels and gets normal noise of deviation 0.05; they are stored in their leading
principal coordinates, and queries have noise of deviation 0.3 for each coordinate. *Texts* are the
paragraphs of the documentation of Python (`pydoc_data.topics` and the docstrings of the standard
library): hashed counts of words, projected to 128 singular vectors, of length 1. Their queries are
paragraphs of which each word is left out with a probability of one half.
"""


RESULTS = """\
**What a memory with an error gains.** For queries near a stored pattern, at the temperatures of
retrieval, a call takes 0.8 ms for 10,000 images of MNIST, where one with `error=0` takes 4.2 ms and
a plain call 14 ms. The gain grows with the length of the patterns (100,000 patterns: 3 x over
`error=0` with 64 values, 13 x with 256) and with their number (a million of 64 values: 7 ms, where
`error=0` takes 29 ms and a plain call 210 ms).

**Where it gains nothing.** Where nothing can be left out, at low beta, for standard normal
patterns, for queries that are far from all patterns (left halves of images) and for memories with
less than 2^20 values, its speed is 0.93 to 1.18 x that of `error=0`, which is 1.3 to 7.7 x that of
a plain call, because patterns are checked and their keys are made once. The target of 0.9 is missed
on texts of which half of the words are missing (0.76 x at a beta of 1,000), and by some first
queries at a beta: a trial in vain takes up to 0.8 ms, so that short calls take up to 1.9 x as long.

**Beside indexes.** At the suggested beta, on images, the 32 neighbours of an index are enough: its
association is about as exact as that of a memory. IVF and HNSW take 0.2 to 0.5 ms, a memory 0.6 to
1.1 ms and FAISS's flat index 1.4 to 2.3 ms. But an index does not know when they are not enough: at
a tenth of this beta all of them err by 0.3 to 0.8, and IVF errs by 1.1 on the texts, where it
misses the nearest pattern of some queries. Only a memory states a bound, and all errors are below
its certificates. A certificate costs next to nothing where few patterns are enough, and 3 to 5 x
the time where all are read.
"""


def markdown(record: dict[str, Any]) -> str:
    """The page of a record."""
    about = dict(record["machine"])
    packages = ", ".join(f"{name} {value}" for name, value in about.pop("versions").items())
    names = {key: record[key] for key in ("command", "record")}
    top = PAGE.format(packages=packages, results=RESULTS.strip(), **names, **about)
    parts = [top, *scale.sections(record)]
    if STREAMED.exists():
        parts.append(prepared_streamed.markdown(json.loads(STREAMED.read_text())))
    return "\n".join(parts)
