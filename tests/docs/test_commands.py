"""Every command line on a page can be parsed: its command and its options exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

typer = pytest.importorskip("typer")

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
FENCED = re.compile(r"^```(?:console|bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> list[str]:
    """The commands of fenced blocks, without prompts, with continued lines joined."""
    found = []
    for block in FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            found += [
                part.strip()
                for part in line.removeprefix("$ ").split("&&")
                if part.strip().startswith("hopcore ")
            ]
    return found


LINES = [(page, line) for page in PAGES for line in command_lines(page.read_text("utf-8"))]


def test_the_pages_have_commands() -> None:
    assert len(LINES) > 40
    assert {page.name for page, _ in LINES} >= {"README.md", "command-line.md", "training.md"}


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line[:60] for _, line in LINES])
def test_a_command_on_a_page_is_understood(page: Path, line: str) -> None:
    from hopcore.cli.app import app

    command: Any = typer.main.get_command(app)
    words, path = shlex.split(line)[1:], "hopcore"
    while words and words[0] in getattr(command, "commands", {}):
        path, command = f"{path} {words[0]}", command.commands[words.pop(0)]
    if words[:1] == ["--install-completion"]:  # which would be done
        return
    assert not hasattr(command, "commands"), f"{page}: no such command in {line}"
    command.make_context(path, words)
