"""Images in PNG and JPEG files as patterns: one file, or all files of a folder.

Pixels become grey and are scaled to [-1, 1] like those of the data sets: black -1, white 1.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from hopcore.files._plain import check_growth, open_plain, size_of

SUFFIXES = ".png", ".jpg", ".jpeg"
"""Extensions of images, in any case."""


def images_in(folder: Path) -> list[Path]:
    """Return the PNG and JPEG files that lie in a folder, sorted by their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def read_images(paths: list[Path]) -> np.ndarray:
    """Read images of one size.

    Parameters
    ----------
    paths : list of Path
        At least one PNG or JPEG file.

    Returns
    -------
    float32 array (n, height, width)
        In [-1, 1].

    Raises
    ------
    ValueError
        A file that is not a whole image, or grows suspiciously; images of several sizes.
    OSError
        A file cannot be opened, or is not a plain file.
    ModuleNotFoundError
        Pillow is not installed; it comes with the extra ``plots``.
    """
    found = [read_image(path) for path in paths]
    for path, image in zip(paths, found, strict=True):
        if image.shape != found[0].shape:
            raise ValueError(
                f"{path} has {size(image)} pixels and {paths[0]} has {size(found[0])}: "
                "images must have one size"
            )
    return np.stack(found)


def size(image: np.ndarray) -> str:
    """Return width and height in words."""
    return f"{image.shape[1]} x {image.shape[0]}"


def read_image(path: Path) -> np.ndarray:
    """Read the grey image of one file; see :func:`read_images`."""
    try:
        from PIL import Image  # noqa: PLC0415  comes with matplotlib, an extra
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "images need Pillow; install it: pip install 'hopcore[plots]'", name=missing.name
        ) from missing
    with open_plain(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            # Only these two: other decoders of Pillow need not be trusted.
            image = Image.open(file, formats=["PNG", "JPEG"])
            check_growth(path, image.width * image.height * len(image.getbands()), size_of(file))
            return grey(image) / np.float32(127.5) - np.float32(1.0)
        except Exception as error:  # what a damaged image leads to depends on the damage
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{path} is not a whole PNG or JPEG image: {reason}") from None


def grey(image: Any) -> np.ndarray:
    """Return brightness from 0 to 255 in float32; what is transparent lies on white."""
    if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
        return np.asarray(image, np.float32) / np.float32(257.0)
    if image.has_transparency_data:
        from PIL import Image  # noqa: PLC0415

        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("L"), np.float32)
