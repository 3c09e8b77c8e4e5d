"""Speed and memory of hopcore, side by side with its limits and its peers.

``python -m benchmarks --list`` names the rows, ``python -m benchmarks`` runs them. A row is declared in
:mod:`benchmarks.rows`: some ``sides`` (a function in :mod:`benchmarks.sides` that prepares a call), one
of them the peer, the cases they run, and the target. Every side lives in a process of its own
(:mod:`benchmarks.worker`), and the sides of a case take turns (:mod:`benchmarks.run`), so that a ratio
compares two calls made within the same second, and two thread pools never share a process.
"""
