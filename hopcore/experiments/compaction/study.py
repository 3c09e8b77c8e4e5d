"""The command ``hopcore experiment compact``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

from hopcore import datasets
from hopcore.experiments.compaction import report, trials
from hopcore.experiments.compaction.sources import ASKED, DIGITS, KEYS, PATCHES, SOURCES, Sources
from hopcore.experiments.models.sequence_fitting import SequenceFitting
from hopcore.experiments.options import METHOD, TRAINING, Data, Memories, TrainingBackend, option
from hopcore.experiments.parsing import integers, names, numbers, positive, unlike
from hopcore.experiments.study import Report, ResumableStudy
from hopcore.experiments.tables import facts_of


@dataclass(kw_only=True)
class Compact(ResumableStudy):
    """Compare a compacted memory with other memories of as many patterns, and with controls.

    Measured is how far associations move, on queries that are not in the memory. MNIST is read from
    --data; keys come from a small transformer that is trained first.
    """

    patterns: Annotated[str, option(METHOD, f"The stored patterns, of {', '.join(SOURCES)}.")] = (
        f"{DIGITS},{KEYS}"
    )
    data: Data = None
    stored: Annotated[int, option(METHOD, "The number of stored patterns.", min=2)] = 1024
    m: Annotated[str, option(METHOD, "The numbers of patterns of the smaller memories.", "--m")] = (
        "16,64,256"
    )
    effective: Annotated[
        str,
        option(
            METHOD, "Over how many patterns a query spreads its weights: beta is chosen so that "
            "the median of the effective number of patterns is this.",
        ),
    ] = "4,64,512,1000"  # fmt: skip
    seeds: Memories = 5
    steps: Annotated[
        int, option(TRAINING, "The number of training steps of the transformer.", min=1)
    ] = 300
    backend: TrainingBackend = "torch"

    name = "compact"
    example = "--patterns digits --m 32 --seeds 2"
    case = trials.Case
    row = trials.Trial
    row_label = "smaller memory"

    @cached_property
    def sources(self) -> Sources:
        """Where the stored patterns come from."""
        wanted = names(self.patterns, SOURCES, "patterns")
        if self.data is not None and PATCHES not in wanted:
            raise ValueError(f"--data is for {PATCHES}, which --patterns {self.patterns} lacks")
        found = Sources(
            stored=self.stored,
            digits=datasets.digits() if DIGITS in wanted else None,
            mnist=datasets.load("mnist", self.data) if PATCHES in wanted else None,
            fitting=SequenceFitting(steps=self.steps, backend=self.backend),
        )
        if found.digits is not None:
            datasets.choose(found.digits, self.stored + ASKED)  # raises before the work begins
        return found

    def cases(self) -> list[trials.Case]:
        """Return all sources with all seeds."""
        _ = self.sources, self.sizes, self.spreads
        return trials.cases(names(self.patterns, SOURCES, "patterns"), self.seeds)

    @cached_property
    def sizes(self) -> list[int]:
        """The numbers of patterns of the smaller memories."""
        found = sorted(unlike(integers(self.m, "m"), "m"))
        if not 1 <= found[0] <= found[-1] <= self.stored:
            raise ValueError(f"--m must be between 1 and --stored {self.stored}, got {self.m}")
        return found

    @cached_property
    def spreads(self) -> list[float]:
        """The effective numbers of patterns."""
        found = unlike(positive(numbers(self.effective, "effective"), "effective"), "effective")
        if not 1.0 < min(found) <= max(found) < self.stored:
            raise ValueError(
                f"--effective must be above 1 and below --stored {self.stored}, "
                f"got {self.effective}"
            )
        return found

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Measure the smaller memories of each case."""
        return trials.run(cases, self.sources, self.spreads, self.sizes)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the errors and the certificates."""
        lines = report.summary(rows)
        terminal = report.table(lines, narrow=True).terminal()
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, terminal, report.table(lines).markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the errors."""
        report.draw(report.summary(rows), self.plot_path)
