"""The commands ``hopcore experiment capacity`` and ``hopcore experiment capacity-masked``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from hopcore import datasets
from hopcore.datasets._images import Images
from hopcore.experiments.capacity import masked, report, trials
from hopcore.experiments.options import METHOD, Data, Dataset, Memories, Sizes, option
from hopcore.experiments.parsing import integers, names, numbers, positive, unlike
from hopcore.experiments.study import Report, ResumableStudy, load_images

SOURCES = (trials.RANDOM, "digits", "mnist")
Sources = Annotated[str, option(METHOD, f"The stored patterns, of {', '.join(SOURCES)}.")]
Flipped = Annotated[
    float, option(METHOD, "The share of values of a pattern that are flipped.", min=0.0, max=1.0)
]
Betas = Annotated[str, option(METHOD, "Inverse temperatures.")]


@dataclass(kw_only=True)
class Capacity(ResumableStudy):
    """Count how many corrupted patterns each memory restores, and compare this with theorems.

    All memories store the same patterns, whose values are -1 and 1. MNIST is read from --data.
    """

    patterns: Sources = "random,digits"
    data: Data = None
    stored: Sizes = "3,10,30,100,300,1000"
    flipped: Flipped = 0.1
    seeds: Memories = 3

    name = "capacity"
    example = "--patterns random --stored 10,100"
    case = trials.Case
    row = trials.Trial
    row_label = "memory"

    @cached_property
    def images(self) -> dict[str, Images]:
        """The data sets that are needed, by their names."""
        wanted = names(self.patterns, SOURCES, "patterns")
        if self.data is not None and "mnist" not in wanted:
            raise ValueError(f"--data is for mnist, which --patterns {self.patterns} does not name")
        return {
            name: datasets.load(name, self.data if name == "mnist" else None)
            for name in wanted
            if name != trials.RANDOM
        }

    def cases(self) -> list[trials.Case]:
        """Return all memories with all patterns."""
        sources = names(self.patterns, SOURCES, "patterns")
        sizes = sorted(unlike(integers(self.stored, "stored"), "stored"))
        for images in self.images.values():
            datasets.choose(images, sizes[-1])  # raises before the work begins
        return trials.cases(sources, trials.NAMES, sizes, self.seeds)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Retrieve the patterns of each memory."""
        return trials.run(self.images, cases, self.flipped)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the shares."""
        lines = report.summary(rows)
        facts = {"study": self.name, "lines": [report.facts_of(line) for line in lines]}
        table = report.table(lines)
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the shares over the number of patterns."""
        report.draw(report.summary(rows), self.plot_path)


@dataclass(kw_only=True)
class CapacityMasked(ResumableStudy):
    """Count the images that come back from their upper half, by separation and normalisation."""

    dataset: Dataset = "mnist"
    data: Data = None
    stored: Sizes = "64,128,256,512,1024,2048,4096"
    beta: Betas = "1,0.1"
    seeds: Memories = 3

    name = "capacity-masked"
    example = "--dataset digits --stored 64,256"
    case = masked.Case
    row = masked.Trial
    row_label = "memory"

    @cached_property
    def source(self) -> Images:
        """The images of the data set."""
        return load_images(self)

    def cases(self) -> list[masked.Case]:
        """Return all variants with all sizes."""
        sizes = sorted(unlike(integers(self.stored, "stored"), "stored"))
        datasets.choose(self.source, sizes[-1])  # raises before the work begins
        betas = unlike(positive(numbers(self.beta, "beta"), "beta"), "beta")
        return masked.cases(betas, sizes, self.seeds)

    def rows_of_cases(self, cases: list[masked.Case]) -> Iterator[list[masked.Trial]]:
        """Retrieve the images of each memory."""
        return masked.run(self.source, cases)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the shares."""
        terminal = report.masked_table(rows, short=True).terminal()
        facts = {"study": self.name, "dataset": self.dataset}
        facts |= {"trials": [row._asdict() for row in rows]}
        return Report(facts, terminal, report.masked_table(rows).markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the lost shares over the number of images."""
        report.draw_masked(rows, self.plot_path)
