"""What must hold of every call: its laws, and how a call that breaks one is reported."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

import hopcore
from hopcore_conformance.subject import Subject

ERRORS = (TypeError, ValueError)
"""The errors that hopcore raises for bad arguments."""


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


class Finding(NamedTuple):
    """What is wrong with a call, and how to make it again."""

    seed: int
    function: str
    law: str
    detail: str


def findings_of(calls: Mapping[int, Call], subject: Subject, threads: int) -> Iterator[Finding]:
    """Report what is wrong with calls by their seeds, made one by one and again side by side."""
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
    elif isinstance(result, dict):
        yield from arrays_of(tuple(result.values()), subject)
    elif isinstance(result, tuple | list):
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
