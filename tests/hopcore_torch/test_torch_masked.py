"""What no query may attend to is never read in compiled graphs and transforms of torch."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

import hopcore

torch = pytest.importorskip("torch")
modules = pytest.importorskip("hopcore_torch")

CONTENTS = [math.nan, math.inf, -math.inf, 3e38]
PADDING = torch.zeros(2, 6, dtype=torch.bool)
PADDING[0, 4:] = True

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch.*",
    "ignore:.*should not be instantiated:DeprecationWarning",
)


def with_padding(x: Any, content: float) -> Any:
    """Patterns whose padding holds something."""
    return x.masked_fill(PADDING[..., None], content)


@pytest.fixture(params=["eager", "compiled", "vmap"])
def mode(request: pytest.FixtureRequest) -> Any:
    """How a function of patterns and their padding runs."""
    if request.param == "eager":
        return lambda function: function
    if request.param == "vmap":
        return torch.func.vmap
    torch.compiler.reset()
    return lambda function: torch.compile(function, backend="eager", fullgraph=True)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_associations(mode: Any, content: float, separation: str) -> None:
    def recall(stored: Any, padding: Any) -> Any:
        mask = ~padding[..., None, :]
        return hopcore.association(stored[..., :2, :], stored, beta=1.0, mask=mask,
                                   separation=separation)  # fmt: skip

    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    wanted = recall(x, PADDING)
    got = mode(recall)(with_padding(x, content), PADDING)
    torch.testing.assert_close(got, wanted)


LAYERS: dict[str, Any] = {
    "sequence": lambda: modules.Hopfield(input_size=8, num_heads=2),
    "pooling": lambda: modules.HopfieldPooling(input_size=8, num_heads=2),
    "diffused": lambda: modules.DiffusedHopfield(input_size=8, num_heads=2),
    "encoder": lambda: modules.HopfieldEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True),
}


@pytest.mark.parametrize("content", [math.nan, 3e38])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layers(name: str, compiled: bool, content: float) -> None:
    if compiled and name == "diffused":
        pytest.skip("a graph takes long to compile")
    torch.manual_seed(0)
    layer, x = LAYERS[name](), torch.randn(2, 6, 8)
    shown = torch.ones(2) if name == "pooling" else (~PADDING)[..., None]
    outputs, slopes = [], []
    for patterns in (x, with_padding(x, content)):
        one = copy.deepcopy(layer)
        run = torch.compile(one, backend="eager") if compiled and patterns is not x else one
        masks = {"src_key_padding_mask" if name == "encoder" else "stored_pattern_padding_mask":
                 PADDING}  # fmt: skip
        patterns.requires_grad_()
        found = run(patterns, **masks)
        assert found.isfinite().all()
        (found * shown.reshape(*shown.shape[: found.ndim], *[1] * (found.ndim - shown.ndim))).pow(
            2
        ).sum().backward()
        outputs.append(found.detach())
        slopes.append([patterns.grad, *(p.grad for p in one.parameters())])
    if name == "pooling":
        torch.testing.assert_close(outputs[1], outputs[0])
    else:
        torch.testing.assert_close(outputs[1][~PADDING], outputs[0][~PADDING])
    for got, wanted in zip(slopes[1], slopes[0], strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert not slopes[1][0][PADDING].any()


def test_ordinary_padding_of_a_sequence_is_a_query() -> None:
    # What the layer of hopfield-layers returns at padded positions.
    torch.manual_seed(0)
    layer, x = modules.Hopfield(input_size=8, num_heads=2), torch.randn(2, 6, 8)
    torch.testing.assert_close(layer(x, PADDING), layer((x, x.clone(), x), PADDING))
    zeros = layer((x, with_padding(x, 0.0), x), PADDING)
    for content in CONTENTS:
        torch.testing.assert_close(layer(with_padding(x, content), PADDING), zeros)
