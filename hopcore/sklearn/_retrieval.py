"""Retrieval of training rows, and clustering by the states that retrieval ends in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree
from sklearn.base import BaseEstimator, ClusterMixin, OneToOneFeatureMixin, TransformerMixin
from sklearn.neighbors import NearestNeighbors

from hopcore.arrays._scalar_checks import check_one_of
from hopcore.memory import Separation, Similarity, retrieve
from hopcore.sklearn._choice import check_beta, evenly_spaced
from hopcore.sklearn._inputs import later_rows, training_rows

RETRIEVED = 0.95
"""The share of the training rows for which ``beta="auto"`` is large enough."""

SPREAD = 0.01
"""The weight that ``beta="auto"`` leaves to all other rows, of a row that is its own query."""

APART = 0.1
"""States closer than this many kernel widths, 1/sqrt(beta), are one cluster."""


class HopfieldRetriever(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Replace each row by the training row, or the mixture of them, that it retrieves.

    The update :math:`\xi \leftarrow X^T w(\beta z)` is repeated until the row rests, with the
    training rows X and the scores :math:`z_i = -\|\xi - x_i\|^2 / 2` or
    :math:`z_i = x_i \cdot \xi`.

    Parameters
    ----------
    beta : float or "auto"
        The inverse temperature, positive. With distances, ``"auto"`` takes the smallest beta at
        which 95 % of the training rows leave at most 1 % of the weight to the others, by their
        distance to the nearest one. With dot products it is :func:`hopcore.suggest_beta`.
    similarity : {"distance", "dot"}
        What a state and a training row are compared by. With distances, a sufficiently large beta
        retrieves each training row, whatever its length; with dot products, long rows win.
    separation : str or separation function
        As in :func:`hopcore.retrieve`. With ``"sparsemax"`` retrieval is exact.
    max_steps, tol
        As in :func:`hopcore.retrieve`.

    Attributes
    ----------
    beta_ : float
        The inverse temperature that is used.
    n_features_in_ : int
    feature_names_in_ : array of str
        The names of the columns, if the training data had names.

    Examples
    --------
    >>> from hopcore.sklearn import HopfieldRetriever
    >>> clean = [[0.0, 0.0], [0.0, 4.0], [4.0, 0.0]]
    >>> HopfieldRetriever(separation="sparsemax").fit(clean).transform([[0.5, 3.0], [2.5, 1.0]])
    array([[0., 4.],
           [4., 0.]])
    """

    beta_: float
    n_features_in_: int
    separation: Separation

    def __init__(
        self,
        beta: float | str = "auto",
        *,
        similarity: Similarity = "distance",
        separation: Separation = "softmax",
        max_steps: int = 100,
        tol: float = 1e-6,
    ) -> None:
        self.beta = beta
        self.similarity: Similarity = similarity
        self.separation = separation
        self.max_steps = max_steps
        self.tol = tol

    def fit(self, X: ArrayLike, y: Any = None) -> HopfieldRetriever:
        """Store the training rows, and choose beta if it is ``"auto"``.

        Parameters
        ----------
        X : array (n_samples, n_features)
            Training rows: the patterns that are retrieved.
        y : None
            Ignored.

        Returns
        -------
        HopfieldRetriever
            The retriever itself.
        """
        beta = check_beta(self.beta)
        check_one_of("similarity", self.similarity, ("distance", "dot"))
        self._stored = training_rows(self, X).copy()
        if beta is not None:
            self.beta_ = beta
        elif self.similarity == "distance":
            self.beta_ = separating_beta(self._stored)
        else:
            from hopcore.phase import suggest_beta  # noqa: PLC0415  it takes a while to import

            self.beta_ = suggest_beta(self._stored, separation=self.separation).beta
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Retrieve rows.

        Parameters
        ----------
        X : array (n_samples, n_features)

        Returns
        -------
        array (n_samples, n_features)
            Where each row rests, or is after ``max_steps`` updates.
        """
        rows = later_rows(self, X).astype(self._stored.dtype, copy=False)
        return retrieve(
            rows,
            self._stored,
            self.beta_,
            similarity=self.similarity,
            separation=self.separation,
            max_steps=self.max_steps,
            tol=self.tol,
        ).state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def separating_beta(stored: np.ndarray) -> float:
    r"""Return the beta at which most patterns have nearly all of their own weight.

    With the distance :math:`\Delta` to the nearest of the N - 1 others, a pattern leaves them at
    most :math:`(N - 1) e^{-\beta \Delta^2 / 2}`.
    """
    distinct = np.unique(stored, axis=0).astype(np.float64)
    if len(distinct) < 2:
        return 1.0
    index = evenly_spaced(np.arange(len(distinct)), len(distinct))
    neighbors = NearestNeighbors(n_neighbors=2).fit(distinct)
    nearest: Any = neighbors.kneighbors(distinct[index])[0]
    square = float(np.quantile(nearest[:, 1], 1.0 - RETRIEVED)) ** 2
    others = len(distinct) - 1
    return 2.0 * math.log(others / SPREAD) / square if square > 0.0 else 1.0


class HopfieldClusterer(ClusterMixin, BaseEstimator):
    r"""Cluster rows by the metastable state that each one retrieves.

    Every training row is updated until it rests,
    :math:`\xi \leftarrow X^T \mathrm{softmax}(-\beta \|\xi - x_i\|^2 / 2)`; rows that end in the
    same state are one cluster. This is mean shift with a Gaussian kernel of the width
    :math:`1 / \sqrt{\beta}`. The number of clusters is not given; it grows with beta.

    Parameters
    ----------
    beta : float or "auto"
        The inverse temperature, positive. ``"auto"`` takes the normal reference rule for gradients
        of densities, :math:`1/\beta = \left(\frac{4}{d + 4}\right)^{2/(d + 6)} n^{-2/(d + 6)}
        \sigma^2`, with the mean variance :math:`\sigma^2` of the columns.
    max_steps : int
        The largest number of updates.
    tol : float
        A row rests when an update moves it by at most ``tol`` times the largest distance of a
        training row to their mean.

    Attributes
    ----------
    labels_ : array (n_samples,)
        The cluster of each training row; cluster 0 is the largest.
    cluster_centers_ : array (n_clusters, n_features)
        The states that were retrieved.
    beta_ : float
        The inverse temperature that is used.
    n_iter_ : int
        The most updates that a row needed.
    n_features_in_ : int
    feature_names_in_ : array of str
        The names of the columns, if the training data had names.

    Notes
    -----
    Columns are compared as they are: put a ``StandardScaler`` before it if their units differ. Time
    is O(S S d) for each update of S training rows. In many dimensions the rule of ``"auto"`` gives
    few clusters; try larger values of beta.

    References
    ----------
    J. E. Chacón and T. Duong, "Data-driven density derivative estimation, with applications to
    nonparametric clustering and bump hunting", 2013.

    Examples
    --------
    >>> from hopcore.sklearn import HopfieldClusterer
    >>> model = HopfieldClusterer(beta=4.0).fit([[0.0], [0.2], [0.1], [5.0], [5.1]])
    >>> model.labels_, model.cluster_centers_.round(2)
    (array([0, 0, 0, 1, 1]), array([[0.1 ],
           [5.05]]))
    >>> model.predict([[4.0]])
    array([1])
    """

    def __init__(
        self, beta: float | str = "auto", *, max_steps: int = 1000, tol: float = 1e-6
    ) -> None:
        self.beta = beta
        self.max_steps = max_steps
        self.tol = tol

    def fit(self, X: ArrayLike, y: Any = None) -> HopfieldClusterer:
        """Find the states that the training rows retrieve.

        Parameters
        ----------
        X : array (n_samples, n_features)
            Training rows.
        y : None
            Ignored.

        Returns
        -------
        HopfieldClusterer
            The clusterer itself.
        """
        beta = check_beta(self.beta)
        rows = training_rows(self, X)
        self.beta_ = normal_reference_beta(rows) if beta is None else beta
        self._stored = rows.copy()
        found, steps = self._rest(rows)
        self.n_iter_ = int(steps.max(initial=0))
        self.labels_, self.cluster_centers_ = grouped(found, APART / math.sqrt(self.beta_))
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the cluster whose state each row retrieves, or the nearest one.

        Parameters
        ----------
        X : array (n_samples, n_features)

        Returns
        -------
        array (n_samples,)
        """
        rows = later_rows(self, X)
        found, _ = self._rest(rows)
        return np.asarray(KDTree(self.cluster_centers_).query(found)[1])

    def _rest(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the states that rows retrieve, and the numbers of updates."""
        found = retrieve(
            rows.astype(self._stored.dtype, copy=False),
            self._stored,
            self.beta_,
            similarity="distance",
            max_steps=self.max_steps,
            tol=self.tol,
        )
        return found.state, found.steps


def normal_reference_beta(rows: np.ndarray) -> float:
    """Return the beta that is best for the gradient of a normal density."""
    count, width = rows.shape
    variance = float(rows.var(axis=0, dtype=np.float64).mean())
    power = 2.0 / (width + 6.0)
    square = (4.0 / (width + 4.0)) ** power * count**-power * variance
    return 1.0 / square if square > 0.0 else 1.0


def grouped(states: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Group states within a radius of the first one of a group; return labels and centres.

    Groups are ordered by size, and equally large ones by their first state.
    """
    tree = KDTree(states)
    labels = np.full(len(states), -1)
    firsts: list[int] = []
    for index in range(len(states)):
        if labels[index] < 0:
            near = np.asarray(tree.query_ball_point(states[index], radius))
            labels[near[labels[near] < 0]] = len(firsts)
            labels[index] = len(firsts)
            firsts.append(index)
    order = np.argsort(-np.bincount(labels), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[labels], states[np.asarray(firsts)[order]]
