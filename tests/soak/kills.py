"""Several writers, killed at random moments: whatever is under a file's name is whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import hopcore
from hopcore.files._arrays import read_array

FILES = {"layer.safetensors", "array.npy"}
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import hopcore
from hopcore.files import write_whole

folder, size = Path(sys.argv[1]), int(sys.argv[2])
settings = hopcore.HopfieldSettings(input_size=size)
names = hopcore.initial_parameters(settings)
number = 0
while True:
    number += 1
    whole = {name: np.full(np.shape(value), float(number)) for name, value in names.items()}
    hopcore.save_layer(folder / "layer.safetensors", settings, whole)
    write_whole(folder / "array.npy", lambda file: np.save(file, np.full(size * size, number)))
    print(number, flush=True)
"""
"""Writes a layer and an array of one number each, over and over, a larger number every time."""


WRITERS = 2
"""Processes that write the same files at once."""


def broken_files(folder: Path, seed: int, kills: int) -> Iterator[str]:
    """Report what is wrong with files while several processes write them, and after their end."""
    chance = random.Random(seed)
    for _ in range(kills):
        size = chance.choice([8, 64, 256])
        command = [sys.executable, "-c", PROGRAM, str(folder), str(size)]
        with ExitStack() as stack:
            writers = [
                stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
                for _ in range(WRITERS)
            ]
            for writer in writers:
                assert writer.stdout is not None
                if not writer.stdout.readline():  # both files are there after the first line
                    yield f"a writer of {size} ended by itself"
            end = time.monotonic() + chance.uniform(0.0, 0.2)
            while time.monotonic() < end:
                if found := list(torn(folder, "while they were written")):
                    yield from found  # once, since the next reading may say the same
                    break
            for writer in writers:
                writer.send_signal(signal.SIGKILL)
        yield from torn(folder, f"after a kill at size {size}")
        left = [path for path in folder.iterdir() if path.name not in FILES]
        if len(left) > WRITERS:
            yield f"more than one part of a writer is left: {sorted(path.name for path in left)}"
        for path in left:
            path.unlink()


def torn(folder: Path, when: str) -> Iterator[str]:
    """Report files that are not whole."""
    try:
        layer = hopcore.load_layer(folder / "layer.safetensors")
        array = read_array(folder / "array.npy")
    except (ValueError, TypeError, OSError) as error:
        yield f"{when}: {error}"
        return
    numbers = {float(x) for value in layer.parameters.values() for x in np.ravel(value)}
    if len(numbers) != 1 or len(set(array.tolist())) != 1:
        yield f"{when}: two writes in one file"
