"""The files of the study of completed images, from which a run that was stopped can continue."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from hopcore.experiments.completion.networks import ENERGY, Descent
from hopcore.experiments.completion.trials import METHODS, Outcome, Trial
from hopcore.files._arrays import read_archive
from hopcore.files._csv import from_csv, to_csv
from hopcore.files._files import write_whole
from hopcore.files._plain import read_text


def beside(path: Path) -> tuple[Path, Path]:
    """Return the files of the steps down the energy and of the images, beside the CSV of trials."""
    return path.with_stem(f"{path.stem}-steps"), path.with_name(f"{path.stem}-images.npz")


def write(outcomes: list[Outcome], path: Path) -> None:
    """Write the trials in the order of seeds and methods, and the other files before them."""
    ordered = sorted(outcomes, key=lambda one: (one.trial.seed, METHODS.index(one.trial.method)))
    images: dict[str, np.ndarray] = {}
    for outcome in ordered:
        images |= outcome.images

    def archive(file: BinaryIO) -> None:
        np.savez_compressed(file, **images)  # type: ignore[arg-type]

    steps_path, images_path = beside(path)
    write_whole(images_path, archive)
    steps = to_csv([step for outcome in ordered for step in outcome.path], Descent)
    write_whole(steps_path, lambda file: file.write(steps.encode()))
    trials = to_csv([outcome.trial for outcome in ordered], Trial)
    write_whole(path, lambda file: file.write(trials.encode()))


def read(path: Path) -> list[Outcome]:
    """Return what :func:`write` wrote, or nothing if there is no such file.

    Raises
    ------
    ValueError
        The files are not those of this study.
    OSError
        One of the files beside the CSV of trials is missing.
    """
    if not path.exists():
        return []
    steps_path, images_path = beside(path)
    trials = from_csv(read_text(path), Trial)
    steps = from_csv(read_text(steps_path), Descent)
    images = read_archive(images_path)
    common = {name: array for name, array in images.items() if name not in METHODS}
    return [
        Outcome(
            trial,
            [step for step in steps if trial.method == ENERGY and step.seed == trial.seed],
            common | {trial.method: images[trial.method]} if trial.seed == 0 else {},
        )
        for trial in trials
    ]
