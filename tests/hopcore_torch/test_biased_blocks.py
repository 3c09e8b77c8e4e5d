"""Numbers for each query and pattern are added to the scores a block of queries at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from largest import Largest
from torch.utils._python_dispatch import TorchDispatchMode

import hopcore
from hopcore_torch.kernels import TorchBackend

QUERIES, PATTERNS, DEPTH = 12, 9, 3
SEPARATIONS = ["softmax", "sparsemax", "entmax15"]


def given(bias_shape: tuple[int, ...], lead: tuple[int, ...] = ()) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (*lead, QUERIES, DEPTH), (*lead, PATTERNS, DEPTH), (*lead, PATTERNS, 2), bias_shape
    return [
        torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in shapes
    ]


def associate(separation: Any, *tensors: torch.Tensor, beta: Any = 0.7) -> torch.Tensor:
    state, stored, projection, bias = tensors
    return hopcore.association(
        state, stored, projection, beta=beta, mask=bias, separation=separation
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two queries, in a derivative too."""
    monkeypatch.setattr(TorchBackend, "block", lambda self, array: 16 * 2 * PATTERNS)


@pytest.mark.parametrize("separation", SEPARATIONS)
@pytest.mark.parametrize(
    ("shape", "lead"),
    [((QUERIES, PATTERNS), ()), ((2, 1, QUERIES, PATTERNS), (2, 3)), ((3, QUERIES, 1), (3,))],
)
def test_blocks_are_the_whole(separation: str, shape: Any, lead: Any, request: Any) -> None:
    tensors = given(shape, lead)
    beta = torch.linspace(0.5, 1.0, QUERIES, dtype=torch.float64)
    wanted = associate(separation, *tensors, beta=beta)
    by = torch.randn_like(wanted)
    slopes = torch.autograd.grad(wanted, tensors, by)
    request.getfixturevalue("small")
    found = associate(separation, *tensors, beta=beta)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, tensors, by), slopes)
    with torch.no_grad():
        torch.testing.assert_close(associate(separation, *tensors, beta=beta), wanted.detach())


def test_blocks_have_second_derivatives(small: None) -> None:
    tensors = given((QUERIES, PATTERNS))

    def call(*x: torch.Tensor) -> torch.Tensor:
        return associate("softmax", *x)

    assert torch.autograd.gradcheck(call, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("separation", SEPARATIONS)
def test_no_array_of_all_scores_is_made(small: None, separation: Any) -> None:
    *patterns, bias = given((QUERIES, PATTERNS))
    with Largest() as largest:
        output = associate(separation, *patterns, bias.detach())
        torch.autograd.grad(output.sum(), patterns)
    # The boolean mask and the finite numbers of the mask are arrays of its size.
    assert largest.values <= QUERIES * PATTERNS
    tensors = patterns[0], patterns[1], patterns[2], 0.7, None, bias.detach()
    backend: Any = hopcore.backend("torch")
    function = hopcore.memory.get_separation(separation)
    with Largest() as largest:
        output = backend.associate_biased(*tensors, function)
        torch.autograd.grad(output.sum(), patterns)
    assert largest.values <= max(2 * PATTERNS, QUERIES * DEPTH)


def test_the_gradient_of_the_numbers_is_made_once(small: None) -> None:
    """It has the size of the mask, and is not filled once for each block."""
    *patterns, bias = given((QUERIES, PATTERNS))
    backend: Any = hopcore.backend("torch")
    output = backend.associate_biased(*patterns, 0.7, None, bias, hopcore.Softmax())
    made = []

    class Whole(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
            found = function(*args, **(kwargs or {}))
            if isinstance(found, torch.Tensor) and found.shape == bias.shape:
                made.append(function._schema.name)
            return found

    with Whole():
        torch.autograd.grad(output.sum(), bias)
    assert len(made) <= 2, made
