"""The text that a failing check prints: statements, both results, arguments, and a command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import pytest

from hopcore_conformance.report.statements import STATEMENTS

MACHINERY = {"hypothesis", "_pytest", "pluggy", "contextlib"}
"""Packages whose frames do not explain a failure."""


def head(error: BaseException) -> str:
    """The first line of the message of a check."""
    return said(error).splitlines()[0]


def said(error: BaseException) -> str:
    """The message of a failed check; any other error begins with its name."""
    kind = type(error).__name__
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return str(error).strip() or kind
    return f"{kind}: {error}"


def explained(
    item: pytest.Item, error: BaseException, statements: Sequence[str], again: str
) -> str:
    """The text of a failure.

    Parameters
    ----------
    item : pytest.Item
        The check.
    error : BaseException
        The error that it raised, with the notes of hypothesis on the arguments.
    statements : sequence of str
        Identifiers of the statements that it verifies.
    again : str
        The command that runs it again.
    """
    width = max(map(len, statements), default=0)
    parts = ["\n".join(f"{name:<{width}}  {STATEMENTS[name]}" for name in statements)]
    parts += [said(error), *arguments(item, error), "\n".join(places(error.__traceback__))]
    return "\n\n".join([*parts, f"again: {again}"])


def arguments(item: pytest.Item, error: BaseException) -> Iterator[str]:
    """The arguments of the check: the example of hypothesis, or its parameters."""
    notes = [note.strip() for note in getattr(error, "__notes__", ())]
    for note in notes:
        # The subject is what the whole run is about.
        lines = [line for line in note.splitlines() if not line.startswith("    subject=")]
        yield "\n".join(lines)
    call = getattr(item, "callspec", None)
    if call is not None and not notes:
        yield ", ".join(f"{name}={value!r}" for name, value in call.params.items())


def places(traceback: TracebackType | None) -> list[str]:
    """The places of the error, from the check inwards: the deepest line of each function."""
    found: dict[tuple[str, str], int] = {}
    while traceback is not None:
        frame, line = traceback.tb_frame, traceback.tb_lineno
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in MACHINERY and module != "hopcore_conformance.plugin":
            found[frame.f_code.co_filename, frame.f_code.co_name] = line
        traceback = traceback.tb_next
    return [f"{short(file)}:{line} in {name}" for (file, name), line in found.items()]


def short(file: str) -> str:
    """The path of a file from its package: ``hopcore/memory/_energy.py``."""
    found = [file]
    for folder in filter(None, sys.path):
        if Path(file).is_relative_to(folder):
            found.append(str(Path(file).relative_to(folder)))
    return min(found, key=len)


def command(options: dict[str, str | None], name: str) -> str:
    """The command line that repeats a check on the same examples."""
    words = [word for key, value in options.items() if value for word in (f"--{key}", value)]
    module, check = name.partition("[")[0].split("::")
    words += ["-k", f"{Path(module).name} and {check}"]
    return shlex.join(["python", "-m", "hopcore_conformance", *words])
