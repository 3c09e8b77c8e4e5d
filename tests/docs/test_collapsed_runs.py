"""The page on temperature floors counts the runs that collapse as the study counts them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hopcore.experiments.annealing.distributions import COLLAPSED, ROUNDING
from hopcore.experiments.annealing.temperature_floor import fixes
from hopcore.experiments.annealing.trials import Trial
from hopcore.files._csv import from_csv

RESULTS = Path(__file__).parents[2] / "docs" / "results"
CAUSES = "temperature-floor-causes"


@cache
def trials_of(name: str) -> list[Trial]:
    return from_csv((RESULTS / f"{name}.csv").read_text(encoding="utf-8"), Trial)


def page() -> str:
    return " ".join((RESULTS / "temperature-floor.md").read_text(encoding="utf-8").split())


def lost(trial: Trial) -> float:
    return trial.best - trial.hard


def paths_are_near(trial: Trial) -> bool:
    return trial.soft - trial.hard < 0.01 + ROUNDING


def collapsed(trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if lost(trial) > COLLAPSED + ROUNDING]


def test_one_run_of_a_hundred_collapses_and_its_loss_stands_on_the_page() -> None:
    trials = trials_of("temperature-floor")
    (one,) = collapsed(trials)
    assert len(trials) == 100
    assert (one.arm, one.epochs, one.seed) == ("frozen after 15", 120, 8)
    stated = f"with 120 epochs and seed 8, which loses {100 * lost(one):.1f} points"
    assert stated in page()


def test_the_page_counts_the_runs_that_collapse_by_the_rate_and_the_arm() -> None:
    trials = trials_of(CAUSES)
    arms = list(dict.fromkeys(trial.arm for trial in trials))
    assert "| model | " + " | ".join(arms) + " |" in page()
    for model in dict.fromkeys(trial.model for trial in trials):
        fell = [trial.arm for trial in collapsed(trials) if trial.model == model]
        counts = " | ".join(str(fell.count(arm)) for arm in arms)
        assert f"| {model} | {counts} |" in page()


def test_the_page_counts_the_runs_in_which_both_paths_fall() -> None:
    fell = collapsed(trials_of(CAUSES))
    places = [(trial.model, trial.arm) for trial in fell]
    whole = [one for one, place in zip(fell, places, strict=True) if places.count(place) == 10]
    rest = [one for one in fell if one not in whole]
    alone = [one for one in rest if one.soft > one.best - ROUNDING]
    both, some = (sum(map(paths_are_near, part)) for part in (whole, rest))
    assert f"in {both} of these {len(whole)} runs, the two paths end within 1 point" in page()
    stated = (
        f"In the other {len(rest)} collapsed runs this is so in {some}, and in {len(alone)} the"
    )
    assert stated in page()


def test_the_page_counts_the_runs_that_lose_much() -> None:
    names = [f"temperature-floor{name}" for name in ("", "-jump", "-causes", "-cures")]
    trials = [one for name in names for one in trials_of(name) if one.arm != "as it is"]
    deep = [one for one in trials if lost(one) > 0.2 + ROUNDING]
    stated = f"Of the {len(deep)} runs of this page on digits that lose more than 20 points, the"
    near = sum(map(paths_are_near, deep))
    assert f"{stated} paths end within 1 point of each other in {near}." in page()


def test_the_runs_as_they_are_are_those_of_the_causes() -> None:
    for name in ("to 0.01", "no commitment"):
        ours, theirs = (
            {trial.seed: trial.hard for trial in trials_of(data) if trial[1:3] == place}
            for data, place in (
                ("temperature-floor-cures", (f"VQ, {name}", "as it is")),
                (CAUSES, ("VQ, rate 0.01", name)),
            )
        )
        assert len(ours) == 10
        assert ours == theirs
    assert "*as it is*, which gives the same runs as above" in page()


def test_arms_are_trained_alike_until_their_temperatures_differ() -> None:
    steps, epochs = 45, 30
    arms = {arm.name: arm.config.schedule_of(steps) for arm in fixes([epochs])}
    for name, wanted in (("floor 0.5", 23), ("frozen after 15", 16)):
        pairs = ((arms[name](step), arms["floor 0.1"](step)) for step in range(steps * epochs))
        alike = next(step for step, (ours, theirs) in enumerate(pairs) if ours != theirs)
        assert alike == wanted * steps
    assert "trained exactly as *floor 0.1* for 23 and 16 epochs" in page()
