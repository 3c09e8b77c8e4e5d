"""The table of statements, the checks that verify them, and their last results."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from hopcore_conformance.report.statements import STATEMENTS

WORDS = {
    "failed": "**failed** ",
    "expected": "expected to fail ",
    "passed": "",
    "skipped": "skipped",
}
"""The outcomes, beginning with the worst."""


def pages_of(folder: Path) -> dict[str, str]:
    """The page of each statement."""
    return {
        name: path.name
        for path in folder.glob("*.md")
        for name in stated(path.read_text(encoding="utf-8").splitlines())
    }


def stated(lines: list[str]) -> dict[str, int]:
    """The statements of a page, each with the line of its title."""
    return {
        name: number
        for number, (line, after) in enumerate(pairwise(lines))
        if (name := line.split(". ")[0]) in STATEMENTS and after.startswith(": ")
    }


def linked(page: str) -> str:
    """A page whose statements can be linked to, each with a link to its checks."""
    lines = page.splitlines()
    for name, number in stated(lines).items():
        title = lines[number].removeprefix(name)
        there = f"[checks](./traceability.md#{anchor(name)}-checks)"
        lines[number] = f"[{name}]{{#{anchor(name)}}}{title} {there}{{.checks}}"
    return "\n".join(lines)


def anchor(name: str) -> str:
    """An identifier as part of an address."""
    return name.lower().replace(".", "-")


def table(reports: list[dict[str, Any]], pages: dict[str, str]) -> list[str]:
    """The table, a part for each page."""
    refuse_holes(reports, pages)
    backends = sorted({(report["backend"], report["device"]) for report in reports})
    parts: dict[str, list[str]] = defaultdict(list)
    for name in STATEMENTS:
        checks = {
            check["check"].split("[")[0].removesuffix(".py").replace(".py::", "::")
            for report in reports
            for check in report["statements"].get(name, {"checks": []})["checks"]
        }
        cells = [
            "<br>".join(
                f"{report['dtype']} {result(report['statements'][name]['checks'])}"
                for report in reports
                if (report["backend"], report["device"]) == backend and name in report["statements"]
            )
            for backend in backends
        ]
        listed = "<br>".join(f"`{check}`" for check in sorted(checks))
        link = f"[[{name}](./{pages[name]}#{anchor(name)})]{{#{anchor(name)}-checks}}"
        parts[pages[name]].append(f"| {link}<br>{listed} | {' | '.join(cells)} |")
    heads = " | ".join(f"{backend}, {device}" for backend, device in backends)
    lines = []
    for page in dict.fromkeys(pages[name] for name in STATEMENTS):
        lines += [
            "",
            f"## [](./{page})",
            "",
            ":::{container} trace",
            f"| statement, checks | {heads} |",
        ]
        lines += [f"|---|{'---|' * len(backends)}", *parts[page], ":::"]
    return [*lines, "", *versions(reports)]


def refuse_holes(reports: list[dict[str, Any]], pages: dict[str, str]) -> None:
    """Every statement on a page and with a check that ran; every check of a statement there is."""
    ran = {
        name
        for report in reports
        for name, statement in report["statements"].items()
        if any(check["outcome"] != "skipped" for check in statement["checks"])
    }
    known = set(STATEMENTS)
    for what, names in (
        ("no page states", known - set(pages)),
        ("no check verifies (nox -s every_statement)", known - ran),
        ("the specification lacks what is checked as", ran - known),
    ):
        if names:
            raise ValueError(f"{what} {', '.join(sorted(names))}")


def result(checks: list[dict[str, Any]]) -> str:
    """The results of the checks of a statement in one run: the worst outcome and largest error."""
    outcomes = {check["outcome"] for check in checks}
    worst = next(name for name in WORDS if name in outcomes)
    largest = [check["largest"] for check in checks if "largest" in check]
    if worst == "skipped":
        return WORDS[worst]
    return WORDS[worst] + (f"{max(largest):.2g}" if largest else "exact")


def versions(reports: list[dict[str, Any]]) -> list[str]:
    """The versions with which the reports were made."""
    lines = ["## Runs", "", "| backend | dtype | examples | versions |", "|---|---|---:|---|"]
    for report in reports:
        parts = ", ".join(f"{part} {number}" for part, number in report["versions"].items())
        run = f"{report['backend']}, {report['device']}"
        lines.append(f"| {run} | {report['dtype']} | {report['examples']} | {parts} |")
    return lines
