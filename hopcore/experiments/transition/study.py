"""The commands ``hopcore experiment transition`` and ``hopcore experiment transition-states``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from hopcore.datasets._images import Images
from hopcore.experiments.data.smaller_images import shrink_to
from hopcore.experiments.options import METHOD, OUTPUT, Data, Dataset, Memories, Sizes, option
from hopcore.experiments.parsing import integers, names, unlike
from hopcore.experiments.study import (
    Report,
    ResumableStudy,
    load_images,
    read_rows,
    write_text,
)
from hopcore.experiments.transition import report, states, trials
from hopcore.files._csv import to_csv


@dataclass(kw_only=True)
class MemoryStudy(ResumableStudy):
    """Memories of several sizes, drawn from the images of a data set."""

    dataset: Dataset = "digits"
    data: Data = None
    stored: Sizes = "300,1000"
    seeds: Memories = 5

    @cached_property
    def source(self) -> Images:
        """The images of the data set."""
        return load_images(self)

    @property
    def sizes(self) -> list[int]:
        """The sizes of the memories."""
        return sorted(unlike(integers(self.stored, "stored"), "stored"))


@dataclass(kw_only=True)
class Transition(MemoryStudy):
    """Compare where patterns appear with theory, over the number of patterns.

    With --patterns, a second picture beside --plot shows what predicts where a pattern appears.
    """

    stored: Sizes = "10,30,100,300,1000"
    images: Annotated[str, option(METHOD, f"The stored patterns: {', '.join(trials.IMAGES)}.")] = (
        ",".join(trials.IMAGES)
    )
    followed: Annotated[
        int, option(METHOD, "The largest number of patterns that are followed.", min=1)
    ] = 512
    patterns: Annotated[
        Path | None,
        option(OUTPUT, "A table of every pattern of the largest memory of seed 0: .csv."),
    ] = None

    name = "transition"
    example = "--stored 10,100 --seeds 2"
    case = trials.Place
    row = trials.Trial
    row_label = "memory"

    @property
    def kinds(self) -> list[str]:
        """What is done to the images."""
        return names(self.images, trials.IMAGES, "images")

    def writes(self) -> dict[str, Path | None]:
        """Return the files of the study, with the patterns and their picture if asked for."""
        own = {} if self.patterns is None else {"--plot (patterns)": self.beside}
        return super().writes() | {"--patterns": self.patterns} | own

    @property
    def beside(self) -> Path:
        """Where the picture of the patterns is written."""
        return self.plot_path.with_stem(f"{self.plot_path.stem}-patterns")

    def cases(self) -> list[trials.Place]:
        """Return all memories."""
        count = len(self.source.pixels)
        return trials.places(self.dataset, self.kinds, self.sizes, self.seeds, count)

    def rows_of_cases(self, cases: list[trials.Place]) -> Iterator[list[trials.Trial]]:
        """Follow the patterns of each memory; write those of the first kind and seed."""
        for trial, patterns in trials.run(self.source, cases, self.followed):
            yield [trial]
            if self.patterns is not None and (trial.images, trial.seed) == (self.kinds[0], 0):
                write_text(self.patterns, to_csv(patterns, trials.Pattern))

    def report(self, rows: list[Any]) -> Report:
        """Summarise where patterns appear."""
        facts = {"study": self.name, "dataset": self.dataset} | report.facts(rows)
        table = report.place_table(rows, short=True)
        return Report(facts, table.terminal(), report.to_markdown(rows))

    def draw(self, rows: list[Any]) -> None:
        """Draw the transition over the number of patterns, and the patterns if asked for."""
        report.draw(rows, self.plot_path)
        if self.patterns is not None:
            report.draw_patterns(read_rows(self.patterns, trials.Pattern), self.beside)


@dataclass(kw_only=True)
class TransitionStates(MemoryStudy):
    """Describe the states at the betas suggested for means of patterns."""

    side: Annotated[
        int | None,
        option(
            METHOD, "Average the images to so many pixels a side before they are stored.", min=1
        ),
    ] = None

    name = "transition-states"
    example = "--stored 300 --seeds 2"
    case = states.Memory
    row = states.Trial
    row_label = "memory"

    @cached_property
    def source(self) -> Images:
        """The images of the data set, averaged to fewer pixels if asked for."""
        images = load_images(self)
        return images if self.side is None else shrink_to(images, self.side)

    @property
    def kind(self) -> str:
        """The name of the images in the CSV, with their size if it was changed."""
        return self.dataset if self.side is None else f"{self.dataset}-{self.side}x{self.side}"

    def cases(self) -> list[states.Memory]:
        """Return all memories and goals."""
        _ = self.source  # raises before the work begins
        return states.memories(self.kind, self.sizes, self.seeds)

    def rows_of_cases(self, cases: list[states.Memory]) -> Iterator[list[states.Trial]]:
        """Find the states of each memory."""
        return ([trial] for trial in states.run(self.source, cases))

    def report(self, rows: list[Any]) -> Report:
        """Summarise the states."""
        facts = {"study": self.name, "dataset": self.kind}
        table = states.table(rows).markdown()
        return Report(facts | {"trials": [row._asdict() for row in rows]}, table, table)

    def draw(self, rows: list[Any]) -> None:
        """Draw states of the largest memory of seed 0."""
        largest = next(one for one in self.cases() if one.patterns == self.sizes[-1])
        states.draw(self.source, largest, self.plot_path)
