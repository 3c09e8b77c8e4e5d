"""A Sphinx extension: each page of the API begins with a table of what is on it, by its sections.

``<!-- summary -->`` is where the tables go. They are made from the directives of the page, so that
a name is listed once.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

MARK = "<!-- summary -->"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
NAME = re.compile(r"^\.\. auto(?:function|class|exception):: (\S+)$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill in the tables as the pages are read."""
    app.setup_extension("sphinx.ext.autosummary")
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True}


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Put the tables of a page in the place of its mark."""
    if name.startswith("api/") and MARK in source[0]:
        source[0] = source[0].replace(MARK, summary(source[0]))


def summary(text: str) -> str:
    """The tables of a page: for each section its title and its names, each with its summary."""
    _, *parts = SECTION.split(text)
    tables = []
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        if names := NAME.findall(body):
            rows = "\n".join(f"   ~{name}" for name in names)
            table = f".. rubric:: {title}\n\n.. autosummary::\n   :nosignatures:\n\n{rows}"
            tables.append(f"```{{eval-rst}}\n{table}\n```")
    return "\n\n".join(tables)
