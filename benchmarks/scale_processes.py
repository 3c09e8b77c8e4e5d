"""Workers of torch.distributed on this machine: as many processes, with one thread each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

PATIENCE = 300
"""Seconds after which workers are given up."""


def in_processes(module: str, n: int, *arguments: str) -> list[dict[str, Any]]:
    """What each of n processes ``python -m module RANK n FOLDER ...`` found (:func:`gathered`)."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, "-m", module]
        running = [
            subprocess.Popen([*command, str(rank), str(n), folder, *arguments], env=environment)
            for rank in range(n)
        ]
        try:
            codes = [process.wait(PATIENCE) for process in running]
        finally:
            for process in running:
                process.kill()
        if any(codes):
            raise RuntimeError(f"{module}: the workers ended with {codes}")
        files = [Path(folder, f"{rank}.json") for rank in range(n)]
        return [json.loads(file.read_text()) for file in files]


def gathered(work: Callable[..., dict[str, Any]]) -> None:
    """Be one of the processes: join the others, do the work, write what it found."""
    import torch  # noqa: PLC0415 - what starts the processes needs none
    import torch.distributed as dist  # noqa: PLC0415

    torch.set_num_threads(1)
    rank, n, folder, *arguments = sys.argv[1:]
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=int(rank),
        world_size=int(n),
        timeout=timedelta(seconds=60),
    )
    found = work(int(rank), int(n), *arguments)
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()  # who leaves while others still talk to it makes them fail
    dist.destroy_process_group()
    os._exit(0)  # threads of the group may outlive the interpreter, which takes it badly
