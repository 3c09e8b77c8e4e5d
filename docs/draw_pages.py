"""Draw pages of the documentation as a browser shows them, on a wide and on a narrow screen.

``python docs/draw_pages.py docs/_build/html`` writes a picture of each page of :data:`PAGES` at
each of :data:`WIDTHS` into ``docs/design/looks``; ``docs/design/looks.md`` shows them. It needs
Chromium and the pages, which ``nox -s docs`` builds.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent / "design" / "looks"

PAGES = {
    "front": "index.html",
    "tutorial": "tutorials/retrieve.html",
    "specification": "spec/separation.html",
    "object": "api/objects/hopcore.retrieve.html",
    "results": "results/transition.html",
    "gallery": "gallery.html",
}
"""The pages that are drawn, by the names of their pictures."""

WIDTHS = (1280, 500)
"""Widths of the screen in pixels; a window of Chromium is at least 500 wide."""

HEIGHT = 1600
COLOURS = 64
"""Enough for letters and diagrams, and a picture stays below 150 kB."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str:
    """Return the program that draws, or end with a line that says what is missing."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit(f"draw_pages: no browser to draw with; install one of {', '.join(BROWSERS)}")
    return found


def draw(program: str, page: Path, width: int, picture: Path) -> None:
    """Write the picture of the top of a page at a width."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.png"
        subprocess.run(
            [
                *(program, "--headless", "--no-sandbox", "--hide-scrollbars"),
                *("--force-device-scale-factor=1", f"--window-size={width},{HEIGHT}"),
                *(f"--user-data-dir={folder}/profile", "--virtual-time-budget=5000"),
                *(f"--screenshot={raw}", page.resolve().as_uri()),
            ],
            check=True,
            capture_output=True,
        )
        with Image.open(raw) as drawn:
            drawn.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


def main() -> None:
    """Draw all pages of the build that the command line names."""
    parser = argparse.ArgumentParser(description="Draw pages of the documentation.")
    parser.add_argument("build", type=Path, help="the folder of the HTML pages")
    build, program = parser.parse_args().build, browser()
    for name, page in PAGES.items():
        if not (build / page).exists():
            sys.exit(f"draw_pages: {build / page} does not exist; run `nox -s docs` first")
        for width in WIDTHS:
            draw(program, build / page, width, FOLDER / f"{name}-{width}.png")


if __name__ == "__main__":
    main()
