"""A Sphinx extension: what autodoc does not know about packages with public faces.

``hopcore.memory.retrieve`` is documented as ``hopcore.retrieve``, because that is what users type.
A reference to either one leads to the same place, and so does one from within the package.
Constants get the text that stands below their definition in a module of the package.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer

from hopcore import NAMES


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer other spellings of references that nothing else resolved, and texts of constants."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", describe, priority=900)  # after napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Resolve a reference to a Python name by the name's other spellings."""
    if node.get("refdomain") != "py":
        return None
    domain, target = env.domains["py"], node["reftarget"]
    for spelling in spellings(target, node.get("py:module")):
        place, kind = node.get("refdoc", env.docname), node["reftype"]
        found = domain.resolve_xref(env, place, app.builder, kind, spelling, node, content)
        if found is not None:
            return found
    return None


def spellings(target: str, module: str | None) -> list[str]:
    """The names under which a target may be documented: without private modules, at the top."""
    written = [target, f"{module}.{target}"] if module else [target]
    public = [[part for part in name.split(".") if not part.startswith("_")] for name in written]
    names = []
    for parts in public:
        names.append(".".join(parts))
        if len(parts) > 2 and parts[0] == "hopcore" and parts[2] in NAMES.get(parts[1], ()):
            names.append(".".join([parts[0], *parts[2:]]))
    return names


def describe(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Replace the docstring of a constant, which is its type's, by that of its definition."""
    if what != "data":
        return
    face, _, constant = name.rpartition(".")
    folder = Path(str(import_module(face).__file__)).parent
    for path in sorted(folder.glob("_[a-z]*.py")):
        texts = ModuleAnalyzer.for_file(str(path), f"{face}.{path.stem}").find_attr_docs()
        if ("", constant) in texts:
            lines[:] = texts["", constant]
            return
    lines.clear()
