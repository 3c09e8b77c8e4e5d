"""Run the Python code of a page as a reader would paste it: ``python tests/pages.py PAGE``.

The blocks of the page run in their order, in one session that begins empty, and what they print is
compared with the page. Files that a page includes are left out: a reader saves them, and runs them.
"""

from __future__ import annotations

import doctest
import re
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "docs"))

from shown_code import PROMPT, blocks

ROOT = Path(__file__).parents[1]
IMPORT = re.compile(r"^(?:>>> |\.\.\. )? *(?:from|import) (.+)$", re.MULTILINE)
THEIRS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"`torch\.jit\.script(_method)?` is deprecated",  # of torch's forward mode
    "Error reading persistent compilation cache entry",  # another process is writing it
)
"""Warnings that libraries cause by calling each other; a page cannot avoid them."""

ADAPTS = {"hopcore_torch": "torch", "hopcore_jax": "jax"}
FLAGS = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1


def imported(text: str) -> set[str]:
    """The packages that the code of a page imports."""
    lines = IMPORT.findall("\n".join(blocks(text)))
    modules = [name for line in lines for name in line.partition(" import ")[0].split(",")]
    return {module.split()[0].partition(".")[0] for module in modules}


def missing(text: str) -> list[str]:
    """The packages that the code of a page needs and that are not installed."""
    needed = sorted({ADAPTS.get(package, package) for package in imported(text)})
    return [name for name in needed if find_spec(name) is None and not (ROOT / name).exists()]


def run(page: Path) -> int:
    """Run the code of a page in an empty session, and return how many examples failed."""
    warnings.simplefilter("error")
    for message in THEIRS:
        warnings.filterwarnings("ignore", message)
    names: dict[str, Any] = {"__name__": "__main__"}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for number, block in enumerate(blocks(page.read_text(encoding="utf-8")), 1):
        place = f"{page.name}, block {number}"
        if block.startswith(PROMPT):
            test = doctest.DocTestParser().get_doctest(f"{block}\n", names, place, None, None)
            runner.run(test, clear_globs=False)
            names = test.globs
        else:
            exec(compile(block, place, "exec"), names)
    return runner.failures


if __name__ == "__main__":
    sys.exit(min(1, run(Path(sys.argv[1]))))
