"""Train a classifier while its temperature is annealed, and keep the best and the last epoch.

After each epoch, a file contains everything on which the next epoch depends. So an interruption
costs at most the unfinished epoch, and a resumed run gives the same results as one that was never
stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._scalar_checks import short_repr
from hopcore.files._locks import locked
from hopcore.files._plain import Version
from hopcore.files._safetensors import safetensors_or_hint
from hopcore.schedules._schedule import Schedule
from hopcore.training._classifier import Classifier, Images
from hopcore.training._config import PATHS, TrainConfig
from hopcore.training._run_files import (
    BEST,
    HISTORY,
    LAST,
    Epoch,
    SavedRun,
    check_same,
    check_version,
    fingerprint,
    read_run,
    version_in,
    write_history,
    write_run,
)
from hopcore.training._trainer import Step, batches, check_finite, scores, trainer


class Moment(NamedTuple):
    """The progress of a run: after ``step`` of ``steps`` of an epoch, with means so far.

    Examples
    --------
    >>> from hopcore.training import Moment
    >>> moment = Moment(2, 10, 40, 0.7, 0.8, {"memory": 0.05})
    >>> f"epoch {moment.epoch}: {moment.step / moment.steps:.0%}"
    'epoch 2: 25%'
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    temperatures: dict[str, float]


REMEDY = "a smaller learning rate or clip_norm"
"""What to try if the loss is no longer finite."""

Watch = Callable[[Moment], object]


class Run:
    """The training of a classifier.

    Parameters
    ----------
    model : Classifier
    config : TrainConfig
    train, test : Images
        Samples for training, and samples for testing.
    validation : Images, optional
        Samples on which each epoch is measured, and by which the best epoch is chosen. Then the
        test samples are not used. Without validation samples, each epoch is measured on the test
        samples, and the test accuracy of the best epoch is slightly too high, because they were
        used to choose it.
    backend : str
        The library that trains, as in :func:`hopcore.training.trainer`.
    device : optional
    folder : str or Path, optional
        The folder for the files of the run, which is created if necessary. Without it, nothing is
        written.
    about : mapping of str to str, optional
        Additional entries for the files, for example about the data.

    Raises
    ------
    ValueError
        The folder already contains a run, or the settings do not agree with the model or the data.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.models.image_classifiers import HNM, Images
    >>> from hopcore.training import Run
    >>> from hopcore.training import TrainConfig
    >>> data = Images(np.eye(8, dtype=np.float32), np.arange(8) % 2)
    >>> model = HNM(size=8, classes=2, widths=(), quantity=8, num_heads=2)
    >>> config = TrainConfig(epochs=20, batch_size=4, learning_rate=0.03)
    >>> run = Run(model, config, data, data, backend="torch")
    >>> *_, last = run.epochs()
    >>> last.epoch, last.hard, round(last.temperatures["memory"], 6)
    (20, 1.0, 0.001)
    """

    def __init__(
        self,
        model: Classifier,
        config: TrainConfig,
        train: Images,
        test: Images,
        *,
        validation: Images | None = None,
        backend: str = "torch",
        device: Any = None,
        folder: str | Path | None = None,
        about: Mapping[str, str] | None = None,
    ) -> None:
        folder = None if folder is None else Path(folder)
        self.model, self.config, self.backend, self.folder = model, config, backend, folder
        self.about = dict(about or {})
        self.train, self.test = checked(train, "train"), checked(test, "test")
        self.validation = None if validation is None else checked(validation, "validation")
        unknown = sorted(set(config.schedules) - set(model.TEMPERATURES))
        if unknown:
            raise ValueError(
                f"a {model.KIND} has no temperature {', '.join(unknown)}; it has "
                f"{', '.join(model.TEMPERATURES) or 'none'}"
            )
        self.steps = math.ceil(len(train.target) / config.batch_size)
        self.history: list[Epoch] = []
        self._version: Version | None = None  # of the last file that this run wrote or read
        first = model.first_parameters(seed=config.seed)
        self.trainer = trainer(
            backend, model, first, learning_rate=config.learning_rate,
            weight_decay=config.weight_decay, clip_norm=config.clip_norm, seed=config.seed,
            device=device,
        )  # fmt: skip
        self._schedules()
        if folder is not None:
            safetensors_or_hint()  # before the first epoch and not after it
            if (folder / LAST).exists():
                raise ValueError(f"{folder} holds a run already: resume it, or name another folder")
            folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def resumed(
        cls,
        folder: str | Path,
        train: Images,
        test: Images,
        *,
        validation: Images | None = None,
        models: Mapping[str, type[Classifier]],
        device: Any = None,
    ) -> Run:
        """Return the run in a folder, in its state after the last epoch.

        Parameters
        ----------
        folder : str or Path
        train, test, validation : Images
            The samples of the run, which are compared with those with which it began.
        models : mapping of str to type of Classifier
            The classes of models by their ``KIND``, including the model of the run.
        device : optional

        Raises
        ------
        ValueError
            The files are not complete, or belong to another model or other data.
        OSError
            There is no run in the folder.
        """
        folder = Path(folder)
        version = version_in(folder)
        saved = read_run(folder / LAST)
        check_version(folder, version)
        model = model_of(saved, models)
        given = {name: value.shape for name, value in saved.parameters.items()}
        shapes = model.parameter_shapes()
        if shapes is not None:
            check_same("model", given, shapes)  # before any array is made of the settings
        found = cls(
            model, saved.config, train, test, validation=validation, backend=saved.backend,
            device=device,
        )  # fmt: skip
        check_same("data set", saved.data, found.data)
        parameters = found.trainer.parameters()
        check_same("model", given, {name: value.shape for name, value in parameters.items()})
        check_resumable(found, saved)
        found.trainer.restore(saved.arrays)
        found.history, found.folder, found.about = saved.history, folder, saved.about
        found._version = version
        return found

    @property
    def data(self) -> str:
        """The digest of the samples."""
        held_out = () if self.validation is None else (self.validation,)
        return fingerprint(self.train, self.test, *held_out)

    @property
    def measured(self) -> Images:
        """The samples on which each epoch is measured."""
        return self.test if self.validation is None else self.validation

    @property
    def best(self) -> Epoch | None:
        """The epoch with the highest accuracy on the selected path, the first one of equals."""
        return max(self.history, key=self._accuracy, default=None)

    def _accuracy(self, epoch: Epoch) -> float:
        return getattr(epoch, self.config.select)

    def epochs(self, watch: Watch | None = None) -> Iterator[Epoch]:
        """Train the remaining epochs.

        Parameters
        ----------
        watch : callable, optional
            A function that is called with a :class:`Moment` after every step, and waits for the
            device.

        Yields
        ------
        Epoch
            Each epoch, after it has been saved.

        Raises
        ------
        ValueError
            The loss of a step is no longer finite (the earlier epochs are kept), or another run
            writes into the folder, or has done so since this run was made or resumed.
        OSError
            A file could not be written; the earlier epochs are kept.
        """
        if self.folder is None:
            yield from self._epochs(watch)
            return
        with locked(self.folder):
            check_version(self.folder, self._version)
            yield from self._epochs(watch)

    def _epochs(self, watch: Watch | None) -> Iterator[Epoch]:
        for epoch in range(len(self.history) + 1, self.config.epochs + 1):
            self.history.append(self._epoch(epoch, watch))
            if self.folder is not None:
                self._write(self.folder)
                self._version = version_in(self.folder)
            yield self.history[-1]

    def _epoch(self, epoch: int, watch: Watch | None) -> Epoch:
        begun, config, sums = time.perf_counter(), self.config, Sums()
        rng = np.random.default_rng((config.seed, epoch))
        schedules, before = self._schedules(), (epoch - 1) * self.steps
        for step, batch in enumerate(batches(self.train, config.batch_size, rng)):
            now = self._temperatures(schedules, before + step)
            found = self.trainer.step(
                batch, now, rate=self._rate(before + step, now), hard=config.path == "hard",
                gumbel=config.gumbel,
            )  # fmt: skip
            check_finite("loss", float(found.loss), epoch, step + 1, REMEDY)
            sums.add(found, batch.target)
            if watch is not None:
                watch(Moment(epoch, step + 1, self.steps, *sums.means()[:2], now))
        loss, right, norm = sums.means()
        end = self._temperatures(schedules, epoch * self.steps)
        soft, hard = (self._accuracy_after(epoch, end, path) for path in PATHS)
        rate = self._rate(epoch * self.steps, end)
        seconds = time.perf_counter() - begun
        split = "test" if self.validation is None else "validation"
        return Epoch(epoch, loss, right, soft, hard, norm, end, rate, seconds, split)

    def accuracy(self, temperatures: dict[str, float], *, hard: bool) -> float:
        """Return the accuracy on the measured samples, on one of the paths."""
        found = scores(self.trainer, self.measured, temperatures=temperatures, hard=hard)
        return share_right(found, self.measured.target)

    def _accuracy_after(self, epoch: int, temperatures: dict[str, float], path: str) -> float:
        """Return the accuracy after an epoch; raise an error if the parameters are not finite."""
        hard = path == "hard"
        found = scores(self.trainer, self.measured, temperatures=temperatures, hard=hard)
        if not np.isfinite(found).all():
            value = float(found[~np.isfinite(found)][0])
            check_finite(f"output of the {path} path", value, epoch, self.steps, REMEDY)
        return share_right(found, self.measured.target)

    def _schedules(self) -> dict[str, Schedule]:
        names, own = self.model.TEMPERATURES, self.config.schedules
        if not names:
            return {}
        if self.config.temp_start is None:
            return {name: own[name] for name in names if name in own}
        memory = None
        if self.config.schedule == "phase-aware":
            memory = self.model.memory(self.trainer.parameters())
        usual = self.config.schedule_of(self.steps, memory)
        return {name: own.get(name, usual) for name in names}

    def _temperatures(self, schedules: dict[str, Schedule], step: int) -> dict[str, float]:
        found = {name: schedule(step) for name, schedule in schedules.items()}
        start = self.config.temp_start
        if self.config.schedule == "phase-aware" and self.history and start is not None:
            # The memory has moved since the last epoch, and the schedule with it; never back.
            cools = self.config.temp_end < start
            last = self.history[-1].temperatures
            found = {
                name: value
                if name in self.config.schedules
                else (min if cools else max)(value, last[name])
                for name, value in found.items()
            }
        return found

    def _rate(self, step: int, temperatures: dict[str, float]) -> float:
        first = next(iter(temperatures.values()), self.config.temp_start or 1.0)
        return self.config.rate_at(step, self.config.epochs * self.steps, first)

    def _write(self, folder: Path) -> None:
        model = {"kind": self.model.KIND, "settings": self.model.to_dict()}
        saved = SavedRun(model, self.config, self.backend, self.data, self.about, self.history, {})
        if self.best is self.history[-1]:
            own = {f"parameters.{name}": x for name, x in self.trainer.parameters().items()}
            write_run(folder / BEST, saved._replace(arrays=own))
        write_history(folder / HISTORY, self.history)
        # The last of all: a run that is stopped before it does its epoch again.
        write_run(folder / LAST, saved._replace(arrays=self.trainer.state()))


class Sums:
    """Sums over the samples of an epoch, which stay on the device until they are read."""

    def __init__(self) -> None:
        self.count = self.answers = 0
        self.loss = self.right = self.norm = 0.0
        self._waiting: list[tuple[Step, np.ndarray]] = []

    def add(self, found: Step, target: np.ndarray) -> None:
        """Add a batch."""
        self._waiting.append((found, target))

    def means(self) -> tuple[float, float, float]:
        """Return the mean loss, the accuracy, and the mean norm of the gradients."""
        for found, target in self._waiting:
            outputs = backend_of_input("outputs", found.outputs).to_numpy(found.outputs)
            self.count += len(target)
            self.answers += target.size
            self.loss += len(target) * float(found.loss)
            self.right += int(np.sum(outputs.argmax(axis=-1) == target))
            self.norm += len(target) * float(found.norm)
        self._waiting.clear()
        return self.loss / self.count, self.right / self.answers, self.norm / self.count


def share_right(outputs: np.ndarray, target: np.ndarray) -> float:
    """Return the share of samples whose largest output is that of their class."""
    return float(np.mean(outputs.argmax(axis=-1) == target))


def checked(samples: Images, name: str) -> Images:
    """Return the samples, checked for training."""
    pixels, target = samples
    one_for_each = target.ndim in (1, 2) and target.shape[:1] == pixels.shape[:1]
    if pixels.ndim != 2 or not one_for_each or not target.size:
        raise ValueError(
            f"{name} must hold pixels (n, d) and n targets, got {pixels.shape} and {target.shape}"
        )
    if not np.isfinite(pixels).all():
        raise ValueError(f"{name} must hold finite pixels")
    return Images(np.asarray(pixels, np.float32), np.asarray(target, np.int32))


def check_resumable(run: Run, saved: SavedRun) -> None:
    """Raise an error if a saved run does not agree with the model, the trainer or the data."""
    names = set(run._schedules())
    split = "test" if run.validation is None else "validation"
    for epoch in saved.history:
        check_same("set of temperatures", set(epoch.temperatures), names)
        check_same("split of its samples", epoch.split, split)
    state = {name: (value.shape, value.dtype) for name, value in run.trainer.state().items()}
    given = {name: (value.shape, value.dtype) for name, value in saved.arrays.items()}
    # A trainer that has taken no step may have no state of its optimiser yet.
    check_same("trainer", {name: given.get(name) for name in state}, state)
    most = int(max(x.target.max() for x in (run.train, run.test, run.measured)))
    one = run.train._replace(pixels=run.train.pixels[:1], target=run.train.target[:1])
    try:
        outputs = run.model.outputs(saved.parameters, one)
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"the model of the run does not fit its data: {error}") from None
    if outputs.shape != (*one.target.shape, max(outputs.shape[-1], most + 1)):
        raise ValueError(
            f"the model of the run must tell {most + 1} classes apart, it has {outputs.shape[-1]}"
        )


def model_of(saved: SavedRun, models: Mapping[str, type[Classifier]]) -> Classifier:
    """Return the classifier of a saved run."""
    kind = str(saved.model.get("kind"))
    if kind not in models:
        raise ValueError(f"unknown model {short_repr(kind)}; known: {', '.join(models)}")
    return models[kind].from_dict(saved.model["settings"])
