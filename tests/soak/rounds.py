"""One round: calls, command lines, damaged files, killed writers, and in some rounds the suite."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hopcore_conformance.plugin import chosen
from soak.calls import findings
from soak.commands import wrong_commands
from soak.damage import wrongly_read
from soak.kills import WRITERS, broken_files

SUBJECTS = (
    *(("numpy", dtype) for dtype in ("float64", "float32")),
    ("array_api_strict", "float64"),
    *(("torch", dtype) for dtype in ("float64", "float32", "bfloat16", "float16")),
    *(("jax", dtype) for dtype in ("float32", "bfloat16", "float16")),
)
"""Backends and dtypes, one for each round in turn."""

CALLS = {"numpy": 4000, "array_api_strict": 1000, "torch": 3000, "jax": 400}
"""Calls of a round, so that the rounds of the libraries take about the same time."""

SEEDS = 10_000
"""From the first seed of one round to the first seed of the next one."""

COMMANDS, PROCESSES, DAMAGED, KILLS, EXAMPLES = 20, 1, 200, 1, 5
"""Of a round; so many of the commands run as processes."""

SUITE_EVERY = 7
"""Rounds from one run of the suite to the next; with ten subjects, each of them has its turn."""

CHECKS = ["--layout=strided", "-q", "-x", "-k", "not large"]
"""Of the conformance suite's runs within a round."""


@dataclass
class Tally:
    """What was run, and the CPU seconds of this process and its children that it took."""

    ran: Counter[str] = field(default_factory=Counter[str])
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))

    @property
    def calls(self) -> int:
        """All calls that were made."""
        return sum(self.ran[f"calls on {name}"] for name in CALLS)

    @contextmanager
    def part(self, name: str, count: int) -> Iterator[None]:
        """Count a part of a round, and measure what it takes."""
        before = sum(os.times()[:4])
        yield
        self.ran[name] += count
        self.seconds[name] += sum(os.times()[:4]) - before


def subject_of(number: int, wanted: str | None) -> tuple[str, str] | None:
    """The backend and dtype of a round; none if another one is wanted or it is not installed."""
    name, dtype = SUBJECTS[number % len(SUBJECTS)]
    if wanted not in (None, name) or importlib.util.find_spec(name) is None:
        return None
    return name, dtype


def one_round(
    number: int, name: str, dtype: str, threads: int, tally: Tally
) -> Iterator[dict[str, Any]]:
    """Run a round and report what is found, with the number that repeats it."""
    seeds = range(number * SEEDS, number * SEEDS + CALLS[name])
    about = {"round": number, "backend": name, "dtype": dtype}
    with tally.part(f"calls on {name}", len(seeds)):
        for finding in findings(seeds, chosen(name, dtype, None), threads):
            yield {**about, **finding._asdict()}
    if name == "jax":  # what a round compiles is of no use to the next one, and takes memory
        importlib.import_module("jax").clear_caches()
    with tally.part("commands", COMMANDS), TemporaryDirectory() as folder:
        for words, detail in wrong_commands(Path(folder), seeds[:COMMANDS], PROCESSES):
            yield {"round": number, "law": "commands", "command": words, "detail": detail}
    with tally.part("damaged files", DAMAGED), TemporaryDirectory() as folder:
        for seed, detail in wrongly_read(Path(folder), seeds[:DAMAGED]):
            yield {"round": number, "law": "damaged files", "seed": seed, "detail": detail}
    with tally.part("killed writers", KILLS * WRITERS), TemporaryDirectory() as folder:
        for detail in broken_files(Path(folder), number, KILLS):
            yield {"round": number, "law": "files are whole", "detail": detail}
    if number % SUITE_EVERY == 0 and name in ("numpy", "torch"):
        with tally.part(f"conformance on {name}", 1):
            yield from suite(number, name, dtype)


def suite(number: int, name: str, dtype: str) -> Iterator[dict[str, Any]]:
    """Run the conformance suite on examples of a round."""
    command = [
        *(sys.executable, "-m", "hopcore_conformance", "--backend", name, "--dtype", dtype),
        *("--seed", str(number), "--max-examples", str(EXAMPLES), *CHECKS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        detail = done.stdout[-2000:]
        yield {"round": number, "law": "conformance", "command": command[1:], "detail": detail}
