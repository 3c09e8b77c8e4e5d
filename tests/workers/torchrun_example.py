"""Retrieve from patterns in a file, over all processes: each reads the rows that it holds.

torchrun --nproc-per-node 2 torchrun_example.py patterns.npy queries.npy found.npy
"""

import os
import sys
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist

import hopcore
from hopcore_torch.distributed import shard


def main(patterns: str, queries: str, output: str) -> None:
    mesh = dist.init_device_mesh("cpu", (dist.get_world_size(),))
    stored = shard(np.load(patterns, mmap_mode="r"), mesh)
    state = torch.from_numpy(np.load(queries))
    found = hopcore.retrieve(state, stored, 8.0)

    if dist.get_rank() == 0:
        np.save(output + ".part.npy", found.state.numpy())
        os.replace(output + ".part.npy", output)
        sys.stdout.write(f"{int(found.converged.sum())} of {len(state)} queries came to rest\n")


if __name__ == "__main__":
    # On GPUs: "nccl", a mesh of "cuda", and torch.cuda.set_device(int(os.environ["LOCAL_RANK"])).
    dist.init_process_group("gloo", timeout=timedelta(minutes=5))
    main(*sys.argv[1:])
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # a thread of gloo that outlived the interpreter would abort it
