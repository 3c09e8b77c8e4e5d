"""Stored patterns over the devices of a mesh: every worker associates with its own patterns.

:func:`shard` splits the pattern axis of a memory over one axis of a :class:`jax.sharding.Mesh`.
The :class:`Shards` it returns are passed in place of stored patterns, outside or inside of
``jax.jit``, and can be differentiated. For an update the workers exchange numbers per query, never
patterns: the softmax merges the outputs and log-sum-exps of the parts, and other separation
functions sum over all parts to find their weights.
"""

from hopcore_jax.distributed._memory import Shards, shard

__all__ = [
    "Shards",
    "shard",
]
