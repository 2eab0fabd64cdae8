"""Levenberg-Marquardt steps, the linear constants solved for exactly.

Everything here works on jobs.  A job is one candidate from one start: `owner[j]` names its program, `theta[j]`
holds its constants, `role[j]` what may be done to each of them.  A job's outcome depends on nothing but itself,
so jobs can be split over threads and batches at will, and `advance` can be called again to go on where it stopped.

Residuals are kept in units of a power of two near the largest |y|, and every column of the Jacobian in units of
its own size, so that data from 1e-300 to 1e300 neither overflow nor vanish when squared.
"""

import numpy as np

from nbsr.evaluate.blocks import forward_block, reverse_block
from nbsr.evaluate.program import BLOCK
from nbsr.refine.compiled import (
    CODE,
    COLUMNS,
    INDEX,
    KIND,
    LENGTH,
    ROLE,
    TABLE,
    VECTOR,
    copy,
    dot,
    jit,
    largest,
)
from nbsr.refine.structure import DIVISOR, EXPONENT, LINEAR, LINEAR_DIVISOR, NONLINEAR

# how far a job is
FRESH, RUNNING, CONVERGED, EXACT, STALLED, NOT_FINITE = 0, 1, 2, 3, 4, 5

DEPENDENT = 1e-13  # a Cholesky pivot below this share of its column's norm: the column adds nothing
FIRST_DAMPING = 1e-3
LEAST_DAMPING = 1e-12
SMALL, LARGE = 1e-120, 1e120  # squared column norms outside ask for new units


# ---------------------------------------------------------------------------------------------------------------
# sums over rows
#
# `fit` = (program [T, 3], its length, columns [D, N], y [N], root_weight [N] or [0], unit): what a job fits;
# `space` = (work [T, BLOCK], adjoint [T, BLOCK], out [C, BLOCK], residual [BLOCK]): room to do it in.


@jit()
def _forward(fit, theta, start, stop, space):
    """Residuals of one block of rows; returns their sum of squares."""
    program, length, columns, y, root_weight, unit = fit
    work, _, _, residual = space
    forward_block(program, length, theta, columns, start, stop, work)
    value, wanted = work[length - 1], y[start:stop]
    for i in range(stop - start):
        residual[i] = wanted[i] - value[i] * unit
    if root_weight.shape[0] > 0:
        factor = root_weight[start:stop]
        for i in range(stop - start):
            residual[i] *= factor[i]
    return dot(residual, residual, stop - start)


@jit()
def _misfit(fit, theta, space):
    """Sum of squared residuals; inf if any prediction is not finite."""
    rows = fit[3].shape[0]
    total = 0.0
    for start in range(0, rows, BLOCK):
        total += _forward(fit, theta, start, min(start + BLOCK, rows), space)
        if not total < np.inf:
            return np.inf
    return total


@jit()
def _normal(fit, theta, members, divides, p, size, resident, space, G, g):
    """Normal equations of the free constants `members[:p]`: G = J^T W J, g = J^T W r; returns r^T W r.

    Column a of J is the derivative by `theta[members[a]] / size[a]`, for a divisor that by the relative change of its
    reciprocal.  Sizes are mended here when a column's squared norm leaves the comfortable range of a float; a column
    that is not finite gets size 0 and stays out.  resident: `space` still holds values and residuals of this very
    theta; otherwise it is a job's first point, where a norm of 0 is looked into: it may be an underflow.
    """
    total = _accumulate(fit, theta, members, divides, p, size, resident, space, G, g)
    if not total < np.inf:
        return np.inf
    comfortable = True
    for a in range(p):
        if size[a] != 0.0 and not SMALL < G[a, a] < LARGE and not (resident and G[a, a] == 0.0):
            comfortable = False
    if comfortable:
        return total
    _mend_sizes(fit, theta, members, divides, p, size, space)
    return _accumulate(fit, theta, members, divides, p, size, False, space, G, g)


@jit()
def _accumulate(fit, theta, members, divides, p, size, resident, space, G, g):
    program, length, columns, y, root_weight, unit = fit
    work, adjoint, out, residual = space
    rows = y.shape[0]
    total = 0.0
    for a in range(p):
        g[a] = 0.0
        for b in range(a + 1):
            G[a, b] = 0.0
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        n = stop - start
        if resident and rows <= BLOCK:
            total += dot(residual, residual, n)
        else:
            total += _forward(fit, theta, start, stop, space)
        reverse_block(program, length, theta, columns, start, stop, work, adjoint, out)
        for a in range(p):
            row = out[members[a]]
            if size[a] == 0.0:
                for i in range(n):
                    row[i] = 0.0
            elif divides[a]:
                for i in range(n):
                    row[i] = row[i] * -theta[members[a]] * size[a] * unit
            elif size[a] * unit != 1.0:
                for i in range(n):
                    row[i] = row[i] * size[a] * unit
            if root_weight.shape[0] > 0:
                factor = root_weight[start:stop]
                for i in range(n):
                    row[i] *= factor[i]
            g[a] += dot(row, residual, n)
            for b in range(a + 1):
                G[a, b] += dot(row, out[members[b]], n)
    return total


@jit()
def _mend_sizes(fit, theta, members, divides, p, size, space):
    """Sizes that bring every column's largest entry near 1."""
    program, length, columns, y, root_weight, unit = fit
    work, adjoint, out, residual = space
    rows = y.shape[0]
    for a in range(p):
        size[a] = 0.0
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        forward_block(program, length, theta, columns, start, stop, work)
        reverse_block(program, length, theta, columns, start, stop, work, adjoint, out)
        for a in range(p):
            most = largest(out[members[a]], stop - start)
            if divides[a]:
                most *= abs(theta[members[a]])
            if not most <= size[a]:  # larger, or NaN for good
                size[a] = most
    for a in range(p):
        if size[a] > 0.0:
            exponent = np.floor(0.5 - np.log2(size[a]) - np.log2(unit))
            size[a] = 2.0 ** min(max(exponent, -1020.0), 1020.0)
        elif size[a] == 0.0:
            size[a] = 1.0 / unit
        else:
            size[a] = 0.0


# ---------------------------------------------------------------------------------------------------------------
# Levenberg-Marquardt


@jit()
def _solve(G, g, p, n_linear, damping, A, norm, ridge, step):
    """Solve the damped normal equations into `step` [p]; returns the fall of the misfit that they predict.

    The linear constants come first and are not damped; the damping of a nonlinear one is relative to what is
    left of its column after the linear ones have explained theirs (Kaufman's variable projection).  A column
    that depends on those before it gets step 0, so a rank-deficient Jacobian (Kronberger 2022, arXiv 2209.00942)
    costs nothing but that constant's motion.
    """
    for a in range(p):
        norm[a] = 1.0 / np.sqrt(G[a, a]) if G[a, a] > 0.0 else 0.0
        ridge[a] = 0.0
        step[a] = g[a] * norm[a]
        for b in range(a + 1):
            A[a, b] = G[a, b] * norm[a] * norm[b]
    for a in range(p):
        if a == n_linear:
            for b in range(a, p):
                ridge[b] = damping * A[b, b]
                A[b, b] += ridge[b]
        if not A[a, a] > DEPENDENT:
            A[a, a] = 0.0
            for b in range(a + 1, p):
                A[b, a] = 0.0
            continue
        A[a, a] = np.sqrt(A[a, a])
        for b in range(a + 1, p):
            A[b, a] /= A[a, a]
            for c in range(a + 1, b + 1):
                A[b, c] -= A[b, a] * A[c, a]
    fall = 0.0
    for a in range(p):
        for b in range(a):
            step[a] -= A[a, b] * step[b]
        step[a] = step[a] / A[a, a] if A[a, a] > 0.0 else 0.0
        fall += step[a] * step[a]
    for a in range(p - 1, -1, -1):
        for b in range(a + 1, p):
            step[a] -= A[b, a] * step[b]
        step[a] = step[a] / A[a, a] if A[a, a] > 0.0 else 0.0
        fall += ridge[a] * step[a] * step[a]
    for a in range(p):
        step[a] *= norm[a]
    return fall


@jit()
def _move(here, members, divides, p, step, size, trial):
    """trial = here + step, in the units of `size`; whether any constant changed.

    The step of a divisor is the relative change of its reciprocal.
    """
    copy(here, trial)
    moved = False
    for a in range(p):
        c = members[a]
        if divides[a]:
            change = 1.0 + step[a] * size[a]
            trial[c] /= change if abs(change) > 1e-12 else 1e-12
        else:
            trial[c] += step[a] * size[a]
        moved = moved or trial[c] != here[c]
    return moved


@jit()
def _project(fit, members, divides, n_linear, size, theta, now, resident, space, system, trial):
    """Solve for the linear constants alone, the others held; changes `theta` if that helps much; the misfit."""
    G, g, _, _, A, norm, ridge, step = system
    fall = _solve(G, g, n_linear, n_linear, 0.0, A, norm, ridge, step)
    if not fall > 0.1 * now:
        return now
    _move(theta, members, divides, n_linear, step, size, trial)
    there = _misfit(fit, trial, space)
    if there < now:
        copy(trial, theta)
        return there
    return now


@jit()
def _climb(fit, members, divides, p, n_linear, max_steps, tolerance, enough, here, now, damping, space, system, size,
           spare):  # fmt: skip
    """Steps downhill from `here`, whose normal equations are in `system`; returns misfit, damping, state, passes.

    A trial point costs one pass over the data, its Jacobian two more, asked for only once it is accepted, or when
    the linear constants could still rescue it.
    """
    G, g, G_trial, g_trial, A, norm, ridge, step = system
    trial, size_trial, rescued = spare
    passes = 0
    for _ in range(max_steps):
        fall = _solve(G, g, p, n_linear, damping, A, norm, ridge, step)
        moved = _move(here, members, divides, p, step, size, trial)
        if fall <= tolerance * now or not moved:
            if moved and damping < 1.0:  # digits that the misfit hardly shows
                there = _misfit(fit, trial, space)
                passes += 1
                if there <= now * (1.0 + tolerance):
                    copy(trial, here)
                    now = there
            return now, damping, CONVERGED if damping < 1.0 else STALLED, passes
        there = _misfit(fit, trial, space)
        passes += 1
        gain = (now - there) / fall
        if gain < 0.25 and there < np.inf and 0 < n_linear < p and now > enough:
            # the nonlinear constants are judged by the best that the linear ones can make of them
            copy(size, size_trial)
            there = _normal(fit, trial, members, divides, n_linear, size_trial, True, space, G_trial, g_trial)
            fall_linear = _solve(G_trial, g_trial, n_linear, n_linear, 0.0, A, norm, ridge, step)
            passes += 2
            if fall_linear > 0.1 * there and there - fall_linear < now:
                copy(trial, rescued)
                _move(rescued, members, divides, n_linear, step, size_trial, trial)
                there = _misfit(fit, trial, space)
                passes += 1
            gain = (now - there) / fall
        if not there < now:
            if now <= enough:
                return now, damping, EXACT, passes
            damping *= 8.0
            if damping > 1e12:
                return now, damping, STALLED, passes
            continue
        if there <= enough and there > 0.5 * now or there == 0.0:
            copy(trial, here)
            return there, damping, EXACT, passes
        copy(trial, here)
        damping = (
            max(damping * 0.1, LEAST_DAMPING) if gain > 0.75 else damping * (4.0 if gain < 0.25 else 1.0)
        )
        now = _normal(fit, here, members, divides, p, size, True, space, G, g)
        passes += 2
    return now, damping, EXACT if now <= enough else RUNNING, passes


@jit()
def _begin(fit, members, divides, p, n_linear, here, fresh, space, system, size, trial):
    """Normal equations at `here`; a fresh job first sets its linear constants to their best."""
    G, g = system[0], system[1]
    now = _normal(fit, here, members, divides, p, size, False, space, G, g)
    passes = 3
    if not now < np.inf and n_linear > 0:  # a huge factor may be all that is wrong
        for a in range(n_linear):
            if not divides[a]:
                here[members[a]] = 0.0
        now = _normal(fit, here, members, divides, p, size, False, space, G, g)
        passes += 3
    if fresh and now < np.inf and 0 < n_linear < p:
        there = _project(fit, members, divides, n_linear, size, here, now, True, space, system, trial)
        passes += 1
        if there < now:
            now = _normal(fit, here, members, divides, p, size, True, space, G, g)
            passes += 2
    return now, passes


@jit()
def _find_members(role, free_exponents, members, divides):
    """The free constants, linear ones first, and which of them divide; how many are linear, how many there are."""
    p = 0
    for c in range(role.shape[0]):
        if role[c] == LINEAR or role[c] == LINEAR_DIVISOR:
            members[p] = c
            divides[p] = role[c] == LINEAR_DIVISOR
            p += 1
    n_linear = p
    for c in range(role.shape[0]):
        if role[c] == NONLINEAR or role[c] == DIVISOR or (role[c] == EXPONENT and free_exponents):
            members[p] = c
            divides[p] = role[c] == DIVISOR
            p += 1
    return n_linear, p


@jit(
    f"void({CODE}{LENGTH}{COLUMNS}{TABLE}{TABLE}{VECTOR}{VECTOR}{INDEX}{INDEX}{ROLE}b1, i8, f8, f8, "
    f"{TABLE}{TABLE}{TABLE}{TABLE}{VECTOR}{VECTOR}{KIND}i8[::1])"
)
def advance(
    code,
    length,
    columns,
    targets,
    root_weights,
    units,
    spreads,
    owner,
    target,
    role,
    free_exponents,
    max_steps,
    tolerance,
    exact,
    work,
    adjoint,
    out,
    theta,
    damping,
    misfit,
    state,
    passes,
):
    """Go on with every job for at most `max_steps` trial points.

    code [K, T, 3], columns [D, N]: programs and data.  targets [M, N]: what to fit, in units [M], powers of two;
    root_weights [M, N] or [M, 0]; spreads [M]: the misfit of the mean, so that misfit / spread = FVU.
    owner, target [J]: a job's program and target; length [J]: how many of the program's instructions count;
    role [K, C]; free_exponents: whether exponents move or stay.
    A job ends when a step promises to lower its misfit by less than `tolerance` of it, or when its FVU is below
    `exact` and a step no longer halves it.
    work, adjoint [T, BLOCK] and out [C, BLOCK] are room to work in.
    Changed in place: theta [J, C], damping [J], misfit [J], state [J], passes [J] (passes over the data, counted).
    """
    constants = theta.shape[1]
    space = (work, adjoint, out, np.empty(BLOCK))
    system = (
        np.empty((constants, constants)),
        np.empty(constants),
        np.empty((constants, constants)),
        np.empty(constants),
        np.empty((constants, constants)),
        np.empty(constants),
        np.empty(constants),
        np.empty(constants),
    )
    size = np.empty(constants)
    here = np.empty(constants)
    spare = (np.empty(constants), np.empty(constants), np.empty(constants))
    members = np.empty(constants, np.int64)
    divides = np.empty(constants, np.bool_)
    for j in range(owner.shape[0]):
        if state[j] > RUNNING:
            continue
        k, m = owner[j], target[j]
        fit = (code[k], length[j], columns, targets[m], root_weights[m], units[m])
        n_linear, p = _find_members(role[k], free_exponents, members, divides)
        copy(theta[j], here)
        if p == 0:
            misfit[j] = _misfit(fit, here, space)
            passes[j] += 1
            state[j] = CONVERGED if misfit[j] < np.inf else NOT_FINITE
            continue
        fresh = state[j] == FRESH
        if fresh:
            damping[j] = FIRST_DAMPING
        for c in range(constants):
            size[c] = 1.0 / units[m]
        now, used = _begin(fit, members, divides, p, n_linear, here, fresh, space, system, size, spare[0])
        if not now < np.inf:
            misfit[j] = np.inf
            state[j] = NOT_FINITE
        else:
            now, damping[j], state[j], more = _climb(
                fit, members, divides, p, n_linear, max_steps, tolerance, exact * spreads[m], here, now, damping[j],
                space, system, size, spare)  # fmt: skip
            copy(here, theta[j])
            misfit[j] = now
            used += more
        passes[j] += used
