"""A Sphinx extension: a page for each object of the API, and tables of them by subject.

The pages in ``api`` list objects with the directives of autodoc, each one once, below the heading
of its subject. When the documentation is built, every object moves to a page of its own in
``api/objects``, which git ignores, and a table of names and summaries stays in its place.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

FOLDER = "objects"
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
ENTRY = re.compile(
    r"^\.\. auto(?:function|class|exception|data):: (?P<name>\S+)\n(?:   .*\n)*", re.MULTILINE
)
RUN = re.compile(rf"(?:{ENTRY.pattern.replace('?P<name>', '')})+", re.MULTILINE)


class Entry(NamedTuple):
    """An object of the API: its name, its directive, and the subject that it belongs to."""

    name: str
    directive: str
    subject: str


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages of the objects before the build looks for pages, and fill in the tables."""
    app.setup_extension("sphinx.ext.autosummary")
    app.connect("builder-inited", write)
    app.connect("env-before-read-docs", forget)
    app.connect("source-read", fill_in)
    app.connect("html-page-context", shorten, priority=100)  # before the theme takes the contents
    return {"parallel_read_safe": True}


def write(app: Sphinx) -> None:
    """Write a page for each object, and remove those of objects that are gone."""
    api = Path(app.srcdir) / "api"
    (api / FOLDER).mkdir(exist_ok=True)
    found = [
        (entry, path.stem)
        for path in sorted(api.glob("*.md"))
        for entry in entries(path.read_text(encoding="utf-8"))
    ]
    files = app.config.autosummary_filename_map = file_names([entry.name for entry, _ in found])
    wanted = {f"{files[entry.name]}.rst": page(entry, parent) for entry, parent in found}
    for path in (api / FOLDER).glob("*.rst"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)
    for name, text in wanted.items():
        path = api / FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            # Another builder may read the page at this moment.
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_text(text, encoding="utf-8")
            part.replace(path)


def file_names(names: list[str]) -> dict[str, str]:
    """The names of the pages: they say so where capitals alone tell two objects apart.

    Some file systems take ``Backend`` and ``backend`` for one name.
    """
    folded = Counter(name.lower() for name in names)
    return {name: name if folded[name.lower()] == 1 else with_capitals(name) for name in names}


def with_capitals(name: str) -> str:
    """The name of the page of an object whose own name begins with a capital, or not."""
    return f"{name}-capital" if name.rpartition(".")[2][0].isupper() else name


def entries(text: str) -> Iterator[Entry]:
    """The objects that a page of the API lists."""
    before, *parts = SECTION.split(text)
    subjects, bodies = ["", *parts[::2]], [before, *parts[1::2]]
    for subject, body in zip(subjects, bodies, strict=True):
        for found in ENTRY.finditer(body):
            yield Entry(found["name"], found[0], subject)


def page(entry: Entry, parent: str) -> str:
    """The page of an object, with the way back to the page that lists it."""
    rule = "=" * len(entry.name)
    back = f":doc:`/api/{parent}`" + (f": {entry.subject}" if entry.subject else "")
    return f"{entry.name}\n{rule}\n\n.. rst-class:: back\n\n{back}\n\n{entry.directive}"


def forget(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Forget pages that are about to be read again, before an object is met on another page."""
    for name in names:
        if name.startswith("api/"):
            app.emit("env-purge-doc", env, name)
            env.clear_doc(name)


def fill_in(app: Sphinx, name: str, source: list[str]) -> None:
    """Put a table in the place of the objects that a page of the API lists."""
    if name.startswith("api/") and "/" not in name.removeprefix("api/"):
        source[0] = RUN.sub(lambda run: table(ENTRY.finditer(run[0])), source[0])


def table(found: Iterator[re.Match[str]]) -> str:
    """The table of some objects: their names, which lead to their pages, and their summaries."""
    rows = "\n".join(f"   ~{entry['name']}" for entry in found)
    return f".. autosummary::\n   :nosignatures:\n   :toctree: {FOLDER}\n\n{rows}\n"


def shorten(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave the objects of other packages out of the navigation of a page.

    With all of them, a page would be three times as large, and the build would take twice as long.
    """
    whole = context["toctree"]
    options = {"collapse": True} if page.startswith("api/") else {"maxdepth": 2}
    context["toctree"] = lambda **given: whole(**{**given, **options})
