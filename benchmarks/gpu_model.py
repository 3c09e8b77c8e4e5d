"""A model of how long the kernels in Triton take on a GPU: nothing here is measured on one.

``python -m benchmarks.gpu_model`` prints the tables of docs/design/gpu-kernels.md: operations and
bytes of each kernel, and the time that the slowest unit of a GPU needs for them at its peak rate (a
roofline). ``--passes`` counts in Triton's interpreter how often an entmax reads the patterns.
"""

from __future__ import annotations

import argparse
import math
import os
from importlib import import_module
from typing import NamedTuple

from hopcore.memory import FusedOrder, FusedTiles


class Gpu(NamedTuple):
    """Peak rates from the data sheets of NVIDIA, without sparsity."""

    name: str
    half: float
    """Products and sums of bfloat16 and float16 on tensor cores, per second."""
    tf32: float
    """The same with parts of 11 bits."""
    vector: float
    """Operations of float32 outside of tensor cores, per second."""
    special: float
    """Exponentials and logarithms, per second: 16 for each multiprocessor and cycle."""
    memory: float
    """Bytes per second between the chip and its memory."""
    processors: int
    """Multiprocessors, each of which runs at least one program."""


GPUS = (
    Gpu("A100 SXM", 312e12, 156e12, 19.5e12, 108 * 16 * 1.41e9, 2.04e12, 108),
    Gpu("H100 SXM", 989e12, 495e12, 67e12, 132 * 16 * 1.83e9, 3.35e12, 132),
    Gpu("H200 SXM", 989e12, 495e12, 67e12, 132 * 16 * 1.83e9, 4.8e12, 132),
)


class Problem(NamedTuple):
    """An association: leading indices, queries, patterns, coordinates of both kinds of rows."""

    lead: int
    queries: int
    patterns: int
    depth: int
    width: int
    size: int
    """Bytes of a number: 4, or 2 in half precision."""


class Work(NamedTuple):
    """What a kernel does."""

    products: float
    """Multiplications and additions in products of tiles."""
    vector: float
    """Other operations on scores."""
    special: float
    """Exponentials and logarithms."""
    programs: int
    """Programs of a launch; if they are fewer than the multiprocessors, the others are idle."""
    bytes: float
    """Bytes that have to be read and written at least: every array once."""


KINDS = ("softmax", "half", "one", "any")
PASSES = {"half": 7, "one": 8, "any": 7}
"""How often the patterns are read: what ``--passes`` counts, of three betas the middle one."""

SPECIAL = {"softmax": 1, "half": 0, "one": 0, "any": 2}
"""Exponentials and logarithms of a score in one pass."""

BLOCK = 64
"""Queries, or patterns, of a program."""

VECTOR = 8
"""Other operations of a score in one pass: masks, the largest score, differences, powers, sums."""


def work_of(kernel: str, kind: str, problem: Problem, support: float) -> Work:
    """Count the operations and bytes of a kernel.

    ``support`` is the share of tiles in which a query has support; the others are skipped.
    """
    p = problem
    scores = float(p.lead * p.queries * p.patterns)
    states, memories = p.lead * p.queries * p.depth, p.lead * p.patterns * (p.depth + p.width)
    outputs, numbers = p.lead * p.queries * p.width, p.lead * p.queries
    share = 1.0 if kind == "softmax" else support
    passes = 1 if kind == "softmax" or kernel != "forward" else PASSES[kind]
    if kernel == "forward":
        # With the mean by slopes that a derivative needs; the softmax has it already.
        products = passes * p.depth + share * p.width * (1 if kind == "softmax" else 2)
        moved = (states + memories + outputs) * p.size + 4 * (outputs + 3 * numbers)
    elif kernel == "by_query":
        products = p.depth + share * (p.width + p.depth)
        moved = (2 * states + memories + outputs) * p.size + 4 * (outputs + 3 * numbers)
    else:
        products = p.depth + share * (2 * p.width + p.depth)
        moved = (states + 2 * memories + outputs) * p.size + 4 * (outputs + 3 * numbers)
    rows = p.patterns if kernel == "by_memory" else p.queries
    return Work(
        2.0 * scores * products,
        scores * VECTOR * passes,
        scores * SPECIAL[kind] * passes,
        p.lead * -(-rows // BLOCK),
        float(moved),
    )


def seconds(work: Work, gpu: Gpu, size: int) -> tuple[float, str]:
    """The time of the slowest unit, and which unit that is."""
    rate = gpu.half if size == 2 else gpu.tf32 / 3.0  # three products of parts for one
    busy = min(1.0, work.programs / gpu.processors)
    times = {
        "tensor cores": work.products / rate / busy,
        "vector units": work.vector / gpu.vector / busy,
        "exponentials": work.special / gpu.special / busy,
        "memory": work.bytes / gpu.memory,
    }
    name = max(times, key=times.__getitem__)
    return times[name], name


TRAINING = Problem(32, 4096, 4096, 64, 64, 2)
"""Two samples with 16 heads, as a layer associates them."""

RETRIEVAL = Problem(1, 1024, 262_144, 64, 64, 2)
"""Queries of one long memory."""

KERNELS = ("forward", "by_query", "by_memory")


def table(name: str, problem: Problem, support: float) -> None:
    """Print the work and the expected times of all kernels."""
    p = problem
    dtype = "half precision" if p.size == 2 else "float32"
    print(
        f"{name}: {p.lead} x {p.queries} queries, {p.patterns} patterns of {p.depth} values, "
        f"{dtype}, support in {support:.0%} of the tiles\n"
    )
    heads = " | ".join(f"{gpu.name} [ms]" for gpu in GPUS)
    print(f"| kernel | GFLOP | MB | {heads} | limited by |")
    print("|---|---:|---:|" + "---:|" * len(GPUS) + "---|")
    for kernel in KERNELS:
        for kind in KINDS:
            work = work_of(kernel, kind, p, support)
            found = [seconds(work, gpu, p.size) for gpu in GPUS]
            times = " | ".join(f"{1e3 * time:.2f}" for time, _ in found)
            units = ", ".join(dict.fromkeys(unit for _, unit in found))
            label = f"{kernel}, {kind}"
            idle = work.programs < GPUS[0].processors
            units += f" ({work.programs} programs)" if idle else ""
            print(
                f"| {label} | {work.products / 1e9:.0f} | {work.bytes / 1e6:.0f} "
                f"| {times} | {units} |"
            )
    print()


def count_passes() -> None:
    """Print how often 64 queries of normal numbers read 1024 patterns, in tiles of 64."""
    os.environ["TRITON_INTERPRET"] = "1"
    import torch  # noqa: PLC0415

    from hopcore_torch.kernels.triton import using_kernels  # noqa: PLC0415

    module = import_module("hopcore_torch.kernels.triton._launch")

    print("| alpha | beta | largest weight | passes |\n|---:|---:|---:|---:|")
    generator = torch.Generator().manual_seed(0)
    state, stored = (torch.randn(n, 64, generator=generator) for n in (64, 1024))
    with using_kernels("triton-interpret"):
        for alpha in (1.25, 1.5, 2.0):
            for beta in (1 / 64, 1 / 8, 1.0):
                order = FusedOrder(alpha)
                memory = module.Memory(state, stored, stored, beta, None, None, order)
                launch = module.Launch(memory)
                launch.tiles = FusedTiles.of(2, 64, 64)
                results = launch.forward(output=False, best=True, passes=True)
                weight = float(results.weight.median())
                print(f"| {alpha:g} | {beta:.3g} | {weight:.2g} | {int(results.passes.max())} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", action="store_true", help="count the passes of an entmax")
    if parser.parse_args().passes:
        count_passes()
        return
    table("Training", TRAINING, 0.5)
    table("Training in float32", TRAINING._replace(size=4), 0.5)
    table("Retrieval", RETRIEVAL, math.ldexp(1.0, -6))


if __name__ == "__main__":
    main()
