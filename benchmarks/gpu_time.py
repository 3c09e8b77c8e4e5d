"""Time the kernels in Triton on a GPU beside the portable kernels and torch's own.

``python -m benchmarks.gpu_time FILE.json`` needs a CUDA device, torch for CUDA and Triton, and
installs nothing. It writes the median and the range of the times, and the largest difference from
the portable kernel, with the names and versions of everything that the times depend on.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import hopcore
from hopcore_torch.kernels.triton import refusal, using_kernels

SHAPES = {
    "training": (32, 4096, 4096, 64),
    "retrieval": (1, 1024, 262_144, 64),
    "wide": (8, 2048, 2048, 128),
}
SEPARATIONS = {
    "softmax": hopcore.Softmax(),
    "entmax15": hopcore.Entmax(1.5),
    "sparsemax": hopcore.Entmax(2.0),
    "entmax 1.25": hopcore.Entmax(1.25),
}
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
ROUNDS = 20


def times(function: Callable[[], Any]) -> list[float]:
    """Milliseconds of calls, by events of the GPU, after three calls that are not counted."""
    found = []
    for count in range(ROUNDS + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        if count >= 3:
            found.append(start.elapsed_time(end))
    return found


def rows() -> Iterator[dict[str, Any]]:
    """One row for each shape, dtype, separation function and implementation."""
    for shape, (lead, queries, patterns, depth) in SHAPES.items():
        for dtype, kind in DTYPES.items():
            torch.manual_seed(0)
            sizes = (lead, queries, depth), (lead, patterns, depth), (lead, patterns, depth)
            arrays = [torch.randn(size, device="cuda").to(kind) for size in sizes]
            for separation, function in SEPARATIONS.items():
                for name in ("triton", "portable", "torch"):
                    if name == "torch" and separation != "softmax":
                        continue
                    row = {"shape": shape, "dtype": dtype, "separation": separation}
                    yield {**row, "kernels": name, **timed(name, arrays, function)}


def timed(name: str, arrays: list[torch.Tensor], separation: Any) -> dict[str, Any]:
    """Times of an association alone, and of one with its derivative."""
    beta = arrays[0].shape[-1] ** -0.5
    backend: Any = hopcore.backend("torch")
    found: dict[str, Any] = {}

    def associate(given: list[torch.Tensor]) -> torch.Tensor:
        if name == "torch":
            return F.scaled_dot_product_attention(given[0], given[1], given[2], scale=beta)
        return backend.associate(*given, beta, None, separation, True)[0]

    def differentiate() -> None:
        leaves = [x.detach().requires_grad_() for x in arrays]
        associate(leaves).sum().backward()

    with using_kernels("auto" if name == "triton" else "portable"):
        state, stored, projection = arrays
        reason = refusal(state, stored, projection, beta, None, separation)
        if name == "triton" and reason:
            return {"refused": reason}
        try:
            for label, call in (
                ("forward", lambda: associate(arrays)),
                ("with derivative", differentiate),
            ):
                measured = times(call)
                found[f"{label} [ms]"] = round(statistics.median(measured), 4)
                found[f"{label} range [ms]"] = [round(f(measured), 4) for f in (min, max)]
            if name == "triton":
                ours = associate(arrays).float()
                with using_kernels("portable"):
                    found["difference"] = float((ours - associate(arrays).float()).abs().max())
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            found["refused"] = "out of memory"
    return found


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no GPU: torch of the python at hand sees no CUDA device")
    machine = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": importlib.metadata.version("triton"),
        "rounds": ROUNDS,
    }
    found = []
    for row in rows():
        found.append(row)
        print(*row.values(), flush=True)
    options.file.write_text(json.dumps({"machine": machine, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
