"""The command ``hopcore experiment temperature-profiles``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from hopcore.experiments.data.sequences import TASKS
from hopcore.experiments.options import (
    METHOD,
    Batch,
    Device,
    Resume,
    TrainingBackend,
    option,
    tracked,
)
from hopcore.experiments.parsing import integers, names, unlike
from hopcore.experiments.study import Report, Study
from hopcore.experiments.temperature_profiles import files, report, trials


@dataclass(kw_only=True)
class TemperatureProfiles(Study):
    """Measure whether a transformer remembers better if it learns its temperatures.

    NAME-temperatures.csv and NAME-attention.npz are written beside the CSV after every training,
    and NAME-temperatures.png and NAME-attention.png beside the picture.
    """

    task: Annotated[str, option(METHOD, f"The tasks: {', '.join(TASKS)}.")] = ",".join(TASKS)
    distance: Annotated[str, option(METHOD, "The numbers of noise symbols before the query.")] = (
        "4,8,16,32"
    )
    arm: Annotated[
        str,
        option(
            METHOD,
            "MODE:PROFILE, where MODE is fixed, learned or quick, and PROFILE says where the "
            "temperatures start.",
            "--arm",
        ),
    ] = ",".join(map(str, trials.ARMS))
    seeds: Annotated[int, option(METHOD, "The number of seeds.", min=1)] = 3
    first_seed: Annotated[int, option(METHOD, "The first seed, instead of 0.", min=0)] = 0
    steps: Annotated[
        int, option(METHOD, "The number of batches for each task and distance.", min=1)
    ] = 192
    batch_size: Batch = 24
    d_model: Annotated[int, option(METHOD, "The number of features of a symbol.", min=1)] = 256
    d_ff: Annotated[int, option(METHOD, "The number of hidden features.", min=1)] = 512
    layers: Annotated[int, option(METHOD, "The number of encoder layers.", min=1)] = 4
    heads: Annotated[int, option(METHOD, "The number of heads of a layer.", min=1)] = 4
    backend: TrainingBackend = "torch"
    device: Device = None
    resume: Resume = False

    name = "temperature-profiles"
    example = "--task latch --seeds 1"
    row = trials.Trial

    def writes(self) -> dict[str, Path | None]:
        """Return the files of the study, with those beside the trials and the picture."""
        return super().writes() | {
            "--csv (temperatures)": files.beside(self.csv_path, "temperatures"),
            "--csv (attention)": files.beside(self.csv_path, "attention", ".npz"),
            "--plot (temperatures)": files.beside(self.plot_path, "temperatures"),
            "--plot (attention)": files.beside(self.plot_path, "attention"),
        }

    def measure(self) -> list[Any]:
        """Train what is not in the files; keep temperatures and attention beside the trials."""
        known = {str(arm): arm for arm in trials.ARMS}
        arms = [known[name] for name in names(self.arm, known, "arm")]
        fitting = trials.Fitting(
            tasks=names(self.task, TASKS, "task"),
            distances=sorted(unlike(integers(self.distance, "distance"), "distance")),
            width=self.d_model, hidden=self.d_ff, layers=self.layers, num_heads=self.heads,
            steps=self.steps, batch_size=self.batch_size, backend=self.backend,
            device=self.device,
        )  # fmt: skip
        resumed = self.resume and self.csv_path.exists()
        self.kept = files.read(self.csv_path) if resumed else files.Kept([], [], {})
        self.kept.check(fitting)
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        left = [case for case in product(arms, seeds) if case not in self.kept.done]
        run = trials.run_trials(arms, fitting, seeds, self.kept.done)
        for outcome in tracked(run, len(left)):
            self.kept.add(outcome)
            files.write(self.kept, self.csv_path)
        return self.kept.trials

    def report(self, rows: list[Any]) -> Report:
        """Summarise the trials and how far temperatures moved."""
        lines, moves = report.summary(rows), report.moves(self.kept.warmths)
        facts = {
            "study": self.name,
            "lines": [line.facts() for line in lines],
            "moves": [move.facts() for move in moves],
        }
        table = report.table(lines)
        markdown = "\n".join((table.markdown(), report.table_of_moves(moves).markdown()))
        return Report(facts, table.terminal(), markdown)

    def draw(self, rows: list[Any]) -> None:
        """Draw the trials, the temperatures where they were learned, and the attention."""
        report.draw(rows, self.plot_path)
        if any(one.mode != "fixed" for one in self.kept.warmths):
            beside = files.beside(self.plot_path, "temperatures")
            report.draw_temperatures(self.kept.warmths, beside)
        title = f"Attention of each layer and head to one sequence of {trials.SHOWN}"
        attention = self.kept.attention
        shown = {str(arm): attention[str(arm)] for arm in trials.ARMS if str(arm) in attention}
        report.draw_attention(shown, title, files.beside(self.plot_path, "attention"))
