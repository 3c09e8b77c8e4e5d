"""The training of a model, epoch by epoch, and the files from which a run goes on.

:class:`TrainConfig` says how a training goes; :class:`Run` does it. The trainers of torch and JAX
are in ``hopcore_torch.training`` and ``hopcore_jax.training``.
"""

from hopcore.training._classifier import Classifier, Images
from hopcore.training._config import TrainConfig
from hopcore.training._run import Moment, Run
from hopcore.training._run_files import BEST, LAST, Epoch, SavedRun, read_run
from hopcore.training._trainer import (
    Conditions,
    Dropout,
    Model,
    Samples,
    Step,
    Trainer,
    trainer,
)

__all__ = [
    "BEST",
    "LAST",
    "Classifier",
    "Conditions",
    "Dropout",
    "Epoch",
    "Images",
    "Model",
    "Moment",
    "Run",
    "Samples",
    "SavedRun",
    "Step",
    "TrainConfig",
    "Trainer",
    "read_run",
    "trainer",
]
