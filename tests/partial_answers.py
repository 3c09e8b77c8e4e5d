"""A memory of which few patterns matter, and how many queries are answered from few patterns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hopcore.prepared._answers import Answers

RNG = np.random.default_rng(0)
STORED = RNG.standard_normal((4000, 16)) @ RNG.standard_normal((16, 300)) / 4.0
STORED = (STORED + 0.05 * RNG.standard_normal(STORED.shape)).astype(np.float32)
NEAR = (STORED[:70] + 0.1 * RNG.standard_normal((70, 300))).astype(np.float32)
"""Queries near stored patterns."""


def counted_answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets, for each call, the number of queries for which few were enough."""
    counts: list[int] = []
    right = Answers.partial

    def partial(self: Any, *given: Any) -> Any:
        found = right(self, *given)
        counts.append(0 if found is None else len(found.queries))
        return found

    monkeypatch.setattr(Answers, "partial", partial)
    return counts
