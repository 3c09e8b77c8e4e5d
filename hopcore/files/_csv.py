"""Named tuples as comma-separated values, and back."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from hopcore.arrays._scalar_checks import short_repr

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
    rows: list[Row] = []
    try:
        reader = csv.reader(text.splitlines())
        names = next(reader, [])
        if names != list(hints):
            raise ValueError(f"the columns must be {', '.join(hints)}, got {short_repr(names)}")
        for row in filter(None, reader):  # empty lines are skipped
            if len(row) != len(names):
                raise ValueError(f"a line must have {len(names)} cells, got {short_repr(row)}")
            cells = zip(names, row, strict=True)
            rows.append(kind(*(_value(hints[k], k, cell, reader.line_num) for k, cell in cells)))
    except csv.Error as error:
        raise ValueError(f"not a table of {', '.join(hints)}: {error}") from None
    return rows


def _value(hint: Any, name: str, cell: str, line: int) -> Any:
    """Return the value of a cell, or raise if it is none of the type of its column."""
    kinds = (hint,) if get_origin(hint) is Literal else get_args(hint) or (hint,)
    plain = next(one for one in kinds if one is not NoneType)
    if plain is str:
        return cell
    if not cell and NoneType in kinds:
        return None
    choices = get_args(plain)
    wanted = f"one of {', '.join(choices)}" if choices else plain.__name__
    try:
        if not choices:
            return plain(cell)
        return choices[choices.index(cell)]
    except (TypeError, ValueError, OverflowError):
        got = short_repr(cell) if cell else "an empty cell"
        raise ValueError(f"line {line}, column {name}: must be {wanted}, got {got}") from None
