"""``python -m soak --calls 100000``: rounds of everything until so many calls are made.

``--seed NUMBER --calls 1`` makes the round of that number again.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hopcore.files import write_whole
from soak.laws import quiet
from soak.rounds import CALLS, Tally, one_round, subject_of


def main() -> int:
    """Run rounds, print what is found as it is found, and return 1 if anything was."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, help="when no round begins any more (default: 10)")
    parser.add_argument("--calls", type=int, help="after how many calls no round begins any more")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default: 0)")
    parser.add_argument("--threads", type=int, default=4, help="in which calls are made again")
    parser.add_argument("--backend", choices=sorted(CALLS), help="this one alone")
    parser.add_argument("--json", type=Path, help="write what was run and what was found")
    options = parser.parse_args()
    most = math.inf if options.calls is None else options.calls
    minutes = options.minutes
    if minutes is None:
        minutes = 10.0 if options.calls is None else math.inf
    if options.backend is not None and importlib.util.find_spec(options.backend) is None:
        parser.error(f"{options.backend} is not installed")
    quiet()
    start, tally, found = time.monotonic(), Tally(), list[dict[str, Any]]()
    for number in itertools.count(options.seed):
        spent = (time.monotonic() - start) / 60
        if spent >= minutes or tally.calls >= most:
            break
        subject = subject_of(number, options.backend)
        if subject is None:
            continue
        for finding in one_round(number, *subject, options.threads, tally):
            print(json.dumps(finding), flush=True)
            found.append(finding)
        spent = (time.monotonic() - start) / 60
        print(
            f"{spent:5.1f} min, round {number}: {dict(tally.ran)}, found {len(found)}",
            file=sys.stderr,
        )
        if options.json is not None:
            record(options.json, [options.seed, number + 1], tally, found)
    return 1 if found else 0


def record(path: Path, rounds: list[int], tally: Tally, found: list[dict[str, Any]]) -> None:
    """Write what was run and what was found so far."""
    parts = ("hopcore", "numpy", "torch", "jax")
    about = {part: version(part) for part in parts if importlib.util.find_spec(part)}
    seconds = {name: round(total) for name, total in tally.seconds.items()}
    facts = {"rounds": rounds, "ran": tally.ran, "cpu_seconds": seconds}
    text = json.dumps({**facts, "found": found, "versions": about}, indent=1) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


if __name__ == "__main__":
    sys.exit(main())
