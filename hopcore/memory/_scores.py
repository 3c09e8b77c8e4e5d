r"""Scores: how a state is compared with stored patterns.

The scores of a call are :math:`z_i = \beta\, s(\xi, x_i) + b_i`, with a similarity s and a bias
:math:`b_i` of each stored pattern, in units of scores. The similarity is the dot product
:math:`x_i \cdot \xi`, or the distance

.. math::
    s(\xi, x_i) = x_i \cdot \xi - \tfrac12 \|x_i\|^2
                = -\tfrac12 \|\xi - x_i\|^2 + \tfrac12 \|\xi\|^2,

whose last term changes neither weights nor updates. Both are products of a query with keys, so that
every kernel serves them: a key has :math:`-\|x_i\|^2 / 2` and :math:`b_i` as further coordinates,
and the query has 1 and :math:`1 / \beta` there. Distances do not change when all patterns and
states are moved, so the mean of the stored patterns is subtracted first: otherwise much would be
lost to cancellation where the mean is far from 0.

A separation function that is absolute needs the last term, too: then every key has a coordinate 1
in place of a bias, and the query has :math:`-\|\xi\|^2 / 2` there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from hopcore.arrays._array_checks import backend_of_input, broadcast_shapes, check_mask_shape, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._beta_checks import EXTREME, check_overflow
from hopcore.arrays._discovery import backend_of
from hopcore.arrays._edge import as_host_array, floating
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._scalar_checks import short_repr
from hopcore.arrays._score_kernels import concatenated
from hopcore.memory._compact import is_absolute

Similarity: TypeAlias = Literal["dot", "distance"]
"""How a state is compared with a stored pattern: by their dot product or by their distance."""


@dataclass(frozen=True)
class Scores:
    """How the scores of one call are computed.

    Attributes
    ----------
    keys : array (..., S, d + c) or memory in parts
        The keys, in the dtype in which scores are computed; None where they are the stored
        patterns.
    values : array (..., S, v) or memory in parts
        What is associated with the keys: the projections, maybe followed by zeros.
    origin : array (..., 1, d)
        The mean of the stored patterns, which is subtracted from them and from states; None if
        nothing is subtracted.
    biased : bool
        Whether the last coordinate of the keys is a bias.
    squares : bool
        Whether the keys have the square of each coordinate and not only the squared length, so that
        a query can leave out coordinates.
    absolute : bool
        Whether the scores are the distances themselves; then the last coordinate of the keys is 1.
    distance : bool
        Whether states are compared by their distance.
    added : array broadcastable to (..., L, S)
        Numbers that are added to the scores of each query, those of a mask; None if there are none.
    """

    keys: Any = None
    values: Any = None
    origin: Any = None
    biased: bool = False
    squares: bool = False
    distance: bool = False
    absolute: bool = False
    added: Any = None

    @property
    def arrays(self) -> tuple[Any, ...]:
        """The arrays of the scores, which may have gradients."""
        arrays = self.keys, self.values, self.origin, self.added
        return tuple(x for x in arrays if x is not None)

    def with_arrays(self, arrays: tuple[Any, ...]) -> Scores:
        """Return the same scores with other :attr:`arrays`."""
        if self is PLAIN:
            return self
        names = "keys", "values", "origin", "added"
        present = (name for name in names if getattr(self, name) is not None)
        return replace(self, **dict(zip(present, arrays, strict=True)))

    def of_first(self, patterns: int) -> Scores:
        """Return the scores of the first patterns alone."""
        if self is PLAIN:
            return self
        return replace(
            self, keys=self.keys[..., :patterns, :], values=self.values[..., :patterns, :]
        )

    def centred(self, inputs: Inputs) -> Any:
        """Return the stored patterns, for distances relative to the origin."""
        if self.origin is None:
            return inputs.stored
        return inputs.backend.without_coordinates(self.keys, inputs.stored.shape[-1])

    def centred_state(self, inputs: Inputs) -> Array:
        """Return the states relative to the origin, in the dtype in which scores are computed."""
        state = inputs.backend.astype(inputs.state, inputs.backend.precise[inputs.state.dtype])
        return state if self.origin is None else state - self.origin

    def query(self, inputs: Inputs, known: Array | None = None) -> Array:
        """Return what the keys are multiplied with, ``(..., L, d + c)``, for the states.

        ``known (..., L, d)`` is 1 for the coordinates that are compared, and 0 for the others; it
        needs keys with squares.
        """
        xp, beta, state = inputs.xp, inputs.beta, self.centred_state(inputs)
        one, parts = xp.ones_like(state[..., :1]), [state]
        if self.squares:
            seen = xp.ones_like(state) if known is None else known
            parts = [xp.where(seen > 0.0, state, 0.0), seen]
        elif self.distance:
            parts.append(one)
        if self.biased:
            parts.append(one / (beta if isinstance(beta, float) else beta[..., None]))
        if self.absolute:
            parts.append(-0.5 * inputs.backend.square_lengths(parts[0])[..., None])
        return concatenated(xp, parts)

    def conjugate(self, inputs: Inputs, conjugate: Array) -> Array:
        r"""Return the conjugate of the scores, given that of the products of queries and keys.

        For distances these are the scores :math:`-\beta \|\xi - x_i\|^2 / 2`, whatever the origin.
        """
        if not self.distance or self.absolute:
            return conjugate
        backend, xp, beta = inputs.backend, inputs.xp, inputs.beta
        level = 0.5 * beta * backend.square_lengths(self.centred_state(inputs))
        return xp.where(conjugate > -math.inf, conjugate - level, -math.inf)

    def inputs(self, inputs: Inputs, known: Array | None = None) -> Inputs:
        """Return inputs whose state is the :meth:`query` and whose stored patterns are the keys."""
        if self is PLAIN:
            return inputs
        backend, beta = inputs.backend, inputs.beta
        precise = backend.precise[inputs.state.dtype]
        return inputs._replace(
            state=self.query(inputs, known),
            stored=self.keys,
            projection=self.values,
            beta=beta if isinstance(beta, float) else backend.astype(beta, precise),
        )

    def recalled(self, inputs: Inputs, output: Array) -> Array:
        """Return an association with the values as one with the projections of the inputs."""
        if self is PLAIN:
            return output
        width = inputs.projection.shape[-1]
        if output.shape[-1] != width:
            output = output[..., :width]
        return inputs.backend.astype(output, inputs.state.dtype)


PLAIN = Scores()
"""Products of states with stored patterns and nothing else."""


def scores_of(
    inputs: Inputs,
    similarity: Similarity,
    bias: Any,
    *,
    squares: bool = False,
    separation: Any = None,
    added: Any = None,
) -> Scores:
    """Return how the scores of checked inputs are computed; raise if the options do not fit.

    A separation function that is absolute gets the distances themselves. ``added`` are the numbers
    of a mask.
    """
    if similarity == "dot" and bias is None and added is None:
        return PLAIN
    check_similarity(similarity)
    backend, mask = inputs.backend, inputs.mask
    own_scores = getattr(backend, "own_scores", None)
    if own_scores is not None:
        own = own_scores(inputs, similarity, bias, squares=squares, added=added is not None)
        if own is not None:
            return own
    absolute = is_absolute(separation)
    if added is not None:
        bias, added = bias_and_added(inputs, bias, added, separation)
    if absolute:
        bias = ones_for(inputs, bias, separation)
    elif bias is not None:
        bias = checked_bias(inputs, bias)
    origin = backend.origin(inputs.stored, mask) if similarity == "distance" else None
    scores = scores_from(origin, inputs, bias, squares, absolute)
    if added is not None:
        scores = replace(scores, added=added)
    if not (isinstance(inputs.beta, float) and inputs.beta < EXTREME):
        scored = scores.inputs(inputs)
        if backend.can_read_values(scored.state):
            check_overflow(backend, scored.state, scored.stored, scored.beta, mask)
    return scores


def check_updated(inputs: Inputs, scores: Scores = PLAIN) -> None:
    """Raise if scores of an updated state could overflow: it may be as long as what is recalled.

    Distances of a memory in parts were checked with its keys, which hold the squared lengths.
    """
    backend, xp, state, _, values, beta, mask = inputs
    if not backend.can_read_values(state):
        return
    if isinstance(beta, float):
        largest = beta
    elif 0 in beta.shape or not backend.can_read_values(beta):
        return
    else:
        largest = float(xp.max(backend.constant(beta)))
    if largest < EXTREME:
        return
    if scores is PLAIN:
        check_overflow(backend, state, inputs.stored, largest, mask, values)
    elif type(values) is type(state):
        scored = scores.inputs(inputs._replace(state=values, beta=largest))
        check_overflow(backend, scored.state, scored.stored, largest, mask)


def ones_for(inputs: Inputs, bias: Any, separation: Any) -> Array:
    """Return a one for each stored pattern; raise if a bias was given, which takes its place."""
    if bias is not None:
        raise ValueError(
            f"a bias would change the radius of a pattern, not its share: leave it out with "
            f"separation={separation}"
        )
    backend, state = inputs.backend, inputs.state
    patterns = inputs.stored.shape[-2]
    precise = backend.precise[state.dtype]
    return inputs.xp.ones((patterns,), dtype=precise, device=backend.device(state))


def bias_and_added(
    inputs: Inputs, bias: Any, added: Any, separation: Any
) -> tuple[Any, Array | None]:
    """Return a bias with the numbers of a mask that are the same for all queries, and the others.

    Raise if the numbers do not fit the inputs.
    """
    if is_absolute(separation):
        raise ValueError(
            "a mask of numbers would change the radius of a pattern, not its share: write "
            f"mask=mask > -inf with separation={separation}"
        )
    backend = backend_of(inputs.state)
    added = floating("mask", as_host_array("mask", added), backend, backend.device(inputs.state))
    other = backend_of_input("mask", added)
    if other is not backend:
        raise TypeError(
            f"state and mask must be arrays of one library, got {backend.name} and {other.name}"
        )
    check_mask_shape(inputs.state, inputs.stored, added)
    precise, patterns = backend.precise[inputs.state.dtype], inputs.stored.shape[-2]
    if backend.can_read_values(added):
        check_magnitude(backend, added, precise, "mask")
    added = backend.astype(added, precise)
    if added.ndim > 1 and added.shape[-2] != 1:
        if getattr(backend_of(inputs.stored), "refusal_as_state", ""):
            raise TypeError(
                "a mask of numbers for each query needs all scores, of which a memory in parts has "
                "too many; numbers for the patterns, the same for all queries, are bias=, (S,)"
            )
        return bias, added
    row = added if added.ndim == 1 else added[..., 0, :]
    row = backend.xp.broadcast_to(row, (*row.shape[:-1], patterns))
    return row if bias is None else row + checked_bias(inputs, bias), None


def scores_from(
    origin: Array | None,
    inputs: Inputs,
    bias: Array | None = None,
    squares: bool = False,
    absolute: bool = False,
) -> Scores:
    """Return scores by distances from an origin ``(..., 1, d)``, or by dot products without one.

    If they are ``absolute``, the bias holds ones.
    """
    keys = inputs.backend.keys(inputs.stored, origin, bias, squares)
    values = inputs.backend.values_for(keys, inputs.projection)
    biased = bias is not None and not absolute
    return Scores(keys, values, origin, biased, squares, origin is not None, absolute)


def scores_from_zero(inputs: Inputs) -> Scores:
    """Return scores by distances from which no origin is subtracted."""
    keys = keys_from_zero(inputs.backend, inputs.stored)
    return Scores(keys, inputs.backend.values_for(keys, inputs.projection), distance=True)


def keys_from_zero(backend: Backend, stored: Array) -> Array:
    """Return the keys ``(..., S, d + 1)`` of distances from which no origin is subtracted."""
    precise = backend.astype(stored, backend.precise[stored.dtype])
    return backend.keys(precise, None, -0.5 * backend.square_lengths(precise))


def with_one(xp: Any, state: Array) -> Array:
    """Return the queries ``(..., L, d + 1)`` that are multiplied with :func:`keys_from_zero`."""
    return xp.concat([state, xp.ones_like(state[..., :1])], axis=-1)


def check_similarity(similarity: Any) -> None:
    """Raise if a similarity is unknown."""
    if not isinstance(similarity, str):
        raise TypeError(f"similarity must be 'dot' or 'distance', got {type(similarity).__name__}")
    if similarity not in get_args(Similarity):
        raise ValueError(f"similarity must be 'dot' or 'distance', got {short_repr(similarity)}")


def checked_bias(inputs: Inputs, bias: Any) -> Array:
    """Return a bias ``(..., S)`` in the dtype in which scores are computed.

    Lists, integers and NumPy arrays are converted as patterns are.
    """
    library, state = backend_of(inputs.state), inputs.state
    bias = as_host_array("bias", bias)
    bias = floating("bias", bias, library, library.device(state))
    other = backend_of_input("bias", bias)
    if other is not library:
        raise TypeError(
            f"state and bias must be arrays of one library, got {library.name} and {other.name}"
        )
    if bias.dtype not in library.precise:
        raise TypeError(f"bias must be real floating, got {bias.dtype}")
    patterns = inputs.stored.shape[-2]
    if bias.ndim == 0 or bias.shape[-1] != patterns:
        raise ValueError(
            f"bias must hold one number for each stored pattern, (..., {patterns}), "
            f"got {shape(bias)}"
        )
    broadcast_shapes(
        state=shape(state)[:-2], stored=shape(inputs.stored)[:-2], bias=shape(bias)[:-1]
    )
    precise = library.precise[state.dtype]
    if library.can_read_values(bias):
        check_magnitude(library, bias, precise)
    return library.astype(bias, precise)


def check_magnitude(library: Backend, bias: Array, precise: Any, name: str = "bias") -> None:
    """Raise if numbers are not finite, or not in the dtype in which scores are computed."""
    xp = library.xp
    most = min(float(xp.finfo(dtype).max) for dtype in (bias.dtype, precise))
    wrong = ~(xp.abs(bias) <= most)
    if bool(xp.any(wrong)):
        index = tuple(int(axis[0]) for axis in xp.nonzero(wrong))
        value = float(bias[index])
        hint = f"; with this state it can be at most {most:.2g}" if math.isfinite(value) else ""
        if value == -math.inf:
            hint = "; to leave out a pattern, write mask="
        raise ValueError(f"{name} must be finite, got {value:g} at index {index}{hint}")
