r"""The loop that alternates diffusion over a graph with association.

There are three choices of the values that are recalled:

- **tied**: keys and values are both diffused. The memory is D X, and every statement about a memory
  holds for it.
- **evolving**: keys are diffused a little in every step, and the values are the keys of that step.
  The joint energy never rises (:func:`hopcore.diffusion.joint_weight`).
- **untied**: keys are diffused, and the values are those given. Diffusion-augmented layers compute
  one such association; if it is repeated, it can cycle and may not converge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._inputs import Inputs, check_inputs, own
from hopcore.arrays._library import quiet
from hopcore.arrays._scalar_checks import short_repr
from hopcore.diffusion._config import DiffusionConfig
from hopcore.diffusion._energy_tracker import EnergyTracker
from hopcore.diffusion._graph_attention import (
    AttentionOperator,
    anchored,
    diffused_weights,
    own_anchors,
)
from hopcore.diffusion._modes import diffusion_operator
from hopcore.diffusion._operator import DiffusionOperator
from hopcore.graphs._graph import Graph
from hopcore.graphs._knn import knn_graph
from hopcore.graphs._laplacian import Laplacian
from hopcore.memory._separation import get_separation
from hopcore.memory._stopping_loop import broadcast_state

Values = Literal["tied", "evolving", "untied"]


@suggest_names
class DynamicsEngine:
    """The loop of diffusion and association, with a diffusion operator and an attention.

    Parameters
    ----------
    diffusion : DiffusionOperator
        The operator over the graph of the stored patterns. It is applied ``config.steps`` times, or
        once if it is ``one_shot``.
    attention : AttentionOperator
        The association.
    config : DiffusionConfig
        ``steps``, ``diffuse_key``, ``diffuse_query``, ``use_logit_diffusion``, ``logit_eta`` and
        ``energy_stop_tol`` are used, and the settings of the graph for a graph of the queries.
    values : {"untied", "tied", "evolving"}
        Which values are recalled: those given, values diffused like the keys, or the keys of every
        step, with an update of the state after each step.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> X = np.asarray([[1.0, 0.0], [0.8, 0.6]])
    >>> config = hopcore.DiffusionConfig(eta=0.1, steps=5)
    >>> graph = hopcore.GraphCache(config).get(X)
    >>> diffusion = hopcore.FactoredDiffusion(graph.W, graph.deg, config.eta)
    >>> engine = hopcore.DynamicsEngine(diffusion, hopcore.AttentionOperator(beta=9.0), config)
    >>> recalled, keys = engine.run(X, X, X)
    >>> keys.round(3)
    array([[0.933, 0.202],
           [0.867, 0.398]])
    """

    def __init__(
        self,
        diffusion: DiffusionOperator,
        attention: AttentionOperator,
        config: DiffusionConfig,
        *,
        values: Values = "untied",
    ) -> None:
        if values not in get_args(Values):
            raise ValueError(
                f"values must be 'tied', 'evolving' or 'untied', got {short_repr(values)}"
            )
        self.diffusion, self.attention, self.config = diffusion, attention, config
        self.values: Values = values

    def __repr__(self) -> str:
        parts = f"{self.diffusion!r}, {self.attention!r}, {self.config!r}"
        return f"DynamicsEngine({parts}, values={self.values!r})"

    @quiet
    def run(
        self,
        state: Array,
        stored: Array,
        projection: Array | None = None,
        *,
        mask: Array | None = None,
        tracker: EnergyTracker | None = None,
    ) -> tuple[Array, Array]:
        """Return the recalled patterns ``(..., L, v)`` and the stored patterns after diffusion.

        Parameters
        ----------
        state : array (..., L, d)
            Queries. If this is the same array object as ``stored`` and the attention follows the
            graph, each query is its own anchor.
        stored : array (..., S, d)
            Keys.
        projection : array (..., S, v), optional
            Values; the stored patterns if not given.
        mask : boolean array broadcastable to (..., L, S), optional
            True where a query may attend.
        tracker : EnergyTracker, optional
            Records the energies of every step.
        """
        inputs = check_inputs(state, stored, projection, beta=self.attention.beta, mask=mask)
        inputs = unattended_as_zeros(inputs, projection is not None)
        anchors = own_anchors(state) if state is stored else None
        moved, *_ = self.advance(inputs, projected=projection is not None, tracker=tracker)
        keys = own(inputs.backend, moved.stored, stored)
        if self.values == "evolving" and projection is None:
            return own(inputs.backend, moved.state, state), keys
        return self.associate(moved, anchors), keys

    def advance(
        self, inputs: Inputs, *, projected: bool, tracker: EnergyTracker | None = None
    ) -> tuple[Inputs, Array, int | Array]:
        """Return the inputs, including the values, after all steps of diffusion.

        Also return the state before the last step, and the number of steps, or of those of each
        sample.
        """
        config, step = self.config, self.diffusion.step
        if tracker is not None and not tracker.enabled:
            tracker = None
        if config.diffuse_query:
            inputs = inputs._replace(state=diffused_queries(inputs, config))
        evolving = self.values == "evolving"
        steps = 1 if self.diffusion.one_shot and not evolving else config.steps
        tied = self.values != "untied"
        if tied and not projected:
            inputs = inputs._replace(projection=inputs.stored)

        def one_step(inputs: Inputs) -> Inputs:
            if config.diffuse_key:
                keys = step(inputs.stored)
                values = inputs.projection
                if tied:
                    values = step(values) if projected else keys
                inputs = inputs._replace(stored=keys, projection=values)
            if evolving:
                memory = inputs._replace(projection=inputs.stored)
                inputs = inputs._replace(state=self.associate(memory, None))
            return inputs

        before = inputs.state
        if not evolving and not config.diffuse_key:
            steps = 0
        if config.energy_stop_tol > 0:
            return advance_until_settled(
                inputs, one_step, steps, config.energy_stop_tol, self.diffusion, tracker
            )
        if tracker is not None:
            tracker.record(inputs, self.diffusion.laplacian)
        for _ in range(steps):
            before, inputs = inputs.state, one_step(inputs)
            if tracker is not None:
                tracker.record(inputs, self.diffusion.laplacian)
        return inputs, before, steps

    def associate(self, inputs: Inputs, anchors: Array | None) -> Array:
        """Associate once: with all patterns, with anchors' neighbours, or with diffused weights."""
        if self.config.use_logit_diffusion:
            return diffused_weights(inputs, self.of_weights())
        if self.attention.mode == "graph":
            return anchored(inputs, self._graph(), anchors)
        return inputs.backend.associate(*inputs[2:], get_separation("softmax"))[0]

    def _graph(self) -> Graph:
        laplacian = self.diffusion.laplacian
        if not isinstance(laplacian, Laplacian):
            raise ValueError("attention over the graph needs an operator made from a Graph")
        return laplacian.graph

    def of_weights(self) -> DiffusionOperator:
        """Return the operator that diffuses association weights."""
        config, laplacian = self.config, self.diffusion.laplacian
        if laplacian is None:
            raise ValueError("logit diffusion needs an operator that has a Laplacian")
        eta = config.eta if config.logit_eta is None else config.logit_eta
        return diffusion_operator(laplacian, eta, config.diffusion_mode, config.steps)


def unattended_as_zeros(inputs: Inputs, projected: bool) -> Inputs:
    """Return the inputs with zeros where no query may attend, as diffusion uses them."""
    backend, _, _, stored, projection, _, mask = inputs
    if mask is None:
        return inputs
    stored = backend.without_unattended(stored, mask)
    values = backend.without_unattended(projection, mask) if projected else stored
    return inputs._replace(stored=stored, projection=values)


def diffused_queries(inputs: Inputs, config: DiffusionConfig) -> Array:
    """Return the state patterns, diffused over a graph of their own."""
    if 0 in inputs.state.shape:
        return inputs.state
    graph = knn_graph(inputs.state, config.k_neighbors).using(config.normalization)
    return diffusion_operator(graph, config.eta, config.diffusion_mode, config.steps)(inputs.state)


def advance_until_settled(
    inputs: Inputs,
    one_step: Callable[[Inputs], Inputs],
    steps: int,
    tol: float,
    diffusion: DiffusionOperator,
    tracker: EnergyTracker | None,
) -> tuple[Inputs, Array, Array]:
    """Advance each sample until the mean energy of its queries changes by less than ``tol``."""
    backend, xp = inputs.backend, inputs.xp
    inputs = broadcast_state(inputs)
    lead = inputs.state.shape[:-2]

    def full(x: Array) -> Array:
        return xp.broadcast_to(x, (*lead, *x.shape[-2:]))

    inputs = inputs._replace(stored=full(inputs.stored), projection=full(inputs.projection))
    if steps == 0:  # these views of the caller's arrays would be the results
        inputs = inputs._replace(
            state=backend.copied(inputs.state), stored=backend.copied(inputs.stored)
        )
    recorder = tracker or EnergyTracker(enabled=False)

    def mean_energy(inputs: Inputs) -> Array:
        energy = recorder.record(inputs, diffusion.laplacian)
        # Queries that may attend to nothing do not count.
        total = xp.sum(xp.where(energy < math.inf, energy, 0.0), axis=-1)
        return total / max(energy.shape[-1], 1)

    energy, before = mean_energy(inputs), inputs.state
    active = xp.ones_like(energy, dtype=xp.bool)
    counts = xp.zeros_like(energy, dtype=xp.int32)
    for _ in range(steps):
        if backend.can_read_values(inputs.state) and not bool(xp.any(active)):
            break
        new, chosen = one_step(inputs), active[..., None, None]
        before = xp.where(chosen, inputs.state, before)
        inputs = inputs._replace(
            state=xp.where(chosen, new.state, inputs.state),
            stored=xp.where(chosen, new.stored, inputs.stored),
            projection=xp.where(chosen, new.projection, inputs.projection),
        )
        counts = counts + backend.astype(active, xp.int32)
        new_energy = mean_energy(inputs)
        active = active & (xp.abs(new_energy - energy) >= tol)
        energy = new_energy
    return inputs, before, counts
