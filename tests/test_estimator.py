"""The regressor keeps scikit-learn's contract, and its own: determinism, names, clear refusals."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from nbsr import SymbolicRegressor
from nbsr.errors import UsageError
from nbsr.result import Result


def quick(**settings):
    """A search that ends by its count of evaluations, so that the same seed gives the same law."""
    defaults = {"method": "evolve", "seconds": None, "max_evaluations": 150, "random_state": 0}
    return SymbolicRegressor(
        **{**defaults, "max_complexity": 12, "operators": ("+", "-", "*", "/"), **settings}
    )


@parametrize_with_checks([quick(max_evaluations=300)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(1, 3, size=(40, 2)), columns=["mass", "exp"])
    return X, 2.5 * X["mass"] * X["exp"]


@pytest.fixture(scope="module")
def fitted(data):
    return quick(max_evaluations=2000).fit(*data)


def test_a_simple_law_is_found_by_name(data, fitted):
    assert fitted.score(*data) == pytest.approx(1.0)
    assert isinstance(fitted.result_, Result) and fitted.equation_ == fitted.result_.equation
    assert fitted.feature_names_in_.tolist() == ["mass", "exp"]
    assert "mass" in fitted.latex()
    assert {str(s) for s in fitted.sympy().free_symbols} == {"mass", "exp"}


def test_the_same_seed_gives_the_same_candidates(data):
    first, second = (quick().fit(*data).result_.candidates.drop(columns="found_at") for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_whole_weights_count_rows_and_the_order_of_rows_is_nothing(data):
    X, y = data
    weights = np.arange(len(y)) % 3
    shuffled = np.random.default_rng(0).permutation(np.repeat(np.arange(len(y)), weights))
    weighted = quick().fit(X, y, weights).result_.candidates
    repeated = quick().fit(X.iloc[shuffled], y.iloc[shuffled]).result_.candidates
    pd.testing.assert_frame_equal(weighted.drop(columns="found_at"), repeated.drop(columns="found_at"))


def test_weights_that_are_no_counts_pull_the_fit(data):
    X, y = data
    y = y.copy()
    y.iloc[:5] += 100.0
    weights = np.where(np.arange(len(y)) < 5, 1e-9, 0.7)
    law = quick(max_evaluations=2000).fit(X, y, weights)
    np.testing.assert_allclose(law.predict(X[5:]), y[5:], rtol=0.05)


def test_pickle_clone_and_params(data, fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict(data[0]), fitted.predict(data[0]))
    assert repr(again.result_) == repr(fitted.result_)
    fresh = clone(fitted).set_params(max_complexity=5)
    assert not hasattr(fresh, "result_") and fresh.get_params()["max_complexity"] == 5


def test_it_works_in_pipelines_and_cross_validation(data):
    pipeline = make_pipeline(MinMaxScaler(), quick())
    predicted = cross_val_predict(pipeline, *data, cv=3)
    assert np.corrcoef(predicted, data[1])[0, 1] > 0.9


def test_settings_reach_the_search(data):
    law = quick(operators=("+",), forbid=("`exp`",), max_complexity=5).fit(*data)
    seen = law.result_.candidates
    assert set(" ".join(seen["operators"]).split()) <= {"+"}
    assert set(" ".join(seen["variables"]).split()) <= {"mass"}
    assert seen["complexity"].max() <= 5


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"method": "magic"}, "method"),
        ({"operators": ("+", "sine")}, "sine"),
        ({"max_evaluations": None}, "limit"),
        ({"criterion": "beauty"}, "beauty"),
        ({"start": ("c0*x7",)}, "x7"),
    ],
)
def test_wrong_settings_are_refused_when_fitting(data, settings, message):
    with pytest.raises(UsageError, match=message):
        quick(**settings).fit(*data)


def test_data_that_cannot_be_used_is_refused(data):
    X, y = data
    with pytest.raises(UsageError, match="MultiOutputRegressor"):
        quick().fit(X, np.column_stack([y, y]))
    with pytest.raises(UsageError, match="nothing to explain"):
        quick().fit(X, np.ones(len(y)))
    with pytest.raises(ValueError, match="NaN"):
        quick().fit(X.assign(mass=np.nan), y)


def test_scikit_learn_is_loaded_only_for_the_estimator():
    code = """
import sys, nbsr, nbsr.engine
assert "sklearn" not in sys.modules
nbsr.SymbolicRegressor
assert "sklearn" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
