"""Train a Hopfield layer on the samples of one worker; rank 0 compares with a training on all.

torchrun --nproc-per-node 2 torch_replicas.py ddp|accelerate
"""

import os
import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import hopcore
from hopcore_torch import Hopfield
from hopcore_torch.monitor import AttentionMonitor

STEPS = 3


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    scaling = hopcore.LearnableTemperature(per_head=True)
    layer = Hopfield(4, num_heads=2, scaling=scaling, update_steps_max=2)
    return torch.nn.Sequential(layer, torch.nn.Flatten(), torch.nn.Linear(20, 1)).double()


def batches() -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, 8, 5, 4, generator=draw, dtype=torch.float64)


def train(trained: torch.nn.Module, rows: slice, backward=torch.Tensor.backward, wrap=None) -> None:
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    if wrap is not None:
        optimizer = wrap(optimizer)
    for batch in batches():
        optimizer.zero_grad()
        backward(trained(batch[rows]).square().mean())
        optimizer.step()


def main(kind: str) -> None:
    rank, count = dist.get_rank(), dist.get_world_size()
    rows = slice(rank * 8 // count, (rank + 1) * 8 // count)
    replica = model()
    with AttentionMonitor(replica) as monitor:
        if kind == "ddp":
            train(DistributedDataParallel(replica), rows)
        else:
            from accelerate import Accelerator

            accelerator = Accelerator(cpu=True)
            assert accelerator.num_processes == count
            train(accelerator.prepare(replica), rows, accelerator.backward, accelerator.prepare)
    assert len(monitor.records) == STEPS * 2  # a row for each step and head
    alone = model()
    train(alone, slice(None))
    start = dict(model().named_parameters())
    for (name, found), expected in zip(replica.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12, msg=name)
        assert not torch.equal(found, start[name]), name
    if rank == 0:
        sys.stdout.write("the same parameters\n")


if __name__ == "__main__":
    dist.init_process_group("gloo", timeout=timedelta(minutes=2))
    main(*sys.argv[1:])
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # a thread of gloo that outlived the interpreter would abort it
