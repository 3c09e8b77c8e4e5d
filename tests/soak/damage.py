"""Files that are damaged at random: a reader returns what is whole, or says in one line why not."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import hopcore
from hopcore.datasets._idx import read_idx
from hopcore.files import read_array, read_tensors, write_tensors
from soak.laws import deliberate

ERRORS = (ValueError, TypeError, OSError)


def array_file(path: Path, random: np.random.Generator) -> Callable[[Path], Any]:
    """A .npy file."""
    with open(path, "wb") as file:
        np.save(file, random.normal(size=(5, 3)))
    return read_array


def tensor_file(path: Path, random: np.random.Generator) -> Callable[[Path], Any]:
    """A safetensors file."""
    write_tensors(path, {"format": "patterns"}, {"stored": random.normal(size=(5, 3))})
    return read_tensors


def layer_file(path: Path, random: np.random.Generator) -> Callable[[Path], Any]:
    """A checkpoint of a layer."""
    settings = hopcore.HopfieldSettings(input_size=6, num_heads=2)
    seed = int(random.integers(100))
    hopcore.save_layer(path, settings, hopcore.initial_parameters(settings, seed=seed))
    return hopcore.load_layer


def idx_file(path: Path, random: np.random.Generator) -> Callable[[Path], Any]:
    """An IDX file, compressed."""
    images = random.integers(0, 256, (4, 3, 3), dtype=np.uint8)
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, *images.shape)
    with gzip.GzipFile(fileobj=(content := io.BytesIO()), mode="wb", mtime=0) as file:
        file.write(header + images.tobytes())
    path.write_bytes(content.getvalue())
    return read_idx


FORMATS = (array_file, tensor_file, layer_file, idx_file)


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Bytes with some of them changed, cut off, repeated or added."""
    kind = int(random.integers(5))
    where = int(random.integers(len(content)))
    if kind == 0:
        return content[:where]
    if kind == 1:
        return content + bytes(random.integers(0, 256, 16, dtype=np.uint8))
    if kind == 2:
        return content[:where] + content[max(0, where - 32) :]
    changed = bytearray(content)
    places = random.integers(0, min(len(content), 200 if kind == 3 else len(content)), 3)
    for place in places:
        changed[place] = int(random.integers(256))
    return bytes(changed)


def wrongly_read(folder: Path, seeds: range) -> Iterator[tuple[int, str]]:
    """Damage a file for each seed, and report what a reader makes of it that breaks a law."""
    for seed in seeds:
        random = np.random.default_rng(seed)
        path = folder / "file.gz"
        read = FORMATS[seed % len(FORMATS)](path, random)
        path.write_bytes(damaged(path.read_bytes(), random))
        try:
            read(path)
        except ERRORS as error:
            if "\n" in str(error) or not deliberate(error):
                yield seed, f"{read.__name__}: {type(error).__name__}: {error}"
        except Exception as error:
            yield seed, f"{read.__name__}: {type(error).__name__}: {error}"
