"""What the model of :mod:`benchmarks.scale_model` takes as given, measured on this machine.

``python -m benchmarks.scale_rates`` prints it. One thread for each worker, as in the runs that the
model is held against; the best of several rounds, since whatever runs beside only adds time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.scale_processes import gathered, in_processes

TILE = (256, 64, 512)
"""L, d and patterns of the products and of the softmax: a tile that stays in the cache."""


def best(call: Callable[[], Any], rounds: int = 15, number: int = 1) -> float:
    """Seconds of the fastest of several rounds of a call."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(number):
            call()
        taken.append((time.perf_counter() - start) / number)
    return min(taken)


def device_rates() -> dict[str, float]:
    """Of one worker: products, softmax and reading, each by itself."""
    L, d, n = TILE
    state, part, large = torch.randn(L, d), torch.randn(n, d), torch.randn(1 << 26)
    scores = torch.randn(L, n)
    product = best(lambda: (scores @ part, state @ part.T), number=20)
    softmax = best(lambda: torch.softmax(scores, -1), number=20)
    read = best(large.sum, rounds=7)
    return {
        "flops": 4 * L * n * d / product,
        "scores": L * n / softmax,
        "stream": 4 * large.numel() / read,
    }


def all_reduce_seconds(numbers: int) -> float:
    """Of one all-reduce in float32, after the workers waited for each other."""
    value = torch.zeros(numbers)

    def round_() -> float:
        dist.barrier()
        return best(lambda: dist.all_reduce(value), rounds=1, number=10)

    return min(round_() for _ in range(15))


def worker(rank: int, n: int) -> dict[str, float]:
    """The rates of one of n workers, and what two of them find of the network."""
    if n == 1:
        return device_rates()
    small, large = (all_reduce_seconds(count) for count in (16, 1 << 20))
    # Two workers: two messages, of half of the bytes each.
    latency = small / 2
    return {"latency": latency, "bandwidth": (4 << 20) / (large - small)}


def rates() -> dict[str, float]:
    """All constants of the model."""
    (device,) = in_processes("benchmarks.scale_rates", 1)
    return device | in_processes("benchmarks.scale_rates", 2)[0]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        gathered(worker)
    else:
        print(json.dumps(rates(), indent=1))
