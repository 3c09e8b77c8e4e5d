"""The commands of ``hopcore experiment``: add a study here, and the command line offers it."""

from __future__ import annotations

from collections.abc import Callable

from hopcore.experiments import retrieval
from hopcore.experiments.annealing.study import Annealing, TemperatureFloor
from hopcore.experiments.attention_analysis.study import AttentionAnalysis
from hopcore.experiments.attention_entropy.study import AttentionEntropy
from hopcore.experiments.bag_attention.study import BagAttention
from hopcore.experiments.capacity.study import Capacity, CapacityMasked
from hopcore.experiments.compaction.study import Compact
from hopcore.experiments.completion.study import Completion
from hopcore.experiments.diffusion import studies as diffusion
from hopcore.experiments.estimators.study import Estimators
from hopcore.experiments.mil.studies import BagFiles, BitPattern, Latch, MnistBags
from hopcore.experiments.papers.study import Papers
from hopcore.experiments.study import Study, command_of
from hopcore.experiments.suggested_beta.study import SuggestedBeta
from hopcore.experiments.temperature_profiles.study import TemperatureProfiles
from hopcore.experiments.temperature_router.study import TemperatureRouter
from hopcore.experiments.transition.study import Transition, TransitionStates

STUDIES: tuple[type[Study], ...] = (
    *diffusion.STUDIES, BitPattern, Latch, MnistBags, BagFiles, BagAttention, Annealing,
    TemperatureFloor, TemperatureProfiles, TemperatureRouter,
    Transition, SuggestedBeta, TransitionStates,
    Estimators, AttentionEntropy, AttentionAnalysis, Capacity, CapacityMasked, Completion,
    Compact, Papers,
)  # fmt: skip

COMMANDS: dict[str, Callable[..., None]] = {
    "retrieval": retrieval.command,
    **{study.name: command_of(study) for study in STUDIES},
}
"""The functions that typer makes commands of, by the names of the commands."""

EXAMPLES: dict[str, str] = {
    "retrieval": "retrieval --dataset digits --csv trials.csv",
    **{study.name: f"{study.name} {study.example}".rstrip() for study in STUDIES},
}
"""What the help of each command shows as an example."""
