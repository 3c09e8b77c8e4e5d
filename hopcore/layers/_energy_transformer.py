r"""The energy transformer block: attention and a memory as one energy, whose gradient is followed.

With tokens x, their normalisation :math:`g = \gamma\, (x - \bar x) / \sqrt{\operatorname{var}(x) +
\epsilon} + \delta`, queries :math:`Q_h = W^Q_h g` and keys :math:`K_h = W^K_h g`, the energy is

.. math::
    E(g) = -\frac1\beta \sum_h \sum_q \log \sum_k e^{\beta K_{hk} \cdot Q_{hq}}
           - \frac12 \sum_q \|(\Xi g_q)_+\|^2 .

A step is :math:`x \leftarrow x - \eta\, \partial E / \partial g`, with

.. math::
    -\frac{\partial E}{\partial g} = \sum_h \left( {W^Q_h}^T A_h K_h + {W^K_h}^T A_h^T Q_h \right)
        + \Xi^T (\Xi g)_+ ,

two associations with exchanged roles (Hoover et al. 2023, "Energy transformer").
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hopcore.arrays import Array, Backend
from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import (
    backend_of_input,
    broadcast_mask,
    check_alike,
    check_floating,
    shape,
)
from hopcore.arrays._inputs import Inputs
from hopcore.arrays._library import AnyArray, SomeArray, quiet, unchecked
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer
from hopcore.layers._network_settings import EnergyTransformerSettings
from hopcore.layers._parameters import Parameters
from hopcore.memory import get_separation
from hopcore.memory._scores import Scores


class Tokens(NamedTuple):
    """Tokens of one call in the precise dtype, with the parameters of the block."""

    backend: Backend
    settings: EnergyTransformerSettings
    parameters: dict[str, Array]
    tokens: Array
    shown: Array | None
    """Which tokens are no padding, ``(..., L)``."""

    @property
    def mask(self) -> Array | None:
        """Which tokens may be attended to, broadcastable to ``(..., H, L, L)``; symmetric."""
        xp, length = self.backend.xp, self.tokens.shape[-2]
        mask = None if self.shown is None else self.shown[..., None, None, :]
        if self.settings.attends_to_itself:
            return mask
        place = xp.arange(length, device=self.backend.device(self.tokens))
        others = place[:, None] != place[None, :]
        return others if mask is None else mask & others

    def normalized(self) -> Array:
        """The normalised tokens g."""
        unit = self.backend.layer_norm(self.tokens, None, None, self.settings.eps)
        return unit * self.parameters["norm_weight"] + self.parameters["norm_bias"]

    def heads(self, g: Array, name: str) -> Array:
        """Queries or keys of the normalised tokens, ``(..., H, L, y)``."""
        xp, settings = self.backend.xp, self.settings
        flat = self.backend.linear(g, self.parameters[f"{name}_weight"], None)
        parts = xp.reshape(flat, (*shape(flat)[:-1], settings.num_heads, settings.head_size))
        return xp.moveaxis(parts, -2, -3)

    def joined(self, heads: Array, name: str) -> Array:
        """The transpose of :meth:`heads`: ``(..., H, L, y)`` to ``(..., L, d)``."""
        xp = self.backend.xp
        parts = xp.moveaxis(heads, -3, -2)
        flat = xp.reshape(parts, (*shape(parts)[:-2], parts.shape[-2] * parts.shape[-1]))
        return xp.matmul(flat, self.parameters[f"{name}_weight"])

    def hidden(self, g: Array) -> Array:
        """The rectified scores of the memory, ``(..., L, M)``."""
        return self.backend.relu(self.backend.linear(g, self.parameters["memory_weight"], None))

    def only_shown(self, values: Array) -> Array:
        """Values ``(..., L, d)`` with zeros for padding."""
        if self.shown is None:
            return values
        return self.backend.xp.where(self.shown[..., None], values, 0.0)


@suggest_names
@unchecked
def energy_transformer(
    settings: EnergyTransformerSettings,
    parameters: Parameters,
    tokens: SomeArray,
    *,
    padding_mask: AnyArray | None = None,
    steps: int | None = None,
) -> SomeArray:
    """Return tokens after some steps down the energy of the block.

    Parameters
    ----------
    settings : EnergyTransformerSettings
    parameters : mapping of str to array
        By the names of :func:`hopcore.layers.parameter_shapes`.
    tokens : array (..., L, d)
        Token features.
    padding_mask : boolean array (..., L), optional
        **True = padding**: such a token is not attended to, does not attend, and stays as it is.
        It may hold any value.
    steps : int, optional
        The number of steps, from 0 to 1,000,000; the default is that of the settings.

    Returns
    -------
    array (..., L, d)
        The tokens after the last step.

    Raises
    ------
    TypeError, ValueError
        The tokens or the mask do not agree with the settings.

    Notes
    -----
    The energy falls along the direction of a step. A step that is too large may still raise it:
    take a smaller ``step_size`` if :func:`energy_transformer_energy` does not fall. No array of
    shape (L, L) is held, but for a mask of one byte an entry if ``attends_to_itself`` is False.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.EnergyTransformerSettings(input_size=8, num_heads=2, head_size=4)
    >>> parameters = hopcore.initial_parameters(settings, dtype="float64")
    >>> tokens = np.random.default_rng(0).normal(size=(1, 5, 8))
    >>> found = hopcore.layers.energy_transformer(settings, parameters, tokens)
    >>> energy = hopcore.layers.energy_transformer_energy
    >>> bool(energy(settings, parameters, found)[0] < energy(settings, parameters, tokens)[0])
    True
    """
    now = tokens_of(settings, parameters, tokens, padding_mask)
    steps = settings.steps if steps is None else as_integer("steps", steps, 0, MOST_STEPS)
    given = now.tokens
    for _ in range(steps):
        moved = now.tokens + settings.step_size * descent(now)
        now = now._replace(tokens=moved)
    backend = now.backend
    found: Array = now.tokens if steps else backend.copied(given)
    if now.shown is not None:
        wide = backend.astype(tokens, now.tokens.dtype)
        found = backend.xp.where(now.shown[..., None], found, wide)
    return backend.astype(found, tokens.dtype)


@suggest_names
@unchecked
def energy_transformer_energy(
    settings: EnergyTransformerSettings,
    parameters: Parameters,
    tokens: SomeArray,
    *,
    padding_mask: AnyArray | None = None,
) -> SomeArray:
    """Return the energy of the tokens of a block.

    Parameters
    ----------
    settings, parameters, tokens, padding_mask
        As in :func:`energy_transformer`.

    Returns
    -------
    array (...)
        In the dtype of the tokens, or float32 for half precision.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.EnergyTransformerSettings(input_size=8, num_heads=2, head_size=4)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> tokens = np.ones((3, 5, 8), np.float32)
    >>> hopcore.layers.energy_transformer_energy(settings, parameters, tokens).shape
    (3,)
    """
    return energy_of_tokens(tokens_of(settings, parameters, tokens, padding_mask))


@quiet
def energy_of_tokens(now: Tokens) -> Any:
    """:func:`energy_transformer_energy` of checked tokens."""
    backend, xp, g = now.backend, now.backend.xp, now.normalized()
    query, key = now.heads(g, "query"), now.heads(g, "key")
    beta = now.settings.inverse_temperature
    level = backend.conjugate(query, key, beta, now.mask, get_separation("softmax"))
    counted = level > -float("inf")
    if now.shown is not None:
        counted = counted & now.shown[..., None, :]
    attention = xp.sum(xp.where(counted, level, 0.0), axis=(-2, -1)) / beta
    hidden = now.only_shown(now.hidden(g))
    return -attention - 0.5 * xp.sum(hidden * hidden, axis=(-2, -1))


@quiet
def descent(now: Tokens) -> Any:
    """Minus the gradient of the energy by the normalised tokens, ``(..., L, d)``."""
    backend, xp, g = now.backend, now.backend.xp, now.normalized()
    query, key, mask = now.heads(g, "query"), now.heads(g, "key"), now.mask
    beta, softmax = now.settings.inverse_temperature, get_separation("softmax")
    by_query, level = backend.associate(query, key, key, beta, mask, softmax, True)
    assert level is not None
    # What a key gets from all queries: an association with roles exchanged, biased by -level.
    bias = xp.where(level > -float("inf"), -level, 0.0)
    inputs = Inputs(backend, xp, key, query, query, beta, mask)
    keys = backend.keys(query, None, bias)
    scores = Scores(keys, backend.values_for(keys, query), None, biased=True)
    scored = scores.inputs(inputs)
    output, total = backend.associate(*scored[2:], softmax, True)
    assert total is not None
    by_key = scores.recalled(inputs, output) * xp.exp(total)[..., None]
    down = now.joined(by_query, "query") + now.joined(by_key, "key")
    down = down + xp.matmul(now.hidden(g), now.parameters["memory_weight"])
    return now.only_shown(down)


def tokens_of(
    settings: EnergyTransformerSettings, parameters: Parameters, tokens: Any, padding_mask: Any
) -> Tokens:
    """Check the tokens of a call, and hide what is padding."""
    if not isinstance(settings, EnergyTransformerSettings):
        raise TypeError(
            f"settings must be EnergyTransformerSettings, got {type(settings).__name__}"
        )
    backend = backend_of_input("tokens", tokens)
    check_floating(backend, "tokens", tokens)
    if tokens.ndim < 2 or tokens.shape[-1] != settings.input_size:
        raise ValueError(
            f"tokens must be (..., L, {settings.input_size}), as input_size, got {shape(tokens)}"
        )
    for name, value in parameters.items():
        check_alike(backend, tokens, name, value)
    wide, shown = backend.precise[tokens.dtype], None
    precise = backend.astype(tokens, wide)
    if padding_mask is not None:
        shown = ~broadcast_mask(backend, padding_mask, shape(tokens)[:-1])
        precise = backend.xp.where(shown[..., None], precise, 0.0)
    owned = {name: backend.astype(value, wide) for name, value in parameters.items()}
    return Tokens(backend, settings, owned, precise, shown)
