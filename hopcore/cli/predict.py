"""``hopcore predict``: the classes of one's own images, by a classifier that was trained."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from hopcore.cli.evaluate import Checkpoint, Run, facts_of, title_of
from hopcore.experiments.data.inputs import read_patterns
from hopcore.experiments.options import (
    METHOD,
    OUTPUT,
    AsJson,
    Backend,
    Device,
    option,
    show_json,
)
from hopcore.experiments.outputs import (
    check_outputs,
    say_nothing_written,
    say_written,
    write_results,
)
from hopcore.experiments.tables import Summary, in_percent
from hopcore.experiments.trained import Trained, files_of, open_run, probabilities, scores_of

SHOWN = 20
"""Images that are listed on the terminal, at most."""


def predict(
    run: Run,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="The images: .npy or .csv files, (n, d) or (n, h, w), with pixels from -1 (black) "
            "to 1 (white); PNG or JPEG images, or folders of them.",
            metavar="FILES...",
            show_default=False,
        ),
    ],
    checkpoint: Checkpoint = "best",
    path: Annotated[
        str | None,
        option(
            METHOD, "The path that classifies: soft averages the stored patterns, hard chooses "
            "one; default: the path by which the best epoch was chosen.",
        ),
    ] = None,
    backend: Backend = "numpy",
    device: Device = None,
    out: Annotated[
        Path | None,
        option(
            OUTPUT, "The class of every image and its probability: .csv, .json or .npz; .npy "
            "contains only the classes.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Classify your own images with a trained classifier."""
    read = {f"FILES ({place})": place for place in files}
    check_outputs({"--out": out}, {**files_of(run), **read})
    trained = open_run(run, checkpoint)
    way = trained.path_named(path)
    pixels = pixels_of(trained, files)
    chances = probabilities(scores_of(trained, pixels, way, library=backend, device=device))
    classes = chances.argmax(axis=-1)
    results = {"class": classes, "probability": chances.max(axis=-1, initial=0.0)}
    written = ""
    if out is not None:
        written = write_results(out, results)
    low, high = float(pixels.min(initial=0.0)), float(pixels.max(initial=0.0))
    notes = []
    if low < -1.5 or high > 1.5:
        notes.append(
            f"pixels lie between {low:.4g} and {high:.4g}; the classifier was trained on pixels "
            "between -1 and 1"
        )
    if as_json:
        listed = {name: values.tolist() for name, values in results.items()}
        own = {"path": way, "images": len(pixels), **listed, "notes": notes}
        show_json({**facts_of(trained), **own, "written": [] if out is None else [str(out)]})
        return
    typer.echo(title_of(trained))
    Console().print(table_of(results).terminal())
    for note in notes:
        typer.echo(f"Note: {note}.")
    if out is None:
        say_nothing_written("--out FILE.csv")
    else:
        say_written(out, f"{written} of {len(pixels):,} images")


def pixels_of(trained: Trained, files: list[Path]) -> np.ndarray:
    """Read images from files, ``(n, d)`` in float32, and compare their sizes with the model's."""
    wanted, found = trained.pixels, []
    for file in files:
        values = read_patterns(file)
        size = math.prod(values.shape[1:])
        if values.ndim not in (2, 3) or size != wanted:
            raise ValueError(
                f"{file} must hold images of {wanted} pixels, (n, {wanted}) or (n, h, w), got "
                f"{values.shape}"
            )
        found.append(values.reshape(len(values), wanted).astype(np.float32))
    return np.concatenate(found)


def table_of(results: dict[str, np.ndarray]) -> Summary:
    """Return a table of the first images, or of the numbers of all if there are more."""
    classes, chances = results["class"], results["probability"]
    if len(classes) <= SHOWN:
        rows = [
            [str(place), str(one), in_percent(float(chance))]
            for place, (one, chance) in enumerate(zip(classes, chances, strict=True))
        ]
        return Summary([], ["image", "class", "probability"], rows)
    counts = Counter(int(one) for one in classes)
    rows = [
        [str(one), f"{count:,}", in_percent(float(chances[classes == one].mean()))]
        for one, count in sorted(counts.items())
    ]
    return Summary([], ["class", "images", "mean probability"], rows)
