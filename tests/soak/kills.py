"""Writers killed at random moments: whatever is under a file's name is whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import hopcore
from hopcore.files._arrays import read_array

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


def broken_files(folder: Path, seed: int, kills: int) -> Iterator[str]:
    """What is wrong with the files after each of some kills of their writer."""
    chance = random.Random(seed)
    for _ in range(kills):
        size = chance.choice([8, 64, 256])
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(size)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()  # both files are there
            time.sleep(chance.uniform(0.0, 0.2))
            writer.send_signal(signal.SIGKILL)
        if not first:
            yield f"the writer of {size} ended by itself"
            continue
        try:
            layer = hopcore.load_layer(folder / "layer.safetensors")
            array = read_array(folder / "array.npy")
        except (ValueError, TypeError, OSError) as error:
            yield f"after a kill at size {size}: {error}"
            continue
        numbers = {float(x) for value in layer.parameters.values() for x in np.ravel(value)}
        if len(numbers) != 1 or len(set(array.tolist())) != 1:
            yield f"after a kill at size {size}: two writes in one file"
        left = [path.name for path in folder.iterdir() if path.suffix == ".part"]
        if len(left) > 1:
            yield f"more than one part is left: {left}"
        for name in left:
            (folder / name).unlink()
