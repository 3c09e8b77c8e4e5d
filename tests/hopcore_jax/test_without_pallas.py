"""Nothing imports Pallas unless its kernels are used."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import jax, jax.numpy as jnp, hopcore, hopcore_jax
import hopcore_jax.kernels.pallas
before = "jax.experimental.pallas.triton" in sys.modules
with hopcore_jax.kernels.pallas.using_kernels("auto"):  # no GPU is here
    hopcore.association(jnp.ones((2, 3)), jnp.ones((4, 3)), beta=1.0, separation="entmax15")
    hopcore.energy(jnp.ones((2, 3)), jnp.ones((4, 3)), 1.0)
print(before, "jax.experimental.pallas.triton" in sys.modules)
"""


def test_calls_on_the_cpu_do_not_import_pallas() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
