"""Lower the kernels in Pallas for CUDA, and compile them, for GPUs that are not there.

``python -m benchmarks.gpu_pallas FILE.json`` lets JAX lower each variant for CUDA, as a program
for a GPU contains it. On a GPU, XLA compiles this with its own Triton. Here the Triton package
compiles it for sm_80 and sm_90, and one row with registers, shared memory and spills is written for
each kernel. ``--lower`` only lowers them, for which JAX is enough.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.gpu_compile import (
    CAPABILITIES,
    DTYPES,
    KERNELS,
    KINDS,
    SIZES,
    WARP,
    Variant,
    resources,
    summary,
    variant_of,
)

KERNELS_IN_PALLAS = "hopcore_jax.kernels.pallas"
"""The package whose private modules are lowered."""

ORDERS = {"softmax": 1.0, "half": 1.5, "one": 2.0, "any": 1.25}

MEMORIES, QUERIES, PATTERNS = 4, 1000, 1000
"""The sizes of the call, which are constants in the kernels of JAX."""


def variants() -> Iterator[Variant]:
    """All kernels, plain in every size, and with mask, bias and causal rows in the smallest."""
    for options, size in [("plain", size) for size in SIZES] + [("all", 64)]:
        for dtype in DTYPES:
            for kind in KINDS:
                for kernel in KERNELS:
                    for capability in CAPABILITIES:
                        yield Variant(kernel, kind, dtype, size, capability, options)
            if options == "plain":
                for capability in CAPABILITIES:
                    yield Variant("lookup", "softmax", dtype, size, capability)


def lowered(variant: Variant) -> tuple[str, Any]:
    """Return the kernel of a variant in the language of Triton's compiler, and its sizes."""
    import jax  # noqa: PLC0415
    import jax.numpy as jnp  # noqa: PLC0415

    layout, launches = (
        import_module(f"{KERNELS_IN_PALLAS}.{name}") for name in ("_layout", "_launch")
    )
    everything, dtype = variant.options == "all", getattr(jnp, variant.dtype)

    def empty(*shape: int, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct((MEMORIES, *shape), dtype)

    queries, patterns = (empty(n, variant.size, dtype=dtype) for n in (QUERIES, PATTERNS))
    arrays = layout.Arrays(queries, patterns, patterns, empty(QUERIES))
    if everything:
        rows, numbers = (QUERIES, PATTERNS), empty(QUERIES, dtype=jnp.int32)
        mask, bias = jax.ShapeDtypeStruct(rows, bool), jax.ShapeDtypeStruct(rows[1:], jnp.float32)
        bias = bias.update(shape=(1, PATTERNS))
        arrays = arrays._replace(mask=mask, mask_of=numbers, bias=bias)
    plan = layout.Plan(ORDERS[variant.kind], QUERIES if everything else 0)
    results = launches.results_of(layout.sizes_of(plan, arrays), arrays, "saved")
    given = layout.Given(
        queries, results.conjugate, *(getattr(results, x) for x in layout.Given._fields[2:])
    )

    def call(arrays: Any, given: Any) -> Any:
        launch = launches.Launch(plan, arrays)
        if variant.kernel == "lookup":
            return launch.lookup()
        if variant.kernel == "forward":
            return launch.forward("best" if everything else "saved")
        if variant.kernel == "by_query":
            return launch.by_query(given)
        return launch.by_memory(given, True, True, everything)

    with recording() as texts:
        jax.jit(call).trace(arrays, given).lower(lowering_platforms=("cuda",))
    (text,) = texts
    return text, layout.sizes_of(plan, arrays)


class recording:
    """Within this block, keep the kernels that Pallas hands to Triton, as text.

    JAX itself keeps them in a binary form that only its own version of the compiler reads.
    """

    def __enter__(self) -> list[str]:
        self.module: Any = import_module("jax._src.pallas.triton.lowering")
        self.before = self.module.lower_jaxpr_to_triton_module
        texts: list[str] = []

        def recorded(*given: Any, **options: Any) -> Any:
            found = self.before(*given, **options)
            texts.append(found.module.operation.get_asm(enable_debug_info=False))
            return found

        self.module.lower_jaxpr_to_triton_module = recorded
        return texts

    def __exit__(self, *_: object) -> None:
        self.module.lower_jaxpr_to_triton_module = self.before


def compiled(variant: Variant) -> dict[str, Any]:
    """A row of the table."""
    triton, backends = import_module("triton"), import_module("triton.backends.compiler")
    text, sizes = lowered(variant)
    launches = import_module(f"{KERNELS_IN_PALLAS}._launch")
    warps = launches.BY_MEMORY_WARPS if variant.kernel == "by_memory" else sizes.warps
    options = {"num_warps": warps, "num_stages": sizes.stages}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ttir"
        file.write_text(text)
        target = backends.GPUTarget("cuda", variant.capability, WARP)
        kernel = triton.compile(str(file), target=target, options=options)
    tiles = {"block": sizes.block, "tile": sizes.tile, "warps": warps, "stages": sizes.stages}
    row = {**variant._asdict(), **tiles, "shared": kernel.metadata.shared}
    return {**row, **resources(kernel.asm["cubin"])}


def digest() -> str:
    """A number of the sources of the kernels, by which a table knows whether it is theirs."""
    folder = Path(str(import_module(KERNELS_IN_PALLAS).__file__)).parent
    names = "backward", "entmax", "launch", "layout", "lookup", "softmax", "tiles"
    sources = [(folder / f"_{name}.py").read_bytes() for name in names]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows in the order of the variants."""
    places = {variant: place for place, variant in enumerate(variants())}
    rows = sorted(rows, key=lambda row: places[variant_of(row)])
    versions = {name: version(name) for name in ("jax", "triton")}
    head = {**versions, "sources": digest(), "variants": len(places)}
    lines = ",\n".join(json.dumps(row) for row in rows)
    file.write_text(json.dumps(head)[:-1] + f', "kernels": [\n{lines}\n]}}\n')


def main() -> None:
    """Write the table; rows of the same sources that it has already are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="the table, JSON")
    parser.add_argument("--lower", action="store_true", help="lower for CUDA, and compile nothing")
    parser.add_argument("--summary", action="store_true", help="print the table")
    parser.add_argument("-k", default="", help="only variants that have all of these words")
    options = parser.parse_args()
    wanted = [v for v in variants() if set(options.k.split()) <= set(map(str, v))]
    if options.lower:
        for variant in wanted:
            if variant.capability == CAPABILITIES[0]:
                text, _ = lowered(variant)
                print(*variant, f"{len(text.splitlines())} lines", flush=True)
        return
    if options.file is None:
        parser.error("a file is needed, unless with --lower")
    if options.summary:
        print("\n".join(summary(json.loads(options.file.read_text())["kernels"])))
        return
    rows: list[dict[str, Any]] = []
    if options.file.exists():
        found = json.loads(options.file.read_text())
        rows = found["kernels"] if found["sources"] == digest() else []
    done = set(map(variant_of, rows))
    for variant in wanted:
        if variant not in done:
            rows.append(compiled(variant))
            write(options.file, rows)
            print(*rows[-1].values(), flush=True)
    count = sum(row["spilled"] > 0 for row in rows)
    print(f"{len(rows)} of {len(list(variants()))} kernels, {count} with spills")


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("TRITON_INTERPRET=1 interprets kernels: unset it to compile them")
    main()
