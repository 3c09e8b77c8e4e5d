"""Speed and memory of hopcore, side by side with its limits and its peers.

``python -m benchmarks --list`` names the rows, ``python -m benchmarks`` runs them. A row is
declared in :mod:`benchmarks.rows`: some sides (functions in :mod:`benchmarks.sides` that prepare a
call), the peer they are held against, the cases they all run, and the target. Every side lives in
a process of its own (:mod:`benchmarks.worker`), so that two thread pools never share one, and the
sides of a case take turns (:mod:`benchmarks.run`), so that a ratio compares calls made within the
same second. On a busy machine, ``--cores 1`` and the *cpu* column are the ones to trust.
"""
