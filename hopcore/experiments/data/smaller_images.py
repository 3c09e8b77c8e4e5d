"""Images with fewer pixels, each of which is the mean of a square."""

from __future__ import annotations

from hopcore.datasets._images import Images


def shrink_by(images: Images, factor: int) -> Images:
    """Replace squares of ``factor`` x ``factor`` pixels by their means.

    Raises
    ------
    ValueError
        The factor does not divide the height and the width.

    Examples
    --------
    >>> from hopcore import datasets
    >>> from hopcore.experiments.data.smaller_images import shrink_by
    >>> shrink_by(datasets.digits(), 2).shape
    (4, 4)
    """
    height, width = images.shape
    if height % factor or width % factor:
        raise ValueError(f"--shrink must divide the images of {height} x {width}, got {factor}")
    shape = height // factor, width // factor
    squares = images.pixels.reshape(-1, shape[0], factor, shape[1], factor)
    return images._replace(pixels=squares.mean(axis=(2, 4)).reshape(len(squares), -1), shape=shape)


def shrink_to(images: Images, side: int) -> Images:
    """Average images to ``side`` x ``side`` pixels.

    Rows and columns that would fill no square are cut off, as many at each end, or one more at the
    last.

    Raises
    ------
    ValueError
        The images have fewer pixels a side.

    Examples
    --------
    >>> from hopcore import datasets
    >>> from hopcore.experiments.data.smaller_images import shrink_to
    >>> shrink_to(datasets.digits(), 3).shape
    (3, 3)
    """
    if not 1 <= side <= min(images.shape):
        raise ValueError(f"--side must be at most {min(images.shape)} for these images, got {side}")
    pixels = images.pixels.reshape(-1, *images.shape)
    factor = min(images.shape) // side
    kept = side * factor
    top, left = ((length - kept) // 2 for length in images.shape)
    pixels = pixels[:, top : top + kept, left : left + kept]
    whole = images._replace(pixels=pixels.reshape(len(pixels), -1), shape=(kept, kept))
    return shrink_by(whole, factor)
