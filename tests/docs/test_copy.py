"""The copy button copies code that runs: no prompts, nothing of what was printed."""

from __future__ import annotations

import ast
import doctest
import json
import shutil
import subprocess
from pathlib import Path

import pages
import pytest

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = DOCS / "static" / "copy.js"
RUN = """
const fs = require("fs");
global.document = { addEventListener() {} };
eval(fs.readFileSync(process.argv[1], "utf8") + "; global.copied = copied");
const blocks = JSON.parse(fs.readFileSync(0, "utf8"));
console.log(JSON.stringify(blocks.map((block) => copied(block))));
"""


def copied(blocks: list[str]) -> list[str]:
    """What the button copies from each of the blocks."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    done = subprocess.run(
        [node, "-e", RUN, str(SCRIPT)],
        input=json.dumps(blocks),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_copied_examples_are_the_examples() -> None:
    texts = [page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md"))]
    blocks = [f"{block}\n" for text in texts for block in pages.blocks(text)]
    examples = [block for block in blocks if block.startswith(">>> ")]
    assert len(examples) > 50
    for block, code in zip(examples, copied(examples), strict=True):
        wanted = "".join(one.source for one in doctest.DocTestParser().get_examples(block))
        assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(wanted))


def test_copied_commands_have_no_prompt_and_no_output() -> None:
    block = "$ hopcore demo\n256 handwritten digits\n$ hopcore retrieve \\\n    --plot x.png\n"
    assert copied([block]) == ["hopcore demo\nhopcore retrieve \\\n    --plot x.png"]
    assert copied(["pip install nox && nox\n"]) == ["pip install nox && nox"]
