r"""Several layers of neurons under one energy.

With activations :math:`g_l` of the layers, their Lagrangians :math:`L_l` and couplings
:math:`W_{ab}`, the energy is

.. math:: E(g) = \sum_l L_l^*(g_l) - \sum_{(a, b)} \langle g_a, W_{ab}\, g_b \rangle,

and the update :math:`g_l \leftarrow \nabla L_l(\sum_b W_{lb}\, g_b)` of one layer is its exact
minimum where all others are fixed: the energy never rises (Krotov 2021, "Hierarchical associative
memory"; Hoover et al. 2022).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hopcore.arrays import Array, Backend
from hopcore.arrays._arguments import suggest_names
from hopcore.arrays._array_checks import backend_of_input, check_alike, check_floating
from hopcore.arrays._reprs import one_line
from hopcore.arrays._scalar_checks import MOST_STEPS, as_integer, as_number, short_repr
from hopcore.convex._lagrangians import Lagrangian, is_lagrangian


class Coupling(NamedTuple):
    """Weights between two layers.

    Attributes
    ----------
    first : str
        The name of a layer, of n neurons.
    second : str
        The name of another layer, of d neurons.
    weights : array (n, d)
        Stored patterns, for example, between hidden neurons and a state.

    Examples
    --------
    >>> import numpy as np, hopcore
    >>> hopcore.convex.Coupling("hidden", "state", np.eye(2)).first
    'hidden'
    """

    first: str
    second: str
    weights: Any

    def __repr__(self) -> str:
        return one_line(self)


@suggest_names
@dataclass(frozen=True)
class LayeredMemory:
    """Layers of neurons, coupled in pairs, with one energy that no update raises.

    Attributes
    ----------
    layers : mapping of str to Lagrangian
        The layers by their names, in the order in which they are updated.
    couplings : list of Coupling
        The weights between pairs of different layers.

    Raises
    ------
    TypeError, ValueError
        A coupling of a layer with itself or with one that does not exist; weights of other sizes
        than the layers have.

    Examples
    --------
    A modern Hopfield network, with its hidden neurons as a layer:

    >>> import numpy as np, hopcore
    >>> from hopcore.convex import Coupling, FenchelYoung, LayeredMemory, Quadratic
    >>> stored, state = np.eye(3), np.asarray([[0.8, 0.3, 0.1]])
    >>> memory = LayeredMemory(
    ...     {"hidden": FenchelYoung(8.0), "state": Quadratic()},
    ...     [Coupling("hidden", "state", stored)],
    ... )
    >>> found = memory.retrieve({"state": state, "hidden": np.ones((1, 3)) / 3}, max_sweeps=1)
    >>> np.allclose(found["state"], hopcore.update(state, stored, 8.0))
    True
    """

    layers: Mapping[str, Lagrangian]
    couplings: Sequence[Coupling]

    def __post_init__(self) -> None:
        """Validate the couplings."""
        check_layers(self.layers)
        couplings = self.couplings
        if not isinstance(couplings, list | tuple) or not all(map(is_coupling, couplings)):
            raise TypeError(
                "couplings must be a list of Coupling(first, second, weights), got "
                f"{short_repr(couplings)}"
            )
        sizes: dict[str, int] = {}
        for first, second, weights in couplings:
            if first == second:
                raise ValueError(f"a layer cannot be coupled with itself, got {first!r}")
            for axis, name in enumerate((first, second)):
                if name not in self.layers:
                    known = ", ".join(map(repr, self.layers))
                    raise ValueError(f"unknown layer {name!r}; the layers are {known}")
                if weights.ndim != 2:
                    raise ValueError(f"weights must be of two axes, got {tuple(weights.shape)}")
                size = sizes.setdefault(name, weights.shape[axis])
                if size != weights.shape[axis]:
                    raise ValueError(
                        f"the weights between {first!r} and {second!r} must be of shape "
                        f"({sizes.get(first)}, {sizes.get(second)}), got {tuple(weights.shape)}"
                    )

    def energy(self, states: Mapping[str, Array]) -> Array:
        """Return the energy of the activations of all layers.

        Parameters
        ----------
        states : mapping of str to array (..., n)
            The activations of each layer, with the same leading axes.

        Returns
        -------
        array (...)
            The energy.
        """
        backend = self._checked(states)
        parts = [layer.conjugate(states[name], backend) for name, layer in self.layers.items()]
        for first, second, weights in self.couplings:
            drive = backend.xp.matmul(states[first], weights)
            parts.append(-backend.xp.sum(drive * states[second], axis=-1))
        return sum(parts[1:], parts[0])

    def update(self, states: Mapping[str, Array], name: str) -> Array:
        """Return the new activations of one layer, the best for those of all others.

        Parameters
        ----------
        states : mapping of str to array (..., n)
            The activations of each layer.
        name : str
            The layer to update.

        Returns
        -------
        array (..., n)
            Its activations.
        """
        backend = self._checked(states)
        if name not in self.layers:
            raise ValueError(f"unknown layer {short_repr(name)}")
        return self._updated(states, name, backend)

    def retrieve(
        self,
        states: Mapping[str, Array],
        *,
        fixed: Collection[str] = (),
        max_sweeps: int = 100,
        tol: float = 1e-6,
    ) -> dict[str, Array]:
        """Update all layers in turn until nothing moves.

        Parameters
        ----------
        states : mapping of str to array (..., n)
            The activations of each layer at the beginning.
        fixed : collection of str
            Layers that stay as they are.
        max_sweeps : int
            The largest number of updates of each layer, from 0 to 1,000,000.
        tol : float
            The sweeps end when no activation changes by more than this number; >= 0. Where values
            cannot be read, as under ``jax.jit``, all sweeps are made.

        Returns
        -------
        dict of str to array (..., n)
            The activations at the end.
        """
        max_sweeps, tol = (
            as_integer("max_sweeps", max_sweeps, 0, MOST_STEPS),
            as_number("tol", tol, 0.0),
        )
        backend = self._checked(states)
        unknown = [name for name in fixed if name not in self.layers]
        if unknown:
            raise ValueError(f"unknown layer {unknown[0]!r} in fixed")
        xp, found = backend.xp, dict(states)
        for _ in range(max_sweeps):
            before = dict(found)
            for name in self.layers:
                if name not in fixed:
                    found[name] = self._updated(found, name, backend)
            moved = [xp.max(xp.abs(found[name] - before[name])) for name in self.layers]
            if all(backend.can_read_values(x) and float(x) <= tol for x in moved):
                break
        return found

    def _updated(self, states: Mapping[str, Array], name: str, backend: Backend) -> Array:
        xp, drive = backend.xp, None
        for first, second, weights in self.couplings:
            if name == first:
                part = xp.matmul(states[second], xp.matrix_transpose(weights))
            elif name == second:
                part = xp.matmul(states[first], weights)
            else:
                continue
            drive = part if drive is None else drive + part
        if drive is None:
            return states[name]
        return self.layers[name].activation(drive, states[name], backend)

    def _checked(self, states: Mapping[str, Array]) -> Backend:
        """Return the backend of the activations, or raise if they do not fit."""
        missing = [name for name in self.layers if name not in states]
        if missing:
            raise ValueError(f"states must hold the layer {missing[0]!r}")
        like = states[next(iter(self.layers))]
        backend = backend_of_input("states", like)
        check_floating(backend, "states", like)
        for name in self.layers:
            check_alike(backend, like, f"states[{name!r}]", states[name])
        for first, second, weights in self.couplings:
            check_alike(backend, like, "weights", weights)
            for axis, name in enumerate((first, second)):
                if states[name].ndim == 0 or states[name].shape[-1] != weights.shape[axis]:
                    raise ValueError(
                        f"states[{name!r}] must be (..., {weights.shape[axis]}), "
                        f"got {tuple(states[name].shape)}"
                    )
        return backend


def check_layers(layers: Any) -> None:
    """Raise if layers are not Lagrangians by their names."""
    if not isinstance(layers, Mapping) or not layers:
        raise TypeError(
            f"layers must be a mapping of names to Lagrangians, got {short_repr(layers)}"
        )
    for name, layer in layers.items():
        if not isinstance(name, str) or not is_lagrangian(layer):
            raise TypeError(
                "layers must be a mapping of names to Lagrangians such as Norm(), got "
                f"{short_repr(name)}: {short_repr(layer)}"
            )


def is_coupling(value: Any) -> bool:
    """Whether a value is two names and weights with axes."""
    return (
        isinstance(value, tuple)
        and len(value) == 3
        and all(isinstance(name, str) for name in value[:2])
        and hasattr(value[2], "shape")
        and hasattr(value[2], "ndim")
    )
