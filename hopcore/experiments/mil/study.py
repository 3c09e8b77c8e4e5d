"""The commands that classify bags: ``hopcore experiment bit-pattern``, ``latch`` and others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from rich.console import Group

from hopcore.datasets._images import Images
from hopcore.experiments.mil import report, tasks, trials
from hopcore.experiments.mil.layers import LAYERS
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
from hopcore.experiments.parsing import integers, names, numbers, positive, unlike
from hopcore.experiments.study import Report, Study, load_images, write_text
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
    seeds: Seeds = 10
    backend: TrainingBackend = "torch"
    device: Device = None

    row = trials.Trial
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
            backend=self.backend, device=self.device, **settings,
        )  # fmt: skip

    def outcomes(self) -> tuple[Iterable[trials.Trial], int]:
        """Train every layer on every split."""
        splits, count = self.splits()
        layers = names(self.layer, LAYERS, "layer")
        run = trials.run_trials(splits, layers, self.fitting(), seeds=self.seeds)
        return run, self.seeds * count * len(layers)

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return self.name

    @property
    def differences_path(self) -> Path:
        """Where the paired differences are written."""
        return self.csv_path.with_stem(f"{self.csv_path.stem}-differences")

    def writes(self) -> dict[str, Path | None]:
        """Return the files of the study, with that of the differences."""
        return super().writes() | {"--csv (differences)": self.differences_path}

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
        report.draw(self.title, self.axis, report.summary(rows), self.plot_path, joined=joined)

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


def check_transfer(study: BitPattern | MnistBags) -> None:
    """Refuse a transfer between numbers of bags, which have the same test bags."""
    if study.transfer and study.axis == "bags":
        others = [f"--{name}" for name in study.settings if name != "bags"]
        raise ValueError(f"--transfer needs several values of {' or '.join(others)}")


@dataclass(kw_only=True)
class BitPattern(BagStudy):
    """Find which of some bags of bit patterns contain one of 8 signals.

    One of --bags, --size and --noise may have several values.
    """

    bags: Bags = "384,1536"
    size: Annotated[str, option(METHOD, "The numbers of patterns in a bag.")] = "16"
    noise: Annotated[
        str, option(METHOD, "The standard deviations of noise, which is added to the bits.")
    ] = "0"
    transfer: Transfer = False

    name = "bit-pattern"
    example = "--bags 384 --seeds 2"

    @property
    def settings(self) -> dict[str, list[Any]]:
        """The values of the options that may vary."""
        return {
            "bags": unlike(integers(self.bags, "bags"), "bags"),
            "size": unlike(integers(self.size, "size"), "size"),
            "noise": unlike(numbers(self.noise, "noise"), "noise"),
        }

    @property
    def axis(self) -> str:
        """What distinguishes the tasks."""
        return varying(**self.settings)

    @property
    def kind(self) -> str:
        """What distinguishes this run from the usual one of the study, for names of files."""
        return "transfer" if self.transfer else self.axis.removeprefix("bags")

    def splits(self) -> tuple[trials.Splits, int]:
        """Draw bags of bit patterns."""
        settings = self.settings
        check_transfer(self)
        return (
            tasks.bit_patterns(*settings.values(), transfer=self.transfer),
            len(settings[self.axis]),
        )


@dataclass(kw_only=True)
class Latch(BagStudy):
    """Find which of two symbols a sequence began with, or which of them stands first."""

    length: Annotated[str, option(METHOD, "The lengths of the sequences.")] = "20,50,100"
    repeats: Annotated[
        int,
        option(
            METHOD, "How often each of the two symbols occurs, at random places, so that their "
            "order is the label; 0: one of them stands at the beginning, and is the label.", min=0,
        ),
    ] = 0  # fmt: skip

    epochs: Epochs = 10

    name = "latch"
    example = "--length 20,50 --seeds 2"

    @property
    def axis(self) -> str:
        """What distinguishes the tasks."""
        return "length"

    @property
    def kind(self) -> str:
        """What distinguishes this run from the usual one of the study, for names of files."""
        return "order" if self.repeats else ""

    def splits(self) -> tuple[trials.Splits, int]:
        """Draw sequences."""
        lengths = unlike(integers(self.length, "length"), "length")
        return tasks.latch_sequences(lengths, self.repeats), len(lengths)


@dataclass(kw_only=True)
class MnistBags(BagStudy):
    """Find which bags of images of digits contain a nine.

    One of --bags and --size may have several values.
    """

    dataset: Dataset = "digits"
    data: Data = None
    digit: Annotated[int, option(METHOD, "The digit in the positive bags.", min=0, max=9)] = 9
    bags: Bags = "100,400"
    size: Annotated[str, option(METHOD, "The mean numbers of images in a bag.")] = "10"
    witnesses: Annotated[
        int,
        option(
            METHOD, "The number of images of the digit in a positive bag; 0: any number, as they "
            "are drawn.", min=0,
        ),
    ] = 0  # fmt: skip
    transfer: Transfer = False
    shrink: Annotated[
        int,
        option(METHOD, "Replace squares of this many pixels in height by their means.", min=1),
    ] = 1
    epochs: Epochs = 40

    name = "mnist-bags"
    example = "--digit 3 --bags 100,400"
    width = 64

    @property
    def settings(self) -> dict[str, list[int]]:
        """The values of the options that may vary."""
        return {
            "bags": unlike(integers(self.bags, "bags"), "bags"),
            "size": unlike(integers(self.size, "size"), "size"),
        }

    @property
    def axis(self) -> str:
        """What distinguishes the tasks."""
        return varying(**self.settings)

    @property
    def kind(self) -> str:
        """What distinguishes this run from the usual one of the study, for names of files."""
        return "transfer" if self.transfer else self.axis.removeprefix("bags")

    def splits(self) -> tuple[trials.Splits, int]:
        """Draw bags of images."""
        settings = self.settings
        check_transfer(self)
        images = shrunk(load_images(self), self.shrink)
        return (
            tasks.digit_bags(
                images, settings["bags"], self.digit, settings["size"], self.witnesses or None,
                transfer=self.transfer,
            ),
            len(settings[self.axis]),
        )

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return f"{self.name}, {self.dataset}"


def shrunk(images: Images, factor: int) -> Images:
    """Return images whose squares of ``factor`` x ``factor`` pixels are replaced by their means.

    Examples
    --------
    >>> from hopcore import datasets
    >>> from hopcore.experiments.mil.study import shrunk
    >>> shrunk(datasets.digits(), 2).shape
    (4, 4)
    """
    height, width = images.shape
    if height % factor or width % factor:
        raise ValueError(f"--shrink must divide the images of {height} x {width}, got {factor}")
    shape = height // factor, width // factor
    squares = images.pixels.reshape(-1, shape[0], factor, shape[1], factor)
    return images._replace(pixels=squares.mean(axis=(2, 4)).reshape(len(squares), -1), shape=shape)


@dataclass(kw_only=True)
class BagFiles(BagStudy):
    """Classify bags of features from files, cross-validated."""

    data: Annotated[str, option(INPUT, "The bags: .npz files with features, bag and label.")]
    folds: Annotated[int, option(METHOD, "The number of folds.", min=2)] = 10
    dropout: Annotated[
        str,
        option(TRAINING, "The dropout rates of the weights, one of which the validation bags choose."),
    ] = "0"
    learning_rate: Rates = "0.001,0.01"
    seeds: Seeds = 5
    epochs: Epochs = 10

    name = "mil"
    example = "--data tiger.npz,elephant.npz"
    width = 64
    batch_size = 32

    def splits(self) -> tuple[trials.Splits, int]:
        """Read the files."""
        paths = list(self.reads().values())
        return tasks.files(paths, self.folds), len(paths) * self.folds

    def reads(self) -> dict[str, Path]:  # type: ignore[override]
        """Return the files of bags."""
        return {f"--data {name}": Path(name) for name in self.data.split(",")}

    def fitting(self, **settings: Any) -> trials.Fitting:
        """Choose among the rates of dropout, and normalise the features."""
        rates = unlike(numbers(self.dropout, "dropout"), "dropout")
        return super().fitting(dropouts=rates, normalise=True, **settings)
