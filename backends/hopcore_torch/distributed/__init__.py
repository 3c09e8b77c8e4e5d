"""Stored patterns over the workers of a mesh, as a ``DTensor`` of ``torch.distributed``.

:func:`shard` and :func:`from_parts` make one; hopcore's functions accept it in place of stored
patterns. Everything else (states, inverse temperatures, masks, results) is an ordinary tensor that
is the same on all workers. Each worker associates with its own part by the kernels of one device,
and the workers exchange the results: O(L v) numbers, however many patterns are stored.

Every worker has to make the same calls with the same states. Once per kernel of a call the workers
check this in one exchange of nine integers each (a digest of shapes, dtypes and options, the sizes
of parts, fingerprints of states and betas), which waits for a GPU. Values are not compared exactly,
since they may have been computed on each worker. Each step of a loop costs one more exchange, of a
byte per query, so that all workers take the same decisions.

If a worker is lost, the others fail with a RuntimeError within the time-out of the process group;
that of a mesh of several dimensions is torch's own (30 minutes for gloo, 10 for NCCL) unless
``backend_override`` sets it. With NCCL, torch ends the process unless TORCH_NCCL_BLOCKING_WAIT=1
asks for the exception.

Gradients are those of a loss that every worker computes alike. ``knn_graph`` sends the parts from
worker to worker; every worker holds the whole graph, O(k S) numbers, without derivatives of its
weights. Diffusion accepts memories made by :func:`shard` in all modes that are steps or series
(factored, simple, iterative, chebyshev, implicit), but not the spectral mode, attention over the
graph, logit diffusion or ``adaptive_eta="sample"``.
"""

from hopcore_torch.distributed._memory import from_parts, shard

__all__ = [
    "from_parts",
    "shard",
]
