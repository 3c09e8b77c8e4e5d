"""Lower the kernels in Pallas for CUDA, and compile them, for GPUs that are not there.

``python -m benchmarks.gpu_pallas FILE.json`` lets JAX lower each variant for CUDA, as a program
for a GPU contains it. On a GPU, XLA compiles this with its own Triton. Here the Triton package
compiles it for sm_80 and sm_90, and one row with registers, shared memory and spills is written for
each kernel that has changed (:mod:`benchmarks.gpu_table`): if its sources have changed it is
lowered again, and if what is lowered has changed it is compiled again. ``--lower`` only lowers
them, for which JAX is enough.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.gpu_table import (
    CAPABILITIES,
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
    sources_of,
    summary,
    write,
)
from hopcore.memory import FusedOrder

KERNELS_IN_PALLAS = "hopcore_jax.kernels.pallas"
"""The package whose private modules are lowered."""

ORDERS = {"softmax": 1.0, "half": 1.5, "one": 2.0, "any": 1.25}

MEMORIES, QUERIES, PATTERNS = 4, 1000, 1000
"""The sizes of the call, which are constants in the kernels of JAX."""


def variants() -> list[Variant]:
    """All kernels, plain in every size, and with other options in the smallest."""
    return list(some_variants("all"))


def source_of(variant: Variant) -> str:
    """A number of the source of a variant, with that of launches, which are lowered with it."""
    roots = [function_of(variant), ("_launch", "Launch"), ("_launch", "results_of")]
    beside = Path(str(import_module(KERNELS_IN_PALLAS).__file__)).parents[1]
    factors = sources_of(beside, (("_products", "before_product"),))
    return digest(KERNELS_IN_PALLAS, roots, factors)


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
    values = None if variant.options == "entropy" else patterns
    arrays = layout.Arrays(queries, patterns, values, empty(QUERIES))
    if everything:
        rows, numbers = (QUERIES, PATTERNS), empty(QUERIES, dtype=jnp.int32)
        mask, bias = jax.ShapeDtypeStruct(rows, bool), jax.ShapeDtypeStruct(rows[1:], jnp.float32)
        bias = bias.update(shape=(1, PATTERNS))
        arrays = arrays._replace(mask=mask, mask_of=numbers, bias=bias)
    plan = layout.Plan(FusedOrder(ORDERS[variant.kind]), QUERIES if everything else 0)
    results = launches.results_of(layout.sizes_of(plan, arrays), arrays, "saved")
    given = layout.Given(
        queries, results.conjugate, *(getattr(results, x) for x in layout.Given._fields[2:])
    )

    def call(arrays: Any, given: Any) -> Any:
        launch = launches.Launch(plan, arrays)
        if variant.kernel == "lookup":
            return launch.lookup()
        if variant.options == "entropy":
            return launch.statistics()
        if variant.kernel == "forward":
            return launch.forward("best" if everything else "saved")
        if variant.kernel == "by_query":
            return launch.by_query(given)
        return launch.by_memory(given, True, True, everything)

    with recording() as texts:
        jax.jit(call).trace(arrays, given).lower(lowering_platforms=("cuda",))
    # Statistics launch the forward pass and then what patterns receive.
    return texts[variant.kernel == "by_memory" and len(texts) > 1], layout.sizes_of(plan, arrays)


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


def compiled(variant: Variant, before: Row | None) -> Row:
    """A row of the table; the one before, if the lowered kernel is still the same."""
    triton, backends = import_module("triton"), import_module("triton.backends.compiler")
    text, sizes = lowered(variant)
    tiles = sizes.each.of_memories if variant.kernel == "by_memory" else sizes.each
    options = {"num_warps": tiles.warps, "num_stages": tiles.stages}
    text_and_options = f"{text}{options}".encode()
    row = {**variant._asdict(), **tiles._asdict(), "source": source_of(variant)}
    row["lowered"] = hashlib.sha256(text_and_options).hexdigest()[:16]
    if before is not None and before["lowered"] == row["lowered"]:
        return {**before, **row}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ttir"
        file.write_text(text)
        target = backends.GPUTarget("cuda", variant.capability, WARP)
        kernel = triton.compile(str(file), target=target, options=options)
    return {**row, "shared": kernel.metadata.shared, **resources(kernel.asm["cubin"])}


def main() -> None:
    """Write the table; rows whose source has not changed are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="the table, JSON")
    parser.add_argument("--lower", action="store_true", help="lower for CUDA, and compile nothing")
    parser.add_argument("--summary", action="store_true", help="print the table")
    parser.add_argument("-k", default="", help="only variants that have all of these words")
    options = parser.parse_args()
    wanted = chosen(variants(), options.k)
    if options.lower:
        for variant in wanted:
            if variant.capability == CAPABILITIES[0]:
                text, _ = lowered(variant)
                print(*variant, f"{len(text.splitlines())} lines", flush=True)
        return
    if options.file is None:
        parser.error("a file is needed, unless with --lower")
    head = {name: version(name) for name in ("jax", "triton")}
    rows = {Variant.of(row): row for row in read(options.file, head)}
    fresh = [v for v, row in rows.items() if row["source"] == source_of(v)]
    if options.summary:
        print("\n".join(summary([rows[v] for v in fresh])))
        print(report([rows[v] for v in fresh], variants()))
        return
    for variant in wanted:
        if variant not in fresh:
            rows[variant] = compiled(variant, rows.get(variant))
            write(options.file, head, variants(), list(rows.values()))
            print(*rows[variant].values(), flush=True)
    print(report(list(rows.values()), variants()))


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET", "0") == "1":
        sys.exit("TRITON_INTERPRET=1 interprets kernels: unset it to compile them")
    main()
