"""A memory over the workers of a torch mesh, each of them a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hopcore

pytest.importorskip("torch.distributed")
WORKERS = Path(__file__).parents[1] / "workers"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SOME = "(uneven and not Entmax) or True-s or x-True or own_part or data_and or disagree"
"""With four workers, the tests that see whose part is where."""


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs a script of the workers."""
    return subprocess.Popen(
        [sys.executable, str(WORKERS / script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=ENVIRONMENT,
    )


def ended(processes: list[subprocess.Popen[str]], timeout: float) -> list[str]:
    """What each of the processes wrote, once all have ended; none is left."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("count", "options"), [(2, []), (4, ["-k", SOME])])
def test_workers(tmp_path: Path, count: int, options: list[str]) -> None:
    """The tests of ``workers/torch_distributed.py``, on every worker."""
    file = tmp_path / "store"
    workers = [started("torch_distributed.py", i, count, file, *options) for i in range(count)]
    written = ended(workers, 240)
    for worker, text in zip(workers, written, strict=True):
        assert worker.returncode == 0, text
        assert " passed" in text


@pytest.mark.parametrize("how", ["killed", "still"])
def test_a_lost_worker(tmp_path: Path, how: str) -> None:
    """The other one fails within the time-out, in one line."""
    first, second = (started("torch_lost.py", i, tmp_path / "store", how) for i in (0, 1))
    try:
        (text,) = ended([first], 60)
    finally:
        ended([second], 10)
    assert first.returncode == 0
    seconds, error = text.strip().split(" ", 1)
    assert error.startswith("a worker of the mesh was lost")
    assert "\n" not in error
    # One that is dead is seen at once, one that stands still after the time-out of 3 s.
    assert float(seconds) < (2.0 if how == "killed" else 5.0)


def test_the_example_of_torchrun(tmp_path: Path) -> None:
    """The script that the documentation shows."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(7, 16)).astype("float32")
    queries = patterns[:3] + 0.1 * rng.normal(size=(3, 16)).astype("float32")
    names = [str(tmp_path / f"{name}.npy") for name in ("patterns", "queries", "found")]
    for name, values in zip(names, (patterns, queries), strict=False):
        np.save(name, values)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, str(WORKERS / "torchrun_example.py"), *names]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 of 3 queries came to rest\n"
    found = np.load(names[2])
    np.testing.assert_allclose(found, hopcore.retrieve(queries, patterns, 8.0).state, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "found.npy", "patterns.npy", "queries.npy"
    ]  # fmt: skip
