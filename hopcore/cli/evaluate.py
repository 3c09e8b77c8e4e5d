"""``hopcore evaluate``: the accuracy of a classifier that ``hopcore train`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hopcore.cli.training_lines import in_words, temperatures
from hopcore.datasets._sources import files_in
from hopcore.experiments.options import (
    INPUT,
    OUTPUT,
    AsJson,
    Backend,
    Data,
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
from hopcore.experiments.parsing import one_of
from hopcore.experiments.trained import (
    CHECKPOINTS,
    SPLITS,
    Trained,
    files_of,
    open_run,
    samples_of,
    scores_of,
)

Run = Annotated[
    Path,
    typer.Argument(
        help="The folder that hopcore train wrote, or one of its .safetensors files.",
        metavar="RUN",
        show_default=False,
    ),
]
Checkpoint = Annotated[
    str, option(INPUT, f"The file of the folder that is used: {' or '.join(CHECKPOINTS)}.")
]


def evaluate(
    run: Run,
    data: Data = None,
    checkpoint: Checkpoint = "best",
    split: Annotated[
        str, option(INPUT, f"The images of the run that are classified: {', '.join(SPLITS)}.")
    ] = "test",
    backend: Backend = "numpy",
    device: Device = None,
    out: Annotated[
        Path | None,
        option(
            OUTPUT, "The true and the predicted class of every image: .csv, .json or .npz; "
            ".npy contains only the predicted classes.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Measure the accuracy of a trained classifier."""
    check_outputs({"--out": out}, {**files_of(run), **files_in(data)})
    one_of(split, SPLITS, "split")
    trained = open_run(run, checkpoint)
    samples = samples_of(trained, data)[split]
    classes = {
        path: scores_of(trained, samples.pixels, path, library=backend, device=device).argmax(-1)
        for path in trained.paths
    }
    found = {path: float(np.mean(values == samples.target)) for path, values in classes.items()}
    written = ""
    if out is not None:
        named = {f"class_{path}" if len(classes) > 1 else "class": x for path, x in classes.items()}
        written = write_results(out, {**named, "target": samples.target})
    if as_json:
        show_json(
            {
                **facts_of(trained),
                "split": split,
                "images": len(samples.target),
                "accuracy": found,
                "written": [] if out is None else [str(out)],
            }
        )
        return
    typer.echo(title_of(trained))
    typer.echo(f"  {split} accuracy: {in_words(found)} of {len(samples.target):,} images")
    if out is None:
        say_nothing_written("--out FILE.csv")
    else:
        say_written(out, f"{written} of {len(samples.target):,} images")


def title_of(trained: Trained) -> str:
    """Return what was opened in one line."""
    epoch, saved = trained.epoch, trained.saved
    return (
        f"{trained.path}: {trained.model.KIND} on {saved.about.get('dataset', 'unknown images')}, "
        f"epoch {epoch.epoch} of {saved.config.epochs}{temperatures(epoch)}"
    )


def facts_of(trained: Trained) -> dict[str, object]:
    """Return what was opened for JSON."""
    return {
        "file": str(trained.path),
        "model": trained.model.KIND,
        **trained.saved.about,
        "epoch": trained.epoch.epoch,
        "temperatures": trained.epoch.temperatures,
    }
