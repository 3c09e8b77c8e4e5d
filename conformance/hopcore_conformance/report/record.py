"""The results of a run of the suite: the outcome and the largest error of each check."""

from __future__ import annotations

import html
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore.files import write_whole
from hopcore_conformance.report.statements import STATEMENTS


class Check(NamedTuple):
    """One check of a run.

    Attributes
    ----------
    name : str
        The module and the function, with its parameters: ``test_energy.py::test_descent``.
    statements : tuple of str
    outcome : str
        passed, failed, skipped, or expected: a failure that the backend declared.
    reason : str
        Why it was skipped or expected to fail, or the first line of the failure.
    largest : float or None
        The largest error, in units of the tolerance; None if the check allows no error.
    """

    name: str
    statements: tuple[str, ...]
    outcome: str
    reason: str
    largest: float | None


class Largest:
    """The largest error, in units of the tolerance, since the last call of :meth:`take`."""

    def __init__(self) -> None:
        self.value: float | None = None

    def add(self, off: np.ndarray, within: Any) -> None:
        """Add errors and their tolerances; if the tolerance is 0, an error counts as infinite."""
        off, within = np.broadcast_arrays(np.asarray(off, np.float64), np.asarray(within, float))
        allowed = within > 0.0
        if not np.any(allowed):
            return
        ratio = np.where(allowed, off, 0.0) / np.where(allowed, within, 1.0)
        ratio = ratio[np.isfinite(ratio)]
        if ratio.size:
            self.value = max(self.value or 0.0, float(ratio.max()), 0.0)

    def take(self) -> float | None:
        """Return the largest error and reset it."""
        value, self.value = self.value, None
        return value


LARGEST = Largest()
"""The errors of the running check; :mod:`hopcore_conformance.checks.measure` adds to them."""


class Report(NamedTuple):
    """A run of the suite.

    Attributes
    ----------
    backend, dtype, device, layout : str
    versions : dict
    examples : int
    seed : str or None
    checks : list of Check
    """

    backend: str
    dtype: str
    device: str
    layout: str
    versions: dict[str, str]
    examples: int
    seed: str | None
    checks: list[Check]

    def facts(self) -> dict[str, Any]:
        """The content of the JSON file: for each statement, its text and its checks."""
        by_statement: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for check in self.checks:
            fields: dict[str, Any] = {"check": check.name, "outcome": check.outcome}
            if check.reason:
                fields["reason"] = check.reason
            if check.largest is not None:
                fields["largest"] = float(f"{check.largest:.3g}")
            for identifier in check.statements:
                by_statement[identifier].append(fields)
        about = self._asdict()
        del about["checks"]
        statements = {
            name: {"text": text, "checks": by_statement[name]}
            for name, text in STATEMENTS.items()
            if name in by_statement
        }
        return {"hopcore_conformance": 1, **about, "statements": statements}


SUFFIXES = (".json", ".html")
"""The possible suffixes of a report."""


def write(report: Report, path: Path) -> None:
    """Write a report completely or not at all, as HTML if the name ends in it, else as JSON."""
    facts = report.facts()
    text = page(facts) if path.suffix == ".html" else lines(facts)
    write_whole(path, lambda file: file.write(text.encode()))


def lines(facts: dict[str, Any]) -> str:
    """A report as JSON, with a line for each statement."""
    about = {name: value for name, value in facts.items() if name != "statements"}
    head = json.dumps(about)[:-1]
    rows = (f"{json.dumps(name)}: {json.dumps(one)}" for name, one in facts["statements"].items())
    return f'{head}, "statements": {{\n' + ",\n".join(rows) + "\n}}\n"


STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;"
    "color:#1b1b1f}table{border-collapse:collapse;width:100%}td,th{text-align:left;"
    "vertical-align:top;padding:.3em .6em;border-bottom:1px solid #d5d5da}"
    ".failed{color:#b3261e;font-weight:bold}.skipped,.expected{color:#6e6e78}"
    "td span{display:block}td:last-child{text-align:right}"
)


def page(facts: dict[str, Any]) -> str:
    """A report as one self-contained page of HTML, with the failures first."""
    title = html.escape(f"{facts['backend']}, {facts['dtype']}, {facts['device']}")
    checks = {
        check["check"]: check
        for statement in facts["statements"].values()
        for check in statement["checks"]
    }
    counts = Counter(check["outcome"] for check in checks.values())
    summary = ", ".join(f"{count} {WORDS.get(word, word)}" for word, count in counts.most_common())
    failed = [row(check) for check in checks.values() if check["outcome"] == "failed"]
    rows = []
    for name, statement in facts["statements"].items():
        text = html.escape(statement["text"])
        rows += [f"<tr><th>{name}</th><th colspan=2>{text}</th></tr>"]
        rows += map(row, statement["checks"])
    versions = ", ".join(f"{part} {number}" for part, number in facts["versions"].items())
    seed = "the same every time" if facts["seed"] is None else f"seed {html.escape(facts['seed'])}"
    return (
        f"<!doctype html><meta charset=utf-8><title>hopcore conformance: {title}</title>"
        f"<style>{STYLE}</style><h1>{title}</h1><p>{summary}.</p>"
        + (f"<table>{''.join(failed)}</table>" if failed else "")
        + f"<p>{html.escape(versions)}; arrays {facts['layout']}; {facts['examples']} examples of "
        f"each check, {seed}. The last column is the largest error seen, in units of the "
        f"tolerance.</p><table>{''.join(rows)}</table>\n"
    )


WORDS = {"expected": "expected to fail"}


def row(check: dict[str, Any]) -> str:
    """A check as a row of a table."""
    outcome = check["outcome"]
    about = html.escape(check["check"].removeprefix("test_").replace(".py::test_", ": "))
    reason = f"<span>{html.escape(check['reason'])}</span>" if "reason" in check else ""
    largest = f"{check['largest']:.3g}" if "largest" in check else ""
    word = WORDS.get(outcome, outcome)
    return f"<tr class={outcome}><td>{word}</td><td>{about}{reason}</td><td>{largest}</td></tr>"
