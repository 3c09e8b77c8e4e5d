"""The settings of diffusion-augmented retrieval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._fields import check_types, known_fields
from hopcore.arrays._scalar_checks import (
    MOST,
    MOST_STEPS,
    check_bool,
    check_integer,
    check_number,
    check_one_of,
    check_positive,
)
from hopcore.diffusion._graph_attention import AttentionMode
from hopcore.diffusion._modes import OPERATORS, Mode
from hopcore.graphs._graph import Normalization

Adaptive: TypeAlias = Literal["sample", "query"]
"""For what an adaptive eta has a value of its own."""


@suggest_names
@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """The settings of diffusion-augmented retrieval; they are frozen and checked.

    Attributes
    ----------
    eta : float
        Strength of diffusion, >= 0.
    beta : float
        Inverse temperature, > 0, used if a call does not give one.
    steps : int
        T: explicit steps of diffusion, or joint steps of an evolving memory; >= 0.
    diffusion_mode : str
        ``"factored"``, ``"simple"``, ``"iterative"``, ``"spectral"``, ``"chebyshev"`` or
        ``"implicit"``; see :func:`hopcore.diffusion_operator`. Factored and iterative diffusion
        take T steps of eta; the other modes are applied once.
    attention_mode : {"dense", "graph"}
        Associate with all patterns, or with an anchor and its neighbours
        (:func:`hopcore.diffusion.anchored_association`).
    k_neighbors : int
        Neighbours that each pattern chooses in the graph, >= 1.
    use_normalized_laplacian : bool
        Use the symmetric Laplacian, with eigenvalues up to 2; otherwise the unnormalised one, for
        which eta should be divided by the mean degree. The symmetric Laplacian does not preserve
        the mean: if patterns share a large mean, the norms of well-connected patterns grow, and
        these patterns get the largest scores.
    use_sparse : bool
        This setting has no effect: graphs are always sparse.
    diffuse_key : bool
        Diffuse stored patterns.
    diffuse_query : bool
        Diffuse state patterns, over a graph of their own.
    use_logit_diffusion : bool
        Diffuse the association weights over the graph of the stored patterns.
    logit_eta : float, optional
        Strength of logit diffusion; eta if not given.
    adaptive_eta : bool, "sample" or "query"
        Scale eta by the entropy of the association weights before diffusion: one value for each
        sample (``True``), or for each query.
    adaptive_temperature : float
        Slope of ``eta sigmoid(temperature (H - threshold))``.
    adaptive_threshold : float
        The entropy H, in nats, at which half of eta is left.
    cache_graph : bool
        Whether a :class:`hopcore.GraphCache` keeps the graphs that it makes.
    energy_stop_tol : float
        Stop diffusing a sample once its energy changes by less than this in a step; 0 never stops.

    Examples
    --------
    >>> import hopcore
    >>> config = hopcore.DiffusionConfig(eta=0.2, diffusion_mode="chebyshev")
    >>> hopcore.DiffusionConfig.from_dict(config.to_dict()) == config
    True
    """

    eta: float = 0.1
    beta: float = 1.0
    steps: int = 3
    diffusion_mode: Mode = "factored"
    attention_mode: AttentionMode = "dense"
    k_neighbors: int = 5
    use_normalized_laplacian: bool = True
    use_sparse: bool = False
    diffuse_key: bool = True
    diffuse_query: bool = False
    use_logit_diffusion: bool = False
    logit_eta: float | None = None
    adaptive_eta: bool | Adaptive = False
    adaptive_temperature: float = 5.0
    adaptive_threshold: float = 1.0
    cache_graph: bool = True
    energy_stop_tol: float = 0.0

    def __post_init__(self) -> None:
        """Validate the settings."""
        for name in ("eta", "energy_stop_tol"):
            check_number(name, getattr(self, name), 0.0)
        if self.logit_eta is not None:
            check_number("logit_eta", self.logit_eta, 0.0)
        check_positive("beta", self.beta)
        check_number("adaptive_temperature", self.adaptive_temperature)
        check_number("adaptive_threshold", self.adaptive_threshold)
        for name, least, most in (("steps", 0, MOST_STEPS), ("k_neighbors", 1, MOST)):
            check_integer(name, getattr(self, name), least, most)
        for name in (
            "use_normalized_laplacian",
            "use_sparse",
            "diffuse_key",
            "diffuse_query",
            "use_logit_diffusion",
            "cache_graph",
        ):
            check_bool(name, getattr(self, name))
        check_one_of("diffusion_mode", self.diffusion_mode, OPERATORS)
        check_one_of("attention_mode", self.attention_mode, get_args(AttentionMode))
        check_one_of("adaptive_eta", self.adaptive_eta, (False, True, *get_args(Adaptive)))

    @property
    def normalization(self) -> Normalization:
        """Return the normalisation of the Laplacian that is used."""
        return "symmetric" if self.use_normalized_laplacian else "none"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as numbers, strings and booleans."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DiffusionConfig:
        """Return settings from a mapping; missing fields keep their default.

        Raises
        ------
        TypeError, ValueError
            A field does not exist, or its value is not allowed.
        """
        given = known_fields(cls, values)
        check_types(cls, given)
        return cls(**given)
