"""Random command lines: each ends with an answer, or with one line that says what is wrong."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hopcore.__main__ import main

VALUES: dict[str, tuple[str, ...]] = {
    "--stored": ("5", "8", "0", "-1", "1e3", "99999999999"),
    "--patterns": ("P.npy", "P.npy", "images.npy", "nan.npy", "torn.npy", "none.npy", ".", "fifo"),
    "--queries": ("Q.npy", "Q.npy", "P.npy", "wide.npy", "empty.npy", "torn.npy", "text.npy"),
    "--dataset": ("digits", "digits", "mnist", "faces", ""),
    "--beta": ("auto", "1", "8.5", "0", "-1", "nan", "inf", "1e400", "1e-30", "eight"),
    "--separation": ("softmax", "sparsemax", "entmax:1.5", "entmax:0", "entmax:nan", "hardmax"),
    "--max-steps": ("0", "3", "-1", "1e9", "999999999999999999999999"),
    "--tol": ("0", "1e-6", "-1", "nan", "inf"),
    "--dtype": ("float32", "float64", "int8", ""),
    "--backend": ("numpy", "numpy", "torch", "payload", ""),
    "--device": ("cpu", "cuda:99", ""),
    "--corruption": ("half", "noise:0.5", "noise:-1", "noise:nan", "third"),
    "--seed": ("0", "7", "-1", "99999999999999999999999"),
    "--noise": ("0", "0.5", "-1", "nan", "1e400"),
    "--goal": ("retrieve", "average", "sleep"),
    "--betas": ("3", "0", "-5", "1e9"),
    "--followed": ("2", "0", "-5"),
    "--out": ("new.npz", "P.npy", "nowhere/new.npz", ".", "link.npz", "", "x" * 249),
    "--csv": ("new.csv", "P.npy", "nowhere/new.csv"),
    "--plot": ("new.png", "Q.npy", "."),
}
"""Values of options, right and wrong ones."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "retrieve": (
        *("--patterns", "--queries", "--dataset", "--stored", "--beta", "--separation"),
        *("--max-steps", "--tol", "--dtype", "--backend", "--device", "--corruption", "--seed"),
        "--out",
    ),
    "phase": (
        *("--patterns", "--dataset", "--stored", "--goal", "--noise", "--betas", "--followed"),
        *("--seed", "--dtype", "--backend", "--device", "--csv"),
    ),
}
"""Commands with the options that are drawn for them."""


def files(folder: Path) -> None:
    """Write what the drawn command lines read."""
    random = np.random.default_rng(0)
    np.save(folder / "P.npy", random.normal(size=(8, 6)))
    np.save(folder / "Q.npy", random.normal(size=(3, 6)))
    np.save(folder / "images.npy", random.integers(0, 256, (8, 2, 3), dtype=np.uint8))
    np.save(folder / "wide.npy", np.ones((3, 7)))
    np.save(folder / "empty.npy", np.ones((0, 6)))
    np.save(folder / "nan.npy", np.full((4, 6), np.nan))
    (folder / "torn.npy").write_bytes((folder / "P.npy").read_bytes()[:-9])
    (folder / "text.npy").write_text("no numbers")
    (folder / "link.npz").symlink_to(folder / "P.npy")
    os.mkfifo(folder / "fifo")


def line(seed: int) -> list[str]:
    """Return the command line that belongs to a seed."""
    random = np.random.default_rng(seed)

    def pick(among: Any) -> Any:
        return among[int(random.integers(len(among)))]

    command = pick(sorted(COMMANDS))
    sure = ["--patterns", "--queries"] if command == "retrieve" else ["--patterns"]
    if random.random() < 0.2:
        sure = ["--dataset"]
    options = [name for name in COMMANDS[command] if name in sure or random.random() < 0.15]
    if command == "phase":  # few patterns and few inverse temperatures take a second
        options += [name for name in ("--stored", "--betas") if name not in options]
    usual = random.random() < 0.5
    words = [command]
    for name in options:
        words += [name, VALUES[name][0] if usual else pick(VALUES[name])]
    return words


def wrong_commands(
    folder: Path, seeds: range, processes: int = 0
) -> Iterator[tuple[list[str], str]]:
    """Run the command lines of some seeds, the first few as processes; report broken laws."""
    files(folder)
    kept = {path: path.read_bytes() for path in folder.glob("*.npy")}
    before = Path.cwd()
    os.chdir(folder)
    try:
        for seed in seeds:
            words = line(seed)
            run = as_process if seed in seeds[:processes] else within
            for detail in broken(words, run):
                yield words, detail
            for path, content in kept.items():
                if path.read_bytes() != content:
                    yield words, f"{path.name} was written to"
                    path.write_bytes(content)
    finally:
        os.chdir(before)


Outcome = tuple[object, str, str]
"""The exit code, what was printed, and what was written to the standard error."""


def within(words: list[str]) -> Outcome:
    """Run a command line within this process."""
    printed, said, code = io.StringIO(), io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            main(words)
    except SystemExit as stop:
        code = stop.code
    return code, printed.getvalue(), said.getvalue()


def as_process(words: list[str]) -> Outcome:
    """Run a command line as a process, as users do."""
    command = [sys.executable, "-m", "hopcore", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return done.returncode, done.stdout, done.stderr


def broken(words: list[str], run: Callable[[list[str]], Outcome]) -> Iterator[str]:
    """The laws that a command line breaks."""
    try:
        code, printed, said = run(words)
    except Exception as error:
        yield f"{type(error).__name__}: {error}"
        return
    if code not in (0, 2):
        yield f"exit code {code}: {said[-300:]!r}"
    if code == 2 and not re.fullmatch(r"hopcore: [^\n]+\n", said):
        yield f"not one line: {said[-300:]!r}"
    if code == 0 and re.search(r"\bnan\b|Traceback|Warning", printed + said):
        yield f"nan or a warning in {printed[-300:]!r}{said[-300:]!r}"
