"""Arrays in safetensors files with a header and a digest: whole, or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hopcore.files._files import write_whole
from hopcore.files._plain import open_plain

READERS = {
    "hopcore": "a layer, which hopcore.load_layer reads",
    "hopcore run": "a run of hopcore train, which hopcore.training.read_run reads",
}
"""What a file of each format holds, and which function reads it."""


def write_tensors(path: Path, header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays with a header and its digest, beside their place and renamed.

    Raises
    ------
    OSError
        The folder is missing, the disk is full; what was there before stays whole.
    ModuleNotFoundError
        safetensors is not installed (extra ``checkpoint``).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from hopcore.files import read_tensors, write_tensors
    >>> path = Path(tempfile.mkdtemp()) / "patterns.safetensors"
    >>> write_tensors(path, {"format": "patterns"}, {"stored": np.eye(2)})
    >>> sorted(read_tensors(path)[0])
    ['digest', 'format']
    """
    save = safetensors_or_hint("numpy").save
    own = {name: np.array(array, order="C", copy=True) for name, array in arrays.items()}
    content = save(own, metadata={**header, "digest": digest(header, own)})
    write_whole(path, lambda file: file.write(content))


def read_tensors(path: str | Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The header and the arrays of a file; nothing is ever unpickled.

    Raises
    ------
    ValueError
        Not a safetensors file, or truncated.
    OSError
        The file cannot be opened, or is not a plain file.
    ModuleNotFoundError
        safetensors is not installed (extra ``checkpoint``).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from hopcore.files import read_tensors, write_tensors
    >>> path = Path(tempfile.mkdtemp()) / "patterns.safetensors"
    >>> write_tensors(path, {"format": "patterns"}, {"stored": np.eye(2)})
    >>> read_tensors(path)[1]["stored"].shape
    (2, 2)
    """
    safetensors = safetensors_or_hint("numpy")
    with open_plain(path) as file:
        content = file.read()
    try:
        arrays = safetensors.load(content)  # which compares all sizes before it copies
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    except Exception as error:  # what a damaged header leads to depends on the damage
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a whole safetensors file: {reason}") from None
    return header, arrays


def check_header(
    header: Mapping[str, str], arrays: Mapping[str, np.ndarray], kind: str, version: str
) -> None:
    """Refuse a file of another kind or version, and one whose content is not what was written."""
    if header.get("format") != kind:
        reader = READERS.get(str(header.get("format")))
        if reader is not None:
            raise ValueError(f"it holds {reader}")
        raise ValueError(f"its header has no settings of {kind}")
    if header.get("version") != version:
        raise ValueError(f"version {header.get('version')!r}, this hopcore reads {version}")
    if header.get("digest") != digest(header, arrays):
        raise ValueError("its digest is that of another content: the file is damaged")


def digest(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the header, without the digest itself, and of every array."""
    found = hashlib.sha256()
    for name in sorted(set(header) - {"digest"}):
        found.update(f"{name}={header[name]}\n".encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def safetensors_or_hint(part: str = "") -> Any:
    """safetensors, or its part for NumPy; else a ModuleNotFoundError that names the extra."""
    try:
        import safetensors  # noqa: PLC0415
        import safetensors.numpy  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "checkpoints need safetensors: pip install 'hopcore[checkpoint]'"
        ) from None
    return safetensors.numpy if part else safetensors
