"""Launches of the kernels: tensors in and out, and the derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from hopcore.arrays import Beta
from hopcore.memory import FusedOrder, FusedTiles
from hopcore_torch.kernels.triton._choice import SWITCH
from hopcore_torch.kernels.triton._layout import Layout, layout_of

Tensors = Sequence[Any]


def compiler_options(tiles: FusedTiles) -> dict[str, Any]:
    """Return options of Triton's compiler; products and sums are fused as CUDA's own kernels do."""
    return {"num_warps": tiles.warps, "num_stages": tiles.stages, "enable_fp_fusion": True}


class Memory(NamedTuple):
    """One call: what is associated with what."""

    state: torch.Tensor
    stored: torch.Tensor
    projection: torch.Tensor
    beta: Beta
    mask: torch.Tensor | None
    bias: torch.Tensor | None
    order: FusedOrder
    causal: bool = False


class Launch:
    """One call in the form that the kernels take."""

    def __init__(self, memory: Memory) -> None:
        tiles = kernels()._tiles
        beta: Any = memory.beta
        bias: Any = memory.bias
        mask, order = memory.mask, memory.order
        state, stored, projection = (x.detach().resolve_neg() for x in memory[:3])
        beta, bias = (
            x.detach().resolve_neg() if isinstance(x, torch.Tensor) else x for x in (beta, bias)
        )
        self.memory = memory._replace(state=state, stored=stored, projection=projection, beta=beta)
        self.layout: Layout = layout_of(state, stored, projection, mask, bias, beta)
        self.queries, self.patterns = state.shape[-2], stored.shape[-2]
        size, widths = state.dtype.itemsize, (state.shape[-1], projection.shape[-1])
        self.tiles = FusedTiles.of(size, *widths, interpreted=SWITCH[0].interprets)
        number = isinstance(beta, float)

        def rows(x: torch.Tensor) -> Any:
            return tiles.Rows(x, *(stride_of(x, axis) for axis in (-2, -1)))

        self.call = tiles.Call(
            rows(state),
            rows(stored),
            rows(projection),
            None if mask is None else rows(mask.view(torch.uint8)),
            None if bias is None else rows(bias),
            None if number else tiles.Rows(beta, stride_of(beta, -1), 0),
            beta if number else 1.0,
            self.layout.table,
            self.queries,
            self.patterns,
            state.shape[-1],
            projection.shape[-1],
            order.a,
            order.steep,
            1 if self.layout.aligned else None,
        )

    @property
    def blocks(self) -> int:
        """The number of blocks of queries of one leading index."""
        return -(-self.queries // self.tiles.block)

    def empty(self, *last: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return a new tensor with the leading axes of the call."""
        return self.memory.state.new_empty((*self.layout.lead, *last), dtype=dtype)

    def run(
        self, kernel: Any, programs: int, *arguments: Any, tiles: FusedTiles | None = None
    ) -> None:
        """Run one of the kernels."""
        tiles = self.tiles if tiles is None else tiles
        with torch.cuda.device_of(self.memory.state):  # nothing for tensors on the CPU
            kernel[(programs,)](
                self.call,
                *arguments,
                KIND=self.memory.order.kind,
                CAUSAL=self.memory.causal,
                BLOCK=tiles.block,
                TILE=tiles.tile,
                DEPTH=tiles.depth,
                WIDTH=tiles.width,
                **compiler_options(tiles),
            )

    def forward(
        self,
        *,
        output: bool = True,
        derivative: bool = False,
        best: bool = False,
        passes: bool = False,
        entropy: bool = False,
    ) -> Any:
        """Run the forward pass; return its results, and what is asked for besides.

        That is what the backward pass needs, the best pattern and its weight, the number of passes,
        or the entropy of the weights with the sum of their squares and the largest of them.
        """
        modules, integer = kernels(), torch.int32
        entmax = self.memory.order.kind != "softmax"
        mean = derivative and output
        results = modules._tiles.Results(
            output=self.empty(self.queries, self.call.width, dtype=self.memory.state.dtype)
            if output
            else None,
            mean=self.empty(self.queries, self.call.width) if mean else None,
            conjugate=self.empty(self.queries),
            top=self.empty(self.queries) if derivative or best else None,
            root=self.empty(self.queries) if derivative else None,
            first=self.empty(self.blocks, dtype=integer) if derivative and entmax else None,
            last=self.empty(self.blocks, dtype=integer) if derivative and entmax else None,
            index=self.empty(self.queries, dtype=torch.int64) if best else None,
            weight=self.empty(self.queries) if best or entropy else None,
            passes=self.empty(self.blocks, dtype=integer) if passes and entmax else None,
            entropy=self.empty(self.queries) if entropy else None,
            square=self.empty(self.queries) if entropy else None,
        )
        kernel = modules._entmax.entmax_forward if entmax else modules._softmax.softmax_forward
        self.run(kernel, self.layout.table.shape[0] * self.blocks, results)
        return results

    def lookup(self) -> Any:
        """Run the hard lookup; return its results."""
        modules = kernels()
        results = modules._tiles.Results(
            output=self.empty(self.queries, self.call.width, dtype=self.memory.state.dtype),
            top=self.empty(self.queries),
            index=self.empty(self.queries, dtype=torch.int64),
        )
        programs = self.layout.table.shape[0] * self.blocks
        self.run(modules._lookup.hard_lookup, programs, results)
        return results

    def backward(
        self,
        results: Any,
        needs: Sequence[bool],
        by_output: torch.Tensor | None,
        by_conjugate: torch.Tensor | None,
    ) -> Tensors:
        """Return the derivatives by state, stored, projection, beta and bias, or None for each."""
        module, layout = kernels()._backward, self.layout
        state, stored, projection, beta, _, bias, *_ = self.memory
        given = module.Given(
            None if by_output is None else by_output.contiguous(),
            None if by_conjugate is None else by_conjugate.contiguous(),
            results.mean,
            results.top,
            results.root,
            results.first,
            results.last,
        )
        by_query, by_memory = module.Wanted(), module.Wanted()
        if needs[0] or needs[3]:
            by_state = self.empty(*state.shape[-2:], dtype=gradient_dtype(state, layout.lead))
            by_query = module.Wanted(
                state=by_state if needs[0] else None,
                beta=self.empty(self.queries) if needs[3] else None,
            )
            programs = layout.table.shape[0] * self.blocks
            self.run(module.by_query, programs, given, by_query)
        if needs[1] or needs[2] or needs[4]:
            kinds = [gradient_dtype(x, layout.memory) for x in (stored, projection)]
            by_stored, by_projection = (
                x.new_empty((*layout.memory, *x.shape[-2:]), dtype=kind) if need else None
                for x, kind, need in zip((stored, projection), kinds, needs[1:3], strict=True)
            )
            by_bias = None
            if needs[4]:
                shape = *layout.memory, 1, self.patterns
                by_bias = state.new_empty(shape, dtype=torch.float32)
            by_memory = module.Wanted(stored=by_stored, projection=by_projection, bias=by_bias)
            memories = layout.table.shape[0] // layout.group
            programs = memories * -(-self.patterns // self.tiles.tile)
            arguments = given, by_memory, layout.group
            self.run(module.by_memory, programs, *arguments, tiles=self.tiles.of_memories)
        found = (
            (by_query.state, state),
            (by_memory.stored, stored),
            (by_memory.projection, projection),
            (by_query.beta, beta),
            (by_memory.bias, bias),
        )
        return [x if x is None or like is None else reduced(x, like) for x, like in found]

    def received(self, results: Any) -> torch.Tensor:
        """Return what each pattern receives, the sum of its weights, by results with derivatives.

        This is the derivative of the sum of all conjugates by a bias of each pattern. Leading
        indices that share a memory share this sum.
        """
        needs = (False, False, False, False, True)
        ones = torch.ones_like(results.conjugate)
        return self.backward(results, needs, None, ones)[4][..., 0, :]


def stride_of(array: torch.Tensor, axis: int) -> int:
    """Return a stride, 0 for an axis that does not exist or is broadcast."""
    if array.ndim < -axis or array.shape[axis] == 1:
        return 0
    return array.stride(axis)


def gradient_dtype(array: torch.Tensor, lead: tuple[int, ...]) -> torch.dtype:
    """Return float32 for a derivative that is summed over leading axes, the array's dtype else."""
    return array.dtype if array.shape[:-2].numel() == torch.Size(lead).numel() else torch.float32


def reduced(gradient: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Sum a derivative over the axes in which its array was broadcast."""
    if gradient.shape != like.shape:
        gradient = gradient.sum_to_size(like.shape)
    return gradient.to(like.dtype)


def kernels() -> Any:
    """Import the kernels, which imports Triton; raise if Triton was imported in another mode."""
    interprets = SWITCH[0].interprets
    from hopcore_torch.kernels.triton import _modules  # noqa: PLC0415

    if interprets != _modules.INTERPRETED:
        made, wanted = "compiled", "interpreted: set TRITON_INTERPRET=1 before it starts"
        if not interprets:
            made, wanted = "interpreted", "compiled: unset TRITON_INTERPRET"
        raise RuntimeError(f"Triton's functions are {made} in this process and cannot be {wanted}")
    return _modules
