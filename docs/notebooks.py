"""Write a Jupyter notebook of each tutorial: ``python docs/notebooks.py FOLDER``.

A notebook has the prose and the code of its page, in their order. The code comes without prompts
and without what it prints, in cells that end where the page prints something. As a Sphinx
extension, this module writes the notebooks beside the HTML pages and puts a link to its notebook on
each page.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from shown_code import BLOCK, Part, block_of, parts_of

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
FOLDER = "notebooks"
KERNEL = {"name": "python3", "language": "python", "display_name": "Python 3"}

TITLE = re.compile(r"\A# .+\n")
WRAPPED = re.compile(r"^```\{eval-rst\}\n(\.\. plot::\n(?:   .*\n|\n)*)```\n", re.MULTILINE)
INCLUDED = re.compile(r"^```\{literalinclude\} (\S+)\n(?::.*\n)*```$", re.MULTILINE)
ROLE = re.compile(r"\{[a-z:]+\}`~?([^`<]+?)(?:\s*<[^`>]+>)?`")
PICTURE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)\s]+\)")
DIRECTIVE = re.compile(r"^ *(?:`{3,}|:{3,})\{.*", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the notebooks with the pages, and link to them as the pages are read."""
    app.connect("source-read", link)
    app.connect("build-finished", write_beside_the_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def link(app: Sphinx, name: str, source: list[str]) -> None:
    """Put a link to the notebook of a page below its title."""
    page = Path(app.srcdir) / f"{name}.md"
    if app.builder.format == "html" and page in tutorials():
        file = f"{page.stem}.ipynb"
        anchor = f'<a href="../{FOLDER}/{file}" download="{file}">Download as a notebook</a>'
        source[0] = TITLE.sub(rf'\g<0>\n<p class="notebook">{anchor}</p>\n', source[0])


def write_beside_the_pages(app: Sphinx, failure: Exception | None) -> None:
    """Write the notebooks where the links on the pages lead."""
    if app.builder.format == "html" and failure is None:
        write(Path(app.outdir) / FOLDER)


def tutorials() -> list[Path]:
    """The tutorials that show Python code."""
    pages = sorted((DOCS / "tutorials").glob("*.md"))
    return [page for page in pages if BLOCK.search(page.read_text(encoding="utf-8"))]


def write(folder: Path) -> list[Path]:
    """Write the notebook of every tutorial into a folder, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for page in tutorials():
        files.append(folder / f"{page.stem}.ipynb")
        nbformat.write(notebook(page), files[-1])
    return files


def notebook(page: Path) -> NotebookNode:
    """The notebook of a page."""
    text = WRAPPED.sub(r"\1", page.read_text(encoding="utf-8"))
    cells, end = [], 0
    for found in BLOCK.finditer(text):
        cells += [new_markdown_cell(prose(text[end : found.start()], page))]
        cells += [code(part) for part in parts_of(block_of(found))]
        end = found.end()
    cells += [new_markdown_cell(prose(text[end:], page))]
    cells = [cell for cell in cells if cell.source]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # the same in every build
    made = new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    nbformat.validate(made)
    return made


def code(part: Part) -> NotebookNode:
    """A cell of code; Jupyter runs the cells below it even where it raises what the page shows."""
    metadata = {"tags": ["raises-exception"]} if part.raises else {}
    return new_code_cell(part.source, metadata=metadata)


def prose(text: str, page: Path) -> str:
    """A part of a page as Jupyter shows it: no roles, no directives, no links to other pages."""
    text = INCLUDED.sub(lambda found: included(page.parent / found[1]), text)
    text = PICTURE.sub(r"*Picture: \1*", text)
    text = LINK.sub(r"\1", ROLE.sub(r"`\1`", text))
    if left := DIRECTIVE.search(text):
        raise ValueError(f"{page.name}: a notebook cannot show {left[0].strip()}")
    return text.strip("\n")


def included(path: Path) -> str:
    """A file that a page shows."""
    return f"```python\n{path.read_text(encoding='utf-8').rstrip()}\n```"


def main() -> None:
    """Write all notebooks into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Write a Jupyter notebook of each tutorial.")
    parser.add_argument("folder", type=Path, help="where the notebooks go")
    files = write(parser.parse_args().folder)
    print(f"Wrote {len(files)} notebooks: {', '.join(file.name for file in files)}")  # noqa: T201


if __name__ == "__main__":
    main()
