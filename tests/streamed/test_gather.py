"""Rows of a source that are read alone, and those that are read together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopcore.streamed import _gather
from hopcore.streamed._gather import Left, gathered, ranges
from hopcore.streamed._sources import source_of

ARRAY = np.arange(600.0).reshape(200, 3)


class Slices:
    """An object of which slices are arrays."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.asked: list[slice] = []

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.asked.append(rows)
        return self.array[rows]


@given(
    rows=st.sets(st.integers(0, 199), min_size=1),
    apart=st.integers(0, 20),
    chunk=st.sampled_from((1, 8, 64)),
    longest=st.sampled_from((1, 16, 1 << 16)),
)
def test_any_rows(rows, apart, chunk, longest):
    wanted, asked = np.asarray(sorted(rows)), []

    def read(start, stop):
        asked.append((start, stop))
        return ARRAY[start:stop]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gather, "LONGEST", longest)
        np.testing.assert_array_equal(gathered(read, wanted, apart, chunk), ARRAY[wanted])
        assert len(ranges(wanted, apart, chunk)) == len(asked)
    for start, stop in asked:
        assert {start, stop - 1} <= rows
        assert stop - start <= max(longest, chunk)
        inside = wanted[(wanted >= start) & (wanted < stop)]
        gaps = np.diff(inside) - 1
        same = np.diff(inside // chunk) <= 1 if chunk > 1 else np.zeros(len(gaps), bool)
        assert ((gaps <= apart) | same).all()


@given(
    left=st.sets(st.integers(0, 199), min_size=1), start=st.integers(0, 199), size=st.integers(1, 9)
)
def test_rows_that_are_left(left, start, size):
    rows = np.asarray(sorted(left))
    source = Left(source_of(Slices(ARRAY)), rows)
    start = min(start, len(rows) - 1)
    stop = min(start + size, len(rows))
    np.testing.assert_array_equal(source.read(start, stop), ARRAY[rows][start:stop])
    some = np.arange(start, stop)
    np.testing.assert_array_equal(source.take(some), ARRAY[rows][some])


def test_images_keep_their_axes(tmp_path):
    images = np.arange(240.0).reshape(10, 4, 6)
    np.save(tmp_path / "a.npy", images)
    for given_source in (tmp_path / "a.npy", images, Slices(images)):
        rows = np.asarray([1, 2, 9])
        np.testing.assert_array_equal(source_of(given_source).take(rows), images[rows])
