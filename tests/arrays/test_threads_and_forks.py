"""First use from many threads, and use in forked processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
import numpy as np, hopcore
library = sys.argv[1]
if library == "torch":
    import torch
    make = torch.ones
elif library == "jax":
    import jax.numpy as jnp
    make = jnp.ones
else:
    make = np.ones
arrays = [(make((3, 4)), make((5, 4))) for _ in range(8)]
barrier, found = threading.Barrier(8), []
def work(state, stored):
    barrier.wait()
    try:
        found.append(hopcore.association(state, stored, beta=1.0).tolist())
    except BaseException as error:
        found.append(f"{type(error).__name__}: {error}")
threads = [threading.Thread(target=work, args=pair) for pair in arrays]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert found == [[[1.0] * 4] * 3] * 8, found
backends = {id(hopcore.arrays.backend_of(state)) for state, _ in arrays}
assert backends == {id(hopcore.backend(library))}
"""

FORK = """
import os, sys, threading, numpy as np, hopcore
rng = np.random.default_rng(0)
stored = rng.normal(size=(5000, 32))
state = stored[:600] + 0.1
wanted = hopcore.association(state, stored, beta=2.0)  # in tiles, on all cores
stop = threading.Event()
def busy():
    while not stop.is_set():
        hopcore.association(state, stored, beta=2.0)
thread = threading.Thread(target=busy)
if sys.argv[1:] == ["busy"]:
    thread.start()
codes = []
for _ in range(5):
    child = os.fork()
    if child == 0:
        same = np.array_equal(hopcore.association(state, stored, beta=2.0), wanted)
        from hopcore.arrays._threads import _Held
        os._exit(0 if same and _Held.calls == 0 else 1)
    codes.append(os.waitpid(child, 0)[1])
stop.set()
if thread.ident is not None:
    thread.join()
assert codes == [0] * 5, codes
"""


@pytest.mark.parametrize(("library", "times"), [("numpy", 4), ("torch", 1), ("jax", 1)])
def test_the_first_use_may_come_from_many_threads(library: str, times: int) -> None:
    pytest.importorskip(library)
    for _ in range(times):
        run(FIRST_USE, library)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("busy", [False, True])
def test_numpy_works_in_a_process_that_is_forked(busy: bool) -> None:
    # With several threads of BLAS, OpenBLAS waits forever in a fork while one of them computes.
    run(FORK, *["busy"] * busy, threads="1" if busy else "")


def run(code: str, *arguments: str, threads: str = "") -> None:
    """Run code in a process of its own, with a number of BLAS threads if given."""
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads} if threads else {}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=os.environ | limits
    )
    assert done.returncode == 0, done.stderr
