"""The checks notice faults of kernels in Triton: each is planted into the interpreted kernels."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from planting import CHECKS, complaint

import hopcore
from hopcore_conformance import Subject
from hopcore_torch.kernels.triton import using_kernels

triton = pytest.importorskip("triton")
tl = importlib.import_module("triton.language")

with using_kernels("triton-interpret"):
    launch = importlib.import_module("hopcore_torch.kernels.triton._launch")
    kernels = launch.kernels()
tiles = kernels._tiles
finite, dot = tiles.finite, tiles.dot
MODULES = (
    kernels._tiles,
    kernels._entmax,
    kernels._softmax,
    kernels._entropy,
    kernels._backward,
    kernels._lookup,
)


@triton.jit
def scores_beyond_the_end(call, lead, scaled, after, keys, rows, columns, CAUSAL: tl.constexpr):
    """The border of the last tile is forgotten: patterns that do not exist have the score 0."""
    return dot(scaled, tl.trans(keys)) * after[:, None]


@triton.jit
def end_of_whole_tiles(call, block, CAUSAL: tl.constexpr, BLOCK: tl.constexpr):
    """The patterns after the last whole tile are left out."""
    return tl.maximum(call.patterns // 4 * 4, 1)


@triton.jit
def support_of_the_last_pattern(slopes):
    """A tile is skipped although it has support, if its last pattern has no weight."""
    columns = tl.arange(0, slopes.shape[1])
    last = (columns == slopes.shape[1] - 1)[None, :]
    return tl.max(tl.max(tl.where(last, slopes, 0.0), 1), 0) > 0.0


@triton.jit
def support_of_large_weights(slopes):
    """A tile is skipped although it has support, if its weights are small."""
    return tl.max(tl.max(slopes, 1), 0) > 0.3


@triton.jit
def dot_in_float16(left, right):
    """Products of bfloat16 overflow as in float16; they become its largest number."""
    product = tl.dot(left.to(tl.float32), right.to(tl.float32))
    return tl.minimum(tl.maximum(product, -65504.0), 65504.0)


@triton.jit
def sums_cut_off(left, right):
    """Sums are as coarse as bfloat16."""
    product = tl.dot(left.to(tl.float32), right.to(tl.float32))
    return (product.to(tl.int32, bitcast=True) & -65536).to(tl.float32, bitcast=True)


@triton.jit
def steps_that_stop_early(root, total, slope, a, KIND: tl.constexpr):
    """Newton's method ends after the first pass."""
    return tl.zeros_like(root)


@triton.jit
def slopes_of_weights(call, near, root, KIND: tl.constexpr):
    """The slopes are the weights, as only the softmax has it."""
    inner = tl.maximum(root[:, None] + call.a * near, 0.0)
    weights = tl.exp(near - root[:, None]) if KIND == "softmax" else inner * inner
    return weights, weights


@triton.jit
def along_of_the_former_scores(along, total, top, level, shrink):
    """When the largest score rises, the sum of scores is rescaled but not moved."""
    return along * shrink


@triton.jit
def others_without_the_former_best(rest, top, shrink, changes):
    """The pattern that was the best one so far is left out when a better one is found."""
    return rest * shrink


@triton.jit
def log1p_of_one_plus(x):
    """A small number is lost when it is added to 1."""
    return tl.log(1.0 + x)


@triton.jit
def entropy_without_the_largest(largest, total, rest, minor):
    """The term of the largest weight is left out."""
    return minor / total


@triton.jit
def sums_in_the_first_tile(
    call, wanted, memory, columns, sums, DEPTH: tl.constexpr, WIDTH: tl.constexpr
):
    """What patterns receive is stored in the first tile alone."""
    if wanted.bias is not None:
        tl.store(wanted.bias + memory * call.patterns + columns, sums[2], mask=columns < 4)


@dataclass(frozen=True)
class Fault:
    """A function of the kernels, what replaces it, and the statements that this breaks."""

    name: str
    function: str
    wrong: Any
    breaks: str
    dtype: str = "float32"

    def plant(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in MODULES:
            if hasattr(module, self.function):
                monkeypatch.setattr(module, self.function, self.wrong)


ENTROPY = "H.entropy"
FAULTS = [
    Fault("a wrong tile border", "scores_of", scores_beyond_the_end, "E.association E.mask"),
    Fault("a last tile left out", "end_of", end_of_whole_tiles, "E.association"),
    Fault(
        "a skipped tile that had support", "has_support", support_of_the_last_pattern, "F.energy"
    ),
    Fault("a skipped tile of small weights", "has_support", support_of_large_weights, "B.gradient"),
    Fault("an overflow of tiles of bfloat16", "dot", dot_in_float16, "B.extreme", "bfloat16"),
    Fault("sums in bfloat16", "dot", sums_cut_off, "E.association"),
    Fault("thresholds of one pass", "newton", steps_that_stop_early, "F.energy"),
    Fault("slopes that are weights", "weights_of", slopes_of_weights, "F.energy"),
    Fault("an entropy of former scores", "along_rescaled", along_of_the_former_scores, ENTROPY),
    Fault("a former best left out", "others_rescaled", others_without_the_former_best, ENTROPY),
    Fault("small entropies rounded off", "log1p", log1p_of_one_plus, "H.sharp"),
    Fault("an entropy without one term", "entropy_of", entropy_without_the_largest, ENTROPY),
    Fault("tiles that receive nothing", "store_sums", sums_in_the_first_tile, "H.received"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_the_fault_is_caught(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    with using_kernels("triton-interpret"):
        subject = Subject(hopcore.backend("torch"), fault.dtype)
        fault.plant(monkeypatch)
        for identifier in fault.breaks.split():
            assert any(complaint(check, subject) for check in checks_of(identifier)), identifier


@pytest.mark.parametrize(
    ("breaks", "dtype"), sorted({(fault.breaks, fault.dtype) for fault in FAULTS})
)
def test_without_a_fault_the_same_checks_pass(breaks: str, dtype: str) -> None:
    with using_kernels("triton-interpret"):
        subject = Subject(hopcore.backend("torch"), dtype)
        for identifier in breaks.split():
            checks = checks_of(identifier)
            assert checks
            assert [complaint(check, subject) for check in checks] == [""] * len(checks)


def checks_of(identifier: str) -> list[Callable[..., None]]:
    """The checks of a statement that run on interpreted kernels."""
    names = {
        "test_association",
        "test_backend",
        "test_energy",
        "test_scores",
        "test_scores_derivatives",
        "test_statistics",
    }
    return [
        check
        for check in CHECKS
        if identifier in check.statements and check.__module__.rpartition(".")[2] in names
    ]
