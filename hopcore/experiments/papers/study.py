"""The command ``hopcore experiment papers``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from hopcore import datasets
from hopcore.datasets._images import Images
from hopcore.experiments.options import METHOD, Data, Dataset, option
from hopcore.experiments.papers import (
    denoising,
    emergent_minima,
    exponential_capacity,
    report,
    separation_loss,
)
from hopcore.experiments.papers.rows import Case, Paper, Trial
from hopcore.experiments.parsing import integers, one_of, unlike
from hopcore.experiments.study import Report, ResumableStudy, load_images

PAPERS: dict[str, Paper] = {
    "exponential-capacity": exponential_capacity.PAPER,
    "denoising": denoising.PAPER,
    "emergent-minima": emergent_minima.PAPER,
    "separation-loss": separation_loss.PAPER,
}
"""The papers by their names."""

Name = Annotated[str, option(METHOD, f"The paper, one of {', '.join(PAPERS)}.")]
Sizes = Annotated[
    str | None,
    option(METHOD, "Dimensions, numbers of patterns or lengths of contexts, as the paper has them; "
           "those of the page if not given."),
]  # fmt: skip
Repeats = Annotated[
    int | None,
    option(METHOD, "The number of seeds, 0, 1, ...; that of the page if not given.", min=1),
]


@dataclass(kw_only=True)
class Papers(ResumableStudy):
    """Measure what a paper reports, beside its formula and with a control.

    Only separation-loss needs images, those of --dataset.
    """

    paper: Name = "exponential-capacity"
    size: Sizes = None
    seeds: Repeats = None
    dataset: Dataset = "digits"
    data: Data = None

    name = "papers"
    example = "--paper emergent-minima --size 5 --seeds 1"
    case = Case
    row = Trial
    row_label = "measured number"

    @cached_property
    def measured(self) -> Paper:
        """The paper that was named."""
        found = PAPERS[one_of(self.paper, PAPERS, "paper")]
        if not found.images and (self.data is not None or self.dataset != "digits"):
            raise ValueError(f"--paper {self.paper} needs no images: omit --dataset and --data")
        return found

    @cached_property
    def images(self) -> Images | None:
        """The images that are stored, if the paper stores any."""
        return load_images(self) if self.measured.images else None

    @property
    def stem(self) -> str:
        """The name of the files."""
        return f"{self.name}-{self.paper}"

    def cases(self) -> list[Case]:
        """Return all tasks of the paper with all sizes and seeds."""
        paper = self.measured
        sizes = list(paper.sizes)
        if self.size is not None:
            sizes = sorted(unlike(integers(self.size, "size"), "size"))
        lowest, highest = paper.range
        for size in sizes:
            if not lowest <= size <= highest:
                raise ValueError(
                    f"size must be from {lowest} to {highest} for --paper {self.paper}, got {size}"
                )
        if self.images is not None:
            datasets.choose(self.images, sizes[-1])  # raises before the work begins
        return paper.cases(self.paper, sizes, self.seeds or paper.seeds)

    def rows_of_cases(self, cases: list[Case]) -> Iterator[list[Trial]]:
        """Measure the cases."""
        return (self.measured.measure(case, self.images) for case in cases)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the numbers."""
        table = self.measured.table(rows)
        facts = {"study": self.name, "paper": self.paper, "columns": [*table.left, *table.right]}
        return Report(facts | {"lines": table.rows}, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the numbers."""
        title = self.measured.table(rows).title
        report.draw(self.measured, rows, title[:1].upper() + title[1:], self.plot_path)
