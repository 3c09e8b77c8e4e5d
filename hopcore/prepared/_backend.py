"""The backend of calls with a prepared memory: what was computed once is not computed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from hopcore.arrays import BY_TYPE, Array, Backend
from hopcore.memory._scores import PLAIN, Scores
from hopcore.prepared._answers import Answers
from hopcore.prepared._file_snapshot import FileSnapshot
from hopcore.prepared._parts import Asked, Centred, Keys, Part, Values, origin_of
from hopcore.prepared._snapshot import Snapshot
from hopcore.streamed._backend import STREAMED, StreamedBackend


class PreparedLibrary:
    """The library of prepared memories, which may be used with states of any other library."""

    name = "prepared"
    refusal_as_state = (
        "a Memory is taken as what is stored by association, association_weights, update, energy, "
        "energy_gradient, statistics, retrieve and suggest_beta; elsewhere write memory.patterns"
    )

    def __reduce__(self) -> str:
        """Restore pickles and copies as the one library of this name."""
        return "PREPARED"

    @property
    def precise(self) -> Any:
        """Raise a TypeError: only a few functions accept a prepared memory."""
        return self.mixes_with(None)

    def mixes_with(self, other: Any) -> Any:
        """Raise a TypeError, except in calls that ask :meth:`backend_for_states` first."""
        raise TypeError(self.refusal_as_state)

    def backend_for_states(self, states: Backend, state: Array) -> Any:
        """Return the backend that gives the kernels of the states what is prepared."""
        return prepared_backend(states, states.device(state))


class StreamedPreparedLibrary(PreparedLibrary):
    """The library of prepared memories whose patterns are streamed."""

    def __reduce__(self) -> str:
        """Restore pickles and copies as the one library of this kind."""
        return "STREAMED_PREPARED"

    def backend_for_states(self, states: Backend, state: Array) -> Any:
        """Return the backend that gives the kernels of streamed memories what is prepared."""
        return prepared_backend(STREAMED.backend_for_states(states, state), states.device(state))


PREPARED, STREAMED_PREPARED = PreparedLibrary(), StreamedPreparedLibrary()
for kind in (Snapshot, Values, Keys, Centred, Asked):
    BY_TYPE[kind] = PREPARED  # pyright: ignore[reportArgumentType]
BY_TYPE[FileSnapshot] = STREAMED_PREPARED  # pyright: ignore[reportArgumentType]


@cache
def prepared_backend(states: Any, device: Any) -> PreparedBackend:
    """Return the backend of a prepared memory for states of a backend, on their device."""
    return PreparedBackend(states, device)


class PreparedBackend:
    """The kernels of the states' backend, with parts of a snapshot in place of arrays.

    Parts become arrays that are kept with the snapshot, so the results are those of plain arrays.
    A memory that may leave patterns out answers what it can from few of them.
    """

    def __init__(self, states: Any, where: Any) -> None:
        self.states, self.where = states, where

    def __reduce__(self) -> Any:
        return prepared_backend, (self.states, self.where)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.states, name)
        if not callable(found) or name.startswith("_"):
            return found

        def kernel(*args: Any, **named: Any) -> Any:
            return found(*self.plain(args), **{key: self.plain(x) for key, x in named.items()})

        self.__dict__[name] = kernel
        return kernel

    def plain(self, value: Any) -> Any:
        """Return an array for a part of a snapshot, and anything else as it is."""
        if isinstance(value, Snapshot | Part):
            return value.array(self.states, self.where)
        if type(value) is tuple:
            return tuple(map(self.plain, value))
        return value

    def mixes_with(self, other: Any) -> bool:
        """Whether arrays belong to the library of the states, or to a prepared memory."""
        if isinstance(other, PreparedLibrary) or other is self.states:
            return True
        return isinstance(self.states, StreamedBackend) and self.states.mixes_with(other)

    def dtype(self, array: Any) -> Any:
        """The dtype of an array, or of what a part of a snapshot becomes."""
        if isinstance(array, Snapshot | Part):
            return getattr(self.states.xp, array.dtype.name)
        return self.states.dtype(array)

    def device(self, array: Any) -> Any:
        """The device of an array; a prepared memory is moved to that of the states."""
        return self.where if isinstance(array, Snapshot | Part) else self.states.device(array)

    def can_read_values(self, array: Any) -> bool:
        """Whether values are to be checked; those of a prepared memory were."""
        return not isinstance(array, Snapshot | Part) and self.states.can_read_values(array)

    def can_fetch_values(self, array: Any) -> bool:
        """Whether values can be read at all."""
        return isinstance(array, Snapshot | Part) or self.states.can_fetch_values(array)

    def constant(self, array: Any) -> Any:
        """The array without its gradient; a prepared memory has none."""
        return array if isinstance(array, Snapshot | Part) else self.states.constant(array)

    def astype(self, array: Any, dtype: Any) -> Any:
        """Convert an array; a part of a snapshot in the same dtype stays one."""
        if isinstance(array, Snapshot | Part) and self.dtype(array) == dtype:
            return array
        return self.states.astype(self.plain(array), dtype)

    # What is computed once.

    def kept(self, what: str, name: str, part: Any) -> Array:
        """Return what a kernel computes from a part of a snapshot without a mask."""
        snapshot = part if isinstance(part, Snapshot) else part.snapshot
        kernel: Callable[..., Array] = getattr(self.states, name)
        make = lambda: kernel(self.plain(part), None)  # noqa: E731
        return snapshot.kept((what, type(part)), self.states, self.where, make)

    def radius(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if mask is None and isinstance(stored, Snapshot | Part):
            return self.kept("radius", "radius", stored)
        return self.states.radius(self.plain(stored), mask)

    def largest_square(self, stored: Any, mask: Array | None) -> Array:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if mask is None and isinstance(stored, Snapshot | Part):
            return self.kept("largest square", "largest_square", stored)
        return self.states.largest_square(self.plain(stored), mask)

    def magnitude(self, array: Any, mask: Array | None = None) -> float:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        if mask is None and isinstance(array, Snapshot | Part):
            return self.kept("magnitude", "magnitude", array)
        return self.states.magnitude(self.plain(array), mask)

    def without_unattended(self, array: Any, mask: Array) -> Any:
        """See :class:`hopcore.arrays._memory_kernels.MemoryKernels`."""
        streamed = isinstance(self.states, StreamedBackend)
        if isinstance(array, Snapshot | Part) and (
            streamed or self.states.all_moderate(self.plain(array))
        ):
            return array
        return self.states.without_unattended(self.plain(array), mask)

    def origin(self, stored: Any, mask: Array | None) -> Array:
        """See :meth:`hopcore.Backend.origin`."""
        if mask is None and isinstance(stored, Snapshot):
            return origin_of(stored, self.states, self.where)
        return self.states.origin(self.plain(stored), mask)

    def keys(
        self, stored: Any, origin: Array | None, bias: Array | None, squares: bool = False
    ) -> Any:
        """See :meth:`hopcore.Backend.keys`."""
        plain = bias is None and not squares and isinstance(stored, Snapshot)
        if plain and origin is not None and origin is origin_of(stored, self.states, self.where):
            return Keys(stored)
        return self.states.keys(self.plain(stored), origin, bias, squares)

    def values_for(self, keys: Any, projection: Any) -> Any:
        """See :meth:`hopcore.Backend.values_for`."""
        if not (isinstance(keys, Part) and isinstance(projection, Snapshot | Part)):
            return self.states.values_for(self.plain(keys), self.plain(projection))
        make = lambda: self.states.values_for(self.plain(keys), self.plain(projection))  # noqa: E731
        return keys.snapshot.kept(("for", type(projection)), self.states, self.where, make)

    def without_coordinates(self, keys: Any, width: int) -> Any:
        """See :meth:`hopcore.Backend.without_coordinates`."""
        if isinstance(keys, Part):
            return Centred(keys.snapshot)
        return self.states.without_coordinates(keys, width)

    # Partial retrieval.

    def own_scores(self, inputs: Any, similarity: Any, bias: Any, **options: Any) -> Scores | None:
        """Return scores that this backend computes from the states themselves, if it does."""
        snapshot = inputs.stored
        if (
            not isinstance(snapshot, Snapshot)
            or any(options.values())
            or not self.may_leave_out(snapshot, inputs.mask)
            or self.on_host(inputs.state, inputs.beta) is None
            or bias is not snapshot.bias
            or (bias is None and (similarity == "dot" or snapshot.is_small))
        ):
            return None
        return AskedScores(Asked(snapshot), inputs.projection, distance=similarity == "distance")

    def may_leave_out(self, snapshot: Snapshot, mask: Array | None) -> bool:
        """Whether a call may be answered from some of the patterns."""
        return mask is None and snapshot.error > 0.0 and snapshot.sketched is not None

    def on_host(self, state: Any, beta: Any) -> tuple[np.ndarray, Any] | None:
        """Return states and inverse temperatures for NumPy, without a copy where there may be.

        None where they are on another device or traced, or where a gradient may be asked for.
        """
        states = self.states
        if states.name == "numpy":
            return state, beta
        given = (state,) if isinstance(beta, float) else (state, beta)
        if states.requires_gradient(*given) or not all(map(states.is_on_host, given)):
            return None
        return states.to_numpy(state), beta if len(given) == 1 else states.to_numpy(beta)

    def returned(self, array: np.ndarray) -> Any:
        """Return a result of NumPy in the library and on the device of the states."""
        plain = self.states.name == "numpy"
        return array if plain else self.states.asarray(array, device=self.where)

    def answers(self, state: Any, stored: Any, projection: Any, mask: Any) -> Answers | None:
        """Return what answers a call from some of the patterns, or None."""
        if isinstance(stored, Asked):
            return Answers(self, stored.snapshot, projection, stored.snapshot.similarity)
        dot = isinstance(stored, Snapshot) and stored.similarity == "dot"
        usable = dot and self.may_leave_out(stored, mask) and not stored.is_small
        if usable and self.on_host(state, 1.0) is not None:
            return Answers(self, stored, projection, "dot")
        return None

    def certify(self, inputs: Any, scores: Scores, separation: Any) -> Array:
        """Return a bound of the length of the exact update of a state."""
        snapshot = inputs.stored
        own = isinstance(scores.keys, Keys | Asked)  # without a further bias
        host = self.on_host(inputs.state, inputs.beta)
        if not (
            (scores is PLAIN or own)
            and isinstance(snapshot, Snapshot)
            and self.may_leave_out(snapshot, None)
            and host is not None
        ):
            raise AttributeError(
                "a certificate needs states on the CPU without a gradient, a Memory with an error, "
                "and neither a mask, known coordinates nor a further bias"
            )
        answers = Answers(self, snapshot, snapshot, snapshot.similarity)
        output, certificate, _ = answers.certified(*host, separation)
        apart = output.astype(np.float64) - host[0]
        found = (np.sqrt(np.vecdot(apart, apart)) + certificate) * (1.0 + 1e-12)
        kind = host[0].dtype
        return self.returned(np.nextafter(found.astype(kind), kind.type(np.inf)))

    def associate(
        self, state: Any, stored: Any, projection: Any, beta: Any, mask: Any, separation: Any,
        need_conjugate: bool = False,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        """See :meth:`hopcore.Backend.associate`."""
        answers = self.answers(state, stored, projection, mask)
        if answers is not None:
            return answers.associate(state, beta, separation, need_conjugate)
        arrays = self.plain(stored), self.plain(projection), beta, self.plain(mask)
        return self.states.associate(state, *arrays, separation, need_conjugate)

    def conjugate(self, state: Any, stored: Any, beta: Any, mask: Any, separation: Any) -> Array:
        """See :meth:`hopcore.Backend.conjugate`."""
        answers = self.answers(state, stored, None, mask)
        if answers is not None:
            return answers.conjugate(state, beta, separation)
        return self.states.conjugate(state, self.plain(stored), beta, self.plain(mask), separation)

    def best(
        self, state: Any, stored: Any, beta: Any, mask: Any, separation: Any
    ) -> tuple[Array, ...]:
        """See :meth:`hopcore.Backend.best`."""
        answers = self.answers(state, stored, None, mask)
        if answers is not None:
            return answers.best(state, beta, separation)
        return self.states.best(state, self.plain(stored), beta, self.plain(mask), separation)

    def scores(self, state: Any, stored: Any, beta: Any, mask: Any) -> Array:
        """See :meth:`hopcore.arrays._score_kernels.ScoreKernels.scores`."""
        if isinstance(stored, Asked):
            return Answers(self, stored.snapshot, None, stored.snapshot.similarity).scores(
                state, beta
            )
        return self.states.scores(state, self.plain(stored), beta, self.plain(mask))

    def statistics(
        self, state: Any, stored: Any, beta: Any, mask: Any, separation: Any
    ) -> tuple[Array, ...]:
        """See :meth:`hopcore.Backend.statistics`; every pattern receives a number."""
        if isinstance(stored, Asked):
            answers = Answers(self, stored.snapshot, None, stored.snapshot.similarity)
            return answers.statistics(state, beta, separation)
        return self.states.statistics(state, self.plain(stored), beta, mask, separation)


class AskedScores(Scores):
    """Scores for kernels that get the states as they are, neither centred nor extended."""

    def query(self, inputs: Any, known: Array | None = None) -> Array:
        """Return the states."""
        return inputs.state

    def conjugate(self, inputs: Any, conjugate: Array) -> Array:
        """Return the conjugate, which is that of the scores themselves."""
        return conjugate

    def centred(self, inputs: Any) -> Any:
        """Return the patterns relative to their mean, for distances."""
        return Centred(self.keys.snapshot) if self.distance else inputs.stored
