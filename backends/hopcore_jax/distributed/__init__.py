"""Stored patterns over the devices of a mesh: every worker associates with its own, none moves.

:func:`shard` splits the pattern axis of a memory over one axis of a :class:`jax.sharding.Mesh`. The
:class:`Shards` it returns stand where stored patterns do, outside ``jax.jit`` and inside, and as
what is differentiated. What the workers exchange for an update are numbers per query: the softmax
joins the outputs and log-sum-exps of the parts, other separation functions sum over all parts to
find their weights (:mod:`hopcore.arrays._merge`).
"""

from hopcore_jax.distributed._memory import Shards, shard

__all__ = [
    "Shards",
    "shard",
]
