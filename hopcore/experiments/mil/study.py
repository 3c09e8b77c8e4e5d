"""What the studies of bags share: their options, their tables and their files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from rich.console import Group

from hopcore.experiments.mil import report, trials
from hopcore.experiments.mil.layers import LAYERS
from hopcore.experiments.options import (
    METHOD,
    TRAINING,
    Device,
    Epochs,
    Resume,
    Seeds,
    TrainingBackend,
    option,
    tracked,
)
from hopcore.experiments.parsing import names, numbers, positive, unlike
from hopcore.experiments.study import Report, Study, read_rows, write_text
from hopcore.experiments.tables import facts_of
from hopcore.files._csv import to_csv

COMPARED = "mean,uniform,pooling,gated,deep-set,multihead,max"
"""The layers that studies compare by default: pooling, its control and layers of others."""

Layers = Annotated[str, option(METHOD, f"The layers to compare: {', '.join(LAYERS)}.")]
Bags = Annotated[str, option(METHOD, "The numbers of training bags.")]
Rates = Annotated[
    str, option(TRAINING, "The learning rates, one of which the validation bags choose.")
]
Transfer = Annotated[
    bool,
    option(
        METHOD, "Train with bags of the first kind only, and test the same classifiers on bags of "
        "each kind.", "--transfer",
    ),
]  # fmt: skip


@dataclass(kw_only=True)
class BagStudy(Study):
    """Bags, classified with several layers.

    Validation bags choose the learning rate and the number of epochs. The paired differences of
    pooling and the other layers are written beside the CSV, to NAME-differences.csv.
    """

    layer: Layers = COMPARED
    learning_rate: Rates = "0.003,0.01"
    epochs: Epochs = 30
    patience: Annotated[
        int,
        option(
            TRAINING, "End a training when the loss of the validation bags has not fallen for so "
            "many epochs; 0: train for all epochs.", min=0,
        ),
    ] = 0  # fmt: skip
    seeds: Seeds = 10
    first_seed: Annotated[int, option(TRAINING, "The first seed, instead of 0.", min=0)] = 0
    backend: TrainingBackend = "torch"
    device: Device = None
    resume: Resume = False

    row = trials.Trial
    heading: ClassVar[str]
    width: ClassVar[int] = 32
    batch_size: ClassVar[int] = 64

    @property
    def axis(self) -> str:
        """What distinguishes the tasks."""
        return "data"

    @property
    def stem(self) -> str:
        """The name of the files of the study, without a suffix."""
        kind = self.kind
        return f"{self.name}-{kind}" if kind else self.name

    @property
    def kind(self) -> str:
        """What distinguishes this run from the usual one of the study, for names of files."""
        return ""

    def splits(self) -> tuple[trials.Splits, int]:
        """Check the options; return the splits of a seed and the number of their trials."""
        raise NotImplementedError

    def fitting(self, **settings: Any) -> trials.Fitting:
        """Return how classifiers are trained."""
        rates = positive(unlike(numbers(self.learning_rate, "rate"), "rate"), "rate")
        return trials.Fitting(
            width=self.width, batch_size=self.batch_size, rates=rates, epochs=self.epochs,
            patience=self.patience, backend=self.backend, device=self.device, **settings,
        )  # fmt: skip

    def outcomes(self) -> tuple[Iterable[trials.Trial], int]:
        """Train every layer on every split."""
        splits, count = self.splits()
        layers = names(self.layer, LAYERS, "layer")
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        known = read_rows(self.csv_path, self.row) if self.resume else []
        run = trials.run_trials(splits, layers, self.fitting(), seeds=seeds, known=known)
        return run, self.seeds * count * len(layers)

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return ", ".join(filter(None, (self.name, self.kind)))

    @property
    def differences_path(self) -> Path:
        """Where the paired differences are written."""
        return self.csv_path.with_stem(f"{self.csv_path.stem}-differences")

    def writes(self) -> dict[str, Path | None]:
        """Return the files of the study, with that of the differences."""
        return super().writes() | {"--csv (differences)": self.differences_path}

    def measure(self) -> list[Any]:
        """Measure all trials, and write the CSV files after each of them."""
        rows: list[Any] = []
        for row in tracked(*self.outcomes()):
            rows.append(row)
            self.write_csv(rows)
        return read_rows(self.csv_path, self.row)  # rounded as in the file, like the summary

    def write_csv(self, rows: list[Any]) -> None:
        """Write the trials and the differences."""
        super().write_csv(rows)
        text = to_csv(report.differences(rows), report.Difference)
        write_text(self.differences_path, text)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the trials, and compare pooling with the other layers."""
        lines, found = report.summary(rows), report.differences(rows)
        facts = {
            "study": self.name,
            "lines": [line.facts() for line in lines],
            "differences": [facts_of(one) for one in found],
        }
        shown = [report.table(self.axis, lines, self.title)]
        if found:
            shown.append(report.table_of_differences(self.axis, found))
        markdown = "\n".join(one.markdown() for one in shown)
        return Report(facts, Group(*(one.terminal() for one in shown)), markdown)

    def draw(self, rows: list[Any]) -> None:
        """Draw accuracy and AUC over the tasks."""
        joined = self.axis != "data"
        lines = report.summary(rows)
        report.draw(self.heading, self.axis, lines, self.plot_path, joined=joined)

    def notes(self) -> list[str]:
        """Return lines that say where the results are."""
        return [*super().notes(), f"Wrote {self.differences_path}: the paired differences."]


def varying(**lists: list[Any]) -> str:
    """Return the name of the list that has several values, or the first name.

    Examples
    --------
    >>> from hopcore.experiments.mil.study import varying
    >>> varying(bags=[384], size=[16, 64])
    'size'
    """
    several = [name for name, values in lists.items() if len(values) > 1]
    if len(several) > 1:
        raise ValueError(
            f"one option at most may have several values, got them for {' and '.join(several)}"
        )
    return several[0] if several else next(iter(lists))
