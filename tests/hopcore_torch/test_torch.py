"""The torch backend: roads that must agree, derivatives, transforms, compiled graphs, memory."""

from __future__ import annotations

import math
import subprocess
import sys

import array_api_compat.numpy as np_xp
import numpy as np
import pytest

import hopcore
from hopcore.arrays import Backend
from hopcore_conformance.cases.kinks import KINKS

torch = pytest.importorskip("torch", reason="the torch backend needs torch")

ORACLE = Backend("portable", np_xp)
OWN_WARNINGS = pytest.mark.filterwarnings(
    # torch's tracers warn about their own internals.
    "ignore::DeprecationWarning:torch.*",
    "ignore:.*should not be instantiated:DeprecationWarning",
)
SEPARATIONS = [
    "softmax",
    "sparsemax",
    hopcore.Entmax(1.5),
    hopcore.Entmax(1.2),
    hopcore.Entmax(4.0),
]


def patterns(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def oracle(state, stored, projection, beta, mask, separation):
    arrays = [x.double().numpy() for x in (state, stored, projection)]
    beta = beta if isinstance(beta, float) else beta.double().numpy()
    function = hopcore.memory.get_separation(separation)
    return ORACLE.associate(*arrays, beta, None if mask is None else mask.numpy(), function, True)


SHAPES = [
    # state, stored, projection, beta, mask: shared memory, heads, broadcasting, padding of values
    ((7, 5), (9, 5), (9, 5), (), None),
    ((7, 5), (9, 5), (9, 3), (7,), (7, 9)),
    ((7, 5), (9, 5), (9, 8), (), (9,)),
    ((2, 3, 7, 5), (9, 5), (9, 5), (3, 1), None),
    ((2, 3, 7, 5), (9, 5), (9, 5), (), (1, 9)),
    ((2, 3, 7, 5), (3, 9, 5), (2, 1, 9, 4), (3, 1), (2, 1, 1, 9)),
    ((2, 7, 5), (2, 9, 5), (2, 9, 5), (2, 7), (2, 7, 9)),
    ((2, 2, 3, 7, 5), (3, 9, 5), (3, 9, 5), (), (2, 1, 1, 7, 9)),
    ((7, 5), (9, 5), (9, 5), (4, 1), (4, 7, 9)),
    ((0, 5), (9, 5), (9, 5), (), None),
    ((700, 5), (4000, 5), (4000, 5), (), None),
    ((700, 5), (4000, 5), (4000, 5), (), (700, 4000)),
]


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_every_road_agrees_with_the_portable_oracle(case, separation):
    state, stored, projection, beta, mask = case
    state, stored, projection = (
        patterns(*s, seed=i) for i, s in enumerate((state, stored, projection))
    )
    beta = 1.5 if beta == () else patterns(*beta).abs() + 0.1
    if mask is not None:
        mask = patterns(*mask, seed=5) > 0
        mask[..., 0] = False
    expected, conjugate = oracle(state, stored, projection, beta, mask, separation)
    got = hopcore.association(
        state, stored, projection, beta=beta, mask=mask, separation=separation
    )
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-10, atol=1e-12)
    function = hopcore.memory.get_separation(separation)
    lse = hopcore.backend("torch").conjugate(state, stored, beta, mask, function)
    np.testing.assert_allclose(lse.numpy(), conjugate, rtol=1e-10, atol=1e-12)
    if separation == "softmax":
        both = hopcore.association(state, stored, projection, beta=beta, mask=mask, return_lse=True)
        np.testing.assert_allclose(both[0].numpy(), expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(both[1].numpy(), conjugate, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("beta", [0.05, 1.0, 1e4])
def test_log_sum_exp_with_and_without_the_running_maximum(beta):
    state, stored = (
        patterns(300, 8, dtype=torch.float32),
        patterns(5000, 8, seed=1, dtype=torch.float32),
    )
    function = hopcore.Softmax()
    got = hopcore.backend("torch").conjugate(state, stored, beta, None, function)
    expected = torch.logsumexp(beta * (state.double() @ stored.double().T), -1)
    torch.testing.assert_close(got.double(), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_gradients_by_finite_differences_twice(separation):
    state, stored, projection = (
        patterns(*s, seed=i).requires_grad_() for i, s in enumerate(((3, 4), (5, 4), (5, 2)))
    )
    beta = torch.tensor([0.3, 0.7, 1.1], dtype=torch.float64, requires_grad=True)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[0, 2] = False

    def associate(state, stored, projection, beta):
        return hopcore.association(
            state, stored, projection, beta=beta, mask=mask, separation=separation
        )

    def energy(state, stored, beta):
        return hopcore.energy(state, stored, beta, mask=mask, separation=separation)

    assert torch.autograd.gradcheck(associate, (state, stored, projection, beta))
    assert torch.autograd.gradcheck(energy, (state, stored, beta))
    assert torch.autograd.gradgradcheck(associate, (state, stored, projection, beta))
    assert torch.autograd.gradgradcheck(energy, (state, stored, beta))


@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_gradients_by_blocks_are_those_of_the_whole(separation, monkeypatch):
    inputs = [patterns(*s, seed=i) for i, s in enumerate(((2, 30, 4), (2, 50, 4), (2, 50, 3)))]
    inputs.append(patterns(2, 30, seed=3).abs() + 0.2)
    mask = patterns(2, 30, 50, seed=4) > -1
    lse = separation == "softmax"

    def gradients():
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = hopcore.association(
            *leaves[:3], beta=leaves[3], mask=mask, separation=separation, return_lse=lse
        )
        value = out[0].square().sum() + out[1].square().sum() if lse else out.square().sum()
        energy = hopcore.energy(*leaves[:2], leaves[3], mask=mask, separation=separation)
        return torch.autograd.grad(value + energy.square().sum(), leaves)

    whole = gradients()
    monkeypatch.setattr(sys.modules["hopcore.arrays._backend"], "BLOCK", 700)
    for part, all_at_once in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(part, all_at_once)


@OWN_WARNINGS
@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
def test_function_transforms(separation):
    state, stored = patterns(3, 4), patterns(6, 4, seed=1)

    def update(x):
        return hopcore.update(x[None], stored, 0.8, separation=separation)[0]

    def energy(x):
        return hopcore.energy(x[None], stored, 0.8, separation=separation)[0]

    torch.testing.assert_close(
        torch.func.vmap(update)(state), hopcore.update(state, stored, 0.8, separation=separation)
    )
    gradient = torch.func.vmap(torch.func.grad(energy))(state)
    torch.testing.assert_close(
        gradient, hopcore.energy_gradient(state, stored, 0.8, separation=separation)
    )
    jacobian = torch.func.vmap(torch.func.jacrev(update))(state)
    torch.testing.assert_close(torch.func.vmap(torch.func.jacfwd(update))(state), jacobian)
    hessian = torch.func.vmap(torch.func.hessian(energy))(state)
    torch.testing.assert_close(hessian, torch.eye(4, dtype=torch.float64) - jacobian)


def test_retrieve_under_vmap_freezes_instead_of_dropping():
    state, stored = patterns(4, 3, 5), patterns(8, 5, seed=1)
    found = torch.func.vmap(lambda x: hopcore.retrieve(x, stored, 2.0))(state)
    expected = hopcore.retrieve(state, stored, 2.0)
    torch.testing.assert_close(found.state, expected.state)
    torch.testing.assert_close(found.steps, expected.steps)
    assert bool(found.converged.all())


@OWN_WARNINGS
@pytest.mark.parametrize("separation", ["softmax", "sparsemax", hopcore.Entmax(1.3)], ids=str)
def test_compiled_whole_equals_eager(separation):
    state, stored = patterns(5, 6, dtype=torch.float32), patterns(9, 6, seed=1, dtype=torch.float32)

    def everything(state, stored):
        found = hopcore.retrieve(state, stored, 1.0, separation=separation, max_steps=20)
        return found, hopcore.energy(state, stored, 1.0, separation=separation)

    torch.compiler.reset()
    compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")(state, stored)
    eager = everything(state, stored)
    torch.testing.assert_close(compiled[0].state, eager[0].state)
    torch.testing.assert_close(compiled[0].steps, eager[0].steps)
    torch.testing.assert_close(compiled[1], eager[1])


@OWN_WARNINGS
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_compiled_training_step(separation):
    state, stored = patterns(5, 6), patterns(9, 6, seed=1)

    def loss(state, stored):
        found = hopcore.retrieve(state, stored, 0.7, separation=separation, max_steps=3, tol=0.0)
        return found.state.square().sum() + found.energy.sum()

    def gradients(f):
        leaves = [x.clone().requires_grad_() for x in (state, stored)]
        return torch.autograd.grad(f(*leaves), leaves)

    torch.compiler.reset()
    for got, expected in zip(
        gradients(torch.compile(loss, fullgraph=True, backend="aot_eager")),
        gradients(loss),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


@OWN_WARNINGS
@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_export_with_a_dynamic_number_of_patterns(separation):
    class Memory(torch.nn.Module):
        def forward(self, state, stored):
            return (
                hopcore.association(state, stored, beta=0.5, separation=separation),
                hopcore.energy(state, stored, 0.5, separation=separation),
            )

    size = torch.export.Dim("patterns", min=2, max=100_000)
    program = torch.export.export(
        Memory(), (patterns(3, 4), patterns(10, 4)), dynamic_shapes=({}, {0: size})
    )
    state, stored = patterns(3, 4, seed=2), patterns(77, 4, seed=3)
    for got, expected in zip(program.module()(state, stored), Memory()(state, stored), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("mask", [None, torch.tensor([True, False, True]), torch.zeros(1, 3) > 0])
def test_rows_with_gaps_between_their_values(mask):
    # torch's kernel that reports a log-sum-exp takes the values of a row to lie side by side.
    state, stored, projection = (patterns(*shape).float().T for shape in ((4, 5), (4, 3), (4, 3)))
    found = hopcore.association(state, stored, projection, beta=0.7, mask=mask, return_lse=True)
    state, stored, projection = (x.contiguous() for x in (state, stored, projection))
    close = hopcore.association(state, stored, projection, beta=0.7, mask=mask, return_lse=True)
    torch.testing.assert_close(found, close, rtol=0, atol=0)
    weights = hopcore.association_weights(state, stored, 0.7, mask=mask)
    torch.testing.assert_close(found[0], weights @ projection)


def test_scores_are_precise_under_autocast():
    state, stored = patterns(3, 4).float(), patterns(10, 4, seed=1).float()

    def energy(query):
        return hopcore.energy(query[None], stored, 1.0)[0]

    wanted = hopcore.energy(state, stored, 1.0), hopcore.association_weights(state, stored, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = hopcore.energy(state, stored, 1.0), hopcore.association_weights(state, stored, 1.0)
        mapped = torch.func.vmap(energy)(state)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(mapped, wanted[0])


@pytest.mark.parametrize("separation", ["softmax", hopcore.Entmax(1.5)], ids=str)
def test_implicit_gradient_is_that_of_a_fixed_point(separation):
    stored = patterns(6, 4, seed=1).requires_grad_()
    beta = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    start = patterns(3, 4)

    def gradients(how):
        found = hopcore.retrieve(
            start, stored, beta, separation=separation, gradient=how, tol=1e-13, max_steps=2000
        )
        assert bool(found.converged.all())
        return torch.autograd.grad(found.state.sin().sum(), (stored, beta))

    for implicit, unrolled in zip(gradients("implicit"), gradients("unrolled"), strict=True):
        torch.testing.assert_close(implicit, unrolled, rtol=1e-7, atol=1e-9)


def test_gradient_flows_to_the_start_when_unrolled():
    stored, start = patterns(6, 4, seed=1), patterns(3, 4).requires_grad_()

    def two_updates(x):
        return hopcore.retrieve(x, stored, 0.5, max_steps=2, tol=0.0).state

    assert torch.autograd.gradcheck(two_updates, (start,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("separation", SEPARATIONS, ids=str)
@pytest.mark.parametrize("beta", [0.5, "per query"])
def test_half_precision_rounds_once(dtype, separation, beta):
    state, stored = patterns(20, 16, dtype=dtype), patterns(50, 16, seed=1, dtype=dtype)
    beta = torch.linspace(0.1, 1, 20).to(dtype) if beta == "per query" else beta
    got = hopcore.update(state, stored, beta, separation=separation)
    assert got.dtype == dtype
    expected, _ = oracle(state, stored, stored, beta, None, separation)
    eps = torch.finfo(dtype).eps
    # One rounding of the output; the fused kernel also rounds its weights.
    scale = float(stored.double().abs().max())
    assert np.abs(got.double().numpy() - expected).max() <= 2 * eps * scale
    energy = hopcore.energy(state, stored, beta, separation=separation)
    assert energy.dtype == torch.float32
    exact = hopcore.energy(
        state.double(),
        stored.double(),
        beta if isinstance(beta, float) else beta.double(),
        separation=separation,
    )
    torch.testing.assert_close(energy.double(), exact, rtol=1e-5, atol=1e-5)


def test_no_array_of_all_scores_in_memory():
    """Peak of a fresh process: 4096 x 16384 scores would be 256 MiB, their gradients more."""
    program = """
import torch, hopcore
def peak():
    lines = open('/proc/self/status').read().splitlines()
    return int(next(line for line in lines if line.startswith('VmHWM')).split()[1]) / 1024
state, stored = torch.randn(4096, 32).requires_grad_(), torch.randn(16384, 32).requires_grad_()
for sep in ("softmax", "sparsemax"):
    hopcore.energy(state[:64], stored[:64], 1.0, separation=sep).sum().backward()
    hopcore.association(state[:64], stored[:64], beta=1.0, separation=sep).sum().backward()
before = peak()
for sep in ("softmax", "sparsemax"):
    hopcore.energy(state, stored, 1.0, separation=sep).sum().backward()
    hopcore.association(state, stored, beta=1.0, separation=sep).sum().backward()
print(peak() - before)
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert float(run.stdout) < 160


def test_devices_and_conversion():
    backend = hopcore.backend("torch")
    with pytest.raises(ValueError, match="device"):
        backend.asarray([1.0], device="warp:0")
    with pytest.raises(ValueError, match="one device"):
        hopcore.energy(patterns(2, 3), patterns(4, 3).to("meta"), 1.0)
    halves = backend.asarray([1.5], dtype="bfloat16")
    assert backend.to_numpy(halves).dtype == np.float32
    meta = hopcore.association(patterns(2, 3).to("meta"), patterns(4, 3).to("meta"), beta=1.0)
    assert meta.shape == (2, 3)


def test_values_are_checked_in_eager_mode():
    bad = patterns(4, 3)
    bad[2, 1] = math.nan
    with pytest.raises(ValueError, match=r"stored must be finite, got nan at index \(2, 1\)"):
        hopcore.update(patterns(2, 3), bad, 1.0)
    with pytest.raises(ValueError, match="beta must be positive"):
        hopcore.update(
            patterns(2, 3), patterns(4, 3), torch.tensor([-1.0, 1.0], dtype=torch.float64)
        )


@pytest.mark.parametrize("separation", ["softmax", "sparsemax"])
def test_derivatives_by_the_state_and_beta_of_a_long_memory(separation: str) -> None:
    rng = np.random.default_rng(0)
    few = torch.tensor(rng.uniform(0.2, 1.0, (1, 2)))
    many = few.expand((1 << 18) + 1, 2)
    other = torch.zeros(1, 2, dtype=torch.float64)

    def derivatives(dtype: torch.dtype) -> list[torch.Tensor]:
        state = torch.tensor([[0.3, 0.4]], dtype=dtype, requires_grad=True)
        beta = torch.tensor(1e-7, dtype=dtype, requires_grad=True)
        stored = torch.cat([many, other]).to(dtype)
        found = hopcore.association(state, stored, beta=beta, separation=separation)
        return [x.double() for x in torch.autograd.grad(found.sum(), (state, beta))]

    for got, wanted in zip(derivatives(torch.float32), derivatives(torch.float64), strict=True):
        torch.testing.assert_close(got, wanted, rtol=2e-2, atol=0)


# Also those that the eager mode computes by other kernels.
KINKED = [
    "sparsemax at the end of its support",
    "energy with three longest patterns",
    "similarity of zero, orthogonal and equal patterns",
    "sigmoid at 0",
    "straight through equal weights",
    "divergence of equally near codes",
]


@OWN_WARNINGS
@pytest.mark.full
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch, by its own compiler
@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
@pytest.mark.parametrize("name", KINKED)
def test_compiled_kinks(name, compiler):
    function, arguments, _, slopes, probe, _ = KINKS[name]
    weights = torch.tensor(1.0 if probe is None else probe, dtype=torch.float64)

    def total(*given):
        return (function(*given) * weights).sum()

    given = [torch.tensor(x, requires_grad=True) for x in arguments]
    torch.compiler.reset()
    for run in (total, torch.compile(total, backend=compiler)):
        for got, wanted in zip(torch.autograd.grad(run(*given), given), slopes, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-14)
