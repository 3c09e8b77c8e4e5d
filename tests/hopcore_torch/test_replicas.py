"""Two processes that train one layer learn what one process learns from all samples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch.distributed")
SCRIPT = Path(__file__).parents[1] / "workers" / "torch_replicas.py"


@pytest.mark.full
@pytest.mark.parametrize("kind", ["ddp", "accelerate"])
def test_replicas_learn_what_one_process_learns(kind: str) -> None:
    if kind == "accelerate":
        pytest.importorskip("accelerate", reason="Accelerate is not installed")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", str(SCRIPT), kind]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the same parameters" in done.stdout
