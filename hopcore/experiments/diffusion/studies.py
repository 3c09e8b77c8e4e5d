"""The studies of diffusion that the command line offers: what each varies, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

from hopcore.experiments.diffusion import report
from hopcore.experiments.diffusion.methods import (
    Strength,
    logits,
    modes,
    parts,
    takes_distances,
    three_values,
)
from hopcore.experiments.diffusion.settings import Method, Trial
from hopcore.experiments.diffusion.summary import from_csv, summary, to_csv
from hopcore.experiments.diffusion.trials import run_trials
from hopcore.experiments.options import (
    METHOD,
    SIMILARITIES,
    Backend,
    Corruptions,
    Data,
    Dataset,
    Device,
    Memories,
    Resume,
    Sizes,
    option,
    tracked,
)
from hopcore.experiments.parsing import integers, numbers, one_of, positive, unlike
from hopcore.experiments.study import Report, Study, load_images, write_text
from hopcore.files._plain import read_text
from hopcore.graphs._graph import NORMALIZATIONS

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

    ``methods`` lists what is compared, and ``subject`` says it in a title; ``x``, ``line`` and
    ``column`` are the axes of the picture. Where ``best`` is set, the picture shows each memory at
    the level that is best for the other half of the memories; otherwise the levels are an axis.
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
    resume: Resume = False

    row = Trial
    subject: ClassVar[str]
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
            done={(trial.setting, trial.seed) for trial in self.kept},
        )  # fmt: skip
        count = self.seeds * len(sizes) * len(corruptions) * len(levels) * (1 + len(methods))
        return run, count - len(self.kept)

    @cached_property
    def kept(self) -> list[Trial]:
        """The trials of an earlier run that this run continues."""
        if not (self.resume and self.csv_path.exists()):
            return []
        return from_csv(read_text(self.csv_path))

    def measure(self) -> list[Trial]:
        """Measure the trials that are not in the CSV, and return those of the CSV."""
        self.write_csv([*self.kept, *tracked(*self.outcomes())])
        return from_csv(read_text(self.csv_path))  # rounded as in the file

    def write_csv(self, rows: list[Trial]) -> None:
        """Write the CSV; the setting of a trial has a column for each of its fields."""
        write_text(self.csv_path, to_csv(rows))

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        data = {"mnist": "MNIST"}.get(self.dataset, self.dataset)
        where = f"{data} not stored" if self.unseen else f"stored {data}"
        notes = [f"{self.subject}: {where}"]
        notes += ["nodes exchanged"] * self.shuffled
        notes += ["by distance"] * (self.similarity == "distance")
        notes += [self.corruption.replace(":", " ")] * (self.x != "corruption")
        notes += [f"{self.normalization} Laplacian"] * (self.normalization != "none")
        notes += [f"up to {self.updates} updates"] * (self.updates > 1)
        return ", ".join(notes)

    def report(self, rows: list[Trial]) -> Report:
        """Summarise the trials."""
        best = report.at_best(rows)
        facts = {"study": self.name, "dataset": self.dataset, "unseen": self.unseen}
        facts |= {"similarity": self.similarity, "shuffled": self.shuffled}
        return Report(
            facts
            | {"lines": [line.facts() for line in summary(rows)]}
            | {f"best_{name}": [line.facts() for line in lines] for name, lines in best.items()},
            report.table(best, self.title, long=False).terminal(),
            report.table(best, long=True).markdown(),
        )

    def draw(self, rows: list[Trial]) -> None:
        """Draw the measures of the study."""
        report.draw(self, rows, self.title, self.plot_path)


@dataclass(kw_only=True)
class NoiseRobustness(DiffusionStudy):
    """Compare plain, tied, evolving and untied memories under noise, at several beta."""

    corruption: Corruptions = "noise:0.5,noise:1,noise:1.5,noise:2"
    level: Levels = "5,10,80"

    name = "noise-robustness"
    subject = "Diffusion under noise"
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
    subject = "Which part is diffused"
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
    subject = "Steps and strength of diffusion"
    example = "--steps 0,1,3 --eta 0.1"
    methods = staticmethod(three_values)
    x, line, column = "steps", "eta", "method"


@dataclass(kw_only=True)
class ModeComparison(DiffusionStudy):
    """Compare the six modes of diffusion on the three Laplacians, and their times."""

    name = "mode-comparison"
    subject = "Modes of diffusion"
    example = "--seeds 2"
    methods = staticmethod(modes)
    x, line = "mode", "normalization"
    measures = ("best_exact", "best_label", "milliseconds")


@dataclass(kw_only=True)
class LogitVsFeature(DiffusionStudy):
    """Compare diffused features, diffused association weights, and an eta that adapts."""

    level: Levels = "2.5,5,10,20,80"

    name = "logit-vs-feature"
    subject = "Diffused features and weights"
    example = "--level 5,20 --seeds 2"
    methods = staticmethod(logits)
    x, line, best = "level", "method", False
    measures = ("exact", "same_exact", "entropy_exact", "label", "same_label", "entropy_label")


STUDIES = (NoiseRobustness, Ablation, StepsSweep, ModeComparison, LogitVsFeature)
