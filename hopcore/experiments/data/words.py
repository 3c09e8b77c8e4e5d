"""Words to be reconstructed, letter by letter: those of the documentation of Python itself."""

from __future__ import annotations

import re

import numpy as np

from hopcore.datasets._images import Images

LETTERS = " abcdefghijklmnopqrstuvwxyz"
LENGTH = 8
"""The most letters of a word; shorter ones end with blanks."""


def words() -> Images:
    """Return the different words of 3 to 8 letters in Python's documentation of its own syntax.

    The text is the one that ``help`` shows, so that it comes with every Python; which words it has
    depends on the version of Python a little.

    Returns
    -------
    hopcore.datasets.Images
        A row for each letter, of the shape ``(8, 27)``: 1 for the letter of that place and 0 for
        the others. The labels are the letters, an integer array ``(n, 8)``, 0 for a blank.

    Examples
    --------
    >>> from hopcore.experiments.data.words import words
    >>> found = words()
    >>> found.shape, found.labels.shape[1], int(found.labels.max())
    ((8, 27), 8, 26)
    """
    from pydoc_data.topics import topics  # noqa: PLC0415  700 kB that nothing else needs

    text = re.findall("[a-z]+", " ".join(topics.values()).lower())
    chosen = sorted({word for word in text if 3 <= len(word) <= LENGTH})
    letters = np.asarray([[LETTERS.index(one) for one in word.ljust(LENGTH)] for word in chosen])
    pixels = np.eye(len(LETTERS))[letters]
    return Images(pixels.reshape(len(chosen), -1), (LENGTH, len(LETTERS)), letters)
