"""Bags to classify: bit patterns, latch sequences, bags of digits, files of features.

What is drawn at random is drawn from a generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hopcore.datasets._images import Images
from hopcore.experiments.models.bag_classifier import Bags
from hopcore.files._arrays import read_archive


def padded(instances: Sequence[np.ndarray], target: np.ndarray) -> Bags:
    """Bags of different sizes ``(S_i, d)`` in one array, as float32.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> found = bags.padded([np.ones((1, 2)), np.ones((3, 2))], np.asarray([0, 1]))
    >>> found.patterns.shape, found.padding.tolist()
    ((2, 3, 2), [[False, True, True], [False, False, False]])
    """
    sizes = np.asarray([len(bag) for bag in instances])
    padding = np.arange(sizes.max()) >= sizes[:, None]
    patterns = np.zeros((*padding.shape, instances[0].shape[-1]), np.float32)
    patterns[~padding] = np.concatenate(instances)
    return Bags(patterns, padding, np.asarray(target, np.float32))


def half(count: int, rng: np.random.Generator) -> np.ndarray:
    """Targets 0 and 1, as many of each (give or take one), in random order."""
    return rng.permutation(np.arange(count) % 2)


def bit_patterns(
    rng: np.random.Generator,
    *,
    bags: int = 2048,
    instances: int = 16,
    bits: int = 8,
    signals: int = 8,
) -> Bags:
    """Bags of bit patterns, bits as -1 and 1; half of them hold one of a few signals, once.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the signals, which differ from each other, and the bags. All other instances are
        drawn from the patterns that are no signals.
    bags, instances, bits, signals : int

    Raises
    ------
    ValueError
        Sizes below 1; more signals than patterns, less one.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> found = bags.bit_patterns(np.random.default_rng(0), bags=10)
    >>> found.patterns.shape, float(found.target.sum())
    ((10, 16, 8), 5.0)
    """
    if min(bags, instances, bits, signals) < 1 or bits > 16 or signals >= 2**bits:
        raise ValueError(
            "bit patterns need bags, instances, signals >= 1, bits from 1 to 16 and fewer signals "
            f"than patterns, got {bags}, {instances}, {signals} and {bits}"
        )
    order = rng.permutation(2**bits)
    signal, other = order[:signals], order[signals:]
    target = half(bags, rng)
    found = rng.choice(other, (bags, instances))
    places = rng.integers(instances, size=bags)
    planted = rng.choice(signal, bags)
    holds = target == 1
    found[holds, places[holds]] = planted[holds]
    patterns = 2.0 * (found[..., None] >> np.arange(bits) & 1) - 1.0
    return padded(list(patterns), target)


def latch_sequences(
    rng: np.random.Generator, *, sequences: int = 2048, length: int = 20, symbols: int = 6
) -> Bags:
    """Sequences whose first symbol, one of two, is the target; noise of other symbols follows.

    After the latch task of Hochreiter and Mozer (2001). Symbols are one-hot.

    Parameters
    ----------
    rng : numpy.random.Generator
    sequences, length : int
    symbols : int
        Two of them for the target, the others for noise.

    Raises
    ------
    ValueError
        Sizes below 1; fewer than 3 symbols.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> found = bags.latch_sequences(np.random.default_rng(0), sequences=4)
    >>> found.patterns.shape, bool((found.patterns[:, 0, 1] == found.target).all())
    ((4, 20, 6), True)
    """
    if min(sequences, length) < 1 or symbols < 3:
        raise ValueError(
            "latch sequences need sequences and length >= 1 and symbols >= 3, "
            f"got {sequences}, {length} and {symbols}"
        )
    target = half(sequences, rng)
    found = rng.integers(2, symbols, (sequences, length))
    found[:, 0] = target
    return padded(list(np.eye(symbols, dtype=np.float32)[found]), target)


def digit_bags(
    rng: np.random.Generator,
    images: Images,
    *,
    bags: int,
    digit: int = 9,
    length: float = 10.0,
    deviation: float = 2.0,
) -> Bags:
    """Bags of images of digits; half of them hold a certain digit, once or more.

    After the MNIST bags of Ilse et al. (2018). The size of a bag is normal, rounded, at least 1;
    its images are drawn with replacement, again until it holds the digit, or does not.

    Parameters
    ----------
    rng : numpy.random.Generator
    images : Images
        With labels.
    bags : int
    digit : int
    length, deviation : float
        Of the sizes.

    Raises
    ------
    ValueError
        Images without labels, without the digit, or of that digit alone; fewer than 1 bag.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore import datasets
    >>> from hopcore.experiments.data import bags
    >>> found = bags.digit_bags(np.random.default_rng(0), datasets.digits(), bags=6)
    >>> found.patterns.shape, (~found.padding).sum(axis=1)
    ((6, 11, 64), array([ 9,  7,  9, 11,  9,  9]))
    """
    wanted = labels_of(images) == digit
    if bags < 1 or not 0 < wanted.sum() < len(wanted):
        raise ValueError(
            f"bags of digits need bags >= 1, images of {digit} and others, "
            f"got {bags} bags, {wanted.sum()} and {(~wanted).sum()} images"
        )
    target = half(bags, rng)
    found = []
    for label in target:
        size = max(1, round(rng.normal(length, deviation)))
        rows = rng.integers(len(wanted), size=size)
        while wanted[rows].any() != label:
            rows = rng.integers(len(wanted), size=size)
        found.append(images.pixels[rows])
    return padded(found, target)


def labels_of(images: Images) -> np.ndarray:
    """The labels of images, or a ValueError where there are none."""
    if images.labels is None:
        raise ValueError("bags of digits need images with labels, and the data set has none")
    return images.labels


def read_bags(path: Path) -> Bags:
    """Bags from an ``.npz`` file; nothing is unpickled.

    Parameters
    ----------
    path : Path
        Holds ``features`` (n, d), and ``bag`` and ``label`` (n,): the number of an instance's bag,
        and the bag's label, 0 or 1.

    Returns
    -------
    Bags
        In the order of their numbers.

    Raises
    ------
    ValueError
        Not such a file; values that are not finite; a bag with two labels.
    OSError
        The file cannot be opened.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from hopcore.experiments.data import bags
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "two.npz"
    ...     np.savez(path, features=np.ones((3, 4)), bag=[7, 7, 8], label=[1, 1, 0])
    ...     bags.read_bags(path).padding.tolist()
    [[False, False], [False, True]]
    """
    features, bag, label = arrays_of(path, ("features", "bag", "label"))
    count = len(features) if features.ndim == 2 else 0
    if count == 0 or bag.shape != (count,) or label.shape != (count,):
        raise ValueError(
            f"{path} must hold features (n, d), bag (n,) and label (n,), "
            f"got {features.shape}, {bag.shape} and {label.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"the features of {path} must be finite")
    if not np.isin(label, (0, 1)).all():
        raise ValueError(f"the labels of {path} must be 0 or 1, got {np.unique(label)[:5]}")
    numbers, first, inverse = np.unique(bag, return_index=True, return_inverse=True)
    target = label[first]
    if (target[inverse] != label).any():
        which = bag[target[inverse] != label][0]
        raise ValueError(f"bag {which} of {path} has two labels")
    return padded([features[bag == number] for number in numbers], target)


def arrays_of(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of numbers by their names in an ``.npz`` file."""
    archive = read_archive(path, names)
    found = [archive[name] for name in names]
    for name, array in zip(names, found, strict=True):
        if array.dtype.kind not in "iufb":
            raise ValueError(f"{name} of {path} must be numbers, got {array.dtype}")
    return found


def normalised(train: Bags, *others: Bags) -> list[Bags]:
    """Bags with features of mean 0 and deviation 1 over the instances of the first ones.

    A feature that does not vary there becomes 0 there.
    """
    here = train.patterns[~train.padding].astype(np.float64)
    mean, deviation = here.mean(axis=0), here.std(axis=0)
    deviation = np.where(deviation > 1e-9 * (1.0 + np.abs(mean)), deviation, 1.0)
    found = []
    for bags in (train, *others):
        patterns = ((bags.patterns - mean) / deviation).astype(np.float32)
        patterns[bags.padding] = 0.0
        found.append(bags._replace(patterns=patterns))
    return found


def folds(target: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The rows in ``count`` folds, with the same share of each target, give or take one sample.

    Raises
    ------
    ValueError
        Fewer than 2 folds; fewer samples of a target than folds.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> parts = bags.folds(np.asarray([0, 0, 0, 1, 1, 1]), 3, np.random.default_rng(0))
    >>> [len(part) for part in parts], sorted(int(row) for part in parts for row in part)
    ([2, 2, 2], [0, 1, 2, 3, 4, 5])
    """
    groups = [np.flatnonzero(target == value) for value in np.unique(target)]
    fewest = min(map(len, groups), default=0)
    if not 2 <= count <= fewest or len(groups) < 2:
        raise ValueError(
            f"folds must be at least 2 and at most {fewest}, the number of samples of the rarer "
            f"target, got {count}"
        )
    dealt = np.concatenate([rng.permutation(group) for group in groups])
    return [np.sort(dealt[start::count]) for start in range(count)]
