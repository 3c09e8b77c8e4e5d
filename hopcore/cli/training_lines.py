"""What ``hopcore train`` prints: a progress bar, a line for each epoch, and a summary."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.text import Text

from hopcore.experiments.tables import in_percent
from hopcore.training._epoch_loop import Moment, Run, Watch
from hopcore.training._run_files import BEST, HISTORY, LAST, Epoch

SHORTEST, LONGEST = 4, 20
"""Between how many and how many characters a progress bar is long."""


class Line(ProgressColumn):
    """The whole line of a progress bar; :func:`bar_line` writes it into the description."""

    def render(self, task: Task) -> Text:
        """Return the line, cut off where the terminal ends."""
        return Text(task.description, no_wrap=True, overflow="crop")


@contextmanager
def progress_bar(epochs: int, console: Console) -> Iterator[Watch | None]:
    """Show a progress bar for every epoch on a terminal, and none elsewhere."""
    if not console.is_terminal:
        yield None
        return
    begun = time.monotonic()
    with Progress(Line(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def watch(now: Moment) -> None:
            nonlocal begun
            line = bar_line(now, epochs, now.step, now.steps, time.monotonic() - begun, "")
            bar.update(task, description=fitted(line, now.step / now.steps, console.width))
            if now.step == now.steps:
                begun = time.monotonic()

        yield watch


def bar_line(
    of: Moment | Epoch, epochs: int, step: int, steps: int, seconds: float, more: str
) -> str:
    """Return the line of a progress bar with ``{bar}`` in the place of the bar."""
    left = seconds / step * (steps - step)
    notes = f"loss: {of.loss:.4f}, acc: {of.accuracy:.4f}{temperatures(of)}{more}"
    done = f"{100 * step / steps:3.0f}%|{{bar}}| {step}/{steps}"
    return f"Epoch {of.epoch}/{epochs}: {done} [{clock(seconds)}<{clock(left)}, {notes}]"


def fitted(line: str, share: float, width: int) -> str:
    """Return a line with a bar that is as long as the terminal allows."""
    length = min(LONGEST, max(SHORTEST, width - len(line.format(bar="")) - 1))
    return line.format(bar=("█" * round(share * length)).ljust(length))


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"


def temperatures(of: Moment | Epoch) -> str:
    """Return the temperatures as text for a progress bar."""
    found = of.temperatures
    if len(set(found.values())) == 1:
        return f", temp: {next(iter(found.values())):.2e}"
    return "".join(f", {name}: {value:.2e}" for name, value in found.items())


def finished_line(epoch: Epoch, run: Run, width: int) -> str:
    """Return the progress bar of an epoch that has ended, with the accuracy that counts."""
    found = f", val: {getattr(epoch, run.config.select):.4f}"
    line = bar_line(epoch, run.config.epochs, run.steps, run.steps, epoch.seconds, found)
    mark = " best" if run.best is epoch else ""
    return fitted(line, 1.0, width - len(mark)) + mark


def line_of(epoch: Epoch, run: Run, width: int = 0) -> str:
    """Return the results of an epoch in one line, for a file."""
    if run.model.TEMPERATURES:
        found = f"soft {epoch.soft:.4f}, hard {epoch.hard:.4f}, gap {epoch.gap:+.4f}"
    else:
        found = f"{epoch.soft:.4f}"
    best = ", best" if run.best is epoch else ""
    return (
        f"Epoch {epoch.epoch}/{run.config.epochs}: loss: {epoch.loss:.4f}, "
        f"acc: {epoch.accuracy:.4f}{temperatures(epoch)}, {epoch.split}: {found}{best}"
    )


def in_words(found: Mapping[str, float]) -> str:
    """Return accuracies on both paths in words, or the only one of a model without a memory."""
    if len(found) == 1:
        return in_percent(next(iter(found.values())))
    return ", ".join(f"{path} {in_percent(value)}" for path, value in found.items())


def measured(epoch: Epoch, run: Run) -> dict[str, float]:
    """Return the accuracies of an epoch by path; one alone if the model has no memory."""
    found = {"soft": epoch.soft, "hard": epoch.hard}
    return found if run.model.TEMPERATURES else {"soft": epoch.soft}


def summary(run: Run, tested: Mapping[str, float]) -> str:
    """Return how good the best and the last epoch are."""
    best, last = run.best, run.history[-1]
    assert best is not None
    title = f"Training finished: {run.model.KIND} on {run.about['dataset']}, {run.backend}"
    return "\n".join(
        (
            title,
            f"  Best epoch: {best.epoch} of {run.config.epochs}{temperatures(best)}",
            f"    validation accuracy: {in_words(measured(best, run))}",
            f"    test accuracy: {in_words(tested)}",
            f"  Last epoch: {last.epoch}{temperatures(last)}",
            f"    validation accuracy: {in_words(measured(last, run))}",
        )
    )


def facts_of(run: Run, tested: Mapping[str, float]) -> dict[str, Any]:
    """Return a run for JSON."""
    assert run.best is not None
    assert run.folder is not None
    return {
        "model": {"kind": run.model.KIND, "settings": run.model.to_dict()},
        "config": run.config.to_dict(),
        "backend": run.backend,
        **run.about,
        "folder": str(run.folder),
        "written": [str(run.folder / name) for name in (BEST, LAST, HISTORY)],
        "best": run.best._asdict(),
        "test": dict(tested),
        "history": [epoch._asdict() for epoch in run.history],
    }
