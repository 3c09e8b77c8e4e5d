"""Train models epoch by epoch, and continue an interrupted run from its files.

A :class:`TrainConfig` holds the settings of a training and a :class:`Run` carries it out: it draws
batches, anneals the temperatures, measures the soft and the hard path after each :class:`Epoch` and
writes the last and the best state, which :func:`read_run` reads. A model is a :class:`Classifier`,
or any :class:`Model` with an objective. :func:`trainer` returns the trainer of torch or JAX (in
``hopcore_torch.training`` and ``hopcore_jax.training``). Each of its steps takes
:class:`Conditions`, which are the temperatures, the path, and the noise.
:class:`AttentionRecords` collect what the heads of a model do meanwhile.
"""

from hopcore.training._attention_records import AttentionRecord, AttentionRecords
from hopcore.training._classifier import Classifier, Images
from hopcore.training._config import TrainConfig
from hopcore.training._epoch_loop import Moment, Run
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
    "AttentionRecord",
    "AttentionRecords",
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
