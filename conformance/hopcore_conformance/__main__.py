"""``python -m hopcore_conformance --backend NAME``: run the suite against a backend."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

HERE = Path(__file__).parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks that lie beside this file, and return pytest's exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line, ``sys.argv`` if not given. Other options than the suite's go to pytest.

    Returns
    -------
    int
        0 if every check passed, 1 if one failed, 4 if there is no such backend, dtype or device.
    """
    parser = argparse.ArgumentParser(
        prog="python -m hopcore_conformance",
        description="Check a backend of hopcore against the specification.",
        epilog="Other options go to pytest: -k descent, -x, --junit-xml=report.xml.",
    )
    parser.add_argument("--backend", default="numpy", help="its name (default: numpy)")
    parser.add_argument("--dtype", default="float64", help="float64, float32, bfloat16 or float16")
    parser.add_argument("--device", help="device, as the library calls it, such as cuda")
    parser.add_argument("--max-examples", default="20", help="examples of each check (default: 20)")
    parser.add_argument("--seed", help="other examples than the default ones, reproducibly")
    parser.add_argument("--report", metavar="FILE", help="write what was found: out.json, out.html")
    options, rest = parser.parse_known_args(arguments)
    command = [
        *("-p", "hopcore_conformance.plugin", "-p", "no:cacheprovider"),
        # No settings of a project around: the same run from a checkout, a wheel, anywhere.
        *("-c", os.devnull, f"--rootdir={HERE}", "--strict-markers", "-W", "error", "-rfEs"),
        *("--hopcore-backend", options.backend, "--hopcore-dtype", options.dtype),
        *("--max-examples", options.max_examples),
    ]
    if options.device is not None:
        command += ["--hopcore-device", options.device]
    if options.report is not None:
        command += ["--report", str(Path(options.report).absolute())]
    if options.seed is not None:
        command += ["--hypothesis-seed", options.seed]
    with TemporaryDirectory() as storage:
        # Nothing is left behind where the suite runs.
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", storage)
        return int(pytest.main([*command, *rest, *map(str, sorted(HERE.glob("test_*.py")))]))


if __name__ == "__main__":
    sys.exit(main())
