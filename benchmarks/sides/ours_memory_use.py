"""Calls of which the memory is measured: dropout, biases, transforms and compiled graphs."""

from __future__ import annotations

from typing import Any

import hopcore
from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays


def layer_of(case: Case, **options: Any) -> tuple[Any, Any]:
    """A layer of torch with one head, and its patterns."""
    import torch  # noqa: PLC0415 - only where torch runs

    import hopcore_torch  # noqa: PLC0415

    torch.manual_seed(0)
    layer = hopcore_torch.Hopfield(input_size=case.d, num_heads=1, **options)
    state, stored = (torch.from_numpy(x)[None] for x in arrays(case))
    return layer, (stored, state, stored)


def with_gradient(layer: Any, *given: Any) -> Prepared:
    """A layer and its derivatives by all parameters."""
    import torch  # noqa: PLC0415

    return Prepared(lambda: torch.autograd.grad(layer(*given).sum(), list(layer.parameters()))[0])


def dropout(case: Case, library: str) -> Prepared:
    """Dropout of the weights in training, in torch or in JAX."""
    if library == "torch":
        return with_gradient(*layer_of(case, dropout=0.1))
    import jax  # noqa: PLC0415

    import hopcore_jax  # noqa: PLC0415
    from benchmarks.sides.by_hand_jax import compiled  # noqa: PLC0415

    layer = hopcore_jax.Hopfield(input_size=case.d, num_heads=1, dropout=0.1, key=jax.random.key(0))
    state, stored = (x[None] for x in arrays(case))
    return compiled(
        lambda state, stored: layer((stored, state, stored), key=jax.random.key(1)), state, stored
    )


def eager_dropout(case: Case, library: str) -> Prepared:
    """Dropout of the weights in JAX where nothing is compiled, with the gradient by the states."""
    import jax  # noqa: PLC0415

    import hopcore_jax  # noqa: PLC0415

    layer = hopcore_jax.Hopfield(input_size=case.d, num_heads=1, dropout=0.1, key=jax.random.key(0))
    state, stored = (jax.numpy.asarray(x)[None] for x in arrays(case))
    slope = jax.grad(lambda state: layer((stored, state, stored), key=jax.random.key(1)).sum())
    return Prepared(lambda: slope(state).block_until_ready())


def bias_row(case: Case, library: str) -> Prepared:
    """Numbers of a padding mask, one for each stored pattern, with the gradient."""
    import torch  # noqa: PLC0415

    layer, patterns = layer_of(case)
    return with_gradient(layer, patterns, torch.linspace(-1.0, 0.0, case.S)[None])


def bias(case: Case, library: str) -> Prepared:
    """Numbers of an association mask, which is an (L, S) array itself, with the gradient."""
    import torch  # noqa: PLC0415

    layer, patterns = layer_of(case)
    mask = torch.linspace(-1.0, 0.0, case.L * case.S).reshape(case.L, case.S)
    return with_gradient(layer, patterns, None, mask)


def func_grad(case: Case, library: str) -> Prepared:
    """The gradient of an energy by torch.func."""
    import torch  # noqa: PLC0415

    state, stored = map(torch.from_numpy, arrays(case))
    slope = torch.func.grad(lambda x: hopcore.energy(x, stored, case.beta).sum())
    return Prepared(lambda: slope(state))


def compiled_energy(case: Case, library: str) -> Prepared:
    """An energy in a graph of torch's compiler."""
    import torch  # noqa: PLC0415

    state, stored = map(torch.from_numpy, arrays(case))
    call = torch.compile(lambda x, y: hopcore.energy(x, y, case.beta))
    return Prepared(lambda: call(state, stored))


def compiled_sparsemax(case: Case, library: str) -> Prepared:
    """An association by sparsemax in a graph of torch's compiler."""
    import torch  # noqa: PLC0415

    state, stored = map(torch.from_numpy, arrays(case))
    call = torch.compile(
        lambda x, y: hopcore.association(x, y, beta=case.beta, separation="sparsemax")
    )
    return Prepared(lambda: call(state, stored))


def causal_energy(case: Case, library: str) -> Prepared:
    """A causal energy, which has no mask of all pairs."""
    state, stored = map(hopcore.backend(library).asarray, arrays(case))
    return Prepared(lambda: hopcore.energy(state, stored, case.beta, mask="causal"))


def causal_association(case: Case, library: str) -> Prepared:
    """A causal association, which has no mask of all pairs."""
    state, stored = map(hopcore.backend(library).asarray, arrays(case))
    return Prepared(lambda: hopcore.association(state, stored, beta=case.beta, mask="causal"))
