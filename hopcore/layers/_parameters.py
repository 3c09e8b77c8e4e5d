"""The parameters of layers by name: their shapes and initial values.

The names are those of a torch state dict, and are the same in every framework.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._backend import Array
from hopcore.arrays._scalar_checks import MOST_SEED, as_integer, short_repr
from hopcore.layers._composed_settings import (
    DecoderSettings,
    EncoderSettings,
    LookupSettings,
    PoolingSettings,
    norm_of,
)
from hopcore.layers._network_settings import (
    EnergyTransformerSettings,
    HNLSettings,
    HNMSettings,
    LayerSettings,
    QuantizerSettings,
)
from hopcore.layers._settings import PATTERNS, HopfieldSettings
from hopcore.memory._learnable_alpha import LearnableAlpha
from hopcore.schedules._learnable_temperature import LearnableTemperature, theta_of_beta

Parameters = Mapping[str, Array]
"""Arrays by name. Under the name of a normalisation or of a linear map, such as
``association_core.out_proj``, there may be a function, which replaces its parameters.
"""

SPREAD = 0.02
"""The default standard deviation of drawn parameters."""


class Parameter(NamedTuple):
    """A parameter of a layer.

    Attributes
    ----------
    shape : tuple of int
    start : float, tuple of float or None
        The initial value; None if it is drawn from a normal distribution.
    trainable : bool
    spread : float
        The standard deviation of this distribution.
    """

    shape: tuple[int, ...]
    start: float | tuple[float, ...] | None = None
    trainable: bool = True
    spread: float = SPREAD


def layer_parameters(settings: LayerSettings) -> dict[str, Parameter]:
    """Return the parameters of a layer by name."""
    if isinstance(settings, HopfieldSettings):
        return _hopfield(settings)
    if isinstance(settings, HNLSettings | HNMSettings | QuantizerSettings):
        return _network(settings)
    if isinstance(settings, EnergyTransformerSettings):
        return _energy_transformer(settings)
    if not hasattr(settings, "parts"):
        raise TypeError(
            "settings must be settings of a layer, as HopfieldSettings(input_size=4), got "
            f"{short_repr(settings)}"
        )
    inner = {
        f"{part}.{name}": parameter
        for part, within in settings.parts().items()
        for name, parameter in layer_parameters(within).items()
    }
    if isinstance(settings, PoolingSettings):
        shape = _rows(settings, settings.pattern_size)
        return {"pooling_weights": Parameter(shape, None, settings.trainable), **inner}
    if isinstance(settings, LookupSettings):
        shape = _rows(settings, settings.pattern_size)
        own = {"lookup_weights": Parameter(shape, None, settings.trainable)}
        if settings.lookup_weights_as_separated:
            shape = _rows(settings, settings.target_size)
            trainable = settings.lookup_targets_as_trainable
            own["target_weights"] = Parameter(shape, None, trainable)
        return {**own, **inner}
    return {**inner, **_transformer(settings)}


def parameter_shapes(settings: LayerSettings) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the parameters of a layer.

    Parameters
    ----------
    settings : HopfieldSettings, PoolingSettings, LookupSettings, EncoderSettings or DecoderSettings

    Returns
    -------
    dict of str to tuple of int

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4, input_bias=False)
    >>> hopcore.layers.parameter_shapes(settings)["association_core.in_proj_weight"]
    (12, 4)
    """
    return {name: parameter.shape for name, parameter in layer_parameters(settings).items()}


@suggest_names
def initial_parameters(
    settings: LayerSettings, *, seed: int = 0, backend: str = "numpy", dtype: str = "float32"
) -> dict[str, Array]:
    """Return the parameters of a new layer: random weights, scales of 1 and biases of 0.

    Parameters
    ----------
    settings : HopfieldSettings, PoolingSettings, LookupSettings, EncoderSettings or DecoderSettings
    seed : int
        The seed of the weights, which are the same in every library.
    backend : str
        The library of the arrays.
    dtype : str
        ``"float32"``, ``"float64"``, or another dtype of the library.

    Returns
    -------
    dict of str to array

    Examples
    --------
    >>> import hopcore
    >>> settings = hopcore.HopfieldSettings(input_size=4)
    >>> hopcore.initial_parameters(settings)["norm_state_pattern.weight"]
    array([1., 1., 1., 1.], dtype=float32)
    """
    from hopcore.arrays._discovery import backend as backend_named  # noqa: PLC0415

    library = backend_named(backend)
    rng = np.random.default_rng(as_integer("seed", seed, 0, MOST_SEED))
    return {
        name: library.asarray(
            first_value(parameter, lambda one: rng.normal(0.0, one.spread, one.shape)), dtype=dtype
        )
        for name, parameter in layer_parameters(settings).items()
    }


def first_value(parameter: Parameter, draw: Callable[[Parameter], Any]) -> Any:
    """Return the initial value of a parameter, from ``draw(parameter)`` if it is random."""
    if parameter.start is None:
        return draw(parameter)
    return np.broadcast_to(np.asarray(parameter.start, np.float64), parameter.shape)


def check_parameters(settings: LayerSettings, parameters: Mapping[str, Any]) -> None:
    """Raise an error if parameters are missing, unknown or have a wrong shape."""
    wanted = parameter_shapes(settings)
    missing, unknown = sorted(set(wanted) - set(parameters)), sorted(set(parameters) - set(wanted))
    if missing or unknown:
        parts = [f"lack {', '.join(missing)}"] if missing else []
        parts += [f"hold {', '.join(unknown)}, which it has not"] if unknown else []
        raise ValueError(f"not the parameters of this layer: they {' and '.join(parts)}")
    for name, shape in wanted.items():
        given = tuple(parameters[name].shape)
        if given != shape:
            raise ValueError(f"parameter {name} must have shape {shape}, got {given}")


def inner(parameters: Parameters, name: str) -> Parameters:
    """Return the parameters of an inner layer, by the name of this layer."""
    start = f"{name}."
    return {key[len(start) :]: value for key, value in parameters.items() if key.startswith(start)}


def _rows(settings: PoolingSettings | LookupSettings, depth: int) -> tuple[int, ...]:
    many = settings.quantity
    return (1, many, depth) if settings.hopfield.batch_first else (many, 1, depth)


def _network(settings: HNLSettings | HNMSettings | QuantizerSettings) -> dict[str, Parameter]:
    if isinstance(settings, QuantizerSettings):
        shape = settings.groups, settings.quantity, settings.code_size
        return {"codebook": Parameter(shape, spread=1.0)}
    if isinstance(settings, HNLSettings):
        return _network_layer(settings)
    return {
        f"layers.{place}.{name}": parameter
        for place, layer in enumerate(settings.layers)
        for name, parameter in _network_layer(layer).items()
    }


def _network_layer(settings: HNLSettings) -> dict[str, Parameter]:
    """Return the parameters of the lookup, drawn so that features keep their magnitude."""
    return {
        name: one._replace(spread=1.0 if "." not in name else 1.0 / math.sqrt(one.shape[-1]))
        for name, one in layer_parameters(settings.lookup).items()
    }


def _energy_transformer(settings: EnergyTransformerSettings) -> dict[str, Parameter]:
    """Return the parameters of a block, drawn so that projections keep their magnitude."""
    size, spread = settings.input_size, 1.0 / math.sqrt(settings.input_size)
    heads = settings.num_heads * settings.head_size
    return {
        "norm_weight": Parameter((), 1.0),
        "norm_bias": Parameter((size,), 0.0),
        "query_weight": Parameter((heads, size), spread=spread),
        "key_weight": Parameter((heads, size), spread=spread),
        "memory_weight": Parameter((settings.quantity, size), spread=spread),
    }


def _norm(name: str, size: int, bias: bool = True) -> dict[str, Parameter]:
    parameters = {f"{name}.weight": Parameter((size,), 1.0)}
    return {**parameters, f"{name}.bias": Parameter((size,), 0.0)} if bias else parameters


def _linear(name: str, rows: int, columns: int, bias: bool) -> dict[str, Parameter]:
    parameters = {f"{name}.weight": Parameter((rows, columns))}
    return {**parameters, f"{name}.bias": Parameter((rows,), 0.0)} if bias else parameters


def _hopfield(settings: HopfieldSettings) -> dict[str, Parameter]:
    parameters: dict[str, Parameter] = {}
    beta, learned = settings.beta, settings.scaling
    shape = (len(beta),) if isinstance(beta, tuple) else ()
    if settings.learnable_scaling:
        parameters["scaling"] = Parameter(shape, beta)
    if isinstance(learned, LearnableTemperature):
        parameters["temperature"] = Parameter(shape, theta_of_beta(beta))
        if learned.shared:
            parameters["shared_temperature"] = Parameter((), theta_of_beta(1.0))
    if isinstance(settings.separation, LearnableAlpha):
        theta = settings.separation.theta
        shape = (len(theta),) if isinstance(theta, tuple) else ()
        parameters["alpha_logit"] = Parameter(shape, theta)
    parameters |= {f"association_core.{name}": value for name, value in _core(settings).items()}
    sizes = settings.stored_size, settings.input_size, settings.projection_size
    for name, size in zip(PATTERNS, sizes, strict=True):
        if settings.affine(name):
            assert size is not None
            parameters |= _norm(f"norm_{name}", size)
    return parameters


def _core(settings: HopfieldSettings) -> dict[str, Parameter]:
    if settings.static:
        return {}
    head, value, heads = settings.head_size, settings.value_size, settings.num_heads
    assert head is not None
    assert value is not None
    parameters: dict[str, Parameter] = {}
    if settings.affine("hopfield_space"):
        parameters["p_norm_weight"] = Parameter((head,), 1.0)
        parameters["p_norm_bias"] = Parameter((head,), 0.0)
    rows, bias_rows = settings.segments
    if any(rows):
        parameters |= _input_weights(settings, rows)
        if settings.input_bias:
            parameters["in_proj_bias"] = Parameter((sum(bias_rows),), 0.0)
    if settings.concat_bias_pattern:
        if not settings.stored_pattern_as_static:
            parameters["bias_k"] = Parameter((1, 1, heads * head))
        if not settings.pattern_projection_as_static:
            parameters["bias_v"] = Parameter((1, 1, heads * value))
    if not settings.disable_out_projection:
        assert settings.out_size is not None
        parameters |= _linear("out_proj", settings.out_size, heads * value, settings.input_bias)
    return parameters


def _input_weights(settings: HopfieldSettings, rows: list[int]) -> dict[str, Parameter]:
    if settings.packed:
        assert settings.input_size is not None
        return {"in_proj_weight": Parameter((sum(rows), settings.input_size))}
    columns = [settings.input_size, settings.stored_size, settings.projection_size]
    if settings.pattern_projection_as_connected and not settings.stored_pattern_as_static:
        columns[2] = settings.num_heads * (settings.head_size or 0)
    return {
        f"{letter}_proj_weight": Parameter((count, size))
        for letter, count, size in zip("qkv", rows, columns, strict=True)
        if count and size is not None
    }


def _transformer(settings: EncoderSettings | DecoderSettings) -> dict[str, Parameter]:
    width, bias = settings.association.input_size, settings.bias
    assert width is not None
    parameters = _linear("linear_residual", settings.dim_feedforward, width, bias)
    parameters |= _linear("linear_output", width, settings.dim_feedforward, bias)
    for name in [*map(norm_of, settings.PARTS), "norm_output"]:
        parameters |= _norm(name, width, bias)
    return parameters
