"""The command ``hopcore experiment estimators``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from hopcore.experiments.estimators import report, trials
from hopcore.experiments.options import METHOD, option
from hopcore.experiments.parsing import names
from hopcore.experiments.study import Report, ResumableStudy
from hopcore.experiments.tables import facts_of

ALL_TASKS = ",".join(trials.DATA)
Tasks = Annotated[str, option(METHOD, f"What is measured, of {', '.join(trials.DATA)}.")]
Splits = Annotated[
    int, option(METHOD, "How often the rows are divided, with the seeds 0, 1, ...", min=1)
]


@dataclass(kw_only=True)
class Estimators(ResumableStudy):
    """Compare the estimators of hopcore.sklearn with those of scikit-learn."""

    task: Tasks = ALL_TASKS
    seeds: Splits = 5

    name = "estimators"
    example = "--task regress --seeds 2"
    case = trials.Case
    row = trials.Trial

    def cases(self) -> list[trials.Case]:
        """Return all tasks with their data sets and estimators."""
        return trials.cases(names(self.task, trials.DATA, "task"), self.seeds)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Tune, fit and apply each estimator."""
        return trials.run(cases)

    def report(self, rows: list[Any]) -> Report:
        """Summarise errors and times."""
        lines = report.summary(rows)
        table = report.table(lines)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the errors."""
        report.draw(report.summary(rows), self.plot_path)
