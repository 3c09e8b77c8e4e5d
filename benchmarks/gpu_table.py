"""Tables of compiled kernels: one row for each variant, compiled again only if it has changed.

A row has a digest of the source of its kernel: of the functions and constants that it uses,
directly or by others, without docstrings and comments, and of the sizes of its tiles. So a run that
was interrupted goes on where it stopped, and a change compiles only what it concerns.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from hopcore.memory import FusedOrder

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
KINDS = ("softmax", "half", "one", "any")
KERNELS = ("forward", "by_query", "by_memory")
CAPABILITIES = (80, 90)
SIZES = (64, 128, 256)
WARP = 32

Row = dict[str, Any]


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
    ``ones``: one query, one pattern and one coordinate, which Triton compiles as constants; or
    ``entropy``: statistics of the weights without an output, and what patterns receive."""

    @classmethod
    def of(cls, row: Row) -> Variant:
        """The variant of a row."""
        return cls(*(row[name] for name in cls._fields))


def some_variants(*others: str) -> Iterator[Variant]:
    """All kernels, plain in every size, and with other options in the smallest."""
    for options, size in [("plain", size) for size in SIZES] + [(name, 64) for name in others]:
        for dtype in DTYPES:
            for kind in KINDS:
                for kernel in KERNELS:
                    for capability in CAPABILITIES:
                        yield Variant(kernel, kind, dtype, size, capability, options)
            if options == "plain":
                for capability in CAPABILITIES:
                    yield Variant("lookup", "softmax", dtype, size, capability)
    # Half precision is widened for statistics, and their derivative by queries is another one.
    for kind in KINDS:
        for kernel in ("forward", "by_memory"):
            for capability in CAPABILITIES:
                yield Variant(kernel, kind, "float32", 64, capability, "entropy")


KERNEL_OF = {
    "by_query": ("_backward", "by_query"),
    "by_memory": ("_backward", "by_memory"),
    "lookup": ("_lookup", "hard_lookup"),
}
"""The module and the function of a kernel whose weights have any formula."""


def function_of(variant: Variant) -> tuple[str, str]:
    """The module and the function of a variant."""
    if variant.kernel != "forward":
        return KERNEL_OF[variant.kernel]
    family = "softmax" if variant.kind == "softmax" else "entmax"
    return f"_{family}", f"{family}_forward"


def digest(package: str, roots: Iterable[tuple[str, str]], *others: Any) -> str:
    """A number of the sources that some functions of a package use, and of other values."""
    return digest_of(Path(str(import_module(package).__file__)).parent, roots, *others)


def digest_of(folder: Path, roots: Iterable[tuple[str, str]], *others: Any) -> str:
    """:func:`digest` of a folder."""
    texts = [*map(repr, others), *sources_of(folder, tuple(roots))]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


@cache
def sources_of(folder: Path, roots: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The definitions that some functions use, directly or by others, in the order of names."""
    modules = {path.stem: definitions(path) for path in sorted(folder.glob("_*.py"))}
    found: dict[tuple[str, str], str] = {}
    waiting = list(roots)
    while waiting:
        module, name = waiting.pop()
        defined, imported = modules.get(module, ({}, {}))
        if (module, name) in found:
            continue
        if name == FusedOrder.__name__:  # whose constants are in the kernels
            found[module, name] = repr((FusedOrder.CLOSE, FusedOrder.PASSES))
        elif name in defined:
            found[module, name] = ast.unparse(defined[name])
            names = {x.id for x in ast.walk(defined[name]) if isinstance(x, ast.Name)}
            waiting.extend((module, x) for x in names)
        elif name in imported:
            waiting.append(imported[name])
    return tuple(text for _, text in sorted(found.items()))


def definitions(path: Path) -> tuple[dict[str, ast.stmt], dict[str, tuple[str, str]]]:
    """What a module defines, without docstrings, and what it imports from which neighbour."""
    defined: dict[str, ast.stmt] = {}
    imported: dict[str, tuple[str, str]] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined[node.name] = without_docstrings(node)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {x.id: node for x in targets if isinstance(x, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module).rpartition(".")[2]
            imported |= {x.asname or x.name: (module, x.name) for x in node.names}
    return defined, imported


def without_docstrings(node: Any) -> Any:
    """A definition without strings that are statements."""
    for part in ast.walk(node):
        body = getattr(part, "body", None)
        if isinstance(body, list):
            kept = [
                x
                for x in body
                if not (isinstance(x, ast.Expr) and isinstance(x.value, ast.Constant))
            ]
            part.body = kept or [ast.Pass()]  # pyright: ignore[reportAttributeAccessIssue]
    return node


def resources(binary: bytes) -> dict[str, int]:
    """Registers of a thread, and the bytes of its stack, to which registers are spilled."""
    folder = Path(str(import_module("triton").__file__)).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        command = [folder / "cuobjdump", "--dump-resource-usage", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {name: max(map(int, re.findall(rf"{name}:(\d+)", done.stdout))) for name in USAGE}
    return {USAGE[name]: number for name, number in found.items()}


USAGE = {"REG": "registers", "STACK": "spilled"}
"""What ``cuobjdump`` prints, and the names in the table."""


def read(file: Path, head: dict[str, str]) -> list[Row]:
    """The rows of a table; none if other compilers made it."""
    if not file.exists():
        return []
    found = json.loads(file.read_text("utf-8"))
    return found["kernels"] if all(found.get(name) == head[name] for name in head) else []


def write(file: Path, head: dict[str, str], variants: list[Variant], rows: list[Row]) -> None:
    """Write the rows in the order of the variants, so that a reader never sees half of them."""
    places = {variant: place for place, variant in enumerate(variants)}
    rows = sorted(rows, key=lambda row: places[Variant.of(row)])
    start = json.dumps({**head, "variants": len(places)})[:-1]
    lines = ",\n".join(json.dumps(row) for row in rows)
    part = file.with_suffix(".part")
    part.write_text(f'{start}, "kernels": [\n{lines}\n]}}\n', "utf-8")
    part.replace(file)


def chosen(variants: Iterable[Variant], words: str) -> list[Variant]:
    """The variants that have all of these words."""
    return [v for v in variants if set(words.split()) <= set(map(str, v))]


def summary(rows: list[Row]) -> Iterator[str]:
    """The largest numbers of each kernel, dtype and size, as lines of a page."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
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


def report(rows: list[Row], variants: list[Variant]) -> str:
    """How many kernels there are, and how many have spills."""
    count = sum(row["spilled"] > 0 for row in rows)
    return f"{len(rows)} of {len(variants)} kernels, {count} with spills"
