"""Nothing imports Triton unless its kernels are used."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import torch, hopcore, hopcore_torch
import hopcore_torch.kernels.triton
state = torch.zeros(2, 3, requires_grad=True)
for separation in ("softmax", "entmax15"):
    hopcore.energy(state, torch.ones(4, 3), 1.0, separation=separation).sum().backward()
    hopcore.association(state, torch.ones(4, 3), beta=1.0, separation=separation).sum().backward()
hopcore.retrieve(state.detach(), torch.ones(4, 3), 1.0)
hopcore_torch.Hopfield(3)(torch.ones(1, 4, 3))
print(sorted(name for name in sys.modules if name.split(".")[0] == "triton"))
"""


def test_calls_on_the_cpu_do_not_import_triton() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
