"""A fault in a computation moves a figure of the repeated run out of its interval."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rerun.__main__ import DATA, needs_data, verdicts
from rerun.table import Repeat, repeats

import hopcore
from hopcore.__main__ import main
from hopcore.experiments import retrieval
from hopcore.experiments.capacity import trials as capacity
from hopcore.experiments.papers import denoising, separation_loss
from hopcore.prepared import _compaction

Patch = pytest.MonkeyPatch


def with_beta(function: Callable[..., Any], place: int, factor: float) -> Callable[..., Any]:
    """The function with another inverse temperature, where it is given one."""

    def wrong(*given: Any, **options: Any) -> Any:
        words = list(given)
        if len(words) > place:
            words[place] = factor * words[place]
        return function(*words, **options)

    return wrong


def retrieved_at_a_tenth(patch: Patch) -> None:
    patch.setattr(hopcore, "retrieve", with_beta(hopcore.retrieve, 2, 0.1))


def jobs_at_ten_times(patch: Patch) -> None:
    patch.setattr(retrieval, "run_job", with_beta(retrieval.run_job, 2, 10.0))


def capacity_at_a_tenth(patch: Patch) -> None:
    patch.setattr(capacity, "best_beta", lambda *given: 0.1 * best(*given))


best = capacity.best_beta


def appear_late(patch: Patch) -> None:
    right = hopcore.critical_betas

    def wrong(*given: Any, **options: Any) -> Any:
        found = right(*given, **options)
        return found._replace(appear=1.01 * found.appear)

    patch.setattr(hopcore, "critical_betas", wrong)


def another_beta(patch: Patch) -> None:
    kind = pytest.importorskip("hopcore.sklearn").HopfieldRegressor
    right = kind.fit

    def wrong(self: Any, *given: Any, **options: Any) -> Any:
        found = right(self, *given, **options)
        found.beta_ = 0.1 * found.beta_
        return found

    patch.setattr(kind, "fit", wrong)


def clusters_without_sizes(patch: Patch) -> None:
    right = _compaction.merged_rows

    def wrong(*given: Any) -> Any:
        new, place, moments = right(*given)
        return replace(new, bias=0.0 * np.asarray(new.bias)), place, moments

    patch.setattr(_compaction, "merged_rows", wrong)


def minima_at_a_lower_beta(patch: Patch) -> None:
    patch.setattr(hopcore.phase, "compact_minima", with_beta(hopcore.phase.compact_minima, 1, 0.9))


def unscaled(patch: Patch) -> None:
    patch.setattr(denoising, "scale_of", lambda *given: 1.0)


def untrained(patch: Patch) -> None:
    patch.setattr(separation_loss, "EPOCHS", 0)


FAULTS: dict[str, Callable[[Patch], None]] = {
    "retrieval.csv": jobs_at_ten_times,
    "capacity.csv": capacity_at_a_tenth,
    "compact.csv": clusters_without_sizes,
    "capacity-masked.csv": retrieved_at_a_tenth,
    "diffusion-noise-digits.csv": retrieved_at_a_tenth,
    "diffusion-noise-distance-digits.csv": retrieved_at_a_tenth,
    "transition-digits.csv": appear_late,
    "suggested-beta-digits.csv": retrieved_at_a_tenth,
    "completion.csv": retrieved_at_a_tenth,
    "estimators.csv": another_beta,
    "papers-denoising.csv": unscaled,
    "papers-emergent-minima.csv": minima_at_a_lower_beta,
    "papers-exponential-capacity.csv": retrieved_at_a_tenth,
    "papers-separation-loss.csv": untrained,
}
"""Faults by the data of the page; those of trainings are in ``tests/docs/test_rerun_table.py``."""


def within(words: Sequence[str]) -> None:
    """Run a command line in this process, where a fault can be planted."""
    with pytest.raises(SystemExit) as done:
        main(words)
    assert not done.value.code


@pytest.mark.parametrize("one", [one for one in repeats()[0] if one.data in FAULTS],
                         ids=lambda one: one.data)  # fmt: skip
def test_a_fault_is_found(one: Repeat, monkeypatch: Patch) -> None:
    if needs_data(one) and DATA not in os.environ:
        pytest.skip(f"{DATA} does not name a folder with data")
    data = Path(os.environ[DATA]) if DATA in os.environ else None
    FAULTS[one.data](monkeypatch)
    found = list(verdicts(one, data, within))
    assert any(not verdict.agrees for verdict in found), "\n".join(map(str, found))
