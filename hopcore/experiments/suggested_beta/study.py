"""The command ``hopcore experiment suggested-beta``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from hopcore.experiments.options import (
    METHOD,
    SIMILARITIES,
    Corruptions,
    Similarities,
    Sizes,
    option,
)
from hopcore.experiments.parsing import integers, names, unlike
from hopcore.experiments.study import Report
from hopcore.experiments.suggested_beta import report, trials
from hopcore.experiments.tables import facts_of
from hopcore.experiments.transition.study import MemoryStudy


@dataclass(kw_only=True)
class SuggestedBeta(MemoryStudy):
    """Compare suggested inverse temperatures with the best of a grid."""

    stored: Sizes = "100,1000"
    corruption: Corruptions = "noise:0.3,noise:0.6,noise:1.0,half"
    similarity: Similarities = "dot"
    updates: Annotated[str, option(METHOD, "The largest numbers of updates of a query.")] = "1,100"

    name = "suggested-beta"
    example = "--stored 100 --seeds 2"
    case = trials.Case
    row = trials.Trial
    row_label = "retrieval"

    def cases(self) -> list[trials.Case]:
        """Return all memories with their queries."""
        corruptions = unlike(self.corruption.split(","), "corruption")
        updates = sorted(unlike(integers(self.updates, "updates"), "updates"))
        compared: Any = names(self.similarity, SIMILARITIES, "similarity")
        return trials.cases(self.dataset, self.sizes, corruptions, compared, updates, self.seeds)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Retrieve at every inverse temperature."""
        return trials.run(self.source, cases)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the success of each rule."""
        lines = report.summary(rows)
        facts = {"study": self.name, "dataset": self.dataset, "lines": [*map(facts_of, lines)]}
        table = report.table(lines)
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw success over the inverse temperature."""
        report.draw(rows, self.plot_path)
