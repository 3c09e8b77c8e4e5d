r"""How long one update takes on n devices: a roofline for each of them, and their network.

Every device holds :math:`S / n` patterns. It reads them (``stream``), multiplies them with L states
twice (``flops``) and takes the softmax of :math:`L S / n` scores (``scores``); reading goes on
beside computing. Then the devices sum and compare :math:`L (v + 2)` numbers in two all-reduces,
however many patterns there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Device:
    """What one device does in a second, and how much it holds."""

    name: str
    flops: float
    """Floating-point operations of matrix products."""
    scores: float
    """Scores whose softmax it takes."""
    stream: float
    """Bytes that it reads from its memory."""
    memory: float = math.inf
    """Bytes that it holds."""


@dataclass(frozen=True)
class Network:
    """A message of m bytes takes ``latency + m / bandwidth`` seconds between two devices."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Work:
    """One update of L states by S patterns of d values."""

    S: float
    L: int
    d: int
    itemsize: int = 4
    """Bytes of a value of a pattern; states and results are exchanged in float32."""


def reading(work: Work, device: Device, n: int) -> float:
    """Seconds in which a device reads its part once."""
    return work.S / n * work.d * work.itemsize / device.stream


def computing(work: Work, device: Device, n: int) -> float:
    """Seconds of two products with the part, and of the softmax between them."""
    scores = work.L * work.S / n
    return 4 * scores * work.d / device.flops + scores / device.scores


def messages(work: Work) -> list[int]:
    """Bytes of each all-reduce: largest log-sum-exps, sums of weights and outputs."""
    return [4 * work.L, 4 * work.L * (work.d + 1)]


def all_reduce(size: float, network: Network, n: int) -> float:
    """Seconds until n devices have a sum of so many bytes: in a ring or a tree, the faster one."""
    ring = 2 * (n - 1) * (network.latency + size / n / network.bandwidth)
    tree = 2 * math.ceil(math.log2(n)) * (network.latency + size / network.bandwidth)
    return min(ring, tree)


def exchanging(work: Work, network: Network, n: int) -> float:
    """Seconds that the devices wait for each other's results."""
    return sum(all_reduce(size, network, n) for size in messages(work))


def update(work: Work, device: Device, network: Network, n: int) -> float:
    """Seconds of one update on n devices."""
    alone = max(reading(work, device, n), computing(work, device, n))
    return alone + exchanging(work, network, n)


def efficiency(work: Work, device: Device, network: Network, n: int) -> float:
    """The share of n devices' time that is not spent waiting for the network."""
    return 1.0 - exchanging(work, network, n) / update(work, device, network, n)


def fits(work: Work, device: Device, n: int) -> bool:
    """Whether a device holds its part; a tenth of its memory is left to everything else."""
    return work.S / n * work.d * work.itemsize <= 0.9 * device.memory


def compute_bound(work: Work, device: Device) -> float:
    """The number of states from which on computing takes longer than reading."""
    one = replace(work, L=1)
    return reading(one, device, 1) / computing(one, device, 1)


def network_bound(work: Work, device: Device, network: Network, most: int = 1 << 30) -> int:
    """The number of devices, a power of two, that first wait longer than they work."""
    n = 2
    while n < most and efficiency(work, device, network, n) > 0.5:
        n *= 2
    return n


H100 = {
    4: Device("H100 SXM, float32", 67e12, 3.9e12, 3.35e12, 80e9),
    2: Device("H100 SXM, bfloat16", 989e12, 3.9e12, 3.35e12, 80e9),
}
"""By the bytes of a value. NVIDIA's data sheet, without sparsity; exponentials: Shah et al. 2024
(FlashAttention-3). Published, not measured here."""

NVLINK = Network(10e-6, 450e9)
"""Between up to 8 devices; NVIDIA's bandwidth of one direction, the latency is an assumption."""

INFINIBAND = Network(10e-6, 50e9)
"""Between more of them, 400 Gbit/s for each device; the latency is an assumption."""


def between(n: int) -> Network:
    """The network of n GPUs, eight in a machine: the slowest link that a ring goes through."""
    return NVLINK if n <= 8 else INFINIBAND
