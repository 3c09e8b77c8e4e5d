"""Kernels of the torch backend: what is fast where, and how it is differentiated.

Softmax associations go to torch's fused attention kernels. What those lack on the CPU (energies,
sparse separation functions) runs in NumPy's tiles on the same memory, with derivatives of its own
(:mod:`hopcore_torch.kernels._autograd`). On GPUs it is the portable kernels, a block of queries at
a time. Traces (compile, export, vmap and the other function transforms) get plain operations.
"""

from __future__ import annotations

import math
from typing import Any, cast

import array_api_compat.torch as xp
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

import hopcore
from hopcore.arrays import (
    LONG,
    PART,
    Backend,
    Beta,
    SeparationFunction,
    mask_of_columns,
    orders_of,
    register_array_type,
    with_orders,
)
from hopcore.memory import Entmax, Normmax
from hopcore_torch.kernels import _fused as fused
from hopcore_torch.kernels._autograd import (
    Association,
    Recomputed,
    Separate,
    SeparateTwoModes,
)
from hopcore_torch.kernels._blocks import TorchBlocks, separation_without_orders
from hopcore_torch.kernels._compiled import alpha_of
from hopcore_torch.kernels._functional import only_gradients
from hopcore_torch.kernels._graphs import TorchGraphKernels
from hopcore_torch.kernels._loops import TorchLoops
from hopcore_torch.kernels._modes import compiled, differentiated, eager, in_numpy, traced
from hopcore_torch.kernels._tensors import PLAIN_TYPES, TorchTensors
from hopcore_torch.kernels.triton import _associate as triton
from hopcore_torch.kernels.triton._choice import refusal, uses_triton


class CompiledNamespace:
    """The namespace of torch with three functions as compilers and exporters take them."""

    def __getattr__(self, name: str) -> Any:
        return getattr(xp, name)

    @staticmethod
    def cumulative_sum(values: torch.Tensor, axis: int) -> torch.Tensor:
        """Running sums along an axis, without a cache, of which a compiler would warn."""
        return torch.cumsum(values, axis)

    @staticmethod
    def sort(values: torch.Tensor, axis: int, descending: bool) -> torch.Tensor:
        """Sorted values; ONNX has no stable sort, and equal values need none."""
        return torch.sort(values, dim=axis, descending=descending).values

    @staticmethod
    def argsort(values: torch.Tensor, axis: int, descending: bool) -> torch.Tensor:
        """The places of sorted values, as :meth:`sort` finds them."""
        return torch.sort(values, dim=axis, descending=descending).indices


COMPILED = CompiledNamespace()


class TorchBackend(TorchTensors, TorchGraphKernels, TorchLoops, TorchBlocks):
    """torch tensors, on the CPU and on GPUs."""

    def __init__(self) -> None:
        super().__init__("torch", xp)
        self.types = PLAIN_TYPES
        for half in (torch.float16, torch.bfloat16):
            self.precise[half] = torch.float32

    def linear(
        self, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        return F.linear(features, weight, bias)

    def layer_norm(
        self,
        features: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        eps: float,
    ) -> torch.Tensor:
        if eps == 0.0:  # torch makes nan of features that are all equal
            return super().layer_norm(features, weight, bias, eps)
        return torch.layer_norm(features, features.shape[-1:], weight, bias, eps)

    def split(self, array: torch.Tensor, sizes: list[int], axis: int) -> tuple[torch.Tensor, ...]:
        return torch.split_with_sizes(array, sizes, axis)

    def relu(self, values: torch.Tensor) -> torch.Tensor:
        """By torch's own function."""
        return torch.relu(values)

    def gelu(self, values: torch.Tensor) -> torch.Tensor:
        """By torch's own function, which is computed by ``erf``, too."""
        return F.gelu(values)

    def erf(self, values: torch.Tensor) -> torch.Tensor:
        return torch.erf(values)

    def square_lengths(self, vectors: torch.Tensor) -> torch.Tensor:
        """Without an array of squares where no derivative is asked for."""
        if differentiated(vectors) or not eager():
            return super().square_lengths(vectors)
        return torch.linalg.vector_norm(vectors, dim=-1).square()

    def radius(self, stored: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """A block of patterns at a time, without a derivative, which nobody asks for."""
        if not eager():
            return super().radius(stored, mask)
        stored, found = stored.detach(), []
        rows = max(1, self.block(stored) // max(1, stored[..., :1, :].numel()))
        for start in range(0, stored.shape[-2], rows):
            some = slice(start, start + rows)
            found.append(super().radius(stored[..., some, :], mask_of_columns(mask, some)))
        return torch.stack(found).amax(0)

    def scores(
        self, state: torch.Tensor, stored: torch.Tensor, beta: Beta, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """In the precise dtype under autocast, too."""
        if not self.uses_autocast(state):
            return super().scores(state, stored, beta, mask)
        with torch.autocast(state.device.type, enabled=False):
            return super().scores(state, stored, beta, mask)

    def keys(
        self,
        stored: torch.Tensor,
        origin: torch.Tensor | None,
        bias: torch.Tensor | None,
        squares: bool = False,
    ) -> torch.Tensor:
        """In one array, which is filled in place where nothing is differentiated."""
        in_place = eager() and not differentiated(stored) and not squares and bias is None
        if origin is None or not in_place or stored.shape[:-2] != origin.shape[:-2]:
            return super().keys(stored, origin, bias, squares)
        *lead, width = stored.shape
        keys = torch.empty((*lead, width + 1), dtype=origin.dtype, device=stored.device)
        patterns = torch.sub(stored, origin, out=keys[..., :width])
        torch.mul(self.square_lengths(patterns), -0.5, out=keys[..., width])
        return keys

    def values_for(self, keys: torch.Tensor, projection: torch.Tensor) -> torch.Tensor:
        """As wide as the keys, as torch's fused kernel wants them."""
        width, missing = projection.shape[-1], keys.shape[-1] - projection.shape[-1]
        if missing <= 0:
            return projection.to(keys.dtype)
        if not eager() or differentiated(projection):
            return F.pad(projection.to(keys.dtype), (0, missing))
        # A pad would fill all of the array with zeros before it copies the projections.
        shape = *projection.shape[:-1], keys.shape[-1]
        values = torch.empty(shape, dtype=keys.dtype, device=projection.device)
        values[..., :width].copy_(projection.detach())
        values[..., width:].zero_()
        return values

    def products(self, query: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
        """Multiply part by part where torch differentiates the product with a long memory."""
        if not eager() and self.is_long(stored):
            return long_scores(query, stored)
        return super().products(query, stored)

    def separate(
        self, scores: torch.Tensor, separation: SeparationFunction
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and conjugate; their derivative is the separation's tangent, not its solver's."""
        if separation.softmax:
            return softmax(scores)
        if traced() and not torch.compiler.is_compiling():
            return self.evaluate(scores, separation)  # torch.jit takes no autograd functions
        kind = Separate if torch.compiler.is_compiling() else SeparateTwoModes
        orders = orders_of(separation)
        if orders is not None:
            orders = orders.to(scores.dtype).expand(scores.shape[:-1])
        return kind.apply(scores, orders, separation_without_orders(separation), self)

    def evaluate(
        self, scores: torch.Tensor, separation: SeparationFunction
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and conjugate without a derivative."""
        if self.can_read_values(scores):
            return in_numpy(hopcore.backend("numpy").separate, scores, numpy_orders(separation))
        if traced() and getattr(separation, "has_closed_form", False):
            # Loops are compiled apart, for sizes that are known.
            return cast("Any", separation).evaluate_sorted(scores, COMPILED)
        if traced() and isinstance(separation, Entmax | Normmax):
            separation = type(separation)(self.constant(separation.alpha))
        return super().separate(scores, separation)

    def associate(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        projection: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
        need_conjugate: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Softmax by the fused attention kernel; the others from their sparse supports."""
        if uses_triton(state) and (need_conjugate or not triton.is_left_to_torch(separation)):
            given = state, stored, projection, beta, mask, separation
            found = triton.associate(self, *given)
            if found is not None:
                return found[0], found[1] if need_conjugate else None
        softmax, wide = separation.softmax, self.precise[state.dtype]
        if state.dtype != wide and not (softmax and isinstance(beta, float)):
            # Half precision keeps beta exact only as the scale of the fused kernel.
            beta = beta if isinstance(beta, float) else beta.to(wide)
            orders = orders_of(separation)
            separation = with_orders(separation, None if orders is None else orders.to(wide))
            state_, stored_, projection_ = (x.to(wide) for x in (state, stored, projection))
            output, conjugate = self.associate(
                state_, stored_, projection_, beta, mask, separation, need_conjugate
            )
            return output.to(state.dtype), conjugate
        run_eagerly = eager()
        orders = orders_of(separation)
        tensors = state, stored, projection, None if isinstance(beta, float) else beta, orders
        # A fused kernel adds up a long memory in float32: on the CPU it gets a part at a time.
        long = state.device.type == "cpu" and self.is_long(stored)
        if softmax and not (need_conjugate or long) and (run_eagerly or traced()):
            if run_eagerly and differentiated(*tensors):
                association = Association(self, separation, beta, mask)
                output = fused.Attention.apply(association, *tensors)
            else:
                output = fused.attention(state, stored, projection, beta, mask)
            return output, None
        alpha = alpha_of(separation) if compiled() else None
        if alpha is not None and (long if softmax else self.in_blocks(state, stored)):
            output, conjugate = self.in_graph(tensors[:4], beta, mask, alpha)
            return output, conjugate if need_conjugate else None
        if not run_eagerly:
            return super().associate(
                state, stored, projection, beta, mask, separation, need_conjugate
            )

        def fast(state: Any, stored: Any, projection: Any, beta: Beta) -> Any:
            arguments = state, stored, projection, beta, mask
            if softmax and long and state.numel() > 0:
                return fused.attention_in_parts(self, *arguments)
            if softmax:
                heads = fused.heads(*arguments)
                if fused.has_lse(heads):
                    return fused.attention_with_lse(heads)
            if state.device.type == "cpu":
                dtype, numpy = state.dtype, hopcore.backend("numpy")
                if dtype != wide:  # no queries, since the fused kernel takes all others
                    arguments = (*(x.to(wide) for x in arguments[:3]), beta, mask)
                function = numpy_orders(separation)
                output, conjugate = in_numpy(numpy.associate, *arguments, function, True)
                return output.to(dtype), conjugate
            return Backend.associate(self, *arguments, separation, True)

        if not differentiated(*tensors):
            output, conjugate = fast(state, stored, projection, beta)
        else:
            association = Association(self, separation, beta, mask, fast)
            output, conjugate = Recomputed.apply(association, *tensors)
        return output, conjugate if need_conjugate else None

    def fuses_bias(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        projection: torch.Tensor,
        beta: Beta,
        bias: torch.Tensor,
        separation: SeparationFunction,
    ) -> bool:
        """For the softmax, unless a derivative by the formula, or a long memory, needs scores."""
        tensors = state, stored, projection, beta, bias
        plain = eager() and differentiated(*tensors) and state.device.type == "cpu"
        return separation.softmax and not plain and not self.is_long(stored)

    def recomputes(self, state: torch.Tensor) -> bool:
        """Outside of traces and function transforms."""
        return eager()

    def recomputed(self, function: Any, argument: Any) -> torch.Tensor:
        """By a checkpoint, which also keeps the state of the generator."""
        return checkpoint(function, argument, use_reentrant=False)

    def gives_conjugate(self, state: torch.Tensor, stored: torch.Tensor) -> bool:
        """On the CPU, where no derivative is asked for."""
        return self.can_read_values(state) and not differentiated(state, stored)

    def associate_biased(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        projection: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        bias: torch.Tensor,
        separation: SeparationFunction,
    ) -> torch.Tensor:
        """Softmax by the fused attention kernel, which adds a mask of numbers.

        On the CPU a gradient goes the plain way, which has second derivatives.
        """
        tensors = state, stored, projection, beta, bias
        if uses_triton(state) and not triton.is_left_to_torch(separation):
            found = triton.associate(self, *tensors[:4], mask, separation, bias)
            if found is not None:
                return found[0]
        if not self.fuses_bias(*tensors, separation):
            return self.biased_in_blocks(*tensors[:4], mask, bias, separation)
        if mask is not None:
            bias = bias.masked_fill(~mask, -math.inf)
        return fused.attention(state, stored, projection, beta, bias.to(state.dtype))

    def runs_plain_calls(
        self,
        stored: torch.Tensor,
        state: torch.Tensor,
        projection: torch.Tensor,
        weight: torch.Tensor,
    ) -> bool:
        """On the CPU, where operations run as called, without autocast."""
        dtype, device = stored.dtype, stored.device
        return (
            dtype == state.dtype == projection.dtype == weight.dtype
            and device == state.device == projection.device == weight.device
            and device.type == "cpu"
            and eager()
            and not torch.is_autocast_enabled("cpu")
        )

    def attention_in_heads(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        heads: int,
        beta: float,
    ) -> torch.Tensor:
        """By the fused kernel, differentiable twice."""
        # Written out, since a loop over three takes as long as the views.
        samples, patterns, _ = keys.shape
        query = queries.view(samples, -1, heads, queries.shape[2] // heads).transpose(1, 2)
        key = keys.view(samples, patterns, heads, -1).transpose(1, 2)
        value = values.view(samples, patterns, heads, -1).transpose(1, 2)
        if differentiated(query, key, value):
            found = fused.PlainAttention.apply(query, key, value, beta, self)
        else:
            found = F.scaled_dot_product_attention(query, key, value, scale=beta)
        return found.transpose(1, 2).flatten(2)

    def has_causal_kernel(
        self, state: torch.Tensor, stored: torch.Tensor, separation: SeparationFunction
    ) -> bool:
        """In blocks, or by torch's kernel for the softmax, which graphs of the compiler need.

        An exporter could not prove which of the numbers of queries and of patterns is larger.
        """
        if uses_triton(state) and not refusal(state, stored, None, 1.0, None, separation):
            return True
        return not traced() or self.has_fused_causal(state, stored, separation)

    def has_fused_causal(
        self, state: torch.Tensor, stored: torch.Tensor, separation: SeparationFunction
    ) -> bool:
        """Whether torch's causal kernel applies; a long memory on the CPU is read in parts."""
        compiled = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
        in_parts = state.device.type == "cpu" and self.is_long(stored)
        return separation.softmax and (eager() or compiled) and not in_parts

    def associate_causal(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        projection: torch.Tensor,
        beta: Beta,
        separation: SeparationFunction,
    ) -> torch.Tensor:
        """Softmax by torch's causal kernel, differentiated as in :meth:`associate`."""
        if uses_triton(state) and not triton.is_left_to_torch(separation):
            given = state, stored, projection, beta, None, separation
            found = triton.associate(self, *given, causal=True)
            if found is not None:
                return found[0]
        number = isinstance(beta, float) and separation.softmax
        if not (number and self.has_fused_causal(state, stored, separation)):
            return super().associate_causal(state, stored, projection, beta, separation)
        tensors = state, stored, projection, None, None
        if eager() and differentiated(*tensors):
            association = Association(self, separation, beta, None, causal=True)
            return fused.Attention.apply(association, *tensors)
        return fused.attention(state, stored, projection, beta, None, causal=True)

    def conjugate(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> torch.Tensor:
        """The conjugate alone, in tiles."""
        if uses_triton(state):
            found = triton.associate(self, state, stored, None, beta, mask, separation)
            if found is not None:
                return found[1]
        if not eager():
            alpha = alpha_of(separation)
            if alpha is not None and compiled() and self.in_blocks(state, stored):
                beta_ = None if isinstance(beta, float) else beta
                return self.in_graph((state, stored, None, beta_), beta, mask, alpha)[1]
            if only_gradients():
                return self.conjugate_under_transforms(state, stored, beta, mask, separation)
            return super().conjugate(state, stored, beta, mask, separation)

        def fast(state: Any, stored: Any, _: None, beta: Beta) -> torch.Tensor:
            arguments = state, stored, beta, mask
            if state.device.type == "cpu":
                function = numpy_orders(separation)
                return in_numpy(hopcore.backend("numpy").conjugate, *arguments, function)
            if separation.softmax:  # without weights, which nobody asks for
                found = self.over_blocks(lambda scores: (scores.logsumexp(-1),), *arguments)
                return found[0]
            return Backend.conjugate(self, *arguments, separation)

        beta_ = None if isinstance(beta, float) else beta
        tensors = state, stored, None, beta_, orders_of(separation)
        return Recomputed.apply(Association(self, separation, beta, mask, fast), *tensors)

    def best(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> tuple[torch.Tensor, ...]:
        """By the kernels in Triton where they apply."""
        found = None
        if uses_triton(state):
            found = triton.best(state, stored, beta, mask, separation)
        return super().best(state, stored, beta, mask, separation) if found is None else found

    def statistics(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> tuple[torch.Tensor, ...]:
        """By kernels in Triton, or a block of queries at a time.

        All at once in a trace, whose shapes may be unknown.
        """
        arguments = state, stored, beta, mask
        if uses_triton(state):
            found = triton.statistics(*arguments, separation)
            if found is not None:
                return found
        if traced():
            return self.statistics_at_once(*arguments, separation)
        orders = orders_of(separation)
        if self.can_read_values(state) and not differentiated(state, stored, beta, orders):
            function = numpy_orders(separation)
            return in_numpy(hopcore.backend("numpy").statistics, *arguments, function)
        return super().statistics(*arguments, separation)

    def statistics_at_once(
        self,
        state: torch.Tensor,
        stored: torch.Tensor,
        beta: Beta,
        mask: torch.Tensor | None,
        separation: SeparationFunction,
    ) -> tuple[torch.Tensor, ...]:
        """Weights that are differentiated are computed again, so that no block of them is kept."""
        arguments = state, stored, beta, mask, separation
        if eager() and differentiated(state, stored, beta, orders_of(separation)):
            return checkpoint(
                super().statistics_at_once,
                *arguments,
                use_reentrant=False,
                preserve_rng_state=False,
            )
        return super().statistics_at_once(*arguments)

    def is_long(self, memory: torch.Tensor) -> bool:
        """In an exported graph, only if its number of patterns is known.

        The exporter cannot prove that parts fit into an open number of patterns.
        """
        if torch.compiler.is_exporting() and not self.has_known_sizes(memory):
            return False
        return memory.shape[-2] > LONG

    def recalled(self, weights: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Without loops over parts where their number may be open."""
        if not traced() or not self.is_long(values):
            return super().recalled(weights, values)
        parts = parts_of(values)
        whole = parts * PART
        products = in_parts(weights[..., :whole].mT, parts).mT @ in_parts(values, parts)
        return products.sum(-3) + weights[..., whole:] @ values[..., whole:, :]

    def over_blocks(
        self, block: Any, state: Any, stored: Any, beta: Beta, mask: Any, *of_queries: Any
    ) -> Any:
        """All at once in a trace, whose shapes may be unknown."""
        if traced():
            return block(self.scores(state, stored, beta, mask), *of_queries)
        return super().over_blocks(block, state, stored, beta, mask, *of_queries)


def numpy_orders(separation: SeparationFunction) -> SeparationFunction:
    """A separation function whose orders, if it has any, are NumPy's."""
    orders = orders_of(separation)
    return with_orders(separation, None if orders is None else orders.detach().numpy())


def softmax(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Torch's softmax and log-sum-exp; zeros and -inf where all is masked."""
    conjugate = torch.logsumexp(scores, -1)
    empty = (conjugate == -math.inf)[..., None]
    return torch.softmax(scores.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0), conjugate


def long_scores(query: torch.Tensor, stored: torch.Tensor) -> torch.Tensor:
    """``query @ stored^T`` in blocks; the derivative by the query is then a sum of short sums."""
    parts = parts_of(stored)
    # One copy of the query for each part: their derivatives are added by one sum over an axis.
    scores = query[..., None, :, :] @ in_parts(stored, parts).mT
    rest = query @ stored[..., parts * PART :, :].mT
    return torch.cat([scores.transpose(-3, -2).flatten(-2), rest], -1)


def parts_of(memory: torch.Tensor) -> int:
    """How many whole parts a long memory has, so that at least one pattern is left over."""
    return (memory.shape[-2] - 1) // PART


def in_parts(memory: torch.Tensor, parts: int) -> torch.Tensor:
    """The whole parts of a memory, ``(..., parts, PART, d)``."""
    return memory[..., : parts * PART, :].unflatten(-2, (parts, PART))


register_array_type(
    "torch.distributed.tensor.DTensor", "hopcore_torch.distributed._backend:DistributedBackend"
)
