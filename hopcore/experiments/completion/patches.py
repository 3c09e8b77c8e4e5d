"""Images cut into patches, half of which are hidden, in three parts that share no image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hopcore import datasets
from hopcore.experiments.models.image_completer import Patches

SIDES = {"digits": 2, "mnist": 4}
"""The height and the width of a patch of each data set."""


class Split(NamedTuple):
    """The images of a seed.

    Attributes
    ----------
    train : float32 array (n, L, p)
        Images that train or are stored, as L patches of p pixels.
    validation, test : Patches
        Other images, with the patches that are hidden; each method gets the same ones.
    """

    train: np.ndarray
    validation: Patches
    test: Patches


def split_of(images: datasets.Images, side: int, seed: int) -> Split:
    """Return the images of a seed: seven tenths to train, one to validate, and two to test."""
    parts = datasets.split_three(images, seed)
    train, *others = (as_patches(part.pixels, images.shape, side) for part in parts)
    rng = np.random.default_rng([seed, 1])
    hidden = [half_hidden(len(part), part.shape[1], rng) for part in others]
    validation, test = map(Patches, others, hidden)
    return Split(train, validation, test)


def half_hidden(count: int, patches: int, rng: np.random.Generator) -> np.ndarray:
    """Draw for each image which half of its patches is hidden, ``(count, patches)``.

    Of an odd number of patches, the smaller half is hidden.
    """
    return rng.random((count, patches)).argsort(axis=1) < patches // 2


def as_patches(pixels: np.ndarray, shape: tuple[int, int], side: int) -> np.ndarray:
    """Return images ``(n, height * width)`` as patches ``(n, L, side * side)``, row by row.

    Raises
    ------
    ValueError
        The side does not divide the height and the width.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.completion.patches import as_patches
    >>> as_patches(np.arange(16)[None], (4, 4), 2)[0, 1]
    array([2, 3, 6, 7])
    """
    height, width = shape
    if height % side or width % side:
        raise ValueError(f"patches of {side} x {side} do not fill images of {height} x {width}")
    cut = pixels.reshape(-1, height // side, side, width // side, side)
    return cut.swapaxes(2, 3).reshape(len(pixels), -1, side * side)


def as_images(patches: np.ndarray, shape: tuple[int, int], side: int) -> np.ndarray:
    """Return patches ``(n, L, side * side)`` as images ``(n, height, width)``."""
    height, width = shape
    cut = patches.reshape(-1, height // side, width // side, side, side)
    return cut.swapaxes(2, 3).reshape(-1, height, width)


def error(outputs: np.ndarray, batch: Patches) -> float:
    """Return the mean squared error of the pixels of hidden patches."""
    difference = outputs[batch.hidden].astype(np.float64) - batch.pixels[batch.hidden]
    return float(np.mean(difference**2))
