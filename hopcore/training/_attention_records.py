"""The mean statistics of the heads of a model, step by step, as plain rows."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._scalar_checks import as_integer
from hopcore.files._csv import csv_of
from hopcore.files._files import write_whole
from hopcore.layers._statistics import mean_statistics
from hopcore.memory._statistics import Statistics


class AttentionRecord(NamedTuple):
    """The mean statistics of one head of one layer at one step.

    Attributes
    ----------
    step : int
    layer : str
        The name of the layer in its model.
    head : int
    entropy : float
        The mean entropy of the weights over samples and queries; see :class:`hopcore.Statistics`.
    effective : float
        The mean effective number of patterns.
    largest : float
        The mean of the largest weights.
    log_sum_exp : float
        The mean log-sum-exp of the scores.
    energy : float
        The mean energy.
    used : float
        The effective number of stored patterns that receive; see
        :func:`hopcore.layers.mean_statistics`.
    queries : int
        How many queries were counted, padding left out.

    Examples
    --------
    >>> from hopcore.training import AttentionRecord
    >>> AttentionRecord(0, "first", 1, 0.7, 2.0, 0.5, 0.9, 0.1, 2.0, 3).head
    1
    """

    step: int
    layer: str
    head: int
    entropy: float
    effective: float
    largest: float
    log_sum_exp: float
    energy: float
    used: float
    queries: int


class AttentionRecords:
    """Collects the mean statistics of each layer and head.

    Parameters
    ----------
    every : int
        For monitors: of the steps, they record those that are a multiple of this number.

    Attributes
    ----------
    every : int
    records : list of AttentionRecord
        In the order in which they were added.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> from hopcore.training import AttentionRecords
    >>> collected = AttentionRecords()
    >>> collected.add(0, "first", hopcore.statistics(np.zeros((1, 3, 2)), np.eye(2)[None], 1.0))
    >>> collected.records[0].effective, collected.records[0].queries
    (2.0, 3)
    """

    def __init__(self, every: int = 1) -> None:
        self.every = as_integer("every", every, 1)
        self.records: list[AttentionRecord] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.records)} records>"

    def is_due(self, step: int) -> bool:
        """Return whether a monitor records this step: it is a multiple of ``every``."""
        return step % self.every == 0

    def add(
        self, step: int, layer: str, found: Statistics[Any], ignored: Any | None = None
    ) -> None:
        """Add the means of the statistics of a layer, a record for each head.

        Parameters
        ----------
        step : int
        layer : str
        found : Statistics
            ``(..., H, L)``, as a layer's ``statistics`` returns them.
        ignored : boolean array broadcastable to (..., L), optional
            **True = left out**: the queries that are padding.
        """
        backend = backend_of_input("entropy", found.entropy)
        found_means = mean_statistics(found, ignored)
        means = {name: backend.to_numpy(values) for name, values in found_means.items()}
        for head in range(len(means["queries"])):
            numbers = {name: float(values[head]) for name, values in means.items()}
            queries = int(numbers.pop("queries"))
            self.records.append(AttentionRecord(step, layer, head, **numbers, queries=queries))

    def add_all(self, step: int, found: Mapping[str, Statistics[Any]]) -> None:
        """Add the statistics of several layers, by their names."""
        for layer, statistics in found.items():
            self.add(step, layer, statistics)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the records to a ``.json`` file, a list of objects, or a ``.csv`` file.

        Raises
        ------
        ValueError
            Another suffix.
        """
        place = Path(path)
        if place.suffix == ".json":
            text = json.dumps([row._asdict() for row in self.records], indent=1) + "\n"
        elif place.suffix == ".csv":
            text = csv_of(AttentionRecord._fields, self.records, digits=None)
        else:
            raise ValueError(f"path must end in .json or .csv, got {place.name!r}")
        write_whole(place, lambda file: file.write(text.encode()))
