"""The toy library and its backend, laid into a folder as a reader of the tutorial would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

TOY = Path(__file__).parent / "toy"


def install(folder: Path, backend: str) -> None:
    """Save a backend, and write what ``pip install -e .`` would; pip would fetch a build tool."""
    (folder / "toy_hopcore.py").write_text(backend)
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    about = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (about / "entry_points.txt").write_text("\n".join(points))


def library(folder: Path) -> Path:
    """The folder, with the library alone."""
    shutil.copy(TOY / "toy.py", folder)
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder, where it finds its packages, as after an installation."""
    places = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
