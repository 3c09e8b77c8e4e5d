"""Memories to compact, and queries that are not in them: images, patches, keys of a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.datasets import Images
from hopcore.experiments.completion.patches import as_patches
from hopcore.experiments.data import sequences
from hopcore.experiments.models.sequence_classifier import SequenceClassifier
from hopcore.experiments.models.sequence_fitting import SequenceFitting
from hopcore.memory import Similarity
from hopcore.training import _trainer as training

DIGITS, PATCHES, KEYS = "digits", "patches", "keys"

SOURCES = (DIGITS, PATCHES, KEYS)
"""Digits of scikit-learn, patches of MNIST's images, keys and values of a transformer."""

SIDE = 7
"""The height and the width of a patch of MNIST."""

ASKED = 256
"""The number of queries."""

GAP, LAYER = 8, 1
"""Noise symbols of a sequence of recall, and the layer whose keys are taken, the last of two."""


class Source(NamedTuple):
    """Stored patterns, their values, and queries, all in float64.

    Attributes
    ----------
    stored : array (N, d)
    values : array (N, v) or None
        None if the patterns are their own values.
    queries : array (L, d)
    similarity : {"dot", "distance"}
    beta : float or None
        The inverse temperature at which the patterns were learned.
    accuracy : float or None
        The share of right answers of the transformer.
    """

    stored: np.ndarray
    values: np.ndarray | None
    queries: np.ndarray
    similarity: Similarity
    beta: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where memories come from.

    Attributes
    ----------
    stored : int
        The number of patterns of a memory.
    digits, mnist : Images or None
        The images of the sources that need some.
    fitting : SequenceFitting
        How the transformer is trained.
    """

    stored: int
    digits: Images | None = None
    mnist: Images | None = None
    fitting: SequenceFitting = SequenceFitting()  # noqa: RUF009  which is frozen

    def draw(self, name: str, seed: int) -> list[Source]:
        """Return the memories of a source that a seed draws: one, or one for each head."""
        rng = np.random.default_rng((seed, SOURCES.index(name)))
        if name == KEYS:
            return heads(self.fitting, self.stored, seed, rng)
        images = self.digits if name == DIGITS else self.mnist
        if images is None:
            raise ValueError(f"{name} needs images")
        if name == DIGITS:
            drawn = rng.permutation(images.pixels)[: self.stored + ASKED]
            return [Source(drawn[: self.stored], None, drawn[self.stored :], "distance")]
        order = rng.permutation(len(images.pixels))
        parts = np.split(order, [len(order) * 3 // 4])  # no image gives both patterns and queries
        counts = self.stored, ASKED
        stored, queries = (
            rng.permutation(patches_of(images, part))[:count]
            for part, count in zip(parts, counts, strict=True)
        )
        return [Source(stored, None, queries, "distance")]


def patches_of(images: Images, rows: np.ndarray) -> np.ndarray:
    """Return the patches of some images, ``(n, SIDE * SIDE)``."""
    found = as_patches(images.pixels[rows], images.shape, SIDE)
    return found.reshape(-1, found.shape[-1])


def heads(
    fitting: SequenceFitting, count: int, seed: int, rng: np.random.Generator
) -> list[Source]:
    """Train a transformer to recall values by their keys, and return the memory of each head.

    Stored are keys and values of one layer at places of many sequences, drawn at random; the
    queries are those of places that answer, in other sequences.
    """
    model = SequenceClassifier(
        length=sequences.longest(GAP), width=fitting.width, hidden=fitting.hidden,
        layers=LAYER + 1, num_heads=fitting.num_heads,
    )  # fmt: skip
    trainer = fitting.trainer(model, seed)
    drawn = np.random.default_rng((seed, 0))
    for step in range(1, fitting.steps + 1):
        fitting.step(trainer, sequences.recall(drawn, fitting.batch_size, GAP), step)
    parameters = trainer.parameters()
    length = sequences.recall(drawn, 1, GAP).symbols.shape[1]
    known = sequences.recall(rng, -(-count // length), GAP)
    asked = sequences.recall(rng, ASKED // sequences.PAIRS, GAP)
    logits = training.scores(trainer, asked, 64)
    accuracy = float(np.mean(logits.argmax(axis=-1) == asked.target))
    stored, values = (
        by_head(array) for array in model.patterns(parameters, known.symbols, LAYER)[1:]
    )
    answers = slice(-sequences.PAIRS, None)
    queries = by_head(model.patterns(parameters, asked.symbols, LAYER)[0][..., answers, :])
    places = rng.permutation(stored.shape[1])[:count]
    beta = float(np.mean(np.asarray(model.associations[LAYER].beta)))  # all heads have the same
    return [
        Source(own[places], recalled[places], asking, "dot", beta, accuracy)
        for own, recalled, asking in zip(stored, values, queries, strict=True)
    ]


def by_head(array: Any) -> np.ndarray:
    """Return ``(n, H, L, d)`` of any library as ``(H, n * L, d)`` of NumPy."""
    found = backend_of_input("patterns", array).to_numpy(array).astype(np.float64)
    return found.swapaxes(0, 1).reshape(found.shape[1], -1, found.shape[-1])
