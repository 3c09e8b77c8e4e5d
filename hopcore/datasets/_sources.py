"""Where images come from: scikit-learn's digits, MNIST's IDX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.datasets._idx import read_idx
from hopcore.datasets._images import Images


@suggest_names
def load(name: str, data: str | Path | None = None) -> Images:
    """A data set by its name.

    Parameters
    ----------
    name : {"digits", "mnist"}
        ``"digits"``: the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.
        ``"mnist"``: the images of 28 x 28 pixels in MNIST's IDX files.
    data : str or Path, optional
        The folder of MNIST's files. Without MNIST it has no meaning and is refused.

    Raises
    ------
    ValueError
        An unknown name; a folder without the files, or with damaged ones.
    ModuleNotFoundError
        scikit-learn is not installed.

    Examples
    --------
    >>> from hopcore import datasets
    >>> datasets.load("digits").pixels.shape
    (1797, 64)
    """
    if name == "digits":
        if data is not None:
            raise ValueError("the digits come with scikit-learn; a data folder is for mnist")
        return digits()
    if name == "mnist":
        if data is None:
            raise ValueError(
                "mnist is read from a folder of IDX files; none was given (data=, or --data)"
            )
        return mnist(data)
    raise ValueError(f"unknown data set {name!r}; known: 'digits', 'mnist'")


def digits() -> Images:
    """scikit-learn's handwritten digits, 1,797 images of 8 x 8 pixels; nothing is downloaded.

    Raises
    ------
    ModuleNotFoundError
        scikit-learn is not installed; the message names the extra.

    Examples
    --------
    >>> from hopcore import datasets
    >>> images = datasets.digits()
    >>> images.pixels.shape, images.shape, float(images.pixels.min()), float(images.pixels.max())
    ((1797, 64), (8, 8), -1.0, 1.0)
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415  an extra, imported on use
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "the digits need scikit-learn; install it: pip install 'hopcore[data]'",
            name=missing.name,
        ) from missing
    pixels, labels = load_digits(return_X_y=True)
    return Images(pixels / 8.0 - 1.0, (8, 8), labels)


def mnist(folder: str | Path) -> Images:
    """MNIST's images, from the test set's IDX file or, where there is none, the training set's.

    Parameters
    ----------
    folder : str or Path
        Holds ``t10k-images-idx3-ubyte`` or ``train-images-idx3-ubyte``, gzipped (``.gz``) or not;
        ``.idx3-ubyte`` is understood as well. Labels are read from ``...-labels-idx1-ubyte`` where
        it lies beside them.

    Raises
    ------
    ValueError
        No such file, or a damaged one; labels that are not as many as the images.

    Examples
    --------
    >>> from hopcore import datasets
    >>> datasets.mnist("mnist")
    Traceback (most recent call last):
        ...
    ValueError: mnist holds no t10k-images-idx3-ubyte or train-images-idx3-ubyte(.gz)
    """
    folder = Path(folder)
    for split in ("t10k", "train"):
        for joint in ("-", "."):
            for suffix in ("", ".gz"):
                path = folder / f"{split}-images{joint}idx3-ubyte{suffix}"
                if path.is_file():
                    raw = read_idx(path)
                    if raw.ndim != 3 or raw.size == 0:
                        raise ValueError(f"{path} must hold images (n, h, w), got {raw.shape}")
                    pixels = raw.reshape(len(raw), -1) / 127.5 - 1.0
                    return Images(pixels, raw.shape[1:], labels_beside(path, len(raw)))
    raise ValueError(f"{folder} holds no t10k-images-idx3-ubyte or train-images-idx3-ubyte(.gz)")


def files_in(folder: Path | None) -> dict[str, Path]:
    """The files of MNIST in a folder, as what the option ``--data`` reads."""
    if folder is None:
        return {}
    found = sorted(folder.glob("*idx[13]-ubyte*"))
    return {f"--data ({path.name})": path for path in found}


def labels_beside(path: Path, count: int) -> np.ndarray | None:
    """The labels in the IDX file that belongs to one of images, gzipped or not; None without it."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    for place in (path.with_name(name), path.with_name(f"{name}.gz")):
        if place.is_file():
            labels = read_idx(place)
            if labels.shape != (count,):
                raise ValueError(f"{place} must hold {count} labels, got shape {labels.shape}")
            return labels
    return None
