"""Named tuples as comma-separated values, and back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, get_args, get_type_hints

from hopcore.arrays._validation import short_repr

Row = TypeVar("Row", bound=tuple[Any, ...])


def csv_of(names: Sequence[str], rows: Iterable[Iterable[Any]], digits: int | None = 5) -> str:
    r"""Return rows as comma-separated values under a header; None becomes an empty cell.

    Floats have ``digits`` significant digits, or all of them if it is None.

    Examples
    --------
    >>> from hopcore.files._csv import csv_of
    >>> csv_of(["a", "b"], [(1, 1 / 3), (2, None)])
    'a,b\n1,0.33333\n2,\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        rounded = digits is not None
        writer.writerow([f"{c:.{digits}g}" if rounded and isinstance(c, float) else c for c in row])
    return text.getvalue()


def to_csv(rows: Iterable[Row], kind: type[Row]) -> str:
    """Write named tuples as CSV: a line with the names of the fields, then a line for each tuple.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> from hopcore.files import to_csv
    >>> Trial = NamedTuple("Trial", [("seed", int), ("loss", float | None)])
    >>> print(to_csv([Trial(1, 0.5), Trial(2, None)], Trial), end="")
    seed,loss
    1,0.5
    2,
    """
    return csv_of(list(get_type_hints(kind)), rows)


def from_csv(text: str, kind: type[Row]) -> list[Row]:
    r"""Read the named tuples that :func:`to_csv` wrote.

    Raises
    ------
    ValueError
        The columns are not the fields, or a cell does not hold a value of its field.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> from hopcore.files import from_csv
    >>> Trial = NamedTuple("Trial", [("seed", int), ("loss", float | None)])
    >>> from_csv("seed,loss\n1,0.5\n2,\n", Trial)
    [Trial(seed=1, loss=0.5), Trial(seed=2, loss=None)]
    """
    hints = get_type_hints(kind)

    def value(name: str, cell: str) -> Any:
        plain = next((one for one in get_args(hints[name]) if one is not type(None)), hints[name])
        return None if plain is not str and not cell else plain(cell)

    lines, rows = text.splitlines(), []
    try:
        names, *cells = list(csv.reader(lines)) or [[]]
        if names != list(hints):
            raise ValueError(f"the columns must be {', '.join(hints)}, got {short_repr(names)}")
        for row in filter(None, cells):  # empty lines are skipped
            if len(row) != len(names):
                raise ValueError(f"a line must have {len(names)} cells, got {short_repr(row)}")
            rows.append(kind(*map(value, names, row)))
    except (TypeError, OverflowError, csv.Error) as error:
        raise ValueError(f"not a table of {', '.join(hints)}: {error}") from None
    return rows
