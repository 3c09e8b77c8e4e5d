"""Two workers, of which the second is lost: ``python torch_lost.py RANK FILE killed|still``.

The first one prints the error that it gets, and after how many seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

import hopcore
from hopcore_torch.distributed import shard

TIMEOUT = 3.0


def main(rank: int, file: str, how: str) -> None:
    where: Any = {"init_method": f"file://{file}", "rank": rank, "world_size": 2}
    dist.init_process_group("gloo", timeout=timedelta(seconds=TIMEOUT), **where)
    mesh = dist.init_device_mesh("cpu", (2,))
    state, memory = torch.ones(3, 4), shard(torch.eye(4), mesh)
    hopcore.retrieve(state, memory, 1.0)
    if rank == 1:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.stdin.read()  # until the other one has ended
        os._exit(0)
    start = time.monotonic()
    try:
        while True:
            hopcore.retrieve(state, memory, 1.0)
    except RuntimeError as error:
        sys.stdout.write(f"{time.monotonic() - start:.1f} {error}")
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
