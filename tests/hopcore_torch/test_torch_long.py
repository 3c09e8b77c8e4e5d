"""Torch's associations with long memories: few queries, compiled graphs, exports, transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import hopcore
from hopcore.arrays import LONG

hopcore.backend("torch")  # found before anything is compiled
COPIES = (1 << 22) + 3
PATTERN = torch.tensor([[0.3, 0.21]])
STATE = torch.tensor([[0.25, 0.5]])


class OfCopies(torch.nn.Module):
    """Associate with a memory that is a view of one pattern, which a plain sum gets wrong."""

    def forward(self, state: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
        return hopcore.association(state, pattern.expand(COPIES, 2), beta=0.5)


def compiled(function: Any, **options: Any) -> Any:
    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, backend="aot_eager", **options)


MODES: dict[str, Callable[[], torch.Tensor]] = {
    "compiled": lambda: compiled(OfCopies())(STATE, PATTERN),
    "exported": lambda: torch.export.export(OfCopies(), (STATE, PATTERN)).module()(STATE, PATTERN),
    "vmap": lambda: torch.func.vmap(OfCopies(), in_dims=(0, None))(STATE[None], PATTERN)[0],
    "jvp": lambda: torch.func.jvp(lambda x: OfCopies()(x, PATTERN), (STATE,), (STATE,))[0],
}


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_copies_are_recalled(mode: str) -> None:
    torch.testing.assert_close(MODES[mode](), PATTERN, rtol=1e-3, atol=0)


@pytest.mark.parametrize("masked", [False, True])
def test_one_graph_serves_all_open_sizes_and_has_derivatives(masked: bool) -> None:
    def recall(state: Any, stored: Any, projection: Any, beta: Any, mask: Any) -> Any:
        return hopcore.association(state, stored, projection, beta=beta, mask=mask, return_lse=True)

    functions: list[Any] = [compiled(recall, dynamic=True), recall]
    torch.manual_seed(0)
    for size in (100, 2 * LONG, LONG + 1, 20_011):
        shapes = (2, 1, 3, 4), (size, 4), (size, 5), (3,)
        numbers = [torch.rand(shape, dtype=torch.float64) for shape in shapes]
        mask = torch.rand(3, size) < 0.5 if masked else None
        found = []
        for f in functions:
            leaves = [x.clone().requires_grad_() for x in numbers]
            output, lse = f(*leaves, mask)
            found.append(
                (output, lse, *torch.autograd.grad(output.sum() + lse.sin().sum(), leaves))
            )
        torch.testing.assert_close(*found, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_an_export_may_leave_open_how_many_patterns_beyond_the_longest_part(
    separation: str,
) -> None:
    class Recall(torch.nn.Module):
        def forward(self, state: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
            return hopcore.association(state, stored, beta=2.0, separation=separation)

    sizes = ({}, {0: torch.export.Dim("s", min=LONG + 1, max=1 << 26)})
    inputs = torch.randn(3, 4), torch.randn(20_000, 4)
    program = torch.export.export(Recall(), inputs, dynamic_shapes=sizes).module()
    for size in (LONG + 1, 40_000):
        state, stored = torch.randn(3, 4), torch.randn(size, 4)
        torch.testing.assert_close(
            program(state, stored), Recall()(state, stored), rtol=1e-3, atol=1e-4
        )


def test_compiled_retrieval_from_a_long_memory() -> None:
    torch.manual_seed(0)
    state, stored = torch.rand(3, 4), torch.rand(LONG + 7, 4)

    def retrieve(state: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
        return hopcore.retrieve(state, stored, beta=2.0, max_steps=3).state

    torch.testing.assert_close(compiled(retrieve)(state, stored), retrieve(state, stored))


@pytest.mark.parametrize("size", [LONG + 1, 2 * LONG, 20_000, 20_011, 100_003])
@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", ["rows", "columns", "every other row", "one pattern"])
def test_few_queries_of_a_long_memory(
    size: int, queries: int, dtype: torch.dtype, layout: str
) -> None:
    torch.manual_seed(0)
    state, patterns = torch.randn(queries, 4, dtype=dtype), torch.randn(2 * size, 4, dtype=dtype)
    stored = {
        "rows": lambda: patterns[:size],
        "columns": lambda: patterns[:size].T.contiguous().T,
        "every other row": lambda: patterns[::2],
        "one pattern": lambda: patterns[:1].expand(size, 4),
    }[layout]()
    beta: Any = torch.rand(queries, dtype=dtype) + 0.5 if queries == 3 else 0.5
    output, lse = hopcore.association(state, stored, beta=beta, return_lse=True)
    wide = beta if isinstance(beta, float) else beta.double()[:, None]
    scores = (wide * state.double()) @ stored.double().T
    wanted = torch.softmax(scores, -1) @ stored.double()
    if layout == "one pattern":
        wanted = stored[0].double().expand(queries, 4)  # the sum above would be less exact
    # 2^14 numbers may be added one after the other, each with a rounding of eps / 2.
    within = 4 * torch.finfo(dtype).eps + 2.0**13 * torch.finfo(lse.dtype).eps
    torch.testing.assert_close(output.double(), wanted, rtol=within, atol=within)
    torch.testing.assert_close(lse.double(), torch.logsumexp(scores, -1), rtol=0, atol=within)
