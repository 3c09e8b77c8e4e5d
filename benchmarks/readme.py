"""The table of the README that compares hopcore with other libraries, made from the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.table import duration, grid, mebibytes

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"


class Line(NamedTuple):
    """One line of the table: what is compared, and which result of which record says it."""

    task: str
    record: str
    row: str
    case: str
    side: str = "hopcore-torch"
    memory: bool = True


LINES = (
    Line(
        "Hopfield layer in torch, 4 x 1024 queries and patterns",
        "layers",
        "layer-difflayers",
        "4x1024x1024x64",
    ),
    Line(
        "the same layer, against torch's fused kernel called by hand",
        "layers",
        "layer-torch",
        "4x1024x1024x64",
        memory=False,
    ),
    Line(
        "the same layer, forward and backward",
        "layers",
        "layer-backward-difflayers",
        "4x1024x1024x64",
    ),
    Line("a small call of the layer", "layers", "layer-call", "8x10x50x64", memory=False),
    Line(
        "layer with diffusion, 8192 patterns, graphs rebuilt",
        "layers",
        "diffused-difflayers",
        "1x1024x8192x64",
    ),
    Line(
        "retrieval until convergence, 512 queries, 4096 patterns",
        "kernels",
        "retrieval",
        "512x4096x64 beta=0.2",
    ),
    Line("graph of nearest neighbours, 10,000 patterns", "graphs", "knn-difflayers", "N=10000"),
    Line(
        "entmax 1.5, 64 x 1024 scores",
        "kernels",
        "entmax-package",
        "entmax(1.5) 64x1024x64 beta=0.125",
        memory=False,
    ),
)


def table() -> str:
    """The table in Markdown, without its heading."""
    head = "| task | hopcore | other library | measurement |\n|---|---:|---:|---|\n"
    return head + "\n".join(grid([["", "", "", ""], list(cells(line))]).splitlines()[-1]
                            for line in LINES)  # fmt: skip


def cells(line: Line) -> tuple[str, str, str, str]:
    """The cells of one line."""
    result = result_of(line)
    peer = result["peer"]["side"].split("-")[0]
    name = "" if peer == "by_hand" or peer.startswith("by") else f"{peer} "
    ours, theirs = (figures(result[side], line.memory) for side in ("ours", "peer"))
    link = f"[{line.row}](docs/benchmarks/{line.record}.md#{line.row})"
    return line.task, ours, f"{name}{theirs}", link


def result_of(line: Line) -> dict[str, Any]:
    """The result in the record."""
    record = json.loads((RESULTS / f"{line.record}.json").read_text(encoding="utf-8"))
    found = [
        result
        for result in record["results"]
        if result["row"] == line.row
        and result["case"].startswith(line.case)
        and result["ours"]["side"].startswith(line.side)
    ]
    if not found:
        raise LookupError(f"{line.record}.json has no {line.row} {line.case} of {line.side}")
    return found[0]


def figures(side: dict[str, Any], memory: bool) -> str:
    """The time of one side, and its memory."""
    time = duration(side["wall"])
    return f"{time}, {mebibytes(side['scratch'])} MiB" if memory else time
