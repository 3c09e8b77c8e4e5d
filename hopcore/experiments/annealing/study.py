"""The commands ``hopcore experiment annealing`` and ``hopcore experiment temperature-floor``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from hopcore.datasets._images import Images
from hopcore.experiments.annealing import (
    distributions,
    gradients,
    report,
    temperature_floor,
    trials,
)
from hopcore.experiments.data.words import words
from hopcore.experiments.options import (
    INPUT,
    METHOD,
    TRAINING,
    Batch,
    Data,
    Dataset,
    Device,
    Epochs,
    Rate,
    Seeds,
    TrainingBackend,
    option,
    tracked,
)
from hopcore.experiments.parsing import integers, names, one_of, unlike
from hopcore.experiments.study import Report, Study, load_images, read_rows, write_text
from hopcore.experiments.tables import facts_of
from hopcore.files._csv import to_csv
from hopcore.training._config import PATHS

SCHEDULES: dict[str, Callable[..., list[trials.Arm]]] = {
    "schedules": trials.schedules,
    "survival": trials.survival,
    "sizes": trials.sizes,
    "gradients": trials.annealed,
}

FLOORS: dict[str, Callable[..., list[trials.Arm]]] = {
    "fixes": temperature_floor.fixes,
    "causes": temperature_floor.causes,
    "cures": temperature_floor.cures,
    "jump": temperature_floor.jump,
}

ArmNames = Annotated[
    str | None, option(METHOD, "Train only these arms of the study; default: all.", "--arm")
]


@dataclass(kw_only=True)
class ArmStudy(Study):
    """Classifiers of images that differ in one thing, trained on the same images and seeds."""

    study: str
    dataset: Dataset = "digits"
    data: Data = None
    arm: ArmNames = None
    batch_size: Batch = 32
    seeds: Seeds = 5
    backend: TrainingBackend = "torch"
    device: Device = None

    row = trials.Trial

    def all_arms(self) -> list[trials.Arm]:
        """Check the options and return all arms."""
        raise NotImplementedError

    @cached_property
    def arms(self) -> list[trials.Arm]:
        """The arms that are trained."""
        every = self.all_arms()
        if self.arm is None:
            return every
        wanted = names(self.arm, list(dict.fromkeys(one.name for one in every)), "arm")
        return [one for one in every if one.name in wanted]

    @property
    def stem(self) -> str:
        """The command and the part of the study."""
        return f"{self.name}-{self.study}"

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return f"{self.name}: {self.study}, {self.dataset}"

    def writes(self) -> dict[str, Path | None]:
        """Return the files of the study, with the epochs beside the trials."""
        return super().writes() | {"--csv (epochs)": self.epochs_path}

    @property
    def epochs_path(self) -> Path:
        """Where the CSV of all epochs is written."""
        return self.csv_path.with_stem(f"{self.csv_path.stem}-epochs")

    def samples(self) -> Images:
        """Return what is classified."""
        return load_images(self)

    def measure(self) -> list[Any]:
        """Train every arm; write the trials and the means of their epochs."""
        arms = self.arms  # checked before the images are loaded
        training = trials.run_trials(
            self.dataset, self.samples(), arms, seeds=self.seeds, backend=self.backend,
            device=self.device,
        )  # fmt: skip
        outcomes = list(tracked(training, self.seeds * len(arms)))
        self.write_csv([outcome.trial for outcome in outcomes])
        write_text(self.epochs_path, to_csv(report.points(outcomes), report.Point))
        rounded = read_rows(self.csv_path, trials.Trial)  # the table is that of the file
        return [one._replace(trial=row) for one, row in zip(outcomes, rounded, strict=True)]

    def report(self, rows: list[Any]) -> Report:
        """Summarise the trials."""
        lines = report.summary([outcome.trial for outcome in rows])
        table = report.table(lines, self.title)
        return Report(self.facts(map(facts_of, lines)), table.terminal(), table.markdown())

    def facts(self, lines: Any) -> dict[str, Any]:
        """Return what JSON shows."""
        return {
            "command": self.name, "study": self.study, "dataset": self.dataset,
            "lines": list(lines),
        }  # fmt: skip

    def draw(self, rows: list[Any]) -> None:
        """Draw accuracies and temperatures over the epochs."""
        report.draw(self.title, report.points(rows), self.plot_path)

    def notes(self) -> list[str]:
        """Name the CSV of all epochs, too."""
        first, *others = super().notes()
        return [first, f"Wrote {self.epochs_path}: every epoch.", *others]


@dataclass(kw_only=True)
class Annealing(ArmStudy):
    """Find the best schedule of the temperature, and what annealing needs."""

    study: Annotated[str, option(METHOD, f"The part of the study: {', '.join(SCHEDULES)}.")] = (
        "schedules"
    )
    epochs: Epochs = 40
    rate: Rate = "cosine"

    name = "annealing"
    example = "--study survival --seeds 2"

    def all_arms(self) -> list[trials.Arm]:
        """Return the arms of the chosen part of the study."""
        one_of(self.study, SCHEDULES, "study")
        return SCHEDULES[self.study](epochs=self.epochs, batch_size=self.batch_size, rate=self.rate)

    def run(self) -> None:
        """Run the study, or the measurement of gradients."""
        if self.study == "gradients" and type(self) is Annealing:
            Gradients(**vars(self)).run()
        else:
            super().run()


@dataclass(kw_only=True)
class Gradients(Annealing):
    """The gradients of trained classifiers over the temperature."""

    row = gradients.Gradient
    row_label = "measurement"

    def measure(self) -> list[Any]:
        """Train every arm and measure its gradients."""
        arms = self.arms  # checked before the images are loaded
        measuring = gradients.measure(
            self.dataset, load_images(self), arms, seeds=self.seeds, backend=self.backend,
            device=self.device,
        )  # fmt: skip
        count = self.seeds * len(arms) * len(PATHS) * len(gradients.TEMPERATURES)
        self.write_csv(list(tracked(measuring, count)))
        return read_rows(self.csv_path, self.row)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the measurements."""
        table = gradients.table(rows, self.title)
        facts = self.facts(row._asdict() for row in rows)
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the norms over the temperature."""
        gradients.draw(self.title, rows, self.plot_path)

    def notes(self) -> list[str]:
        """Name the CSV and the picture."""
        return Study.notes(self)


@dataclass(kw_only=True)
class TemperatureFloor(ArmStudy):
    """Measure whether classifiers that train on the soft path collapse on the hard path."""

    dataset: Annotated[
        str,
        option(
            INPUT, "What is classified: digits (they come with scikit-learn), mnist (see --data), "
            "or words, whose letters are reconstructed.",
        ),
    ] = "digits"  # fmt: skip
    study: Annotated[str, option(METHOD, f"The part of the study: {', '.join(FLOORS)}.")] = "fixes"
    epochs: Annotated[str, option(TRAINING, "The number of passes over the training images.")] = (
        "30,120"
    )

    name = "temperature-floor"
    example = "--study causes --epochs 30"

    def report(self, rows: list[Any]) -> Report:
        """Summarise the trials; those of ``cures`` as distributions, since many collapse."""
        if self.study != "cures":
            return super().report(rows)
        lines = distributions.summary([outcome.trial for outcome in rows])
        table = distributions.table(lines, self.title)
        facts = self.facts(line.facts() for line in lines)
        return Report(facts, table.terminal(), table.markdown())

    def all_arms(self) -> list[trials.Arm]:
        """Return the arms of the chosen part of the study, for each number of epochs."""
        counts = unlike(integers(self.epochs, "epochs"), "epochs")
        arms = FLOORS[one_of(self.study, FLOORS, "study")](counts, batch_size=self.batch_size)
        return list(map(temperature_floor.of_words, arms)) if self.dataset == "words" else arms

    def samples(self) -> Images:
        """Return the images, or the words."""
        one_of(self.dataset, ("digits", "mnist", "words"), "data set")
        if self.dataset != "words":
            return super().samples()
        if self.data is not None:
            raise ValueError("the words come with Python; a data folder is for mnist")
        return words()
