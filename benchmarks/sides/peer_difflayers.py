"""difflayers 0.1.1: its Hopfield layer with all but the retrieval switched off, its diffusion."""

from __future__ import annotations

import torch
from difflayers import Hopfield
from difflayers.diffusion import FactoredDiffusion, IterativeDiffusion
from difflayers.graph.builder import GraphBuilder
from difflayers.graph.laplacian import compute_laplacian

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays
from benchmarks.sides.ours_graphs import ETA


def retrieve(case: Case, library: str) -> Prepared:
    """Iterated association: static patterns, no normalisation, no projections, one head.

    It stops when the softmax weights of the whole batch move by no more than 1e-4, its default.
    """
    layer = Hopfield(
        scaling=case.beta,
        update_steps_max=100,
        normalize_stored_pattern=False,
        normalize_stored_pattern_affine=False,
        normalize_state_pattern=False,
        normalize_state_pattern_affine=False,
        normalize_pattern_projection=False,
        normalize_pattern_projection_affine=False,
        stored_pattern_as_static=True,
        state_pattern_as_static=True,
        pattern_projection_as_static=True,
        disable_out_projection=True,
    ).eval()
    state, stored = (torch.from_numpy(value)[None] for value in arrays(case))

    def call() -> torch.Tensor:
        with torch.no_grad():
            return layer((stored, state, stored))[0]

    return Prepared(call)


def built(case: Case, sparse: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Patterns, weights and degrees."""
    patterns = torch.from_numpy(arrays(case)[1])
    weights, degrees, _ = GraphBuilder(k=case.k, use_sparse=sparse).build(patterns)
    return patterns, weights, degrees


def knn(case: Case, library: str) -> Prepared:
    """Its graph, from all similarities."""
    patterns = torch.from_numpy(arrays(case)[1])
    builder = GraphBuilder(k=case.k, use_sparse=False)
    return Prepared(lambda: builder.build(patterns)[1])


def diffuse_sparse(case: Case, library: str) -> Prepared:
    """Its factored steps with sparse weights, which count mutual neighbours twice."""
    patterns, weights, degrees = built(case, sparse=True)
    operator = FactoredDiffusion(ETA, case.steps).precompute_from_graph(weights, degrees)
    return Prepared(lambda: operator(patterns))


def diffuse_dense(case: Case, library: str) -> Prepared:
    """Its iterated steps with a dense matrix, made before."""
    patterns, weights, _ = built(case, sparse=False)
    operator = IterativeDiffusion(ETA, case.steps).precompute(compute_laplacian(weights))
    return Prepared(lambda: operator(patterns))
