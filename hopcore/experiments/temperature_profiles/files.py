"""The files of the study of temperature profiles, from which a run that was cut goes on."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from hopcore.experiments.temperature_profiles.trials import (
    ARMS,
    Arm,
    Fitting,
    Outcome,
    Trial,
    Warmth,
)
from hopcore.files._arrays import read_archive
from hopcore.files._csv import from_csv, to_csv
from hopcore.files._files import write_whole
from hopcore.files._plain import read_text


class Kept(NamedTuple):
    """All that trainings came to; the attention ``(layers, heads, L, L)`` by ``mode:profile``.

    The attention is that of the first seed an arm was trained with.
    """

    trials: list[Trial]
    warmths: list[Warmth]
    attention: dict[str, np.ndarray]

    @property
    def done(self) -> set[tuple[Arm, int]]:
        """The arms and seeds that were trained."""
        return {(trial.arm, trial.seed) for trial in self.trials}

    def check(self, fitting: Fitting) -> None:
        """Refuse to go on with other tasks, distances or sizes."""
        cells = {(trial.task, trial.distance) for trial in self.trials}
        sizes = {(one.layer, one.head) for one in self.warmths}
        wanted = set(product(range(fitting.layers), range(fitting.num_heads)))
        if self.trials and (cells, sizes) != (set(fitting.cells), wanted):
            raise ValueError("the trials of the files have other tasks, distances, layers or heads")

    def add(self, outcome: Outcome) -> None:
        """Keep one more."""
        self.trials.extend(outcome.trials)
        self.warmths.extend(outcome.warmths)
        self.attention.setdefault(str(outcome.trials[0].arm), outcome.attention)


def beside(path: Path, name: str, suffix: str | None = None) -> Path:
    """The path with a name after its stem.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hopcore.experiments.temperature_profiles.files import beside
    >>> beside(Path("a.csv"), "attention", ".npz").name
    'a-attention.npz'
    """
    return path.with_name(f"{path.stem}-{name}{path.suffix if suffix is None else suffix}")


def write(kept: Kept, path: Path) -> None:
    """The trials as CSV; temperatures and attention beside them, before them.

    Their order is that of seeds and arms, in however many runs they came.
    """

    def place_of_arm(row: Trial | Warmth) -> tuple[int, int]:
        return row.seed, ARMS.index(row.arm)

    def patterns(file: BinaryIO) -> None:
        np.savez_compressed(file, **kept.attention)  # type: ignore[arg-type]

    write_whole(beside(path, "attention", ".npz"), patterns)
    for place, rows, kind in (
        (beside(path, "temperatures"), kept.warmths, Warmth),
        (path, kept.trials, Trial),
    ):
        text = to_csv(sorted(rows, key=place_of_arm), kind)
        write_whole(place, lambda file, text=text: file.write(text.encode()))


def read(path: Path) -> Kept:
    """What :func:`write` wrote.

    Raises
    ------
    ValueError
        Other files.
    OSError
        A file is missing.
    """
    trials = from_csv(read_text(path), Trial)
    done = {(trial.arm, trial.seed) for trial in trials}
    warmths = from_csv(read_text(beside(path, "temperatures")), Warmth)
    place = beside(path, "attention", ".npz")
    attention = read_archive(place)
    # A run may have ended between two files.
    return Kept(trials, [one for one in warmths if (one.arm, one.seed) in done], attention)
