"""Refinement by SciPy's optimisers, one candidate and one start at a time.

The same starts in spirit, the same linear constants, far slower: for comparison, for problems on which another
method does better, and while the compiled kernels are not there yet.
"""

import time

import numpy as np

from nbsr.evaluate import evaluate, jacobian
from nbsr.refine.fits import Status
from nbsr.refine.problem import EXACT_FVU
from nbsr.refine.structure import FIXED, LINEAR, current_tables, find_roles

_MINIMIZE = {"bfgs": "BFGS", "lbfgsb": "L-BFGS-B", "neldermead": "Nelder-Mead", "powell": "Powell"}
_PRECISION = {
    "bfgs": {"gtol": 1e-10},
    "lbfgsb": {"gtol": 1e-10, "ftol": 1e-15},
    "neldermead": {"xatol": 1e-9, "fatol": 1e-14},
    "powell": {"xtol": 1e-8, "ftol": 1e-13, "maxfev": 2000},
}
_LEAST_SQUARES = {"lm": "trf", "trf": "trf", "dogbox": "dogbox"}
_FAR = 1e100  # what the optimisers see of a residual that is not finite


def refine_one_by_one(programs, keys, problem, starts, restarts, fixed, max_steps, deadline, width, method):
    """constants [K, width], fvu [K], status [K], passes over the data."""
    n = len(programs)
    constants, fvu = np.full((n, width), np.nan), np.full(n, np.inf)
    status, passes = np.full(n, Status.NOT_REACHED, np.int8), 0
    fixed = np.zeros((n, width), bool) if fixed is None else fixed
    for k in range(n):
        if deadline is not None and time.monotonic() >= deadline:
            break
        model = _Model(programs[k : k + 1], problem, fixed[k : k + 1], width)
        status[k] = Status.NOT_FINITE
        for start in _starts(model, keys[k], None if starts is None else starts[k], restarts):
            theta, misfit, converged = model.fit(start, method, max_steps)
            found = float(problem.fvu(misfit)) if np.isfinite(misfit) else np.inf
            if found < fvu[k]:
                fvu[k] = found
                constants[k, : model.n] = theta
                status[k] = Status.CONVERGED if converged else Status.UNFINISHED
            if fvu[k] <= EXACT_FVU:
                status[k] = Status.EXACT
                break
            if deadline is not None and time.monotonic() >= deadline:
                break
        if model.n == 0 and np.isfinite(fvu[k]):
            status[k] = Status.NO_CONSTANTS
        passes += model.passes
    return constants, fvu, status, passes


def _starts(model: "_Model", key, given, restarts: int):
    """Given starts, all ones, then both signs and magnitudes over six decades."""
    random = np.random.default_rng(int(key))
    count = max(restarts, 0 if given is None else len(given), 1)
    if not model.curved:
        count = 1
    for number in range(count):
        drawn = np.ones(model.n)
        if number > (0 if given is None else len(given)):
            drawn = 10.0 ** random.uniform(-3, 3, model.n) * random.choice([-1.0, 1.0], model.n)
        if given is not None and number < len(given):
            told = given[number, : model.n]
            drawn = np.where(np.isnan(told), drawn, told)
        elif given is not None and len(given):
            drawn = np.where(model.role == FIXED, np.nan_to_num(given[0, : model.n], nan=1.0), drawn)
        yield drawn


def _squared(residual: np.ndarray) -> float:
    """Sum of squares, inf where it is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(residual @ residual)
    return total if np.isfinite(total) else np.inf


class _Model:
    """One candidate's residuals in scaled units, as functions of its free constants, each in units of its start."""

    def __init__(self, program, problem, fixed, width: int):
        self.program, self.problem = program, problem
        self.n = int(program.n_constants[0])
        role = np.zeros((1, width), np.int8)
        find_roles(
            program.code,
            program.length,
            program.n_constants,
            program.n_columns,
            current_tables()[0],
            fixed,
            role,
        )
        self.role = role[0, : self.n]
        self.free = np.flatnonzero(self.role != FIXED)
        self.linear = np.flatnonzero(self.role == LINEAR)
        self.curved = len(self.free) > len(self.linear)
        self.root_weight = problem.root_weights[0] if problem.root_weights.shape[1] else 1.0
        self.passes = 0

    def residuals(self, theta: np.ndarray) -> np.ndarray:
        self.passes += 1
        with np.errstate(all="ignore"):
            value = evaluate(self.program, self._padded(theta), self.problem.X)[0]
            return (value * self.problem.unit - self.problem.targets[0]) * self.root_weight

    def derivatives(self, theta: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """[N, free] derivatives of the residuals by theta / scale."""
        self.passes += 2
        with np.errstate(all="ignore"):
            _, J = jacobian(self.program, self._padded(theta), self.problem.X)
            J = (J[0, self.free] * scale[:, None] * self.problem.unit * self.root_weight).T
        return np.nan_to_num(J, nan=0.0, posinf=0.0, neginf=0.0)

    def _padded(self, theta: np.ndarray) -> np.ndarray:
        return theta[None] if self.n else np.ones((1, 1))

    def solve_linear(self, theta: np.ndarray) -> np.ndarray:
        """Theta with its linear constants at their best."""
        theta = theta.copy()
        theta[self.linear] = 0.0
        for _ in range(2):  # the second time mends the rounding of the first
            residual = self.residuals(theta)
            if not np.isfinite(residual).all():
                return theta
            columns = self.derivatives(theta, np.ones(len(self.free)))[:, np.isin(self.free, self.linear)]
            size = np.abs(columns).max(axis=0, initial=0.0)
            size[size == 0.0] = 1.0
            step, *_ = np.linalg.lstsq(columns / size, -residual, rcond=1e-13)
            moved = theta.copy()
            with np.errstate(over="ignore"):  # what is not finite is left out
                moved[self.linear] += step / size
            if np.isfinite(moved).all() and self.misfit(moved) <= _squared(residual):
                theta = moved
        return theta

    def misfit(self, theta: np.ndarray) -> float:
        return _squared(self.residuals(theta))

    def fit(self, start: np.ndarray, method: str, max_steps: int) -> tuple[np.ndarray, float, bool]:
        """Constants, misfit, and whether the method says that it arrived."""
        theta = self.solve_linear(start) if len(self.linear) else start
        now = self.misfit(theta)
        if not self.curved or not np.isfinite(now):
            return theta, now, True
        scale = np.where(theta[self.free] != 0.0, np.abs(theta[self.free]), 1.0)
        run = self._least_squares if method in _LEAST_SQUARES else self._minimize
        with np.errstate(all="ignore"):
            z, converged = run(method, theta, scale, max_steps)
        moved = theta.copy()
        moved[self.free] = z * scale
        there = self.misfit(moved)
        if len(self.linear) and np.isfinite(there):
            moved = self.solve_linear(moved)
            there = self.misfit(moved)
        return (moved, there, converged) if there <= now else (theta, now, converged)

    def _at(self, z: np.ndarray, theta: np.ndarray, scale: np.ndarray) -> np.ndarray:
        moved = theta.copy()
        with np.errstate(over="ignore"):
            moved[self.free] = z * scale
        return moved

    def _least_squares(self, method, theta, scale, max_steps):
        from scipy.optimize import least_squares

        def residuals(z):
            return np.nan_to_num(np.clip(self.residuals(self._at(z, theta, scale)), -_FAR, _FAR), nan=_FAR)

        def derivatives(z):
            return self.derivatives(self._at(z, theta, scale), scale)

        found = least_squares(
            residuals, theta[self.free] / scale, derivatives,  # pyright: ignore[reportArgumentType]
            method=_LEAST_SQUARES[method], x_scale="jac", ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=2 * max_steps,
        )  # fmt: skip
        return found.x, found.status > 0

    def _minimize(self, method, theta, scale, max_steps):
        """Over the nonlinear constants alone: the others are solved for at every point, so that the slope by the
        nonlinear ones there is that of the whole (Golub and Pereyra 1973)."""
        from scipy.optimize import minimize

        spread = self.problem.spread or 1.0
        curved = ~np.isin(self.free, self.linear)
        start = theta[self.free] / scale

        def at(z):
            moved = start.copy()
            moved[curved] = z
            moved = self._at(moved, theta, scale)
            return self.solve_linear(moved) if len(self.linear) else moved

        def value(z):
            return min(self.misfit(at(z)) / spread, _FAR)

        def slope(z):
            moved = at(z)
            residual = self.residuals(moved)
            if not np.isfinite(residual).all():
                return np.zeros(len(z))
            return np.clip(2.0 / spread * (self.derivatives(moved, scale).T @ residual)[curved], -_FAR, _FAR)

        follows_slope = method in ("bfgs", "lbfgsb")
        found = minimize(
            value, start[curved], jac=slope if follows_slope else None, method=_MINIMIZE[method],
            options=_PRECISION[method] | {"maxiter": max_steps * (4 if follows_slope else 10)},
        )  # fmt: skip
        moved = at(found.x)
        return moved[self.free] / scale, bool(found.success)
