"""Random calls of the functions of a memory, and of graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import hopcore
from hopcore.diffusion._modes import OPERATORS
from hopcore_conformance.subject import AUTODIFF, total_of
from soak.draws import QUERIES, Draw

Drawn = tuple[Callable[..., Any], dict[str, Any]]
"""A function and its arguments, by name."""


def memory(draw: Draw) -> dict[str, Any]:
    """A state, a memory, a temperature and what else most functions take."""
    queries, patterns = (
        draw.shared("queries", QUERIES),
        draw.shared("patterns", [7, 1, 1, 2, 33]),
    )
    return {
        "state": draw.rows("state", queries),
        "stored": draw.rows("stored", patterns),
        "beta": draw.beta(queries),
        "mask": draw.mask(queries, patterns),
        "separation": draw.separation(),
    }


def scored(draw: Draw) -> dict[str, Any]:
    """A memory, with scores by dot product or distance, and sometimes a bias of each pattern."""
    arguments = memory(draw)
    similarity = draw.similarity()
    if similarity is not None:
        arguments["similarity"] = similarity
    arguments["bias"] = draw.bias(np.shape(arguments["stored"])[-2])
    return arguments


def of_memory(name: str) -> Callable[[Draw], Drawn]:
    """A function of a memory and nothing else."""
    return lambda draw: (getattr(hopcore, name), scored(draw))


def retrieve(draw: Draw) -> Drawn:
    """Retrieval, with few or no updates, to a tolerance or none, of what is known."""
    arguments = scored(draw)
    known, unknown = draw.known(np.shape(arguments["state"])[-2])
    loop = {
        "max_steps": draw.shared("max_steps", [0, 1, 20]),
        "tol": draw.shared("tol", [0.0, 1e-6, 1e-2]),
        "known": known,
        "unknown": unknown,
    }
    return hopcore.retrieve, {**arguments, **loop}


def association(draw: Draw) -> Drawn:
    """Association, with values of another width."""
    arguments = scored(draw)
    patterns = np.shape(arguments["stored"])[-2]
    width = draw.shared("width", [None, 5, 0, 1])
    projection = None if width is None else draw.rows("projection", patterns, width)
    asked = {"projection": projection, "return_lse": draw.shared("return_lse", [False, True])}
    return hopcore.association, {**arguments, **asked}


def separate(draw: Draw) -> Drawn:
    """Separation of scores."""
    scores = draw.rows("scores", draw.shared("rows", [3, 0, 1]), draw.shared("columns", [40, 1, 2]))
    return hopcore.separate, {"scores": scores, "separation": draw.separation()}


def diffused(draw: Draw) -> Drawn:
    """Retrieval over a graph of the patterns."""
    draw.lead = ()
    queries, patterns = draw.shared("queries", [2, 1, 5]), draw.shared("patterns", [7, 1, 2, 33])
    config = hopcore.DiffusionConfig(
        eta=draw.pick([0.0, 1e-6, 0.1, 1.0, 1e6]) if draw.hostile else 0.1,
        k_neighbors=min(draw.shared("k", [2, 1, 8]), max(1, patterns - 1)),
        use_normalized_laplacian=draw.shared("normalized", [False, True]),
        diffusion_mode=draw.shared("mode", sorted(OPERATORS)),
    )
    arguments = {
        "state": draw.rows("state", queries),
        "stored": draw.rows("stored", patterns),
        "beta": draw.beta(queries),
        "config": config,
        "max_steps": draw.shared("max_steps", [1, 5]),
    }
    return hopcore.diffused_retrieve, arguments


def neighbours(draw: Draw) -> Drawn:
    """A graph of nearest neighbours, as a dense array."""
    patterns = draw.rows("patterns", draw.shared("patterns", [7, 1, 2, 33]))
    k = draw.shared("k", [2, 1, 8, 100])
    return dense_graph, {"patterns": patterns, "k": k}


def dense_graph(patterns: Any, k: int) -> Any:
    """Return the weights of a nearest-neighbour graph as a dense array."""
    return hopcore.knn_graph(patterns, k).to_dense()


GOALS = (*["retrieve"] * 12, *["sleep"] * 6, "metastable", "average")
"""Of a suggested beta; the last two take the time of a hundred other calls."""


def suggested(draw: Draw) -> Drawn:
    """Which beta to take."""
    draw.lead = ()
    goal = draw.shared("goal", GOALS)
    noise = draw.pick([None, 0.0, 0.5, -1.0])
    draw.wrong |= goal == "sleep" or (noise is not None and noise < 0)
    stored = draw.rows("stored", draw.shared("patterns", [7, 1, 2, 33]))
    return suggested_beta, {"stored": stored, "goal": goal, "noise": noise}


def suggested_beta(**arguments: Any) -> float:
    """The beta alone: for some goals there is no margin, and no bound."""
    return hopcore.suggest_beta(**arguments).beta


def gradient(draw: Draw) -> Drawn:
    """The gradient of a sum of associations or energies, by the state and the memory."""
    draw.hostile = False
    arguments = memory(draw)
    backend = draw.subject.backend
    function = getattr(hopcore, draw.shared("total", ["association", "energy"]))

    def gradient_of(**given: Any) -> Any:
        options = {name: given.pop(name) for name in ("separation",) if name in given}
        arrays = {"mask": given.pop("mask")} if given["mask"] is not None else {}
        given.pop("mask", None)
        total = total_of(backend, function, tuple(options.items()))
        return AUTODIFF[backend.name](total, list(given.values()), (0, 1), arrays, None)

    return gradient_of, arguments


KINDS: dict[str, Callable[[Draw], Drawn]] = {
    **{
        name: of_memory(name)
        for name in ("energy", "energy_gradient", "update", "association_weights")
    },
    "association": association,
    "diffused_retrieve": diffused,
    "gradient": gradient,
    "knn_graph": neighbours,
    "retrieve": retrieve,
    "separate": separate,
    "suggest_beta": suggested,
}
