"""Classification and regression by association: a kernel average of the training targets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, column_or_1d

from hopcore.memory import association
from hopcore.sklearn._choice import HeldOut, best_beta, check_beta, evenly_spaced
from hopcore.sklearn._inputs import later_rows, training_rows, training_targets


class AssociationPredictor(BaseEstimator):
    """A predictor whose answer is the association of a row with the training targets."""

    beta: float | str
    beta_: float
    n_features_in_: int

    def _remember(
        self, rows: np.ndarray, targets: np.ndarray, sample_weight: ArrayLike | None
    ) -> None:
        """Store training rows and their targets (S, v), and choose beta if it is "auto"."""
        beta = check_beta(self.beta)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, rows, dtype=rows.dtype)
            if (weight < 0.0).any() or not (weight > 0.0).any():
                raise ValueError("sample_weight must be >= 0, and positive for at least one sample")
            used = weight > 0.0
            rows, targets, weight = rows[used], targets[used], weight[used]
        self.beta_ = best_beta(left_out(rows, targets, weight)) if beta is None else beta
        self._stored, self._targets = rows.copy(), targets
        self._bias = None if weight is None else np.log(weight)

    def _recall(self, X: ArrayLike) -> np.ndarray:
        """Return the averages (L, v) of the targets that rows recall."""
        rows = later_rows(self, X)
        return association(
            rows.astype(self._stored.dtype, copy=False),
            self._stored,
            self._targets,
            beta=self.beta_,
            similarity="distance",
            bias=self._bias,
        )


def left_out(rows: np.ndarray, targets: np.ndarray, weight: np.ndarray | None) -> HeldOut:
    """Return at most 512 training rows, each of which is predicted from all rows that differ.

    Rows that equal the row are left out with it, so that a row that is given twice is the same as a
    row of twice the weight. The squared error of a target counts in units of its variance.
    """
    index = evenly_spaced(np.arange(len(rows)), len(rows))
    centered = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    distances = euclidean_distances(centered[index], centered, squared=True)
    kind = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    distances[kind[index, None] == kind] = np.inf
    multiplicity = np.ones(len(rows)) if weight is None else weight.astype(np.float64)
    values = targets.astype(np.float64)
    weighted = multiplicity[:, None] * np.concatenate([values, np.ones((len(rows), 1))], axis=1)
    mean = np.average(values, axis=0, weights=multiplicity)
    variance = np.average((values - mean) ** 2, axis=0, weights=multiplicity)
    middle = np.average(centered, axis=0, weights=multiplicity)
    radius = np.average(((centered - middle) ** 2).sum(axis=1), weights=multiplicity)
    counted = multiplicity[index, None] / np.where(variance > 0.0, variance, np.inf)

    def predict(weights: np.ndarray) -> np.ndarray:
        sums = weights @ weighted
        totals = sums[:, -1:]
        return np.divide(sums[:, :-1], totals, out=mean + 0.0 * sums[:, :-1], where=totals > 0.0)

    return HeldOut(distances, values[index], counted, predict, unit=2.0 * float(radius))


class HopfieldClassifier(ClassifierMixin, AssociationPredictor):
    r"""Classify rows by association with the training rows.

    The probability of a class is the sum of the association weights of its training rows:

    .. math:: p(c \mid \xi) = \sum_{i : y_i = c} w_i,\qquad
        w = \mathrm{softmax}\left(\log s_i - \tfrac{\beta}{2} \|\xi - x_i\|^2\right),

    with the sample weights :math:`s_i`. As beta grows this becomes
    ``KNeighborsClassifier(n_neighbors=1)``, and as it falls to 0 the shares of the classes.

    Parameters
    ----------
    beta : float or "auto"
        The inverse temperature, positive. With ``"auto"``, at most 512 training rows are predicted
        from all others; the beta of the smallest Brier score is taken, to within a half octave.

    Attributes
    ----------
    beta_ : float
        The inverse temperature that is used.
    classes_ : array (n_classes,)
        The classes, in order.
    n_features_in_ : int
    feature_names_in_ : array of str
        The names of the columns, if the training data had names.

    Notes
    -----
    Columns are compared as they are: put a ``StandardScaler`` before it if their units differ. Time
    is O(L S d) for L rows and S training rows. No array of shape (L, S) is held.

    Examples
    --------
    >>> from hopcore.sklearn import HopfieldClassifier
    >>> model = HopfieldClassifier(beta=2.0).fit([[0.0], [1.0], [4.0]], ["a", "a", "b"])
    >>> model.predict([[0.5], [3.0]])
    array(['a', 'b'], dtype='<U1')
    >>> model.predict_proba([[2.5]]).round(3)
    array([[0.505, 0.495]])
    """

    def __init__(self, beta: float | str = "auto") -> None:
        self.beta = beta

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> HopfieldClassifier:
        """Store the training rows and their classes, and choose beta if it is ``"auto"``.

        Parameters
        ----------
        X : array (n_samples, n_features)
            Training rows.
        y : array (n_samples,)
            Their classes.
        sample_weight : array (n_samples,), optional
            How often each row counts, >= 0.

        Returns
        -------
        HopfieldClassifier
            The classifier itself.
        """
        rows = training_rows(self, X)
        labels: Any = column_or_1d(training_targets(self, rows, y, dtype=None), warn=True)
        check_classification_targets(labels)
        self.classes_, place = np.unique(labels, return_inverse=True)
        one_hot = place[:, None] == np.arange(len(self.classes_))
        self._remember(rows, one_hot.astype(rows.dtype), sample_weight)
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array (n_samples, n_features)

        Returns
        -------
        array (n_samples, n_classes)
            In the order of ``classes_``; each row sums to 1.
        """
        return self._recall(X)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class of each row.

        Parameters
        ----------
        X : array (n_samples, n_features)

        Returns
        -------
        array (n_samples,)
        """
        best = self._recall(X).argmax(axis=1)
        return self.classes_[best]


class HopfieldRegressor(RegressorMixin, AssociationPredictor):
    r"""Predict numbers by association with the training rows: Nadaraya-Watson regression.

    .. math:: \hat y(\xi) = \sum_i w_i y_i,\qquad
        w = \mathrm{softmax}\left(\log s_i - \tfrac{\beta}{2} \|\xi - x_i\|^2\right),

    with the sample weights :math:`s_i`. As beta grows this becomes
    ``KNeighborsRegressor(n_neighbors=1)``, and as it falls to 0 the mean of the targets.

    Parameters
    ----------
    beta : float or "auto"
        The inverse temperature, positive. With ``"auto"``, at most 512 training rows are predicted
        from all others; the beta of the smallest squared error is taken, to within a half octave.

    Attributes
    ----------
    beta_ : float
        The inverse temperature that is used.
    n_features_in_ : int
    feature_names_in_ : array of str
        The names of the columns, if the training data had names.

    Notes
    -----
    Columns are compared as they are: put a ``StandardScaler`` before it if their units differ. A
    prediction is an average of training targets, so it never leaves their range. Time is O(L S d)
    for L rows and S training rows. No array of shape (L, S) is held.

    Examples
    --------
    >>> from hopcore.sklearn import HopfieldRegressor
    >>> model = HopfieldRegressor(beta=2.0).fit([[0.0], [1.0], [4.0]], [0.0, 1.0, 4.0])
    >>> model.predict([[0.5], [3.0]]).round(3)
    array([0.5  , 3.856])
    """

    def __init__(self, beta: float | str = "auto") -> None:
        self.beta = beta

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> HopfieldRegressor:
        """Store the training rows and their targets, and choose beta if it is ``"auto"``.

        Parameters
        ----------
        X : array (n_samples, n_features)
            Training rows.
        y : array (n_samples,) or (n_samples, n_targets)
            Their targets.
        sample_weight : array (n_samples,), optional
            How often each row counts, >= 0.

        Returns
        -------
        HopfieldRegressor
            The regressor itself.
        """
        rows = training_rows(self, X)
        targets = training_targets(self, rows, y, dtype=np.float64)
        if targets.ndim > 2:
            raise ValueError(
                f"y must be (n_samples,) or (n_samples, n_targets), got {targets.shape}"
            )
        self._single = targets.ndim == 1
        targets = targets.reshape(len(targets), -1)
        self._mean = targets.mean(axis=0)
        self._remember(rows, (targets - self._mean).astype(rows.dtype), sample_weight)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the predicted target of each row.

        Parameters
        ----------
        X : array (n_samples, n_features)

        Returns
        -------
        array (n_samples,) or (n_samples, n_targets)
            As the targets were given, in float32 or float64 as ``X`` is.
        """
        recalled = self._recall(X)
        found = recalled + self._mean.astype(recalled.dtype)
        return found[:, 0] if self._single else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
