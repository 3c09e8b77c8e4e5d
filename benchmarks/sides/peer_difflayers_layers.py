"""difflayers 0.1.1: its layers."""

from __future__ import annotations

from difflayers import DiffusedHopfield, Hopfield

from benchmarks.cases import Case
from benchmarks.sides import Prepared
from benchmarks.sides.layer_parts import settings
from benchmarks.sides.torch_layers import backward, forward


def layer(case: Case, library: str) -> Prepared:
    return forward(Hopfield(**settings(case)), case)


def layer_backward(case: Case, library: str) -> Prepared:
    return backward(Hopfield(**settings(case)), case)


def diffused(case: Case, library: str) -> Prepared:
    return forward(DiffusedHopfield(**settings(case, diffused=True)), case)


def diffused_cached(case: Case, library: str) -> Prepared:
    return forward(DiffusedHopfield(**settings(case, diffused=True, cached=True)), case)
