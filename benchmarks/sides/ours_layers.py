"""hopcore's layers: torch's modules, and JAX's, compiled."""

from __future__ import annotations

from typing import Any

from benchmarks.cases import Case
from benchmarks.sides import Prepared, arrays
from benchmarks.sides.layer_parts import parameters, patterns, settings


def of_jax(case: Case, diffused: bool) -> Any:
    """JAX's module with the parameters of the case."""
    import hopcore  # noqa: PLC0415 - only where JAX runs
    import hopcore_jax  # noqa: PLC0415

    plain = hopcore.HopfieldSettings(**settings(case))
    if not diffused:
        return hopcore_jax.Hopfield.of(plain, parameters=parameters(case))
    config = hopcore.DiffusionConfig(eta=0.1, k_neighbors=case.k, steps=case.steps)
    plain = hopcore.HopfieldSettings(**settings(case), diffusion=config)
    return hopcore_jax.DiffusedHopfield.of(plain, parameters=parameters(case))


def module(case: Case, library: str, work: str, **options: bool) -> Prepared:
    """The layer of a case, prepared for ``work``, ``"forward"`` or ``"backward"``."""
    if library == "jax":
        import equinox as eqx  # noqa: PLC0415 - only where JAX runs

        from benchmarks.sides.by_hand_jax import compiled  # noqa: PLC0415

        layer = of_jax(case, options.get("diffused", False))
        if work == "forward":
            return compiled(lambda *x: layer(x), *patterns(case))
        gradient = eqx.filter_grad(lambda both: both[0](both[1]).sum())
        return compiled(lambda *x: gradient((layer, x))[1][0], *patterns(case))
    import hopcore_torch  # noqa: PLC0415 - only where torch runs
    from benchmarks.sides import torch_layers  # noqa: PLC0415

    kind = hopcore_torch.DiffusedHopfield if options else hopcore_torch.Hopfield
    return getattr(torch_layers, work)(kind(**settings(case, **options)), case)


def layer(case: Case, library: str) -> Prepared:
    return module(case, library, "forward")


def layer_backward(case: Case, library: str) -> Prepared:
    return module(case, library, "backward")


def quantizer(case: Case, library: str) -> Prepared:
    """Torch's vector quantiser with the patterns as its codes, on the hard path."""
    import torch  # noqa: PLC0415 - only where torch runs

    import hopcore_torch  # noqa: PLC0415

    state, stored = map(torch.from_numpy, arrays(case))
    layer = hopcore_torch.VectorQuantizer(input_size=case.d, quantity=case.S).eval()
    with torch.no_grad():
        layer.codebook.copy_(stored[None])

    def call() -> torch.Tensor:
        with torch.no_grad():
            return layer(state, hard=True).values

    return Prepared(call)


def diffused(case: Case, library: str) -> Prepared:
    return module(case, library, "forward", diffused=True)


def diffused_cached(case: Case, library: str) -> Prepared:
    return module(case, library, "forward", diffused=True, cached=True)


def diffused_backward(case: Case, library: str) -> Prepared:
    return module(case, library, "backward", diffused=True, cached=True)
