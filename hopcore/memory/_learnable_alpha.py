r"""An alpha of entmax that a layer learns: :math:`\alpha = 1 + \sigma(\theta)`, between 1 and 2.

Source: Correia, Niculae and Martins 2019, "Adaptively sparse transformers".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input
from hopcore.arrays._backend import Array
from hopcore.arrays._fields import check_types, known_fields
from hopcore.arrays._scalar_checks import check_number, short_repr

MOST_HEADS = 1 << 16
"""The most heads that may each learn an alpha of their own."""


@suggest_names
@dataclass(frozen=True, kw_only=True)
class LearnableAlpha:
    r"""An alpha of entmax that is learned; the ``separation`` of a Hopfield layer.

    :math:`\alpha = 1 + \sigma(\theta)` with the logistic function :math:`\sigma`: every head learns
    a value between the softmax (1) and sparsemax (2).

    Attributes
    ----------
    start : float or tuple of float
        The initial alpha, above 1 and below 2; a tuple has one for each head.
    per_head : bool
        Whether each head learns its own alpha.

    Raises
    ------
    TypeError, ValueError
        A start is not between 1 and 2.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> learned = hopcore.LearnableAlpha(start=1.25)
    >>> settings = hopcore.HopfieldSettings(input_size=8, num_heads=2, separation=learned)
    >>> parameters = hopcore.initial_parameters(settings, dtype="float64")
    >>> 1 + 1 / (1 + np.exp(-parameters["alpha_logit"]))
    array([1.25, 1.25])
    """

    start: float | tuple[float, ...] = 1.5
    per_head: bool = True

    def __post_init__(self) -> None:
        """Validate the settings."""
        if isinstance(self.start, list):
            object.__setattr__(self, "start", tuple(self.start))
        for start in self.start if isinstance(self.start, tuple) else (self.start,):
            check_number("start", start)
            if not 1.0 < start < 2.0:
                raise ValueError(
                    f"the start of an alpha must be between 1 and 2, got {short_repr(start)}"
                )
        if not isinstance(self.per_head, bool):
            raise TypeError(f"per_head must be a bool, got {short_repr(self.per_head)}")

    def of_heads(self, heads: int) -> LearnableAlpha:
        """Return the setting with a start for each head, if each learns its own."""
        if isinstance(self.start, tuple):
            if len(self.start) != heads:
                raise ValueError(
                    f"start must hold one alpha for each of the {heads} heads, "
                    f"got {len(self.start)}"
                )
            return self
        if self.per_head and heads > MOST_HEADS:
            raise ValueError(f"at most {MOST_HEADS} heads can each learn an alpha, got {heads}")
        return replace(self, start=(self.start,) * heads) if self.per_head else self

    @property
    def first(self) -> float:
        """The initial alpha of the first head."""
        return self.start[0] if isinstance(self.start, tuple) else self.start

    @property
    def theta(self) -> float | tuple[float, ...]:
        r"""The initial :math:`\theta`, one for all heads or one for each."""
        if isinstance(self.start, tuple):
            return tuple(math.log(start - 1.0) - math.log(2.0 - start) for start in self.start)
        return math.log(self.start - 1.0) - math.log(2.0 - self.start)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LearnableAlpha:
        """Return the setting from a mapping that ``dataclasses.asdict`` made."""
        given = known_fields(cls, values)
        check_types(cls, given)
        return cls(**given)


def learned_alpha(theta: Array) -> Array:
    r"""Return :math:`1 + \sigma(\theta)`, in at least float32.

    Parameters
    ----------
    theta : array

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.memory import learned_alpha
    >>> learned_alpha(np.asarray([-1000.0, 0.0, 1000.0]))
    array([1. , 1.5, 2. ])
    """
    backend = backend_of_input("theta", theta)
    theta = backend.astype(theta, backend.precise[theta.dtype])
    return 1.5 + 0.5 * backend.xp.tanh(0.5 * theta)
