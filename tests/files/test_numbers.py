"""Tables of numbers in CSV files are read as they were written, and nothing else is read."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hopcore.files._numbers import read_numbers

TABLES = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=5),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)


def read(text: str) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(text.encode())
        return read_numbers(path)


@given(TABLES, st.booleans(), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_was_written_is_read(table: np.ndarray, header: bool, end: str, mark: bool) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=end)
    if header:
        writer.writerow([f'name "{k}", in words' for k in range(table.shape[1])])
    writer.writerows(table.tolist())
    found = read("\ufeff" * mark + text.getvalue())
    np.testing.assert_array_equal(found, table)
    assert found.dtype == np.float64


def test_comments_and_empty_lines_are_skipped() -> None:
    np.testing.assert_array_equal(
        read("# from numpy.savetxt\n\na,b\n1,2\n \n3,4\n"), [[1, 2], [3, 4]]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has none"),
        ("a,b\n", "it has none"),
        ("1,2\n3\n", "line 2 has 1 cells, the first line has 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells, the first line has 2"),
        ("1,2\na,b\n", "line 2, column 1 must be a finite number, got 'a'"),
        ("a,b\nc,d\n", "line 2, column 1 must be a finite number, got 'c'"),
        ("1,\n2,3\n", "line 1, column 2 must be a finite number, got ''"),
        ("1,1_000\n2,1_000\n", "line 1, column 2 must be a finite number, got '1_000'"),
        ("1,inf\n", "line 1, column 2 must be a finite number, got 'inf'"),
        ("1;2\n3;4\n", "line 2, column 1 must be a finite number, got '3;4'"),
        ('1,"2\n', "not a table of comma-separated values"),
        ("\x00\n\x00\n", "not a table of"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="is not a table") as error:
        read(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
