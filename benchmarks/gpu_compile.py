"""Compile the kernels in Triton for GPUs that are not there: registers, shared memory, spills.

``python -m benchmarks.gpu_compile FILE.json`` compiles for sm_80 and sm_90 and writes one row for
each kernel. No GPU is needed: Triton brings the assembler of CUDA.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

KERNELS_IN_TRITON = "hopcore_torch.kernels.triton"
"""The package whose private modules are compiled."""

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
KINDS = ("softmax", "half", "one", "any")
KERNELS = ("forward", "by_query", "by_memory")
CAPABILITIES = (80, 90)
SIZES = (64, 128, 256)
WARP = 32


class Variant(NamedTuple):
    """One kernel as it is compiled."""

    kernel: str
    kind: str
    dtype: str
    size: int
    """The numbers of coordinates of a pattern and of a projection."""
    capability: int
    options: str = "plain"
    """``plain``, or ``all``: causal, a mask, a bias, a beta of each query, the best pattern; or
    ``ones``: one query, one pattern and one coordinate, which Triton compiles as constants."""


def variants() -> Iterator[Variant]:
    """All kernels, plain in every size, and with the other options in the smallest."""
    for options, size in [("plain", size) for size in SIZES] + [("all", 64), ("ones", 64)]:
        for dtype in DTYPES:
            for kind in KINDS:
                for kernel in KERNELS:
                    for capability in CAPABILITIES:
                        yield Variant(kernel, kind, dtype, size, capability, options)
            if options == "plain":
                for capability in CAPABILITIES:
                    yield Variant("lookup", "softmax", dtype, size, capability)


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
    sums, places = "*fp32", "*i32"
    absent: dict[str, Any] = dict.fromkeys(tiles.Results._fields, "constexpr")
    ends = {} if variant.kind == "softmax" else {"first": places, "last": places}
    best = {"index": "*i64", "weight": sums} if everything else {}
    saved = {"mean": sums, "top": sums, "root": sums, **ends}
    if variant.kernel == "lookup":
        found = {"output": number, "top": sums, "index": "*i64"}
        return modules._lookup.hard_lookup, [call, tiles.Results(**{**absent, **found})]
    if variant.kernel == "forward":
        found = {"output": number, "conjugate": sums, **saved, **best}
        softmax = variant.kind == "softmax"
        kernel = modules._softmax.softmax_forward if softmax else modules._entmax.entmax_forward
        return kernel, [call, tiles.Results(**{**absent, **found})]
    module = modules._backward
    nothing: dict[str, Any] = dict.fromkeys(module.Wanted._fields, "constexpr")
    given = module.Given(
        number,
        sums,
        sums,
        sums,
        sums,
        ends.get("first", "constexpr"),
        ends.get("last", "constexpr"),
    )
    if variant.kernel == "by_query":
        wanted = {"state": number, **({"beta": sums} if everything else {})}
        return module.by_query, [call, given, module.Wanted(**{**nothing, **wanted})]
    wanted = {"stored": number, "projection": number}
    return module.by_memory, [call, given, module.Wanted(**{**nothing, **wanted}), "i32"]


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


def compiled(variant: Variant) -> dict[str, Any]:
    """A row of the table."""
    triton, compiler = import_module("triton"), import_module("triton.compiler")
    backends = import_module("triton.backends.compiler")

    function, types = arguments_of(variant)
    launch = import_module(f"{KERNELS_IN_TRITON}._launch")
    tiles = launch.tiles_of(getattr(torch, variant.dtype), variant.size, variant.size)
    tiles = tiles.of_memories if variant.kernel == "by_memory" else tiles
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
    kernel = triton.compile(source, target=target, options=tiles.options)
    row = {**variant._asdict(), **tiles._asdict(), "shared": kernel.metadata.shared}
    return {**row, **resources(kernel.asm["cubin"])}


def resources(binary: bytes) -> dict[str, int]:
    """Registers of a thread, and the bytes of its stack, to which registers are spilled."""
    program = (
        Path(str(import_module("triton").__file__)).parent
        / "backends"
        / "nvidia"
        / "bin"
        / "cuobjdump"
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        command = [program, "--dump-resource-usage", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {name: max(map(int, re.findall(rf"{name}:(\d+)", done.stdout))) for name in USAGE}
    return {USAGE[name]: number for name, number in found.items()}


USAGE = {"REG": "registers", "STACK": "spilled"}
"""What ``cuobjdump`` prints, and the names in the table."""


def digest() -> str:
    """A number of the sources of the kernels, by which a table knows whether it is theirs."""
    folder = Path(str(import_module(KERNELS_IN_TRITON).__file__)).parent
    names = "backward", "entmax", "launch", "lookup", "softmax", "tiles"
    sources = [(folder / f"_{name}.py").read_bytes() for name in names]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows in the order of the variants."""
    places = {variant: place for place, variant in enumerate(variants())}
    rows = sorted(rows, key=lambda row: places[variant_of(row)])
    head = {"triton": version("triton"), "sources": digest(), "variants": len(places)}
    lines = ",\n".join(json.dumps(row) for row in rows)
    text = json.dumps(head)[:-1] + f', "kernels": [\n{lines}\n]}}\n'
    file.write_text(text)


def summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The largest numbers of each kernel, dtype and size, as lines of a page."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["kernel"], row["dtype"], row["size"]), []).append(row)
    yield "| kernel | dtype | coordinates | variants | registers | shared [KiB] | spilled [B] |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for (kernel, dtype, size), found in groups.items():
        registers, shared, spilled = (
            max(row[name] for row in found) for name in ("registers", "shared", "spilled")
        )
        numbers = f"{len(found)} | {registers} | {shared / 1024:.0f} | {spilled}"
        yield f"| {kernel} | {dtype} | {size} | {numbers} |"


def variant_of(row: dict[str, Any]) -> Variant:
    """The variant of a row."""
    return Variant(*(row[name] for name in Variant._fields))


def main() -> None:
    """Write the table; rows of the same sources that it has already are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the table, JSON")
    parser.add_argument(
        "--summary", action="store_true", help="print the table, and compile nothing"
    )
    parser.add_argument("--processes", type=int, default=2, help="default: 2")
    parser.add_argument("-k", default="", help="only variants that have all of these words")
    options = parser.parse_args()
    if options.summary:
        print("\n".join(summary(json.loads(options.file.read_text())["kernels"])))
        return
    rows: list[dict[str, Any]] = []
    if options.file.exists():
        found = json.loads(options.file.read_text())
        rows = found["kernels"] if found["sources"] == digest() else []
    done = set(map(variant_of, rows))
    wanted = [v for v in variants() if set(options.k.split()) <= set(map(str, v))]
    with ProcessPoolExecutor(options.processes) as pool:
        for row in pool.map(compiled, [v for v in wanted if v not in done]):
            rows.append(row)
            write(options.file, rows)
            print(*row.values(), flush=True)
    count = sum(row["spilled"] > 0 for row in rows)
    print(f"{len(rows)} of {len(list(variants()))} kernels, {count} with spills")


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("TRITON_INTERPRET=1 interprets kernels: unset it to compile them")
    main()
