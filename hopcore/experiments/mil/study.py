"""The commands that classify bags: ``hopcore experiment bit-pattern``, ``latch`` and others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from hopcore.experiments.mil import report, trials
from hopcore.experiments.options import (
    INPUT,
    METHOD,
    TRAINING,
    Data,
    Dataset,
    Device,
    Epochs,
    Seeds,
    TrainingBackend,
    option,
)
from hopcore.experiments.parsing import integers, names, numbers, unlike
from hopcore.experiments.study import Report, Study, load_images
from hopcore.experiments.tables import facts_of

ALL_LAYERS = ",".join(trials.LAYERS)
Layers = Annotated[str, option(METHOD, f"The layers to compare: {', '.join(trials.LAYERS)}.")]


@dataclass(kw_only=True)
class BagStudy(Study):
    """Bags, classified with several layers; ``axis`` is what distinguishes the tasks."""

    layer: Layers = ALL_LAYERS
    epochs: Epochs = 30
    seeds: Seeds = 5
    backend: TrainingBackend = "torch"
    device: Device = None

    row = trials.Trial
    axis: ClassVar[str]

    def splits(self) -> tuple[trials.Splits, int]:
        """Check the options; return the splits of a seed and their number."""
        raise NotImplementedError

    def fitting(self, **settings: Any) -> trials.Fitting:
        """Return how classifiers are trained."""
        return trials.Fitting(
            **settings, epochs=self.epochs, backend=self.backend, device=self.device
        )

    def outcomes(self) -> tuple[Iterable[trials.Trial], int]:
        """Train every layer on every split."""
        splits, count = self.splits()
        layers = names(self.layer, trials.LAYERS, "layer")
        run = trials.run_trials(splits, layers, self.fitting(), seeds=self.seeds)
        return run, self.seeds * count * len(layers)

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return self.name

    def report(self, rows: list[Any]) -> Report:
        """Summarise the trials."""
        lines = report.summary(rows)
        table = report.table(self.axis, lines, self.title)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw accuracy and AUC over the tasks."""
        joined = self.axis != "data"
        report.draw(self.title, self.axis, report.summary(rows), self.plot_path, joined=joined)


@dataclass(kw_only=True)
class BitPattern(BagStudy):
    """Find which of 2048 bags of 16 bit patterns contain one of 8 signals."""

    bags: Annotated[str, option(METHOD, "The numbers of training bags, one for each training.")] = (
        "384,768,1536"
    )

    name = "bit-pattern"
    example = "--bags 384 --seeds 2"
    axis = "bags"

    def splits(self) -> tuple[trials.Splits, int]:
        """Draw bags of bit patterns."""
        sizes = unlike(integers(self.bags, "bags"), "bags")
        return trials.bit_patterns(sizes), len(sizes)

    def fitting(self, **settings: Any) -> trials.Fitting:
        """Train narrow classifiers."""
        return super().fitting(width=32, **settings)


@dataclass(kw_only=True)
class Latch(BagStudy):
    """Find which of two symbols a sequence began with, before the noise."""

    length: Annotated[str, option(METHOD, "The lengths of the sequences.")] = "20,50,100"
    epochs: Epochs = 10

    name = "latch"
    example = "--length 20,50 --seeds 2"
    axis = "length"

    def splits(self) -> tuple[trials.Splits, int]:
        """Draw latch sequences."""
        lengths = unlike(integers(self.length, "length"), "length")
        return trials.latch_sequences(lengths), len(lengths)

    def fitting(self, **settings: Any) -> trials.Fitting:
        """Train narrow classifiers."""
        return super().fitting(width=32, **settings)


@dataclass(kw_only=True)
class MnistBags(BagStudy):
    """Find which bags of about 10 images of digits contain a nine."""

    dataset: Dataset = "digits"
    data: Data = None
    digit: Annotated[int, option(METHOD, "The digit in the positive bags.", min=0, max=9)] = 9
    bags: Annotated[str, option(METHOD, "The numbers of training bags, one for each training.")] = (
        "100,400,1200"
    )
    epochs: Epochs = 40

    name = "mnist-bags"
    example = "--digit 3 --bags 100,400"
    axis = "bags"

    def splits(self) -> tuple[trials.Splits, int]:
        """Draw bags of images."""
        sizes = unlike(integers(self.bags, "bags"), "bags")
        return trials.digit_bags(load_images(self), sizes, self.digit), len(sizes)

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return f"{self.name}, {self.dataset}"


@dataclass(kw_only=True)
class BagFiles(BagStudy):
    """Classify bags of features from files, cross-validated."""

    data: Annotated[str, option(INPUT, "The bags: .npz files with features, bag and label.")]
    folds: Annotated[int, option(METHOD, "The number of folds.", min=2)] = 10
    dropout: Annotated[
        str, option(TRAINING, "The dropout rates, one of which is chosen on the training bags.")
    ] = "0,0.5,0.75"
    layer: Layers = "mean,pooling"
    epochs: Epochs = 10

    name = "mil"
    example = "--data tiger.npz,elephant.npz"
    axis = "data"

    def splits(self) -> tuple[trials.Splits, int]:
        """Read the files."""
        paths = list(self.reads().values())
        return trials.files(paths, self.folds), len(paths) * self.folds

    def reads(self) -> dict[str, Path]:  # type: ignore[override]
        """Return the files of bags."""
        return {f"--data {name}": Path(name) for name in self.data.split(",")}

    def fitting(self, **settings: Any) -> trials.Fitting:
        """Choose among the rates of dropout, and normalise the features."""
        rates = unlike(numbers(self.dropout, "dropout"), "dropout")
        return super().fitting(dropouts=rates, normalise=True, **settings)
