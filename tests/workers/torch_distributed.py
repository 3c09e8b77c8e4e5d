"""Stored patterns over the workers of a torch mesh; every process runs all of these tests.

Run by ``tests/hopcore_torch/test_torch_distributed.py``: ``python torch_distributed.py RANK COUNT
FILE``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard

import hopcore
from hopcore_torch.distributed import from_parts, shard

SEPARATIONS = ("softmax", "sparsemax", hopcore.Entmax(1.5), hopcore.Entmax(3.0))
BETAS = (1.3, torch.linspace(0.5, 2.0, 5, dtype=torch.float64))
RANK, COUNT, FILE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ROWS = 11


@pytest.fixture(scope="session")
def mesh() -> Iterator[DeviceMesh]:
    where: Any = {"init_method": f"file://{FILE}", "rank": RANK, "world_size": COUNT}
    dist.init_process_group("gloo", timeout=timedelta(seconds=30), **where)
    yield init_device_mesh("cpu", (COUNT,), mesh_dim_names=("memory",))
    dist.destroy_process_group()


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uneven(whole: torch.Tensor, mesh: DeviceMesh) -> DTensor:
    """One pattern, three, one, and the rest; of two workers, one and the rest."""
    ends = [0, 1, 4, 5][:COUNT]
    ends.append(whole.shape[-2])
    part = whole[..., ends[RANK] : ends[RANK + 1], :]
    return from_parts(part.clone(), mesh)


def own(whole: torch.Tensor, parts: DTensor) -> torch.Tensor:
    """The rows of a whole that a worker has, however it is split."""
    sizes: list[Any] = [None] * COUNT
    dist.all_gather_object(sizes, parts.to_local().shape[-2])
    start = sum(sizes[:RANK])
    return whole[..., start : start + sizes[RANK], :]


def same(got: Any, expected: torch.Tensor, tol: float = 1e-10) -> None:
    """Equal relative to the largest value; of what is split, the worker's own part."""
    if isinstance(got, DTensor):
        assert got.shape == expected.shape
        expected = own(expected, got)
        got = got.to_local()
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    largest = expected[expected.isfinite()].abs().max().clamp(min=1e-3).item()
    torch.testing.assert_close(got, expected, rtol=0, atol=tol * largest)


def fails(kind: type[Exception], words: str, call: Callable[..., Any], *args: Any) -> None:
    """That a call fails with one line that says these words, on this and so on every worker."""
    with pytest.raises(kind, match=words) as caught:
        call(*args)
    assert "\n" not in str(caught.value)


@pytest.fixture(params=[shard, uneven], ids=["chunks", "uneven"])
def split(request: pytest.FixtureRequest, mesh: DeviceMesh) -> Callable[[torch.Tensor], DTensor]:
    return lambda whole: request.param(whole, mesh)


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_values(mesh: DeviceMesh, separation: Any, masked: bool) -> None:
    split = partial(uneven if masked else shard, mesh=mesh)
    state, stored, values = random(5, 4), random(ROWS, 4, seed=1), random(ROWS, 3, seed=2)
    mask = random(5, ROWS, seed=3) > -0.5 if masked else None
    if mask is not None:
        mask[0] = False  # nothing to attend to
        mask[1, 1:] = False  # the first worker has it all
    options: Any = {"mask": mask, "separation": separation}
    beta = BETAS[masked]
    got = hopcore.association(state, split(stored), split(values), beta=beta, **options)
    same(got, hopcore.association(state, stored, values, beta=beta, **options))
    parted, whole = (
        hopcore.retrieve(state, x, beta, max_steps=6, **options) for x in (split(stored), stored)
    )
    for mine, theirs in zip(parted, whole, strict=True):
        same(mine.double(), theirs.double())


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_values_in_float32(split: Any, separation: Any) -> None:
    """Against the exact ones, since a single device rounds as much."""
    state, stored = random(5, 4).float(), random(ROWS, 4, seed=1).float()
    exact = state.double(), stored.double()
    square = stored.double().square().sum(-1).max().item()
    for beta in (1.3, BETAS[1].float()):
        heat = beta if isinstance(beta, float) else beta.double()
        got = hopcore.update(state, split(stored), beta, separation=separation)
        assert got.dtype == torch.float32
        same(got.double(), hopcore.update(*exact, heat, separation=separation), 1e-6)
        energy = hopcore.energy(state, split(stored), beta, separation=separation)
        assert energy.dtype == torch.float32
        error = energy.double() - hopcore.energy(*exact, heat, separation=separation)
        assert error.abs().max().item() < 1e-6 * square


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_statistics(mesh: DeviceMesh, separation: Any) -> None:
    """Values, and derivatives of a number made of all of them."""
    probe = torch.cos(torch.arange(ROWS, dtype=torch.float64))

    def number(state: Any, stored: Any, beta: Any) -> Any:
        found = hopcore.statistics(state, stored, beta, separation=separation)
        received = found.received
        received = received.full_tensor() if isinstance(received, DTensor) else received
        return found, sum(x.sin().sum() for x in (*found[:4], found[5])) + received @ probe

    state, stored, beta = random(5, 4), random(ROWS, 4, seed=1), BETAS[1].clone()
    leaves = [x.requires_grad_() for x in (state, stored, beta)]
    found, total = number(*leaves)
    parts = shard(stored.detach(), mesh).requires_grad_()
    mine, other = number(state, parts, beta)
    for ours, theirs in zip(mine, found, strict=True):
        if isinstance(ours, DTensor):
            ours = ours.full_tensor()  # noqa: PLW2901 - gathered
        same(ours, theirs)
    gradients = torch.autograd.grad(total, leaves)
    for got, expected in zip(
        torch.autograd.grad(other, [state, parts, beta]), gradients, strict=True
    ):
        same(got, expected, 1e-9)


def loss(separation: Any, mask: Any, state: Any, stored: Any, values: Any, beta: Any) -> Any:
    """A number made of all that is differentiated."""
    options: Any = {"mask": mask, "separation": separation}
    found = hopcore.association(state, stored, values, beta=beta, **options).square().sum()
    rest = hopcore.retrieve(state, stored, beta, max_steps=2, **options)
    return found + rest.state.pow(3).sum() + rest.energy.sum()


def implicit(separation: Any, mask: Any, state: Any, stored: Any, values: Any, beta: Any) -> Any:
    """A number made of states at rest."""
    options: Any = {"mask": mask, "separation": separation, "gradient": "implicit"}
    rest = hopcore.retrieve(state, stored, beta, **options)
    found = hopcore.association(state, stored, values, beta=beta).sum()
    return found + rest.state.pow(3).sum()


def compared(total: Any, separation: Any, mask: Any, split: Any, beta: Any) -> None:
    """Gradients by state, stored patterns, projection and beta: those of one process."""
    given = [random(5, 4), random(ROWS, 4, seed=1), random(ROWS, 3, seed=2)]
    heat = [] if isinstance(beta, float) else [beta]
    plain = [x.clone().requires_grad_() for x in (*given, *heat)]
    state, *warm = (x.clone().requires_grad_() for x in (given[0], *heat))
    stored, values = (torch.nn.Parameter(split(x)) for x in given[1:])
    total(separation, mask, *plain, *([] if heat else [beta])).backward()
    total(separation, mask, state, stored, values, *(warm or [beta])).backward()
    for mine, theirs in zip((state, stored, values, *warm), plain, strict=True):
        same(mine.grad, theirs.grad, 1e-9)
    assert isinstance(stored.grad, DTensor)
    assert stored.grad.placements == stored.placements


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_gradients(mesh: DeviceMesh, separation: Any, masked: bool) -> None:
    split = partial(uneven if masked else shard, mesh=mesh)
    mask = random(5, ROWS, seed=3) > -0.8 if masked else None
    compared(loss, separation, mask, split, BETAS[masked])


@pytest.mark.parametrize("similarity", ["dot", "distance"])
def test_gradients_by_a_bias(mesh: DeviceMesh, similarity: Any) -> None:
    state, stored = random(3, 4), random(7, 4, seed=1)
    bias, weights = random(7, seed=2), random(3, 4, seed=3)
    found = []
    for memory in (stored, uneven(stored, mesh)):
        shared = bias.clone().requires_grad_()
        new = hopcore.update(state, memory, 2.0, similarity=similarity, bias=shared)
        found.append(torch.autograd.grad((new * weights).sum(), shared)[0])
    same(found[1], found[0])


def test_patterns_that_are_equally_long(split: Any) -> None:
    stored = 0.1 * random(ROWS, 3)
    longest = [[2.0, 2.0, 1.0], [2.0, 1.0, 2.0], [-2.0, 2.0, 1.0], [1.0, -2.0, 2.0]]
    stored[[0, 1, 2, 7]] = torch.tensor(longest, dtype=torch.float64)
    state, mask = random(5, 3, seed=1), torch.ones(5, ROWS, dtype=torch.bool)
    mask[2:, 1] = False
    for shown in (None, mask):
        slopes = []
        for memory in (split(stored).requires_grad_(), stored.clone().requires_grad_()):
            found = hopcore.energy(state, memory, 1.1, mask=shown).sum()
            slopes.append(torch.autograd.grad(found, memory)[0])
        same(*slopes)


@pytest.mark.parametrize("separation", SEPARATIONS[:3], ids=str)
def test_implicit_gradients(mesh: DeviceMesh, separation: Any) -> None:
    mask = random(5, ROWS, seed=3) > -0.8
    compared(implicit, separation, mask, partial(shard, mesh=mesh), BETAS[1])


@pytest.mark.parametrize("separation", SEPARATIONS[:3], ids=str)
def test_second_derivatives(split: Any, separation: Any) -> None:
    def second(state: Any, stored: Any) -> Any:
        found = hopcore.association(state, stored, beta=1.1, separation=separation).pow(3).sum()
        found = found + hopcore.energy(state, stored, 1.1, separation=separation).square().sum()
        slope = torch.autograd.grad(found, state, create_graph=True)[0]
        return torch.autograd.grad(slope.square().sum(), [state, stored])

    state, stored = random(5, 4).requires_grad_(), random(ROWS, 4, seed=1)
    got = second(state, split(stored).requires_grad_())
    for mine, theirs in zip(got, second(state, stored.requires_grad_()), strict=True):
        same(mine, theirs, 1e-9)


def test_leading_axes_and_one_mask(mesh: DeviceMesh) -> None:
    state, stored, values = random(3, 5, 4), random(2, 1, ROWS, 4, seed=1), random(ROWS, 3, seed=2)
    mask, beta = random(3, 1, ROWS, seed=3) > -0.5, random(2, 1, 5, seed=4).exp()
    for separation in SEPARATIONS:
        options: Any = {"beta": beta, "mask": mask, "separation": separation, "return_lse": False}
        parted = shard(stored, mesh), shard(values, mesh)
        same(
            hopcore.association(state, *parted, **options),
            hopcore.association(state, stored, values, **options),
        )
        for shown in (mask[0, 0], torch.tensor([[True], [False], [True], [True], [True]])):
            del options["return_lse"]
            options |= {"mask": shown, "return_lse": False}
            same(
                hopcore.association(state, *parted, **options),
                hopcore.association(state, stored, values, **options),
            )
    got = hopcore.association(state, *parted, beta=beta, mask=mask, return_lse=True)
    expected = hopcore.association(state, stored, values, beta=beta, mask=mask, return_lse=True)
    for mine, theirs in zip(got, expected, strict=True):
        same(mine, theirs)
    gradients = []
    for x in (parted[0].detach().requires_grad_(), stored.requires_grad_()):
        q = state.clone().requires_grad_()
        found = hopcore.association(q, x, beta=beta, mask=mask, separation="sparsemax").pow(3).sum()
        gradients.append(torch.autograd.grad(found, [q, x]))
    for mine, theirs in zip(*gradients, strict=True):
        same(mine, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(mesh: DeviceMesh, dtype: torch.dtype) -> None:
    state, stored = random(5, 4).to(dtype), random(ROWS, 4, seed=1).to(dtype)
    eps = torch.finfo(dtype).eps
    for separation in SEPARATIONS:
        for beta in (1.3, random(5, seed=2).exp().to(dtype)):
            got, expected = (
                hopcore.update(state, x, beta, separation=separation)
                for x in (shard(stored, mesh), stored)
            )
            same(got, expected, 2 * eps)
            got, expected = (
                hopcore.energy(state, x, beta, separation=separation)
                for x in (shard(stored, mesh), stored)
            )
            same(got, expected, 1e-6)


def test_blocks_of_queries(mesh: DeviceMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of different sizes would make blocks of different sizes, and workers wait for ever."""
    monkeypatch.setattr(sys.modules["hopcore.arrays._backend"], "BLOCK", 20)
    for separation in SEPARATIONS[:2]:
        compared(loss, separation, None, partial(uneven, mesh=mesh), BETAS[1])


class Wire:
    """Counts what leaves a worker, in bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent, self.largest = 0, 0
        reduce, gather, pair = dist.all_reduce, dist.all_gather, dist.P2POp

        def counted(tensor: torch.Tensor) -> None:
            self.sent += tensor.nbytes
            self.largest = max(self.largest, tensor.nbytes)

        def all_reduce(tensor: torch.Tensor, *rest: Any, **options: Any) -> Any:
            counted(tensor)
            return reduce(tensor, *rest, **options)

        def all_gather(rows: Any, tensor: torch.Tensor, **options: Any) -> Any:
            counted(tensor)
            return gather(rows, tensor, **options)

        def send_or_receive(work: Any, tensor: torch.Tensor, **options: Any) -> Any:
            counted(tensor)
            return pair(work, tensor, **options)

        monkeypatch.setattr(dist, "all_reduce", all_reduce)
        monkeypatch.setattr(dist, "all_gather", all_gather)
        monkeypatch.setattr(dist, "P2POp", send_or_receive)

    def of(self, call: Callable[[], Any]) -> int:
        before = self.sent
        call()
        return self.sent - before


def test_what_is_exchanged(mesh: DeviceMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """O(L v) numbers, whether 20 or 2,000 patterns are stored, forward and backward."""
    wire = Wire(monkeypatch)
    state = random(6, 4)
    agreement = 9 * 8
    for separation in SEPARATIONS:
        sent = []
        for rows in (20, 2000):
            memory = torch.nn.Parameter(shard(random(rows, 4, seed=1), mesh))
            update = partial(hopcore.update, stored=memory, beta=1.0, separation=separation)
            with torch.no_grad():
                one = wire.of(partial(update, state))
            q = state.clone().requires_grad_()
            sent.append((one, wire.of(update(q).sum().backward)))
        if separation == "softmax":
            # The log-sum-exps twice, and the outputs; backward the states' gradients beside them.
            assert sent[0] == (agreement + 8 * 6 * (2 + 4), 8 * 6 * (3 + 4))
            assert sent[1] == sent[0]
        # How often others look at all scores depends on the scores, what they exchange does not.
        assert all(0 < bytes_ < 64 * 8 * 6 * 4 for pair in sent for bytes_ in pair)
    for rows in (20, 2000):
        memory = shard(random(rows, 4, seed=1), mesh)
        retrieve = partial(hopcore.retrieve, state, memory, 0.1, tol=0.0)
        steps = [wire.of(partial(retrieve, max_steps=n)) for n in (2, 4, 6)]
        # Of each update the same, and which queries go on.
        assert steps[2] - steps[1] == steps[1] - steps[0] == 2 * (8 * 6 * (2 + 4) + 6)
    assert wire.largest <= 8 * 6 * 4 + agreement


def test_a_worker_holds_its_own_part(mesh: DeviceMesh, tmp_path: Any) -> None:
    whole = np.asarray(random(ROWS, 4))
    np.save(tmp_path / "patterns.npy", whole)
    read = np.load(tmp_path / "patterns.npy", mmap_mode="r")
    for patterns in (torch.from_numpy(whole), read):
        parts = shard(patterns, mesh)
        assert parts.placements == (Shard(0),)
        local = parts.to_local()
        most = -(-ROWS // COUNT)
        assert local.untyped_storage().nbytes() == local.nbytes <= most * 4 * 8
        same(parts.full_tensor(), torch.from_numpy(whole))
    same(
        hopcore.update(random(5, 4), parts, 1.0),
        hopcore.update(random(5, 4), torch.from_numpy(whole), 1.0),
    )


def test_training(mesh: DeviceMesh) -> None:
    def trained(memory: torch.nn.Parameter, values: torch.nn.Parameter) -> Any:
        steps = torch.optim.Adam([memory, values], lr=0.1)
        for _ in range(3):
            steps.zero_grad()
            found = hopcore.association(random(5, 4), memory, values, beta=1.0)
            (found - random(5, 3, seed=5)).square().sum().backward()
            steps.step()
        return memory.detach(), values.detach()

    given = random(ROWS, 4, seed=1), random(ROWS, 3, seed=2)
    for split in (shard, uneven):
        expected = trained(*(torch.nn.Parameter(x.clone()) for x in given))
        got = trained(*(torch.nn.Parameter(split(x, mesh)) for x in given))
        for mine, theirs in zip(got, expected, strict=True):
            same(mine, theirs)


def test_workers_that_round_differently(mesh: DeviceMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a loop decides is decided once, or some workers would go on alone."""
    monkeypatch.setattr(
        "hopcore.memory._stopping_loop.norm",
        lambda x, xp: torch.linalg.vector_norm(x, dim=-1) * (1.0 + 0.9 * RANK),
    )
    state, memory = random(8, 4), shard(random(ROWS, 4, seed=1), mesh)
    for separation in SEPARATIONS[:3]:
        for beta in (1.0, 5.0):
            found = hopcore.retrieve(state, memory, beta, separation=separation, tol=1e-2)
            steps: list[Any] = [None] * COUNT
            dist.all_gather_object(steps, found.steps.tolist())
            assert steps == [steps[0]] * COUNT


@pytest.mark.parametrize("k", [3, 20])
def test_nearest_neighbours(split: Any, monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    patterns = random(31, 4)
    memory, wire = split(patterns), Wire(monkeypatch)
    for mask in (None, random(31, seed=1) > -0.5):
        got, expected = (hopcore.knn_graph(x, k, mask=mask) for x in (memory, patterns))
        assert torch.equal(got.edge_index, expected.edge_index)
        same(got.edge_weight, expected.edge_weight)
    # The largest thing that travels is a part, or what the graph consists of.
    parts: list[Any] = [None] * COUNT
    dist.all_gather_object(parts, memory.to_local().nbytes)
    assert wire.largest <= max(*parts, 4 * 31 * min(k, 30), 8 * 31 * 31)


def test_the_first_of_equally_near_neighbours(split: Any) -> None:
    patterns = random(31, 16).sign()
    for k in (1, 3, 8):
        got, expected = (hopcore.knn_graph(x, k) for x in (split(patterns), patterns))
        assert torch.equal(got.edge_index, expected.edge_index)


def test_a_graph_of_many_blocks(mesh: DeviceMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopcore_torch.distributed._rings.GATHER_BLOCK", 20)
    patterns = random(31, 4)
    got, expected = (hopcore.knn_graph(x, 3) for x in (shard(patterns, mesh), patterns))
    assert torch.equal(got.edge_index, expected.edge_index)
    same(got.edge_weight, expected.edge_weight)


@pytest.mark.parametrize(
    ("mode", "values"),
    [("factored", "tied"), ("chebyshev", "untied"), ("simple", "evolving"), ("implicit", "untied")],
)
def test_diffusion(mesh: DeviceMesh, mode: str, values: Any) -> None:
    config = hopcore.DiffusionConfig(eta=0.1, k_neighbors=3, diffusion_mode=mode)
    state, stored = random(5, 4), random(31, 4, seed=1)
    graph = hopcore.knn_graph(stored, 3)
    results = []
    for whole in (shard(stored, mesh), stored):
        keys = whole.detach().requires_grad_()
        q = state.clone().requires_grad_()
        options: Any = {"config": config, "values": values, "max_steps": None}
        found = hopcore.diffused_retrieve(q, keys, 2.0, graph=graph, **options)
        (found.output.square().sum() + found.energy.sum()).backward()
        with torch.no_grad():
            again = hopcore.diffused_retrieve(state, whole, 2.0, **options)
        results.append((found.output, found.energy, again.output, q.grad, keys.grad))
    for mine, theirs in zip(*results, strict=True):
        same(mine, theirs, 1e-9)


def test_bad_input(mesh: DeviceMesh) -> None:
    state, whole = random(5, 4), random(ROWS, 4)
    memory = shard(whole, mesh)
    fails(ValueError, "enough for 1 workers", shard, whole[:1], mesh)
    fails(ValueError, "0 patterns", shard, whole[:0], mesh)
    fails(ValueError, r"s >= 1 patterns, got \[.*0", from_parts, whole[:RANK], mesh)
    fails(ValueError, "arguments alike", from_parts, whole[:, : 2 + RANK // (COUNT - 1)], mesh)
    fails(ValueError, "arguments alike", shard, whole[: 5 + RANK // (COUNT - 1)], mesh)
    fails(TypeError, "whole tensor or NumPy", shard, memory, mesh)
    fails(TypeError, "ordinary tensor", from_parts, memory, mesh)
    fails(TypeError, "DeviceMesh", shard, whole, dist.group.WORLD)
    fails(ValueError, "dim must name", shard, whole, mesh, "data")
    fails(TypeError, "no DTensor", hopcore.update, memory, memory, 1.0)
    fails(TypeError, "state must be an ordinary tensor", hopcore.update, memory, whole, 1.0)
    fails(TypeError, "one library", lambda: hopcore.association(state, whole, memory, beta=1.0))
    fails(
        TypeError,
        "projection must be split",
        lambda: hopcore.association(state, memory, whole, beta=1.0),
    )
    fails(
        ValueError,
        "split like stored",
        lambda: hopcore.association(state, memory, uneven(whole, mesh), beta=1.0),
    )
    fails(TypeError, "too many", hopcore.association_weights, state, memory, 1.0)
    fails(TypeError, "one dtype", hopcore.update, state.float(), memory, 1.0)
    fails(TypeError, "one library", hopcore.update, state.numpy(), memory, 1.0)
    fails(ValueError, "beta must be at most", hopcore.update, state, memory, 1e308)
    mask = shard(torch.ones(ROWS, ROWS), mesh) > 0
    fails(
        TypeError,
        "mask must be an ordinary",
        lambda: hopcore.update(whole, memory, 1.0, mask=mask),
    )
    replicated = DTensor.from_local(whole, mesh, [Replicate()])
    fails(ValueError, "along its patterns", hopcore.update, state, replicated, 1.0)
    bad = whole.clone()
    bad[-1, 0] = torch.nan
    for call in (hopcore.update, hopcore.energy, hopcore.retrieve):
        words = f"stored must be finite, got nan or inf in the part of worker {COUNT - 1}"
        fails(ValueError, words, call, state, shard(bad, mesh), 1.0)
    fails(
        ValueError,
        "projection must be finite",
        lambda: hopcore.association(state, memory, shard(bad, mesh), beta=1.0),
    )
    fails(
        TypeError,
        "cannot be traced",
        lambda: torch.func.vmap(lambda q: hopcore.update(q[None], memory, 1.0))(state),
    )
    fails(TypeError, "no derivatives", hopcore.knn_graph, memory.detach().requires_grad_(), 2)
    fails(ValueError, "one, of patterns", hopcore.knn_graph, shard(random(2, ROWS, 4), mesh), 2)
    fails(
        ValueError, "as shard makes them", lambda: hopcore.knn_graph(whole, 2) @ uneven(whole, mesh)
    )
    same(hopcore.update(state, memory, 1.0), hopcore.update(state, whole, 1.0))


def test_workers_that_disagree(mesh: DeviceMesh) -> None:
    state, memory = random(5, 4), shard(random(ROWS, 4), mesh)
    other = RANK == COUNT - 1
    beta = torch.ones(5, dtype=torch.float64)
    alike, values = "arguments alike, got", "the same on all workers"
    fails(ValueError, alike, hopcore.update, state[: 5 - other], memory, 1.0)
    fails(ValueError, alike, hopcore.update, state, memory, 1.0 + other)
    fails(ValueError, alike, hopcore.update, state, memory, beta if other else 1.0)
    fails(ValueError, alike, hopcore.update, state.requires_grad_(other), memory, 1.0)
    fails(ValueError, alike, hopcore.energy if other else hopcore.retrieve, state, memory, 1.0)
    state.requires_grad_(False)
    fails(ValueError, values, hopcore.update, random(5, 4, seed=RANK), memory, 1.0)
    fails(ValueError, values, hopcore.update, state.flip(0) if other else state, memory, 1.0)
    fails(ValueError, values, hopcore.update, state, memory, beta * (1.0 + other))
    fails(
        ValueError,
        alike,
        lambda: hopcore.update(state, memory, 1.0, separation="sparsemax" if other else "softmax"),
    )
    fails(
        ValueError,
        alike,
        lambda: hopcore.update(
            state, memory, 1.0, mask=torch.ones(ROWS, dtype=torch.bool) if other else None
        ),
    )
    # What is computed on each worker may round otherwise.
    hopcore.update(state * (1.0 + 1e-12 * RANK), memory, 1.0)


@pytest.mark.skipif(COUNT < 4, reason="needs a table of four workers")
def test_data_and_memory(mesh: DeviceMesh) -> None:
    """Rows of workers hold all patterns, each row has queries of its own."""
    table = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "memory"))
    fails(ValueError, "dim must name", shard, random(ROWS, 4), table)
    whole, queries = random(ROWS, 4, seed=1), random(2, 5, 4)
    for dim in ("memory", 1, -1):
        memory = torch.nn.Parameter(shard(whole, table, dim))
        assert memory.device_mesh.shape == (2,)
        row = table.get_local_rank("data")
        found = hopcore.update(queries[row], memory, 1.0)
        same(found.detach(), hopcore.update(queries[row], whole, 1.0))
        found.square().sum().backward()
        gradient = memory.grad.to_local()
        dist.all_reduce(gradient, group=table.get_group("data"))
        plain = whole.clone().requires_grad_()
        hopcore.update(queries, plain, 1.0).square().sum().backward()
        start = 6 * table.get_local_rank("memory")
        same(gradient, plain.grad[start : start + 6])
    part = memory.detach().to_local()
    shape: Any = {"shape": whole.shape, "stride": whole.stride()}
    both = DTensor.from_local(part, table, [Replicate(), Shard(0)], **shape)
    same(hopcore.update(queries[row], both, 1.0), hopcore.update(queries[row], whole, 1.0))
    fails(
        ValueError,
        "a mesh of one dimension",
        hopcore.update,
        queries[row],
        both.requires_grad_(),
        1.0,
    )


if __name__ == "__main__":
    # A folder of its own: pytest removes those of other runs while they look at them.
    own = f"{FILE}-{RANK}"
    options = ["-q", "-x", "--durations=5", "-p", "no:cacheprovider", f"--basetemp={own}"]
    found = pytest.main([*options, *sys.argv[4:], __file__])
    # Threads of gloo may outlive the interpreter, which takes it badly.
    sys.stdout.flush()
    os._exit(found)
