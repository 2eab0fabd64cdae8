"""Constants for each group: one form fitted to many groups of rows at once.

A form whose constants all belong to the groups is fitted to each group by itself, and the errors are pooled.  Where
some constants are shared by all groups, the groups' own ones are projected out of each group (Golub and Pereyra 1973),
which leaves a small problem for the shared ones: so the cost grows with the number of groups and not with its cube.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from nbsr.evaluate import Programs, as_columns, compile_programs, jacobian
from nbsr.expression import Vocabulary
from nbsr.refine.batch import refine
from nbsr.refine.fits import Status
from nbsr.refine.problem import Problem, unit_of

EPS = float(np.finfo(float).eps)
_DEPENDENT = 1e-10  # a singular value below this share of the largest: no constant is told by it
_LEAST_FREE = 1e-6  # of a row that a law passes through whatever it holds
_MOST_DAMPING = 1e8


@dataclass(frozen=True)
class GroupedProblem:
    """The rows of each group made ready to be fitted many times.

    Residuals of all groups are in one unit and under one scale of weights; the FVU of a part is its misfit over its
    share, by rows, of the spread of all rows, so that their mean by rows is the FVU of the whole.
    """

    parts: tuple[Problem, ...]
    spread: float
    rows: int

    @classmethod
    def of(
        cls,
        X: Float[np.ndarray, "rows columns"],
        y: Float[np.ndarray, " rows"],
        weights: Float[np.ndarray, " rows"] | None,
        codes: Int[np.ndarray, " rows"],
        order: Int[np.ndarray, " groups"],
    ) -> "GroupedProblem":
        """order: the groups that are fitted, by their codes."""
        chosen = np.isin(codes, order)
        unit = unit_of(y[chosen])
        target = y * unit
        share = np.ones(len(y)) if weights is None else weights / np.max(weights[chosen])
        mean = np.average(target[chosen], weights=share[chosen])
        spread = float(share[chosen] @ (target[chosen] - mean) ** 2)
        parts, count = [], int(chosen.sum())
        for code in order:
            rows = np.flatnonzero(codes == code)
            root = np.empty(0) if weights is None else np.sqrt(share[rows])
            target_there = np.ascontiguousarray(target[rows])
            parts.append(
                Problem(as_columns(X[rows]), target_there[None], root[None], unit, spread * len(rows) / count)
            )
        return cls(tuple(parts), spread, count)

    def __len__(self) -> int:
        return len(self.parts)


@dataclass(frozen=True)
class GroupFits:
    """Constants found for each group, one row a candidate."""

    constants: Float[np.ndarray, "candidates groups constants"]  # NaN padded
    fvu: Float[np.ndarray, " candidates"]
    status: Integer[np.ndarray, " candidates"]
    evaluations: int


def refine_groups(
    tokens: Integer[np.ndarray, "candidates tokens"],
    problem: GroupedProblem,
    vocabulary: Vocabulary,
    *,
    starts: Float[np.ndarray, "candidates constants"]
    | Float[np.ndarray, "candidates groups constants"]
    | None,
    restarts: int,
    shared: Bool[np.ndarray, "candidates constants"] | None = None,
    fixed: Bool[np.ndarray, "candidates constants"] | None = None,
    max_steps: int = 50,
    method: str = "lm",
    seed: int = 0,
    deadline: float | None = None,
) -> GroupFits:
    """Find the constants of many candidates, each group's own and those that all share.

    The first group is fitted like a table of its own; what is found there is a start for all others.

    Args:
        tokens: padded prefix tokens.
        starts: constants to start from; where NaN, one is chosen.
        restarts: how many starts a candidate gets in each group beside these.
        shared: which constants have one value for all groups.
        fixed: which keep the value of their start.
        max_steps, method, seed, deadline: as in `refine`.
    """
    settings = {"method": method, "max_steps": max_steps, "seed": seed, "deadline": deadline}
    programs = compile_programs(tokens, vocabulary)
    width = max(1, int(programs.n_constants.max(initial=1)))
    constants = np.full((len(tokens), len(problem), width), np.nan)
    pooled = np.zeros(len(tokens))
    status = np.zeros(len(tokens), np.int8)
    alive = np.arange(len(tokens))
    passes = 0
    for g, part in enumerate(problem.parts):
        told = None if starts is None else (starts[:, g] if starts.ndim == 3 else starts)[alive, :width]
        if g:
            first = constants[alive, 0]
            told = first[:, None] if told is None or starts is None or starts.ndim == 2 else told[:, None]
            if fixed is None and starts is not None and starts.ndim == 3:
                told = np.concatenate([told, first[:, None]], axis=1)
        held = None if fixed is None else fixed[alive, :width]
        fits = refine(tokens[alive], part, vocabulary, starts=told, restarts=restarts, fixed=held, **settings)
        found = fits.constants[:, :width]
        constants[alive, g, : found.shape[1]] = found
        passes += fits.evaluations
        pooled[alive] += fits.fvu * (part.rows / problem.rows)
        status[alive] = np.where(g == 0, fits.status, np.maximum(status[alive], fits.status))
        alive = alive[np.isfinite(pooled[alive])]
        if not len(alive):
            break
    if shared is not None and shared.any() and len(alive):
        free = np.ones((len(tokens), width), bool) if fixed is None else ~fixed[:, :width]
        joint = fit_jointly(
            programs[alive],
            np.nan_to_num(constants[alive]),
            shared[alive, :width],
            free[alive],
            problem,
            min(max_steps, 20),
        )
        constants[alive] = np.where(np.isnan(constants[alive]), np.nan, joint.constants)
        pooled[alive] = joint.fvu
    gone = ~np.isfinite(pooled)
    constants[gone] = np.nan
    pooled[gone] = np.inf
    status[gone & (status < Status.NOT_FINITE)] = Status.NOT_FINITE
    return GroupFits(constants, pooled, status, passes)


@dataclass(frozen=True)
class JointFits:
    """Constants of all groups together, and how well they are known.

    errors: standard errors: 0 where a constant was held, inf where the data do not determine it.
    digits: nats to which the data determine the free constants together, each relative to its own size.
    predictive: FVU of rows left out one at a time (PRESS), by the linearised fit.
    rounding: the FVU that an error of one unit in the last place of each constant makes.
    """

    constants: Float[np.ndarray, "candidates groups constants"]
    fvu: Float[np.ndarray, " candidates"]
    errors: Float[np.ndarray, "candidates groups constants"]
    digits: Float[np.ndarray, " candidates"]
    predictive: Float[np.ndarray, " candidates"]
    rounding: Float[np.ndarray, " candidates"]


def fit_jointly(
    programs: Programs,
    constants: Float[np.ndarray, "candidates groups constants"],
    shared: Bool[np.ndarray, "candidates constants"],
    free: Bool[np.ndarray, "candidates constants"],
    problem: GroupedProblem,
    steps: int = 12,
) -> JointFits:
    """Levenberg-Marquardt from where the constants are, in all groups at once.

    Args:
        constants: of each group, no NaN; those that are shared begin at the median over the groups.
        shared: which have one value for all groups.
        free: which are fitted.
        steps: most trial points; with 0 the constants stay as they are, and only their errors are told.
    """
    width = constants.shape[2]
    free = free & (np.arange(width) < programs.n_constants[:, None])
    with np.errstate(over="ignore"):  # the mean of the two in the middle; such a law is none anyway
        middle = np.median(constants, axis=1, keepdims=True)
    constants = np.where(shared[:, None, :], middle, constants)
    system = _System(programs, problem, free & ~shared, free & shared)
    with np.errstate(all="ignore"):
        here = system.at(constants)
        damping = np.full(len(constants), 1e-6)
        active = np.isfinite(here.misfit) & free.any(axis=1)
        for _ in range(steps):
            if not active.any():
                break
            moved = constants + system.step(here, damping)
            moved[~active] = constants[~active]
            there = system.at(moved)
            better = active & (there.misfit < here.misfit)
            settled = better & (there.misfit > here.misfit * (1 - 1e-9))
            constants = np.where(better[:, None, None], moved, constants)
            here = here.replaced(better, there)
            damping = np.where(better, damping / 20, np.maximum(damping, 1e-9) * 50)
            active &= ~settled & (damping < _MOST_DAMPING)
        return system.known(here, constants)


@dataclass
class _Point:
    """The rows of all groups at some constants: residuals and derivatives, weighted, a list entry a group."""

    residuals: list[np.ndarray]  # [candidates, rows]
    slopes: list[np.ndarray]  # [candidates, rows, constants]
    misfit: np.ndarray  # [candidates]

    def replaced(self, which: np.ndarray, other: "_Point") -> "_Point":
        return _Point(
            [np.where(which[:, None], b, a) for a, b in zip(self.residuals, other.residuals, strict=True)],
            [np.where(which[:, None, None], b, a) for a, b in zip(self.slopes, other.slopes, strict=True)],
            np.where(which, other.misfit, self.misfit),
        )


@dataclass(frozen=True)
class _System:
    """The joint least squares of one batch: which constants belong to the groups, and which to all."""

    programs: Programs
    problem: GroupedProblem
    own: np.ndarray  # [candidates, constants]
    shared: np.ndarray

    def at(self, constants: np.ndarray) -> _Point:
        residuals, slopes = [], []
        misfit = np.zeros(len(constants))
        for g, part in enumerate(self.problem.parts):
            values, derivatives = jacobian(self.programs, constants[:, g], part.X, threads=1)
            root = part.root_weights[0] if part.root_weights.shape[1] else 1.0
            left = (part.targets[0] - values * part.unit) * root
            slope = np.swapaxes(derivatives, 1, 2) * (part.unit * np.reshape(root, (-1, 1)))
            misfit += np.sum(left * left, axis=1)
            residuals.append(np.where(np.isfinite(left), left, 0.0))
            slopes.append(np.where(np.isfinite(slope), slope, 0.0))
        return _Point(residuals, slopes, np.where(np.isfinite(misfit), misfit, np.inf))

    def _taken_apart(self, slopes: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of the groups' own derivatives: U, singular values (0 where they tell nothing), V', and lengths."""
        used = slopes * self.own[:, None, :]
        size = np.sqrt(np.sum(used * used, axis=1))
        size = np.where(size > 0, size, 1.0)
        U, s, Vt = np.linalg.svd(used / size[:, None, :], full_matrices=False)
        s = np.where(s > _DEPENDENT * np.maximum(s[:, :1], 1e-300), s, 0.0)
        return U * (s > 0)[:, None, :], s, Vt, size

    def _reduced(
        self, point: _Point
    ) -> tuple[list[tuple[np.ndarray, ...]], list[np.ndarray], np.ndarray, np.ndarray]:
        """Each group taken apart, the shared derivatives without what own constants explain, and their equations."""
        apart, left = [], []
        count, width = self.own.shape
        A, b = np.zeros((count, width, width)), np.zeros((count, width))
        for residual, slopes in zip(point.residuals, point.slopes, strict=True):
            U, s, Vt, size = self._taken_apart(slopes)
            together = slopes * self.shared[:, None, :]
            together = together - U @ (np.swapaxes(U, 1, 2) @ together)
            A += np.swapaxes(together, 1, 2) @ together
            b += np.einsum("knc,kn->kc", together, residual)
            apart.append((U, s, Vt, size))
            left.append(together)
        return apart, left, A, b

    def step(self, point: _Point, damping: np.ndarray) -> np.ndarray:
        """The damped Gauss-Newton step `[candidates, groups, constants]`."""
        apart, _, A, b = self._reduced(point)
        shared_step = np.zeros_like(b)
        if self.shared.any():
            inverse, _ = _inverted(A, damping)
            shared_step = np.einsum("kij,kj->ki", inverse, b)
        out = []
        for residual, slopes, (U, s, Vt, size) in zip(point.residuals, point.slopes, apart, strict=True):
            left = residual - np.einsum("knc,kc->kn", slopes * self.shared[:, None, :], shared_step)
            along = np.einsum("knr,kn->kr", U, left) * s / (s * s + damping[:, None] + 1e-300)
            own_step = np.einsum("krc,kr->kc", Vt, along) / size * self.own
            out.append(own_step + shared_step)
        return np.stack(out, axis=1)

    def known(self, point: _Point, constants: np.ndarray) -> JointFits:
        """What the data say of the constants where they are."""
        spread, rows = self.problem.spread, self.problem.rows
        apart, left, A, _ = self._reduced(point)
        none = np.zeros(len(constants))
        inverse, shared_rank = _inverted(A, none)
        rank = shared_rank + sum(np.count_nonzero(s, axis=1) for _, s, _, _ in apart)
        rounding = none.copy()
        for g, slopes in enumerate(point.slopes):
            rounding += np.nansum((slopes * (constants[:, g] * EPS)[:, None, :]) ** 2, axis=(1, 2)) / spread
        noise = np.maximum(point.misfit, np.maximum(rounding, EPS**2) * spread) / np.maximum(rows - rank, 1)
        lost_shared = self.shared & ~(np.diagonal(inverse, axis1=1, axis2=2) > 0)
        shared_errors = np.sqrt(noise[:, None] * np.diagonal(inverse, axis1=1, axis2=2))
        shared_errors = np.where(lost_shared, np.inf, shared_errors) * self.shared
        size = np.abs(np.median(constants, axis=1))
        whole = A * size[:, :, None] * size[:, None, :]
        whole = np.linalg.eigvalsh(np.where(np.isfinite(whole), whole, 0.0)) / noise[:, None, None][:, 0]
        digits = np.sum(np.log(np.maximum(np.sqrt(np.maximum(whole, 0.0)), 1.0)), axis=1)
        errors, predictive = [], none.copy()
        for g, (U, s, Vt, length) in enumerate(apart):
            residual, slopes, rest = point.residuals[g], point.slopes[g], left[g]
            over = np.where(s > 0, 1 / np.where(s > 0, s, 1.0), 0.0)
            turned = np.swapaxes(Vt, 1, 2) * over[:, None, :] / length[:, :, None]  # [k, constants, r]
            variance = np.sum(turned**2, axis=2)
            through = turned @ (np.swapaxes(U, 1, 2) @ (slopes * self.shared[:, None, :]))
            variance += np.einsum("kij,kjl,kil->ki", through, inverse, through)
            blind = np.einsum("krc,kr->kc", Vt**2, (s == 0).astype(float)) > 1e-6
            unseen = ~(np.abs(slopes).max(axis=1, initial=0.0) > 0)
            few = slopes.shape[1] < self.own.sum(axis=1)
            lost = self.own & (blind | unseen | few[:, None])
            own_errors = np.where(lost, np.inf, np.sqrt(noise[:, None] * variance)) * self.own
            errors.append(np.nan_to_num(own_errors, nan=np.inf, posinf=np.inf) + shared_errors)
            scaled = slopes * (self.own * np.abs(constants[:, g]))[:, None, :]
            sizes = np.linalg.svd(scaled, compute_uv=False) / np.sqrt(noise)[:, None]
            digits += np.sum(np.log(np.maximum(sizes, 1.0)), axis=1)
            leverage = np.sum(U * U, axis=2) + np.einsum("kni,kij,knj->kn", rest, inverse, rest)
            predictive += np.sum((residual / np.maximum(1 - leverage, _LEAST_FREE)) ** 2, axis=1)
        finite = np.isfinite(point.misfit)
        return JointFits(
            constants, np.where(finite, point.misfit / spread, np.inf), np.stack(errors, axis=1), digits,
            np.where(finite & (rows > rank), predictive / spread, np.inf), rounding,
        )  # fmt: skip


def _inverted(A: np.ndarray, damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of the normal equations, on what they tell of, each column first brought to length one; the rank."""
    size = np.sqrt(np.diagonal(A, axis1=1, axis2=2))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(A / size[:, :, None] / size[:, None, :])
    told = values > 1e-12 * np.maximum(values[:, -1:], 1e-300)
    over = np.where(told, 1 / np.where(told, values + damping[:, None], 1.0), 0.0)
    inverse = np.einsum("kir,kr,kjr->kij", vectors, over, vectors)
    return inverse / size[:, :, None] / size[:, None, :], told.sum(axis=1) * (values[:, -1] > 0)
