"""Patterns with keys that can be added, removed and replaced while others read them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hopcore.arrays import AnyArray
from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._scalar_checks import short_repr
from hopcore.memory import Similarity
from hopcore.prepared._checks import Key, as_keys, as_rows
from hopcore.prepared._file_snapshot import FileSnapshot, refuse_streamed
from hopcore.prepared._rows import LEAST, New, Settings, appended, filled, joined, kept_rows
from hopcore.prepared._snapshot import Snapshot


class Growing:
    """The patterns of a memory, and the methods that change them; see :class:`hopcore.Memory`.

    Attributes are replaced as a whole: a reader takes the present snapshot, and no writer changes
    it. Writers wait for each other.
    """

    def _fill(self, settings: Settings, new: New) -> None:
        """Take the patterns of a new memory."""
        place = {key: i for i, key in enumerate(new.keys)}
        self._hold(settings, filled(new, settings, 0), place)
        numbers = [key for key in new.keys if isinstance(key, int)]
        self._next = max(numbers, default=-1) + 1

    def _hold(self, settings: Settings, snapshot: Snapshot, place: Any) -> None:
        """Take a snapshot, and the places of its keys."""
        self._settings = settings
        self._lock = threading.Lock()
        self._snapshot, self._place = snapshot, place
        self._next = 0
        self._calibration: Any = None

    def __getstate__(self) -> dict[str, Any]:
        snapshot = self._snapshot
        if isinstance(snapshot, FileSnapshot):
            with self._lock:
                parts = self._snapshot.apart(), self._place.copy()  # pyright: ignore[reportAttributeAccessIssue]
            return {"settings": self._settings, "parts": parts, "calibration": self._calibration}
        alive = np.arange(snapshot.used) if snapshot.alive is None else snapshot.alive
        return {
            "settings": self._settings,
            "new": kept_rows(snapshot, alive),
            "next": self._next,
            "calibration": self._calibration,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "parts" in state:
            self._hold(state["settings"], *state["parts"])
            self._calibration = state["calibration"]
            return
        self._fill(state["settings"], state["new"])
        self._next, self._calibration = state["next"], state["calibration"]

    def __repr__(self) -> str:
        count, depth = self.shape
        return (
            f"<Memory ({count}, {depth}) {self.dtype}, {self.similarity}, beta={self.beta:.4g}, "
            f"error={self.error:g}>"
        )

    def __len__(self) -> int:
        return self._snapshot.count

    def __contains__(self, key: object) -> bool:
        return key in self._place

    @property
    def shape(self) -> tuple[int, int]:
        """The number of patterns and their length."""
        return self._snapshot.shape

    @property
    def ndim(self) -> int:
        """The number of axes, 2."""
        return 2

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the patterns, one of NumPy."""
        return self._snapshot.dtype

    @property
    def patterns(self) -> np.ndarray:
        """The patterns at present, ``(N, d)``, in an array that cannot be written to.

        Those of a streamed memory are a :class:`hopcore.Streamed` memory.
        """
        return self._snapshot.patterns

    @property
    def values(self) -> np.ndarray:
        """The projections at present, ``(N, v)``, in an array that cannot be written to."""
        return self._snapshot.values

    @property
    def bias(self) -> np.ndarray | None:
        """The numbers that are added to scores, ``(N,)``, or None."""
        return self._snapshot.bias

    @property
    def keys(self) -> list[Any]:
        """The keys of the patterns at present, in the order of the patterns."""
        return self._snapshot.keys

    @property
    def similarity(self) -> Similarity:
        """How states are compared with patterns."""
        return self._settings.similarity

    @property
    def separation(self) -> Any:
        """The separation function."""
        return self._settings.separation

    @property
    def beta(self) -> float:
        """The inverse temperature where a call gives none."""
        return self._settings.beta

    @property
    def error(self) -> float:
        """How far an association may be off because patterns are left out."""
        return self._settings.error

    def snapshot(self) -> Snapshot:
        """Return the patterns of this moment, which later changes leave as they are.

        It stands wherever the memory does.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.eye(2), beta=1.0)
        >>> before = memory.snapshot()
        >>> memory.remove(0)
        >>> before.shape, memory.shape
        ((2, 2), (1, 2))
        """
        return self._snapshot

    # Changes.

    @suggest_names
    def add(
        self,
        patterns: AnyArray,
        values: AnyArray | None = None,
        *,
        keys: Sequence[Key] | Key | None = None,
    ) -> None:
        """Add patterns.

        The time for each is that of a few products with it; sometimes, when the number of patterns
        has doubled, the arrays and the sketch are made anew.

        Parameters
        ----------
        patterns : array (n, d) or (d,)
        values : array (n, v) or (v,), optional
            Their projections, if the memory has some.
        keys : sequence of str or int, optional
            Their keys; the next integers if not given.

        Raises
        ------
        TypeError, ValueError
            Patterns of another length, nan or inf, a key that is taken; a streamed memory.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.empty((0, 2)))
        >>> memory.add([1.0, 0.0], keys="x")
        >>> memory.add(np.eye(2))
        >>> memory.keys
        ['x', 0, 1]
        """
        new = self._new(patterns, values, None)
        with self._lock:
            names = self._names(keys, len(new.patterns))
            taken = [key for key in names if key in self._place]
            if taken:
                raise ValueError(
                    f"the key {short_repr(taken[0])} is taken; write update(keys, patterns) to "
                    "replace its pattern"
                )
            self._append(New(new.patterns, new.values, new.bias, names), [])

    @suggest_names
    def remove(self, keys: Sequence[Key] | Key) -> None:
        """Remove patterns by their keys; a file of patterns stays as it is.

        Parameters
        ----------
        keys : sequence of str or int, or one of them

        Raises
        ------
        KeyError
            A key is unknown.
        ValueError
            A key is given twice.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.eye(3), beta=1.0)
        >>> memory.remove([0, 2])
        >>> memory.keys
        [1]
        """
        names = as_keys(keys)
        with self._lock:
            places = self._places(names)
            old = self._snapshot
            count = old.count - len(places)
            if old.used - count > max(count, LEAST) and not old.streamed:
                self._gather(places, None)
            else:
                self._bury(places)
                self._publish(old, count=count, version=old.version + 1)
            for key in names:
                self._place.pop(key, None)

    @suggest_names
    def update(
        self,
        keys: Sequence[Key] | Key,
        patterns: AnyArray,
        values: AnyArray | None = None,
    ) -> None:
        """Replace patterns, which move to the end of the memory.

        Parameters
        ----------
        keys : sequence of str or int, or one of them
        patterns : array (n, d) or (d,)
        values : array (n, v) or (v,), optional

        Raises
        ------
        KeyError, TypeError, ValueError
            As :meth:`add` and :meth:`remove`.

        Examples
        --------
        >>> import numpy as np, hopcore
        >>> memory = hopcore.Memory(np.eye(2), beta=1.0)
        >>> memory.update(0, [3.0, 4.0])
        >>> memory.keys, memory.patterns
        ([1, 0], array([[0., 1.],
               [3., 4.]]))
        """
        new = self._new(patterns, values, None)
        names = as_keys(keys)
        if len(names) != len(new.patterns):
            raise ValueError(f"{len(names)} keys need as many patterns, got {len(new.patterns)}")
        with self._lock:
            places = self._places(names)
            self._append(New(new.patterns, new.values, new.bias, names), places)

    def _new(self, patterns: Any, values: Any, bias: Any) -> New:
        """Check patterns and their projections."""
        old = self._snapshot
        refuse_streamed(
            old,
            "append new ones to the file and prepare it again, or keep them in a second Memory and "
            "join the results with hopcore.merge_associations",
        )
        rows = as_rows("patterns", patterns, old.dtype, depth=old.shape[1])
        if old.has_values != (values is not None):
            said = "needs" if old.has_values else "has no"
            raise ValueError(f"the memory {said} values for its patterns")
        own = None
        if values is not None:
            width = old.rows.values.shape[1]
            own = as_rows("values", values, old.dtype, len(rows), depth=width)
        return New(rows, own, bias, ())

    def _names(self, keys: Any, count: int) -> list[Any]:
        if keys is None:
            return list(range(self._next, self._next + count))
        return as_keys(keys, count)

    def _places(self, keys: Iterable[Any]) -> list[int]:
        try:
            return [self._place[key] for key in keys]
        except KeyError as missing:
            raise KeyError(f"the memory has no key {short_repr(missing.args[0])}") from None

    def _bury(self, places: Sequence[int]) -> None:
        """Mark rows as gone from the next version on, which readers of this one do not see."""
        self._snapshot.rows.died[places] = self._snapshot.version + 1

    def _publish(self, old: Snapshot, **changes: Any) -> None:
        names = old.__dataclass_fields__
        self._snapshot = type(old)(**{name: getattr(old, name) for name in names} | changes)

    def _append(self, new: New, gone: Sequence[int]) -> None:
        """Append patterns and remove others, in one step for readers."""
        old = self._snapshot
        found = appended(old, new)
        if found is None:
            self._gather(gone, new)
        else:
            self._bury(gone)
            version = old.version + 1
            self._publish(found, version=version, count=found.count - len(gone))
            self._place.update(zip(new.keys, range(old.used, found.used), strict=True))
        numbers = [key for key in new.keys if isinstance(key, int)]
        self._next = max([self._next - 1, *numbers]) + 1

    def _gather(self, gone: Sequence[int], new: New | None) -> None:
        """Make all arrays anew, without some rows and with others."""
        old = self._snapshot
        left = np.setdiff1d(np.arange(old.used) if old.alive is None else old.alive, gone)
        whole = kept_rows(old, left)
        if new is not None:
            whole = joined(whole, new)
        count = len(whole.patterns)
        found = filled(whole, self._settings, old.version + 1, 2 * count)
        place = {key: i for i, key in enumerate(whole.keys)}
        self._snapshot, self._place = found, place
