"""The command ``hopcore experiment bag-attention``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from hopcore.experiments.bag_attention import report, trials
from hopcore.experiments.data.smaller_images import shrink_by
from hopcore.experiments.mil.trials import Fitting
from hopcore.experiments.options import (
    METHOD,
    Data,
    Dataset,
    Device,
    Epochs,
    Seeds,
    TrainingBackend,
    option,
)
from hopcore.experiments.parsing import names
from hopcore.experiments.study import Report, ResumableStudy, load_images
from hopcore.experiments.tables import facts_of

ALL_TASKS, ALL_LAYERS = ",".join(report.PLACES), ",".join(trials.LAYERS)


@dataclass(kw_only=True)
class BagAttention(ResumableStudy):
    """Measure which instances of a bag trained classifiers attend to.

    The tasks are latch (the label is the first symbol), order (it is the first of the marked
    symbols) and digits (it says whether a digit is in a bag). The controls are pooling with equal
    weights, and pooling that is not trained.
    """

    task: Annotated[str, option(METHOD, f"The tasks, of {', '.join(report.PLACES)}.")] = ALL_TASKS
    layer: Annotated[str, option(METHOD, f"The layers, of {', '.join(trials.LAYERS)}.")] = (
        ALL_LAYERS
    )
    length: Annotated[int, option(METHOD, "The length of the sequences.", min=8)] = 40
    bags: Annotated[int, option(METHOD, "The number of training bags of digits.", min=2)] = 800
    size: Annotated[int, option(METHOD, "The mean number of images in a bag.", min=2)] = 10
    digit: Annotated[int, option(METHOD, "The digit in the positive bags.", min=0, max=9)] = 9
    dataset: Dataset = "digits"
    data: Data = None
    shrink: Annotated[
        int, option(METHOD, "Replace squares of this many pixels in height by their means.", min=1)
    ] = 1
    seeds: Seeds = 5
    epochs: Epochs = 10
    backend: TrainingBackend = "torch"
    device: Device = None

    name = "bag-attention"
    example = "--task latch,order --seeds 2"
    row_label = "place of the instances of each classifier"
    case = trials.Case
    row = trials.Trial

    def cases(self) -> list[trials.Case]:
        """Return all tasks with their layers and seeds."""
        tasks = names(self.task, tuple(report.PLACES), "task")
        return trials.cases(tasks, names(self.layer, trials.LAYERS, "layer"), self.seeds)

    def rows_of_cases(self, cases: list[trials.Case]) -> Iterator[list[trials.Trial]]:
        """Train the classifier of each case."""
        fitting = Fitting(backend=self.backend, device=self.device)
        sizes = trials.Sizes(
            length=self.length, bags=self.bags, size=self.size, digit=self.digit,
            epochs=self.epochs,
        )  # fmt: skip
        known = {"latch": trials.latch(sizes, fitting), "order": trials.order(sizes, fitting)}
        if any(case.task == "digits" for case in cases):
            images = shrink_by(load_images(self), self.shrink)
            known["digits"] = trials.digits(images, sizes, fitting)
        return trials.run(cases, known)

    def report(self, rows: list[Any]) -> Report:
        """Summarise the weights of the instance that is the label, and of others."""
        lines = report.summary(rows, self.digit)
        table = report.table(lines)
        facts = {"study": self.name, "lines": [facts_of(line) for line in lines]}
        return Report(facts, table.terminal(), table.markdown())

    def draw(self, rows: list[Any]) -> None:
        """Draw the relative weights over the places."""
        report.draw(rows, self.plot_path)
