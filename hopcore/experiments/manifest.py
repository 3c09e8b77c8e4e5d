"""How the data of a study were made, as a small JSON file beside them."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

import hopcore
from hopcore.files._files import write_whole
from hopcore.files._plain import read_text

LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "jax", "equinox", "transformers")
"""Packages that may have computed the data; those that the process imported are named."""

MODULES = {"scikit-learn": "sklearn"}
"""Names of modules that are not those of their packages."""


def manifest_path(csv: Path) -> Path:
    """Return where the manifest of a CSV file is written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from hopcore.experiments.manifest import manifest_path
    >>> manifest_path(Path("results/capacity.csv")).name
    'capacity-manifest.json'
    """
    return csv.with_name(f"{csv.stem}-manifest.json")


def write_manifest(
    csv: Path,
    command: str,
    seconds: float,
    *,
    beside: Mapping[str, Path | None],
    resumed: bool = False,
) -> Path:
    """Write the manifest of a CSV file that a command has just written, and return its path.

    The manifest has an entry for each run: the command, the commit of hopcore, versions, seconds
    and the date. A run that continued another one is added to the entries that are there. The
    digests are those of the files after the last run.

    Parameters
    ----------
    csv : Path
    command : str
        The command line.
    seconds : float
        How long the run took.
    beside : mapping of str to Path or None
        All files that the run wrote; those that exist are listed with their digests.
    resumed : bool
        Whether rows that were in the CSV file before were kept.
    """
    path = manifest_path(csv)
    known = runs_in(path) if resumed else []
    run: dict[str, Any] = {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": round(seconds, 1),
        "hopcore": hopcore.__version__,
        **commit_of(Path(hopcore.__file__).parent),
        "python": platform.python_version(),
        "versions": versions(),
        "machine": platform.machine(),
    }
    if resumed and not known:
        run["note"] = "rows of earlier runs, which left no manifest, were kept"
    # A summary is pasted into a page, and not kept.
    kept = {one for one in beside.values() if one is not None and one.suffix != ".md"}
    written = sorted(kept - {path})
    files = {one.name: digest(one) for one in written if one.is_file()}
    text = json.dumps({"runs": [*known, run], "files": files}, indent=2)
    write_whole(path, lambda file: file.write(f"{text}\n".encode()))
    return path


def runs_in(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a manifest; none if there is no such file, or if it is damaged.

    The data are measured when a manifest is written, and should not be lost for the sake of it.
    """
    try:
        return list(json.loads(read_text(path))["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def command_line(name: str, command: Callable[..., None], options: Mapping[str, Any]) -> str:
    """Return the command line of a study with the options that are not the defaults.

    Folders of data are written as DIR, because their place says nothing about the results.

    Parameters
    ----------
    name : str
        The study.
    command : callable
        What typer makes a command of; its parameters are the options.
    options : mapping of str to any
        The values of its parameters.

    Examples
    --------
    >>> from hopcore.experiments.manifest import command_line
    >>> from hopcore.experiments.registry import COMMANDS
    >>> command_line("latch", COMMANDS["latch"], {"length": "20", "transfer": False, "seeds": 3})
    'hopcore experiment latch --seeds 3 --length 20'
    """
    words = ["hopcore", "experiment", name]
    hints = get_type_hints(command, include_extras=True)
    for parameter in signature(command).parameters.values():
        value = options.get(parameter.name, parameter.default)
        if value is None or value is False or value == parameter.default:
            continue
        annotation = hints.get(parameter.name, parameter.annotation)
        # Until typer makes the command, it keeps the first name of an option as its default.
        named = [(x.default, *x.param_decls) for x in getattr(annotation, "__metadata__", ())]
        declared = [x for words in named for x in words if str(x).startswith("--")]
        spelled = declared[0] if declared else f"--{parameter.name.replace('_', '-')}"
        words.append(spelled)
        if value is not True:
            words.append(shown(parameter.name, value))
    return shlex.join(words)


def shown(option: str, value: Any) -> str:
    """Return the value of an option as a word of a command line."""
    if isinstance(value, Path):
        return "DIR" if option == "data" else value.name
    if option == "data":
        return ",".join(f"DIR/{Path(one).name}" for one in str(value).split(","))
    return str(value)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that this process has imported."""
    found = {}
    for name in LIBRARIES:
        if MODULES.get(name, name) in sys.modules:
            try:
                found[name] = version(name)
            except PackageNotFoundError:  # a module of that name that no package brought
                continue
    return found


def commit_of(folder: Path) -> dict[str, Any]:
    """Return the commit of a checkout and whether its files differ from it; nothing elsewhere."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        # A package installed into a folder that some checkout ignores is of no commit.
        git("ls-files", "--error-unmatch", "__init__.py")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
