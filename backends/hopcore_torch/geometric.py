r"""Diffusion over the graphs of PyTorch Geometric.

:class:`HeatKernelDiffusion` is a transform that smooths the features of a graph by the heat kernel
:math:`e^{-\eta L}`, without an (N, N) matrix::

    transform = torch_geometric.transforms.Compose([
        torch_geometric.transforms.ToUndirected(), HeatKernelDiffusion(eta=1.0)
    ])

:func:`to_graph` turns the edges into a :class:`hopcore.Graph`, whose ``edge_index`` and
``edge_weight`` lead back. The module uses the attributes of a graph and does not import PyTorch
Geometric.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import torch

from hopcore.diffusion import ChebyshevDiffusion
from hopcore.graphs import Graph

__all__ = ["HeatKernelDiffusion", "Symmetrize", "to_graph"]

Symmetrize: TypeAlias = Literal["mean", "max"]
"""How the weights of the two directions of an edge become one."""

RULES = ("mean", "max")


def to_graph(
    data: Any,
    *,
    edge_weight: str | None = None,
    symmetrize: Symmetrize | None = None,
    dtype: torch.dtype | None = None,
) -> Graph:
    """The graph of a ``torch_geometric.data.Data``.

    Parameters
    ----------
    data : object with ``edge_index`` (2, E) and ``num_nodes``
        A ``Data`` or a ``Batch`` of PyTorch Geometric. The graphs of a batch are one graph without
        edges between them.
    edge_weight : str, optional
        The attribute that has the weights ``(E,)`` or ``(E, 1)`` of the edges. By default it is
        ``edge_weight`` where the data have it, and otherwise all weights are 1: ``edge_attr`` may
        hold features instead of weights and is used only if it is named.
    symmetrize : {"mean", "max"}, optional
        How the weights of the two directions of an edge become one, where a missing direction has
        the weight 0. By default they must be equal.
    dtype : torch.dtype, optional
        The dtype of the weights; by default their own, or float32.

    Returns
    -------
    Graph
        Without loops, from a node to itself. Weights of an edge that is given several times are
        added up, as in message passing.

    Raises
    ------
    TypeError, ValueError
        No edges; several types of nodes; ends that are not nodes; weights that are negative, not
        finite or of another shape; directions with different weights.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> from hopcore_torch.geometric import to_graph
    >>> data = SimpleNamespace(edge_index=torch.tensor([[0, 1, 1], [1, 0, 2]]), num_nodes=3)
    >>> to_graph(data, symmetrize="max").edge_index
    tensor([[0, 1, 1, 2],
            [1, 0, 2, 1]], dtype=torch.int32)
    """
    check_rule(symmetrize)
    edges, nodes = checked_edges(data)
    weights = checked_weights(data, edges, edge_weight, dtype)
    other = edges[0] != edges[1]
    if not bool(other.all()):
        edges, weights = edges[:, other], weights[other]
    low, high = torch.minimum(edges[0], edges[1]), torch.maximum(edges[0], edges[1])
    pairs, pair_of_edge = torch.unique(low * nodes + high, return_inverse=True)
    ends = torch.stack([pairs // nodes, pairs % nodes])
    upward = edges[0] < edges[1]
    there, back = (
        weights.new_zeros(len(pairs)).index_add(0, pair_of_edge, weights * direction)
        for direction in (upward, ~upward)
    )
    largest = torch.maximum(there, back)
    if symmetrize is None:
        check_symmetric(ends, there, back, largest)
    one = (there + back) / 2.0 if symmetrize == "mean" else largest
    return Graph.from_edges(ends, one, nodes)


def check_rule(symmetrize: Any) -> None:
    """Raise unless a rule for the two directions of an edge is known."""
    if symmetrize is not None and symmetrize not in RULES:
        raise ValueError(f"symmetrize must be 'mean', 'max' or None, got {symmetrize!r}")


def checked_edges(data: Any) -> tuple[torch.Tensor, int]:
    """Return the edges ``(2, E)`` of int64, and the number of nodes."""
    if hasattr(data, "edge_types"):
        raise TypeError(
            f"a {type(data).__name__} has several types of nodes; use data.to_homogeneous()"
        )
    edges = getattr(data, "edge_index", None)
    if not isinstance(edges, torch.Tensor) or getattr(data, "num_nodes", None) is None:
        raise TypeError(
            f"data must have edge_index, a tensor, and num_nodes, got {type(data).__name__}; "
            "a sparse adj_t comes before ToSparseTensor as edge_index"
        )
    integers = not (edges.is_floating_point() or edges.is_complex() or edges.dtype == torch.bool)
    if edges.ndim != 2 or edges.shape[0] != 2 or not integers:
        raise ValueError(
            f"edge_index must be integers (2, E), got {tuple(edges.shape)} of {edges.dtype}"
        )
    nodes = int(data.num_nodes)
    edges = edges.as_subclass(torch.Tensor).long()
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= nodes):
        raise ValueError(
            f"edge_index must join nodes 0 to {nodes - 1}, "
            f"got {int(edges.min())} to {int(edges.max())}"
        )
    return edges, nodes


def checked_weights(
    data: Any, edges: torch.Tensor, name: str | None, dtype: torch.dtype | None
) -> torch.Tensor:
    """Return the weights ``(E,)`` of the edges."""
    weights = getattr(data, name or "edge_weight", None)
    count = edges.shape[1]
    if weights is None:
        if name is not None:
            raise ValueError(f"data have no {name}; leave edge_weight out for weights of 1")
        return torch.ones(count, dtype=dtype or torch.float32, device=edges.device)
    name = name or "edge_weight"
    if tuple(weights.shape) not in ((count,), (count, 1)):
        raise ValueError(
            f"{name} must be ({count},), a weight for each edge, got {tuple(weights.shape)}"
        )
    weights = weights.reshape(count)
    usual = weights.dtype if weights.is_floating_point() else torch.float32
    weights = weights.to(dtype or usual)
    bad = ~((weights >= 0) & (weights < math.inf))
    if bool(bad.any()):
        raise ValueError(f"{name} must be finite and >= 0, got {float(weights[bad][0])}")
    return weights


def check_symmetric(
    ends: torch.Tensor, there: torch.Tensor, back: torch.Tensor, largest: torch.Tensor
) -> None:
    """Raise unless both directions of every edge have one weight, up to rounding."""
    roundings = 16.0 * torch.finfo(largest.dtype).eps
    differs = (there - back).abs() > roundings * largest
    if bool(differs.any()):
        at = int(differs.nonzero()[0, 0])
        first, second = ends[:, at].tolist()
        raise ValueError(
            f"edge {first}-{second} has weight {float(there[at]):g} and edge {second}-{first} has "
            f"{float(back[at]):g}; pass symmetrize='mean' or 'max', or use ToUndirected() before"
        )


class HeatKernelDiffusion:
    r"""A transform that smooths node features, :math:`x \leftarrow e^{-\eta L} x`.

    The heat kernel is that of the diffusion in ``torch_geometric.transforms.GDC`` with ``method=
    "heat"``, :math:`e^{-t (I - T)}`, where :math:`\eta = t` and :math:`T = I - L`. It is applied to
    the features by a Chebyshev series, in time and memory proportional to the number of edges.
    The edges stay as they are.

    Parameters
    ----------
    eta : float
        The time of the diffusion, >= 0; 0 changes nothing.
    normalization : {"symmetric", "random_walk", "none"}
        The Laplacian L. With ``"random_walk"`` every new feature is a weighted mean of features.
    attrs : sequence of str
        The attributes to smooth, each ``(N, d)``.
    edge_weight, symmetrize
        As in :func:`to_graph`.
    tol : float
        The sup error of the series, relative to the features.

    Raises
    ------
    TypeError, ValueError
        A setting that is not among these. When it is called: as :func:`to_graph`, or features that
        are not floating or not ``(N, d)``.

    Notes
    -----
    An isolated node keeps its features, up to ``tol``. Loops are left out: they cancel in
    :math:`D - W`, and the normalised Laplacians are those of the graph without them. So
    ``AddSelfLoops`` before this transform changes nothing.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> from hopcore_torch.geometric import HeatKernelDiffusion
    >>> data = SimpleNamespace(
    ...     x=torch.tensor([[1.0], [0.0], [5.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]),
    ...     num_nodes=3)
    >>> transform = HeatKernelDiffusion(eta=10.0)
    >>> transform(data).x, transform
    (tensor([[0.5000],
            [0.5000],
            [5.0000]]), HeatKernelDiffusion(eta=10.0, normalization='symmetric'))
    """

    def __init__(
        self,
        eta: float = 1.0,
        *,
        normalization: Literal["none", "symmetric", "random_walk"] = "symmetric",
        attrs: Sequence[str] = ("x",),
        edge_weight: str | None = None,
        symmetrize: Symmetrize | None = None,
        tol: float = 1e-6,
    ) -> None:
        if isinstance(attrs, str) or not all(isinstance(name, str) for name in attrs):
            raise TypeError(f"attrs must be names of attributes, such as ('x',), got {attrs!r}")
        check_rule(symmetrize)
        # A graph of one node refuses bad settings as any graph does, but now.
        ChebyshevDiffusion(Graph.from_dense(torch.zeros(1, 1)).using(normalization), eta, tol=tol)
        self.eta, self.tol = eta, tol
        self.normalization: Literal["none", "symmetric", "random_walk"] = normalization
        self.attrs = tuple(attrs)
        self.edge_weight = edge_weight
        self.symmetrize: Symmetrize | None = symmetrize

    def __repr__(self) -> str:
        return f"HeatKernelDiffusion(eta={self.eta}, normalization={self.normalization!r})"

    def __call__(self, data: Any) -> Any:
        """Return a shallow copy of the data with smoothed features."""
        data = copy.copy(data)
        operators: dict[torch.dtype, ChebyshevDiffusion] = {}
        for name in self.attrs:
            features = checked_features(name, data)
            dtype = features.dtype if features.dtype == torch.float64 else torch.float32
            if dtype not in operators:
                graph = to_graph(
                    data, edge_weight=self.edge_weight, symmetrize=self.symmetrize, dtype=dtype
                )
                laplacian = graph.using(self.normalization)
                operators[dtype] = ChebyshevDiffusion(laplacian, self.eta, tol=self.tol)
            setattr(data, name, operators[dtype](features))
        return data


def checked_features(name: str, data: Any) -> torch.Tensor:
    """Return features, floating and ``(N, d)``."""
    features = getattr(data, name, None)
    if not isinstance(features, torch.Tensor):
        raise TypeError(f"data.{name} must be a tensor (N, d), got {type(features).__name__}")
    if not features.is_floating_point():
        raise TypeError(
            f"data.{name} must be floating, got {features.dtype}; use data.{name}.float()"
        )
    nodes = getattr(data, "num_nodes", None)
    if features.ndim != 2 or nodes not in (None, features.shape[0]):
        raise ValueError(f"data.{name} must be ({nodes}, d), got {tuple(features.shape)}")
    return features
