"""What ``hopcore train`` left in the folder of a run: opened, asked and measured again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

import hopcore
from hopcore import datasets
from hopcore.experiments.batched_retrieval import on_device
from hopcore.experiments.models.image_classifiers import CLASSIFIERS
from hopcore.training._classifier import Classifier, Images
from hopcore.training._config import PATHS
from hopcore.training._epoch_loop import model_of, share_right
from hopcore.training._run_files import (
    BEST,
    HISTORY,
    LAST,
    Epoch,
    SavedRun,
    check_same,
    fingerprint,
    read_run,
)
from hopcore.training._trainer import Conditions, batches

CHECKPOINTS = {"best": BEST, "last": LAST}
"""The files of a run by their names on the command line."""

SPLITS = "train", "validation", "test"
"""The samples of a run, in the order of :func:`split_three`."""

BATCH = 512
"""Images that are classified at once."""


class Trained(NamedTuple):
    """A classifier as it was after an epoch.

    Attributes
    ----------
    model : Classifier
    saved : SavedRun
        What the file holds.
    epoch : Epoch
        The last one of the file.
    path : Path
        The file.
    """

    model: Classifier
    saved: SavedRun
    epoch: Epoch
    path: Path

    @property
    def paths(self) -> tuple[str, ...]:
        """The ways to ask the classifier: soft and hard, or one alone if it has no memory."""
        return PATHS if self.model.TEMPERATURES else PATHS[:1]

    @property
    def pixels(self) -> int:
        """The number of pixels of an image."""
        settings = self.model.to_dict()
        return settings["size"] if "size" in settings else math.prod(settings["shape"])

    def path_named(self, name: str | None) -> str:
        """Return a path by its name; without one, the path by which the best epoch was chosen."""
        if name is not None and name not in PATHS:
            raise ValueError(f"unknown path {name!r}; known: {', '.join(PATHS)}")
        if len(self.paths) == 1:  # both would give the same answer
            return self.paths[0]
        return name or self.saved.config.select


def files_of(place: Path) -> dict[str, Path | None]:
    """Return the files of a run, as what a command reads."""
    names = (BEST, LAST, HISTORY)
    return {f"RUN ({name})": place / name for name in names} if place.is_dir() else {"RUN": place}


def open_run(place: Path, checkpoint: str = "best") -> Trained:
    """Open the classifier of a run.

    Parameters
    ----------
    place : Path
        The folder of the run, or one of its files.
    checkpoint : {"best", "last"}
        Which file of a folder.

    Raises
    ------
    ValueError
        Not a whole file of a run; parameters that are not those of its model.
    OSError
        There is no such file.
    """
    if checkpoint not in CHECKPOINTS:
        raise ValueError(f"unknown checkpoint {checkpoint!r}; known: {', '.join(CHECKPOINTS)}")
    path = place / CHECKPOINTS[checkpoint] if place.is_dir() else place
    saved = read_run(path)
    try:
        model = model_of(saved, CLASSIFIERS)
        shapes = {name: value.shape for name, value in saved.parameters.items()}
        if shapes != model.parameter_shapes():
            raise ValueError("its parameters are not those of its model")
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path} holds no classifier of images: {error}") from None
    return Trained(model, saved, saved.history[-1], path)


def samples_of(trained: Trained, data: Path | None) -> dict[str, Images]:
    """Return the samples of a run by their names in :data:`SPLITS`.

    Raises
    ------
    ValueError
        The data set is another one than that of the run.
    """
    images = datasets.load(trained.saved.about.get("dataset", ""), data)
    train, validation, test = datasets.split_three(images, trained.saved.config.seed)
    check_same("data set", trained.saved.data, fingerprint(train, test, validation))
    return dict(zip(SPLITS, (train, validation, test), strict=True))


def scores_of(
    trained: Trained,
    pixels: np.ndarray,
    path: str,
    *,
    library: str = "numpy",
    device: str | None = None,
) -> np.ndarray:
    """Ask a classifier for the scores of all classes, at the temperatures of its epoch.

    Parameters
    ----------
    trained : Trained
    pixels : float32 array (n, height * width)
    path : {"soft", "hard"}
    library, device : str
        As in :func:`hopcore.experiments.batched_retrieval.run_job`.

    Returns
    -------
    array (n, classes)
    """
    chosen = hopcore.backend(library)
    parameters = {
        name: on_device(chosen, value, device) for name, value in trained.saved.parameters.items()
    }
    conditions = Conditions(trained.epoch.temperatures, hard=path == "hard")
    found = []
    for batch in batches(Images(pixels, np.zeros(len(pixels), np.int32)), BATCH):
        own = Images(on_device(chosen, batch.pixels, device), batch.target)
        outputs = trained.model.outputs(parameters, own, conditions)
        found.append(np.asarray(chosen.to_numpy(outputs)))
    return np.concatenate(found)


def accuracies(
    trained: Trained, samples: Images, *, library: str = "numpy", device: str | None = None
) -> dict[str, float]:
    """Return the share of samples that are classified rightly on each path of a classifier."""
    return {
        path: share_right(
            scores_of(trained, samples.pixels, path, library=library, device=device),
            samples.target,
        )
        for path in trained.paths
    }


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of the scores of each image."""
    spread = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return spread / spread.sum(axis=-1, keepdims=True)
