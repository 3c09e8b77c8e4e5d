"""Bags to classify: bit patterns, latch sequences, sequences in order, bags of digits.

What is drawn at random is drawn from a generator that is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hopcore.datasets._images import Images
from hopcore.experiments.models.bag_classifier import Bags


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
    noise: float = 0.0,
) -> Bags:
    """Bags of bit patterns, bits as -1 and 1; half of them hold one of a few signals, once.

    Without noise, a bag of more instances than there are patterns is held as all patterns and the
    logarithms of how often they occur in it, which is the same bag in fewer numbers.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws the signals, which differ from each other, and the bags. All other instances are
        drawn from the patterns that are no signals.
    bags, instances, bits, signals : int
    noise : float
        The standard deviation of normal noise that is added to every bit.

    Raises
    ------
    ValueError
        Sizes below 1; more signals than patterns, less one; noise below 0.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> found = bags.bit_patterns(np.random.default_rng(0), bags=10)
    >>> found.patterns.shape, float(found.target.sum())
    ((10, 16, 8), 5.0)
    """
    if not 0.0 <= noise < np.inf:
        raise ValueError(f"noise must be >= 0 and finite, got {noise}")
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
    if is_counted(instances, noise, bits):
        return counted(found, bits, target)
    patterns = 2.0 * (found[..., None] >> np.arange(bits) & 1) - 1.0
    if noise > 0.0:
        patterns += noise * rng.standard_normal(patterns.shape)
    return Bags(patterns.astype(np.float32), np.zeros(found.shape, bool), target.astype(np.float32))


def is_counted(instances: int, noise: float, bits: int = 8) -> bool:
    """Whether bags of bit patterns have counts of patterns in place of repeated instances.

    Examples
    --------
    >>> from hopcore.experiments.data import bags
    >>> bags.is_counted(256, 0.0), bags.is_counted(1024, 0.0), bags.is_counted(1024, 0.1)
    (False, True, False)
    """
    return noise == 0.0 and instances > 2**bits


def counted(codes: np.ndarray, bits: int, target: np.ndarray) -> Bags:
    """Bags of bit patterns by how often each of all patterns occurs in them.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> found = bags.counted(np.asarray([[0, 1, 1]]), 1, np.ones(1))
    >>> found.patterns[0, :, 0].tolist(), np.exp(found.padding[0]).round(3).tolist()
    ([-1.0, 1.0], [1.0, 2.0])
    """
    patterns = 2.0 * (np.arange(2**bits)[:, None] >> np.arange(bits) & 1) - 1.0
    counts = np.stack([np.bincount(row, minlength=2**bits) for row in codes])
    with np.errstate(divide="ignore"):
        padding = np.log(counts).astype(np.float32)
    many = np.broadcast_to(patterns.astype(np.float32), (len(codes), *patterns.shape))
    return Bags(many, padding, target.astype(np.float32))


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


def ordered_sequences(
    rng: np.random.Generator,
    *,
    sequences: int = 2048,
    length: int = 20,
    repeats: int = 4,
    symbols: int = 6,
    depth: int = 16,
) -> Bags:
    """Sequences in which two symbols occur equally often; which of them is first is the target.

    The places of the two symbols are drawn without replacement, noise of other symbols is at all
    other places. An instance is a symbol, one-hot, beside its place t, the sines and cosines of
    ``t / 10000**(2 k / depth)`` (Vaswani et al. 2017). Every sequence has the same mean of places,
    and as many of each of the two symbols, so that the mean of its instances says nothing about
    the target.

    Parameters
    ----------
    rng : numpy.random.Generator
    sequences, length : int
    repeats : int
        How often each of the two symbols occurs.
    symbols : int
        Two of them for the target, the others for noise.
    depth : int
        The number of features of a place, an even number.

    Raises
    ------
    ValueError
        Sizes below 1; fewer than 3 symbols; sequences too short for the two symbols; an odd depth.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> found = bags.ordered_sequences(np.random.default_rng(0), sequences=4, repeats=2)
    >>> found.patterns[..., :2].sum(axis=1).tolist()
    [[2.0, 2.0], [2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]
    """
    if min(sequences, repeats) < 1 or symbols < 3 or length < 2 * repeats:
        raise ValueError(
            "sequences in order need sequences and repeats >= 1, symbols >= 3 and length >= 2 "
            f"repeats, got {sequences}, {repeats}, {symbols} and {length}"
        )
    if depth < 2 or depth % 2:
        raise ValueError(f"depth must be an even number >= 2, got {depth}")
    target = half(sequences, rng)
    found = rng.integers(2, symbols, (sequences, length))
    every = np.tile(np.arange(length), (sequences, 1))
    places = np.sort(rng.permuted(every, axis=1)[:, : 2 * repeats], axis=1)
    rest = np.tile(np.repeat([0, 1], [repeats - 1, repeats]), (sequences, 1))
    same = np.concatenate([np.zeros((sequences, 1), int), rng.permuted(rest, axis=1)], axis=1)
    np.put_along_axis(found, places, same ^ target[:, None], axis=1)
    angles = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, depth, 2) / depth)
    where = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    patterns = np.concatenate(
        [np.eye(symbols)[found], np.broadcast_to(where, (sequences, *where.shape))], axis=-1
    )
    return Bags(patterns.astype(np.float32), np.zeros(found.shape, bool), target.astype(np.float32))


def digit_bags(
    rng: np.random.Generator,
    images: Images,
    *,
    bags: int,
    digit: int = 9,
    length: float = 10.0,
    deviation: float = 2.0,
    witnesses: int | None = None,
    least: int | None = None,
) -> Bags:
    """Bags of images of digits; every second bag holds a certain digit.

    After the MNIST bags of Ilse et al. (2018). The size of a bag is normal, rounded, and at least
    ``witnesses``, ``least`` or 1, whatever its label; its images are drawn with replacement, again
    until it holds the digit, or from images of other digits. Bags are drawn one after another, so
    that fewer of them are the first of more.

    Parameters
    ----------
    rng : numpy.random.Generator
    images : Images
        With labels.
    bags : int
    digit : int
    length, deviation : float
        Of the sizes.
    witnesses : int, optional
        How many images of the digit there are in a bag that holds it; any number >= 1 as they are
        drawn, if not given.
    least : int, optional
        Instead of ``witnesses``: the label says whether a bag holds at least so many images of the
        digit. Every second bag holds ``least`` to ``2 * least - 1`` of them, the others fewer than
        ``least``; each number is drawn equally often.

    Raises
    ------
    ValueError
        Images without labels, without the digit, or of that digit alone; fewer than 1 bag; a
        length, ``witnesses`` or ``least`` below 1; both ``witnesses`` and ``least``.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore import datasets
    >>> from hopcore.experiments.data import bags
    >>> found = bags.digit_bags(np.random.default_rng(0), datasets.digits(), bags=6)
    >>> found.patterns.shape, found.target.tolist()
    ((6, 13, 64), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    """
    wanted = labels_of(images) == digit
    if bags < 1 or not 0 < wanted.sum() < len(wanted):
        raise ValueError(
            f"bags of digits need bags >= 1, images of {digit} and others, "
            f"got {bags} bags, {wanted.sum()} and {(~wanted).sum()} images"
        )
    for name, value in {"length": length, "witnesses": witnesses, "least": least}.items():
        if value is not None and not value >= 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    if witnesses is not None and least is not None:
        raise ValueError(
            "the number of images of the digit follows from witnesses or from least, "
            f"got both, {witnesses} and {least}"
        )
    shown, others = np.flatnonzero(wanted), np.flatnonzero(~wanted)
    target = np.arange(bags) % 2
    smallest = witnesses or least or 1
    found = []
    for label in target:
        size = max(smallest, round(rng.normal(length, deviation)))
        if least is not None:
            number = min(size, int(rng.integers(least)) + label * least)
            rows = rng.choice(others, size)
            rows[:number] = rng.choice(shown, number)
        elif label == 0:
            rows = rng.choice(others, size)
        elif witnesses is None:
            rows = rng.integers(len(wanted), size=size)
            while not wanted[rows].any():
                rows = rng.integers(len(wanted), size=size)
        else:
            rows = rng.choice(others, size)
            rows[:witnesses] = rng.choice(shown, witnesses)
        found.append(images.pixels[rows])
    return padded(found, target)


def labels_of(images: Images) -> np.ndarray:
    """The labels of images, or a ValueError where there are none."""
    if images.labels is None:
        raise ValueError("bags of digits need images with labels, and the data set has none")
    return images.labels


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
        One target only; fewer than 2 folds; fewer samples of a target than folds.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.experiments.data import bags
    >>> parts = bags.folds(np.asarray([0, 0, 0, 1, 1, 1]), 3, np.random.default_rng(0))
    >>> [len(part) for part in parts], sorted(int(row) for part in parts for row in part)
    ([2, 2, 2], [0, 1, 2, 3, 4, 5])
    """
    groups = [np.flatnonzero(target == value) for value in np.unique(target)]
    if len(groups) < 2:
        raise ValueError("folds need samples of two targets or more, got one target only")
    fewest = min(map(len, groups))
    if not 2 <= count <= fewest:
        raise ValueError(
            f"folds must be at least 2 and at most {fewest}, the number of samples of the rarer "
            f"target, got {count}"
        )
    dealt = np.concatenate([rng.permutation(group) for group in groups])
    return [np.sort(dealt[start::count]) for start in range(count)]
