"""Draw the packages of hopcore by the layers of the import contract.

``python docs/draw_architecture.py`` writes ``docs/design/architecture.svg``, which is the first
picture of docs/design/architecture.md. The layers are read from ``pyproject.toml``.
"""

from __future__ import annotations

import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "design" / "architecture.svg"

CAPTIONS = {
    "cli": "the command line",
    "experiments": "studies with real data, and their models",
    "datasets": "images to store: digits, MNIST, corrupted copies",
    "training": "the epoch loop, runs and their files",
    "plots": "pictures",
    "layers": "Hopfield layers as functions: settings, parameters, masks, checkpoints",
    "files": "arrays and tables in files that are written whole",
    "diffusion": "diffused retrieval",
    "schedules": "falling temperatures",
    "sklearn": "scikit-learn estimators",
    "prepared": "growing memories",
    "phase": "the phase transition, choice of beta",
    "convex": "two convex functions",
    "graphs": "neighbours, Laplacians",
    "streamed": "memories larger than the machine",
    "memory": "association, energy, retrieval",
    "arrays": "checked inputs, backends and their kernels",
}
"""What is in each package, in a few words."""

ADAPTER = ["kernels", "layers", "distributed", "training", "", "imports public names"]
BESIDE = {
    "hopcore_torch": ADAPTER,
    "hopcore_jax": ADAPTER,
    "hopcore_conformance": ["oracle", "cases", "checks", "report", "", "imports public names"],
}
"""The packages beside hopcore, with their parts."""

WIDTH, LEFT, RIGHT, GAP, ROW = 736, 16, 196, 8, 46
STYLE = (
    "text{font-family:system-ui,sans-serif;font-size:12px;fill:#40464d}"
    ".name{font-family:ui-monospace,monospace;font-size:13px;font-weight:600;fill:#1a1d21}"
    ".card{fill:#fbfbf9}.box{fill:#e3ecf7;stroke:#7c9cc4}.beside{fill:#f3ead9;stroke:#c0a06a}"
)


def layers() -> list[list[str]]:
    """The packages of each layer, from the top down, as the import contract has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["id"] == "layers")
    return [layer.split(" | ") for layer in contract["layers"]]


def box(x: float, y: float, width: float, height: float, kind: str) -> str:
    """One rounded rectangle."""
    corner = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
    return f'<rect class="{kind}" {corner} rx="5"/>'


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """One line of text."""
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{attribute}>{escape(words)}</text>'


def draw() -> str:
    """Return the picture as SVG."""
    rows = layers()
    top = 34
    height = top + ROW * len(rows) + 12
    inner = WIDTH - RIGHT - 2 * LEFT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img">',
        "<title>The packages of hopcore, layer by layer</title>",
        f"<style>{STYLE}</style>",
        box(0, 0, WIDTH, height, "card"),
        text(LEFT, 22, "hopcore: a package imports from the layers below it"),
        text(WIDTH - RIGHT, 22, "beside hopcore"),
    ]
    for number, names in enumerate(rows):
        y = top + ROW * number
        width = (inner - GAP * (len(names) - 1)) / len(names)
        parts.append(f'<g class="layer" id="layer-{number + 1}">')
        for place, name in enumerate(names):
            x = LEFT + place * (width + GAP)
            parts += [
                box(x, y, width, ROW - GAP, "box"),
                text(x + 10, y + 16, name, "name"),
                text(x + 10, y + 31, CAPTIONS[name]),
            ]
        parts.append("</g>")
    tall = (ROW * len(rows) - GAP - GAP * (len(BESIDE) - 1)) / len(BESIDE)
    for number, (name, inside) in enumerate(BESIDE.items()):
        x, y = WIDTH - RIGHT, top + number * (tall + GAP)
        parts += [
            box(x, y, RIGHT - LEFT, tall, "beside"),
            text(x + 10, y + 20, name, "name"),
            *(text(x + 10, y + 40 + 16 * n, part) for n, part in enumerate(inside)),
        ]
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
