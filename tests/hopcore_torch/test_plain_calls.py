"""Plain layers make the calls that one would write by hand; others, and changed ones, do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import hopcore_torch
from hopcore.layers import _hopfield, _plain_call
from hopcore_torch.kernels import _fused as fused


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each call went the short way."""
    seen: list[bool] = []
    right = _plain_call.called_plainly

    def seeing(*given: Any) -> Any:
        found = right(*given)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(_hopfield, "called_plainly", seeing)
    return seen


def usual(layer: nn.Module, patterns: Any, **options: Any) -> torch.Tensor:
    """The output by the usual way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_hopfield, "called_plainly", lambda *given: None)
        return layer(patterns, **options)


def made(**options: Any) -> tuple[Any, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(input_size=8, num_heads=2, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(std=0.5)
    stored, state, projection = torch.randn(3, 7, 8), torch.randn(3, 5, 8), torch.randn(3, 7, 8)
    return layer, (stored, state, projection)


def near(found: Any, wanted: Any) -> None:
    """Compare derivatives by two ways; terms that cancel leave the rounding of the largest ones."""
    largest = max(float(x.abs().max()) for x in wanted)
    within = 1e3 * torch.finfo(wanted[0].dtype).eps * largest
    torch.testing.assert_close(found, wanted, rtol=0.0, atol=within)


def second(slopes: Any, leaves: Any) -> Any:
    """The derivatives of the sum of squares of derivatives; 0 by the bias that is added last."""
    total = sum(x.square().sum() for x in slopes)
    return torch.autograd.grad(total, leaves, materialize_grads=True)


@pytest.mark.parametrize("options", [{}, {"scaling": 0.3}, {"input_bias": False}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_short_way_is_the_usual_one(
    plain: list[bool], options: dict[str, Any], dtype: torch.dtype
) -> None:
    layer, patterns = made(**options)
    layer, patterns = layer.to(dtype), tuple(x.to(dtype).requires_grad_() for x in patterns)
    found, wanted = layer(patterns), usual(layer, patterns)
    assert plain == [True]
    torch.testing.assert_close(found, wanted)
    leaves = [*patterns, *layer.parameters()]
    by = torch.randn_like(found)
    slopes = torch.autograd.grad(found, leaves, by, create_graph=True)
    near(slopes, torch.autograd.grad(wanted, leaves, by))
    again = second(slopes, leaves)
    slopes = torch.autograd.grad(usual(layer, patterns), leaves, by, create_graph=True)
    near(again, second(slopes, leaves))
    with torch.no_grad():
        torch.testing.assert_close(layer(patterns), wanted)
    assert all(plain)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"update_steps_max": 2}, "keys are diffused, updated from, or added"),
        ({"concat_bias_pattern": True}, "keys are diffused, updated from, or added"),
        ({"separation": "sparsemax"}, "it is not the softmax of dot products"),
        ({"similarity": "distance"}, "it is not the softmax of dot products"),
        ({"scaling": (0.3, 0.6)}, "the inverse temperature is not one number"),
        ({"scaling": 0.3, "learnable_scaling": True}, "the inverse temperature is not one number"),
        ({"normalize_hopfield_space": True}, "patterns are normalised in the association space"),
        ({"pattern_size": 3}, "its maps are not three equal parts of one matrix"),
        ({"disable_out_projection": True}, "there is no output map, or an activation follows"),
        ({"association_activation": "relu"}, "there is no output map, or an activation follows"),
        (
            {"normalize_state_pattern": False, "normalize_state_pattern_affine": False},
            "a normalisation is missing, or adds nothing to a variance",
        ),
        ({"normalize_state_pattern_eps": 0.0}, "a normalisation is missing, or adds nothing"),
        ({"batch_first": False}, "samples are not on the first axis"),
    ],
)
def test_settings_that_need_the_usual_way(
    plain: list[bool], options: dict[str, Any], reason: str
) -> None:
    layer, patterns = made(**options)
    if not layer.settings.batch_first:
        patterns = tuple(x.transpose(0, 1) for x in patterns)
    assert _plain_call.obstacle_to_plain_calls(layer.settings).startswith(reason)
    torch.testing.assert_close(layer(patterns), usual(layer, patterns))
    assert plain == [False]


def test_calls_that_need_the_usual_way(plain: list[bool]) -> None:
    layer, (stored, state, projection) = made(dropout=0.5)
    wide = torch.randn(3, 2000, 8)
    calls: list[Any] = [
        (stored[0], state[0], projection[0]),
        (stored[:1], state, projection[:1]),
        (stored, state[:, :0], projection),
        (stored[:0], state[:0], projection[:0]),
        (torch.randn(100, 2000, 8), torch.randn(100, 1, 8), torch.randn(100, 2000, 8)),
    ]
    layer.eval()
    for patterns in calls:
        torch.testing.assert_close(layer(patterns), usual(layer, patterns))
    assert plain == [False] * len(calls)
    layer((wide, state, wide))
    assert plain.pop()
    with torch.autocast("cpu"):
        assert layer((stored, state, projection)).dtype == torch.bfloat16
    assert not plain.pop()
    with pytest.raises(TypeError, match="dtype of the parameters"):
        layer(tuple(x.double() for x in (stored, state, projection)))
    plain.clear()
    layer.train()((stored, state, projection))
    layer.eval()((stored, state, projection), torch.zeros(3, 7, dtype=torch.bool))
    assert plain == []


def doubled(layer: Any) -> None:
    layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})


def in_place(layer: Any) -> None:
    with torch.no_grad():
        layer.association_core.in_proj_weight.mul_(1.5)


def data(layer: Any) -> None:
    core = layer.association_core
    core.in_proj_weight.data = 1.5 * core.in_proj_weight.data


def parameter(layer: Any) -> None:
    core = layer.association_core
    core.in_proj_weight = nn.Parameter(0.5 * core.in_proj_weight.detach())


def replaced(layer: Any) -> None:
    layer.association_core.out_proj = nn.Linear(8, 8)


def normalization(layer: Any) -> None:
    layer.norm_state_pattern = nn.Identity()


def hooked(layer: Any) -> None:
    layer.association_core.out_proj.register_forward_hook(lambda module, given, out: 2 * out)


def pruned(layer: Any) -> None:
    prune.l1_unstructured(layer.association_core.out_proj, "weight", amount=0.5)


def normed(layer: Any) -> None:
    parametrizations.weight_norm(layer.association_core, "in_proj_weight")


def eps(layer: Any) -> None:
    layer.norm_state_pattern.eps = 0.5


def colder(layer: Any) -> None:
    layer.scaling = 3.0


def colder_by_head(layer: Any) -> None:
    layer.scaling = torch.tensor([2.0, 3.0])


@pytest.mark.parametrize(
    "change",
    [
        doubled,
        in_place,
        data,
        parameter,
        replaced,
        normalization,
        hooked,
        pruned,
        normed,
        eps,
        colder,
        colder_by_head,
    ],
)
def test_a_changed_layer_is_seen_by_the_next_call(
    plain: list[bool], change: Callable[[Any], None]
) -> None:
    layer, patterns = made()
    before = layer(patterns)
    change(layer)
    found = layer(patterns)
    torch.testing.assert_close(found, usual(layer, patterns))
    if change is not normed:  # which keeps the weight
        assert not torch.allclose(found, before)
    wide = layer.double()(tuple(x.double() for x in patterns))
    torch.testing.assert_close(wide.float(), found, rtol=1e-4, atol=1e-4)
    assert plain[0]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_transforms_and_compilers_go_the_usual_way(plain: list[bool]) -> None:
    layer, patterns = made()
    wanted = layer(patterns)
    plain.clear()
    torch.testing.assert_close(torch.func.vmap(lambda *x: layer(x))(*patterns), wanted)
    found, _ = torch.func.jvp(lambda x: layer((x, *patterns[1:])), patterns[:1], patterns[:1])
    torch.testing.assert_close(found, wanted)
    assert not any(plain)
    program = torch.export.export(layer, (patterns,))
    torch.testing.assert_close(program.module()(patterns), wanted)


def test_the_kernel_has_its_own_first_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    right = fused.pull_back
    monkeypatch.setattr(fused, "pull_back", lambda *given: calls.append("") or right(*given))
    layer, patterns = made()
    torch.autograd.grad(layer(patterns).sum(), list(layer.parameters()))
    assert calls == []
