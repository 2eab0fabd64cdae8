"""A small local fit: constants that are nearly right made right, for a handful of expressions at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nbsr import losses
from nbsr.evaluate import compile_programs, jacobian
from nbsr.expression import Expression, pack

EPS = float(np.finfo(float).eps)
# An FVU below the first is rounding, whatever the expression; one above the second is not, however delicate it is.
ROUNDING_FVU = 1e-27
MOST_ROUNDING_FVU = 1e-10
_REWEIGHTED = 3  # times as many steps where the rows are weighted anew after each
_LEAST_FREE = 1e-6  # of a row that a law passes through whatever it holds


@dataclass(frozen=True)
class Fitted:
    """An expression with fitted constants.

    Attributes:
        law: the expression.
        fvu: weighted share of the variance of y that it leaves, by the loss; inf where it is not finite on some row.
        rounding: the FVU that an error of one unit in the last place of each constant makes.
        errors: standard error of each constant: 0 where it was held, inf where the data do not determine it.
        digits: nats to which the data determine the free constants together, each relative to its own size.
        predictive: the FVU of rows that are left out one at a time, by the linearised fit (PRESS: Allen,
            Technometrics 16, 1974).
    """

    law: Expression
    fvu: float
    rounding: float
    errors: tuple[float, ...]
    digits: float
    predictive: float = np.inf


class Fitter:
    """Levenberg-Marquardt from where the constants are; all expressions of a call advance together.

    Arguments:
        X: [rows, columns] inputs.
        y: [rows] target.
        weights: [rows] or None.
        relative: whether the logarithms of target and law are compared.
        loss: what residuals count; under a robust one the rows are weighted anew after each step.
    """

    def __init__(
        self,
        X: Float[np.ndarray, "rows columns"],
        y: Float[np.ndarray, " rows"],
        weights: Float[np.ndarray, " rows"] | None = None,
        relative: bool = False,
        loss: str = "squares",
    ):
        self.X, self.relative, self.loss = np.ascontiguousarray(X, dtype=float), relative, loss
        y = np.log(y) if relative else y
        largest = float(np.max(np.abs(y), initial=0.0))
        self.unit = float(np.ldexp(1.0, -int(np.frexp(largest)[1]))) if 0 < largest < np.inf else 1.0
        self.y = y * self.unit
        self.root = np.ones(len(y)) if weights is None else np.sqrt(weights / np.max(weights))
        self.rows = int(np.count_nonzero(self.root))
        self.least = 4 * EPS * float(np.max(np.abs(self.y), initial=0.0))
        middle = losses.centre(self.y, self.root, loss, self.least)
        self.spread = float(losses.size(self.root * (self.y - middle), loss, self.least)) or EPS**2

    def fit(
        self,
        laws: Sequence[Expression],
        held: Sequence[Sequence[bool]] | None = None,
        steps: int = 12,
    ) -> list[Fitted]:
        """The expressions with their free constants fitted.

        Arguments:
            laws: expressions whose constants are good starts.
            held: for each of them, which constants stay as they are.
            steps: most trial points.
        """
        tokens, constants = pack(laws)
        width = max(1, constants.shape[1])
        free = np.zeros((len(laws), width), bool)
        start = np.ones((len(laws), width))
        for k, law in enumerate(laws):
            count = len(law.constants)
            start[k, :count] = law.constants
            free[k, :count] = ~np.asarray(held[k], bool) if held is not None else True
        programs = compile_programs(tokens, laws[0].vocabulary)
        with np.errstate(all="ignore"):
            best = self._climb(programs, start, free, steps)
            return [self._fitted(law, k, free[k], *best) for k, law in enumerate(laws)]

    def _evaluate(self, programs, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Residuals [K, N], derivatives [K, N, C] and sums of squares [K], all in weighted units of y."""
        values, slopes = jacobian(programs, constants, self.X, threads=1)
        if self.relative:
            values, slopes = np.log(values), slopes / values[:, None]
        residuals = (values * self.unit - self.y) * self.root
        slopes = np.swapaxes(slopes, 1, 2) * (self.unit * self.root)[:, None]
        misfit = np.sum(residuals * residuals, axis=1)
        misfit[~np.isfinite(misfit)] = np.inf
        return residuals, slopes, misfit

    def _climb(self, programs, constants: np.ndarray, free: np.ndarray, steps: int):
        residuals, slopes, misfit = self._evaluate(programs, constants)
        trust = self._trust(residuals)
        damping = np.full(len(constants), 1e-12)
        active = free.any(axis=1) & np.isfinite(misfit)
        for _ in range(steps if trust is None else _REWEIGHTED * steps):
            if not active.any():
                break
            trial = constants + self._steps(residuals, slopes, free, damping, trust)
            trial[~active] = constants[~active]
            new_residuals, new_slopes, new_misfit = self._evaluate(programs, trial)
            if trust is not None:
                misfit, new_misfit = (_weighted(r, trust) for r in (residuals, new_residuals))
            better = active & (new_misfit < misfit)
            settled = better & (new_misfit > misfit * (1 - 1e-9)) | (
                new_misfit <= ROUNDING_FVU * 1e-4 * self.spread
            )
            constants = np.where(better[:, None], trial, constants)
            residuals[better], slopes[better] = new_residuals[better], new_slopes[better]
            misfit[better] = new_misfit[better]
            trust = self._trust(residuals)
            damping = np.where(better, damping / 30, np.maximum(damping, 1e-10) * 100)
            active &= ~settled & (damping < 1e4)
        return constants, residuals, slopes, misfit

    def _trust(self, residuals) -> np.ndarray | None:
        """Square roots [K, N] of what the rows count under a robust loss."""
        if self.loss == "squares":
            return None
        return np.sqrt(losses.row_weights(residuals, self.loss, self.least))

    def _steps(self, residuals, slopes, free, damping, trust) -> np.ndarray:
        """The damped Gauss-Newton step of each expression, by QR of its scaled derivatives."""
        slopes = np.where(free[:, None, :] & np.isfinite(slopes), slopes, 0.0)
        if trust is not None:
            residuals, slopes = residuals * trust, slopes * trust[:, :, None]
        scale = lengths(slopes, axis=1)
        width = scale.shape[1]
        ridge = np.sqrt(damping)[:, None, None] * np.eye(width) + 1e-150 * np.eye(width)
        stacked = np.concatenate([slopes / scale[:, None, :], ridge], axis=1)
        q, r = np.linalg.qr(stacked)
        target = -np.einsum("knc,kn->kc", q[:, : residuals.shape[1]], np.nan_to_num(residuals))
        diagonal = np.arange(width)
        tiny = np.abs(r[:, diagonal, diagonal]) < 1e-100
        r[:, diagonal, diagonal] = np.where(tiny, 1.0, r[:, diagonal, diagonal])
        step = np.linalg.solve(r, np.where(tiny, 0.0, target)[..., None])[..., 0] / scale
        return np.where(free & np.isfinite(step), step, 0.0)

    def _fitted(self, law, k, free, constants, residuals, slopes, misfit) -> Fitted:
        count = len(law.constants)
        law = law.with_constants(constants[k, :count].tolist())
        if not np.isfinite(misfit[k]):
            return Fitted(law, np.inf, ROUNDING_FVU, (0.0,) * count, 0.0)
        own = slopes[k, :, :count]
        rounding = float(np.nansum((own * (constants[k, :count] * EPS)) ** 2)) / self.spread
        noise = losses.influence(residuals[k], self.loss, self.least)
        errors, digits, leverage = self._precision(own, constants[k, :count], free[:count], noise, rounding)
        fvu = float(losses.size(residuals[k], self.loss, self.least)) / self.spread
        left_out = residuals[k] / np.maximum(1 - leverage, _LEAST_FREE)
        floor = min(max(ROUNDING_FVU, 16 * rounding), MOST_ROUNDING_FVU)
        predictive = float(losses.size(left_out, self.loss, self.least)) / self.spread
        return Fitted(law, fvu, floor, tuple(errors.tolist()), digits, predictive)

    def _precision(
        self, slopes, constants, free, misfit: float, rounding: float
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Standard errors, digits known, and leverage of the rows, by the singular values of the scaled derivatives."""
        errors, leverage = np.zeros(len(free)), np.zeros(len(slopes))
        columns = np.flatnonzero(free)
        known_slopes = np.isfinite(slopes[:, columns]).all(axis=0)
        errors[columns[~known_slopes]] = np.inf
        columns = columns[known_slopes]
        if not len(columns):
            return errors, 0.0, leverage
        used = slopes[:, columns]
        unseen = ~used.any(axis=0)
        scale = lengths(used, axis=0)
        noise = max(misfit, rounding * self.spread, EPS**2 * self.spread) / max(1, self.rows - len(columns))
        try:
            sides, sizes, directions = np.linalg.svd(used / scale, full_matrices=False)
            known = np.linalg.svd(used * np.abs(constants[columns]), compute_uv=False) / np.sqrt(noise)
        except np.linalg.LinAlgError:  # derivatives over hundreds of decades
            errors[columns] = np.inf
            return errors, 0.0, leverage
        lost = sizes < 1e-11 * sizes[0]
        leverage = np.sum(sides[:, ~lost] ** 2, axis=1)
        variance = np.sum((directions[~lost] / sizes[~lost, None]) ** 2, axis=0)
        undetermined = unseen | (np.abs(directions[lost]).max(axis=0, initial=0.0) > 1e-3)
        errors[columns] = np.where(undetermined, np.inf, np.sqrt(noise * variance) / scale)
        return errors, float(np.sum(np.log(np.maximum(known, 1.0)))), leverage


def _weighted(residuals: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Sums of squares [K] of weighted residuals; inf where one is not finite."""
    sums = np.sum((residuals * trust) ** 2, axis=1)
    return np.where(np.isfinite(sums), sums, np.inf)


def lengths(columns: np.ndarray, axis: int) -> np.ndarray:
    """Euclidean lengths without under- or overflow; 1 for a column of zeros."""
    largest = np.max(np.abs(columns), axis=axis, keepdims=True, initial=0.0)
    largest[~(largest > 0)] = 1.0
    sizes = np.sqrt(np.sum((columns / largest) ** 2, axis=axis)) * np.squeeze(largest, axis)
    return np.where(sizes > 0, sizes, 1.0)
