"""What the shown code of a page is: the tests run it, and the notebooks consist of it."""

from __future__ import annotations

import doctest
import re
import textwrap
from typing import NamedTuple

BLOCK = re.compile(
    r"^ *```(?:\{doctest\}|pycon|python)\n(?P<fenced>(?:.*\n)*?) *```$"
    r"|^\.\. plot::\n(?:   :.*\n)*\n(?P<plot>(?:   .*\n|\n)*)",
    re.MULTILINE,
)
PROMPT = ">>> "


class Part(NamedTuple):
    """A part of a block: what a reader types, and whether the page shows that it raises."""

    source: str
    raises: bool = False


def blocks(text: str) -> list[str]:
    """The blocks of Python code of a page, in their order."""
    return [block_of(found) for found in BLOCK.finditer(text)]


def block_of(found: re.Match[str]) -> str:
    """The code of a match of :data:`BLOCK`, without its indentation."""
    return textwrap.dedent(found["fenced"] or found["plot"] or "").strip("\n")


def parts_of(block: str) -> list[Part]:
    """The code of a block without prompts, in parts that end where something is printed.

    A block without prompts is one part.
    """
    if not block.startswith(PROMPT):
        return [Part(block)]
    parts, source = [], ""
    for example in doctest.DocTestParser().get_examples(f"{block}\n"):
        source += example.source
        if example.want:
            parts.append(Part(source.strip("\n"), raises=example.exc_msg is not None))
            source = ""
    return [*parts, Part(source.strip("\n"))] if source else parts
