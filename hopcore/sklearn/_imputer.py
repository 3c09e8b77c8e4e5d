"""Fill missing values by association with the rows of the training data."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from hopcore.arrays._scalar_checks import short_repr
from hopcore.arrays._threads import on_all_cores
from hopcore.memory import association
from hopcore.sklearn._choice import HeldOut, best_beta, check_beta, evenly_spaced
from hopcore.sklearn._inputs import later_rows, training_rows
from hopcore.sklearn._masked import MaskedMemory, MaskedPatterns, unnormalized_weights

TILE = 1 << 18
"""Distances that a thread holds at once."""

USUAL_SHARE = 0.2
"""The share of known entries that is hidden to choose beta, if the training data miss nothing."""


class HopfieldImputer(TransformerMixin, BaseEstimator):
    r"""Fill missing values by association with the rows of the training data.

    The value of a missing coordinate j of a row q is the average over the training rows x that have
    it, by softmax weights of masked distances:

    .. math:: \hat q_j = \frac{\sum_i k_{ij} w_i x_{ij}}{\sum_i k_{ij} w_i},\qquad
        w_i = e^{-\beta D(q, x_i) / 2},\qquad
        D(q, x) = \frac{d}{|J|} \sum_{j \in J} (q_j - x_j)^2,

    with J the coordinates that both rows have and :math:`k_{ij} = 1` where a training row has
    coordinate j. As beta grows this becomes ``KNNImputer(n_neighbors=1)``, and as it falls to 0
    ``SimpleImputer``.

    Parameters
    ----------
    beta : float or "auto"
        The inverse temperature, positive. With ``"auto"``, entries of the training data that are
        known are hidden at random, as many as are missing, in at most 512 rows; the beta that
        predicts these best is taken, to within a half octave.
    scale : bool
        Divide each column by its standard deviation first, so that no unit of measurement decides
        which rows are alike. ``KNNImputer`` does not; with False distances are the same as there.
    missing_values : float
        What stands for a missing value; NaN by default.
    add_indicator : bool
        Append the columns of a ``MissingIndicator``.
    keep_empty_features : bool
        Keep columns without any known training value, filled with 0; they are dropped by default.
    random_state : int, RandomState or None
        Draws the entries that are hidden to choose beta. An integer gives the same beta each time.

    Attributes
    ----------
    beta_ : float
        The inverse temperature that is used.
    center_ : array (n_features,)
        The means of the known training values; NaN where there are none.
    scale_ : array (n_features,)
        Their scales; 1 where there are none, and all 1 with ``scale=False``.
    indicator_ : object or None
    n_features_in_ : int
    feature_names_in_ : array of str
        The names of the columns, if the training data had names.

    Notes
    -----
    A row that shares no known coordinate with any training row that has coordinate j, such as a row
    of which everything is missing, gets the mean of that column. Time is O(L S d) for L rows with
    missing values and S training rows; memory is a block of fixed size for each core.

    Examples
    --------
    >>> import numpy as np
    >>> from hopcore.sklearn import HopfieldImputer
    >>> x = np.asarray([[1.0, 2.0], [1.1, 2.2], [8.0, 16.0], [8.1, np.nan]])
    >>> HopfieldImputer(beta=50.0).fit_transform(x).round(3)
    array([[ 1. ,  2. ],
           [ 1.1,  2.2],
           [ 8. , 16. ],
           [ 8.1, 16. ]])
    """

    def __init__(
        self,
        beta: float | str = "auto",
        *,
        scale: bool = True,
        missing_values: float = math.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.beta = beta
        self.scale = scale
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> HopfieldImputer:
        """Store the training rows, and choose beta if it is ``"auto"``.

        Parameters
        ----------
        X : array (n_samples, n_features)
            Training rows, with missing values.
        y : None
            Ignored.

        Returns
        -------
        HopfieldImputer
            The imputer itself.
        """
        beta = check_beta(self.beta)
        data = training_rows(self, X, allow_nan=self._missing_is_nan())
        known = ~self._holes(data)
        count = known.sum(axis=0)
        zeroed = np.where(known, data, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            center = zeroed.sum(axis=0, dtype=np.float64) / count
            spread = np.where(known, data - center, 0.0)
            deviation = np.sqrt((spread**2).sum(axis=0) / count)
        varied = deviation > 10.0 * np.finfo(data.dtype).eps * np.abs(center)
        self.center_ = center.astype(data.dtype)
        self.scale_ = np.where(varied & bool(self.scale), deviation, 1.0).astype(data.dtype)
        self._filled = count > 0
        self._stored = self._patterns(data, known)
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(
                missing_values=self.missing_values, error_on_new=False
            ).fit(data)
        self.beta_ = self._chosen_beta() if beta is None else beta
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Fill the missing values of rows.

        Parameters
        ----------
        X : array (n_samples, n_features)

        Returns
        -------
        array (n_samples, n_features_out)
            Known values are as they were.
        """
        data = later_rows(self, X, allow_nan=self._missing_is_nan())
        missing = self._holes(data)
        filled, empty = self._filled, ~self._filled
        output = data.copy()
        output[:, empty] = 0.0
        rows = np.flatnonzero(missing[:, filled].any(axis=1))
        if rows.size:
            state = self._patterns(data[rows], ~missing[rows])
            found = self._associate(state) * self.scale_[filled] + self.center_[filled]
            gaps = np.zeros_like(missing)
            gaps[rows] = missing[rows] & filled
            output[gaps] = found[missing[rows][:, filled]]
        if not self.keep_empty_features:
            output = output[:, filled]
        if self.indicator_ is None:
            return output
        marks: Any = self.indicator_.transform(data)
        return np.hstack([output, marks]).astype(output.dtype, copy=False)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Return the names of the columns that :meth:`transform` returns.

        Parameters
        ----------
        input_features : array of str, optional
            The names of the columns; those of the training data by default.

        Returns
        -------
        array of str
        """
        check_is_fitted(self)
        names: Any = _check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[self._filled]
        if self.indicator_ is None:
            return kept
        return np.concatenate([kept, self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._missing_is_nan()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _missing_is_nan(self) -> bool:
        """Whether missing values are NaN; raise if they are no number."""
        if not isinstance(self.missing_values, Real) or isinstance(self.missing_values, bool):
            raise TypeError(
                f"missing_values must be a number or NaN, got {short_repr(self.missing_values)}"
            )
        return math.isnan(self.missing_values)

    def _holes(self, data: np.ndarray) -> np.ndarray:
        """Return where rows miss values."""
        return np.isnan(data) if self._missing_is_nan() else data == self.missing_values

    def _patterns(self, data: np.ndarray, known: np.ndarray) -> MaskedPatterns:
        """Return centred and scaled rows, without the columns that have no training value."""
        filled = self._filled
        values = (data[:, filled] - self.center_[filled]) / self.scale_[filled]
        values[~known[:, filled]] = 0.0
        return MaskedPatterns(values, known[:, filled].astype(values.dtype))

    def _associate(self, state: MaskedPatterns) -> np.ndarray:
        """Return the averages that rows with missing values recall, in scaled units.

        If the training rows miss nothing, this is one association: the factor d / |J| belongs to
        the row and multiplies beta, and what the score lacks is the same for all training rows.
        """
        values, known = self._stored
        if known.all():
            shared = np.maximum(state.known.sum(axis=1), 1.0)
            return association(
                np.concatenate([state.values, state.known], axis=1),
                np.concatenate([values, -0.5 * values**2], axis=1),
                values,
                beta=self.beta_ * values.shape[1] / shared,
            )
        memory = MaskedMemory(self._stored)
        output = np.empty_like(state.values)
        rows = max(1, TILE // max(len(self._stored.values), 1))

        def work(start: int) -> None:
            part = slice(start, start + rows)
            output[part] = self._averages(memory, state.rows(part))

        on_all_cores(work, list(range(0, len(output), rows)))
        return output

    def _averages(self, memory: MaskedMemory, state: MaskedPatterns) -> np.ndarray:
        """Return the averages of one block of rows.

        Where all rows that have a coordinate are so far behind the nearest row that their weights
        vanish, the average is computed again from those rows alone.
        """
        distances = memory.square_distances(state)
        averages, totals = memory.averages(unnormalized_weights(distances, self.beta_))
        limits = np.finfo(totals.dtype)
        vanished = (totals < limits.tiny / limits.eps) & (state.known == 0.0)
        values, known = memory.stored
        for column in np.flatnonzero(vanished.any(axis=0)):
            rows, having = vanished[:, column], known[:, column] > 0.0
            weights = unnormalized_weights(distances[rows][:, having], self.beta_)
            total = weights.sum(axis=1)
            sums = weights @ values[having, column]
            averages[rows, column] = np.where(total > 0.0, sums / np.maximum(total, 1.0), 0.0)
        return averages

    def _chosen_beta(self) -> float:
        """Return the beta that predicts entries best which are known and were hidden."""
        random = check_random_state(self.random_state)
        values, known = (part.astype(np.float64) for part in self._stored)
        memory = MaskedMemory(MaskedPatterns(values, known))
        share = 1.0 - known.mean() if known.size else 0.0
        share = min(max(share, 0.05), 0.5) if share > 0.0 else USUAL_SHARE
        index = evenly_spaced(np.flatnonzero(known.sum(axis=1) >= 2.0), len(known))
        hidden = (random.uniform(size=(index.size, known.shape[1])) < share) * known[index]
        one_each(hidden, known[index], random)
        variance = (values**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1.0)
        counted = hidden / np.where(variance > 0.0, variance, np.inf)

        visible = known[index] - hidden
        distances = memory.square_distances(MaskedPatterns(values[index] * visible, visible))
        distances[np.arange(index.size), index] = np.inf

        def predict(weights: np.ndarray) -> np.ndarray:
            return memory.averages(weights)[0]

        shared = distances[np.isfinite(distances)]
        unit = float(shared.mean()) if shared.size else 0.0
        return best_beta(HeldOut(distances, values[index], counted, predict, unit))


def one_each(hidden: np.ndarray, known: np.ndarray, random: np.random.RandomState) -> None:
    """Change which entries are hidden, so that every row has a hidden one and a visible one.

    Every row has at least two known entries.
    """
    order = np.where(known > 0.0, random.uniform(size=known.shape), -1.0)
    some = np.arange(len(known)), order.argmax(axis=1)
    nothing, everything = hidden.sum(axis=1) == 0.0, hidden.sum(axis=1) == known.sum(axis=1)
    hidden[some] = np.where(nothing, 1.0, np.where(everything, 0.0, hidden[some]))
