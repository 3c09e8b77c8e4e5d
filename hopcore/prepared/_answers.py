"""Answers of a snapshot that may leave patterns out: from few of them where these are enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hopcore.arrays import Array
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._numpy import NumpyBackend
from hopcore.memory._scores import PLAIN, Scores
from hopcore.prepared._found import Sketched
from hopcore.prepared._partial import MANY, Answer, answer_if_most, rounded
from hopcore.prepared._parts import Keys, Values, origin_of
from hopcore.prepared._snapshot import LARGEST, Snapshot, put
from hopcore.prepared._whole import whole_answer

NUMPY = NumpyBackend()
"""The kernels with which few patterns are associated."""

UNUSUAL = 1.5
"""A state with a value so many times larger than the largest of the patterns is not like them."""

WARM = 2.0
"""So many times below the warmest beta of a memory, no state is looked at."""

LOOKED = 8
"""How many states of a batch are looked at."""


@dataclass
class Answers:
    """The kernels of one call with a snapshot and states ``(..., L, d)``.

    Few patterns are enough for states on the CPU, whatever their library: NumPy reads their memory,
    and results are returned in the library of the states.

    Attributes
    ----------
    backend : PreparedBackend
    snapshot : Snapshot
    projection : part of a snapshot, array or None
        What is associated with the patterns.
    similarity : {"dot", "distance"}
    """

    backend: Any
    snapshot: Snapshot
    projection: Any
    similarity: Any

    def partial(self, state: np.ndarray, beta: Any, separation: Any) -> Answer | None:
        """Return the answer to the queries ``(L, d)`` for which few patterns are enough."""
        snapshot, memory = self.snapshot, self.memory
        if memory is None or snapshot.is_small or not len(state):
            return None
        if not memory.tries(len(state)):
            return None
        habit, lowest = snapshot.habits.of(len(state)), float(beta.min())
        gap = self.gap if habit.allows(lowest) else None
        largest = float(np.abs(state).max())
        if gap is None or not largest < LARGEST:
            return None
        if lowest < habit.proven and not snapshot.streamed:
            usual = largest <= UNUSUAL * snapshot.largest
            warm = usual and float(beta.max()) < snapshot.warmest
            if warm or self.is_in_vain(state, beta, gap, None):
                habit.saw(lowest, answered=False)
                return None
        found = answer_if_most(memory, state, beta, separation, snapshot.error, NUMPY)
        if found is not None:
            habit.saw(lowest, 2 * len(found.queries) > len(state))
        return found

    def is_untried(self, beta: np.ndarray) -> bool:
        """Whether nothing is known of a few queries at such an inverse temperature.

        They read all patterns, and :meth:`judge` finds for the next ones whether few were enough.
        """
        snapshot, count = self.snapshot, len(beta)
        if snapshot.streamed or self.memory is None or not 0 < count < MANY:
            return False
        return float(beta.min()) < snapshot.habits.of(count).proven

    def judge(self, states: np.ndarray, beta: np.ndarray, conjugate: Any) -> None:
        """Remember whether few patterns would have been enough for states ``(L, d)``."""
        snapshot, gap = self.snapshot, self.gap
        if gap is None:
            return
        habit, lowest = snapshot.habits.of(len(states)), min(beta.tolist())
        plain = isinstance(conjugate, np.ndarray)
        level = (conjugate if plain else self.backend.states.to_numpy(conjugate)).reshape(-1)
        if self.is_in_vain(states, beta, gap, level):
            habit.saw(lowest, answered=False)
        else:
            habit.expects(lowest)

    def is_in_vain(
        self, states: np.ndarray, beta: np.ndarray, gap: float, level: np.ndarray | None
    ) -> bool:
        """Whether the sketch will exclude too few patterns for most of a few states."""
        probe, count = self.snapshot.probe, len(states)
        looked = range(count) if count <= LOOKED else np.linspace(0, count - 1, LOOKED, dtype=int)
        vain = 0
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            for i in looked:
                own = None if level is None else float(level[i])
                vain += probe.in_vain(states[i], float(beta[i]), gap, own)
        return 2 * vain > len(looked)

    def pauses(self, state: Any, beta: Any) -> bool:
        """Whether all patterns are read, whatever the states of a call with one beta are."""
        snapshot = self.snapshot
        return isinstance(beta, float) and (
            WARM * beta < snapshot.warmest
            or not snapshot.habits.of(math.prod(state.shape[:-1])).allows(beta)
        )

    @property
    def memory(self) -> Sketched | None:
        """What is read of the snapshot; None if the projections are not its own."""
        if self.projection is None or isinstance(self.projection, Snapshot):
            return self.snapshot.sketched
        return self.snapshot.sketched_values if isinstance(self.projection, Values) else None

    @property
    def gap(self) -> float | None:
        """How far below the best a score must be for a pattern to be left out, or None."""
        snapshot = self.snapshot
        return snapshot.gap if self.memory is snapshot.sketched else snapshot.gap_of_values

    def flat(self, state: np.ndarray, beta: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the states as ``(L, d)``, and an inverse temperature for each of them."""
        if state.ndim == 2 and isinstance(beta, float):
            return state, np.full(len(state), beta)
        wide = np.broadcast_to(np.asarray(beta, np.float64), self.lead(state, beta))
        states = np.broadcast_to(state, (*wide.shape, state.shape[-1]))
        return states.reshape(-1, state.shape[-1]), wide.reshape(-1)

    @staticmethod
    def lead(state: np.ndarray, beta: Any) -> tuple[int, ...]:
        """Return the shape ``(..., L)`` of the queries of a call."""
        return np.broadcast_shapes(state.shape[:-1], np.shape(beta))

    def associate(
        self, state: np.ndarray, beta: Any, separation: Any, need_conjugate: bool
    ) -> tuple[Array, Array | None]:
        """Associate states with the snapshot."""
        if self.snapshot.is_small or self.pauses(state, beta):
            return self.whole(state, beta, separation, need_conjugate)
        host = self.backend.on_host(state, beta)
        if host is None:
            return self.whole(state, beta, separation, need_conjugate)
        states, cold = self.flat(*host)
        if self.is_untried(cold):
            output, level = self.whole(state, beta, separation, True)
            self.judge(states, cold, level)
            return output, level if need_conjugate else None
        found = self.partial(states, cold, separation)
        if found is None or not len(found.queries):
            return self.whole(state, beta, separation, need_conjugate)
        lead, put = self.lead(*host), self.backend.returned
        output = np.empty((len(states), found.output.shape[1]), states.dtype)
        conjugate = np.empty(len(states), states.dtype)
        with np.errstate(under="ignore"):
            output[found.queries], conjugate[found.queries] = found.output, found.conjugate
        if len(found.queries) < len(states):
            rest = np.setdiff1d(np.arange(len(states)), found.queries)
            some, own = put(states[rest]), put(cold[rest].astype(states.dtype))
            others, levels = self.whole(some, own, separation, True)
            to_numpy = self.backend.states.to_numpy
            output[rest], conjugate[rest] = to_numpy(others), to_numpy(levels)
        output, conjugate = output.reshape(*lead, -1), conjugate.reshape(lead)
        return put(output), put(conjugate) if need_conjugate else None

    def conjugate(self, state: np.ndarray, beta: Any, separation: Any) -> Array:
        """Return the conjugate of the scores."""
        conjugate = self.associate(state, beta, separation, True)[1]
        assert conjugate is not None
        return conjugate

    def best(self, state: np.ndarray, beta: Any, separation: Any) -> tuple[Array, ...]:
        """Return index, score and weight of the best pattern, and the conjugate."""
        host = self.backend.on_host(state, beta)
        states, cold = (np.empty((1, 0)), np.empty(1)) if host is None else self.flat(*host)
        found = None if host is None else self.partial(states, cold, separation)
        if host is None or found is None or len(found.queries) < len(states):
            inputs, scores = self.inputs(state, beta)
            scored = scores.inputs(inputs)
            index, score, weight, conjugate = self.backend.states.best(
                scored.state, scored.stored, scored.beta, None, separation
            )
            return index, score, weight, scores.conjugate(inputs, conjugate)
        lead, put = self.lead(*host), self.backend.returned
        index = put(self.snapshot.places(found.best).reshape(lead))
        score = put(found.conjugate.astype(states.dtype).reshape(lead))
        certain = put(found.certain.astype(states.dtype).reshape(lead))
        return index, score, certain, score

    def certified(
        self, state: np.ndarray, beta: Any, separation: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return outputs, their certificates, and how many patterns each of them is made of.

        All of them, and the states, are arrays of NumPy.
        """
        states, cold = self.flat(state, beta)
        lead, memory = self.lead(state, beta), self.memory
        assert memory is not None
        found = self.partial(states, cold, separation)
        chosen = np.empty(0, np.int64) if found is None else found.queries
        rest = np.setdiff1d(np.arange(len(states)), chosen)
        width = memory.values.shape[1]
        output = np.empty((len(states), width), state.dtype)
        certificate = np.empty(len(states), state.dtype)
        visited = np.full(len(states), self.snapshot.count)
        if found is not None and len(chosen):
            with np.errstate(under="ignore"):
                output[chosen] = found.output
            certificate[chosen] = rounded(found.certificate, found.output, state.dtype)
            visited[chosen] = found.visited
        if len(rest):
            exact, bound = whole_answer(memory, states[rest], cold[rest], separation, NUMPY)
            with np.errstate(under="ignore"):
                output[rest] = exact
            certificate[rest] = rounded(bound, exact, state.dtype)
        return output.reshape(*lead, width), certificate.reshape(lead), visited.reshape(lead)

    # All patterns.

    @cached_property
    def scores_of_all(self) -> Scores:
        """How scores with all patterns are computed."""
        states, where, bias = self.backend.states, self.backend.where, self.snapshot.bias
        distance = self.similarity == "distance"
        if not distance and bias is None:
            return PLAIN
        origin = origin_of(self.snapshot, states, where) if distance else None
        if bias is None:
            keys = Keys(self.snapshot).array(states, where)
        else:
            stored = self.snapshot.array(states, where)
            added = bias.astype(self.snapshot.dtype)
            make = lambda: states.keys(stored, origin, put(added, states, where))  # noqa: E731
            keys = self.snapshot.kept(("biased", distance), states, where, make)
        values = self.backend.plain(self.snapshot if self.projection is None else self.projection)
        return Scores(keys, values, origin, bias is not None, False, distance)

    def inputs(self, state: np.ndarray, beta: Any) -> tuple[Inputs, Scores]:
        """Return the inputs of a call with all patterns, and how their scores are computed."""
        stored = self.backend.plain(self.snapshot)
        values = stored if self.projection is None else self.backend.plain(self.projection)
        states = self.backend.states
        return Inputs(states, states.xp, state, stored, values, beta, None), self.scores_of_all

    def whole(
        self, state: np.ndarray, beta: Any, separation: Any, need_conjugate: bool
    ) -> tuple[Array, Array | None]:
        """Associate states with all patterns."""
        inputs, scores = self.inputs(state, beta)
        scored = scores.inputs(inputs)
        output, conjugate = inputs.backend.associate(
            scored.state, scored.stored, scored.projection, scored.beta, None, separation,
            need_conjugate,
        )  # fmt: skip
        if conjugate is not None:
            conjugate = scores.conjugate(inputs, conjugate)
        return scores.recalled(inputs, output), conjugate

    def scores(self, state: np.ndarray, beta: Any) -> Array:
        """Return all scores."""
        inputs, scores = self.inputs(state, beta)
        scored = scores.inputs(inputs)
        return inputs.backend.scores(scored.state, scored.stored, scored.beta, None)

    def statistics(self, state: np.ndarray, beta: Any, separation: Any) -> tuple[Array, ...]:
        """Return statistics of all weights."""
        inputs, scores = self.inputs(state, beta)
        scored = scores.inputs(inputs)
        conjugate, *others = inputs.backend.statistics(
            scored.state, scored.stored, scored.beta, None, separation
        )
        return scores.conjugate(inputs, conjugate), *others
