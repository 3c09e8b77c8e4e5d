"""Means of trials over the memories, and levels that are chosen on other memories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, get_type_hints

import numpy as np

from hopcore.experiments.diffusion.settings import PLAIN, Setting, Trial
from hopcore.experiments.tables import Spread, grouped, spread
from hopcore.files import _csv

RIVALS = ("same", "spread", "entropy")
"""Plain retrieval beside each trial, see :class:`~hopcore.experiments.diffusion.settings.Trial`."""

TIE = 2e-5
"""Mean shares that differ by less are equal. A CSV file has five digits of a share, and the means
over 60 memories of 256 queries differ by at least 6.5e-5 if they differ."""


class Line(NamedTuple):
    """One setting over all seeds: shares, and what they exceed plain retrieval by, in pairs.

    ``less`` has a key for each of ``same``, ``spread`` and ``entropy`` (see
    :class:`~hopcore.experiments.diffusion.settings.Trial`), for ``exact`` and ``label``. If the
    levels were chosen for one of these, there is also ``best`` of that one: less plain retrieval
    whose levels were chosen in the same way. The level of the setting is 0 then, and ``levels``
    names those that were chosen. Of the time it is the median.
    """

    setting: Setting
    levels: Sequence[float]
    seeds: int
    exact: Spread
    label: Spread
    milliseconds: float
    less: dict[str, Spread | None]

    def facts(self) -> dict[str, Any]:
        """As JSON knows it."""
        found: dict[str, Any] = {**self.setting._asdict(), "levels": self.levels}
        found["seeds"] = self.seeds
        for name in ("exact", "label"):
            found[name] = getattr(self, name)._asdict()
        found["milliseconds"] = self.milliseconds
        return found | {
            f"less_{name}": value and value._asdict() for name, value in self.less.items()
        }


def summary(trials: Iterable[Trial]) -> list[Line]:
    """One line for each setting, in the order in which they came."""
    groups = grouped(trials, lambda trial: trial.setting)
    return [line_of(setting, group, {}) for setting, group in groups.items()]


def at_chosen_levels(trials: Iterable[Trial], measure: str) -> list[Line]:
    """One line for each setting without its level, which is chosen on other memories.

    Memories with even seeds have the level that is best for those with odd seeds, and conversely.
    So no level is chosen on trials that are reported, and all memories are. A study of one memory
    has no others; its level is chosen on itself.
    """
    groups = grouped(trials, lambda trial: trial.setting._replace(level=0.0))
    chosen = {setting: chosen_trials(group, measure) for setting, group in groups.items()}
    lines = []
    for setting, group in chosen.items():
        (rival,) = (
            own
            for other, own in chosen.items()
            if other.method == PLAIN
            and (other.stored, other.corruption) == (setting.stored, setting.corruption)
        )
        best = [getattr(trial, measure) for trial in rival]
        lines.append(line_of(setting, group, {f"best_{measure}": best}))
    return lines


def chosen_trials(trials: Sequence[Trial], measure: str) -> list[Trial]:
    """Return the trials of each memory at the level that is best for the other half of them."""
    halves = grouped(trials, lambda trial: trial.seed % 2)
    found = []
    for parity, half in halves.items():
        level = best_level(halves.get(1 - parity, half), measure)
        found += [trial for trial in half if trial.setting.level == level]
    return sorted(found, key=lambda trial: trial.seed)


def best_level(trials: Sequence[Trial], measure: str) -> float:
    """Return the level with the highest mean; the lowest of those that are equally good."""
    levels = grouped(trials, lambda trial: trial.setting.level)
    means = {
        level: np.mean([getattr(trial, measure) for trial in own]) for level, own in levels.items()
    }
    return min(level for level, mean in means.items() if mean > max(means.values()) - TIE)


def line_of(setting: Setting, group: Sequence[Trial], best: Mapping[str, list[float]]) -> Line:
    """Return the line of trials; ``best`` has shares of plain retrieval, in the same order."""
    less: dict[str, Spread | None] = {}
    for name in ("exact", "label"):
        own = [getattr(trial, name) for trial in group]
        rivals = {
            f"{kind}_{name}": [getattr(t, f"{kind}_{name}") for t in group] for kind in RIVALS
        }
        for key in {f"best_{name}"} & set(best):
            rivals[key] = best[key]
        for key, theirs in rivals.items():
            pairs = list(zip(own, theirs, strict=True))
            some = all(other is not None for _, other in pairs)
            less[key] = spread(a - b for a, b in pairs) if some else None
    exact, label = (spread(getattr(t, name) for t in group) for name in ("exact", "label"))
    levels = sorted({trial.setting.level for trial in group})
    middle = float(np.median([trial.milliseconds for trial in group]))
    return Line(setting, levels, len(group), exact, label, middle, less)


COLUMNS = get_type_hints(Setting) | {
    name: hint for name, hint in get_type_hints(Trial).items() if name != "setting"
}
"""The columns of the CSV: a trial, whose setting has a column for each of its fields."""

Row: Any = NamedTuple("Row", list(COLUMNS.items()))  # type: ignore[misc]


def to_csv(trials: Iterable[Trial]) -> str:
    """Every trial as comma-separated values, with a header; empty where nothing is defined."""
    return _csv.csv_of(list(COLUMNS), ([*trial.setting, *trial[1:]] for trial in trials))


def from_csv(text: str) -> list[Trial]:
    """Read the trials that :func:`to_csv` wrote."""
    count = len(Setting._fields)
    return [Trial(Setting(*row[:count]), *row[count:]) for row in _csv.from_csv(text, Row)]
