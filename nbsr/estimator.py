"""The search as a scikit-learn regressor: a thin shell that validates, searches and predicts."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from nbsr.engine import regress
from nbsr.engine.resume import difference
from nbsr.errors import UsageError
from nbsr.table import Table

_MOST_REPEATS = 100_000  # rows; where counting them out by whole weights gives more, weights are used as such


class SymbolicRegressor(RegressorMixin, BaseEstimator):
    """Find a formula for y in the columns of X.

    The parameters are those of `nbsr.search`, save for two names: `random_state` is its seed, `criterion` its
    `score` (a scikit-learn regressor's `score` is R^2). With `warm_start`, another `fit` on the same rows goes on from
    what the one before found; on other rows it begins anew. With `max_evaluations` and no `seconds`, the same
    `random_state` gives the same law.

    After `fit`: `result_` (a `Result`: the front, all candidates, errors of the constants, plots),
    `equation_` (the law as text), `n_features_in_`, and `feature_names_in_` where X had names; without names
    the columns are x1, x2, ... in the law. `units` are by column, the target being y: "x1 m, x2 s, y m/s" or a dict;
    with "strict" among them constants carry none. `constants` are known ones, "c = 299792458 m/s, G". `predict` gives
    NaN on rows where the law is not defined. Groups with constants of their own need the names of columns:
    `nbsr.regress(df, "y ~ x | subject")`.
    """

    # Without types, since scikit-learn wants whatever comes to be stored; `fit` judges it.
    def __init__(
        self,
        seconds=10.0,
        method="auto",
        random_state=None,
        operators=None,
        forbid=(),
        require=(),
        max_complexity=30,
        max_evaluations=None,
        start=(),
        bounds=(),
        noise="auto",
        loss="squares",
        criterion="judgement",
        parsimony=0.05,
        refiner="lm",
        device="auto",
        model=None,
        choices=None,
        complexity=None,
        finetune=None,
        warm_start=False,
        units=None,
        constants=None,
    ):
        self.seconds = seconds
        self.method = method
        self.random_state = random_state
        self.operators = operators
        self.forbid = forbid
        self.require = require
        self.max_complexity = max_complexity
        self.max_evaluations = max_evaluations
        self.start = start
        self.bounds = bounds
        self.noise = noise
        self.loss = loss
        self.criterion = criterion
        self.parsimony = parsimony
        self.refiner = refiner
        self.device = device
        self.model = model
        self.choices = choices
        self.complexity = complexity
        self.finetune = finetune
        self.warm_start = warm_start
        self.units = units
        self.constants = constants

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "SymbolicRegressor":
        """Search for a law of y `[rows]` in X `[rows, columns]`.

        A row of weight 2 counts as two rows; other weights than whole numbers are taken as 1/variance.
        Raises ValueError for data or parameters that cannot be used, among them a y of several columns.
        """
        shape = np.asarray(y).shape
        if len(shape) == 2 and shape[1] > 1:
            raise UsageError(
                f"y should be a 1d array, got {shape[1]} columns; fit one regressor for each, for "
                "example with sklearn.multioutput.MultiOutputRegressor."
            )
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=3)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        X, y, sample_weight, order = _in_order(X, np.asarray(y, dtype=np.float64), sample_weight)
        named = getattr(self, "feature_names_in_", None)
        names = None if named is None else [str(name) for name in named]
        table = Table.from_arrays(X, y, names, sample_weight, self.units, constants=self.constants)
        table = replace(table, rows=order if table.rows is None else order[table.rows])
        settings = {name: value for name, value in self.get_params(deep=False).items() if name in _PASSED_ON}
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        before = getattr(self, "result_", None) if self.warm_start else None
        if before is not None and not difference(before.table, table):
            settings["resume"] = before
        self.result_ = regress(table, seed=seed, score=self.criterion, **settings)
        self.equation_ = self.result_.equation
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The law's value `[rows]`; NaN where it is not defined."""
        check_is_fitted(self)
        return self.result_.predict(validate_data(self, X, reset=False, dtype=np.float64))

    def latex(self) -> str:
        """The law found, as LaTeX."""
        check_is_fitted(self)
        return self.result_.latex()

    def sympy(self) -> Any:
        """The right side of the law found, as a SymPy expression."""
        check_is_fitted(self)
        return self.result_.sympy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # A budget of time ends the search where the machine's speed has it.
        timed = self.seconds is not None or self.finetune is not None
        tags.non_deterministic = self.max_evaluations is None or timed
        return tags


_PASSED_ON = frozenset(SymbolicRegressor().get_params()) - {
    "random_state",
    "criterion",
    "warm_start",
    "units",
    "constants",
}


def _in_order(
    X: np.ndarray, y: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """The rows sorted, those of whole weight k given k times: the law depends on neither their order nor on
    how repetition is spelled.  Last, the row that each of them was."""
    number = np.arange(len(y))
    if weights is not None and weights.sum() <= _MOST_REPEATS and np.all(weights == np.rint(weights)):
        counts = weights.astype(int)
        X, y, weights = np.repeat(X, counts, axis=0), np.repeat(y, counts), None
        number = np.repeat(number, counts)
    order = np.lexsort((*X.T[::-1], y))
    return X[order], y[order], None if weights is None else weights[order], number[order]
