"""The training of a model, epoch by epoch, and the files from which a run goes on.

:class:`TrainConfig` says how a training goes; :class:`Run` does it. The trainers of torch and JAX
are in ``hopcore_torch.training`` and ``hopcore_jax.training``.
"""

from hopcore.training._trainer import Conditions, Dropout, Model, Samples, Step

__all__ = [
    "Conditions",
    "Dropout",
    "Model",
    "Samples",
    "Step",
]
