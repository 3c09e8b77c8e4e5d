"""Images to store: how some are chosen, split, and corrupted.

Pixels are scaled to [-1, 1] (paper -1, ink 1), so that 0 is "nothing known".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.datasets import Images
    >>> Images(np.ones((3, 4)), shape=(2, 2))
    <3 images of 2 x 2, without labels>
    """

    pixels: np.ndarray
    shape: tuple[int, int]
    labels: np.ndarray | None = None

    def __repr__(self) -> str:
        """Show how many images there are, instead of their pixels."""
        labels = "without labels" if self.labels is None else "with labels"
        return f"<{len(self.pixels)} images of {self.shape[0]} x {self.shape[1]}, {labels}>"


def choose(images: Images, count: int, rng: np.random.Generator | int = 0) -> Images:
    """``count`` different images, drawn without replacement.

    Parameters
    ----------
    images : Images
        Of which some are chosen.
    count : int
        How many.
    rng : numpy.random.Generator or int
        Draws them, or a seed.

    Raises
    ------
    ValueError
        ``count`` is not between 1 and the number of images.

    Examples
    --------
    >>> from hopcore import datasets
    >>> datasets.choose(datasets.digits(), 20).pixels.shape
    (20, 64)
    """
    if not 1 <= count <= len(images.pixels):
        raise ValueError(f"between 1 and {len(images.pixels)} patterns can be stored, got {count}")
    rows = np.random.default_rng(rng).permutation(len(images.pixels))[:count]
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
    train, test : hopcore.training.Images
        Pixels in float32, targets in int32.

    Raises
    ------
    ValueError
        Images without labels; fewer than 2.

    Examples
    --------
    >>> from hopcore import datasets
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
    train, validation, test : hopcore.training.Images

    Raises
    ------
    ValueError
        Images without labels; fewer than 10.

    Examples
    --------
    >>> from hopcore import datasets
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


def corrupt(images: Images, corruption: str, rng: np.random.Generator | int = 0) -> np.ndarray:
    """Corrupted copies of images, as queries.

    Parameters
    ----------
    images : Images
        What to corrupt; not changed.
    corruption : str
        ``"half"``: the lower half is removed, its pixels set to 0 (of an odd height, the smaller
        half stays). ``"noise:SIGMA"``: gaussian noise of that standard deviation is added.
    rng : numpy.random.Generator or int
        Draws the noise, or a seed.

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
    >>> from hopcore import datasets
    >>> one = datasets.Images(np.ones((1, 4)), (2, 2))
    >>> datasets.corrupt(one, "half")
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
        return images.pixels + sigma * np.random.default_rng(rng).standard_normal(
            images.pixels.shape
        )
    raise ValueError(f"unknown corruption {corruption!r}; known: 'half', 'noise:SIGMA'")
