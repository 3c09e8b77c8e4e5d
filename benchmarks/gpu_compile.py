"""Compile the kernels in Triton for GPUs that are not there: registers, shared memory, spills.

``python -m benchmarks.gpu_compile FILE.json`` compiles for sm_80 and sm_90 and writes one row for
each kernel that has changed (:mod:`benchmarks.gpu_table`). No GPU is needed: Triton brings the
assembler of CUDA.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_table import (
    DTYPES,
    WARP,
    Row,
    Variant,
    chosen,
    digest,
    function_of,
    read,
    report,
    resources,
    some_variants,
    summary,
    write,
)
from hopcore.memory import FusedTiles

KERNELS_IN_TRITON = "hopcore_torch.kernels.triton"
"""The package whose private modules are compiled."""


def variants() -> list[Variant]:
    """All kernels, plain in every size, and with the other options in the smallest."""
    return list(some_variants("all", "ones"))


def tiles_of(variant: Variant) -> FusedTiles:
    """The tiles of a variant."""
    size = getattr(torch, variant.dtype).itemsize
    tiles = FusedTiles.of(size, variant.size, variant.size)
    return tiles.of_memories if variant.kernel == "by_memory" else tiles


def source_of(variant: Variant) -> str:
    """A number of the source of a variant, by which a row knows whether it is compiled again."""
    return digest(KERNELS_IN_TRITON, [function_of(variant)], *tiles_of(variant))


def arguments_of(variant: Variant) -> tuple[Any, list[Any]]:
    """The function of a variant, and the types of its arguments."""
    modules = import_module(f"{KERNELS_IN_TRITON}._modules")

    tiles, number = modules._tiles, "*" + DTYPES[variant.dtype]
    everything = variant.options == "all"

    def rows(kind: str) -> Any:
        return tiles.Rows(kind, "i32", "constexpr")

    arrays = [rows(number)] * 3
    arrays += [rows("*u8"), rows("*fp32"), rows("*fp32")] if everything else ["constexpr"] * 3
    counts = ["constexpr" if variant.options == "ones" else "i32"] * 4
    call = tiles.Call(*arrays, "fp32", "*i64", *counts, "fp32", "fp32", "constexpr")
    module, function = function_of(variant)
    kernel, given = getattr(getattr(modules, module), function), [call]
    if variant.kernel in ("forward", "lookup"):
        return kernel, [*given, tiles.Results(**results_of(variant, tiles))]
    backward, sums = modules._backward, "*fp32"
    absent = "constexpr"
    ends = [absent if variant.kind == "softmax" else "*i32"] * 2
    by_output = [absent, sums, absent] if variant.options == "entropy" else [number, sums, sums]
    wanted: dict[str, Any] = dict.fromkeys(backward.Wanted._fields, absent)
    if variant.kernel == "by_query":
        wanted |= {"state": number, **({"beta": sums} if everything else {})}
    elif variant.options == "entropy":
        wanted["bias"] = sums
    else:
        wanted |= {"stored": number, "projection": number}
        wanted |= {"bias": sums} if everything else {}
    group = ["i32"] if variant.kernel == "by_memory" else []
    saved = backward.Given(*by_output, sums, sums, *ends)
    return kernel, [*given, saved, backward.Wanted(**wanted), *group]


def results_of(variant: Variant, tiles: Any) -> dict[str, Any]:
    """The types of what a forward pass or a lookup stores."""
    number, sums, places = "*" + DTYPES[variant.dtype], "*fp32", "*i32"
    found: dict[str, Any] = dict.fromkeys(tiles.Results._fields, "constexpr")
    if variant.kernel == "lookup":
        return found | {"output": number, "top": sums, "index": "*i64"}
    found |= {"conjugate": sums, "top": sums, "root": sums}
    if variant.kind != "softmax":
        found |= {"first": places, "last": places}
    if variant.options == "entropy":
        return found | {"entropy": sums, "square": sums, "weight": sums}
    best = {"index": "*i64", "weight": sums} if variant.options == "all" else {}
    return found | {"output": number, "mean": sums} | best


ONES = "column", "queries", "patterns", "depth", "width", "aligned"


def multiples(types: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Where arguments are multiples of 16, as in arrays that are contiguous: Triton is told so."""
    names = getattr(types, "_fields", ())
    for index, kind in enumerate(types):
        if isinstance(kind, tuple):
            yield from multiples(kind, (*place, index))
        elif kind[0] == "*" or (
            names and names[index] in ("row", "depth", "width") and kind == "i32"
        ):
            yield (*place, index)


def fixed(types: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Where arguments are constants, and which: a stride or a count of 1, or None for absence."""
    for index, kind in enumerate(types):
        if isinstance(kind, tuple):
            yield from fixed(kind, (*place, index))
        elif kind == "constexpr":
            one = types._fields[index] in ONES
            yield (*place, index), 1 if one else None


def compiled(variant: Variant) -> Row:
    """A row of the table."""
    triton, compiler = import_module("triton"), import_module("triton.compiler")
    backends = import_module("triton.backends.compiler")

    function, types = arguments_of(variant)
    launch, tiles = import_module(f"{KERNELS_IN_TRITON}._launch"), tiles_of(variant)
    constants: dict[Any, Any] = dict(fixed(types))
    own = {
        "KIND": variant.kind,
        "CAUSAL": variant.options == "all",
        "BLOCK": tiles.block,
        "TILE": tiles.tile,
        "DEPTH": tiles.depth,
        "WIDTH": tiles.width,
    }
    signature = dict(zip(function.arg_names, types, strict=False)) | dict.fromkeys(own, "constexpr")
    attributes: Any = {place: [["tt.divisibility", 16]] for place in multiples(types)}
    source = compiler.ASTSource(function, signature, constants | own, attributes)
    target = backends.GPUTarget("cuda", variant.capability, WARP)
    kernel = triton.compile(source, target=target, options=launch.compiler_options(tiles))
    row = {**variant._asdict(), **tiles._asdict(), "source": source_of(variant)}
    return {**row, "shared": kernel.metadata.shared, **resources(kernel.asm["cubin"])}


def main() -> None:
    """Write the table; rows whose source has not changed are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the table, JSON")
    parser.add_argument(
        "--summary", action="store_true", help="print the table, and compile nothing"
    )
    parser.add_argument("--processes", type=int, default=2, help="default: 2")
    parser.add_argument("-k", default="", help="only variants that have all of these words")
    options = parser.parse_args()
    head = {"triton": version("triton")}
    rows = [row for row in read(options.file, head) if row["source"] == source_of(Variant.of(row))]
    if options.summary:
        print("\n".join(summary(rows)))
        print(report(rows, variants()))
        return
    done = set(map(Variant.of, rows))
    missing = [v for v in chosen(variants(), options.k) if v not in done]
    with ProcessPoolExecutor(options.processes) as pool:
        for row in pool.map(compiled, missing):
            rows.append(row)
            write(options.file, head, variants(), rows)
            print(*row.values(), flush=True)
    print(report(rows, variants()))


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("TRITON_INTERPRET=1 interprets kernels: unset it to compile them")
    main()
