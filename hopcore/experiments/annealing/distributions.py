"""Trainings that are unstable, as distributions over the seeds: no mean describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hopcore.experiments.annealing.trials import Trial
from hopcore.experiments.samples import (
    Quartiles,
    distribution,
    in_hundredths,
    interval,
    quartiles,
    with_limits,
)
from hopcore.experiments.tables import Summary, grouped

COLLAPSED = 0.05
"""A run has collapsed if its last epoch is worse than its best by more than this share."""

ROUNDING = 2e-5
"""How far two accuracies of a file, which have five digits, may be from their difference."""


class Arm(NamedTuple):
    """An arm over all seeds: accuracies of the two paths after the last epoch, and what was lost.

    ``collapsed`` counts the seeds whose hard path lost more than :data:`COLLAPSED` between the best
    epoch and the last. ``more`` is the mean of the differences from the hard path of the first arm
    of the model, seed by seed, with its 95 % interval. ``gap`` is soft minus hard.
    """

    model: str
    arm: str
    seeds: int
    soft: Quartiles
    hard: Quartiles
    lost: Quartiles
    most_lost: float
    gap: Quartiles
    collapsed: int
    more: tuple[float, float | None, float | None]

    def facts(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        mean, low, high = self.more
        ranges = {
            name: value._asdict()
            for name, value in self._asdict().items()
            if isinstance(value, Quartiles)
        }
        return {**self._asdict(), **ranges, "more": {"mean": mean, "low": low, "high": high}}


def summary(trials: Sequence[Trial]) -> list[Arm]:
    """A line for each arm, models and arms in their order."""
    groups = grouped(trials, lambda trial: (trial.model, trial.arm))
    models = list(dict.fromkeys(model for model, _ in groups))
    found = []
    for model, arm in sorted(groups, key=lambda place: models.index(place[0])):
        own = groups[model, arm]
        first = next(arms for arms in groups if arms[0] == model)
        hard = {trial.seed: trial.hard for trial in groups[first]}
        lost = [trial.best - trial.hard for trial in own]
        line = Arm(
            model, arm, len(own), quartiles([trial.soft for trial in own]),
            quartiles([trial.hard for trial in own]), quartiles(lost), max(lost),
            quartiles([trial.soft - trial.hard for trial in own]),
            sum(one > COLLAPSED + ROUNDING for one in lost),
            interval([trial.hard - hard[trial.seed] for trial in own]),
        )  # fmt: skip
        found.append(line)
    return found


def table(lines: Sequence[Arm], title: str = "") -> Summary:
    """Return the summary."""
    rows = [
        [
            one.model, one.arm, in_hundredths(one.soft.median), distribution(one.hard),
            in_hundredths(one.hard.worst), distribution(one.lost), in_hundredths(one.most_lost),
            f"{one.collapsed} of {one.seeds}", in_hundredths(one.gap.median),
            with_limits(*one.more),
        ]
        for one in lines
    ]  # fmt: skip
    right = ["soft", "hard", "worst", "lost", "most", "collapsed", "gap", "more than first"]
    caption = (
        f"%, median or median (quartiles) over {lines[0].seeds} seeds\n"
        f"collapsed: more than {COLLAPSED:.0%} lost since the best epoch, hard path\n"
        "gap: soft path less hard path; more than first: hard path less that of the model's\n"
        "first arm, mean of the differences of the seeds (95 % confidence interval)"
    )
    return Summary(["model", "arm"], right, rows, title, caption)
