"""Draw what each memory of "Which memory?" does, from the code of that page.

``python docs/draw_memories.py`` runs the code of ``docs/guides/which-memory.md``, section by
section, and writes a picture after each section of :data:`SECTIONS` into
``docs/guides/which-memory``. It needs the extras ``data`` and ``plots``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from shown_code import blocks, parts_of

import hopcore
from hopcore import plots
from hopcore.convex import AbsoluteSum, ConvexMemory, Polynomial, Quadratic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = Path(__file__).parent / "guides" / "which-memory.md"
FOLDER = PAGE.with_suffix("")

Names = dict[str, Any]
"""What the code of the page has defined so far."""

WIDTH, DPI, COLOURS = 6.4, 100, 64
COLUMNS = 12
"""Images in a row."""


def images(patterns: Any) -> Any:
    """Return digits as images of 8 x 8 pixels."""
    return np.reshape(patterns, (-1, 8, 8))


def sheet(
    height: float, rows: Mapping[str, Any], failed: Mapping[str, Any] | None = None
) -> tuple[Figure, Axes]:
    """Return a figure with rows of images, and its axes."""
    figure = plots.new_figure(WIDTH, height, dpi=DPI)
    return figure, plots.gallery(rows, failed=failed, ax=figure.subplots())


def steps(height: int, width: int) -> tuple[int, int]:
    """Return the distances of rows and columns of a gallery, in pixels of its images."""
    gap = max(1, round(min(height, width) / 8))
    return height + gap, width + gap


def under(ax: Axes, names: list[str], width: int = 8) -> None:
    """Write a name under each column of images."""
    _, across = steps(width, width)
    ax.set_xticks([c * across + width / 2 - 0.5 for c in range(len(names))], labels=names)
    ax.tick_params(bottom=False, labelsize=9, labelcolor=plots.INK, pad=1)


def noise(page: Names) -> Figure:
    """Noisy digits, and what both similarities recall."""
    stored, noisy = page["stored"], page["noisy"][:COLUMNS]
    rows, failed = {"stored": images(stored[:COLUMNS]), "noisy": images(noisy)}, {}
    similarities: dict[str, Literal["dot", "distance"]] = {
        "dot product": "dot",
        "distance": "distance",
    }
    for name, similarity in similarities.items():
        beta = hopcore.suggest_beta(stored, similarity=similarity).beta
        found = hopcore.retrieve(noisy, stored, beta, similarity=similarity)
        rows[name] = images(found.state)
        failed[name] = found.index != np.arange(COLUMNS)
    return sheet(2.0, rows, failed)[0]


def halves(page: Names) -> Figure:
    """Upper halves of digits, and what is recalled with and without saying that they are halves."""
    stored, queries, grey = page["stored"], page["halves"][:COLUMNS], page["grey"][:COLUMNS]
    known = hopcore.retrieve(queries, stored, "auto", known=~np.isnan(queries))
    without = hopcore.retrieve(grey, stored, "auto", similarity="distance")
    rows = {
        "stored": images(stored[:COLUMNS]),
        "known": images(queries),
        "with known=": images(known.state),
        "without": images(without.state),
    }
    failed = {
        "with known=": known.index != np.arange(COLUMNS),
        "without": without.index != np.arange(COLUMNS),
    }
    figure, ax = sheet(2.0, rows, failed)
    down, across = steps(8, 8)
    for c in range(COLUMNS):
        hatch(ax, c * across, down + 4, 8, 4)
    return figure


def hatch(ax: Axes, column: float, row: float, width: int, height: int) -> None:
    """Hatch pixels that are not known."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415  an extra, imported on use

    corner = (column - 0.5, row - 0.5)
    box = Rectangle(corner, width, height, fill=False, hatch="/////", linewidth=0.0)
    box.set_edgecolor(plots.LINES[0])
    ax.add_patch(box)


def averages(page: Names) -> Figure:
    """Noisy digits that are not stored, the nearest pattern, and the mean of the eight nearest."""
    stored, queries = page["stored"], page["queries"][:COLUMNS]

    def found(**options: Any) -> Any:
        means = hopcore.association(queries, stored, beta=100.0, similarity="distance", **options)
        return images(means)

    rows = {
        "not stored": images(page["others"][:COLUMNS]),
        "noisy": images(queries),
        "nearest": found(),
        "mean of 8": found(separation=hopcore.KSubsets(8)),
    }
    return sheet(2.0, rows)[0]


def nothing(page: Names) -> Figure:
    """Noisy digits and random images, and where the updates of a compact kernel end."""
    found, half = page["found"], COLUMNS // 2
    shown = [*range(half), *range(200, 200 + half)]
    rows = {"query": images(page["both"][shown]), "end": images(found.state[shown])}
    figure, ax = sheet(1.3, rows)
    under(ax, [f"{index}" for index in found.index[shown]])
    ax.set_xlabel("index", fontsize=9, color=plots.QUIET, labelpad=1)
    return figure


def classes(page: Names) -> Figure:
    """Digits that are not stored, and the share of each class."""
    others, shares, right = page["others"], page["shares"], page["right"]
    shown = [*np.flatnonzero(right)[:5], *np.flatnonzero(~right)[:3]]
    true = page["digits"].labels[1000:1200]
    figure = plots.new_figure(WIDTH, 2.0, dpi=DPI)
    panels = figure.subplots(2, len(shown), height_ratios=(1.2, 1.0))
    for (above, below), each in zip(panels.T, shown, strict=True):
        plots.gallery(images(others[each]), ax=above)
        above.set_title(f"a {true[each]}", fontsize=9, color=plots.INK, pad=3)
        colours = [plots.LINES[0] if one == true[each] else plots.FAILED for one in range(10)]
        below.bar(range(10), shares[each], color=colours, width=0.8)
        below.set_ylim(0.0, 1.0)
        below.set_yticks([0.0, 1.0] if below is panels[1, 0] else [])
        plots.quiet(below).set_xticks([0, 5, 9])
        below.grid(visible=False)
    panels[1, 0].set_ylabel("share", fontsize=9, color=plots.INK)
    figure.supxlabel("class", fontsize=9, color=plots.INK)
    return figure


def sequence(page: Names) -> Figure:
    """The noisy start, and the digits that follow it."""
    strip = images([page["start"], *page["recalled"]])
    figure, ax = sheet(0.95, {"": strip})
    under(ax, ["start", *(f"step {step + 1}" for step in range(len(strip) - 1))])
    return figure


def binary(page: Names) -> Figure:
    """Patterns of signs, flipped and recalled, with the wrong signs in red."""
    signs, flipped, count, shape = page["signs"], page["flipped"], 6, (10, 20)
    rows = {"flipped": flipped}
    for name, hidden in (("Quadratic()", Quadratic()), ("Polynomial(3)", Polynomial(3))):
        rows[name] = ConvexMemory(hidden, AbsoluteSum()).retrieve(flipped, signs).state
    shown = {name: each[:count].reshape(-1, *shape) for name, each in rows.items()}
    figure, ax = sheet(2.0, {"stored": signs[:count].reshape(-1, *shape), **shown})
    down, across = steps(*shape)
    for r, each in enumerate(shown.values(), start=1):
        places = np.argwhere(each != signs[:count].reshape(-1, *shape))
        ax.scatter(
            places[:, 2] + across * places[:, 0], places[:, 1] + down * r,
            s=7.0, marker="s", linewidths=0.0, color=plots.FAILED,
        )  # fmt: skip
    return figure


SECTIONS: dict[str, tuple[str, Callable[[Names], Figure]]] = {
    "Remove noise": ("noise", noise),
    "Fill in what is missing": ("halves", halves),
    "Average the nearest patterns": ("averages", averages),
    "Find nothing where nothing is near": ("nothing", nothing),
    "Classify": ("classes", classes),
    "Recall a sequence": ("sequence", sequence),
    "Store binary patterns": ("binary", binary),
}
"""The picture of each section, by its name, and the function that draws it."""


def drawn() -> Iterator[tuple[str, Figure]]:
    """Run the code of the page, and return the picture of each section with its name."""
    page: Names = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## "):
        with redirect_stdout(StringIO()):  # the page shows what its code prints
            for part in (part for block in blocks(section) for part in parts_of(block)):
                exec(part.source, page)
        title = section.partition("\n")[0]
        if title in SECTIONS:
            name, draw = SECTIONS[title]
            yield name, draw(page)


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, figure in drawn():
        plots.save(figure, FOLDER / f"{name}.png", colors=COLOURS)


if __name__ == "__main__":
    main()
