"""Draw a walk through the code as SVG: files as lanes, functions as nodes with counts of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

Place = tuple[str, str]
"""A file, relative to the folder of its package, and the qualified name of a function."""

WIDTH, MARGIN, ROW, LABEL = 736, 16, 19, 16
STYLE = (
    "text{font-family:ui-monospace,monospace;font-size:11.5px;fill:#1a1d21;"
    "paint-order:stroke;stroke:#fbfbf9;stroke-width:4px}"
    ".in{stroke:none}.head{font-family:system-ui,sans-serif;font-size:12px;fill:#40464d}.count{fill:#9a4a00}"
    ".card{fill:#fbfbf9}.lane{stroke:#c9d2dc}.call{fill:none;stroke:#7c9cc4}"
    ".core{fill:#2f6db3}.adapter{fill:#c08a2d}"
    ".box{fill:#e3ecf7;stroke:#7c9cc4}.beside{fill:#f3ead9;stroke:#c0a06a}"
)


def readable(name: str) -> str:
    """A qualified name without the marks of functions inside functions."""
    inner = name.rpartition(".<locals>.")[-1]
    outer = name[: -len(inner)].removesuffix(".<locals>.")
    word = {"<genexpr>": "generator", "<lambda>": "lambda"}.get(inner)
    return f"{word} in {readable(outer)}" if word else inner


def kind_of(file: str) -> str:
    """The class of a node: of hopcore itself, or of an adapter."""
    return "core" if file.startswith("hopcore/") else "adapter"


def opened(title: str, height: float) -> list[str]:
    """The first lines of a picture."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" width="{WIDTH}" height="{height:g}" rx="5"/>',
        f'<text class="head" x="{MARGIN}" y="20">{escape(title)}</text>',
    ]


def lanes(title: str, calls: Mapping[Place, int], callers: Mapping[Place, Place]) -> str:
    """Return the picture of a walk with a lane for each file and a row for each function.

    A function is drawn in the row in which it was first entered; a line goes to it from the
    function that entered it first.
    """
    files = list(dict.fromkeys(file for file, _ in calls))
    step = min(58.0, (WIDTH - 2 * MARGIN - 260) / max(1, len(files) - 1))
    x = {file: MARGIN + 8 + step * n for n, file in enumerate(files)}
    heads = 36
    top = heads + LABEL * len(files) + 14
    y = {place: top + ROW * n for n, place in enumerate(calls)}
    height = top + ROW * len(calls)
    parts = opened(title, height)
    for n, file in enumerate(files):
        start = heads + LABEL * (n + 1)
        parts.append(
            f'<path class="lane" d="M{x[file]:g} {start - 6:g} V{height - 8:g}"/>'
            f'<text x="{x[file] - 4:g}" y="{start - 8:g}">{escape(file)}</text>'
        )
    for place, caller in callers.items():
        (start, end), row = (x[caller[0]], x[place[0]]), y[place]
        if start == end:
            bend = f"{start - 12:g} {row:g}"
            path = f"M{start:g} {y[caller]:g} C{bend} {bend} {end - 5:g} {row:g}"
        else:
            path = f"M{start:g} {y[caller]:g} V{row:g} H{end:g}"
        parts.append(f'<path class="call" d="{path}"/>')
    for place, count in calls.items():
        file, name = place
        times = f' <tspan class="count">x{count}</tspan>' if count > 1 else ""
        parts.append(
            f'<circle class="{kind_of(file)}" cx="{x[file]:g}" cy="{y[place]:g}" r="5"/>'
            f'<text x="{x[file] + 9:g}" y="{y[place] + 4:g}">{escape(readable(name))}{times}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def boxes(title: str, files: Sequence[str]) -> str:
    """Return the picture of a walk through many files, with a box for each package."""
    packages: dict[str, list[str]] = {}
    for file in files:
        folder, _, name = file.rpartition("/")
        packages.setdefault(folder, []).append(name)
    columns, gap = 3, 10
    width = (WIDTH - 2 * MARGIN - gap * (columns - 1)) / columns
    ends = [34.0] * columns
    parts = []
    for number, (package, names) in enumerate(packages.items(), 1):
        column = min(range(columns), key=lambda n: ends[n])
        left, y = MARGIN + column * (width + gap), ends[column]
        tall = 26 + 15 * len(names)
        kind = "box" if package.split("/")[0] == "hopcore" else "beside"
        size = f'width="{width:g}" height="{tall}"'
        parts.append(f'<rect class="{kind}" x="{left:g}" y="{y:g}" {size} rx="5"/>')
        lines = [f"{number}. {package}", *(f"   {name}" for name in names)]
        for n, line in enumerate(lines):
            parts.append(
                f'<text class="in" x="{left + 8:g}" y="{y + 17 + 15 * n:g}" xml:space="preserve">'
                f"{escape(line)}</text>"
            )
        ends[column] = y + tall + gap
    return "\n".join([*opened(title, max(ends) + 4), *parts, "</svg>", ""])
