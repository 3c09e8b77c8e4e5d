"""Images to store, and how to corrupt them: scikit-learn's digits, MNIST's IDX files.

Pixels are scaled to [-1, 1] (paper -1, ink 1), so that 0 is "nothing known".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from hopcore.files._plain import check_growth, open_plain, size_of
from hopcore.training._classifier import Images as Samples


class Images(NamedTuple):
    """Grey images, one a row.

    Attributes
    ----------
    pixels : float64 array (n, height * width)
        In [-1, 1].
    shape : tuple of int
        ``(height, width)``.
    labels : integer array (n,) or None
        The digit that each image shows, where the source says it.
    """

    pixels: np.ndarray
    shape: tuple[int, int]
    labels: np.ndarray | None = None


def load(name: str, data: Path | None = None) -> Images:
    """A data set by its name.

    Parameters
    ----------
    name : {"digits", "mnist"}
        ``"digits"``: the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.
        ``"mnist"``: the images of 28 x 28 pixels in MNIST's IDX files.
    data : Path, optional
        The folder of MNIST's files. Without MNIST it has no meaning and is refused.

    Raises
    ------
    ValueError
        An unknown name; a folder without the files, or with damaged ones.
    ModuleNotFoundError
        scikit-learn is not installed.
    """
    if name == "digits":
        if data is not None:
            raise ValueError("the digits come with scikit-learn; a data folder is for mnist")
        return digits()
    if name == "mnist":
        if data is None:
            raise ValueError("mnist is read from a folder of IDX files; none was given (--data)")
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
    >>> from hopcore.experiments.data import datasets
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


def mnist(folder: Path) -> Images:
    """MNIST's images, from the test set's IDX file or, where there is none, the training set's.

    Parameters
    ----------
    folder : Path
        Holds ``t10k-images-idx3-ubyte`` or ``train-images-idx3-ubyte``, gzipped (``.gz``) or not;
        ``.idx3-ubyte`` is understood as well. Labels are read from ``...-labels-idx1-ubyte`` where
        it lies beside them.

    Raises
    ------
    ValueError
        No such file, or a damaged one; labels that are not as many as the images.
    """
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


def read_idx(path: Path) -> np.ndarray:
    """The bytes of an IDX file, gzipped or not, as an array of its own shape.

    The format: two zero bytes, the type (8: unsigned byte, the only one read), the number of axes,
    each axis as a big-endian 32-bit integer, then the values.

    Raises
    ------
    ValueError
        The file is not an IDX file of bytes, is truncated, or has bytes left over; it would grow
        suspiciously when it is decompressed.
    OSError
        The file cannot be opened, or is not a plain file.
    """
    with open_plain(path) as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file) if zipped else nullcontext(file) as content:
                return idx_in(content, path, size_of(file), zipped)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from None


def idx_in(content: IO[bytes] | gzip.GzipFile, path: Path, size: int, zipped: bool) -> np.ndarray:
    """Read the array of an open IDX file of ``size`` bytes, and no more than it announces."""
    first = content.read(4)
    if len(first) < 4 or first[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an IDX file of bytes: it begins with {first.hex(' ')}")
    axes = content.read(4 * first[3])
    begin = 4 + 4 * first[3]
    if len(axes) + 4 < begin:
        raise ValueError(f"{path} is truncated within its header of {begin} bytes")
    shape = struct.unpack(f">{first[3]}I", axes)
    wanted = math.prod(shape)
    if zipped:
        check_growth(path, wanted, size)
        raw = content.read(wanted)
        got = f"{len(raw)}"
        if content.read(1):  # at the end the sum is checked
            got = f"more than {wanted}"
    else:
        raw = content.read(wanted) if wanted == size - begin else b""
        got = f"{size - begin}"
    if got != f"{wanted}":
        raise ValueError(f"{path} must hold {wanted} bytes for shape {shape}, got {got}")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def choose(images: Images, count: int, rng: np.random.Generator) -> Images:
    """``count`` different images, drawn without replacement.

    Raises
    ------
    ValueError
        ``count`` is not between 1 and the number of images.
    """
    if not 1 <= count <= len(images.pixels):
        raise ValueError(f"between 1 and {len(images.pixels)} patterns can be stored, got {count}")
    rows = rng.permutation(len(images.pixels))[:count]
    labels = None if images.labels is None else images.labels[rows]
    return Images(images.pixels[rows], images.shape, labels)


def split_images(images: Images, seed: int) -> tuple[Samples, Samples]:
    """Samples that train, four fifths of the images, and samples that test, the others.

    Parameters
    ----------
    images : Images
        At least 2, with labels.
    seed : int
        Draws who is where.

    Returns
    -------
    train, test : hopcore.experiments.models.image_classifiers.Images
        Pixels in float32, targets in int32.

    Raises
    ------
    ValueError
        Images without labels; fewer than 2.

    Examples
    --------
    >>> from hopcore.experiments.data import datasets
    >>> train, test = datasets.split_images(datasets.digits(), seed=0)
    >>> train.pixels.shape, test.target.shape
    ((1437, 64), (360,))
    """
    if images.labels is None:
        raise ValueError("images need labels to be classified; these have none")
    count = len(images.pixels)
    if count < 2:
        raise ValueError(f"at least 2 images are needed, to train and to test with, got {count}")
    order, edge = np.random.default_rng(seed).permutation(count), count * 4 // 5
    pixels, target = images.pixels.astype(np.float32), images.labels.astype(np.int32)
    train, test = (Samples(pixels[rows], target[rows]) for rows in (order[:edge], order[edge:]))
    return train, test


def split_three(images: Images, seed: int) -> tuple[Samples, Samples, Samples]:
    """Samples that train, seven tenths of the images; that validate, a tenth; that test, a fifth.

    The test samples are those of :func:`split_images`.

    Parameters
    ----------
    images : Images
        At least 10, with labels.
    seed : int
        Draws who is where.

    Returns
    -------
    train, validation, test : hopcore.experiments.models.image_classifiers.Images

    Raises
    ------
    ValueError
        Images without labels; fewer than 10.

    Examples
    --------
    >>> from hopcore.experiments.data import datasets
    >>> [len(part.target) for part in datasets.split_three(datasets.digits(), seed=0)]
    [1258, 179, 360]
    """
    rest, test = split_images(images, seed)
    held = len(rest.target) // 8
    if held == 0:
        raise ValueError(
            "at least 10 images are needed, to train, to validate and to test with, got "
            f"{len(images.pixels)}"
        )
    train, validation = (
        Samples(*(values[rows] for values in rest)) for rows in (slice(-held), slice(-held, None))
    )
    return train, validation, test


def corrupt(images: Images, corruption: str, rng: np.random.Generator) -> np.ndarray:
    """Corrupted copies of images, as queries.

    Parameters
    ----------
    images : Images
        What to corrupt; not changed.
    corruption : str
        ``"half"``: the lower half is removed, its pixels set to 0 (of an odd height, the smaller
        half stays). ``"noise:SIGMA"``: gaussian noise of that standard deviation is added.
    rng : numpy.random.Generator
        Draws the noise.

    Returns
    -------
    array (n, height * width)

    Raises
    ------
    ValueError
        An unknown corruption; a standard deviation that is not finite and >= 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import datasets
    >>> one = datasets.Images(np.ones((1, 4)), (2, 2))
    >>> datasets.corrupt(one, "half", np.random.default_rng(0))
    array([[1., 1., 0., 0.]])
    """
    kind, _, value = corruption.partition(":")
    if kind == "half" and not value:
        height, width = images.shape
        queries = images.pixels.copy()
        queries[:, height // 2 * width :] = 0.0
        return queries
    if kind == "noise":
        try:
            sigma = float(value)
        except ValueError:
            sigma = np.nan
        if not 0.0 <= sigma < np.inf:
            raise ValueError(f"noise must be noise:SIGMA with SIGMA >= 0, got {corruption!r}")
        return images.pixels + sigma * rng.standard_normal(images.pixels.shape)
    raise ValueError(f"unknown corruption {corruption!r}; known: 'half', 'noise:SIGMA'")
