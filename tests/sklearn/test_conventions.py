"""scikit-learn's own checks of estimators, and how the estimators work together with its tools."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from hopcore.sklearn import (
    HopfieldClassifier,
    HopfieldClusterer,
    HopfieldImputer,
    HopfieldRegressor,
    HopfieldRetriever,
)

ESTIMATORS = [
    HopfieldClassifier(),
    HopfieldClusterer(),
    HopfieldImputer(),
    HopfieldRegressor(),
    HopfieldRetriever(),
]
OTHER_SETTINGS = [
    HopfieldClassifier(beta=3.0),
    HopfieldClusterer(beta=3.0),
    HopfieldImputer(beta=3.0, scale=False, add_indicator=True, keep_empty_features=True),
    HopfieldRegressor(beta=3.0),
    HopfieldRetriever(similarity="dot", separation="sparsemax"),
]
ANSWERS = ("transform", "predict", "predict_proba")


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.full
@parametrize_with_checks(OTHER_SETTINGS)
def test_scikit_learns_checks_of_other_settings(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    data = load_iris()
    return data.data, data.target


def answers(estimator: Any, rows: Any) -> dict[str, np.ndarray]:
    return {
        name: np.asarray(getattr(estimator, name)(rows))
        for name in ANSWERS
        if hasattr(estimator, name)
    }


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_copies_give_the_same(estimator: Any, iris: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = iris
    fitted = clone(estimator).fit(rows, labels)
    wanted = answers(fitted, rows[::7])
    assert wanted
    for other in (pickle.loads(pickle.dumps(fitted)), clone(estimator).fit(rows, labels)):
        for name, found in answers(other, rows[::7]).items():
            np.testing.assert_array_equal(found, wanted[name])


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_float32_stays(estimator: Any, iris: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = iris
    single = clone(estimator).fit(rows.astype(np.float32), labels)
    double = clone(estimator).fit(rows, labels)
    assert single.beta_ == pytest.approx(double.beta_, rel=1e-4)
    wanted = answers(double, rows)
    for name, found in answers(single, rows.astype(np.float32)).items():
        if not np.issubdtype(wanted[name].dtype, np.integer):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, wanted[name], atol=2e-3)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_bad_input_is_refused(estimator: Any, iris: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = iris
    fitted = clone(estimator).fit(rows, labels)
    for name in answers(fitted, rows):
        with pytest.raises(NotFittedError):
            getattr(clone(estimator), name)(rows)
        with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4"):
            getattr(fitted, name)(rows[:, :3])
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            getattr(fitted, name)(csr_array(rows))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        clone(estimator).fit(csr_array(rows), labels)
    with pytest.raises(ValueError, match=r"beta must be positive and finite, got 0\.0"):
        clone(estimator).set_params(beta=0.0).fit(rows, labels)
    with pytest.raises(TypeError, match="beta must be a number, got None"):
        clone(estimator).set_params(beta=None).fit(rows, labels)


def test_estimators_go_into_pipelines_and_searches(iris: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = iris
    holes = np.random.default_rng(0).random(rows.shape) < 0.2
    model = make_pipeline(HopfieldImputer(), StandardScaler(), HopfieldClassifier())
    search = GridSearchCV(model, {"hopfieldclassifier__beta": [0.1, 1.0, 10.0]})
    search.fit(np.where(holes, np.nan, rows), labels)
    assert search.best_score_ > 0.85


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_come_out(library: str, iris: tuple[np.ndarray, np.ndarray]) -> None:
    tables = pytest.importorskip(library)
    names = ["a", "b", "c", "d"]
    table = tables.DataFrame({name: iris[0][:, n] for n, name in enumerate(names)})
    for estimator in (HopfieldImputer(), HopfieldRetriever()):
        found = estimator.set_output(transform=library).fit(table).transform(table)
        assert isinstance(found, tables.DataFrame)
        assert list(found.columns) == list(estimator.feature_names_in_) == names


def test_a_missing_scikit_learn_is_named() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import hopcore; hopcore.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "ModuleNotFoundError: hopcore.sklearn needs scikit-learn; "
        "install it: pip install 'hopcore[sklearn]'"
    )
