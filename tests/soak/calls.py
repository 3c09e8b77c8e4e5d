"""Random calls of public functions, and what must hold of every one of them."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore.diffusion._modes import OPERATORS
from hopcore_conformance.subject import Subject
from soak.draws import Draw

ERRORS = (TypeError, ValueError)


class Call(NamedTuple):
    """A function with its arguments.

    Attributes
    ----------
    function : callable
    arguments : dict
        By name.
    sensible : bool
        Whether every value is one that the specification accepts: the result holds no nan then.
    """

    function: Callable[..., Any]
    arguments: dict[str, Any]
    sensible: bool


def drawn(seed: int, subject: Subject) -> Call:
    """The call that belongs to a seed."""
    draw = Draw(seed, subject)
    name = draw.pick(sorted(KINDS))
    function, arguments = KINDS[name](draw)
    arguments = draw.spoilt(arguments)
    return Call(function, arguments, not draw.wrong)


def memory(draw: Draw) -> dict[str, Any]:
    """A state, a memory, a temperature and what else most functions take."""
    queries, patterns = draw.pick([0, 1, 2, 5]), draw.pick([1, 1, 2, 7, 33])
    return {
        "state": draw.rows(queries),
        "stored": draw.rows(patterns),
        "beta": draw.beta(queries),
        "mask": draw.mask(queries, patterns),
        "separation": draw.separation(),
    }


def of_memory(name: str) -> Callable[[Draw], tuple[Callable[..., Any], dict[str, Any]]]:
    """A function of a memory and nothing else."""
    return lambda draw: (getattr(hopcore, name), memory(draw))


def retrieve(draw: Draw) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Retrieval, with few or no updates, to a tolerance or none."""
    loop = {"max_steps": draw.pick([0, 1, 20]), "tol": draw.pick([0.0, 1e-6, 1e-2])}
    return hopcore.retrieve, {**memory(draw), **loop}


def association(draw: Draw) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Association, with values of another width."""
    arguments = memory(draw)
    patterns = np.shape(arguments["stored"])[-2]
    width = draw.pick([None, 0, 1, 5])
    projection = None if width is None else draw.rows(patterns, width)
    asked = {"projection": projection, "return_lse": draw.pick([False, True])}
    return hopcore.association, {**arguments, **asked}


def separate(draw: Draw) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Separation of scores."""
    scores = draw.rows(draw.pick([0, 1, 3]), draw.pick([1, 2, 40]))
    return hopcore.separate, {"scores": scores, "separation": draw.separation()}


def diffused(draw: Draw) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Retrieval over a graph of the patterns."""
    draw.lead = ()
    queries, patterns = draw.pick([1, 2, 5]), draw.pick([1, 2, 7, 33])
    config = hopcore.DiffusionConfig(
        eta=draw.pick([0.0, 1e-6, 0.1, 1.0, 1e6]) if draw.hostile else 0.1,
        k_neighbors=min(draw.pick([1, 2, 8]), max(1, patterns - 1)),
        use_normalized_laplacian=draw.pick([False, True]),
        diffusion_mode=draw.pick(sorted(OPERATORS)),
    )
    arguments = {
        "state": draw.rows(queries),
        "stored": draw.rows(patterns),
        "beta": draw.beta(queries),
        "config": config,
        "max_steps": draw.pick([1, 5]),
    }
    return hopcore.diffused_retrieve, arguments


def neighbours(draw: Draw) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A graph of nearest neighbours, as a dense array."""
    patterns, k = draw.rows(draw.pick([1, 2, 7, 33])), draw.pick([1, 2, 8, 100])
    return dense_graph, {"patterns": patterns, "k": k}


def dense_graph(patterns: Any, k: int) -> Any:
    """The similarities of a graph of neighbours."""
    return hopcore.knn_graph(patterns, k).to_dense()


def suggested(draw: Draw) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Which beta to take."""
    draw.lead = ()
    goal = draw.pick(["retrieve", "metastable", "average", "retrieve", "sleep"])
    noise = draw.pick([None, 0.0, 0.5, -1.0])
    draw.wrong |= goal == "sleep" or (noise is not None and noise < 0)
    arguments = {"stored": draw.rows(draw.pick([1, 2, 7, 33])), "goal": goal, "noise": noise}
    return suggested_beta, arguments


def suggested_beta(**arguments: Any) -> float:
    """The beta alone: for some goals there is no margin, and no bound."""
    return hopcore.suggest_beta(**arguments).beta


KINDS: dict[str, Callable[[Draw], tuple[Callable[..., Any], dict[str, Any]]]] = {
    **{
        name: of_memory(name)
        for name in ("energy", "energy_gradient", "update", "association_weights")
    },
    "association": association,
    "diffused_retrieve": diffused,
    "knn_graph": neighbours,
    "retrieve": retrieve,
    "separate": separate,
    "suggest_beta": suggested,
}


class Finding(NamedTuple):
    """What is wrong with a call, and how to make it again."""

    seed: int
    function: str
    law: str
    detail: str


def findings(seeds: range, subject: Subject, threads: int) -> Iterator[Finding]:
    """What is wrong with the calls of the seeds, made one by one and again side by side."""
    calls = {seed: drawn(seed, subject) for seed in seeds}
    alone = {}
    for seed, call in calls.items():
        before = contents(call.arguments, subject)
        alone[seed] = outcome(call, subject)
        name = call.function.__name__
        for law, detail in broken(call, alone[seed]):
            yield Finding(seed, name, law, detail)
        if contents(call.arguments, subject) != before:
            yield Finding(seed, name, "arguments are not written to", described(call.arguments))
    with ThreadPoolExecutor(threads) as pool:
        again = pool.map(lambda call: outcome(call, subject), calls.values())
        for (seed, call), second in zip(calls.items(), again, strict=True):
            if not same(alone[seed], second):
                detail = f"{alone[seed]!s:.200} and {second!s:.200}"
                yield Finding(seed, call.function.__name__, "two runs agree", detail)


def outcome(call: Call, subject: Subject) -> list[np.ndarray] | Exception:
    """The result's arrays, or the error."""
    try:
        result = call.function(**call.arguments)
    except Exception as error:
        return error
    return list(arrays_of(result, subject))


def broken(call: Call, found: list[np.ndarray] | Exception) -> Iterator[tuple[str, str]]:
    """The laws that an outcome breaks."""
    if isinstance(found, Exception):
        text = str(found)
        if not isinstance(found, ERRORS):
            trace = traceback.format_exception(found)
            yield "errors are ValueError or TypeError", "".join(trace[-3:])
        elif not text or "\n" in text:
            yield "an error is one line", repr(text)
        elif not deliberate(found):
            yield "an error is hopcore's own", "".join(traceback.format_exception(found)[-3:])
    elif call.sensible:
        for array in found:
            if np.isnan(array).any():
                yield "no nan", described(call.arguments)


def deliberate(error: BaseException) -> bool:
    """Whether an error was raised by a line of hopcore, and not met below it."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and "hopcore" in last.tb_frame.f_code.co_filename


def arrays_of(result: Any, subject: Subject) -> Iterator[np.ndarray]:
    """Every array of numbers in a result."""
    if isinstance(result, int | float | np.ndarray):
        yield np.asarray(result)
    elif isinstance(result, tuple):
        for part in result:
            yield from arrays_of(part, subject)
    elif hasattr(result, "__dataclass_fields__"):
        for name in result.__dataclass_fields__:
            yield from arrays_of(getattr(result, name), subject)
    elif hasattr(result, "shape") and hasattr(result, "dtype"):
        yield subject.get(result)


def contents(arguments: dict[str, Any], subject: Subject) -> list[bytes]:
    """Every value of every argument."""
    return [array.tobytes() for array in arrays_of(tuple(arguments.values()), subject)]


def same(one: list[np.ndarray] | Exception, other: list[np.ndarray] | Exception) -> bool:
    """Whether two outcomes are the same to the bit."""
    if isinstance(one, Exception) or isinstance(other, Exception):
        return type(one) is type(other) and str(one) == str(other)
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def described(arguments: dict[str, Any]) -> str:
    """The arguments, by shapes where they are arrays."""
    return ", ".join(
        f"{name}={getattr(value, 'shape', value)!s:.60}" for name, value in arguments.items()
    )


def quiet() -> None:
    """A warning is an error here, in every thread."""
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", hopcore.phase.HypothesisWarning)
