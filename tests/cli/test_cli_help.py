"""The help: every command has an example that can be parsed, panels, and a name that is guessed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

import hopcore
from hopcore.__main__ import main
from hopcore.cli.app import TABLE, app

ROOT: Any = typer.main.get_command(app)
ONES = {"help", "version", "install_completion", "show_completion"}
"""Options that are in the panel of the others."""


def commands(command: Any = ROOT, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all commands by their names, groups among them."""
    yield name, command
    for one, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, f"{name} {one}".strip())


ALL = dict(commands())


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"hopcore {hopcore.__version__}\n"


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_examples_that_are_right(name: str) -> None:
    """Each is a command line that is parsed without an error; nothing of it is run."""
    lines = re.findall(r"Example: hopcore (.*)", ALL[name].epilog or "")
    assert lines
    for line in lines:
        assert len(f"Example: hopcore {line}") < 78
        words, command, path = shlex.split(line), ROOT, ""
        while words and words[0] in getattr(command, "commands", {}):
            command, path = command.commands[words[0]], f"{path} {words.pop(0)}".strip()
        if "commands" not in vars(command) and "--help" not in words:
            command.make_context(path, words)
        assert path.startswith(name)


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_a_help_that_is_a_sentence_and_a_panel(name: str) -> None:
    for one in ALL[name].params:
        if one.name in ONES or not getattr(one, "help", None):
            assert one.name in {*ONES, "context"}
            continue
        assert one.help[0].isupper() or one.help.startswith("MODE")
        assert one.help.endswith((".", ")"))
        if one.param_type_name == "option":
            assert one.rich_help_panel, one.name


@pytest.mark.parametrize("name", ALL)
def test_the_help_is_shown_and_nothing_is_cut_off(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*name.split(), "--help"])
    assert stop.value.code == 0
    assert "Example: hopcore" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("retreive", "No such command 'retreive'. Did you mean 'retrieve'?"),
        ("eval", "No such command 'eval'. Did you mean 'evaluate'?"),
        ("experiment anealing", "No such command 'anealing'. Did you mean 'annealing'?"),
        ("demo --sead 1", "No such option: --sead. Did you mean --seed"),
        ("train --epoch 3", "No such option: --epoch. Did you mean --epochs"),
        ("retrieve --zzzzzz 3", "No such option: --zzzzzz"),
    ],
)
def test_what_was_meant_is_guessed(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f"hopcore: {said}")
    assert err.count("\n") == 1


def test_a_shell_completes_commands_and_options() -> None:
    for words, wanted in (("hopcore ret", "retrieve"), ("hopcore retrieve --pat", "--patterns")):
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        ended = subprocess.run(
            [sys.executable, "-m", "hopcore"],
            env={**os.environ, "_HOPCORE_COMPLETE": "complete_bash", **asked},
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert wanted in ended.stdout.split()
        assert ended.stderr == ""


def imported(*words: str) -> set[str]:
    """The modules that a call of the command line imports, those of hopcore by their full name."""
    code = (
        "import sys; from hopcore.__main__ import main\n"
        f"try: main({list(words)!r})\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(ended.stderr.split())


def test_the_help_imports_no_command() -> None:
    found = imported("--help")
    assert not found & {"numpy", "scipy", "matplotlib", "PIL", "sklearn", "torch", "jax"}
    own = {name for name in found if name.startswith("hopcore.")}
    assert len(own) < 10, own


def test_the_help_of_a_command_imports_neither_pictures_nor_statistics() -> None:
    """Half of the time in which the help used to appear was spent on scipy.stats."""
    for words in (("retrieve", "--help"), ("experiment", "--help")):
        heavy = {"scipy.stats", "matplotlib", "PIL", "sklearn", "torch", "jax", "safetensors"}
        assert not imported(*words) & heavy


@pytest.mark.parametrize("name", TABLE)
def test_what_the_list_says_is_what_the_command_says(name: str) -> None:
    first = (ROOT.commands[name].help or "").split("\n\n")[0]
    assert " ".join(first.split()) == TABLE[name].summary
    assert ROOT.commands[name].rich_help_panel == TABLE[name].panel
    assert ROOT.get_command(None, name).help == TABLE[name].summary
