"""The committed table of compiled kernels is that of the present sources, and fits into GPUs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.gpu_compile import DTYPES, KERNELS, digest, variant_of, variants
from benchmarks.gpu_model import GPUS, KINDS, TRAINING, seconds, work_of
from hopcore_torch.kernels.triton._choice import SHARED

ROOT = Path(__file__).parents[2]
TABLE = json.loads((ROOT / "docs" / "benchmarks" / "triton-kernels.json").read_text("utf-8"))


def test_the_table_was_made_from_these_kernels() -> None:
    assert TABLE["sources"] == digest(), "nox -s kernels compiles them again"
    assert {variant_of(row) for row in TABLE["kernels"]} <= set(variants())


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


def test_the_table_of_pallas_was_made_from_these_kernels() -> None:
    pytest.importorskip("jax")
    from benchmarks import gpu_pallas

    table = json.loads((ROOT / "docs" / "benchmarks" / "pallas-kernels.json").read_text("utf-8"))
    assert table["sources"] == gpu_pallas.digest(), "nox -s kernels compiles them again"
    assert {variant_of(row) for row in table["kernels"]} <= set(gpu_pallas.variants())
    assert all(row["shared"] <= SHARED for row in table["kernels"])
