"""The command ``hopcore experiment attention-analysis``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from hopcore.experiments.attention_analysis import report, trials
from hopcore.experiments.data.sequences import TASKS
from hopcore.experiments.options import METHOD, TRAINING, Device, Seeds, TrainingBackend, option
from hopcore.experiments.parsing import names
from hopcore.experiments.study import Report, ResumableStudy
from hopcore.experiments.tables import facts_of


@dataclass(kw_only=True)
class AttentionAnalysis(ResumableStudy):
    """Compare the heads of a trained transformer of Hopfield layers with those of two controls.

    The controls are the same transformer before its training, and one that is trained with shuffled
    answers.
    """

    task: Annotated[str, option(METHOD, f"The tasks, of {', '.join(TASKS)}.")] = ",".join(TASKS)
    arm: Annotated[
        str, option(METHOD, f"The transformers, of {', '.join(trials.ARMS)}.", "--arm")
    ] = ",".join(trials.ARMS)
    gap: Annotated[
        int,
        option(METHOD, "The noise symbols between what is remembered and what asks.", min=0),
    ] = 8
    layers: Annotated[int, option(METHOD, "The number of encoder layers.", min=1)] = 2
    heads: Annotated[int, option(METHOD, "The number of heads of a layer.", min=1)] = 4
    d_model: Annotated[int, option(METHOD, "The number of features of a symbol.", min=1)] = 64
    steps: Annotated[int, option(TRAINING, "The number of training steps.", min=1)] = 300
    seeds: Seeds = 5
    backend: TrainingBackend = "torch"
    device: Device = None

    name = "attention-analysis"
    example = "--task copy --seeds 1"
    row_label = "head"
    case = trials.Case
    row = trials.Trial

    def cases(self) -> list[trials.Case]:
        """Return all tasks with their arms and seeds."""
        tasks = names(self.task, tuple(TASKS), "task")
        return trials.cases(tasks, names(self.arm, trials.ARMS, "arm"), self.seeds)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Train the transformer of each case."""
        fitting = trials.Fitting(
            gap=self.gap, width=self.d_model, hidden=2 * self.d_model, layers=self.layers,
            num_heads=self.heads, steps=self.steps, backend=self.backend, device=self.device,
        )  # fmt: skip
        return trials.run(cases, fitting)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the heads of each layer."""
        lines = report.summary(rows)
        table = report.table(lines)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the effective number of each head."""
        report.draw(rows, self.plot_path)
