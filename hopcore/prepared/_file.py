"""Memories in files of safetensors, which are written whole and have a digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hopcore.arrays._scalar_checks import short_repr
from hopcore.files import read_tensors, write_tensors
from hopcore.files._safetensors import check_header
from hopcore.memory import Entmax, Epanechnikov, KSubsets, Normmax
from hopcore.prepared._calibration import Calibration
from hopcore.prepared._rows import New
from hopcore.prepared._snapshot import Snapshot

FORMAT, VERSION = "hopcore memory", "1"


def separation_name(function: Any) -> str:
    """Return the name of a separation function, from which it can be made again."""
    if function.softmax:
        return "softmax"
    if isinstance(function, Entmax | Normmax) and isinstance(function.alpha, float):
        return f"{type(function).__name__.lower()}:{function.alpha!r}"
    if isinstance(function, KSubsets):
        return f"k-subsets:{function.k}"
    if isinstance(function, Epanechnikov):
        return f"epanechnikov:{function.p}"
    raise TypeError(
        f"a file names a separation function of hopcore, got {short_repr(function)}; save the "
        "patterns, and prepare the memory again"
    )


def write(path: Path, snapshot: Snapshot, calibration: Calibration | None) -> None:
    """Write the patterns of a memory, its keys and settings."""
    settings = {
        "similarity": snapshot.similarity,
        "separation": separation_name(snapshot.separation),
        "beta": snapshot.beta,
        "error": snapshot.error,
        "calibration": None if calibration is None else calibration._asdict(),
    }
    keys = json.dumps(snapshot.keys, separators=(",", ":")).encode()
    arrays = {"patterns": snapshot.patterns, "keys": np.frombuffer(keys, np.uint8)}
    if snapshot.has_values:
        arrays["values"] = snapshot.values
    if snapshot.bias is not None:
        arrays["bias"] = snapshot.bias
    header = {"format": FORMAT, "version": VERSION, "settings": json.dumps(settings)}
    write_tensors(path, header, arrays)


def read(path: Path) -> tuple[dict[str, Any], New]:
    """Return the settings and the patterns of a file; raise if they are not whole."""
    header, arrays = read_tensors(path)
    try:
        version = str(header.get("version"))
        if header.get("format") == FORMAT and version.isdigit() and int(version) > int(VERSION):
            raise ValueError(
                f"its version {version} is newer than {VERSION}, the newest that this hopcore "
                "reads: update hopcore"
            )
        check_header(header, arrays, FORMAT, VERSION)
        settings = json.loads(header["settings"])
        keys = json.loads(arrays["keys"].tobytes())
        new = New(arrays["patterns"], arrays.get("values"), arrays.get("bias"), keys)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a memory of hopcore: {error}") from None
    return settings, new
