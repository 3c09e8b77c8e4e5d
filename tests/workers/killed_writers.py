"""Several writers of one file, killed at random moments, while a reader looks at it all the time.

``python killed_writers.py FOLDER SEED KILLS`` prints how many of the files it looked at were whole.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hopcore.files import write_whole

WRITERS = 3
"""Processes that write to one path at a time."""

SIZES = (0, 100, 10_000, 1_000_000)
"""Sizes of the files in bytes."""


def write_for_ever(path: Path, seed: int) -> None:
    """Write files of several sizes, each followed by its digest."""
    chance = random.Random(seed)
    while True:
        content = chance.randbytes(16) * (chance.choice(SIZES) // 16)
        whole = content + hashlib.sha256(content).digest()
        half = len(whole) // 2

        def write(file, whole=whole, half=half):
            file.write(whole[:half])
            file.flush()
            file.write(whole[half:])

        write_whole(path, write)


def is_whole(path: Path) -> bool:
    """Whether a file ends with the digest of the rest."""
    content = path.read_bytes()
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


def read_for_ever(path: Path) -> None:
    """Read until a file is not whole."""
    while is_whole(path):
        time.sleep(0.0005)


def started(work: Callable[..., None], *arguments: object) -> int:
    """Run a function in a new process, which ends with it, and return its number."""
    child = os.fork()
    if child == 0:
        try:
            work(*arguments)
        finally:
            os._exit(1)
    return child


def main(folder: Path, seed: int, kills: int) -> int:
    """Kill writers, look at the file after each, and return how many times it was whole."""
    chance, path, whole = random.Random(seed), folder / "file", 0
    write_whole(path, lambda file: file.write(hashlib.sha256(b"").digest()))
    reader = started(read_for_ever, path)
    writers = [started(write_for_ever, path, seed + place) for place in range(WRITERS)]
    for number in range(kills):
        time.sleep(chance.uniform(0.0, 0.02))
        place = chance.randrange(WRITERS)
        os.kill(writers[place], signal.SIGKILL)
        _, status = os.waitpid(writers[place], 0)
        whole += os.WTERMSIG(status) == signal.SIGKILL and is_whole(path)
        writers[place] = started(write_for_ever, path, seed + WRITERS + number)
    for child in writers:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.kill(reader, signal.SIGTERM)
    _, status = os.waitpid(reader, 0)
    parts = [one for one in folder.iterdir() if one.suffix == ".part"]
    assert os.WTERMSIG(status) == signal.SIGTERM, "the reader found a file that was not whole"
    assert len(parts) <= kills + WRITERS, "a writer that was not killed left something behind"
    return whole


if __name__ == "__main__":
    found = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(f"{found}\n")
