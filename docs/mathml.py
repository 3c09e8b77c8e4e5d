"""A Sphinx extension: formulas as MathML, which browsers draw without a script or a network."""

from __future__ import annotations

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

SPELLINGS = {r"\arg\max": r"\operatorname{argmax}", r"\Big\|": r"\Big‖"}
"""What the converter does not understand, and what to write instead."""

OTHERWISE = re.compile("|".join(map(re.escape, SPELLINGS)))
BEFORE_A_NAME = re.compile(r"(?<!<msub>)(?<!<msup>)<mi>(ln|log|cos)</mi>(?=<m(i|n|sub|sup|row)>)")


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer it as a renderer, for ``html_math_renderer``."""
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """A formula within a line."""
    translator.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def displayed(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A formula of its own."""
    translator.body.append(f'<div class="formula">{mathml(node, "block")}</div>\n')
    raise nodes.SkipNode


def mathml(node: nodes.math | nodes.math_block, display: str) -> str:
    """A formula as MathML, with a warning of what would not be drawn."""
    source = node.astext()
    drawn = convert(OTHERWISE.sub(lambda found: SPELLINGS[found[0]], source), display=display)
    drawn = drawn.replace(r"\_", "_")  # in words, which are left as they are
    if left := re.search(r">[^<]*?(\\[^<]+)<", drawn):
        logger.warning("%s cannot be drawn in %s", left[1], source, location=node)
    return BEFORE_A_NAME.sub(r'<mi>\1</mi><mspace width="0.17em"/>', drawn)
