"""A client of hopfield-layers, run with ``hflayers`` and with ``hopcore_torch`` in its place.

Both runs start with the same weights and the same state of the generator. So they draw the same
batches and drop the same values, and their losses and weights can be compared step by step.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch._dynamo  # torch imports it at the first step, and looks for all kinds of modules

import hopcore_torch

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "migrate-hopfield-layers.md"
DIFFERENCES = "equal_patterns", "stop_rule"
"""Those of the page's table that change how the clients train."""

LAYERS = "Hopfield", "HopfieldPooling", "HopfieldLayer"
NEVER = 1e-300
"""An ``update_steps_eps`` with which no layer stops before ``update_steps_max``."""


class Trained(NamedTuple):
    """What a training returns: the loss of every step, and the weights after the last one."""

    losses: list[float]
    weights: dict[str, torch.Tensor]


class Difference(NamedTuple):
    """The largest differences of two trainings; those of the weights are absolute."""

    steps: int
    loss: float
    weight: float


def difference(one: Trained, other: Trained) -> Difference:
    assert len(one.losses) == len(other.losses) > 1
    assert one.weights.keys() == other.weights.keys()
    assert one.losses[0] != one.losses[-1], "nothing was trained"
    weights = ((x - other.weights[name]).abs().max() for name, x in one.weights.items())
    losses = (abs(x - y) for x, y in zip(one.losses, other.losses, strict=True))
    return Difference(len(one.losses), max(losses), max(x.item() for x in weights))


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: x.detach().clone() for name, x in model.named_parameters()}


@contextmanager
def losses_of_steps() -> Iterator[list[float]]:
    """The value of every tensor of which ``backward`` is called."""
    found: list[float] = []
    backward = torch.Tensor.backward

    def recorded(loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        found.append(loss.item())
        backward(loss, *args, **kwargs)

    with patch.object(torch.Tensor, "backward", recorded):
        yield found


@contextmanager
def in_double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def shim() -> str:
    """The line of the page that puts hopcore in the place of hopfield-layers."""
    (line,) = re.findall(r"^>>> (sys\.modules\.update.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    return line


def module(name: str, **contents: Any) -> ModuleType:
    """A module with these contents, in the place of one that a client imports."""
    made = ModuleType(name)
    vars(made).update(contents)
    return made


@contextmanager
def importable(
    folder: Path, package: str, stand_ins: dict[str, ModuleType] | None = None
) -> Iterator[None]:
    """Let ``package`` be imported afresh from ``folder``, and forget it afterwards."""
    given = stand_ins or {}

    def forget() -> dict[str, ModuleType]:
        names = [x for x in sys.modules if x.partition(".")[0] == package or x in given]
        return {name: sys.modules.pop(name) for name in names}

    before = forget()
    sys.modules.update(given)
    importlib.invalidate_caches()
    try:
        with patch.object(sys, "path", [str(folder), *sys.path]):
            yield
    finally:
        forget()
        sys.modules.update(before)


def without_equality() -> SimpleNamespace:
    """torch for the peer, in which no two patterns are the same."""
    return SimpleNamespace(**{**vars(torch), "equal": lambda *_: False})


def started(new: Callable[..., Any], old: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    """Construct a new layer with the weights of an old one; draw as many numbers as the old one."""

    def make(*args: Any, **kwargs: Any) -> Any:
        layer = old(*args, **{**more, **kwargs})
        state = torch.get_rng_state()
        made = new(*args, **{**more, **kwargs})
        made.load_state_dict(layer.state_dict(), strict=True)
        torch.set_rng_state(state)
        return made

    return make


@contextmanager
def library(clone: Path, *, hopcore: bool, without: Collection[str] = ()) -> Iterator[None]:
    """Provide the package ``hflayers`` that a client imports: its own, or hopcore in its place.

    Parameters
    ----------
    clone : Path
        Contains the package ``hflayers``.
    hopcore : bool
        Whether it gets ``hopcore_torch``.
    without : collection of str
        Differences to remove. Without ``"equal_patterns"``, the peer treats patterns of equal
        values separately; without ``"stop_rule"``, all layers make all their updates.
    """
    assert set(without) <= set(DIFFERENCES)
    more: dict[str, Any] = {"update_steps_eps": NEVER} if "stop_rule" in without else {}
    with ExitStack() as stack:
        stack.enter_context(importable(clone, "hflayers"))
        peer = importlib.import_module("hflayers")
        importlib.import_module("hflayers.auxiliary.data")  # which no shim replaces
        functional = importlib.import_module("hflayers.functional")
        if "equal_patterns" in without and not hopcore:
            stack.enter_context(patch.object(functional, "torch", without_equality()))
        old = {name: getattr(peer, name) for name in LAYERS}
        if hopcore:
            for name in LAYERS:
                new = started(getattr(hopcore_torch, name), old[name], **more)
                stack.enter_context(patch.object(hopcore_torch, name, new))
            exec(shim(), {"sys": sys, "hopcore_torch": hopcore_torch})
        else:
            layers = {name: partial(x, **more) for name, x in old.items()}
            sys.modules["hflayers"] = module("hflayers", **layers)
        yield
