"""The tasks of the studies of bags: how a seed draws bags to train, to validate and to test with.

What is drawn for one setting does not depend on the other settings of the study.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from hopcore.datasets._images import Images, choose
from hopcore.experiments.data import bag_files, bags
from hopcore.experiments.mil.trials import PARTS, Split, Splits, cross_validated
from hopcore.experiments.models.bag_classifier import Bags
from hopcore.training import _trainer as training

TRAINED, VALIDATED, TESTED = 1536, 256, 512
"""Bags drawn to train at most, to validate and to test, where they are drawn at will."""


def bit_patterns(
    counts: Sequence[int], sizes: Sequence[int] = (16,), noises: Sequence[float] = (0.0,),
    *, transfer: bool = False,
) -> Splits:  # fmt: skip
    """Bags of bit patterns, for each number of training bags, size of a bag and noise.

    Parameters
    ----------
    counts : sequence of int
        Numbers of training bags; fewer bags are the first of more.
    sizes : sequence of int
        Instances of a bag.
    noises : sequence of float
        Standard deviations of the noise.
    transfer : bool
        Whether bags of the first size and noise alone train and validate, and those of each size
        and noise test the same classifier.
    """
    at_most("bags", counts, TRAINED)
    check_sizes("size", sizes, transfer=transfer)
    settings = [(count, size, noise) for count in counts for size in sizes for noise in noises]
    shown = varied(counts, sizes, noises)

    def drawn(seed: int, size: int, noise: float) -> Bags:
        count = TRAINED + VALIDATED + TESTED
        return bags.bit_patterns(
            np.random.default_rng(seed), bags=count, instances=size, noise=noise
        )

    def splits(seed: int) -> Iterator[Split]:
        if transfer:
            train, validation, _ = parted(drawn(seed, *settings[0][1:]), settings[0][0])
            tests = {shown(one): parted(drawn(seed, *one[1:]), 2)[2] for one in settings}
            yield Split("transfer", 0, train, validation, tests)
            return
        for one in settings:
            train, validation, test = parted(drawn(seed, *one[1:]), one[0])
            yield Split(shown(one), 0, train, validation, {shown(one): test})

    return splits


def latch_sequences(lengths: Sequence[int], repeats: int = 0) -> Splits:
    """Sequences of some lengths: 1536 train.

    The target is the symbol at the beginning; or with ``repeats`` that of two symbols, each of
    which occurs so often, which stands first.
    """
    check_sizes("length", lengths)

    def splits(seed: int) -> Iterator[Split]:
        for length in lengths:
            rng, count = np.random.default_rng(seed), TRAINED + VALIDATED + TESTED
            found = (
                bags.ordered_sequences(rng, sequences=count, length=length, repeats=repeats)
                if repeats
                else bags.latch_sequences(rng, sequences=count, length=length)
            )
            train, validation, test = parted(found, TRAINED)
            yield Split(str(length), 0, train, validation, {str(length): test})

    return splits


def digit_bags(
    images: Images,
    counts: Sequence[int],
    digit: int = 9,
    sizes: Sequence[int] = (10,),
    witnesses: int | None = None,
    *,
    least: Sequence[int | None] = (None,),
    transfer: bool = False,
) -> Splits:
    """Bags of digits: seven tenths of the images train, one tenth validates, a fifth tests.

    The deviation of the size of a bag is a fifth of its mean.

    Parameters
    ----------
    images : Images
    counts : sequence of int
        Numbers of training bags; fewer bags are the first of more.
    digit : int
    sizes : sequence of int
        The mean number of images in a bag.
    witnesses : int, optional
        As in :func:`hopcore.experiments.data.bags.digit_bags`.
    least : sequence of int or None
        Numbers of images of the digit that make a bag positive, as there.
    transfer : bool
        Whether bags of the first size alone train and validate, and those of each size test the
        same classifier.
    """
    at_most("bags", counts, TRAINED)
    check_sizes("size", sizes, transfer=transfer)
    for name, number in [("witnesses", witnesses), *(("least", few) for few in least)]:
        if (number or 0) > min(sizes):
            raise ValueError(
                f"{name} must be at most the mean number of images in a bag, {min(sizes)}, "
                f"got {number}"
            )
    settings = [(count, size, few) for count in counts for size in sizes for few in least]
    shown = varied(counts, sizes, least)

    def drawn(part: Images, key: tuple[int, ...], size: int, few: int | None, number: int) -> Bags:
        return bags.digit_bags(
            np.random.default_rng((*key, size)), part, bags=number, digit=digit, length=size,
            deviation=size / 5.0, witnesses=witnesses, least=few,
        )  # fmt: skip

    def splits(seed: int) -> Iterator[Split]:
        mixed = choose(images, len(images.pixels), np.random.default_rng(seed))
        labels = bags.labels_of(mixed)
        edges = [0, *(len(labels) * tenths // 10 for tenths in (7, 8, 10))]
        train, validation, test = (
            mixed._replace(pixels=mixed.pixels[a:b], labels=labels[a:b]) for a, b in pairwise(edges)
        )
        tests = {shown(one): drawn(test, (seed, 2), *one[1:], TESTED) for one in settings}
        for count, size, few in settings[:1] if transfer else settings:
            name = shown((count, size, few))
            yield Split(
                "transfer" if transfer else name, 0,
                drawn(train, (seed, 0), size, few, count),
                drawn(validation, (seed, 1), size, few, VALIDATED),
                tests if transfer else {name: tests[name]},
            )  # fmt: skip

    return splits


def files(paths: Sequence[Path], count: int) -> Splits:
    """Files of bags, each cross-validated in ``count`` folds."""
    read = {path.stem: bag_files.read_bags(path) for path in paths}
    if len(read) < len(paths):
        raise ValueError(f"files must have different names, got {', '.join(map(str, paths))}")
    for path, found in zip(paths, read.values(), strict=True):
        check_file(path, found, count)

    def splits(seed: int) -> Iterator[Split]:
        for name, found in read.items():
            yield from cross_validated(name, found, count, np.random.default_rng(seed))

    return splits


def parted(found: Bags, count: int) -> list[Bags]:
    """Divide bags into the first ``count`` to train, those to validate and those to test."""
    rows = np.arange(len(found.target))
    edge = TRAINED + VALIDATED
    return [
        training.chosen(found, part) for part in (rows[:count], rows[TRAINED:edge], rows[edge:])
    ]


def varied(*lists: Sequence[object]) -> Callable[[Sequence[object]], str]:
    """Return the name of a setting: its value in the list that has several, or in the first."""
    place = next((place for place, one in enumerate(lists) if len(one) > 1), 0)
    return lambda setting: f"{setting[place]:g}"


def at_most(name: str, values: Sequence[int], most: int) -> None:
    """Refuse values below 2 or above the most."""
    for value in values:
        if not 2 <= value <= most:
            raise ValueError(f"{name} must be between 2 and {most}, got {value}")


def check_sizes(name: str, sizes: Sequence[int], *, transfer: bool = False) -> None:
    """Refuse bags of one instance, of which every layer returns that instance.

    In a transfer, the sizes after the first one only test, and may be 1.
    """
    for size in sizes[:1] if transfer else sizes:
        if size < 2:
            raise ValueError(
                f"{name} must be at least 2, because one instance leaves nothing to pool, "
                f"got {size}"
            )
    if min(sizes) < 1:
        raise ValueError(f"{name} must be at least 1, got {min(sizes)}")


def check_file(path: Path, found: Bags, count: int) -> None:
    """Refuse bags that cannot be classified, pooled, or divided into so many folds.

    The bags that train in a fold are divided into :data:`~hopcore.experiments.mil.trials.PARTS`
    stratified parts, so that as many bags of each label must be left in them.
    """
    positive = int(found.target.sum())
    fewest, label = min((positive, 1), (len(found.target) - positive, 0))
    if fewest == 0:
        raise ValueError(f"{path} has bags of one label only; classification needs both")
    if found.padding.shape[1] < 2:
        raise ValueError(f"every bag of {path} has one instance, which leaves nothing to pool")
    possible = [k for k in range(2, fewest + 1) if fewest - math.ceil(fewest / k) >= PARTS]
    if not possible:
        raise ValueError(
            f"{path} has {fewest} bags of label {label}, too few to validate and to test: at least "
            f"{PARTS + 1} bags of each label are needed"
        )
    if count not in possible:
        raise ValueError(
            f"folds must be between {possible[0]} and {possible[-1]} for {path}, which has "
            f"{fewest} bags of label {label}, got {count}"
        )
