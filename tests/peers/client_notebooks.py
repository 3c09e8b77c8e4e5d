"""The notebooks of hopfield-layers: their cells are run, with fewer epochs and in float64."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from client_shims import (
    Trained,
    importable,
    in_double,
    library,
    losses_of_steps,
    module,
    weights_of,
)

from hopcore import datasets

EPOCHS = {"bit_pattern": 2, "latch_sequence": 1, "mnist_bags": 1}
DATA_SETS = {"BitPatternSet", "LatchSequenceSet"}


class DigitBags(torch.utils.data.Dataset):
    """Bags of digits, positive if one of them is the target: the data set of ``mnist_bags``.

    The notebook takes it from another repository, with the training images of MNIST; here are the
    images of ``folder``, or without one those of scikit-learn, enlarged.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        target_number: int,
        mean_bag_length: int,
        var_bag_length: int,
        num_bag: int,
        train: bool,
    ) -> None:
        images = datasets.load("mnist", folder) if folder else datasets.load("digits")
        rng = np.random.default_rng(int(train))
        assert images.labels is not None
        half = np.arange(len(images.labels)) % 2 == int(train)
        pixels = images.pixels.reshape(-1, *images.shape)[half] / 2 + 0.5
        if images.shape == (8, 8):
            pixels = np.pad(np.kron(pixels, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
        positive = images.labels[half] == target_number
        self.bags = []
        for index in range(num_bag):
            size = max(1, round(rng.normal(mean_bag_length, var_bag_length)))
            chosen = rng.choice(np.flatnonzero(~positive), size)
            if index % 2:
                chosen[0] = rng.choice(np.flatnonzero(positive))
            self.bags.append((pixels[chosen][:, None], positive[chosen]))

    def __len__(self) -> int:
        return len(self.bags)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, list[Any]]:
        pixels, positive = self.bags[index]
        return torch.as_tensor(pixels), [bool(positive.any()), torch.as_tensor(positive)]


def stand_ins(folder: Path | None) -> dict[str, ModuleType]:
    """What the notebooks import for pictures, and from another repository."""
    plots = module("matplotlib.pyplot")
    other = partial(torch.nn.Linear, 1, 1)  # networks without Hopfield layers are not trained
    return {
        "matplotlib": module("matplotlib", pyplot=plots),
        "matplotlib.pyplot": plots,
        "pandas": module("pandas", DataFrame=dict),
        "seaborn": module("seaborn", set=lambda: None),
        "distutils": module("distutils"),
        "distutils.version": module("distutils.version", LooseVersion=str),
        "dataloader": module("dataloader", MnistBags=partial(DigitBags, folder)),
        "model": module("model", Attention=other, GatedAttention=other),
    }


class Notebook:
    """The code cells of a notebook, and the trainings that they did."""

    def __init__(self, path: Path, epochs: int) -> None:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.cells = ["".join(x["source"]) for x in cells if x["cell_type"] == "code"]
        self.epochs = epochs
        self.names: dict[str, Any] = {"__name__": path.stem}
        self.trained: dict[str, Trained] = {}
        self.last: Trained | None = None

    def run(self) -> dict[str, Trained]:
        for cell in self.cells:
            exec(compile(cell, self.names["__name__"], "exec"), self.names)
            if "import BitPatternSet" in cell or "import LatchSequenceSet" in cell:
                for kind in DATA_SETS & self.names.keys():
                    self.names[kind] = partial(self.names[kind], dtype=torch.float64)
            if "def operate" in cell:
                self.names["operate"] = partial(self.operate, self.names["operate"])
            if "def plot_performance" in cell:
                self.names["plot_performance"] = self.name_of_last
        return self.trained

    def operate(
        self, operate: Any, *, network: torch.nn.Module, num_epochs: int, **rest: Any
    ) -> Any:
        layers = any(type(x).__name__.startswith("Hopfield") for x in network.modules())
        with losses_of_steps() as losses:
            found = operate(network=network, num_epochs=self.epochs if layers else 0, **rest)
        self.last = Trained(losses, weights_of(network)) if layers else None
        return found

    def name_of_last(self, *, log_file: str, **_: Any) -> None:
        if self.last is not None:
            self.trained[Path(log_file).stem] = self.last


def train(
    clone: Path,
    name: str,
    *,
    hopcore: bool,
    without: Collection[str] = (),
    folder: Path | None = None,
) -> dict[str, Trained]:
    """Train all networks of a notebook that have Hopfield layers; by the names of their pictures.

    ``folder`` contains the images of MNIST.
    """
    (path,) = (clone / "examples" / name).glob("*.ipynb")
    notebook = Notebook(path, EPOCHS[name])
    place = folder.resolve() if folder else None
    with (
        in_double(),
        library(clone.resolve(), hopcore=hopcore, without=without),
        importable(clone, "dataloader", stand_ins(place)),
        tempfile.TemporaryDirectory() as empty,
        contextlib.chdir(empty),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        torch.manual_seed(0)
        return notebook.run()
