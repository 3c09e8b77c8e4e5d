"""The command ``hopcore experiment completion``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from hopcore.experiments.completion import report, trials
from hopcore.experiments.completion.networks import Descent, Fitting
from hopcore.experiments.completion.patches import SIDES
from hopcore.experiments.options import (
    METHOD,
    TRAINING,
    Batch,
    Data,
    Dataset,
    Device,
    Epochs,
    Seeds,
    TrainingBackend,
    option,
)
from hopcore.experiments.parsing import names, numbers, one_of, positive, unlike
from hopcore.experiments.study import Report, Study, load_images, write_text
from hopcore.experiments.tables import facts_of
from hopcore.files._csv import to_csv

ALL_METHODS = ",".join(trials.METHODS)
Methods = Annotated[str, option(METHOD, f"The methods to compare, of {', '.join(trials.METHODS)}.")]
Steps = Annotated[int, option(METHOD, "The steps of the energy transformer.", min=1)]
Rates = Annotated[
    str,
    option(TRAINING, "The learning rates, one of which is chosen on the validation images."),
]


@dataclass(kw_only=True)
class Completion(Study):
    """Complete images of which half the patches are hidden: networks, memories and controls.

    An energy transformer is compared with the same network without one of its energies, with a
    transformer encoder layer, and with memories of the training images. The lines on the standard
    error say how the training goes.
    """

    dataset: Dataset = "digits"
    data: Data = None
    method: Methods = ALL_METHODS
    steps: Steps = 6
    epochs: Epochs = 60
    batch_size: Batch = 64
    learning_rate: Rates = "0.003,0.01"
    seeds: Seeds = 3
    backend: TrainingBackend = "torch"
    device: Device = None

    name = "completion"
    example = "--method energy-transformer,nearest --seeds 1"
    row = trials.Trial

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return f"{self.name}, {self.dataset}"

    @cached_property
    def fitting(self) -> Fitting:
        """How networks are trained."""
        rates = positive(unlike(numbers(self.learning_rate, "learning-rate"), "learning-rate"),
                         "learning-rate")  # fmt: skip
        return Fitting(
            steps=self.steps, rates=tuple(rates), epochs=self.epochs, batch_size=self.batch_size,
            backend=self.backend, device=self.device,
        )  # fmt: skip

    @property
    def steps_path(self) -> Path:
        """Where the CSV of the steps down the energy is written."""
        return self.csv_path.with_stem(f"{self.csv_path.stem}-steps")

    def writes(self) -> dict[str, Path | None]:
        """Return the files of the study, with the steps beside the trials."""
        return super().writes() | {"--csv (steps)": self.steps_path}

    def measure(self) -> list[Any]:
        """Complete the images with each method; write the trials and the steps."""
        methods = names(self.method, trials.METHODS, "method")
        one_of(self.dataset, SIDES, "data set")
        fitting = self.fitting  # checked before the images are loaded
        running = trials.run(
            self.dataset, load_images(self), methods, fitting, seeds=self.seeds,
            say=lambda line: typer.echo(line, err=True),
        )  # fmt: skip
        outcomes = list(running)
        self.write_csv([outcome.trial for outcome in outcomes])
        steps = [step for outcome in outcomes for step in outcome.path]
        write_text(self.steps_path, to_csv(steps, Descent))
        return outcomes

    def report(self, rows: list[Any]) -> Report:
        """Summarise the trials."""
        lines = report.summary([outcome.trial for outcome in rows])
        table = report.table(lines, self.title)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw completed images, and the energy over the steps."""
        report.draw(self.title, rows, self.plot_path, self.steps)

    def notes(self) -> list[str]:
        """Name the CSV of all steps, too."""
        first, *others = super().notes()
        return [first, f"Wrote {self.steps_path}: every step down the energy.", *others]
