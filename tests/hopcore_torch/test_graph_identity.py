"""Graphs of tensors on an accelerator are found by the memory of the patterns and its version.

An accelerator is imitated by a backend that may not read values of tensors on the CPU.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch

import hopcore
import hopcore_torch
from hopcore_torch.kernels import TorchBackend

CONFIG = hopcore.DiffusionConfig(k_neighbors=2)


@pytest.fixture(autouse=True)
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchBackend, "can_read_values", lambda self, array: False)


def patterns(seed: int = 0, count: int = 7, **options: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 5, generator=generator, **options)


def counts(cache: hopcore.GraphCache) -> tuple[int, int, int]:
    return cache.hits, cache.misses, len(cache)


def weights(graph: Any) -> torch.Tensor:
    return torch.as_tensor(graph.W.to_dense())


def test_the_same_memory_is_found_without_a_look_at_its_values() -> None:
    cache, stored = hopcore.GraphCache(CONFIG), patterns()
    first = cache.get(stored)
    assert cache.get(stored) is first
    assert cache.get(stored.view(7, 5)) is first
    assert cache.get(stored.detach()) is first
    assert counts(cache) == (3, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1.0),
        lambda x: x.mul_(-1.0),
        lambda x: x[2].zero_(),
        lambda x: x.__setitem__((1, 1), 9.0),
        lambda x: x.detach().neg_(),
        lambda x: x.t().copy_(patterns(4).t()),
        lambda x: torch.neg(x, out=x),
        lambda x: torch._foreach_add_([x], 1.0),  # pyright: ignore[reportPrivateImportUsage]
    ],
)
def test_a_change_in_place_is_seen(change: Any) -> None:
    cache, stored = hopcore.GraphCache(CONFIG), patterns()
    cache.get(stored)
    with torch.no_grad():
        change(stored)
    found = cache.get(stored)
    assert counts(cache)[:2] == (0, 2)
    expected = hopcore.knn_graph(stored.clone(), 2).using("symmetric")
    torch.testing.assert_close(weights(found), torch.as_tensor(expected.to_dense()))


def test_a_step_of_an_optimizer_is_seen() -> None:
    for kind in (torch.optim.SGD, torch.optim.Adam):
        cache, stored = hopcore.GraphCache(CONFIG), torch.nn.Parameter(patterns())
        cache.get(stored)
        stored.grad = torch.ones_like(stored)
        kind([stored], lr=0.1).step()
        cache.get(stored)
        assert counts(cache)[:2] == (0, 2)


def test_other_memory_is_never_confused() -> None:
    cache, stored = hopcore.GraphCache(CONFIG), patterns()
    cache.get(stored)
    others = (
        stored.clone(),
        stored[:6],
        stored[1:],
        stored.flip(0),
        stored.view(5, 7),
        stored.expand(2, 7, 5),
        stored.double(),
        stored.view(torch.int32).view(torch.float32)[:, :4],
    )
    for other in others:
        cache.get(other)
    assert cache.hits == 0


def test_memory_that_is_gone_is_forgotten() -> None:
    cache = hopcore.GraphCache(CONFIG)
    gc.freeze()  # only what follows is looked at, not all that was ever imported
    try:
        for seed in range(20):
            cache.get(patterns(seed))
            gc.collect()
    finally:
        gc.unfreeze()
    assert counts(cache) == (0, 20, 1)


def test_a_mask_is_told_apart_by_its_memory_too() -> None:
    cache, stored = hopcore.GraphCache(CONFIG), patterns()
    mask = torch.arange(7) < 5
    first = cache.get(stored, mask=mask)
    assert cache.get(stored, mask=mask) is first
    assert cache.get(stored, mask=~mask) is not first
    assert cache.get(stored) is not first
    mask[0] = False
    assert cache.get(stored, mask=mask) is not first
    assert cache.hits == 1


def test_what_has_no_identity_is_built_anew() -> None:
    cache = hopcore.GraphCache(CONFIG)
    with torch.inference_mode():
        stored = patterns()
    cache.get(stored)
    plain = patterns()
    cache.get(plain, sources=())
    torch.func.vmap(lambda x: cache.get(x).deg)(patterns().expand(2, 7, 5))
    assert counts(cache) == (0, 0, 0)


def test_patterns_with_a_derivative_get_it() -> None:
    cache, stored = hopcore.GraphCache(CONFIG), patterns().requires_grad_()
    found = []
    for _ in range(2):
        (gradient,) = torch.autograd.grad(cache.get(stored).deg.square().sum(), stored)
        found.append(gradient)
    torch.testing.assert_close(found[0], found[1])
    assert found[0].abs().sum() > 0.0
    assert counts(cache) == (1, 1, 1)


def layer(**options: Any) -> hopcore_torch.DiffusedHopfield:
    torch.manual_seed(0)
    return hopcore_torch.DiffusedHopfield(5, num_heads=1, config=CONFIG, **options)


def test_a_layer_finds_the_graph_of_its_memory() -> None:
    model, stored, state = layer(), patterns(), patterns(1, 3)
    first = model((stored, state, stored))
    second = model((stored, state, stored))
    assert model.cache is not None
    assert counts(model.cache) == (1, 1, 1)
    torch.testing.assert_close(first, second, rtol=0.0, atol=0.0)
    with torch.no_grad():
        stored.neg_()
        model.norm_stored_pattern.weight.mul_(torch.arange(1.0, 6.0))
    changed = model((stored, state, stored))
    assert counts(model.cache)[:2] == (1, 2)
    torch.testing.assert_close(changed, fresh(model, stored, state), rtol=0.0, atol=0.0)


def fresh(model: Any, stored: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """The result of a layer that has kept nothing."""
    other = layer()
    other.load_state_dict(model.state_dict())
    return other((stored, state, stored))


def test_one_cache_tells_normalisations_apart() -> None:
    stored, state = patterns(), patterns(1, 3)
    cache = hopcore.GraphCache(CONFIG)
    models = [
        layer(),
        layer(normalize_stored_pattern=False),
        layer(normalize_stored_pattern_affine=False),
        layer(normalize_stored_pattern_eps=1.0),
    ]
    for model in models:
        model.cache = cache
        model((stored, state, stored))
        model((stored, state, stored))
    assert counts(cache)[:2] == (4, 4)


def test_a_replaced_normalisation_and_masks_keep_no_graph() -> None:
    stored, state = patterns(), patterns(1, 3)
    model = layer()
    model.norm_stored_pattern = torch.nn.Identity()
    model((stored, state, stored))
    masked = layer()
    masked((stored[None], state[None], stored[None]), torch.arange(7)[None] > 4)
    for one in (model, masked):
        assert one.cache is not None
        assert counts(one.cache) == (0, 0, 0)
