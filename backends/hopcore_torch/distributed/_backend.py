"""Kernels of stored patterns over the workers of a mesh; collectives merge the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.distributed.tensor import DTensor

import hopcore
from hopcore.arrays import (
    Backend,
    Beta,
    OverWorkers,
    Rows,
    SeparationFunction,
    attended_by_some,
    best_over_workers,
    beta_of_rows,
    mask_of_columns,
    mask_of_rows,
    merge_over_workers,
    orders_in_parts,
    orders_of,
    too_many_weights,
)
from hopcore_torch.distributed import _rings as rings
from hopcore_torch.distributed._collectives import Alike, Copy, Largest, Total, Workers
from hopcore_torch.distributed._parts import (
    Namespace,
    Own,
    agreed,
    described,
    group_of,
    split_last,
    split_like,
)
from hopcore_torch.kernels._autograd import Association, Recomputed, Separate, pull_back
from hopcore_torch.kernels._backend import TorchBackend
from hopcore_torch.kernels._modes import differentiated, eager


class DistributedBackend(TorchBackend):
    """Stored patterns in a ``DTensor``, with states that are the same on all workers.

    :meth:`backend_for_states` makes a copy for each call, which records what workers agreed upon.
    """

    refusal_as_state = "state must be an ordinary tensor, the same on all workers, no DTensor"

    def __init__(self) -> None:
        super().__init__()
        self.name = "torch-distributed"
        self.types = (DTensor,)
        self.xp = Namespace(self.xp)
        self._workers: Workers | None = None
        self._agreed: dict[str, list[int]] | None = None
        """The number of patterns of each worker, by the kernels of a call that are agreed upon."""

    def backend_for_states(self, states: Any, state: Any) -> Any:
        """Return a backend for one call with states of torch."""
        if not isinstance(states, TorchBackend):
            return None
        call = object.__new__(DistributedBackend)  # copy() returns the one backend of the name
        call.__dict__.update(self.__dict__)
        call._agreed = {}
        return call

    def mixes_with(self, other: Any) -> bool:
        """Whether arrays are tensors of torch."""
        return isinstance(other, TorchBackend)

    def can_fetch_values(self, array: Any) -> bool:
        """Whether values exist; each worker has those of its own patterns."""
        return eager() if isinstance(array, DTensor) else super().can_fetch_values(array)

    def without_unattended(self, array: Any, mask: torch.Tensor) -> Any:
        """Hide rows of each worker's own part; traces and split masks are refused later."""
        if not isinstance(array, DTensor):
            return super().without_unattended(array, mask)
        if isinstance(mask, DTensor) or not eager():
            return array
        workers, part = Workers(group_of("stored", array)), array.to_local()
        # The exchange of a call, so that workers without a mask are told that they differ.
        sizes = workers.agree(f"mask {described(mask)}", [part.shape[-2]], [], part.device)
        start = sum(size for (size,) in sizes[: workers.rank])
        columns = mask_of_columns(mask, slice(start, start + part.shape[-2]))
        return split_like(super().without_unattended(part, columns), array)

    def magnitude(self, array: Any, mask: Any = None) -> float:
        if not isinstance(array, DTensor):
            return super().magnitude(array)
        part = array.to_local().detach()
        largest = torch.tensor(super().magnitude(part), dtype=torch.float64, device=part.device)
        return float(Workers(group_of("stored", array)).max(largest))

    def count_attended(self, stored: Any, mask: torch.Tensor | None) -> torch.Tensor:
        if mask is not None:
            return super().count_attended(stored, mask)
        shape, dtype = (*stored.shape[:-2], 1), self.precise[stored.dtype]
        return torch.full(shape, stored.shape[-2], dtype=dtype, device=stored.device)

    def radius(self, stored: Any, mask: torch.Tensor | None) -> torch.Tensor:
        own = self._own("radius", stored, mask=mask)
        return own.workers.max(super().radius(own.stored, own.mask))

    def largest_square(self, stored: Any, mask: torch.Tensor | None) -> torch.Tensor:
        own = self._own("largest_square", stored, mask=mask)
        squares, mask = self.square_lengths(own.stored), own.mask
        if mask is None:
            return Largest.apply(squares, own.workers)[..., None]
        return Largest.apply(torch.where(mask, squares[..., None, :], 0.0), own.workers)

    def origin(self, stored: Any, mask: torch.Tensor | None) -> torch.Tensor:
        """See :meth:`hopcore.Backend.origin`: the mean of the means of all parts."""
        own = self._own("origin", stored, mask=mask)
        part = own.stored.detach().to(self.precise[stored.dtype])
        shown = torch.ones_like(part[..., :1])
        if own.mask is not None:
            attended = attended_by_some(self.xp, own.mask, tuple(part.shape[:-2]))[..., None]
            shown = torch.where(attended, shown, 0.0)
            part = torch.where(attended, part, 0.0)
        total = own.workers.sum(part.sum(-2, keepdim=True))
        return total / own.workers.sum(shown.sum(-2, keepdim=True)).clamp_min(1.0)

    def keys(
        self, stored: Any, origin: Any, bias: torch.Tensor | None, squares: bool = False
    ) -> Any:
        """See :meth:`hopcore.Backend.keys`; each worker makes those of its own patterns."""
        if bias is not None:
            # The whole bias is shared, and a worker's part of it is its own: in this order, since
            # the derivative by the whole is the sum over all workers.
            bias = Copy.apply(bias, Workers(group_of("stored", stored)))[..., None, :]
        own = self._own("keys", stored, mask=bias)
        bias = None if own.mask is None else own.mask[..., 0, :]
        keys = super().keys(own.stored, origin, bias, squares)
        if keys.ndim != stored.ndim:
            raise ValueError(
                "bias must not have more leading axes than the patterns of a memory over the "
                f"workers of a mesh, got {tuple(keys.shape[:-2])} for {tuple(stored.shape[:-2])}"
            )
        return split_like(keys, stored)

    def values_for(self, keys: Any, projection: Any) -> Any:
        """The projections of each worker in the dtype of the keys."""
        return projection.to(keys.dtype)

    def without_coordinates(self, keys: Any, width: int) -> Any:
        return split_like(keys.to_local()[..., :width], keys)

    def scores(self, *arrays: Any) -> torch.Tensor:
        """Raise a TypeError: scores would take a number for every pattern and query."""
        raise too_many_weights("a memory over the workers of a mesh")

    def associate(
        self,
        state: torch.Tensor,
        stored: Any,
        projection: Any,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Merge the softmax of each part; others find their weights among all workers' scores."""
        own = self._own("association", stored, projection, state, beta, mask, separation)
        local: TorchBackend = hopcore.backend("torch")  # pyright: ignore[reportAssignmentType]
        part, precise = Part(own.workers, self.loop), self.precise[state.dtype]

        def fast(state: Any, stored: Any, projection: Any, beta: Beta) -> Any:
            dtype = state.dtype
            output: Any
            if separation.softmax:
                output, lse = local.associate(
                    state, stored, projection, beta, own.mask, separation, True
                )
                output, lse = merge_over_workers(part.plain, own.workers, output.to(precise), lse)
                return output.to(dtype), lse
            state, stored, projection = (x.to(precise) for x in (state, stored, projection))
            beta = beta if isinstance(beta, float) else beta.to(precise)
            results: list[Any] = [
                Backend.associate(part, x, stored, projection, b, mask, separation, True)
                for x, b, mask in blocks(own, state, beta)
            ]
            output = own.workers.sum(torch.cat([output for output, _ in results], -2))
            return output.to(dtype), torch.cat([conjugate for _, conjugate in results], -1)

        output, conjugate = self._merged(own, part, separation, state, beta, fast)
        return output, conjugate if need_conjugate else None

    def conjugate(
        self,
        state: torch.Tensor,
        stored: Any,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> torch.Tensor:
        own = self._own("conjugate", stored, None, state, beta, mask, separation)
        local: TorchBackend = hopcore.backend("torch")  # pyright: ignore[reportAssignmentType]
        part = Part(own.workers, self.loop)

        def fast(state: Any, stored: Any, _: None, beta: Beta) -> torch.Tensor:
            if separation.softmax:
                lse = local.conjugate(state, stored, beta, own.mask, separation)
                return merge_over_workers(part.plain, own.workers, None, lse)[1]
            conjugates = [
                Backend.conjugate(part, x, stored, b, mask, separation)
                for x, b, mask in blocks(own, state, beta)
            ]
            return torch.cat(conjugates, -1)

        return self._merged(own, part, separation, state, beta, fast)

    def best(
        self,
        state: torch.Tensor,
        stored: Any,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> tuple[torch.Tensor, ...]:
        """The best pattern of each worker, and the best of these."""
        own = self._own("best", stored, None, state, beta, mask, separation)
        part = Part(own.workers, self.loop)
        found = [
            part.best(x, own.stored, b, mask, separation) for x, b, mask in blocks(own, state, beta)
        ]
        *best, conjugate = (torch.cat(arrays, -1) for arrays in zip(*found, strict=True))
        start = sum(own.sizes[: own.workers.rank])
        index, score, weight = best
        best = best_over_workers(part.plain, own.workers, (index, score, weight), start)
        return *best, conjugate

    def statistics(
        self,
        state: torch.Tensor,
        stored: Any,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> tuple[Any, ...]:
        """Sums over the patterns go over all workers; what patterns receive stays with them."""
        own = self._own("statistics", stored, None, state, beta, mask, separation)
        part = Part(own.workers, self.loop)
        part.rows = own.rows(state)
        state = Copy.apply(state, own.workers)
        if not isinstance(beta, float):
            beta = Copy.apply(beta, own.workers)
        conjugate, *sums, received = part.statistics(state, own.stored, beta, own.mask, separation)
        conjugate = Alike.apply(conjugate, own.workers, 1)
        alike = (Alike.apply(x, own.workers, own.workers.count) for x in sums)
        return conjugate, *alike, split_last(received, stored)

    def _merged(
        self, own: Own, part: Part, separation: Any, state: Any, beta: Beta, fast: Callable
    ) -> Any:
        association = Association(part, separation, beta, own.mask, fast, own.rows(state))
        beta = None if isinstance(beta, float) else beta
        return Merged.apply(association, state, own.stored, own.projection, beta, None)

    def loop(
        self,
        cond: Callable[[Any], torch.Tensor],
        body: Callable[[Any], Any],
        init: Any,
        max_steps: int,
        *,
        differentiable: bool = False,
    ) -> Any:
        """Let all workers take the same decisions, however each of them rounds."""
        workers = self._workers
        if workers is None:
            return super().loop(cond, body, init, max_steps, differentiable=differentiable)

        def step(carry: Any) -> Any:
            return tuple(workers.any(x) if x.dtype == torch.bool else x for x in body(carry))

        flagged = any(x.dtype == torch.bool for x in init)
        agreed_cond = cond if flagged else lambda carry: workers.any(cond(carry))
        return super().loop(agreed_cond, step, init, max_steps, differentiable=differentiable)

    # Graphs: every worker holds the whole graph and its own part of the patterns.

    def nearest(self, patterns: Any, k: int, mask: torch.Tensor | None) -> torch.Tensor:
        """Send the parts around the workers; each keeps the k nearest patterns of its own."""
        if patterns.ndim != 2:
            raise ValueError(
                "the graph of a memory over the workers of a mesh is one, of patterns (N, d), "
                f"got {tuple(patterns.shape)}"
            )
        own = self._own("nearest", patterns, mask=mask, setting=k)
        return rings.nearest(own.workers, own.stored, own.sizes, k, mask)

    def pair_products(self, left: Any, right: Any, entries: Rows) -> torch.Tensor:
        if differentiated(left, right):
            raise TypeError(
                "similarities of patterns over the workers of a mesh have no derivatives; "
                "detach the patterns of the graph"
            )
        own = self._own("pair_products", left, right)
        return rings.pair_products(own.workers, own.stored, own.projection, own.sizes, entries)

    def neighbour_sum(self, entries: Rows, values: torch.Tensor, features: Any) -> Any:
        if differentiated(values):
            raise TypeError(
                "diffusion over the workers of a mesh has no derivative by the weights of a graph; "
                "detach them"
            )
        own = self._own("neighbour_sum", features, setting=tuple(values.shape))
        # Torch's element-wise operations assume parts of these sizes.
        if len({*own.sizes[:-1]}) > 1 or own.sizes[-1] > own.sizes[0]:
            raise ValueError(
                "diffusion needs parts of one size but for fewer patterns in the last, as shard "
                f"makes them, got {own.sizes}"
            )
        rest = own.workers, own.sizes, entries, values
        return split_like(rings.NeighbourSum.apply(own.stored, *rest), features)

    def _own(
        self,
        name: str,
        stored: Any,
        projection: Any = None,
        state: Any = None,
        beta: Beta = None,
        mask: Any = None,
        setting: Any = None,
    ) -> Own:
        """Return the worker's own part, after all workers agreed on the call."""
        if orders_of(setting) is not None:
            raise orders_in_parts("a memory over the workers of a mesh")
        shared = {"state": state, "beta": beta, "mask": mask}
        for kind, value in shared.items():
            if isinstance(value, DTensor):
                raise TypeError(f"{kind} must be an ordinary tensor, the same on all workers")
        if not eager():
            raise TypeError(
                "a memory over the workers of a mesh cannot be traced (torch.compile, torch.func)"
            )
        split = {"stored": stored} | ({} if projection is None else {"projection": projection})
        groups = [group_of(kind, array) for kind, array in split.items()]
        if groups[0] is not groups[-1]:
            raise ValueError("stored and projection must be split over one dimension of one mesh")
        for kind, array in split.items():
            if array.device_mesh.ndim > 1 and differentiated(array):
                raise ValueError(
                    f"{kind} with a gradient must be on a mesh of one dimension, got "
                    f"{array.device_mesh}: take a part of it, such as mesh['memory']"
                )
        own = {kind: array.to_local() for kind, array in split.items()}
        if projection is stored:
            own["projection"] = own["stored"]
        workers = Workers(groups[0])
        known: dict[str, list[int]] = {}
        if self._agreed is not None:
            known, self._workers = self._agreed, workers
        if name not in known:
            arguments = {**split, **shared, "setting": setting}
            facts = ", ".join(f"{kind} {described(x)}" for kind, x in arguments.items())
            known[name] = agreed(workers, f"{name}({facts})", own, shared)
        sizes = known[name]
        start = sum(sizes[: workers.rank])
        mask = mask_of_columns(mask, slice(start, start + sizes[workers.rank]))
        return Own(workers, own["stored"], own.get("projection"), mask, sizes)


class Part(TorchBackend):
    """The kernels of one device, with separation functions of the scores of all workers."""

    def __init__(self, workers: Workers, loop: Callable[..., Any]) -> None:
        super().__init__()
        self.workers, self.plain = workers, self.xp
        self.xp: Any = OverWorkers(self.xp, workers)
        self.loop = loop
        self.rows = 0
        """How many queries to look at together, the same on all workers."""

    def statistics_rows(self, state: torch.Tensor, stored: torch.Tensor) -> int:
        return self.rows

    def best(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> tuple[torch.Tensor, ...]:
        """The best pattern of this device, by its weight among the patterns of all."""

        def block(scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
            weights, conjugate = self.separate(scores, separation)
            index, xp = self.plain.argmax(scores, axis=-1), self.plain
            return index, xp.max(scores, axis=-1), xp.max(weights, axis=-1), conjugate

        return self.over_blocks(block, state, stored, beta, mask)

    def statistics(self, *arguments: Any) -> tuple[torch.Tensor, ...]:
        """Go the portable way, whose sums are those of this namespace."""
        return Backend.statistics(self, *arguments)

    def evaluate(self, scores: torch.Tensor, separation: SeparationFunction) -> Any:
        return separation.evaluate(scores, self.xp, self.loop)

    def separate(self, scores: torch.Tensor, separation: SeparationFunction) -> Any:
        return Separate.apply(scores, None, separation, self)


class Merged(Recomputed):
    """An association with all parts, or its conjugate, and the derivative by each part."""

    @staticmethod
    def backward(ctx: Any, *by: torch.Tensor) -> Any:
        workers, needs = ctx.association.backend.workers, ctx.needs_input_grad[1:]
        *by_output, by_conjugate = (Copy.apply(x, workers) for x in by)
        state, stored, projection, beta, _ = ctx.saved_tensors
        state = Copy.apply(state, workers)
        beta = beta if beta is None else Copy.apply(beta, workers)
        tensors = state, stored, projection, beta, None
        output = by_output[0] if by_output else None
        gradients = list(pull_back(ctx.association, tensors, needs, by_conjugate, output))
        for i in (0, 3):  # the state and beta, which all workers share
            if gradients[i] is not None:
                gradients[i] = Total.apply(gradients[i], workers)
        return None, *gradients


def blocks(
    own: Own, state: torch.Tensor, beta: Beta
) -> Iterator[tuple[torch.Tensor, Beta, torch.Tensor | None]]:
    """Yield a few queries at a time with their betas and masks, the same on all workers."""
    rows = own.rows(state)
    for start in range(0, max(1, state.shape[-2]), rows):
        part = slice(start, start + rows)
        yield state[..., part, :], beta_of_rows(beta, part), mask_of_rows(own.mask, part)
