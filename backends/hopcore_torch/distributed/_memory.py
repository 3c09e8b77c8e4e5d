"""Stored patterns that are split over the workers of a mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from hopcore_torch.distributed._collectives import Workers


def shard(patterns: Any, mesh: DeviceMesh, dim: str | int | None = None) -> DTensor:
    """Split stored patterns over the workers of a mesh as ``torch.chunk`` splits them.

    Parameters
    ----------
    patterns : tensor or NumPy array (..., S, d)
        All patterns (or projections), the same on every worker. A worker copies only its own part,
        so that a ``numpy.memmap`` is never read as a whole.
    mesh : DeviceMesh
        The workers.
    dim : str or int, optional
        The dimension of the mesh over which patterns are split; a mesh of one dimension needs none.

    Returns
    -------
    DTensor (..., S, d)
        On ``mesh[dim]``, with placement ``Shard(-2)``.

    Raises
    ------
    TypeError
        Not an array, or split already.
    ValueError
        On all workers, if one would get no pattern or gets other shapes than the first.
    RuntimeError
        A worker was lost.

    Notes
    -----
    ``torch.nn.Parameter(shard(patterns, mesh))`` makes a parameter, whose gradient is split in the
    same way. On a mesh of data and memory each row of workers (``mesh["memory"]``) holds all
    patterns, and their gradients are averaged over ``mesh["data"]`` as those of any parameter.

    Examples
    --------
    >>> import torch, hopcore, torch.distributed as dist
    >>> from hopcore_torch.distributed import shard
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> mesh = dist.init_device_mesh("cpu", (1,))
    >>> hopcore.retrieve(torch.tensor([[0.9, 0.2]]), shard(torch.eye(2), mesh), 500.0).state
    tensor([[1., 0.]])
    >>> dist.destroy_process_group()
    """
    mesh = line_of(mesh, dim)
    workers = Workers(mesh.get_group())
    if isinstance(patterns, DTensor) or not isinstance(patterns, torch.Tensor | np.ndarray):
        raise TypeError(
            f"patterns must be a whole tensor or NumPy array, got {type(patterns).__name__}"
        )
    shape = tuple(patterns.shape)
    workers.agree(f"shard(patterns {shape} {name_of(patterns.dtype)})", (), (), mesh.device_type)
    if len(shape) < 2:
        raise ValueError(f"patterns must be (..., S, d), got {shape}")
    size = -(-shape[-2] // workers.count)
    if size * (workers.count - 1) >= shape[-2]:
        some = -(-shape[-2] // size) if size else 0
        raise ValueError(
            f"{shape[-2]} patterns, split {size} at a time, are enough for {some} workers, "
            f"not for {workers.count}: use a smaller mesh, or from_parts with a part for each"
        )
    own = patterns[..., workers.rank * size : (workers.rank + 1) * size, :]
    own = torch.from_numpy(np.array(own)) if isinstance(own, np.ndarray) else own.clone()
    return from_parts(own, mesh)


def from_parts(part: torch.Tensor, mesh: DeviceMesh, dim: str | int | None = None) -> DTensor:
    """Make stored patterns of the parts of all workers, in the order of the mesh.

    Parameters
    ----------
    part : tensor (..., s, d)
        The worker's own patterns, at least one; parts may be of different sizes.
    mesh, dim
        As in :func:`shard`.

    Returns
    -------
    DTensor (..., S, d)
        S is the sum of all s.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As in :func:`shard`; on all workers, if one of them has no pattern.

    Notes
    -----
    hopcore, element-wise operations and optimisers accept parts of any sizes. Functions of torch
    that move parts (``full_tensor``, ``redistribute``, checkpoints) assume the sizes of
    :func:`shard`: all alike, but for fewer patterns in the last part.

    Examples
    --------
    >>> import torch, hopcore, torch.distributed as dist
    >>> from hopcore_torch.distributed import from_parts
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> mesh = dist.init_device_mesh("cpu", (1,))
    >>> from_parts(torch.eye(3)[:2], mesh).shape
    torch.Size([2, 3])
    >>> dist.destroy_process_group()
    """
    mesh = line_of(mesh, dim)
    workers = Workers(mesh.get_group())
    if isinstance(part, DTensor) or not isinstance(part, torch.Tensor):
        raise TypeError(f"part must be an ordinary tensor, got {type(part).__name__}")
    shape = tuple(part.shape)
    around = f"(*{shape[:-2]}, s, {shape[-1:]})" if len(shape) > 1 else str(shape)
    facts = f"from_parts(part {around} {name_of(part.dtype)})"
    sizes = [s for (s,) in workers.agree(facts, shape[-2:-1] or (0,), (), mesh.device_type)]
    if len(shape) < 2 or 0 in sizes:
        raise ValueError(
            f"every worker of the mesh must hold (..., s, d) with s >= 1 patterns, got {sizes} "
            f"of them and {shape}"
        )
    whole = torch.Size((*shape[:-2], sum(sizes), shape[-1]))
    stride = torch.empty(whole, device="meta").stride()
    placements = [Shard(len(shape) - 2)]
    return DTensor.from_local(part, mesh, placements, run_check=False, shape=whole, stride=stride)


def line_of(mesh: DeviceMesh, dim: str | int | None) -> DeviceMesh:
    """Return the mesh of one dimension over which patterns are split."""
    if not isinstance(mesh, DeviceMesh):
        raise TypeError(f"mesh must be a torch DeviceMesh, got {type(mesh).__name__}")
    if mesh.get_coordinate() is None:
        raise ValueError(f"this worker does not belong to the mesh {mesh}")
    if dim is None and mesh.ndim == 1:
        return mesh
    if mesh.ndim == 1 and dim in (0, -1):
        return mesh
    names = mesh.mesh_dim_names or ()
    if isinstance(dim, int) and -len(names) <= dim < len(names):
        dim = names[dim]
    if not isinstance(dim, str) or dim not in names:
        raise ValueError(
            f"dim must name one of the {mesh.ndim} dimensions of the mesh {names}, got {dim!r}"
        )
    return mesh if mesh.ndim == 1 else mesh[dim]


def name_of(dtype: Any) -> str:
    """The name of a dtype without that of its library."""
    return str(dtype).removeprefix("torch.")
