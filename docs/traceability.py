"""A Sphinx extension: the table from statements to checks and to what was found last.

``spec/traceability.md`` is where it goes; the reports of ``nox -s every_statement`` lie in
``conformance``. Each statement gets a link to its checks. A hole stops the build.
"""

from __future__ import annotations

import json
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from hopcore_conformance.report.traceability import linked, pages_of, table

PAGE, MARK = "spec/traceability", "<!-- table -->"
REPORTS = Path(__file__).parent / "conformance"


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill in the pages as they are read."""
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True}


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the table in the place of its mark, and a link beside each statement."""
    if name.startswith("spec/") and name != PAGE:
        source[0] = linked(source[0])
    if name != PAGE:
        return
    paths = sorted(REPORTS.glob("*.json"))
    for path in paths:
        app.env.note_dependency(str(path))
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    try:
        lines = table(reports, pages_of(Path(app.srcdir) / "spec"))
    except ValueError as hole:
        raise ExtensionError(f"traceability: {hole}") from hole
    source[0] = source[0].replace(MARK, "\n".join(lines))
