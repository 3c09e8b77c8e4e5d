"""The studies of diffusion that the command line offers: what each varies, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._modes import OPERATORS
from hopcore.experiments.diffusion.trials import Method
from hopcore.graphs._graph import NORMALIZATIONS

STEPPED = ("factored", "iterative")
"""The modes that take T steps of eta; the others are given T eta at once."""


class Strength(NamedTuple):
    """Lists of what the methods of a study share."""

    etas: Sequence[float]
    steps: Sequence[int]
    neighbours: Sequence[int]
    normalization: str

    def configs(self, **settings: Any) -> list[DiffusionConfig]:
        """A configuration for each combination."""
        return [
            DiffusionConfig(eta=eta, steps=steps, k_neighbors=k, **settings)
            for eta, steps, k in product(self.etas, self.steps, self.neighbours)
        ]


def three_values(given: Strength) -> list[Method]:
    """Tied, evolving and untied."""
    names = ("tied", "evolving", "untied")
    found = [
        Method(name, name, config, given.normalization)
        for config, name in product(given.configs(), names)
    ]
    # An evolving memory of no steps retrieves nothing.
    return [method for method in found if method.values != "evolving" or method.config.steps]


def parts(given: Strength) -> list[Method]:
    """Diffused keys, queries or both, with tied and with untied values."""
    found = []
    for key, query in ((True, False), (False, True), (True, True)):
        what = "both" if key and query else "keys" if key else "queries"
        for config in given.configs(diffuse_key=key, diffuse_query=query):
            for values in ("tied", "untied") if key else ("untied",):
                name = f"{what}, {values}" if key else what
                found.append(Method(name, values, config, given.normalization))
    return found


def modes(given: Strength) -> list[Method]:
    """The six operators on the three Laplacians, at equal total strength T eta; tied values."""
    found = []
    for mode, normalization in product(OPERATORS, NORMALIZATIONS):
        for config in given.configs(diffusion_mode=mode):
            times = 1 if mode in STEPPED else config.steps
            whole = replace(config, eta=config.eta * times)
            found.append(Method("tied", "tied", whole, normalization))
    return found


def logits(given: Strength) -> list[Method]:
    """Diffused features, diffused association weights, both, and an eta that adapts."""
    kinds: dict[str, dict[str, Any]] = {
        "feature": {},
        "logit": {"diffuse_key": False, "use_logit_diffusion": True},
        "feature + logit": {"use_logit_diffusion": True},
        "adaptive, sample": {"adaptive_eta": "sample"},
        "adaptive, query": {"adaptive_eta": "query"},
    }
    return [
        Method(name, "untied", config, given.normalization)
        for name, settings in kinds.items()
        for config in given.configs(**settings)
    ]


class Study(NamedTuple):
    """One command: its defaults, as they are typed, its methods, and the axes of its picture.

    Where ``best`` is set, the picture shows each method at its best level; otherwise the levels are
    an axis of it.
    """

    name: str
    title: str
    methods: Callable[[Strength], list[Method]]
    x: str
    line: str
    column: str | None = None
    measures: Sequence[str] = ("best_exact", "best_label")
    best: bool = True
    stored: str = "256"
    corruption: str = "noise:1.5"
    level: str = "5,10,20,80"
    eta: str = "0.1"
    steps: str = "3"
    neighbours: str = "5"


STUDIES = (
    Study(
        "noise-robustness",
        "Success over noise: plain, tied, evolving and untied memories at several beta.",
        three_values,
        x="corruption",
        line="method",
        column="level",
        measures=("exact", "label", "entropy_exact", "entropy_label"),
        best=False,
        corruption="noise:0.5,noise:1,noise:1.5,noise:2",
        level="5,10,80",
    ),
    Study(
        "ablation",
        "Diffused keys, queries or both, values tied or untied, over neighbours and memory size.",
        parts,
        x="neighbours",
        line="method",
        column="stored",
        stored="128,512",
        neighbours="2,5,15",
        level="5,20,80",
    ),
    Study(
        "steps-sweep",
        "Tied, evolving and untied memories over T and eta.",
        three_values,
        x="steps",
        line="eta",
        column="method",
        eta="0.03,0.1,0.3",
        steps="0,1,2,3,5,10",
        level="10,20,80",
    ),
    Study(
        "mode-comparison",
        "The six diffusion modes on the three Laplacians, with their time.",
        modes,
        x="mode",
        line="normalization",
        measures=("best_exact", "best_label", "milliseconds"),
    ),
    Study(
        "logit-vs-feature",
        "Diffused features, diffused association weights, and an adaptive eta.",
        logits,
        x="level",
        line="method",
        measures=("exact", "same_exact", "entropy_exact", "label", "same_label", "entropy_label"),
        best=False,
        level="2.5,5,10,20,80",
    ),
)
