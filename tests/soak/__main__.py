"""``python -m soak --minutes 10``: rounds of everything until the time is up."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hopcore.files import write_whole
from hopcore_conformance.plugin import chosen
from soak.calls import findings
from soak.commands import wrong_commands
from soak.damage import wrongly_read
from soak.kills import WRITERS, broken_files
from soak.laws import quiet

DTYPES = {
    "numpy": ("float64", "float32"),
    "array_api_strict": ("float64",),
    "torch": ("float64", "float32", "bfloat16", "float16"),
    "jax": ("float32", "bfloat16", "float16"),
}
CALLS = {"numpy": 1000, "array_api_strict": 300, "torch": 600, "jax": 100}
"""Of a round; JAX compiles every shape anew."""
COMMANDS, DAMAGED, KILLS, EXAMPLES = 20, 100, 1, 5
SUITE_EVERY = 5
"""Rounds from one run of the conformance suite to the next."""
CHECKS = ["--layout=strided", "-q", "-x", "-k", "not large"]
"""Of the conformance suite's runs within a round."""


def main() -> int:
    """Run rounds, print what is found as it is found, and return 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="when no round begins any more")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default: 0)")
    parser.add_argument("--threads", type=int, default=4, help="in which calls are made again")
    parser.add_argument("--backend", choices=sorted(DTYPES), help="this one alone")
    parser.add_argument("--json", type=Path, help="write what was run and what was found")
    options = parser.parse_args()
    quiet()
    start, ran, found = time.monotonic(), Counter[str](), list[dict[str, Any]]()
    names = [options.backend] if options.backend else list(DTYPES)
    subjects = [
        (name, dtype)
        for name in names
        if importlib.util.find_spec(name) is not None
        for dtype in DTYPES[name]
    ]
    number = options.seed
    while time.monotonic() - start < 60 * options.minutes:
        name, dtype = subjects[number % len(subjects)]
        for finding in one_round(number, name, dtype, options.threads, ran):
            print(json.dumps(finding), flush=True)
            found.append(finding)
        number += 1
        spent = (time.monotonic() - start) / 60
        print(f"{spent:5.1f} min, round {number}: {dict(ran)}, found {len(found)}", file=sys.stderr)
    if options.json is not None:
        parts = ("hopcore", "numpy", "torch", "jax")
        about = {part: version(part) for part in parts if importlib.util.find_spec(part)}
        record = {"rounds": [options.seed, number], "ran": ran, "found": found, "versions": about}
        text = json.dumps(record, indent=1) + "\n"
        write_whole(options.json, lambda file: file.write(text.encode()))
    return 1 if found else 0


def one_round(
    number: int, name: str, dtype: str, threads: int, ran: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Run one round: calls, commands, damaged files, killed writers, in some rounds the suite."""
    count = CALLS[name]
    subject = chosen(name, dtype, None)
    seeds = range(number * 1000, number * 1000 + count)
    for finding in findings(seeds, subject, threads):
        yield {"backend": name, "dtype": dtype, **finding._asdict()}
    ran[f"calls on {name}"] += count
    with TemporaryDirectory() as folder:
        for words, detail in wrong_commands(Path(folder), seeds[:COMMANDS]):
            yield {"round": number, "law": "commands", "command": words, "detail": detail}
    ran["commands"] += COMMANDS
    with TemporaryDirectory() as folder:
        for seed, detail in wrongly_read(Path(folder), seeds[:DAMAGED]):
            yield {"round": number, "law": "damaged files", "seed": seed, "detail": detail}
    ran["damaged files"] += DAMAGED
    with TemporaryDirectory() as folder:
        for detail in broken_files(Path(folder), number, KILLS):
            yield {"round": number, "law": "files are whole", "detail": detail}
    ran["killed writers"] += KILLS * WRITERS
    if number % SUITE_EVERY or name not in ("numpy", "torch"):
        return
    command = [
        *(sys.executable, "-m", "hopcore_conformance", "--backend", name, "--dtype", dtype),
        *("--seed", str(number), "--max-examples", str(EXAMPLES), *CHECKS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        detail = done.stdout[-2000:]
        yield {"round": number, "law": "conformance", "command": command[1:], "detail": detail}
    ran[f"conformance on {name}"] += 1


if __name__ == "__main__":
    sys.exit(main())
