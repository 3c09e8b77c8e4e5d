"""Torch's layers under export, compile and torch.jit, with open sizes and with masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import hopcore
import hopcore_torch

SMALL: dict[str, Any] = {"input_size": 8, "num_heads": 2}
LAYERS: dict[str, Any] = {
    "plain": lambda: hopcore_torch.Hopfield(**SMALL),
    "sparsemax": lambda: hopcore_torch.Hopfield(**SMALL, separation="sparsemax"),
    "entmax": lambda: hopcore_torch.Hopfield(**SMALL, separation=1.5),
    "temperature": lambda: hopcore_torch.Hopfield(
        **SMALL, scaling=hopcore.LearnableTemperature(per_head=True)
    ),
    "pooling": lambda: hopcore_torch.HopfieldPooling(**SMALL),
    "lookup": lambda: hopcore_torch.HopfieldLayer(**SMALL, quantity=5),
    "diffused": lambda: hopcore_torch.DiffusedHopfield(**SMALL, eta=0.1, k_neighbors=3),
}
PADDED = "plain", "pooling", "sparsemax", "diffused"


def layer_of(name: str) -> Any:
    torch.manual_seed(0)
    return LAYERS[name]().eval()


def padding(batch: int, length: int) -> torch.Tensor:
    return torch.arange(length) > torch.arange(batch)[:, None]


@pytest.mark.parametrize("name", list(LAYERS))
def test_an_export_leaves_batch_and_length_open(name: str) -> None:
    layer, masked = layer_of(name), name in PADDED
    inputs = (torch.randn(3, 6, 8), padding(3, 6) if masked else None)
    # Two heads, and a batch that may be two: neither may be taken for the other.
    sizes = {0: torch.export.Dim("b", min=2, max=64), 1: torch.export.Dim("s", min=2, max=64)}
    program = torch.export.export(
        layer, inputs, dynamic_shapes=(sizes, sizes if masked else None), strict=False
    )
    for batch, length in ((5, 9), (2, 2)):
        x, mask = torch.randn(batch, length, 8), padding(batch, length) if masked else None
        torch.testing.assert_close(program.module()(x, mask), layer(x, mask))


@pytest.mark.parametrize("name", ["sparsemax", "temperature"])
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # by torch's own compiler
def test_compiles_for_open_sizes(name: str) -> None:
    layer = layer_of(name)
    torch._dynamo.reset()
    compiled = torch.compile(layer, dynamic=True, fullgraph=True, backend="aot_eager")
    for shape in ((3, 6, 8), (5, 9, 8)):
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize("alpha", [1.3, 2.7])
@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # by torch's own compiler
def test_compiles_a_solver_for_open_sizes_and_numbers(alpha: float) -> None:
    """With ``dynamic=True`` a compiler leaves numbers open, too, which its loops cannot take."""

    def retrieve(state: torch.Tensor, stored: torch.Tensor, beta: float, tol: float) -> Any:
        return hopcore.retrieve(state, stored, beta=beta, tol=tol, max_steps=3).state

    def separate(scores: torch.Tensor, separation: Any) -> torch.Tensor:
        return hopcore.separate(scores, separation)

    torch._dynamo.reset()
    options: dict[str, Any] = {"dynamic": True, "fullgraph": True, "backend": "aot_eager"}
    layer = hopcore_torch.Hopfield(**SMALL, separation=alpha)
    functions: list[Any] = [layer, separate, retrieve]
    compiled: list[Any] = [torch.compile(f, **options) for f in functions]
    for size, other in ((6, 1.7), (9, 1.3)):
        x, state = torch.randn(3, size, 8), torch.randn(3, 4)
        torch.testing.assert_close(compiled[0](x), layer(x))
        for a in (alpha, other):
            function = hopcore.Entmax(a)
            torch.testing.assert_close(compiled[1](x, function), separate(x, function))
        arguments = state, torch.randn(size, 4), other, 0.1 / size
        torch.testing.assert_close(compiled[2](*arguments), retrieve(*arguments))


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.filterwarnings("ignore")  # of torch's exporter, about its own parts
def test_onnx_leaves_the_batch_open(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime has no wheel here")
    layer, batch = layer_of(name), torch.export.Dim("b", min=1, max=64)
    with torch.no_grad():
        program: Any = torch.onnx.export(
            layer, (torch.randn(3, 6, 8),), dynamic_shapes=({0: batch},), dynamo=True, verbose=False
        )
    session = runtime.InferenceSession(program.model_proto.SerializeToString())
    for size in (2, 5):
        x = torch.randn(size, 6, 8)
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), layer(x).detach(), atol=1e-4, rtol=0)


def test_compiles_for_masks_of_several_sizes() -> None:
    layer = layer_of("plain")
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for length in (6, 9):
        compiled(torch.randn(3, length, 8))
    for length in (6, 9, 11):
        x, later = torch.randn(3, length, 8), torch.ones(length, length, dtype=torch.bool).triu(1)
        masks = padding(3, length), later
        torch.testing.assert_close(compiled(x, *masks), layer(x, *masks))


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.filterwarnings("ignore:`torch.jit.trace(_method)?` is deprecated")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of checks, which stay the same
def test_jit_traces_a_layer_with_a_padding_mask(name: str, gradient: bool) -> None:
    layer = layer_of(name)
    with torch.set_grad_enabled(gradient):
        traced = torch.jit.trace(layer, (torch.randn(3, 6, 8), padding(3, 6)))
    x, mask = torch.randn(3, 6, 8), torch.flip(padding(3, 6), [0])
    torch.testing.assert_close(traced(x, mask), layer(x, mask))


@pytest.mark.parametrize(
    "separation", ["entmax:1.5", "sparsemax", "normmax:2", "k-subsets:2", "k-subsets:40"]
)
@pytest.mark.parametrize("count", [1, 2, 300])
def test_sorted_weights_are_those_of_the_solver(separation: str, count: int) -> None:
    torch.manual_seed(0)
    scores = 10.0 ** torch.linspace(-2, 2, 20)[:, None] * torch.randn(20, count)
    scores = scores.double().masked_fill(torch.rand(20, count) < 0.2, -torch.inf)
    function, backend = hopcore.memory.get_separation(separation), hopcore.backend("torch")
    found = function.evaluate_sorted(scores, backend.xp)
    for got, wanted in zip(found, backend.separate(scores, function), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-13, atol=1e-14)
