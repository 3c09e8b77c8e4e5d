"""The tasks of the studies of bags: how a seed draws bags to train, to validate and to test with.

What is drawn for one setting does not depend on the other settings of the study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from hopcore.datasets._images import Images, choose
from hopcore.experiments.data import bag_files, bags
from hopcore.experiments.mil.trials import Split, Splits, cross_validated
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
    """Files of bags, each cross-validated."""
    read = {path.stem: bag_files.read_bags(path) for path in paths}
    if len(read) < len(paths):
        raise ValueError(f"files must have different names, got {', '.join(map(str, paths))}")

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
