"""Classification and regression: their limits in beta, weights, and the choice of beta."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

import hopcore
from hopcore.sklearn import HopfieldClassifier, HopfieldRegressor
from hopcore.sklearn._choice import LOWEST, PATIENCE, best_beta
from hopcore.sklearn._prediction import left_out

CASES = {"rows": st.integers(2, 40), "columns": st.integers(1, 5), "seed": st.integers(0, 1000)}


def data(rows: int, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, two targets for each, and rows to predict; far away from the origin."""
    rng = np.random.default_rng(seed)
    train, test = rng.normal(size=(rows, columns)) + 50.0, rng.normal(size=(9, columns)) + 50.0
    return train, rng.normal(size=(rows, 2)) + 7.0, test


@settings(max_examples=50, deadline=None)
@given(**CASES, beta=st.floats(1e-3, 1e3))
def test_a_regressor_is_the_formula(rows: int, columns: int, seed: int, beta: float) -> None:
    train, targets, test = data(rows, columns, seed)
    multiplicity = np.random.default_rng(seed).uniform(0.1, 3.0, size=rows)
    scores = -0.5 * beta * ((test[:, None] - train) ** 2).sum(axis=2) + np.log(multiplicity)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    model = HopfieldRegressor(beta).fit(train, targets, sample_weight=multiplicity)
    np.testing.assert_allclose(model.predict(test), weights @ targets, rtol=1e-7)


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_a_large_beta_gives_the_nearest_neighbour(rows: int, columns: int, seed: int) -> None:
    train, targets, test = data(rows, columns, seed)
    found = HopfieldRegressor(1e9).fit(train, targets).predict(test)
    wanted = KNeighborsRegressor(n_neighbors=1).fit(train, targets).predict(test)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    labels = (targets[:, 0] > 7.0).astype(int)
    model = HopfieldClassifier(1e9).fit(train, labels)
    nearest = KNeighborsClassifier(n_neighbors=1).fit(train, labels)
    np.testing.assert_array_equal(model.predict(test), nearest.predict(test))


@settings(max_examples=30, deadline=None)
@given(**CASES)
def test_a_small_beta_gives_the_mean(rows: int, columns: int, seed: int) -> None:
    train, targets, test = data(rows, columns, seed)
    found = HopfieldRegressor(1e-12).fit(train, targets).predict(test)
    np.testing.assert_allclose(found, np.tile(targets.mean(axis=0), (9, 1)))
    labels = np.arange(rows) % 2
    shares = HopfieldClassifier(1e-12).fit(train, labels).predict_proba(test)
    np.testing.assert_allclose(shares[:, 1], labels.mean())


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(4, 20), columns=st.integers(1, 4), seed=st.integers(0, 1000))
def test_auto_is_the_best_of_leaving_one_out(rows: int, columns: int, seed: int) -> None:
    """Each row is predicted by a regressor that is fitted to all others, at every octave."""
    train, targets, _ = data(rows, columns, seed)
    variance = targets.var(axis=0)

    def error(beta: float) -> float:
        total = 0.0
        for row in range(rows):
            others = np.arange(rows) != row
            model = HopfieldRegressor(beta).fit(train[others], targets[others])
            missed = model.predict(train[row : row + 1]) - targets[row]
            total += float((missed**2 / variance).sum())
        return total

    unit = 2.0 * train.var(axis=0).sum()
    octaves = [LOWEST / unit * 2.0**k for k in range(PATIENCE + 1)]  # all that are surely tried
    found = HopfieldRegressor().fit(train, targets).beta_
    assert error(found) <= min(map(error, octaves)) * (1.0 + 1e-9)


def test_leaving_one_out_is_an_association_without_the_diagonal() -> None:
    train, targets, _ = data(60, 3, 0)
    held = left_out(train, targets, None)
    weights = np.exp(-0.5 * 3.0 * held.distances)
    mask = ~np.eye(60, dtype=bool)
    wanted = hopcore.association(train, train, targets, beta=3.0, mask=mask, similarity="distance")
    np.testing.assert_allclose(held.predict(weights), wanted, rtol=1e-9)


def test_a_weight_is_a_number_of_copies() -> None:
    train, targets, test = data(30, 2, 0)
    copies = np.random.default_rng(1).integers(0, 4, size=30)
    again = np.repeat(np.arange(30), copies)
    weighted = HopfieldRegressor().fit(train, targets, sample_weight=copies)
    repeated = HopfieldRegressor().fit(train[again], targets[again])
    assert weighted.beta_ == pytest.approx(repeated.beta_)
    np.testing.assert_allclose(weighted.predict(test), repeated.predict(test))


@pytest.mark.parametrize("wrong", [[1.0, -1.0], [0.0, 0.0]])
def test_weights_that_mean_nothing_are_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least one (sample|non-zero)"):
        HopfieldRegressor().fit([[0.0], [1.0]], [0.0, 1.0], sample_weight=wrong)


def test_rows_without_differences_do_no_harm() -> None:
    """One row, equal rows, one class, constant targets: no beta can be chosen, and none matters."""
    assert HopfieldRegressor().fit([[1.0]], [3.0]).predict([[9.0]]) == 3.0
    assert HopfieldRegressor().fit([[1.0]] * 4, [1, 2, 3, 4]).predict([[1.0]]) == 2.5
    constant = HopfieldRegressor().fit([[1.0], [2.0], [4.0]], [0.1, 0.1, 0.1])
    assert (constant.predict([[0.0], [1e3]]) == 0.1).all()
    one = HopfieldClassifier().fit([[1.0], [2.0]], ["only", "only"])
    assert one.predict([[5.0]]) == ["only"]
    assert one.predict_proba([[5.0]]) == [[1.0]]


def test_one_target_and_several_keep_their_shapes() -> None:
    train, targets, test = data(20, 2, 0)
    model = HopfieldRegressor(beta=1.0)
    assert model.fit(train, targets).predict(test).shape == (9, 2)
    single = model.fit(train, targets[:, 0]).predict(test)
    column = model.fit(train, targets[:, :1]).predict(test)
    assert single.shape == (9,)
    np.testing.assert_array_equal(column[:, 0], single)


def test_beta_follows_the_unit_of_the_columns() -> None:
    train, targets, test = data(40, 3, 0)
    one = HopfieldRegressor().fit(train, targets)
    two = HopfieldRegressor().fit(train * 1000.0, targets)
    assert two.beta_ == pytest.approx(one.beta_ / 1e6)
    np.testing.assert_allclose(two.predict(test * 1000.0), one.predict(test))


def test_a_search_ends_at_the_best_octave() -> None:
    """A target that follows the row closely needs a beta many octaves above the lowest."""
    train = np.linspace(0.0, 1.0, 300)[:, None]
    held = left_out(train, np.sin(20.0 * train), None)
    distances = euclidean_distances(train, squared=True)
    np.fill_diagonal(distances, np.inf)

    def error(beta: float) -> float:
        return held.error(np.exp(-0.5 * beta * (distances - distances.min(axis=1)[:, None])))

    found = best_beta(held)
    grid = found * 2.0 ** np.arange(-8.0, 8.5, 0.5)
    assert error(found) <= min(map(error, grid)) * (1.0 + 1e-6)
    assert found > 1000.0
