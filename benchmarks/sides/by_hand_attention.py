"""Torch's own scaled_dot_product_attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def prepared(case: Case, attend: Callable[..., torch.Tensor], **options: Any) -> Prepared:
    """Attention of the states to the stored patterns, which are the values, too."""
    query, key = map(torch.from_numpy, arrays(case))
    return Prepared(lambda: attend(query, key, key, scale=case.beta, **options))


def backward(case: Case, attend: Callable[..., torch.Tensor], **options: Any) -> Prepared:
    """The same and its gradient by both."""
    query, key = (torch.from_numpy(x).requires_grad_() for x in arrays(case))

    def call() -> torch.Tensor:
        loss = attend(query, key, key, scale=case.beta, **options).sum()
        return torch.autograd.grad(loss, (query, key))[1]

    return Prepared(call)


def plain(case: Case, library: str) -> Prepared:
    return prepared(case, scaled_dot_product_attention)


def causal(case: Case, library: str) -> Prepared:
    return prepared(case, scaled_dot_product_attention, is_causal=True)


def causal_backward(case: Case, library: str) -> Prepared:
    return backward(case, scaled_dot_product_attention, is_causal=True)
