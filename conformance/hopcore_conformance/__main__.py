"""``python -m hopcore_conformance --backend NAME``: run the suite against a backend."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest

from hopcore_conformance.subject import DTYPES, INTERPRETED, LAYOUTS, NAMES_OF_KERNELS

CHECKS = Path(__file__).parent / "checks"


class Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, and exits with the code of pytest."""

    def error(self, message: str) -> NoReturn:
        """Exit with 4."""
        self.exit(int(pytest.ExitCode.USAGE_ERROR), f"ERROR: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks of this package, and return the exit code of pytest.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line, ``sys.argv`` if not given. Unknown options are passed to pytest.

    Returns
    -------
    int
        0 if every check passed, 1 if a check failed, and 4 for an invalid command line, for example
        with an unknown backend, dtype, device or folder.
    """
    parser = Parser(
        prog="python -m hopcore_conformance",
        description="Check a backend of hopcore against the specification.",
        epilog="Other options go to pytest: -k descent, -x, --tb=long, --junit-xml=report.xml.",
        allow_abbrev=False,
    )
    parser.add_argument("--backend", default="numpy", help="its name (default: numpy)")
    parser.add_argument("--dtype", choices=DTYPES, help="default: float64")
    parser.add_argument("--device", help="device, as the library calls it, such as cuda")
    parser.add_argument(
        "--layout",
        default="contiguous",
        choices=LAYOUTS,
        help="strided: arrays are views with gaps, the last axis first in memory",
    )
    parser.add_argument(
        "--kernels",
        choices=NAMES_OF_KERNELS,
        help="kernels of torch or JAX; triton-interpret and pallas-interpret: those for GPUs, "
        "interpreted on the CPU in float32 (default) or half precision, with the checks of "
        "associations",
    )
    parser.add_argument(
        "--max-examples", type=int, default=20, help="examples of each check (default: 20)"
    )
    parser.add_argument(
        "--per-statement",
        type=int,
        metavar="N",
        help="run N checks of each statement (default: all checks)",
    )
    parser.add_argument("--seed", help="other examples than the default ones, reproducibly")
    parser.add_argument("--report", metavar="FILE", help="write what was found: out.json, out.html")
    options, rest = parser.parse_known_args(arguments)
    if options.dtype is None:
        options.dtype = "float32" if options.kernels in INTERPRETED else "float64"
    command = [
        *("-p", "hopcore_conformance.plugin", "-p", "no:cacheprovider"),
        # No settings of a project around: the same run from a checkout, a wheel, anywhere.
        *("-c", os.devnull, f"--rootdir={CHECKS}", "--strict-markers", "-W", "error", "-rfExs"),
        # Another process is still writing that program: JAX compiles it once more.
        *("-W", "ignore:Error reading persistent compilation cache entry:UserWarning"),
        *("--hopcore-backend", options.backend, "--hopcore-dtype", options.dtype),
        *("--hopcore-layout", options.layout, "--max-examples", str(options.max_examples)),
    ]
    if options.device is not None:
        command += ["--hopcore-device", options.device]
    if options.kernels is not None:
        command += ["--hopcore-kernels", options.kernels]
    if options.per_statement is not None:
        command += ["--per-statement", str(options.per_statement)]
    # Every process of a group runs all checks, and the first one tells.
    first = options.backend != "torch-distributed" or os.environ.get("RANK", "0") == "0"
    if options.report is not None and first:
        command += ["--report", str(Path(options.report).absolute())]
    if options.seed is not None:
        command += ["--hypothesis-seed", options.seed]
    with TemporaryDirectory() as storage, ExitStack() as quiet:
        if not first:
            quiet.enter_context(redirect_stdout(quiet.enter_context(Path(os.devnull).open("w"))))
        # Nothing is left behind where the suite runs.
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", storage)
        return int(pytest.main([*command, *rest, *map(str, sorted(CHECKS.glob("test_*.py")))]))


if __name__ == "__main__":
    found = main()
    if "torch-distributed" in sys.argv:
        # Threads of a process group may outlive the interpreter, which takes it badly.
        sys.stdout.flush()
        os._exit(found)
    sys.exit(found)
