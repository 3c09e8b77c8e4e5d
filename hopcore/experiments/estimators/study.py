"""The command ``hopcore experiment estimators``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from hopcore import datasets
from hopcore.experiments.estimators import report, trials
from hopcore.experiments.options import INPUT, METHOD, Data, option
from hopcore.experiments.parsing import names
from hopcore.experiments.study import Report, ResumableStudy
from hopcore.experiments.tables import facts_of

ALL_TASKS = ",".join(trials.DATA)
Tasks = Annotated[str, option(METHOD, f"What is measured, of {', '.join(trials.DATA)}.")]
Splits = Annotated[
    int, option(METHOD, "How often the rows are divided, with the seeds 0, 1, ...", min=1)
]
Count = Annotated[
    int, option(INPUT, "With --data, the number of images of MNIST that a seed draws.", min=30)
]


@dataclass(kw_only=True)
class Estimators(ResumableStudy):
    """Compare the estimators of hopcore.sklearn with those of scikit-learn.

    With --data, imputation and classification are measured on images of MNIST as well.
    """

    task: Tasks = ALL_TASKS
    data: Data = None
    images: Count = 2000
    seeds: Splits = 5

    name = "estimators"
    example = "--task regress --seeds 2"
    case = trials.Case
    row = trials.Trial

    @cached_property
    def mnist(self) -> datasets.Images | None:
        """The images of MNIST with their labels, or None without a folder."""
        if self.data is None:
            return None
        found = datasets.mnist(self.data)
        if found.labels is None:
            raise ValueError(f"{self.data} holds no labels of its images (...-labels-idx1-ubyte)")
        if self.images > len(found.pixels):
            raise ValueError(f"--images {self.images}: {self.data} has {len(found.pixels)} images")
        return found

    def cases(self) -> list[trials.Case]:
        """Return all tasks with their data sets and estimators."""
        images = 0 if self.mnist is None else self.images
        return trials.cases(names(self.task, trials.DATA, "task"), self.seeds, images)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Tune, fit and apply each estimator."""
        return trials.run(cases, self.mnist)

    def report(self, rows: list[Any]) -> Report:
        """Summarise errors and times."""
        lines = report.summary(rows)
        table = report.table(lines)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the errors."""
        report.draw(report.summary(rows), self.plot_path)
