"""``hopcore demo``: store handwritten digits, corrupt them, retrieve them, and draw the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console

from hopcore.experiments.demo import demo_table, draw_demo, run_demo
from hopcore.experiments.options import (
    METHOD,
    OUTPUT,
    AsJson,
    Backend,
    Compared,
    Seed,
    option,
    show_json,
)
from hopcore.experiments.outputs import check_outputs, say_written
from hopcore.files._extensions import PICTURES


def demo(
    seed: Seed = 0,
    similarity: Compared = "dot",
    stored: Annotated[
        int, option(METHOD, "The number of handwritten digits to store, at most 1,797.")
    ] = 256,
    backend: Backend = "numpy",
    out: Annotated[Path, option(OUTPUT, "The picture: .png, .pdf or .svg.")] = Path(
        "hopcore-demo.png"
    ),
    as_json: AsJson = False,
) -> None:
    """Store handwritten digits, corrupt them, retrieve them, and draw the result."""
    check_outputs({"--out": out}, extensions={"--out": PICTURES})
    result = run_demo(seed=seed, stored=stored, similarity=similarity, backend=backend)
    draw_demo(result, out)
    if as_json:
        compared = {"similarity": result.similarity, "similarity_reason": result.reason}
        facts = {"backend": backend, "stored": stored, "seed": seed, "picture": str(out)}
        show_json(facts | compared | {"rows": [row._asdict() for row in result.rows]})
    else:
        console = Console()
        console.print(demo_table(result))
        if similarity == "auto":
            chosen = f"similarity = {result.similarity} was chosen: {result.reason}."
            console.print(chosen, markup=False, highlight=False)
        say_written(out, "a picture of some digits, corrupted and retrieved")
