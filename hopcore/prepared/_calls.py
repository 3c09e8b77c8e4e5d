"""Calls of functions of memories with a :class:`hopcore.Memory` as what is stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._edge import as_floating, inputs_at_edge, without_axis, without_row
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import check_bool, short_repr
from hopcore.memory import Entmax, Retrieval, association, get_separation
from hopcore.memory._own_options import COMPLETED
from hopcore.memory._plain_calls import PLAINLY
from hopcore.prepared._answers import Answers
from hopcore.prepared._calibration import Calibration, scores_of
from hopcore.prepared._file_snapshot import FileSnapshot
from hopcore.prepared._parts import Values
from hopcore.prepared._plain import plainly_associated
from hopcore.prepared._snapshot import Snapshot


def register(memory: type) -> None:
    """Let calls with a memory of this type, or with a snapshot, be completed."""
    COMPLETED[memory] = complete
    COMPLETED[Snapshot] = COMPLETED[FileSnapshot] = complete
    PLAINLY[memory] = PLAINLY[Snapshot] = plainly_associated


def complete(stored: Any, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a function with the snapshot of a memory, and with the options of the memory."""
    snapshot = stored if isinstance(stored, Snapshot) else stored.snapshot()
    known = names_of(function)
    arguments = {**arguments, "stored": snapshot}
    for name in ("similarity", "separation"):
        arguments[name] = own(snapshot, name, arguments.get(name))
    if "beta" not in known:  # suggest_beta, which reads patterns
        streamed = isinstance(snapshot, FileSnapshot)
        known_patterns = snapshot.sample() if streamed else snapshot.patterns
        return function(**{**arguments, "stored": known_patterns})
    if isinstance(arguments.get("beta"), str) and arguments["beta"] == "auto":
        arguments["beta"] = snapshot.beta
    if snapshot.count == 0:
        return of_empty(snapshot, function, arguments)
    if snapshot.bias is not None:
        bias = arguments.get("bias")
        arguments["bias"] = snapshot.bias if bias is None else snapshot.bias + np.asarray(bias)
    if "projection" in known and arguments.get("projection") is None and snapshot.has_values:
        arguments["projection"] = Values(snapshot)
    found = function(**arguments)
    calibration = getattr(stored, "calibration", None)
    whole = arguments.get("known") is None  # a score needs all values of a state
    if isinstance(found, Retrieval) and calibration is not None and whole:
        found.accepted = accepted(snapshot, arguments["state"], calibration)
    return found


def accepted(snapshot: Snapshot, state: Any, calibration: Calibration) -> Any:
    """Return for each state whether its score is at most the threshold of a calibration."""
    state = as_floating("state", state)
    library = backend_of_input("state", state)
    states = np.asarray(library.to_numpy(library.constant(state)), snapshot.dtype)
    flat = states.reshape(-1, snapshot.shape[1])
    scores = scores_of(snapshot, flat, calibration.score, calibration.beta)
    known = (scores <= calibration.threshold).reshape(states.shape[:-1])
    return library.asarray(known, dtype="bool", device=library.device(state))


@cache
def names_of(function: Callable[..., Any]) -> frozenset[str]:
    """Return the names of the arguments of a function."""
    return frozenset(signature(function).parameters)


def own(snapshot: Snapshot, name: str, given: Any) -> Any:
    """Return an option of a memory; raise if a call gives another one."""
    mine = getattr(snapshot, name)
    if given is None:
        return mine
    theirs = get_separation(given, "distance") if name == "separation" else given
    if theirs is not mine and theirs != mine:
        raise ValueError(
            f"the memory is prepared for {name}={short_repr(mine)}, got {short_repr(given)}: leave "
            f"it out, or prepare another memory"
        )
    return mine


def of_empty(snapshot: Snapshot, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call a function with a memory without patterns: one that no query may attend to."""
    width = snapshot.rows.values.shape[1]
    arguments["stored"] = np.zeros((1, snapshot.shape[1]), snapshot.dtype)
    arguments["mask"] = np.zeros((1, 1), bool)
    arguments.pop("bias", None)
    if function.__name__ == "association" and arguments.get("projection") is None:
        arguments["projection"] = np.zeros((1, width), snapshot.dtype)
    found = function(**arguments)
    if function.__name__ == "association_weights":
        return found[..., :0]
    return found._replace(received=found.received[..., :0]) if hasattr(found, "received") else found


def associated(memory: Any, state: Any, beta: Any, return_certificate: bool) -> Any:
    """Return an association, and its certificate if it is asked for."""
    check_bool("return_certificate", return_certificate)
    snapshot = memory.snapshot()
    beta = snapshot.beta if beta is None else beta
    output: Any = association(state, snapshot, beta=beta) if not return_certificate else None
    if not return_certificate:
        return output
    check_certifiable(snapshot)
    inputs, single = inputs_at_edge(state, snapshot, beta=beta)
    backend: Any = inputs.backend
    host = backend.on_host(inputs.state, inputs.beta)
    if host is None:
        raise TypeError(
            "a certificate needs states on the CPU, outside of a trace and without a gradient"
        )
    if snapshot.count == 0:
        lead = host[0].shape[:-1]
        output = np.zeros((*lead, snapshot.rows.values.shape[1]), snapshot.dtype)
        certificate = np.zeros(lead, snapshot.dtype)
    else:
        values = Values(snapshot) if snapshot.has_values else snapshot
        answers = Answers(backend, snapshot, values, snapshot.similarity)
        states, cold = host
        output, certificate, _ = answers.certified(states, cold, snapshot.separation)
    output, certificate = backend.returned(output), backend.returned(certificate)
    return without_row(output, single), without_axis(certificate, single)


def visited(memory: Any, state: Any, beta: Any) -> Visits:
    """Return which part of a memory each query reads."""
    snapshot = memory.snapshot()
    inputs, single = inputs_at_edge(state, snapshot, beta=snapshot.beta if beta is None else beta)
    lead, count = inputs.state.shape[:-1], snapshot.count
    number, share = np.full(lead, count), np.ones(lead)
    sketched = snapshot.sketched_values
    backend: Any = inputs.backend
    host = backend.on_host(inputs.state, inputs.beta)
    if host is not None and sketched is not None:
        answers = Answers(backend, snapshot, Values(snapshot), snapshot.similarity)
        states, cold = answers.flat(*host)
        found = answers.partial(states, cold, snapshot.separation)
        if found is not None:
            row = snapshot.shape[1] * snapshot.dtype.itemsize
            sketch = sketched.table.shape[1] * sketched.table.itemsize
            number.reshape(-1)[found.queries] = found.visited
            share.reshape(-1)[found.queries] = sketch / row + found.read / count
    return Visits(without_axis(number, single), without_axis(share, single))


class Visits(NamedTuple):
    """Which part of a memory each query reads, see :meth:`hopcore.Memory.visits`.

    Attributes
    ----------
    patterns : integer array (..., L)
        The number of patterns of which the association is an average.
    share : array (..., L)
        The bytes of the sketch, and of the patterns that it could not exclude, divided by those of
        all patterns; 1 if all patterns are read.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.Memory(np.eye(3), beta=20.0, error=1e-6).visits([0.9, 0.1, 0.0])
    Visits(patterns=int64 (), share=float64 ())
    """

    def __repr__(self) -> str:
        return one_line(self)

    patterns: Any
    share: Any


def check_certifiable(snapshot: Snapshot) -> None:
    """Raise unless a snapshot can certify its answers."""
    if not snapshot.error > 0.0:
        raise ValueError("a certificate needs a memory with an error: Memory(..., error=1e-6)")
    function = snapshot.separation
    if not (function.softmax or (isinstance(function, Entmax) and function.orders is None)):
        raise ValueError(
            f"certificates exist for the softmax and for entmax, got {short_repr(function)}"
        )
