"""A command that a signal ends leaves no file half written, and says by its exit code what it was.

A process of its own runs the command and waits where it writes, until the signal comes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")

from hopcore.__main__ import interrupted_by_signals, main

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")

RUN = """
import os, signal, sys, time
how, where, *words = sys.argv[1:]
for name in ("SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), getattr(signal, how))

def wait(*_, **__):
    print("waits", flush=True)
    time.sleep(3.0 if how == "SIG_IGN" else 60.0)

if where == "picture":
    import matplotlib.figure
    matplotlib.figure.Figure.savefig = wait
elif where == "results":
    os.fsync = wait
elif where == "import":
    class Finder:
        def find_spec(name, *_):
            if name == "hopcore.cli.app":
                wait()

    sys.meta_path.insert(0, Finder)
from hopcore.__main__ import main
main(words)
"""

COMMANDS = {
    "picture": "experiment steps-sweep --stored 20 --level 10 --eta 0.1 --seeds 1 --steps 0,1",
    "results": "retrieve stored.npy stored.npy --out found.npz",
    "import": "--help",
}


@contextmanager
def waiting(folder: Path, where: str, how: str = "SIG_DFL") -> Iterator[subprocess.Popen[str]]:
    """Start a command, and wait until it waits."""
    np.save(folder / "stored.npy", np.eye(3))
    call = [sys.executable, "-c", RUN, how, where, *COMMANDS[where].split()]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(call, cwd=folder, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "waits\n", process.stderr.read()
        yield process
        process.kill()


def parts(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".part")]


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("picture", "SIGTERM"), ("results", "SIGTERM"), ("results", "SIGHUP"),
        ("results", "SIGINT"), ("import", "SIGTERM"), ("import", "SIGINT"),
    ],
)  # fmt: skip
def test_a_signal_leaves_no_part_of_a_file(tmp_path: Path, where: str, name: str) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # children would ignore it
    try:
        with waiting(tmp_path, where) as process:
            assert len(parts(tmp_path)) == (where != "import")
            process.send_signal(number := getattr(signal, name))
            assert process.wait(timeout=120) == 128 + number
            assert process.stderr is not None
            assert process.stderr.read() == ""
    finally:
        signal.signal(signal.SIGINT, before)
    assert parts(tmp_path) == []
    written = {"picture": {"steps-sweep.csv"}, "results": set(), "import": set()}[where]
    assert set(os.listdir(tmp_path)) == written | {"stored.npy"}


def test_a_signal_that_is_ignored_changes_nothing(tmp_path: Path) -> None:
    """As nohup asks for it."""
    with waiting(tmp_path, "results", "SIG_IGN") as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
    assert sorted(os.listdir(tmp_path)) == ["found.npz", "stored.npy"]


@pytest.fixture
def by_default() -> Iterator[None]:
    """Handle the signals by default, where nohup or the like has made the tests ignore them."""
    before = {one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.usefixtures("by_default")
def test_the_second_signal_is_not_caught() -> None:
    with interrupted_by_signals() as received:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) != signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_handlers_of_a_program_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with interrupted_by_signals() as received:
            signal.raise_signal(signal.SIGTERM)
        assert (seen, received) == ([signal.SIGTERM], [])
    finally:
        signal.signal(signal.SIGTERM, before)
    codes = []

    def other_thread() -> None:
        with pytest.raises(SystemExit) as done:
            main(["--version"])
        codes.append(done.value.code)

    thread = threading.Thread(target=other_thread)
    thread.start()
    thread.join()
    assert codes == [0]
    assert capsys.readouterr().out.startswith("hopcore ")
