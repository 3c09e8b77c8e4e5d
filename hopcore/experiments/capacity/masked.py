"""How many images memories return from their upper half, by separation and post-transformation.

The protocol is that of Santos et al. 2024, "Hopfield-Fenchel-Young networks": images in [-1, 1],
the lower half set to 0, five updates, success where the cosine with the original is above 0.9. A
post-transformation other than tanh is applied to the patterns and the queries, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple, Protocol

import numpy as np

import hopcore
from hopcore import datasets
from hopcore.convex import (
    ConvexMemory,
    Exponential,
    FenchelYoung,
    Lagrangian,
    LayerNorm,
    LogCosh,
    Norm,
    Polynomial,
    Quadratic,
)
from hopcore.experiments.batched_retrieval import SUCCESS, cosine, nearest

UPDATES = 5
SPHERE = 20.0
"""The inverse temperature for patterns of length 1, whatever the one for the others is."""

INNER = 0.05
"""The inverse temperature of the exponential."""


class Retriever(Protocol):
    """A memory of images, such as :class:`hopcore.convex.ConvexMemory`."""

    def retrieve(self, state: Any, stored: Any, *, max_steps: int, tol: float) -> Any:
        """Return a result whose ``state`` is where the states ``(L, d)`` end."""
        ...


class ByDistance(NamedTuple):
    """A memory that compares by distance: all pixels, or the upper half alone."""

    beta: float
    separation: Any
    upper: bool = False

    def retrieve(self, state: Any, stored: Any, *, max_steps: int, tol: float) -> Any:
        """Retrieve by distance; the lower half of an image of even height may be left out."""
        half = np.arange(state.shape[-1]) < state.shape[-1] // 2
        known = half if self.upper else None
        return hopcore.retrieve(
            state, stored, self.beta, separation=self.separation, similarity="distance",
            known=known, max_steps=max_steps, tol=tol,
        )  # fmt: skip


class Variant(NamedTuple):
    """A memory for each inverse temperature, and what is applied to patterns and queries."""

    memory: Callable[[float], Retriever]
    prepared: Lagrangian | None = None
    beta: float | None = None
    """The only inverse temperature, where it is fixed."""


def separated(separation: Any, visible: Lagrangian, **settings: Any) -> Variant:
    """Return the variant of a separation function and a post-transformation."""
    return Variant(lambda beta: ConvexMemory(FenchelYoung(beta, separation), visible), **settings)


NORMALISED = {
    "softmax": "softmax", "sparsemax": "sparsemax", "normmax 2": "normmax:2",
    "normmax 5": "normmax:5",
}  # fmt: skip
"""The separation functions of the variants with a normalisation."""

VARIANTS: dict[str, Variant] = {
    "classical, tanh": Variant(lambda beta: ConvexMemory(Quadratic(), LogCosh(beta))),
    # Activations of the fifth power are the gradient of the sixth.
    "5th power, tanh": Variant(lambda beta: ConvexMemory(Polynomial(6), LogCosh(beta))),
    "10th power, tanh": Variant(lambda beta: ConvexMemory(Polynomial(11), LogCosh(beta))),
    "exponential, tanh": Variant(lambda beta: ConvexMemory(Exponential(INNER), LogCosh(beta))),
    "softmax": separated("softmax", Quadratic()),
    "entmax 1.5": separated("entmax15", Quadratic()),
    "sparsemax": separated("sparsemax", Quadratic()),
    "normmax 2": separated("normmax:2", Quadratic()),
    "normmax 5": separated("normmax:5", Quadratic()),
    **{
        f"{name}, norm": separated(separation, Norm(), prepared=Norm(), beta=SPHERE)
        for name, separation in NORMALISED.items()
    },
    **{
        f"{name}, layer norm": separated(separation, LayerNorm(), prepared=LayerNorm())
        for name, separation in NORMALISED.items()
    },
    "softmax, distance": Variant(lambda beta: ByDistance(beta, "softmax")),
    "sparsemax, distance": Variant(lambda beta: ByDistance(beta, "sparsemax")),
    "softmax, upper half": Variant(lambda beta: ByDistance(beta, "softmax", upper=True)),
}


class Case(NamedTuple):
    """A variant at an inverse temperature, with images of a seed."""

    variant: str
    beta: float
    patterns: int
    seed: int


class Trial(NamedTuple):
    """``success`` is the share with a cosine above 0.9, ``same`` that nearest to the original."""

    variant: str
    beta: float
    patterns: int
    seed: int
    success: float
    same: float


def cases(betas: Sequence[float], sizes: Sequence[int], seeds: int) -> list[Case]:
    """Return all memories; a variant with an inverse temperature of its own comes once."""
    found = [
        Case(name, variant.beta or beta, size, seed)
        for size, seed, (name, variant), beta in product(
            sizes, range(seeds), VARIANTS.items(), betas
        )
    ]
    return list(dict.fromkeys(found))


def run(images: datasets.Images, wanted: Sequence[Case]) -> Iterator[list[Trial]]:
    """Retrieve the images of each case from their upper halves."""
    for case in wanted:
        variant = VARIANTS[case.variant]
        drawn = datasets.choose(images, case.patterns, case.seed)
        arrays = drawn.pixels, datasets.corrupt(drawn, "half")
        stored, queries = (prepared(variant.prepared, x.astype(np.float32)) for x in arrays)
        memory = variant.memory(case.beta)
        state = memory.retrieve(queries, stored, max_steps=UPDATES, tol=0.0).state
        success = float(np.mean(cosine(state, stored) > SUCCESS))
        same = float(np.mean(nearest(state, stored) == np.arange(case.patterns)))
        yield [Trial(*case, success, same)]


def prepared(transformation: Lagrangian | None, values: np.ndarray) -> np.ndarray:
    """Return patterns or queries after the transformation."""
    if transformation is None:
        return values
    return transformation.activation(values, None, hopcore.backend("numpy"))
