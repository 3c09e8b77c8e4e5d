"""Nested tensors as padded ones with a mask, and back."""

from __future__ import annotations

import torch


def padded_of(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a nested tensor padded with zeros, and a mask that is True where it has values."""
    rows = [len(x) for x in values.unbind()]
    if not any(rows):
        raise ValueError(
            "every sample of the nested tensor is empty: if all is padding, give "
            "torch.nn.TransformerEncoder enable_nested_tensor=False"
        )
    lengths = torch.tensor(rows, device=values.device)
    padded = values.to_padded_tensor(0.0)
    return padded, torch.arange(padded.shape[1], device=values.device) < lengths[:, None]


def nested_again(padded: torch.Tensor, kept: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return the values that a mask keeps as a nested tensor of the layout of another."""
    if like.layout == torch.jagged:
        samples = [x[: len(row)] for x, row in zip(padded, like.unbind(), strict=True)]
        return torch.nested.as_nested_tensor(samples, layout=torch.jagged)
    join = torch._nested_tensor_from_mask  # pyright: ignore[reportPrivateImportUsage]
    return join(padded, kept, mask_check=False)
