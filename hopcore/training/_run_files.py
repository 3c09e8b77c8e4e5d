"""The files of a run: the last state, from which it can be resumed, and the best parameters."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._fields import fits, type_hints
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import short_repr
from hopcore.files._csv import csv_of
from hopcore.files._files import write_whole
from hopcore.files._plain import Version, open_plain, version_of
from hopcore.files._safetensors import check_header, read_tensors, write_tensors
from hopcore.training._config import TrainConfig

LAST, BEST, HISTORY = "last.safetensors", "best.safetensors", "history.csv"
"""The files of a run in its folder."""

KIND, VERSION = "hopcore run", "2"

SPLITS = "validation", "test"
"""The samples on which epochs may be measured."""

PARAMETERS = "parameters."
"""The prefix of the names of parameters."""


class Epoch(NamedTuple):
    """The results of an epoch.

    Attributes
    ----------
    epoch : int
        1, 2, ...
    loss : float
        The mean loss over the samples during training.
    accuracy : float
        The accuracy during training.
    soft : float
        The accuracy of the soft path on the samples of ``split``, at the temperatures at the end of
        the epoch.
    hard : float
        The same for the hard path.
    norm : float
        The mean norm of the gradients of the batches before clipping.
    temperatures : dict of str to float
        The temperatures at the end of the epoch by name.
    rate : float
        The factor of the learning rate at the end of the epoch.
    seconds : float
    split : str
        The samples on which ``soft`` and ``hard`` were measured: ``"validation"`` or ``"test"``.

    Examples
    --------
    >>> from hopcore.training import Epoch
    >>> epoch = Epoch(1, 0.5, 0.8, 0.75, 0.5, 1.0, {"memory": 0.1}, 1.0, 2.0)
    >>> epoch.gap
    0.25
    """

    epoch: int
    loss: float
    accuracy: float
    soft: float
    hard: float
    norm: float
    temperatures: dict[str, float]
    rate: float
    seconds: float
    split: str = "test"

    @property
    def gap(self) -> float:
        """The accuracy of the soft path minus that of the hard path."""
        return self.soft - self.hard


class SavedRun(NamedTuple):
    """The content of a file of a run.

    Attributes
    ----------
    model : dict
        ``kind`` and ``settings`` of the model.
    config : TrainConfig
    backend : str
    data : str
        A digest of the samples.
    about : dict of str to str
        Additional entries.
    history : list of Epoch
        The epochs up to that of the file.
    arrays : dict of str to array
        The state of the trainer; for the best epoch, only the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.training import SavedRun, TrainConfig
    >>> arrays = {"parameters.memory": np.eye(2), "moments.memory": np.zeros((2, 2))}
    >>> saved = SavedRun({"kind": "hnm"}, TrainConfig(), "torch", "", {}, [], arrays)
    >>> list(saved.parameters)
    ['memory']
    """

    model: dict[str, Any]
    config: TrainConfig
    backend: str
    data: str
    about: dict[str, str]
    history: list[Epoch]
    arrays: dict[str, np.ndarray]

    def __repr__(self) -> str:
        return one_line(self)

    @property
    def parameters(self) -> dict[str, np.ndarray]:
        """The parameters of the model."""
        found = {k: v for k, v in self.arrays.items() if k.startswith(PARAMETERS)}
        return {name.removeprefix(PARAMETERS): value for name, value in found.items()}


def write_run(path: Path, run: SavedRun) -> None:
    """Write a file of a run completely or not at all; see :func:`read_run`."""
    last = run.history[-1]
    facts = {
        "model": run.model,
        "config": run.config.to_dict(),
        "backend": run.backend,
        "data": run.data,
        "about": run.about,
        "history": [epoch._asdict() for epoch in run.history],
        "epoch": last.epoch,
        "accuracy": {"soft": last.soft, "hard": last.hard},
        "temperatures": last.temperatures,
    }
    header = {"format": KIND, "version": VERSION, "run": json.dumps(facts)}
    write_tensors(path, header, run.arrays)


def read_run(path: str | Path) -> SavedRun:
    """Read a file of a run, for example its best parameters.

    Parameters
    ----------
    path : str or Path
        ``best.safetensors`` or ``last.safetensors`` in the folder of the run.

    Returns
    -------
    SavedRun

    Raises
    ------
    ValueError
        The file is not that of a run, is truncated, or is damaged.
    OSError
        The file cannot be opened.
    ModuleNotFoundError
        safetensors is not installed (extra ``checkpoint``).

    Examples
    --------
    >>> from hopcore.training import read_run
    >>> read_run("best.safetensors")
    Traceback (most recent call last):
        ...
    FileNotFoundError: [Errno 2] No such file or directory: 'best.safetensors'
    """
    header, arrays = read_tensors(path)
    try:
        check_header(header, arrays, KIND, VERSION)
        return run_of(json.loads(header["run"]), arrays)
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a whole file of a training run: {reason}") from None


def run_of(facts: Any, arrays: dict[str, np.ndarray]) -> SavedRun:
    """Return the run of a header and arrays, or raise if a field is missing or makes no sense."""
    types = {"model": dict[str, Any], "config": dict[str, Any], "backend": str, "data": str,
             "about": dict[str, str], "history": list}  # fmt: skip
    for name, kind in types.items():
        if not isinstance(facts, dict) or name not in facts or not fits(facts[name], kind):
            raise ValueError(f"its header has no {name} of a run")
    model = facts["model"]
    if not (fits(model.get("kind"), str) and fits(model.get("settings"), dict[str, Any])):
        raise ValueError("its model has no kind or no settings")
    config = TrainConfig.from_dict(facts["config"])
    history = [epoch_of(place, one) for place, one in enumerate(facts["history"], start=1)]
    if not 1 <= len(history) <= config.epochs:
        raise ValueError(f"it has {len(history)} epochs of {config.epochs}")
    for name, array in arrays.items():
        if name.startswith(PARAMETERS) and array.dtype.kind != "f":
            raise TypeError(f"{name} must be real floating, got {array.dtype}")
    return SavedRun(model, config, facts["backend"], facts["data"], facts["about"], history, arrays)


def epoch_of(number: int, values: Any) -> Epoch:
    """Return an epoch of a history, or raise if it is not the one of that number."""
    hints = type_hints(Epoch)
    if not isinstance(values, dict) or set(values) != set(hints):
        raise ValueError(f"epoch {number} must have {', '.join(hints)}, got {short_repr(values)}")
    for name, value in values.items():
        if not fits(value, hints[name]):
            raise TypeError(f"{name} of epoch {number} cannot be {short_repr(value)}")
    found = Epoch(**values)
    cold = any(not 0.0 < value < math.inf for value in found.temperatures.values())
    if found.epoch != number or cold or found.split not in SPLITS:
        raise ValueError(f"epoch {number} makes no sense: {short_repr(values)}")
    return found


def version_in(folder: Path) -> Version | None:
    """Return the version of the last file of a run in a folder, or None if there is none."""
    try:
        with open_plain(folder / LAST) as file:
            return version_of(file)
    except FileNotFoundError:
        return None


def check_version(folder: Path, known: Version | None) -> None:
    """Raise if another run has written into a folder."""
    if version_in(folder) != known:
        if known is None:
            raise ValueError(f"{folder} holds a run already: resume it, or name another folder")
        raise ValueError(f"the run in {folder} was continued by another process: resume it again")


def to_csv(history: Sequence[Epoch]) -> str:
    """Return all epochs as comma-separated values, with a header."""
    names = list(history[0].temperatures)
    plain = [name for name in Epoch._fields if name != "temperatures"]
    rows = (
        [getattr(epoch, name) for name in plain]
        + [epoch.gap, *(epoch.temperatures[name] for name in names)]
        for epoch in history
    )
    return csv_of([*plain, "gap", *(f"temperature_{name}" for name in names)], rows, digits=6)


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write :func:`to_csv`, whole or not at all."""
    write_whole(path, lambda file: file.write(to_csv(history).encode()))


def fingerprint(*samples: tuple[Any, ...]) -> str:
    """Return a digest of arrays, by which different data are recognised."""
    found = hashlib.sha256()
    for arrays in samples:
        for array in arrays:
            found.update(f"{array.dtype.str} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def check_same(name: str, saved: Any, given: Any) -> None:
    """Raise an error if a run was started with other data or settings."""
    if saved != given:
        detail = ""
        if isinstance(saved, Mapping) and isinstance(given, Mapping):
            unlike = sorted(k for k in {*saved, *given} if saved.get(k) != given.get(k))
            detail = f" ({', '.join(unlike)})"
        raise ValueError(f"the run was started with another {name}{detail}")
