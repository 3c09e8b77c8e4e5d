"""``python -m rerun [PAGE ...]``: repeat the runs of some pages, or of all, and compare.

It prints a line for each figure, and returns 1 if one lies outside of its interval.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rerun.table import RESULTS, Figure, Repeat, repeats, rows_of

DATA = "HOPCORE_DATA"
"""The environment variable with the folder of the data, where --data does not name it."""

Call = Callable[[Sequence[str]], None]
"""Runs a command line of hopcore, without its first word."""


class Verdict(NamedTuple):
    """A figure, what a repeated run found, and whether it is in the interval."""

    page: str
    figure: Figure
    found: float

    @property
    def agrees(self) -> bool:
        """Whether the figure lies in its interval."""
        return self.figure.low <= self.found <= self.figure.high

    def __str__(self) -> str:
        figure, word = self.figure, "agrees" if self.agrees else "OUTSIDE"
        interval = f"[{figure.low:.4g}, {figure.high:.4g}]"
        return f"{word:8}{self.page:22}{self.found:9.4g} in {interval:20} {figure.name}"


def in_a_process(words: Sequence[str]) -> None:
    """Run a command line of hopcore, and show what it says if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "hopcore", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        line = f"hopcore {shlex.join(words)} ended with {done.returncode}"
        raise RuntimeError(f"{line}\n{done.stdout[-2000:]}")


def words_of(one: Repeat, data: Path | None, folder: Path) -> list[str]:
    """Return the words of a command line, which writes into a folder."""
    words = shlex.split(one.command)[1:]
    if data is not None:
        words = [word.replace("DIR", str(data)) for word in words]
    return [*words, "--csv", str(folder / "found.csv")]


def needs_data(one: Repeat) -> bool:
    """Whether the command reads files that hopcore does not have."""
    return "DIR" in one.command


def verdicts(one: Repeat, data: Path | None, call: Call = in_a_process) -> Iterator[Verdict]:
    """Repeat a run, and compare its figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = words_of(one, data, folder)
        if "retrieval" not in words:  # which draws no picture
            words += ["--plot", str(folder / "found.png")]
        call(words)
        table = rows_of(folder / "found.csv")
    for figure in one.figures:
        values = figure.values(table)
        yield Verdict(one.page, figure, sum(values.values()) / len(values))


def print_intervals(chosen: Sequence[Repeat]) -> None:
    """Print the intervals that follow from the data of the pages."""
    for one in chosen:
        table = rows_of(RESULTS / one.data)
        for figure in one.figures:
            low, high = figure.interval(table, one.seeds)
            print(f"{one.page}: {figure.name}\nlow = {low:.4g}\nhigh = {high:.4g}")


def main(given: Sequence[str] | None = None) -> int:
    """Repeat what is asked for; return 1 if a figure is outside, 2 if a page is not known."""
    every, left_out = repeats()
    pages = list(dict.fromkeys(one.page for one in every))
    parser = argparse.ArgumentParser(prog="python -m rerun", description=__doc__)
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"of {', '.join(pages)}")
    parser.add_argument("--data", type=Path, help=f"folder with mnist and mil (or ${DATA})")
    parser.add_argument(
        "--intervals", action="store_true", help="print the intervals that the data imply"
    )
    options = parser.parse_args(given)
    for page in options.pages:
        if page in left_out:
            print(f"{page} is not repeated: {left_out[page]}")
        elif page not in pages:
            parser.error(f"no page {page!r}; choose from {', '.join(pages)}")
    chosen = [one for one in every if not options.pages or one.page in options.pages]
    if options.intervals:
        print_intervals(chosen)
        return 0
    data = options.data or (Path(os.environ[DATA]) if DATA in os.environ else None)
    outside = skipped = compared = 0
    for one in chosen:
        if needs_data(one) and data is None:
            print(f"{'skipped':8}{one.page:22}needs --data: {one.command}")
            skipped += 1
            continue
        print(f"        {one.command}", flush=True)
        begun = time.monotonic()
        for verdict in verdicts(one, data):
            print(verdict, flush=True)
            compared += 1
            outside += not verdict.agrees
        print(f"        {time.monotonic() - begun:.0f} seconds", flush=True)
    print(f"{compared} figures compared, {outside} outside; {skipped} runs skipped")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
