"""Merged associations in half precision, of no queries and of many parts."""

from __future__ import annotations

import pytest

import hopcore

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parts_without_queries(dtype: torch.dtype) -> None:
    for state, stored in (((0, 4), (3, 4)), ((0, 2, 4), (0, 3, 4))):
        arrays = torch.ones(state, dtype=dtype), torch.ones(stored, dtype=dtype)
        part = hopcore.association(*arrays, beta=1.0, return_lse=True)
        output, lse = hopcore.merge_associations([part, part])
        assert (output.shape, output.dtype) == (state, dtype)
        assert (lse.shape, lse.dtype) == (state[:-1], torch.float32)
    assert hopcore.lse(1.0, torch.ones(0, 3, dtype=dtype)).dtype == torch.float32


def test_roundings_of_bfloat16_do_not_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    stored = torch.randn(2000, 8, generator=generator).bfloat16()
    state = torch.randn(4, 8, generator=generator).bfloat16()
    pieces = (stored[i : i + 2] for i in range(0, 2000, 2))
    parts = (hopcore.association(state, x, beta=1.0, return_lse=True) for x in pieces)
    merged, _ = hopcore.merge_associations(parts)
    assert merged.dtype == torch.bfloat16
    whole = hopcore.association(state.double(), stored.double(), beta=1.0)
    longest = float(stored.double().norm(dim=-1).max())
    # Each part is rounded once, and what is merged of them once more.
    assert (
        float((merged.double() - whole).abs().max()) <= 2 * torch.finfo(merged.dtype).eps * longest
    )
