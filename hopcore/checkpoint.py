"""Layers in files: one checkpoint for every framework.

A checkpoint is a safetensors file: the parameters by their names, and in its header the settings
and a digest of all of it. Nothing is ever unpickled; a file is whole or it is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays import backend_of_input
from hopcore.backend import Array
from hopcore.discovery import backend as backend_named
from hopcore.files import write_whole
from hopcore.layer_settings import (
    DecoderSettings,
    EncoderSettings,
    LayerSettings,
    LookupSettings,
    PoolingSettings,
)
from hopcore.parameters import check_parameters
from hopcore.settings import HopfieldSettings

KINDS: dict[str, type[Any]] = {
    "hopfield": HopfieldSettings,
    "pooling": PoolingSettings,
    "lookup": LookupSettings,
    "encoder": EncoderSettings,
    "decoder": DecoderSettings,
}
"""The layers that a checkpoint may hold, by the name in its header."""

VERSION = "1"


class SavedLayer(NamedTuple):
    """What a checkpoint holds.

    Attributes
    ----------
    settings : HopfieldSettings, PoolingSettings, LookupSettings, EncoderSettings or DecoderSettings
    parameters : dict
        Arrays by their names.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4)
    >>> saved = hopcore.SavedLayer(settings, hopcore.initial_parameters(settings))
    >>> saved.settings.input_size
    4
    """

    settings: Any
    parameters: dict[str, Array]


def save_layer(path: str | Path, settings: LayerSettings, parameters: Mapping[str, Array]) -> None:
    """Write a layer into a file that every framework can read.

    It is written beside its place and renamed: whatever stops it, a file that was there before
    stays whole.

    Parameters
    ----------
    path : str or Path
        Usually with the suffix ``.safetensors``.
    settings : HopfieldSettings, PoolingSettings, LookupSettings, EncoderSettings or DecoderSettings
    parameters : mapping of str to array
        Of any library; bfloat16 is kept as float32.

    Raises
    ------
    ValueError
        Parameters that are not those of the settings.
    OSError
        The folder is missing, the disk is full.
    ModuleNotFoundError
        safetensors is not installed (extra ``checkpoint``).

    Examples
    --------
    >>> import hopcore, tempfile, pathlib
    >>> settings = hopcore.HopfieldSettings(input_size=4)
    >>> place = pathlib.Path(tempfile.mkdtemp()) / "layer.safetensors"
    >>> hopcore.save_layer(place, settings, hopcore.initial_parameters(settings))
    >>> hopcore.load_layer(place).settings == settings
    True
    """
    save = _safetensors("numpy").save
    kinds = [name for name, kind in KINDS.items() if type(settings) is kind]
    if not kinds:
        raise TypeError(f"settings must be those of a layer, got {type(settings).__name__}")
    check_parameters(settings, parameters)
    arrays = {}
    for name, value in parameters.items():
        array = backend_of_input(name, value).to_numpy(value)
        arrays[name] = np.array(array, order="C", copy=True)
    header = {
        "format": "hopcore",
        "version": VERSION,
        "layer": kinds[0],
        "settings": json.dumps(settings.to_dict()),
    }
    header["digest"] = digest(header, arrays)
    content = save(arrays, metadata=header)
    write_whole(Path(path), lambda file: file.write(content))


def load_layer(
    path: str | Path, *, backend: str = "numpy", dtype: str | None = None, device: Any = None
) -> SavedLayer:
    """Read a layer that :func:`save_layer` wrote.

    Parameters
    ----------
    path : str or Path
    backend : str
        The library of the parameters.
    dtype : str, optional
        The dtype of the parameters; that of the file if not given.
    device : optional
        Where they are, as their library calls it.

    Returns
    -------
    SavedLayer
        ``settings, parameters``.

    Raises
    ------
    ValueError
        Not a checkpoint, truncated, damaged, or parameters that are not those of its settings.
    OSError
        The file cannot be opened.
    ModuleNotFoundError
        safetensors is not installed (extra ``checkpoint``).

    Examples
    --------
    >>> import hopcore, tempfile, pathlib
    >>> settings = hopcore.HopfieldSettings(input_size=4)
    >>> place = pathlib.Path(tempfile.mkdtemp()) / "layer.safetensors"
    >>> hopcore.save_layer(place, settings, hopcore.initial_parameters(settings))
    >>> sorted(hopcore.load_layer(place).parameters)[0]
    'association_core.in_proj_bias'
    """
    safetensors = _safetensors()
    library = backend_named(backend)
    with open(path, "rb"):
        pass
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # what a damaged header leads to depends on the damage
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a whole safetensors file: {reason}") from None
    try:
        settings = settings_of(header, arrays)
        check_parameters(settings, arrays)
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a whole checkpoint of hopcore: {reason}") from None
    parameters = {
        name: library.asarray(value, dtype=dtype or str(value.dtype), device=device)
        for name, value in arrays.items()
    }
    return SavedLayer(settings, parameters)


def settings_of(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> Any:
    """The settings in a header, checked."""
    if header.get("format") != "hopcore":
        raise ValueError("its header has no settings of hopcore")
    if header.get("version") != VERSION:
        raise ValueError(f"version {header.get('version')!r}, this hopcore reads {VERSION}")
    if header.get("digest") != digest(header, arrays):
        raise ValueError("its digest is that of another content: the file is damaged")
    if header["layer"] not in KINDS:
        raise ValueError(f"unknown layer {header['layer']!r}")
    values = json.loads(header["settings"])
    if not isinstance(values, dict):
        raise ValueError("its settings are no mapping")
    return KINDS[header["layer"]].from_dict(values)


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


def _safetensors(part: str = "") -> Any:
    try:
        import safetensors  # noqa: PLC0415
        import safetensors.numpy  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "checkpoints need safetensors: pip install 'hopcore[checkpoint]'"
        ) from None
    return safetensors.numpy if part else safetensors
