"""Stored patterns over the workers of a mesh, as a ``DTensor`` of ``torch.distributed``.

:func:`shard`, or :func:`from_parts`, makes one; hopcore's functions take it where they take stored
patterns. Everything else (states, inverse temperatures, masks, results) is an ordinary tensor, the
same on all workers. Each worker associates with its own part by the kernels of one device, and the
workers exchange what they found: O(L v) numbers, however many patterns are stored.

Every worker has to make the same calls with the same states. Once for each kernel of a call the
workers make sure of it: nine integers each (a digest of shapes, dtypes and options, sizes of parts,
fingerprints of states and betas) in one exchange, for which a GPU is waited for. Values are not
compared exactly, since they may have been computed on each worker. Each step of a loop costs one
more exchange, a byte for each query, so that all workers take the same decisions.

A worker that is lost makes the others fail with a RuntimeError within the time-out of the process
group; that of a mesh of several dimensions is torch's own (30 minutes for gloo, 10 for NCCL) unless
``backend_override`` sets it. With NCCL, torch ends the process unless TORCH_NCCL_BLOCKING_WAIT=1
asks for the exception.

Gradients are those of a loss that every worker computes alike. ``knn_graph`` lets one part visit
another at a time; every worker holds the whole graph, O(k S) numbers, without derivatives of its
weights. Diffusion takes memories made by :func:`shard`, in all modes that are steps or series
(factored, simple, iterative, chebyshev, implicit), not: spectral, attention over the graph, logits,
``adaptive_eta="sample"``.
"""

from hopcore_torch.distributed._memory import from_parts, shard

__all__ = [
    "from_parts",
    "shard",
]
