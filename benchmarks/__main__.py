"""Speed and memory of hopcore beside its limits and its peers."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import history, prepared, prepared_streamed, readme, scale, targets
from benchmarks.rows import ROWS
from benchmarks.run import Workers, run_row
from benchmarks.table import heading, machine, markdown, text

APART = {"scale": scale, "prepared": prepared, "prepared-streamed": prepared_streamed}
"""What is measured alone and has a page of its own."""


def main(arguments: list[str] | None = None) -> int:
    """Run the rows that were asked for; 0 whatever the speed."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "rows",
        nargs="*",
        metavar="ROW",
        help="rows to run; all if none is named; or, alone, scale (memories in parts), prepared or "
        "prepared-streamed",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, within a minute")
    parser.add_argument("--cores", type=int, metavar="N", help="use N cores only (Linux)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to FILE")
    parser.add_argument("--list", action="store_true", help="name the rows and their targets")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="print what --json wrote as a page of the docs",
    )
    parser.add_argument(
        "--targets", action="store_true", help="print every target with what the records say"
    )
    parser.add_argument(
        "--readme", action="store_true", help="print the table of the README from the records"
    )
    parser.add_argument(
        "--curves", type=Path, metavar="FILE", help="print a curve for each row of a --history file"
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="also add the ratios to FILE, under the commit that was measured",
    )
    parser.add_argument(
        "--committed",
        action="store_true",
        help="measure nothing; add the records of all earlier commits to the --history file",
    )
    options = parser.parse_args(arguments)
    apart = APART.get(options.rows[0]) if len(options.rows) == 1 else None
    unknown = [name for name in options.rows if name not in ROWS and not apart]
    if unknown:
        parser.error(f"unknown row {unknown[0]!r}; known: {', '.join(ROWS)}")
    if options.committed:
        if not options.history:
            parser.error("--committed needs --history FILE")
        history.add_committed(options.history)
        return 0
    if options.targets or options.readme or options.list or options.curves:
        print(printed(options))
        return 0
    if options.markdown:
        try:
            record = json.loads(options.markdown.read_text())
            page = APART[Path(record["record"]).stem].markdown if "tables" in record else markdown
            print(page(record))
        except (OSError, ValueError, KeyError) as problem:
            parser.error(f"--markdown needs a file written with --json: {problem}")
        return 0
    if options.cores is not None:
        use_cores(parser, options.cores)
    if apart:
        record = apart.run(quick=options.quick)
        print(scale.text(record))
        if options.json:
            options.json.write_text(json.dumps(record, indent=1) + "\n")
        return 0
    results = run(options.rows or list(ROWS), quick=options.quick)
    if options.json:
        quick = ["--quick"] if options.quick else []
        cores = [] if options.cores is None else [f"--cores {options.cores}"]
        command = " ".join(["python -m benchmarks", *options.rows, *quick, *cores])
        about = {"command": command, "record": options.json.name, "machine": machine()}
        about["begins"] = "a run that does not count, because it follows another process"
        record = about | {"results": results}
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    if options.history:
        history.add(options.history, results)
    return 0


def printed(options: argparse.Namespace) -> str:
    """What is printed without a measurement."""
    if options.targets:
        return targets.text()
    if options.readme:
        return readme.table()
    if options.curves:
        return history.curves(options.curves)
    return "\n".join(f"{heading(name)}\n    {row.target}" for name, row in ROWS.items())


def use_cores(parser: argparse.ArgumentParser, cores: int) -> None:
    """Use so many cores only.

    It is called before any side starts: a thread pool counts the cores when its library is loaded.
    """
    if cores < 1:
        parser.error(f"--cores must be at least 1, got {cores}")
    try:
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-cores:])
    except (AttributeError, OSError) as problem:
        parser.error(f"--cores {cores} is not possible here: {problem!r}")


def run(names: list[str], *, quick: bool) -> list[dict[str, Any]]:
    """Run rows and print each one's table as soon as it is complete."""
    start = time.perf_counter()
    results: list[dict[str, Any]] = []
    about = machine()
    print(f"{about['cores']} cores, {about['processor']}; {about['versions']}")
    with Workers() as workers:
        for name in names:
            of_row = [asdict(result) for result in run_row(ROWS[name], workers, quick=quick)]
            print(f"\n{heading(name)}\n{text(of_row)}", flush=True)
            results += of_row
    unsteady = sum(result["figure"].startswith("not judged") for result in results)
    if unsteady:
        print(f"\n{unsteady} results are not judged: run them again on a quiet machine")
    judged = [result["met"] for result in results if result["met"] is not None]
    small = " (they are set for the full sizes)" if quick else ""
    seconds = time.perf_counter() - start
    print(f"\n{sum(judged)} of {len(judged)} targets met{small}, {seconds:.0f} s")
    return results


if __name__ == "__main__":
    sys.exit(main())
