"""The committed tables of compiled kernels are those of the present sources, and fit into GPUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from benchmarks import gpu_table
from benchmarks.gpu_compile import source_of, variants
from benchmarks.gpu_model import GPUS, KINDS, TRAINING, seconds, work_of
from benchmarks.gpu_table import DTYPES, KERNELS, Variant
from hopcore_torch.kernels.triton._choice import SHARED

ROOT = Path(__file__).parents[2]
TABLE = json.loads((ROOT / "docs" / "benchmarks" / "triton-kernels.json").read_text("utf-8"))


def test_the_table_has_all_variants_of_these_kernels() -> None:
    must_be_present(TABLE, variants(), source_of)
    assert {Variant.of(row) for row in TABLE["kernels"]} == set(variants())


def must_be_present(table: Any, variants: list[Variant], source_of: Any) -> None:
    """Each row is a variant, and made of its present source."""
    found = [Variant.of(row) for row in table["kernels"]]
    assert set(found) <= set(variants)
    assert len(set(found)) == len(found)
    stale = [row for row in table["kernels"] if row["source"] != source_of(Variant.of(row))]
    assert not stale, "nox -s kernels compiles them again"


def test_kernels_fit_into_the_shared_memory_of_every_gpu() -> None:
    assert all(row["shared"] <= SHARED for row in TABLE["kernels"])


def test_every_kernel_was_compiled_for_both_architectures() -> None:
    found = {(row["kernel"], row["capability"]) for row in TABLE["kernels"]}
    assert found == {(kernel, cc) for kernel in (*KERNELS, "lookup") for cc in (80, 90)}
    assert {row["dtype"] for row in TABLE["kernels"]} == set(DTYPES)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_model_counts_products(kernel: str) -> None:
    p = TRAINING._replace(lead=1, queries=2, patterns=3, depth=5, width=7)
    work = work_of(kernel, "softmax", p, 0.1)
    tiles = {"forward": 5 + 7, "by_query": 5 + 7 + 5, "by_memory": 5 + 7 + 7 + 5}[kernel]
    assert work.products == 2 * 2 * 3 * tiles
    for kind in KINDS:
        time, unit = seconds(work_of(kernel, kind, TRAINING, 0.5), GPUS[0], 2)
        assert time > 0.0
        assert unit


def test_the_table_of_pallas_has_all_variants_of_these_kernels() -> None:
    pytest.importorskip("jax")
    from benchmarks import gpu_pallas

    table = json.loads((ROOT / "docs" / "benchmarks" / "pallas-kernels.json").read_text("utf-8"))
    must_be_present(table, gpu_pallas.variants(), gpu_pallas.source_of)
    assert {Variant.of(row) for row in table["kernels"]} == set(gpu_pallas.variants())
    assert all(row["shared"] <= SHARED for row in table["kernels"])


SOURCES = """
from package._other import helper
SIZE = 3
def kernel(x):
    "What it does."
    return helper(x) + SIZE
def other(x):
    return x
"""


def test_a_digest_changes_with_what_a_kernel_uses(tmp_path: Path) -> None:
    def after(old: str, new: str, name: str = "_one") -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        texts = {"_one": SOURCES, "_other": "def helper(x):\n    return 2 * x\n"}
        texts[name] = texts[name].replace(old, new)
        for module, text in texts.items():
            (folder / f"{module}.py").write_text(text)
        return gpu_table.digest_of(folder, [("_one", "kernel")], 64)

    plain = after("", "")
    assert after("What it does", "What it computes") == plain  # a docstring
    assert after("def other(x):\n    return x", "def other(x):\n    return -x") == plain
    assert after("SIZE = 3", "SIZE = 4") != plain
    assert after("2 * x", "3 * x", "_other") != plain
    assert after("+ SIZE", "- SIZE") != plain


def test_an_interrupted_run_keeps_its_rows(tmp_path: Path) -> None:
    file, head = tmp_path / "table.json", {"triton": "3.7.1"}
    rows = [{**v._asdict(), "spilled": 8} for v in reversed(variants()[:3])]
    gpu_table.write(file, head, variants(), rows)
    assert gpu_table.read(file, head) == rows[::-1]
    assert gpu_table.read(file, {"triton": "4.0"}) == []
    assert gpu_table.read(tmp_path / "none.json", head) == []
    assert gpu_table.report(rows, variants()) == f"3 of {len(variants())} kernels, 3 with spills"
