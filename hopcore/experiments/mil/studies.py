"""The commands ``hopcore experiment bit-pattern``, ``latch``, ``mnist-bags`` and ``mil``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from hopcore.arrays._scalar_checks import check_probability
from hopcore.experiments.data.bags import is_counted
from hopcore.experiments.data.smaller_images import shrink_by
from hopcore.experiments.mil import tasks, trials
from hopcore.experiments.mil.layers import LAYERS, SPARSE
from hopcore.experiments.mil.study import Bags, BagStudy, Rates, Transfer, varying
from hopcore.experiments.options import (
    INPUT,
    METHOD,
    TRAINING,
    Data,
    Dataset,
    Epochs,
    Seeds,
    option,
)
from hopcore.experiments.parsing import integers, names, numbers, unlike
from hopcore.experiments.study import load_images


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
    heading = "Which bags hold a signal?"
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
        sparse = [name for name in names(self.layer, LAYERS, "layer") if name in SPARSE]
        large = [n for n in settings["size"] for noise in settings["noise"] if is_counted(n, noise)]
        if sparse and large:
            raise ValueError(
                f"the layer {sparse[0]} cannot count the patterns of a bag of {large[0]}: give a "
                "--size of at most 256, or a --noise above 0"
            )
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
    heading = "Which symbol stands first?"
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

    One of --bags, --size and --least may have several values.
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
    least: Annotated[
        str,
        option(
            METHOD, "The numbers of images of the digit that make a bag positive; a negative bag "
            "has fewer. 0: see --witnesses.",
        ),
    ] = "0"  # fmt: skip
    transfer: Transfer = False
    shrink: Annotated[
        int,
        option(METHOD, "Replace squares of this many pixels in height by their means.", min=1),
    ] = 1
    epochs: Epochs = 40

    name = "mnist-bags"
    heading = "Which bags hold the digit?"
    example = "--digit 3 --bags 100,400"
    width = 64

    @property
    def settings(self) -> dict[str, list[int]]:
        """The values of the options that may vary."""
        return {
            "bags": unlike(integers(self.bags, "bags"), "bags"),
            "size": unlike(integers(self.size, "size"), "size"),
            "least": unlike(integers(self.least, "least"), "least"),
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
        images = shrink_by(load_images(self), self.shrink)
        return (
            tasks.digit_bags(
                images,
                settings["bags"],
                self.digit,
                settings["size"],
                self.witnesses or None,
                least=[few or None for few in settings["least"]],
                transfer=self.transfer,
            ),
            len(settings[self.axis]),
        )

    @property
    def title(self) -> str:
        """The title of the table and of the picture."""
        return f"{super().title}, {self.dataset}"


@dataclass(kw_only=True)
class BagFiles(BagStudy):
    """Classify bags of features from files, and test each bag by cross-validation."""

    data: Annotated[str, option(INPUT, "The bags: .npz files with features, bag and label.")]
    folds: Annotated[int, option(METHOD, "The number of folds.", min=2)] = 10
    dropout: Annotated[
        str,
        option(
            TRAINING, "The dropout rates of the weights, one of which the validation bags choose."
        ),
    ] = "0"
    learning_rate: Rates = "0.001,0.01"
    seeds: Seeds = 5
    epochs: Epochs = 10

    name = "mil"
    heading = "Bags of image regions"
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
        for rate in rates:
            check_probability("dropout", rate)
        return super().fitting(dropouts=rates, normalise=True, **settings)
