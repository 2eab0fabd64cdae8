"""A table made ready to be fitted many times."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr.errors import UsageError
from nbsr.evaluate import as_columns

EXACT_FVU = 1e-20


@dataclass(frozen=True)
class Problem:
    """A table made ready to be fitted many times: `Problem.of(X, y, weights)`.

    targets = y * unit, with unit a power of two that brings the largest |y| near 1; root_weights = sqrt(weights),
    scaled to at most 1, or of no columns; spread: the misfit of the mean of y.
    """

    columns: Float[np.ndarray, "inputs rows"]
    targets: Float[np.ndarray, "1 rows"]
    root_weights: Float[np.ndarray, "1 weighted_rows"]
    unit: float
    spread: float

    @classmethod
    def of(cls, X, y, weights=None) -> "Problem":
        X = np.asarray(X, float)
        y = np.asarray(y, float)
        if X.ndim != 2 or y.shape != X.shape[:1] or not len(y):
            raise UsageError(
                f"X has the shape {X.shape} and y the shape {y.shape}; X must have one row for each number of y."
            )
        unit = unit_of(y)
        target = y * unit
        if weights is None:
            root, w = np.empty(0), np.ones_like(target)
        else:
            w = np.asarray(weights, float)
            if w.shape != y.shape or not (np.isfinite(w).all() and (w >= 0).all() and w.any()):
                raise UsageError("Weights must be finite numbers from 0 up, one for each row, and not all 0.")
            w = w / w.max()
            root = np.sqrt(w)
        centred = target - np.average(target, weights=w)
        spread = float(w @ (centred - np.average(centred, weights=w)) ** 2)
        if spread <= len(y) * (4 * np.finfo(float).eps) ** 2 * np.square(target).max(initial=0.0):
            spread = 0.0
        return cls(as_columns(X), target[None], root[None], unit, spread)

    @property
    def rows(self) -> int:
        return self.columns.shape[1]

    @property
    def X(self) -> Float[np.ndarray, "rows inputs"]:
        return self.columns.T

    def sample(self, rows: int) -> "Problem":
        """`rows` of the rows, spread evenly over a fixed random order."""
        if rows >= self.rows:
            return self
        chosen = np.sort(np.random.default_rng(0).choice(self.rows, rows, replace=False))
        weighted = self.root_weights.shape[1] > 0
        root = self.root_weights[:, chosen] if weighted else self.root_weights
        target = np.ascontiguousarray(self.targets[:, chosen])
        w = root[0] ** 2 if weighted else np.ones(rows)
        mean = np.average(target[0], weights=w) if w.any() else 0.0
        spread = float(w @ (target[0] - mean) ** 2)
        return Problem(as_columns(self.X[chosen]), target, np.ascontiguousarray(root), self.unit, spread)

    def fvu(self, misfit):
        """FVU of sums of squared scaled residuals."""
        misfit = np.asarray(misfit, float)
        if self.spread > 0.0:
            with np.errstate(over="ignore"):  # a law that is far off enough leaves more than a float can tell
                return misfit / self.spread
        return np.where(misfit <= self.floor, 0.0, np.inf)

    @property
    def floor(self) -> float:
        """The misfit that rounding alone makes."""
        return self.rows * (8 * np.finfo(float).eps) ** 2 * float(np.square(self.targets).max(initial=0.0))


def unit_of(y: np.ndarray) -> float:
    largest = np.abs(y).max(initial=0.0)
    if not (0.0 < largest < np.inf):
        return 1.0
    return float(2.0 ** np.clip(-np.ceil(np.log2(largest)), -1020, 1020))
