"""The numbers of tables in the specification are those that the code computes."""

from __future__ import annotations

from pathlib import Path

import pytest

import hopcore
from hopcore.schedules import compute_annealed_temperature

SPEC = Path(__file__).parents[2] / "docs" / "spec"


def rows_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading, without its two first lines."""
    lines = (SPEC / page).read_text().split(f"\n{heading}", 1)[1].splitlines()
    first = next(i for i, line in enumerate(lines) if line.lstrip().startswith("|"))
    rows = []
    for line in lines[first:]:
        if not line.lstrip().startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return rows[2:]


def agrees(printed: str, value: float) -> bool:
    """Whether a number is the value to all printed digits, and not one of two that are as near."""
    digits = len(printed.partition(".")[2])
    return abs(float(printed) - value) < 0.499 * 10.0**-digits


@pytest.mark.parametrize(
    ("kind", "cells"), [(row[0], row[1:]) for row in rows_of("temperature.md", "S1. ")]
)
def test_schedules(kind, cells):
    for cell, step in zip(cells, (0, 250, 500, 750, 1000), strict=True):
        value = compute_annealed_temperature(step, 1000, 0.1, 0.001, schedule=kind)
        assert agrees(cell, value), (
            f"{kind} at step {step}: {cell} is printed, {value:.7f} is right"
        )


@pytest.mark.parametrize("cells", rows_of("phase.md", "P1. "), ids=lambda cells: cells[0])
def test_transitions(cells):
    count = 10**6 if cells[0] == "$10^6$" else int(cells[0])
    found = hopcore.transition(count)
    weight = 0.5
    if count > 2:
        b = found.saddle_node
        half = 0.5 * b * count - (count - 1.0)
        u = half + (half**2 - (count - 1.0) ** 2) ** 0.5  # b N u = (u + N - 1)^2
        weight = u / (u + count - 1.0)
    wanted = (found.saddle_node, weight, found.coexistence)
    for cell, value in zip(cells[1:4], wanted, strict=True):
        assert agrees(cell, value), f"N = {cells[0]}: {cell} is printed, {value:.8f} is right"
