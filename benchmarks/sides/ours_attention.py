"""hopcore's attention with the signature of torch's."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.sides import Prepared
from benchmarks.sides.by_hand_attention import backward, prepared
from hopcore_torch import attention


def plain(case: Case, library: str) -> Prepared:
    return prepared(case, attention, separation=case.separation)


def causal(case: Case, library: str) -> Prepared:
    return prepared(case, attention, is_causal=True)


def causal_backward(case: Case, library: str) -> Prepared:
    return backward(case, attention, is_causal=True)


def statistics(case: Case, library: str) -> Prepared:
    """The output; the statistics are computed beside it."""

    def attend(query: Any, key: Any, value: Any, **options: Any) -> torch.Tensor:
        return attention(query, key, value, **options, return_statistics=True)[0]

    return prepared(case, attend)
