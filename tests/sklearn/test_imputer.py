"""HopfieldImputer: scikit-learn's conventions, its limits in beta, and a plain oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.metrics.pairwise import nan_euclidean_distances

from hopcore.sklearn import HopfieldImputer


def table(rows: int, columns: int, share: float, seed: int) -> np.ndarray:
    """Rows with holes, each row and column with at least one known value."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, columns)) * rng.uniform(0.5, 3.0, columns) + 5.0
    holes = rng.random((rows, columns)) < share
    holes[np.arange(rows), rng.integers(columns, size=rows)] = False
    holes[rng.integers(rows, size=columns), np.arange(columns)] = False
    return np.where(holes, np.nan, values)


def by_hand(train: np.ndarray, test: np.ndarray, beta: float) -> np.ndarray:
    """Fill each hole by itself, with the weights of all training rows that have its column."""
    distances = nan_euclidean_distances(test, train, squared=True)
    filled = test.copy()
    for row, column in np.argwhere(np.isnan(test)):
        donors = ~np.isnan(train[:, column]) & ~np.isnan(distances[row])
        if not donors.any():
            filled[row, column] = np.nanmean(train[:, column])
            continue
        near = distances[row, donors]
        weights = np.exp(-0.5 * beta * (near - near.min()))
        filled[row, column] = weights @ train[donors, column] / weights.sum()
    return filled


TABLES = {
    "rows": st.integers(2, 30),
    "columns": st.integers(2, 6),
    "share": st.floats(0.0, 0.7),
    "seed": st.integers(0, 1000),
}


@settings(max_examples=40, deadline=None)
@given(**TABLES, beta=st.floats(1e-3, 1e4))
def test_it_is_the_formula(rows: int, columns: int, share: float, seed: int, beta: float) -> None:
    train, test = table(rows, columns, share, seed), table(7, columns, 0.5, seed + 1)
    found = HopfieldImputer(beta, scale=False).fit(train).transform(test)
    np.testing.assert_allclose(found, by_hand(train, test, beta), rtol=1e-8)


@settings(max_examples=30, deadline=None)
@given(**TABLES)
def test_a_large_beta_gives_the_nearest_row(
    rows: int, columns: int, share: float, seed: int
) -> None:
    train, test = table(rows, columns, share, seed), table(7, columns, 0.5, seed + 1)
    found = HopfieldImputer(1e9, scale=False).fit(train).transform(test)
    nearest = KNNImputer(n_neighbors=1).fit(train).transform(test)
    np.testing.assert_allclose(found, nearest, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(**TABLES, scale=st.booleans())
def test_a_small_beta_gives_the_mean(
    rows: int, columns: int, share: float, seed: int, scale: bool
) -> None:
    train = table(rows, columns, share, seed)
    test = table(7, columns, 0.5, seed + 1)
    shared = ~np.isnan(test[:, None]) & ~np.isnan(train)
    found = HopfieldImputer(1e-12, scale=scale).fit(train).transform(test)
    # A row that shares nothing with a training row does not use it.
    alike = shared.any(axis=2).all(axis=1)
    mean = SimpleImputer().fit(train).transform(test)
    np.testing.assert_allclose(found[alike], mean[alike], rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_scaled_columns_do_not_depend_on_units(share: float) -> None:
    train, test = table(40, 4, share, 0), table(9, 4, 0.4, 1)
    units = np.asarray([1.0, 1000.0, 1e-3, 7.0])
    found = HopfieldImputer().fit(train).transform(test)
    again = HopfieldImputer().fit(train * units).transform(test * units)
    np.testing.assert_allclose(again, found * units, rtol=1e-8)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_row_without_known_values_gets_the_mean(share: float) -> None:
    train = table(20, 3, share, 0)
    found = HopfieldImputer(beta=5.0).fit(train).transform(np.full((1, 3), np.nan))
    np.testing.assert_allclose(found[0], np.nanmean(train, axis=0))


def test_auto_is_deterministic_and_predicts_better_than_the_limits() -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 400)
    values = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], axis=1)
    values += rng.normal(scale=0.1, size=values.shape)
    holes = rng.random(values.shape) < 0.2
    train = np.where(holes, np.nan, values)
    one, two = (HopfieldImputer().fit(train) for _ in range(2))
    assert one.beta_ == two.beta_

    def error(beta: float) -> float:
        return float(((HopfieldImputer(beta).fit_transform(train) - values)[holes] ** 2).mean())

    assert error(one.beta_) < 0.7 * min(error(1e-6), error(1e6))
    assert error(one.beta_) < 1.15 * min(error(beta) for beta in np.geomspace(1e-2, 1e4, 40))


def test_memory_and_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    train = table(50, 4, 0.3, 0)
    whole = HopfieldImputer(beta=2.0).fit_transform(train)
    monkeypatch.setattr("hopcore.sklearn._imputer.TILE", 1)
    np.testing.assert_allclose(HopfieldImputer(beta=2.0).fit_transform(train), whole, rtol=1e-12)


def test_options_of_scikit_learns_imputers() -> None:
    train = np.asarray([[1.0, -1.0, -1.0], [2.0, 3.0, -1.0], [-1.0, 4.0, -1.0]])
    imputer = HopfieldImputer(beta=1.0, missing_values=-1, add_indicator=True).fit(train)
    names = ["a", "b", "missingindicator_a", "missingindicator_b", "missingindicator_c"]
    assert list(imputer.get_feature_names_out(["a", "b", "c"])) == names
    found = imputer.transform(train)
    assert found.shape == (3, 5)
    assert (found[:, :2] > 0.0).all()
    assert (found[:, 2:] == (train == -1.0)).all()
    kept = HopfieldImputer(beta=1.0, missing_values=-1, keep_empty_features=True).fit(train)
    assert (kept.transform(train)[:, 2] == 0.0).all()
    assert list(kept.get_feature_names_out()) == ["x0", "x1", "x2"]
    with pytest.raises(ValueError, match="NaN"):
        kept.transform([[1.0, np.nan, 2.0]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"beta": "best"}, "beta must be 'auto' or a positive number, got 'best'"),
        ({"beta": -1.0}, "beta must be positive and finite, got -1.0"),
        ({"missing_values": "?"}, "missing_values must be a number or NaN, got '[?]'"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(arguments: dict, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as error:
        HopfieldImputer(**arguments).fit([[1.0, 2.0], [3.0, np.nan]])
    assert "\n" not in str(error.value)
