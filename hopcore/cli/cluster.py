"""Dask clusters for commands: workers on this machine, or those of a running scheduler."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

REACHED = 5.0
"""Seconds in which a scheduler must answer."""

STAFFED = 10.0
"""Seconds in which the scheduler must have a worker."""


@contextmanager
def cluster(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """Open the client of a cluster as Dask's default; None if no cluster is asked for.

    Parameters
    ----------
    workers : int, optional
        The number of processes to start on this machine.
    scheduler : str, optional
        The address of a running scheduler, ``tcp://HOST:PORT``.

    Raises
    ------
    ValueError
        Both are given, or the address is not valid.
    ConnectionError
        No scheduler answers at the address, or it has no workers.
    ModuleNotFoundError
        distributed is not installed (extra ``cluster``).
    """
    if workers is None and scheduler is None:
        yield None
        return
    if workers is not None and scheduler is not None:
        raise ValueError("give --workers, which starts processes, or --scheduler, but not both")
    try:
        import distributed  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            f"--workers and --scheduler need {missing.name}; "
            "install it: pip install 'hopcore[cluster]'",
            name=missing.name,
        ) from None
    # Errors are raised here; Dask would also log them on the standard error.
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler is not None:
        with connected(distributed, scheduler) as client:
            yield client
        return
    options = {"n_workers": workers, "threads_per_worker": 1, "processes": True}
    quiet: dict[str, Any] = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        distributed.LocalCluster(**options, **quiet) as here,
        distributed.Client(here) as client,
    ):
        yield client


@contextmanager
def connected(distributed: Any, scheduler: str) -> Iterator[Any]:
    """The client of a scheduler that answers and has workers."""
    try:
        client = distributed.Client(scheduler, timeout=REACHED)
    except (OSError, TimeoutError) as error:
        reason = " ".join(str(error).split())
        raise ConnectionError(f"no Dask scheduler answers at {scheduler}: {reason}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=STAFFED)
        except TimeoutError:
            raise ConnectionError(f"the scheduler at {scheduler} has no workers") from None
        yield client
