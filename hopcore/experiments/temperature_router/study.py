"""The command ``hopcore experiment temperature-router``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from hopcore.experiments.models.sequence_fitting import SequenceFitting
from hopcore.experiments.options import METHOD, TRAINING, Device, Seeds, TrainingBackend, option
from hopcore.experiments.parsing import names, numbers, unlike
from hopcore.experiments.study import Report, ResumableStudy
from hopcore.experiments.tables import facts_of
from hopcore.experiments.temperature_router import report, trials
from hopcore.experiments.temperature_router.model import ROUTERS
from hopcore.experiments.temperature_router.tasks import TASKS


@dataclass(kw_only=True)
class TemperatureRouter(ResumableStudy):
    """Measure whether it helps to send symbols to a hot or a cold layer by their entropy.

    The controls are a router that chooses places at random, with the same budget, a router that
    chooses by a hash of the symbols, the reversed router, and the same router with both layers at
    room temperature.
    """

    task: Annotated[str, option(METHOD, f"The tasks, of {', '.join(TASKS)}.")] = ",".join(TASKS)
    router: Annotated[str, option(METHOD, f"The routers, of {', '.join(ROUTERS)}.")] = ",".join(
        ROUTERS
    )
    budget: Annotated[
        str, option(METHOD, "The shares of the symbols that the cold layer gets.")
    ] = "0.25,0.5"
    steps: Annotated[int, option(TRAINING, "The number of training steps.", min=1)] = 150
    seeds: Seeds = 5
    backend: TrainingBackend = "torch"
    device: Device = None

    name = "temperature-router"
    example = "--task sums --seeds 1"
    row_label = "classifier"
    case = trials.Case
    row = trials.Trial

    def cases(self) -> list[trials.Case]:
        """Return all tasks with their routers, budgets and seeds."""
        tasks = names(self.task, tuple(TASKS), "task")
        budgets = unlike(numbers(self.budget, "budget"), "budget")
        for budget in budgets:
            if not 0.0 <= budget <= 1.0:
                raise ValueError(f"--budget must be in [0, 1], got {budget:g}")
        return trials.cases(tasks, names(self.router, ROUTERS, "router"), budgets, self.seeds)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Train the classifier of each case."""
        fitting = SequenceFitting(steps=self.steps, backend=self.backend, device=self.device)
        return trials.run(cases, fitting)

    def report(self, rows: list[Any]) -> Report:
        """Compare the routers with the random one."""
        lines = report.summary(rows)
        table = report.table(lines)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the accuracies."""
        report.draw(rows, self.plot_path)
