"""The command ``hopcore experiment attention-entropy``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from hopcore.experiments.attention_entropy import report, trials
from hopcore.experiments.options import METHOD, Seeds, option
from hopcore.experiments.parsing import names
from hopcore.experiments.study import Report, ResumableStudy
from hopcore.experiments.tables import facts_of

ALL_TASKS, ALL_ATTENTIONS = ",".join(trials.TASKS), ",".join(trials.ATTENTIONS)
Tasks = Annotated[str, option(METHOD, f"What is learned, of {', '.join(trials.TASKS)}.")]
Attentions = Annotated[
    str, option(METHOD, f"How the heads attend, of {', '.join(trials.ATTENTIONS)}.")
]
Steps = Annotated[int, option(METHOD, "The number of training steps.", min=1)]


@dataclass(kw_only=True)
class AttentionEntropy(ResumableStudy):
    """Record the entropy and the energy of the heads of a small language model while it trains.

    The model is a decoder of the transformers library with random parameters; it needs the extras
    torch and transformers.
    """

    task: Tasks = ALL_TASKS
    attention: Attentions = ALL_ATTENTIONS
    steps: Steps = 120
    seeds: Seeds = 5

    name = "attention-entropy"
    example = "--task copy --seeds 1"
    row_label = "head at each recorded step"
    case = trials.Case
    row = trials.Trial

    def cases(self) -> list[trials.Case]:
        """Return all tasks with their attentions and seeds."""
        tasks = names(self.task, trials.TASKS, "task")
        attentions = names(self.attention, tuple(trials.ATTENTIONS), "attention")
        return trials.cases(tasks, attentions, self.seeds)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Train the decoder of each case."""
        return trials.run(cases, self.steps)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the heads before and after training."""
        lines = report.summary(rows)
        table = report.table(lines)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw accuracy, entropy and energy over the steps."""
        report.draw(rows, self.plot_path)
