r"""Hopfield network layers: an association with learned patterns, on the soft or the hard path.

Each call gives the temperature, so that it can be annealed while the memory is learned:

.. math:: y = W_O \operatorname{concat}_h\, V_h^T w_h, \quad
    w_h = \operatorname{softmax}(r(W_Q x, K_h) / T)

with the correlation r of query and key, in [-1, 1]. In hard mode :math:`w_h` is 1 at its largest
entry and 0 elsewhere, with the gradient of the softmax (straight-through; Bengio et al. 2013).
"""

from __future__ import annotations

from collections.abc import Callable

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_alike, check_floating, shape
from hopcore.arrays._backend import Array
from hopcore.arrays._beta_checks import check_temperature, clip_beta_to_dtype
from hopcore.arrays._library import AnyArray, SomeArray, unchecked
from hopcore.layers._losses import cross_entropy
from hopcore.layers._network_settings import HNLSettings, HNMSettings
from hopcore.layers._parameters import Parameters, inner
from hopcore.layers._pooling import hopfield_lookup, learned
from hopcore.layers._projections import Patterns, project
from hopcore.layers._recall import Drop
from hopcore.phase._effective_scale import effective_scale

Noise = Callable[[tuple[int, ...], Array], Array]
"""``noise(shape, like)`` returns Gumbel noise with the dtype and device of an array."""


@suggest_names
@unchecked
def hnl(
    settings: HNLSettings,
    parameters: Parameters,
    state: SomeArray,
    *,
    temperature: float | AnyArray | None = None,
    hard: bool = False,
    noise: Noise | None = None,
    drop: Drop | None = None,
) -> SomeArray:
    """Return the association of features with a learned memory at a temperature.

    Parameters
    ----------
    settings : HNLSettings
    parameters : mapping of str to array
        By the names of :func:`hopcore.layers.parameter_shapes`.
    state : array (..., n, d)
        Features, one sample in each row.
    temperature : float or array (), optional
        Positive; the default is that of the settings. A traced scalar does not cause a new
        compilation.
    hard : bool
        Each head returns one pattern, the first one with the largest weight; the gradient is that
        of the soft weights.
    noise : callable, optional
        A function that returns Gumbel noise for the scores ``(..., H, n, S)``. In hard mode, the
        probability that a pattern is chosen is then exactly its soft weight (Gumbel-max).
    drop : callable, optional
        A function that applies dropout to association weights, before one of them is chosen.

    Returns
    -------
    array (..., n, output_size)

    Raises
    ------
    TypeError, ValueError
        The temperature is not positive, or the features do not agree with the settings.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.HNLSettings(input_size=4, output_size=3, quantity=9)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> x = np.ones((5, 4), np.float32)
    >>> hopcore.layers.hnl(settings, parameters, x, temperature=0.01, hard=True).shape
    (5, 3)
    """
    backend = backend_of_input("state", state)
    check_floating(backend, "state", state)
    memory = parameters["lookup_weights"]
    if backend.uses_autocast(state):
        state = backend.astype(state, memory.dtype)  # what a layer before made under autocast
    check_alike(backend, state, "lookup_weights", memory)
    if temperature is None:
        temperature = settings.temperature
    beta = settings.beta(check_temperature(backend, state, temperature))
    scores = None
    if noise is not None:
        full = (*shape(state)[:-2], settings.num_heads, shape(state)[-2], settings.quantity)
        scores = noise(full, state)

    return hopfield_lookup(
        settings.lookup,
        {**parameters, "hopfield.scaling": clip_beta_to_dtype(backend, beta, state)},
        state,
        association_mask=scores,
        drop=drop,
        hard=hard,
    )


@suggest_names
@unchecked
def hnm(
    settings: HNMSettings,
    parameters: Parameters,
    state: SomeArray,
    *,
    temperature: float | AnyArray | None = None,
    hard: bool = False,
    noise: Noise | None = None,
    drop: Drop | None = None,
) -> SomeArray:
    """Return the output of a stack of Hopfield network layers, all at the same temperature.

    Parameters
    ----------
    settings : HNMSettings
    parameters : mapping of str to array
    state : array (..., n, d)
    temperature, hard, noise, drop
        As in :func:`hopcore.layers.hnl`, for every layer.

    Returns
    -------
    array (..., n, output_size)

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.HNMSettings(input_size=4, output_size=3)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> hopcore.layers.hnm(settings, parameters, np.ones((5, 4), np.float32)).shape
    (5, 3)
    """
    for place, layer in enumerate(settings.layers):
        state = hnl(
            layer, inner(parameters, f"layers.{place}"), state,
            temperature=temperature, hard=hard, noise=noise, drop=drop,
        )  # fmt: skip
    return state


def hnm_cross_entropy_loss(
    settings: HNMSettings,
    parameters: Parameters,
    state: SomeArray,
    target: AnyArray,
    *,
    temperature: float | AnyArray | None = None,
    hard: bool = False,
    noise: Noise | None = None,
    drop: Drop | None = None,
) -> SomeArray:
    """Return the cross entropy of classes, with the output of the last layer as logits.

    Parameters
    ----------
    settings, parameters, state, temperature, hard, noise, drop
        As in :func:`hopcore.layers.hnm`; ``output_size`` is the number of classes.
    target : integer array (..., n)
        The class of each row.

    Returns
    -------
    array ()

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> settings = hopcore.layers.HNMSettings(input_size=4, output_size=3)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> x, y = np.ones((5, 4), np.float32), np.zeros(5, np.int64)
    >>> hopcore.layers.hnm_cross_entropy_loss(settings, parameters, x, y, temperature=0.1).shape
    ()
    """
    logits = hnm(
        settings, parameters, state, temperature=temperature, hard=hard, noise=noise, drop=drop
    )
    return cross_entropy(logits, target)


def effective_memory(settings: HNLSettings, parameters: Parameters) -> tuple[float, int]:
    """Return the scale and the number of patterns of a layer's memory, for its transition.

    Parameters
    ----------
    settings : HNLSettings
    parameters : mapping of str to array

    Returns
    -------
    scale : float
        Half the mean square distance of the patterns in the association space, over all heads. This
        is the effective inverse temperature at temperature 1
        (:func:`hopcore.phase.effective_scale`).
    patterns : int
        The number of patterns.

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.layers.HNLSettings(input_size=4, quantity=9)
    >>> parameters = hopcore.initial_parameters(settings)
    >>> scale, patterns = hopcore.layers.effective_memory(settings, parameters)
    >>> 0.0 < scale < 2.0, patterns
    (True, 9)
    """
    stored = learned(parameters["lookup_weights"])
    backend = backend_of_input("stored", stored)
    patterns = Patterns(stored, stored, stored)
    heads = project(settings.lookup.hopfield, inner(parameters, "hopfield"), backend, patterns)
    return effective_scale(heads.stored) / settings.hidden_size, settings.quantity
