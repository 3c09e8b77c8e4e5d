"""Layers in files: one checkpoint for every framework.

A checkpoint is a safetensors file. It contains the parameters by name, and in its header the
settings and a digest of the whole content. Reading it unpickles nothing, and a file that is not
complete is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.arrays._discovery import backend as backend_named
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import short_repr
from hopcore.files._safetensors import check_header, read_tensors, write_tensors
from hopcore.layers._composed_settings import (
    DecoderSettings,
    EncoderSettings,
    LookupSettings,
    PoolingSettings,
)
from hopcore.layers._network_settings import (
    EnergyTransformerSettings,
    HNLSettings,
    HNMSettings,
    LayerSettings,
    QuantizerSettings,
)
from hopcore.layers._parameters import check_parameters
from hopcore.layers._settings import HopfieldSettings

KINDS: dict[str, type[Any]] = {
    "hopfield": HopfieldSettings,
    "pooling": PoolingSettings,
    "lookup": LookupSettings,
    "encoder": EncoderSettings,
    "decoder": DecoderSettings,
    "hnl": HNLSettings,
    "hnm": HNMSettings,
    "quantizer": QuantizerSettings,
    "energy transformer": EnergyTransformerSettings,
}
"""The kinds of layers in a checkpoint, by the name in its header."""

VERSION = "1"


class SavedLayer(NamedTuple):
    """The settings and parameters of a checkpoint.

    Attributes
    ----------
    settings : HopfieldSettings, PoolingSettings, LookupSettings, EncoderSettings or DecoderSettings
    parameters : dict
        Arrays by their names.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4)
    >>> saved = hopcore.layers.SavedLayer(settings, hopcore.initial_parameters(settings))
    >>> saved.settings.input_size
    4
    """

    settings: Any
    parameters: dict[str, Array]

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
def save_layer(path: str | Path, settings: LayerSettings, parameters: Mapping[str, Array]) -> None:
    """Write a layer into a file that every framework can read.

    The file is first written under another name and then renamed, so an existing file stays
    complete whatever interrupts the call.

    Parameters
    ----------
    path : str or Path
        Usually with the suffix ``.safetensors``.
    settings : HopfieldSettings, PoolingSettings, LookupSettings, EncoderSettings or DecoderSettings
    parameters : mapping of str to array
        Arrays of any library by name. Parameters in bfloat16 are saved as float32.

    Raises
    ------
    TypeError, ValueError
        The parameters do not agree with the settings, or are not real floating.
    OSError
        The folder does not exist, or the disk is full.
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
    kinds = [name for name, kind in KINDS.items() if type(settings) is kind]
    if not kinds or not isinstance(path, str | Path):
        raise TypeError(
            f"settings must be those of a layer, got {type(settings).__name__}; write save_layer("
            "path, settings, parameters), as save_layer(path, layer.settings, layer.arrays())"
        )
    check_parameters(settings, parameters)
    arrays = {}
    for name, value in parameters.items():
        arrays[name] = backend_of_input(name, value).to_numpy(value)
    check_floating(arrays)
    header = {
        "format": "hopcore",
        "version": VERSION,
        "layer": kinds[0],
        "settings": json.dumps(settings.to_dict()),
    }
    write_tensors(Path(path), header, arrays)


@suggest_names
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
        The dtype of the parameters; the default is the dtype in the file.
    device : optional
        The device of the parameters, as the library names it.

    Returns
    -------
    SavedLayer
        ``settings, parameters``.

    Raises
    ------
    ValueError
        The file is not a checkpoint, is truncated or damaged, has another version, or has
        parameters that do not agree with its settings; or the library does not compute in the
        dtype.
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
    if not isinstance(path, str | Path):
        raise TypeError(
            f"path must be a str or Path, got {type(path).__name__}; write load_layer(path), which "
            "returns settings and parameters, and make the layer of them"
        )
    library = backend_named(backend)
    known = [str(one).rpartition(".")[2] for one in library.precise]
    if dtype is not None and dtype not in known:
        raise ValueError(
            f"dtype must be one of {', '.join(known)} for {backend}, got {short_repr(dtype)}"
        )
    header, arrays = read_tensors(path)
    try:
        settings = settings_of(header, arrays)
        check_parameters(settings, arrays)
        check_floating(arrays)
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a whole checkpoint of hopcore: {reason}") from None
    parameters = {
        name: library.asarray(value, dtype=dtype or str(value.dtype), device=device)
        for name, value in arrays.items()
    }
    return SavedLayer(settings, parameters)


def check_floating(arrays: Mapping[str, np.ndarray]) -> None:
    """Raise an error if parameters are not real floating: integers would lose information."""
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise TypeError(f"parameter {name} must be real floating, got {array.dtype}")


def settings_of(header: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the settings in a header, validated."""
    check_header(header, arrays, "hopcore", VERSION)
    if header["layer"] not in KINDS:
        raise ValueError(f"unknown layer {header['layer']!r}")
    values = json.loads(header["settings"])
    if not isinstance(values, dict):
        raise ValueError("its settings are not a mapping")
    return KINDS[header["layer"]].from_dict(values)
