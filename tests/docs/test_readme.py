"""The figures of the README are those that were measured; test_shown_code.py runs its examples."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_table_beside_other_libraries_is_made_from_the_records() -> None:
    from benchmarks.readme import LINES, table

    made = table()
    assert len(made.splitlines()) == 2 + len(LINES)
    assert made in README.read_text(encoding="utf-8"), "python -m benchmarks --readme prints it"


def test_times_are_seconds_or_milliseconds() -> None:
    from benchmarks.readme import table
    from benchmarks.table import duration

    assert [duration(x) for x in (0.000189, 0.0108, 0.99, 1.0, 1.0912, 123.4)] == [
        "0.189 ms",
        "10.8 ms",
        "990 ms",
        "1 s",
        "1.09 s",
        "123 s",
    ]
    assert "e+" not in table()
