"""Draw what the command line prints, as pictures for the documentation.

``python docs/draw_looks.py`` writes a picture of each help text of :data:`LOOKS` into
``docs/design/looks``. Versions of typer and rich lay out a help in their own way; the pictures are
those of the versions in ``constraints/cpu.txt``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "design" / "looks"

LOOKS = {"hopcore": ["--help"], "hopcore-retrieve": ["retrieve", "--help"]}
"""The command lines that are drawn, by the names of their pictures."""

WIDTH = 100
"""Letters in a line."""


def printed(arguments: list[str]) -> str:
    """Return what a command prints on a terminal, with its colours."""
    # CI and shells may set variables of their own that change colours or the width.
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    looks = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": f"{WIDTH}"}
    return subprocess.run(
        [sys.executable, "-m", "hopcore", *arguments],
        env={**kept, **looks}, cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def picture(name: str) -> str:
    """Return the picture of a command line, as SVG that loads no font from elsewhere."""
    arguments = LOOKS[name]
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(Text.from_ansi(printed(arguments).strip("\n")))
    title = " ".join(["hopcore", *arguments])
    drawn = console.export_svg(title=title, unique_id=name)
    drawn = re.sub(r"\s*(@font-face \{.*?\}|<!--.*?-->)", "", drawn, flags=re.DOTALL)
    lines = (line.rstrip() for line in drawn.splitlines())
    return "\n".join(lines).replace("Fira Code", "ui-monospace").strip() + "\n"


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name in LOOKS:
        (FOLDER / f"{name}.svg").write_text(picture(name), encoding="utf-8")


if __name__ == "__main__":
    main()
