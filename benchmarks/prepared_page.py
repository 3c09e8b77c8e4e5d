"""The page of prepared memories: its tables, its text and what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import prepared_indexes, prepared_streamed, scale

STREAMED = Path(__file__).with_name("results") / "prepared-streamed.json"
"""The record of memories in files, which is the last part of the page."""

COLUMNS = [
    "memory", "queries", "beta", "plain ms", "error=0 ms", "error=1e-6 ms",
    "plain / error=1e-6", "error=0 / error=1e-6", "answered", "visited", "bytes read",
    "largest error", "largest certificate",
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

TABLES: tuple[tuple[str, list[str], dict[str, str]], ...] = (
    (
        "vain",
        COLUMNS,
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
            "memory", "queries", "beta", "plain ms", "error=0 ms", "error=1e-6 ms",
            "plain / error=1e-6", "error=0 / error=1e-6", "the same, second query",
        ],
        {
            "title": "The first query at a beta",
            "about": "A new memory is asked three times at a millionth of its beta, then "
            "twice at the beta of the line, which is measured: the median of 15 memories. "
            "Nothing is known from earlier queries, so the first one reads all patterns, and "
            "shows whether the second should read few. Target: at least 0.9.",
        },
    ),
    (
        "warm",
        COLUMNS,
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
        COLUMNS,
        {
            "title": "More patterns",
            "about": "Moved images in 64 principal coordinates, at 0.1 and 1 times the "
            "suggested beta of the smallest memory, which is read whole: it has less than "
            "2^20 values.",
        },
    ),
    (
        "width",
        COLUMNS,
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
)  # fmt: skip
"""The key of the lines, the columns, and the title and the explanation of each table."""


def tables(lines: dict[str, list[list]]) -> list[scale.Table]:
    """Return the tables of the page, with their lines."""
    return [table | {"columns": columns, "lines": lines[name]} for name, columns, table in TABLES]


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
take turns; each is the mean of 3 to 25 rounds of 4 queries, of which one in 25 is left out at each
end. All memories are float32 and
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
retrieval, a call takes 1.4 to 1.5 ms for 10,000 images of MNIST, where one with `error=0` takes
5.6 to 6.2 ms and a plain call 16 to 17 ms. The gain grows with the length of the patterns (100,000
patterns: 2.7 x over `error=0` with 64 values, 5.7 x with 256) and with their number (a million of
64 values: 5.4 x over `error=0` and 15 x over a plain call).

**Where it gains nothing.** Where nothing can be left out, at low beta, for standard normal
patterns, for queries that are far from all patterns (left halves of images, texts of which half of
the words are missing) and for memories with less than 2^20 values, its speed is 0.89 to 1.21 x that
of `error=0`, and 2.4 to 5.5 x that of a plain call (1.1 to 1.6 x in batches), because patterns are
checked and their keys are made once. The first query at a beta reads all patterns and then looks
whether few would have been enough, which takes 0.1 to 0.9 ms where this is not known in advance. So
its speed is 0.72 to 1.05 x that of `error=0`, and 2.4 to 4.3 x that of a plain call.

**Beside indexes.** At the suggested beta, on images, the 32 neighbours of an index are enough: its
association is about as exact as that of a memory. IVF and HNSW take 0.6 to 1.2 ms, a memory 1.2 to
1.9 ms and FAISS's flat index 2.9 ms. But an index does not know when they are not enough: at
a tenth of this beta all of them err by 0.3 to 0.8, and IVF errs by 1.1 on the texts, where it
misses the nearest pattern of some queries. Only a memory states a bound, and all errors are below
its certificates. A certificate costs up to 0.35 ms where few patterns are enough. Where all are
read, in float64, an association with a certificate takes 2.2 to 3.3 x the time of one without, and
0.56 to 0.82 x that of a plain call.
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
