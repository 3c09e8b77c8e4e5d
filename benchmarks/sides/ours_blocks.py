"""hopcore's blocks in torch: the energy transformer, encoder layers, pooling."""

from __future__ import annotations

import torch

import hopcore_torch
from benchmarks.cases import Case
from benchmarks.sides import Prepared
from benchmarks.sides.torch_blocks import drawn, evaluated, with_gradient


def energy_transformer(case: Case, library: str) -> Prepared:
    block = hopcore_torch.EnergyTransformer(
        input_size=case.d,
        num_heads=case.heads,
        head_size=case.d // case.heads,
        quantity=4 * case.d,
        steps=case.steps,
    )
    return evaluated(block, drawn(case))


def causal_encoder(case: Case, library: str) -> Prepared:
    layer = hopcore_torch.HopfieldEncoderLayer(
        case.d,
        case.heads,
        4 * case.d,
        batch_first=True,
        normalize_stored_pattern=False,
        normalize_state_pattern=False,
        normalize_pattern_projection=False,
    )
    return evaluated(layer, drawn(case), is_causal=True)


def pool(case: Case) -> torch.nn.Module:
    return hopcore_torch.HopfieldPooling(input_size=case.d, num_heads=case.heads)


def pooling(case: Case, library: str) -> Prepared:
    return evaluated(pool(case), drawn(case))


def pooling_backward(case: Case, library: str) -> Prepared:
    return with_gradient(pool(case), drawn(case))
