"""The settings and the results of a trial of diffusion, which are the columns of the CSV files."""

from __future__ import annotations

from typing import Any, NamedTuple

from hopcore.diffusion._config import DiffusionConfig
from hopcore.memory import Similarity

PLAIN = "plain"


class Method(NamedTuple):
    """One way to retrieve.

    Attributes
    ----------
    name : str
        What is shown; ``"plain"`` diffuses nothing.
    values : str
        As in :func:`hopcore.diffused_retrieve`.
    config : DiffusionConfig
        Where the Laplacian is not normalised, its eta counts per mean degree of the graph: so that
        one eta is one strength for every normalisation.
    normalization : str
        ``"none"``, ``"symmetric"`` or ``"random_walk"``; what the configuration says is not used.
    """

    name: str
    values: Any = "tied"
    config: DiffusionConfig = DiffusionConfig()
    normalization: Any = "none"


class Setting(NamedTuple):
    """What a trial measures; of plain retrieval, the settings of diffusion are empty or 0.

    ``level`` is the effective inverse temperature of the memory before diffusion: beta times the
    mean squared distance of two patterns, halved.
    """

    method: str
    mode: str
    normalization: str
    eta: float
    steps: int
    neighbours: int
    stored: int
    corruption: str
    updates: int
    level: float
    similarity: Similarity = "dot"


class Trial(NamedTuple):
    """One memory, one setting.

    ``exact`` is the share of queries whose output is nearest to the wanted stored pattern,
    ``label`` the share whose output is nearest to a stored pattern of the wanted label; ``same_*``,
    ``spread_*`` and ``entropy_*`` are the same shares of plain retrieval at the same beta, at equal
    spread and at equal entropy. ``effective`` is beta times the spread of the diffused memory,
    ``entropy`` the mean entropy of the association weights in nats. None where it is not defined.
    """

    setting: Setting
    seed: int
    beta: float
    effective: float | None
    entropy: float | None
    exact: float
    label: float
    same_exact: float
    same_label: float
    spread_exact: float | None
    spread_label: float | None
    entropy_exact: float | None
    entropy_label: float | None
    milliseconds: float


def setting_of(
    method: Method, size: int, corruption: str, level: float, updates: int, similarity: Similarity
) -> Setting:
    """Return what a trial measures."""
    config = method.config
    if method.name == PLAIN:
        return Setting(PLAIN, "", "", 0.0, 0, 0, size, corruption, updates, level, similarity)
    updates = config.steps if method.values == "evolving" else updates
    return Setting(
        method.name, config.diffusion_mode, method.normalization, config.eta, config.steps,
        config.k_neighbors, size, corruption, updates, level, similarity,
    )  # fmt: skip


def rounded(setting: Setting) -> Setting:
    """Return a setting as a CSV file holds it, whose numbers have five digits."""
    eta, level = (float(f"{value:.5g}") for value in (setting.eta, setting.level))
    return setting._replace(eta=eta, level=level)
