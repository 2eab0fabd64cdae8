"""Refinement of many candidates at once: starts, racing, statuses.

Every candidate gets several starts.  All of them take a few steps on a small sample of the rows, the better part
goes on, and the best two of each candidate end on all rows (successive halving); a start that fits exactly ends its
candidate's race.  A candidate's result depends on its tokens, the data and the seed, not on what else is in the
batch nor on the number of threads.
"""

import time
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from nbsr.errors import UsageError, did_you_mean
from nbsr.evaluate import BLOCK, Programs, aligned, compile_programs, jacobian
from nbsr.expression import PAD, Vocabulary
from nbsr.refine.fits import Fits, Status
from nbsr.refine.jobs import Batch, Climber, Jobs
from nbsr.refine.problem import EXACT_FVU, Problem, unit_of
from nbsr.refine.warming import ready

TOLERANCE = 1e-12
SAMPLE = 256  # rows on which starts race: one block of the compiled machine
PEEK = 64  # rows that the drawing of starts looks at
SCREENED = 4  # starts looked at for each one that climbs
_MANY = 4096  # candidates in flight at once


# ---------------------------------------------------------------------------------------------------------------
# racing


def candidate_keys(tokens: np.ndarray, seed: int) -> np.ndarray:
    """A number for each candidate that depends on its tokens and the seed alone."""
    key = np.full(len(tokens), (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64, np.uint64)
    for column in np.asarray(tokens).T:
        mixed = (key ^ column.astype(np.uint64)) * np.uint64(0x100000001B3)
        key = np.where(column == PAD, key, mixed ^ (mixed >> np.uint64(29)))
    return key


def _plan(batch: Batch, kinds: np.ndarray, given: int, restarts: int) -> tuple[np.ndarray, np.ndarray]:
    """Owner and number of every start; numbers below 0 stand for the starts that were given, -1 the first.

    One start is enough for a candidate whose free constants are all linear; one with a frequency gets many more.
    """
    from nbsr.refine.structure import DIVISOR, EXPONENT, NONLINEAR, PERIODIC

    curved = np.isin(batch.role, (NONLINEAR, EXPONENT, DIVISOR)).any(axis=1)
    drawn = np.where(curved, max(restarts - given, 0), 0 if given else 1)
    if restarts >= 4:
        drawn = np.where(curved, SCREENED * drawn, drawn)
        in_use = np.arange(batch.code.shape[1]) < batch.length[:, None]
        waves = ((kinds[batch.code[:, :, 0]] == PERIODIC) & in_use).any(axis=1)
        drawn = np.where(curved & waves, drawn + 20 * restarts, drawn)
    count = drawn + np.where(curved, given, min(given, 1))
    owner = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    first_drawn = np.where(curved, given, min(given, 1))[owner]
    return owner, np.where(place < first_drawn, -1 - place, place - first_drawn)


def all_starts(
    batch: Batch, keys: np.ndarray, problem: Problem, starts: np.ndarray | None, restarts: int
) -> Jobs:
    """Every start of every candidate, given and drawn, before its first step."""
    from nbsr.refine.starts import draw
    from nbsr.refine.structure import current_tables

    kinds, inverses = current_tables()
    given = 0 if starts is None else starts.shape[1]
    owner, number = _plan(batch, kinds, given, restarts)
    theta = np.full((len(owner), batch.role.shape[1]), np.nan)
    if starts is not None:
        told = number < 0
        theta[told] = starts[owner[told], -1 - number[told]]
    peek = problem.sample(PEEK)
    room = aligned((batch.code.shape[1], BLOCK))
    draw(
        batch.code, batch.length, peek.columns, kinds, inverses, batch.role, keys, owner,
        np.where(number < 0, 1, number), room, theta,
    )  # fmt: skip
    _hold(theta, batch, owner, starts)
    return Jobs.begin(owner, theta)


def _hold(theta: np.ndarray, batch: Batch, owner: np.ndarray, starts: np.ndarray | None) -> None:
    """Give the fixed constants of drawn starts the value that they have in their candidate's first start."""
    from nbsr.refine.structure import FIXED

    if starts is not None:
        first = starts[owner, 0]
        held = (batch.role[owner] == FIXED) & ~np.isnan(first)
        theta[held] = first[held]


def _race(
    batch: Batch, keys: np.ndarray, problem: Problem, starts, restarts: int, max_steps: int
) -> tuple[Jobs, np.ndarray]:
    """The best job of every candidate, and which candidates were reached."""
    jobs = all_starts(batch, keys, problem, starts, restarts)
    owner = jobs.owner
    alone = np.bincount(owner, minlength=len(batch.length))[owner] == 1
    reached = np.zeros(len(batch.length), bool)
    finalists = jobs[alone]
    racing = jobs[~alone]
    if len(racing):
        sample = problem.sample(SAMPLE)
        racing = racing.join(starts_from_inside(batch, sample, np.unique(racing.owner), keys, starts))
        enough = EXACT_FVU * sample.spread
        rounds = ((max(restarts, 3), 0, False), (max(4, restarts // 2), 4, False), (2, 12, True))
        for count, steps, free in rounds:
            batch.advance(racing, sample, steps, 1e-6, free)
            spent = np.bincount(racing.owner, racing.passes, len(batch.length))
            racing = racing.best(count, enough)
            racing.reopen()
            firsts = np.r_[True, racing.owner[1:] != racing.owner[:-1]]
            racing.passes[:] = np.where(firsts, spent[racing.owner], 0)
        finalists = finalists.join(racing)
    done = batch.finishing(finalists).advance(finalists, problem, max_steps, TOLERANCE)
    if problem.rows <= SAMPLE:  # then what the race found counts, also where the final was not reached
        done |= np.isfinite(finalists.misfit)
    else:
        finalists.misfit[~done] = np.inf
    reached[finalists.owner[done]] = True
    spent = np.bincount(finalists.owner, finalists.passes, len(batch.length))
    winners = finalists.best(1, 0.0)
    winners.passes[:] = spent[winners.owner]
    return winners, reached


def starts_from_inside(
    batch: Batch, sample: Problem, candidates: np.ndarray, keys: np.ndarray, starts: np.ndarray | None
) -> Jobs:
    """Starts found by undoing the outer layers of a formula and fitting its inner part (see `peel`)."""
    from nbsr.refine.compiled import find_roles
    from nbsr.refine.peeling import peel
    from nbsr.refine.starts import draw
    from nbsr.refine.structure import FIXED, current_tables

    kinds, inverses = current_tables()
    theta = np.full((len(candidates), batch.role.shape[1]), np.nan)
    room = aligned((batch.code.shape[1], BLOCK))
    peek = sample.sample(PEEK)
    draw(
        batch.code, batch.length, peek.columns, kinds, inverses, batch.role, keys, candidates,
        np.ones(len(candidates), np.int64), room, theta,
    )  # fmt: skip
    _hold(theta, batch, candidates, starts)
    inner = np.zeros(len(candidates), np.int32)
    targets = np.empty((len(candidates), sample.rows))
    weights = np.empty_like(targets)
    peel(
        batch.code, batch.length, sample.columns, sample.targets[0] / sample.unit, kinds, inverses, batch.role,
        candidates, theta, room, inner, targets, weights,
    )  # fmt: skip
    use = (inner > 0) & (weights.sum(axis=1) > 0.5 * sample.rows)
    candidates, theta, inner, targets, weights = (
        a[use] for a in (candidates, theta, inner, targets, weights)
    )
    role = np.zeros((len(candidates), batch.role.shape[1]), np.int8)
    find_roles(
        batch.code[candidates], inner, batch.n_constants[candidates], batch.n_columns, kinds,
        batch.role[candidates] == FIXED, role,
    )  # fmt: skip
    units = np.array([unit_of(row) for row in targets])
    inside = Batch(
        batch.code[candidates], inner, batch.n_constants[candidates], batch.n_columns, role, batch.climber,
        batch.threads, batch.deadline,
    )  # fmt: skip
    rows = np.arange(len(candidates))
    jobs = Jobs.begin(rows, theta)
    spreads = np.full(len(rows), float(sample.rows))
    targets *= units[:, None]
    inside.advance_on(jobs, inner, sample.columns, targets, weights, units, spreads, rows, 6, 1e-6, True)
    fresh = Jobs.begin(candidates, jobs.theta)
    fresh.passes[:] = jobs.passes
    return fresh[np.isfinite(jobs.misfit)]


# ---------------------------------------------------------------------------------------------------------------
# the doors

METHODS = {
    "lm": "Levenberg-Marquardt in compiled batches, linear constants solved exactly",
    "trf": "trust region reflective (SciPy)",
    "dogbox": "dogleg in rectangular trust regions (SciPy)",
    "bfgs": "BFGS (SciPy)",
    "lbfgsb": "limited-memory BFGS (SciPy)",
    "neldermead": "Nelder-Mead simplex, without derivatives (SciPy)",
    "powell": "Powell's directions, without derivatives (SciPy)",
}


def refine(
    tokens: Integer[np.ndarray, "candidates tokens"],
    data: Any,
    vocabulary: Vocabulary,
    *,
    starts: np.ndarray | None = None,
    restarts: int = 8,
    method: str = "lm",
    fixed: np.ndarray | None = None,
    max_steps: int = 50,
    seed: int = 0,
    deadline: float | None = None,
    threads: int | None = None,
    covariance: bool = False,
    climber: Climber | None = None,
) -> Fits:
    """Find the constants of many candidates that fit the data best.

    Each candidate is started from `starts`, then from all ones and from points that look at the data, `restarts` in
    all; exponents are held at small powers first and set free later. Linear constants are always solved for.

    Args:
        tokens: [K, L] prefix tokens, padded with PAD.
        data: a Table, a `Problem`, or (X [N, D], y [N], weights [N] or None).
        vocabulary: what the tokens mean; its variables are the columns of X.
        starts: [K, S, C] or [K, C] constants to start from; where NaN, one is chosen.
        restarts: how many starts a candidate gets.
        method: a name in `METHODS`.
        fixed: [K, C] constants that keep the value of the first start.
        max_steps: trial points of the last and longest climb.
        seed: of the random starts.
        deadline: `time.monotonic()` after which nothing more is begun; what was not reached says so in its status.
        threads: all cores by default; has no influence on the results.
        covariance: whether to return the covariance of the constants.
        climber: what method "lm" climbs with; the compiled one by default.

    Raises:
        UsageError: an unknown method, or arrays that do not fit together.

    Sources: Golub and Pereyra (1973) and Kaufman (1975) on variable projection; Kronberger (2022), arXiv 2209.00942,
    on rank-deficient Jacobians in symbolic regression.
    """
    if method not in METHODS:
        raise UsageError(
            f"There is no refiner '{method}'.{did_you_mean(method, METHODS)}",
            hint=f"Known are: {', '.join(METHODS)}.",
        )
    tokens = np.atleast_2d(tokens)
    problem = _problem(data)
    programs = compile_programs(tokens, vocabulary)
    starts, fixed = _checked(programs, starts, fixed)
    width = starts.shape[2] if starts is not None else max(1, int(programs.n_constants.max(initial=1)))
    if method == "lm" and ready():
        found = _refine_compiled(
            programs,
            candidate_keys(tokens, seed),
            problem,
            starts,
            restarts,
            fixed,
            max_steps,
            deadline,
            threads,
            width,
            climber,
        )
    else:
        from nbsr.refine.scipy_methods import refine_one_by_one

        found = refine_one_by_one(
            programs,
            candidate_keys(tokens, seed),
            problem,
            starts,
            restarts,
            fixed,
            max_steps,
            deadline,
            width,
            method,
        )
    return _fits(tokens, programs, problem, fixed, *found, covariance)


def fit_batch(
    programs: Programs,
    starts: Float[np.ndarray, "candidates starts constants"],
    problem: Problem,
    *,
    fixed: np.ndarray | None = None,
    max_steps: int = 12,
    tolerance: float = 1e-6,
    threads: int | None = None,
    deadline: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The bare machine for a search that fits thousands of small candidates at a time: no race, no drawn starts.

    Every start runs on all rows. Takes compiled programs and a `Problem`, so that what can be kept between calls is.

    Returns:
        constants [K, C] of the best start, fvu [K], status [K], and the number of passes over the data.
    """
    n_starts, width = starts.shape[1:]
    batch = Batch.of(programs, width, fixed, threads, deadline)
    owner = np.repeat(np.arange(len(starts)), n_starts)
    jobs = Jobs.begin(owner, starts.reshape(-1, width).copy())
    reached = batch.advance(jobs, problem, max_steps, tolerance)
    passes = int(jobs.passes.sum())
    if n_starts > 1:
        jobs, reached = jobs.best(1, 0.0), np.asarray(reached.reshape(-1, n_starts).any(axis=1))
    return jobs.theta, *_judge(jobs, problem, reached, programs.n_constants), passes


def _judge(jobs: Jobs, problem: Problem, reached: np.ndarray, n_constants: np.ndarray):
    """FVU and status of every candidate's best job; constants without meaning become NaN."""
    from nbsr.refine import climb

    translate = np.zeros(6, np.int8)
    for state, status in (
        (climb.FRESH, Status.UNFINISHED), (climb.RUNNING, Status.UNFINISHED),
        (climb.CONVERGED, Status.CONVERGED), (climb.EXACT, Status.EXACT), (climb.STALLED, Status.STALLED),
        (climb.NOT_FINITE, Status.NOT_FINITE),
    ):  # fmt: skip
        translate[state] = status
    status = translate[jobs.state]
    fvu = problem.fvu(jobs.misfit)
    finite = np.isfinite(jobs.misfit)
    fvu[~finite] = np.inf
    status[finite & (fvu <= EXACT_FVU)] = Status.EXACT
    status[finite & (n_constants == 0)] = Status.NO_CONSTANTS
    status[~finite] = Status.NOT_FINITE
    status[~reached] = Status.NOT_REACHED
    beyond = np.arange(jobs.theta.shape[1]) >= n_constants[:, None]
    jobs.theta[beyond | ~finite[:, None]] = np.nan
    return fvu, status


def _refine_compiled(programs, keys, problem, starts, restarts, fixed, max_steps, deadline, threads, width,
                     climber):  # fmt: skip
    """constants, fvu, status, passes: the race, some thousand candidates at a time."""
    n = len(programs)
    constants, fvu = np.full((n, width), np.nan), np.full(n, np.inf)
    status, passes = np.full(n, Status.NOT_REACHED, np.int8), 0
    for first in range(0, n, _MANY):
        some = slice(first, min(first + _MANY, n))
        if deadline is not None and time.monotonic() >= deadline:
            break
        held = None if fixed is None else fixed[some]
        batch = Batch.of(programs[some], width, held, threads, deadline, climber)
        winners, reached = _race(
            batch, keys[some], problem, None if starts is None else starts[some], restarts, max_steps
        )
        passes += int(winners.passes.sum())
        fvu[some], status[some] = _judge(winners, problem, reached, programs.n_constants[some])
        constants[some] = winners.theta
    return constants, fvu, status, passes


def _fits(tokens, programs, problem, fixed, constants, fvu, status, passes, with_covariance) -> Fits:
    spread = covariance(programs, constants, problem, fixed) if with_covariance else None
    return Fits(tokens, constants, spread, fvu, status, passes)


def _problem(data: Any) -> Problem:
    if isinstance(data, Problem):
        return data
    if isinstance(data, tuple):
        return Problem.of(*data)
    return Problem.of(data.inputs, data.response, data.weights)


def _checked(programs: Programs, starts, fixed):
    """Starts as [K, S, C] and fixed as [K, C], both wide enough, or None."""
    width = max(1, int(programs.n_constants.max(initial=1)))
    if starts is not None:
        starts = np.asarray(starts, float)
        starts = starts[:, None, :] if starts.ndim == 2 else starts
        needed = int(programs.n_constants.max(initial=0))
        if starts.ndim != 3 or len(starts) != len(programs) or starts.shape[2] < needed:
            raise UsageError(
                f"The starts have the shape {starts.shape}; expected {len(programs)} candidates x any number of starts "
                f"x {needed} constants."
            )
        width = max(width, starts.shape[2])
        if starts.shape[2] < width:
            starts = np.concatenate([starts, np.ones((*starts.shape[:2], width - starts.shape[2]))], axis=2)
        if starts.shape[1] == 0:
            starts = None
    if fixed is not None:
        given = np.asarray(fixed, bool)
        if given.ndim != 2 or len(given) != len(programs):
            raise UsageError(
                f"`fixed` has the shape {given.shape}; expected {len(programs)} candidates x constants."
            )
        fixed = np.zeros((len(programs), width), bool)
        fixed[:, : given.shape[1]] = given[:, :width]
    return starts, fixed


def covariance(
    programs: Programs,
    constants: Float[np.ndarray, "candidates constants"],
    problem: Problem,
    fixed: np.ndarray | None = None,
) -> Float[np.ndarray, "candidates constants constants"]:
    """s^2 (J^T W J)^-1 at the given constants, with s^2 = weighted SSE / (rows of weight - constants determined).

    A constant that the data do not determine (it moves along a direction in which the fit does not change) is NaN,
    as is everything when there are no more rows than constants; a fixed constant has variance 0.
    """
    answer = np.full((*constants.shape, constants.shape[1]), np.nan)
    for k in range(len(programs)):
        n = int(programs.n_constants[k])
        theta = constants[k : k + 1]
        free = np.arange(n) if fixed is None else np.flatnonzero(~fixed[k, :n])
        if not np.isfinite(theta[0, :n]).all():
            continue
        held = np.setdiff1d(np.arange(n), free)
        answer[k, held, :n] = answer[k, :n, held] = 0.0
        values, derivatives = jacobian(programs[k : k + 1], np.nan_to_num(theta), problem.X)
        with np.errstate(over="ignore", invalid="ignore"):
            residual = problem.targets[0] - values[0] * problem.unit
            J = derivatives[0, free].T
        answer[k][np.ix_(free, free)] = _covariance(J, residual, problem)
    return answer


def _covariance(J: np.ndarray, residual: np.ndarray, problem: Problem) -> np.ndarray:
    """Covariance of the columns' coefficients; J [N, p] in units of y, residual [N] in units of the target."""
    p = J.shape[1]
    unknown = np.full((p, p), np.nan)
    largest = np.abs(J).max(axis=0, initial=0.0)
    if not np.isfinite(largest).all() or not np.isfinite(residual).all():
        return unknown
    scale = np.exp2(np.round(np.log2(np.where(largest > 0, largest, 1.0))))
    J = J / scale
    rows = len(residual)
    if problem.root_weights.shape[1]:
        J, residual = J * problem.root_weights[0][:, None], residual * problem.root_weights[0]
        rows = int(np.count_nonzero(problem.root_weights))
    norms = np.sqrt(np.square(J).sum(axis=0))
    norms[norms == 0] = 1.0
    _, singular, V = np.linalg.svd(np.linalg.qr(J / norms, mode="r"))
    seen = singular > 1e-11 * max(singular.max(initial=0.0), 1e-300)
    rank = int(seen.sum())
    if rows <= rank:
        return unknown
    V_seen = V[: len(singular)][seen] / singular[seen][:, None]
    blind = np.vstack([V[: len(singular)][~seen], V[len(singular) :]])
    inverse = V_seen.T @ V_seen * (residual @ residual / (rows - rank))
    lost = (np.abs(blind) > 1e-7).any(axis=0)
    inverse[lost, :] = inverse[:, lost] = np.nan
    # one factor at a time: the product of the scales may overflow where the quotient does not
    unit = 1.0 / norms
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        per = unit / problem.unit / scale
        return inverse * per[:, None] * per[None, :]
