"""What the studies of diffusion compare: lists of methods of one strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._modes import OPERATORS
from hopcore.experiments.diffusion.settings import Method
from hopcore.graphs._graph import NORMALIZATIONS

STEPPED = ("factored", "iterative")
"""The modes that take T steps of eta; the others are given T eta at once."""


class Strength(NamedTuple):
    """Lists of what the methods of a study share."""

    etas: Sequence[float]
    steps: Sequence[int]
    neighbours: Sequence[int]
    normalization: str

    def configs(self, **settings: Any) -> list[DiffusionConfig]:
        """A configuration for each combination."""
        return [
            DiffusionConfig(eta=eta, steps=steps, k_neighbors=k, **settings)
            for eta, steps, k in product(self.etas, self.steps, self.neighbours)
        ]


def three_values(given: Strength) -> list[Method]:
    """Tied, evolving and untied."""
    names = ("tied", "evolving", "untied")
    found = [
        Method(name, name, config, given.normalization)
        for config, name in product(given.configs(), names)
    ]
    # An evolving memory of no steps retrieves nothing.
    return [method for method in found if method.values != "evolving" or method.config.steps]


def parts(given: Strength) -> list[Method]:
    """Diffused keys, queries or both, with tied and with untied values."""
    found = []
    for key, query in ((True, False), (False, True), (True, True)):
        what = "both" if key and query else "keys" if key else "queries"
        for config in given.configs(diffuse_key=key, diffuse_query=query):
            for values in ("tied", "untied") if key else ("untied",):
                name = f"{what}, {values}" if key else what
                found.append(Method(name, values, config, given.normalization))
    return found


def modes(given: Strength) -> list[Method]:
    """The six operators on the three Laplacians, at equal total strength T eta; tied values."""
    found = []
    for mode, normalization in product(OPERATORS, NORMALIZATIONS):
        for config in given.configs(diffusion_mode=mode):
            times = 1 if mode in STEPPED else config.steps
            whole = replace(config, eta=config.eta * times)
            found.append(Method("tied", "tied", whole, normalization))
    return found


def logits(given: Strength) -> list[Method]:
    """Diffused features, diffused association weights, both, and an eta that adapts."""
    kinds: dict[str, dict[str, Any]] = {
        "feature": {},
        "logit": {"diffuse_key": False, "use_logit_diffusion": True},
        "feature + logit": {"use_logit_diffusion": True},
        "adaptive, sample": {"adaptive_eta": "sample"},
        "adaptive, query": {"adaptive_eta": "query"},
    }
    return [
        Method(name, "untied", config, given.normalization)
        for name, settings in kinds.items()
        for config in given.configs(**settings)
    ]


def takes_distances(method: Method) -> bool:
    """Whether diffused retrieval compares by distance with this method."""
    config = method.config
    once = config.use_logit_diffusion or config.adaptive_eta == "query"
    return method.values != "evolving" and not once
