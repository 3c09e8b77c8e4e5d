"""The studies of diffusion that the command line offers: what each varies, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any, ClassVar, NamedTuple

from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._modes import OPERATORS
from hopcore.experiments.diffusion import report
from hopcore.experiments.diffusion.trials import Method, Trial, run_trials
from hopcore.experiments.options import (
    METHOD,
    SIMILARITIES,
    Backend,
    Corruptions,
    Data,
    Dataset,
    Device,
    Memories,
    Sizes,
    option,
)
from hopcore.experiments.parsing import integers, numbers, one_of, positive, unlike
from hopcore.experiments.study import Report, Study, load_images, write_text
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


def takes_distances(method: Method) -> bool:
    """Whether diffused retrieval compares by distance with this method."""
    config = method.config
    once = config.use_logit_diffusion or config.adaptive_eta == "query"
    return method.values != "evolving" and not once


Levels = Annotated[
    str,
    option(METHOD, "Effective inverse temperatures: beta times the spread of the patterns."),
]
Etas = Annotated[
    str, option(METHOD, "Strengths eta of diffusion; divided by the mean degree if not normalised.")
]
Steps = Annotated[str, option(METHOD, "Numbers T of diffusion steps.")]
Neighbours = Annotated[str, option(METHOD, "Numbers of neighbours in the graph.", "--k")]


@dataclass(kw_only=True)
class DiffusionStudy(Study):
    """Diffused memories and plain retrieval on the same queries.

    ``methods`` lists what is compared; ``x``, ``line`` and ``column`` are the axes of the picture.
    Where ``best`` is set, the picture shows each method at its best level; otherwise the levels are
    an axis of it.
    """

    dataset: Dataset = "digits"
    data: Data = None
    stored: Sizes = "256"
    corruption: Corruptions = "noise:1.5"
    level: Levels = "5,10,20,80"
    eta: Etas = "0.1"
    steps: Steps = "3"
    k: Neighbours = "5"
    normalization: Annotated[
        str, option(METHOD, f"The Laplacian: {', '.join(NORMALIZATIONS)}.")
    ] = "none"
    updates: Annotated[int, option(METHOD, "The largest number of updates of a query.", min=1)] = 1
    unseen: Annotated[
        bool, option(METHOD, "Query with images that are not stored.", "--unseen")
    ] = False
    similarity: Annotated[
        str,
        option(
            METHOD, "How states are compared with stored patterns: dot (product), or distance, "
            "which leaves out evolving memories, logit diffusion and an eta for each query.",
        ),
    ] = "dot"  # fmt: skip
    shuffled: Annotated[
        bool,
        option(
            METHOD, "Exchange the nodes of the graph at random, so that patterns are joined that "
            "are no neighbours: a control.", "--shuffled",
        ),
    ] = False  # fmt: skip
    seeds: Memories = 10
    backend: Backend = "numpy"
    device: Device = None

    row = Trial
    methods: ClassVar[Callable[[Strength], list[Method]]]
    x: ClassVar[str]
    line: ClassVar[str]
    column: ClassVar[str | None] = None
    measures: ClassVar[Sequence[str]] = ("best_exact", "best_label")
    best: ClassVar[bool] = True

    def outcomes(self) -> tuple[Iterable[Trial], int]:
        """Retrieve with every method at every level."""
        strength = Strength(
            unlike(numbers(self.eta, "eta"), "eta"),
            unlike(integers(self.steps, "steps"), "steps"),
            unlike(integers(self.k, "k"), "k"),
            one_of(self.normalization, NORMALIZATIONS, "normalization"),
        )
        methods = type(self).methods(strength)
        similarity: Any = one_of(self.similarity, SIMILARITIES, "similarity")
        if similarity == "distance":
            methods = [method for method in methods if takes_distances(method)]
        sizes = unlike(integers(self.stored, "stored"), "stored")
        levels = positive(unlike(numbers(self.level, "level"), "level"), "level")
        corruptions = unlike(self.corruption.split(","), "corruption")
        run = run_trials(
            load_images(self), methods, stored=sizes, corruptions=corruptions, levels=levels,
            updates=self.updates, unseen=self.unseen, similarity=similarity,
            shuffled=self.shuffled, seeds=self.seeds,
            backend=self.backend, device=self.device,
        )  # fmt: skip
        count = self.seeds * len(sizes) * len(corruptions) * len(levels) * (1 + len(methods))
        return run, count

    def write_csv(self, rows: list[Trial]) -> None:
        """Write the CSV; the setting of a trial has a column for each of its fields."""
        write_text(self.csv_path, report.to_csv(rows))

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        notes = [f"{self.name}: {'unseen' if self.unseen else 'stored'} {self.dataset}"]
        notes += ["shuffled graph"] * self.shuffled
        notes += ["by distance"] * (self.similarity == "distance")
        notes += [self.corruption] * (self.x != "corruption")
        notes += [f"{self.normalization} Laplacian"] * (self.normalization != "none")
        notes += [f"up to {self.updates} updates"] * (self.updates > 1)
        return ", ".join(notes)

    def report(self, rows: list[Trial]) -> Report:
        """Summarise the trials."""
        lines = report.summary(rows)
        facts = {"study": self.name, "dataset": self.dataset, "unseen": self.unseen}
        facts |= {"similarity": self.similarity, "shuffled": self.shuffled}
        return Report(
            facts | {"lines": [line.facts() for line in lines]},
            report.table(lines, self.title, long=False).terminal(),
            report.table(lines, long=True).markdown(),
        )

    def draw(self, rows: list[Trial]) -> None:
        """Draw the measures of the study."""
        report.draw(self, report.summary(rows), self.title, self.plot_path)


@dataclass(kw_only=True)
class NoiseRobustness(DiffusionStudy):
    """Compare plain, tied, evolving and untied memories under noise, at several beta."""

    corruption: Corruptions = "noise:0.5,noise:1,noise:1.5,noise:2"
    level: Levels = "5,10,80"

    name = "noise-robustness"
    example = "--corruption noise:2 --seeds 2"
    methods = staticmethod(three_values)
    x, line, column, best = "corruption", "method", "level", False
    measures = ("exact", "label", "entropy_exact", "entropy_label")


@dataclass(kw_only=True)
class Ablation(DiffusionStudy):
    """Diffuse keys, queries or both, in graphs and memories of several sizes."""

    stored: Sizes = "128,512"
    level: Levels = "5,20,80"
    k: Neighbours = "2,5,15"

    name = "ablation"
    example = "--stored 128 --seeds 2"
    methods = staticmethod(parts)
    x, line, column = "neighbours", "method", "stored"


@dataclass(kw_only=True)
class StepsSweep(DiffusionStudy):
    """Compare tied, evolving and untied memories over the steps T and the strength eta."""

    level: Levels = "10,20,80"
    eta: Etas = "0.03,0.1,0.3"
    steps: Steps = "0,1,2,3,5,10"

    name = "steps-sweep"
    example = "--steps 0,1,3 --eta 0.1"
    methods = staticmethod(three_values)
    x, line, column = "steps", "eta", "method"


@dataclass(kw_only=True)
class ModeComparison(DiffusionStudy):
    """Compare the six modes of diffusion on the three Laplacians, and their times."""

    name = "mode-comparison"
    example = "--seeds 2"
    methods = staticmethod(modes)
    x, line = "mode", "normalization"
    measures = ("best_exact", "best_label", "milliseconds")


@dataclass(kw_only=True)
class LogitVsFeature(DiffusionStudy):
    """Compare diffused features, diffused association weights, and an eta that adapts."""

    level: Levels = "2.5,5,10,20,80"

    name = "logit-vs-feature"
    example = "--level 5,20 --seeds 2"
    methods = staticmethod(logits)
    x, line, best = "level", "method", False
    measures = ("exact", "same_exact", "entropy_exact", "label", "same_label", "entropy_label")


STUDIES = (NoiseRobustness, Ablation, StepsSweep, ModeComparison, LogitVsFeature)
