"""Pictures of trainings: accuracies over the epochs, and the temperature beneath."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hopcore import plots
from hopcore.training._run_files import Epoch


def draw(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Draw accuracies, loss and temperatures of a run; of a model without a memory, no paths."""
    figure = plots.new_figure(7.2, 5.6, dpi=110)
    annealed, split = bool(history[0].temperatures), history[0].split
    ratios = (3, 1.5, 1.5) if annealed else (3, 1.5)
    top, middle, *rest = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
    epochs = [epoch.epoch for epoch in history]
    named = {"soft path": "soft", "hard path": "hard"} if annealed else {split: "soft"}
    lines = {
        label: [100.0 * getattr(epoch, name) for epoch in history]
        for label, name in {"training": "accuracy", **named}.items()
    }
    note = f"soft and hard: {split} images" if annealed else f"{split}: images that do not train"
    plots.heading(plots.over(epochs, lines, ax=top), "Accuracy, %", note)
    plots.heading(
        plots.over(epochs, {"loss": [e.loss for e in history]}, log=True, ax=middle), "Loss"
    )
    for bottom in rest:
        temperatures = {
            name: [epoch.temperatures[name] for epoch in history]
            for name in history[0].temperatures
        }
        plots.heading(plots.temperature_history(epochs, temperatures, ax=bottom), "Temperature")
        bottom.set_ylabel("")
    plots.save(plots.caption(figure, title), path)
