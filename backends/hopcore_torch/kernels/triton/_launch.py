"""Launches of the kernels: tensors in and out, and the derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from hopcore.arrays import Beta
from hopcore_torch.kernels.triton._choice import SWITCH
from hopcore_torch.kernels.triton._layout import Layout, layout_of

Tensors = Sequence[Any]

EPS = torch.finfo(torch.float32).eps


class Tiles(NamedTuple):
    """How large the tiles of a kernel are, and how it is compiled."""

    block: int
    """Queries of a program, or of one step of a program."""
    tile: int
    """Patterns of one step of a program, or of a program."""
    depth: int
    """Coordinates of a pattern, padded to a power of two."""
    width: int
    """Coordinates of a projection, padded to a power of two."""
    warps: int
    stages: int

    @property
    def of_memories(self) -> Tiles:
        """The same for derivatives by memories, which keep the sums of two arrays in registers."""
        return self._replace(warps=8)

    @property
    def options(self) -> dict[str, Any]:
        """Options of Triton's compiler; sums and products are fused as CUDA's own kernels do."""
        return {
            "num_warps": self.warps,
            "num_stages": self.stages,
            "enable_fp_fusion": True,
        }


def tiles_of(dtype: torch.dtype, depth: int, width: int, interprets: bool = False) -> Tiles:
    """Return tiles that fit into the shared memory of every GPU that the kernels run on.

    The interpreter gets tiles that no GPU could multiply, so that small inputs have several.
    """
    depth, width = padded(depth), padded(width)
    if interprets:
        return Tiles(4, 4, depth, width, 4, 1)
    widest = max(depth, width)
    if dtype == torch.float32:  # whose tiles are in registers as parts, too
        block, tile = (32, 32) if widest <= 64 else (32, 16) if widest <= 128 else (16, 16)
        return Tiles(block, tile, depth, width, 4, 2 if widest <= 128 else 1)
    if widest <= 64:
        return Tiles(64, 64, depth, width, 4, 2)
    if widest <= 128:
        return Tiles(64, 32, depth, width, 8, 2)
    return Tiles(32, 32, depth, width, 8, 1)


def padded(size: int) -> int:
    """Return the next power of two, at least 16, which products of tiles need."""
    return max(16, 1 << (size - 1).bit_length())


class Memory(NamedTuple):
    """One call: what is associated with what."""

    state: torch.Tensor
    stored: torch.Tensor
    projection: torch.Tensor
    beta: Beta
    mask: torch.Tensor | None
    bias: torch.Tensor | None
    alpha: float
    """1 for the softmax."""
    causal: bool = False

    @property
    def kind(self) -> str:
        """The formula of the weights, as the kernels name it."""
        return {1.0: "softmax", 1.5: "half", 2.0: "one"}.get(self.alpha, "any")


class Launch:
    """One call in the form that the kernels take."""

    def __init__(self, memory: Memory) -> None:
        tiles = kernels()._tiles
        beta: Any = memory.beta
        bias: Any = memory.bias
        mask, alpha = memory.mask, memory.alpha
        state, stored, projection = (x.detach().resolve_neg() for x in memory[:3])
        beta, bias = (
            x.detach().resolve_neg() if isinstance(x, torch.Tensor) else x for x in (beta, bias)
        )
        self.memory = memory._replace(state=state, stored=stored, projection=projection, beta=beta)
        self.layout: Layout = layout_of(state, stored, projection, mask, bias, beta)
        self.queries, self.patterns = state.shape[-2], stored.shape[-2]
        self.tiles = tiles_of(
            state.dtype, state.shape[-1], projection.shape[-1], SWITCH[0].interprets
        )
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
            alpha - 1.0,
            (alpha - 1.0) * (1.0 + 2.0 * EPS),
            1 if self.layout.aligned else None,
        )

    @property
    def blocks(self) -> int:
        """The number of blocks of queries of one leading index."""
        return -(-self.queries // self.tiles.block)

    def empty(self, *last: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return a new tensor with the leading axes of the call."""
        return self.memory.state.new_empty((*self.layout.lead, *last), dtype=dtype)

    def run(self, kernel: Any, programs: int, *arguments: Any, tiles: Tiles | None = None) -> None:
        """Run one of the kernels."""
        tiles = self.tiles if tiles is None else tiles
        with torch.cuda.device_of(self.memory.state):  # nothing for tensors on the CPU
            kernel[(programs,)](
                self.call,
                *arguments,
                KIND=self.memory.kind,
                CAUSAL=self.memory.causal,
                BLOCK=tiles.block,
                TILE=tiles.tile,
                DEPTH=tiles.depth,
                WIDTH=tiles.width,
                **tiles.options,
            )

    def forward(
        self,
        *,
        output: bool = True,
        derivative: bool = False,
        best: bool = False,
        passes: bool = False,
    ) -> Any:
        """Run the forward pass; return its results, and what the backward pass needs if asked."""
        modules, integer = kernels(), torch.int32
        entmax = self.memory.kind != "softmax"
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
            weight=self.empty(self.queries) if best else None,
            passes=self.empty(self.blocks, dtype=integer) if passes and entmax else None,
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
        """Return the derivatives by state, stored, projection and beta; None if not needed."""
        module, layout = kernels()._backward, self.layout
        state, stored, projection, beta, *_ = self.memory
        given = module.Given(
            None if by_output is None else by_output.contiguous(),
            None if by_conjugate is None else by_conjugate.contiguous(),
            results.mean,
            results.top,
            results.root,
            results.first,
            results.last,
        )
        by_state = by_beta = by_stored = by_projection = None
        if needs[0] or needs[3]:
            by_state = self.empty(*state.shape[-2:], dtype=gradient_dtype(state, layout.lead))
            by_beta = self.empty(self.queries)
            wanted = module.Wanted(
                state=by_state if needs[0] else None, beta=by_beta if needs[3] else None
            )
            programs = layout.table.shape[0] * self.blocks
            self.run(module.by_query, programs, given, wanted)
        if needs[1] or needs[2]:
            kinds = [gradient_dtype(x, layout.memory) for x in (stored, projection)]
            by_stored, by_projection = (
                x.new_empty((*layout.memory, *x.shape[-2:]), dtype=kind)
                for x, kind in zip((stored, projection), kinds, strict=True)
            )
            wanted = module.Wanted(
                stored=by_stored if needs[1] else None,
                projection=by_projection if needs[2] else None,
            )
            memories = layout.table.shape[0] // layout.group
            programs = memories * -(-self.patterns // self.tiles.tile)
            arguments = given, wanted, layout.group
            self.run(module.by_memory, programs, *arguments, tiles=self.tiles.of_memories)
        found = by_state, by_stored, by_projection, by_beta
        return [
            None if not need or gradient is None else reduced(gradient, like)
            for gradient, need, like in zip(
                found, needs, (state, stored, projection, beta), strict=True
            )
        ]


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
