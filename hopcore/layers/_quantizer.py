r"""A vector quantiser with a temperature: features become patterns of a codebook.

Each part z of the features is replaced by a mixture of the codes c of its codebook, softly with
the weights :math:`w = \operatorname{softmax}(-\|z - c\|^2 / T)`, or by the nearest of them (van den
Oord et al. 2017).
"""

from __future__ import annotations

import math
from typing import Generic, NamedTuple

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_alike, check_floating, shape
from hopcore.arrays._backend import Array, Backend
from hopcore.arrays._beta_checks import check_temperature
from hopcore.arrays._library import AnyArray, SomeArray, unchecked
from hopcore.arrays._reprs import one_line
from hopcore.layers._losses import mean
from hopcore.layers._network_settings import QuantizerSettings
from hopcore.layers._networks import Noise
from hopcore.layers._parameters import Parameters
from hopcore.memory._separation import separate


class Quantized(NamedTuple, Generic[SomeArray]):
    r"""The result of :func:`quantize`.

    Attributes
    ----------
    values : array (..., input_size)
        The quantised features.
    codes : integer array (..., groups)
        The nearest code of each group, or the first of equally near codes; with noise, the chosen
        code.
    weights : array (..., groups, quantity)
        The soft weights.
    commitment : array ()
        The mean squared distance of features and nearest codes as a loss of the codebook, plus
        ``commitment`` times the same distance as a loss of the features. It is 0 if there are no
        features. It has at least float32, like ``divergence``, because squares in float16 may
        overflow.
    divergence : array ()
        The mean Kullback-Leibler divergence of the hard path from the soft path, :math:`-\ln \max_c
        w_c`. It is 0 if both paths agree. Equally large weights share its derivative.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.QuantizerSettings(input_size=2, quantity=4)
    >>> codebook = hopcore.initial_parameters(settings)
    >>> found = hopcore.layers.quantize(settings, codebook, np.ones((3, 2), np.float32))
    >>> found.values.shape, found.codes.shape, found.weights.shape
    ((3, 2), (3, 1), (3, 1, 4))
    """

    values: SomeArray
    codes: SomeArray
    weights: SomeArray
    commitment: SomeArray
    divergence: SomeArray

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@unchecked
def quantize(
    settings: QuantizerSettings,
    parameters: Parameters,
    features: SomeArray,
    *,
    temperature: float | AnyArray | None = None,
    hard: bool = False,
    noise: Noise | None = None,
) -> Quantized[SomeArray]:
    r"""Return features replaced by codes: a soft mixture, or the nearest code of each group.

    Parameters
    ----------
    settings : QuantizerSettings
    parameters : mapping of str to array
        ``codebook``, ``(groups, quantity, input_size / groups)``.
    features : array (..., input_size)
    temperature : float or array (), optional
        The temperature of the squared distances, positive; the default is that of the settings.
    hard : bool
        The values are exactly the nearest codes. Their gradient is passed to the features unchanged
        (straight-through), and the codebook learns only from ``commitment``.
    noise : callable, optional
        A function that returns Gumbel noise for the scores ``(..., groups, quantity)``.

    Returns
    -------
    Quantized

    Raises
    ------
    TypeError, ValueError
        The temperature is not positive, or the features do not agree with the settings.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.QuantizerSettings(input_size=2, quantity=2)
    >>> codebook = {"codebook": np.asarray([[[0.0, 0.0], [1.0, 1.0]]])}
    >>> found = hopcore.layers.quantize(settings, codebook, np.asarray([[0.9, 0.8]]), hard=True)
    >>> found.values, found.codes, round(float(found.commitment), 5)
    (array([[1., 1.]]), array([[1]]), 0.03125)
    """
    backend = backend_of_input("features", features)
    check_floating(backend, "features", features)
    xp, codebook = backend.xp, parameters["codebook"]
    check_alike(backend, features, "codebook", codebook)
    if features.ndim < 1 or features.shape[-1] != settings.input_size:
        raise ValueError(
            f"features must be (..., {settings.input_size}), as input_size, got {shape(features)}"
        )
    if temperature is None:
        temperature = settings.temperature
    temperature = check_temperature(backend, features, temperature)
    lead = shape(features)[:-1]
    parts = xp.reshape(features, (*lead, settings.groups, settings.code_size))
    precise = backend.precise[features.dtype]
    precise_parts, precise_codes = (backend.astype(x, precise) for x in (parts, codebook))
    # Less than the squared distance by that of the part, which is the same for all codes.
    products = by_group(precise_parts, xp.matrix_transpose(precise_codes))
    distances = xp.sum(precise_codes * precise_codes, axis=-1) - 2.0 * products
    scores = (backend.constant(xp.min(distances, axis=-1, keepdims=True)) - distances) / temperature
    if noise is not None:
        scores = scores + noise(shape(scores), features)
    weights = backend.astype(separate(scores), features.dtype)
    codes = xp.argmax(backend.constant(scores), axis=-1)
    nearest = codes_of(backend, codebook, codes)
    if hard:
        # The codes themselves, to the last digit; what is added is 0 and brings the gradient.
        values = backend.constant(nearest) + (parts - backend.constant(parts))
    else:
        values = by_group(weights, codebook)
    # Squares of half precision overflow, their mean may not.
    near = backend.astype(nearest, precise)
    to_codes = backend.constant(precise_parts) - near
    to_features = precise_parts - backend.constant(near)
    commitment = mean(to_codes * to_codes, xp)
    commitment = commitment + settings.commitment * mean(to_features * to_features, xp)
    return Quantized(
        xp.reshape(values, (*lead, settings.input_size)),
        codes,
        weights,
        commitment,
        # The largest weight is at least 1 / quantity.
        -mean(xp.log(backend.astype(xp.max(weights, axis=-1), precise)), xp),
    )


def codes_of(backend: Backend, codebook: Array, codes: Array) -> Array:
    """Take the codes ``(..., G, k)`` with these numbers ``(..., G)`` from ``(G, quantity, k)``."""
    xp, (groups, quantity, size) = backend.xp, shape(codebook)
    codes = backend.astype(codes, backend.index_dtype(groups * quantity))
    first = xp.arange(groups, dtype=codes.dtype, device=backend.device(codes)) * quantity
    rows = xp.reshape(codebook, (groups * quantity, size))
    taken = xp.take(rows, xp.reshape(codes + first, (-1,)), axis=0)
    return xp.reshape(taken, (*shape(codes), size))


def by_group(values: Array, matrices: Array) -> Array:
    """Multiply values ``(..., G, m)`` by matrices ``(G, m, k)``, which gives ``(..., G, k)``.

    There is one product for each group, because broadcasting the matrices over the samples would
    copy them.
    """
    xp, (groups, rows, columns) = backend_of_input("values", values).xp, shape(matrices)
    count = math.prod(shape(values)[:-2])
    flat = xp.permute_dims(xp.reshape(values, (count, groups, rows)), (1, 0, 2))
    found = xp.permute_dims(xp.matmul(flat, matrices), (1, 0, 2))
    return xp.reshape(found, (*shape(values)[:-1], columns))
