"""What kernels take in place of the arrays of a memory: parts of a snapshot, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hopcore.arrays import Array, Backend
from hopcore.prepared._snapshot import Snapshot, put


@dataclass(frozen=True, eq=False)
class Part:
    """Something of a snapshot that a kernel takes in place of an array."""

    snapshot: Snapshot

    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the array."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the patterns."""
        return self.snapshot.dtype

    def array(self, states: Backend, where: Any) -> Array:
        """Return the array in a library, on a device."""
        raise NotImplementedError


class Values(Part):
    """The projections of a memory."""

    @property
    def shape(self) -> tuple[int, int]:
        """The number of patterns and the length of a projection."""
        return self.snapshot.count, self.snapshot.rows.values.shape[1]

    def array(self, states: Backend, where: Any) -> Array:
        """Return the projections in a library, on a device."""
        snapshot = self.snapshot
        return snapshot.kept("values", states, where, lambda: put(snapshot.values, states, where))


class Keys(Part):
    """The keys of distances, without a bias: patterns relative to their mean, and lengths."""

    @property
    def shape(self) -> tuple[int, int]:
        """The number of patterns and the length of a key."""
        return self.snapshot.count, self.snapshot.shape[1] + 1

    def array(self, states: Backend, where: Any) -> Array:
        """Return the keys in a library, on a device."""
        snapshot = self.snapshot

        def make() -> Array:
            stored, origin = snapshot.array(states, where), origin_of(snapshot, states, where)
            return states.keys(stored, origin, None)

        return snapshot.kept("keys", states, where, make)


class Centred(Part):
    """The patterns relative to their mean."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the patterns."""
        return self.snapshot.shape

    def array(self, states: Backend, where: Any) -> Array:
        """Return the patterns relative to their mean, in a library, on a device."""
        keys = Keys(self.snapshot).array(states, where)
        return states.without_coordinates(keys, self.snapshot.shape[1])


class Asked(Part):
    """All that scores are computed from; its kernels get the states as they are."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the patterns."""
        return self.snapshot.shape

    def array(self, states: Backend, where: Any) -> Array:
        """Return the patterns in a library, on a device."""
        return self.snapshot.array(states, where)


def origin_of(snapshot: Snapshot, states: Backend, where: Any) -> Array:
    """Return the mean of the patterns, as the backend of the states computes it, ``(1, d)``."""
    return snapshot.kept(
        "origin", states, where, lambda: states.origin(snapshot.array(states, where), None)
    )
