"""The pictures of the help show the commands that there are; those of pages are all there."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from html import unescape
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

typer = pytest.importorskip("typer")

ROOT = Path(__file__).parents[2]
LOOKS = ROOT / "docs" / "design" / "looks"
AGAIN = "run `python docs/draw_looks.py`"


def drawing(name: str = "draw_looks") -> ModuleType:
    path = ROOT / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words_of(name: str) -> list[str]:
    """The words of a picture; texts that touch each other are one, whatever their colours."""
    picture, found, end = ElementTree.parse(LOOKS / f"{name}.svg"), "", (0.0, "")
    for text in picture.iter("{http://www.w3.org/2000/svg}text"):
        if "textLength" not in text.attrib:  # the title
            continue
        left, line = float(text.attrib["x"]), text.attrib["y"]
        touches = line == end[1] and abs(left - end[0]) < 1.0
        found += ("" if touches else " ") + (text.text or "")
        end = left + float(text.attrib["textLength"]), line
    return unescape(found).split()  # spaces that do not break are spaces here, too


def command_of(arguments: list[str]) -> Any:
    from hopcore.cli.app import app

    command = typer.main.get_command(app)
    for name in arguments[:-1]:  # the last one is --help
        command = command.commands[name]
    return command


@pytest.mark.parametrize("name", ["hopcore", "hopcore-retrieve"])
def test_a_picture_has_every_command_option_and_example(name: str) -> None:
    drawn, command = words_of(name), command_of(drawing().LOOKS[name])
    options = {one for parameter in command.params for one in parameter.opts if one[:2] == "--"}
    commands = {*getattr(command, "commands", {})}
    assert [one for one in sorted(options | commands) if one not in drawn] == [], AGAIN
    shown = {word for word in drawn if re.fullmatch("--[a-z-]+", word)}
    used = set(re.findall("--[a-z-]+", f"{command.epilog} {command.help}"))
    mentioned = {"--patterns", "--queries"}  # in the help of the files without an option
    assert shown <= options | {"--help"} | used | mentioned, AGAIN
    text = "".join(drawn)
    for example in re.findall(r"Example: (hopcore .*)", command.epilog):
        assert example.replace(" ", "") in text, AGAIN


def test_no_picture_is_left_over_or_loads_anything() -> None:
    assert {path.stem for path in LOOKS.glob("*.svg")} == set(drawing().LOOKS)
    for path in LOOKS.glob("*.svg"):
        links = set(re.findall(r"https?://[^\s\"<]+", path.read_text(encoding="utf-8")))
        assert links <= {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("name", ["hopcore", "hopcore-retrieve"])
def test_a_picture_is_drawn_as_the_help_is_now(name: str) -> None:
    pinned = (ROOT / "constraints" / "cpu.txt").read_text(encoding="utf-8").splitlines()
    for package in ("typer", "rich"):
        if f"{package}=={version(package)}" not in pinned:
            pytest.skip(f"another {package} lays out the help in its own way")
    assert (LOOKS / f"{name}.svg").read_text(encoding="utf-8") == drawing().picture(name), AGAIN


def test_pages_are_drawn_at_both_widths_in_small_files_and_shown() -> None:
    pytest.importorskip("PIL")
    pages = drawing("draw_pages")
    wanted = {f"{name}-{width}.png" for name in pages.PAGES for width in pages.WIDTHS}
    assert {path.name for path in LOOKS.glob("*.png")} == wanted
    shown = (ROOT / "docs" / "design" / "looks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(looks/(\S+)\)", shown)) == {path.name for path in LOOKS.iterdir()}
    assert [path.name for path in LOOKS.glob("*.png") if path.stat().st_size > 150_000] == []


def test_without_a_browser_a_line_says_so(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "draw_pages.py"), str(tmp_path)],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("draw_pages: no browser to draw with; install one of chromium")
    assert done.stderr.count("\n") == 1
