"""The command ``hopcore experiment completion``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from hopcore.experiments.completion import files, report, trials
from hopcore.experiments.completion.networks import Fitting
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
from hopcore.experiments.study import Report, ResumableStudy, load_images
from hopcore.experiments.tables import facts_of

ALL_METHODS = ",".join(trials.METHODS)
Methods = Annotated[str, option(METHOD, f"The methods to compare, of {', '.join(trials.METHODS)}.")]
Steps = Annotated[int, option(METHOD, "The steps of the energy transformer.", min=1)]
Rates = Annotated[
    str,
    option(TRAINING, "The learning rates, one of which is chosen on the validation images."),
]


@dataclass(kw_only=True)
class Completion(ResumableStudy):
    """Complete images of which half the patches are hidden: networks, memories and controls.

    An energy transformer is compared with the same network without one of its energies, with a
    transformer encoder layer, and with memories of the training images. The lines on the standard
    error say how the training goes.
    """

    dataset: Dataset = "digits"
    data: Data = None
    method: Methods = ALL_METHODS
    steps: Steps = 3
    epochs: Epochs = 120
    batch_size: Batch = 37
    learning_rate: Rates = "0.01"
    seeds: Seeds = 3
    backend: TrainingBackend = "torch"
    device: Device = None

    name = "completion"
    example = "--method nearest,average --seeds 1"
    case = trials.Case
    row = trials.Trial

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return f"Half-hidden {self.dataset}, completed"

    @cached_property
    def fitting(self) -> Fitting:
        """How networks are trained."""
        rates = positive(unlike(numbers(self.learning_rate, "learning-rate"), "learning-rate"),
                         "learning-rate")  # fmt: skip
        return Fitting(
            steps=self.steps, rates=tuple(rates), epochs=self.epochs, batch_size=self.batch_size,
            backend=self.backend, device=self.device,
        )  # fmt: skip

    def writes(self) -> dict[str, Path | None]:
        """Return the files of the study, with the steps and the images beside the trials."""
        steps, images = files.beside(self.csv_path)
        return super().writes() | {"--csv (steps)": steps, "--csv (images)": images}

    def cases(self) -> list[trials.Case]:
        """Check the options and return all methods with all seeds."""
        methods = names(self.method, trials.METHODS, "method")
        return trials.cases(one_of(self.dataset, SIDES, "data set"), methods, self.seeds)

    def measure(self) -> list[Any]:
        """Complete the images with the methods whose results are not in the files yet."""
        cases, fitting = self.cases(), self.fitting  # checked before the images are loaded
        outcomes = files.read(self.csv_path) if self.resume else []
        done = {outcome.trial[: len(trials.Case._fields)] for outcome in outcomes}
        left = [case for case in cases if case not in done]
        running = trials.run(
            left, load_images(self), fitting, say=lambda line: typer.echo(line, err=True)
        )
        for outcome in running:
            outcomes.append(outcome)
            files.write(outcomes, self.csv_path)
        return files.read(self.csv_path)  # rounded as in the file, and in its order

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
        """Name the files beside the CSV, too."""
        first, *others = super().notes()
        steps, images = files.beside(self.csv_path)
        beside = f"Wrote {steps}: every step down the energy; {images}: the images of the picture."
        return [first, beside, *others]
