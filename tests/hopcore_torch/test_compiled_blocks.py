"""Graphs of torch's compiler hold no array of all scores, where these are many."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import hopcore
from hopcore_torch.kernels import _blocks as kernels

QUERIES, PATTERNS, DEPTH = 40, 30, 4
CALLS: dict[str, Any] = {
    "energy": lambda x, y, b, m: hopcore.energy(x, y, b, mask=m),
    "sparsemax": lambda x, y, b, m: hopcore.association(
        x, y, beta=b, mask=m, separation="sparsemax"
    ),
    "entmax energy": lambda x, y, b, m: hopcore.energy(
        x, y, b, mask=m, separation=hopcore.Entmax(1.3)
    ),
}

hopcore.backend("torch")  # found before anything is compiled


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "BLOCK", 10 * PATTERNS)


class Watched:
    """A backend of the compiler that keeps the size of the largest tensor of a graph."""

    def __init__(self) -> None:
        self.largest = 0
        self.operators: set[str] = set()

    def __call__(self, graph: Any, inputs: Any) -> Any:
        for node in graph.graph.nodes:
            self.operators.add(str(node.target))
            value = node.meta.get("example_value")
            if node.op != "placeholder" and isinstance(value, torch.Tensor):
                self.largest = max(self.largest, value.numel())
        return graph.forward


def inputs(kind: str) -> list[Any]:
    torch.manual_seed(0)
    state, stored = (torch.randn(n, DEPTH, dtype=torch.float64) for n in (QUERIES, PATTERNS))
    beta: Any = torch.linspace(0.5, 2.0, QUERIES, dtype=torch.float64)
    mask = torch.rand(PATTERNS) < 0.7
    mask[0] = True
    return [state, stored, beta if "beta" in kind else 0.7, mask if "mask" in kind else None]


@pytest.mark.parametrize("kind", ["plain", "beta and mask"])
@pytest.mark.parametrize("name", CALLS)
def test_no_tensor_has_all_scores(name: str, kind: str) -> None:
    call, given = CALLS[name], inputs(kind)
    torch._dynamo.reset()
    watched = Watched()
    found = torch.compile(call, backend=watched, fullgraph=True)(*given)
    torch.testing.assert_close(found, call(*given))
    assert watched.largest < QUERIES * PATTERNS
    assert any("associate_in_blocks" in x for x in watched.operators)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_compiled_blocks_have_derivatives(name: str, dynamic: bool) -> None:
    call, (state, stored, beta, mask) = CALLS[name], inputs("beta and mask")
    leaves = [x.requires_grad_() for x in (state, stored, beta)]
    torch._dynamo.reset()
    compiled = torch.compile(call, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    slopes = [
        torch.autograd.grad(function(*leaves, mask).sin().sum(), leaves)
        for function in (compiled, call)
    ]
    torch.testing.assert_close(*slopes)


def test_few_scores_stay_plain_operations() -> None:
    state, stored, beta, mask = inputs("plain")
    torch._dynamo.reset()
    watched = Watched()
    torch.compile(CALLS["energy"], backend=watched)(state[:9], stored, beta, mask)
    assert not any("associate_in_blocks" in x for x in watched.operators)
