"""Pictures of trainings: accuracies over the epochs, and the temperature beneath."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hopcore import plots
from hopcore.training._run_files import Epoch


def draw(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Draw a run: accuracies of both paths and of the training; the loss; the temperatures."""
    figure = plots.new_figure(7.2, 5.6, dpi=110)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.5, 1.5))
    epochs = [epoch.epoch for epoch in history]
    accuracies = {"training": "accuracy", "soft path": "soft", "hard path": "hard"}
    lines = {
        label: [100.0 * getattr(epoch, name) for epoch in history]
        for label, name in accuracies.items()
    }
    plots.heading(plots.over(top, epochs, lines), "Accuracy, %", "soft and hard: test samples")
    plots.heading(plots.over(middle, epochs, {"loss": [e.loss for e in history]}, log=True), "Loss")
    temperatures = {
        name: [epoch.temperatures[name] for epoch in history] for name in history[0].temperatures
    }
    plots.heading(plots.temperature_history(bottom, epochs, temperatures), "Temperature")
    bottom.set_ylabel("")
    plots.save(plots.caption(figure, title), path)
