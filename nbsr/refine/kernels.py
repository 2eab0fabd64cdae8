"""The compiled part of refinement: which constants are linear, where to start, Levenberg-Marquardt steps.

Everything here works on jobs.  A job is one candidate from one start: `owner[j]` names its program, `theta[j]`
holds its constants, `role[j]` what may be done to each of them.  A job's outcome depends on nothing but itself,
so jobs can be split over threads and batches at will, and `advance` can be called again to go on where it stopped.

Residuals are kept in units of a power of two near the largest |y|, and every column of the Jacobian in units of
its own size, so that data from 1e-300 to 1e300 neither overflow nor vanish when squared.
"""

import numpy as np
from numba import njit

from nbsr.evaluate.blocks import forward_block, reverse_block
from nbsr.evaluate.program import BLOCK
from nbsr.refine import structure
from nbsr.refine.structure import (
    DIFFERENCE, EXPONENT, EXTREME, FIXED, LINEAR, NONLINEAR, NUMBER, OTHER, PERIODIC, POWER, PRODUCT, QUOTIENT, SCALED, SUM,
)  # fmt: skip

# how far a job is
FRESH, RUNNING, CONVERGED, EXACT, STALLED, NOT_FINITE = 0, 1, 2, 3, 4, 5

DEPENDENT = 1e-13  # a Cholesky pivot below this share of its column's norm: the column adds nothing
FIRST_DAMPING = 1e-3
LEAST_DAMPING = 1e-12
EXPONENTS = (2.0, 0.5, -1.0, 1.5, -0.5, 3.0, -2.0, 1.0, -1.5, -3.0)
SMALL, LARGE = 1e-120, 1e120  # squared column norms outside ask for new units

# explicit signatures: one compilation each, whatever the layout of the caller's columns
_CODE, _LENGTH, _COLUMNS, _KIND, _ROLE = "i4[:,:,::1], ", "i4[::1], ", "f8[:,:], ", "i1[::1], ", "i1[:,::1], "
_INDEX, _VECTOR, _TABLE = "i8[::1], ", "f8[::1], ", "f8[:,::1], "

find_roles = njit(
    f"void({_CODE}{_LENGTH}{_LENGTH}i8, {_KIND}b1[:,::1], {_ROLE[:-2]})", cache=True, nogil=True
)(structure.find_roles)


_REASSOCIATE = {"reassoc", "contract", "nsz"}  # lets sums run in vector lanes; NaN and inf keep their meaning


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _dot(a, b, n):
    total = 0.0
    for i in range(n):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True)
def _largest(a, n):
    """max |a|, NaN if any entry is not finite."""
    most = 0.0
    for i in range(n):
        size = abs(a[i])
        if not size <= 1.7976931348623157e308:
            return np.nan
        if size > most:
            most = size
    return most


# ---------------------------------------------------------------------------------------------------------------
# starts


@njit(cache=True, nogil=True)
def _uniform(key, number, constant):
    """A number in [0, 1) that depends on its three arguments alone (splitmix64)."""
    z = np.uint64(key) + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(constant) * np.uint64(0xD1342543DE82EF95)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def _scale_and_range(values, n, sorted_):
    """Median of the finite |values| and the width of their range; 1 where there is none."""
    count = 0
    low, high = np.inf, -np.inf
    for i in range(n):
        v = values[i]
        if abs(v) < np.inf:
            sorted_[count] = abs(v)
            count += 1
            low = min(low, v)
            high = max(high, v)
    if count == 0:
        return 1.0, 1.0
    median = np.sort(sorted_[:count])[count // 2]
    if not median > 0.0:
        median = max(abs(low), abs(high))
    if not median > 0.0:
        median = 1.0
    width = high - low
    return median, width if 0.0 < width < np.inf else median


@njit(cache=True, nogil=True)
def _draw_one(op, on_left, in_wave, sibling, n, key, number, c, scratch):
    """A start for constant c, whose neighbour below the same operator has the values `sibling`."""
    u = _uniform(key, number, 4 * c)
    magnitude = 10.0 ** (2.0 * u - 1.0) if number > 1 else 1.0
    negative = number > 1 and _uniform(key, number, 4 * c + 1) < 0.5
    median, width = _scale_and_range(sibling, n, scratch)
    if op == POWER:
        if on_left:
            return np.exp((2.0 * u - 1.0) / median)
        return EXPONENTS[(number - 1) % len(EXPONENTS)]
    if op == PRODUCT or op == QUOTIENT:
        if in_wave and number > 1:  # half periods over the range, each number its own
            value = np.pi * (number - 1.5 + 0.5 * u) / width
        else:
            value = magnitude / median
        if op == QUOTIENT and not on_left:
            value = 1.0 / value
        elif op == QUOTIENT:
            value = median * magnitude
    elif op == SUM or op == DIFFERENCE or op == EXTREME:
        if in_wave:
            return 2.0 * np.pi * u
        if number > 1 and _uniform(key, number, 4 * c + 2) < 0.5:
            # a zero of the sum somewhere in the data: centres, thresholds, poles
            pick = sibling[int(u * n)]
            if abs(pick) < np.inf:
                return -pick if op == SUM else pick
        value = median * magnitude
    else:
        value = magnitude
    return -value if negative else value


@njit(cache=True, nogil=True)
def _find_waves(program, length, n_columns, kind, in_wave):
    """Which instructions are arguments of a periodic function, but for sums and factors on the way."""
    in_wave[:length] = False
    for t in range(length - 1, -1, -1):
        op = kind[program[t, 0]]
        if op == PERIODIC or (in_wave[t] and op != OTHER and op != POWER and op != NUMBER):
            for side in range(1, 3):
                if program[t, side] >= n_columns:
                    in_wave[program[t, side] - n_columns] = True


@njit(
    f"void({_CODE}{_LENGTH}{_COLUMNS}{_KIND}{_ROLE}u8[::1], {_INDEX}{_INDEX}{_TABLE}{_TABLE[:-2]})",
    cache=True, nogil=True,
)  # fmt: skip
def draw(code, length, columns, kind, role, keys, owner, number, work, theta):
    """Fill in the constants of theta [J, C] that are NaN.

    number [J] counts a candidate's starts: 0 is all ones, 1 natural scales, the rest are random, each a function
    of its number and its candidate's key [K] alone.  A constant's natural scale comes from what stands beside it:
    c*u starts near 1/median|u|, u + c near median|u| or minus a value of u, exponents at small powers, and a
    frequency anywhere up to as many periods over the data as there are starts.  columns [D, n]: few rows, n <= BLOCK.
    """
    steps, n = code.shape[1], columns.shape[1]
    sibling = np.empty(BLOCK)
    scratch = np.empty(BLOCK)
    in_wave = np.zeros(steps, np.bool_)
    for j in range(owner.shape[0]):
        k = owner[j]
        start = theta[j]
        pending = False
        for c in range(start.shape[0]):
            if start[c] != start[c]:
                pending = True
                start[c] = 1.0 if number[j] == 0 or role[k, c] == LINEAR or role[k, c] == FIXED else np.nan
        if not pending or number[j] == 0:
            continue
        _find_waves(code[k], length[k], columns.shape[0], kind, in_wave)
        known = 0  # instructions whose values are in `work`
        for t in range(length[k]):
            left, right = code[k, t, 1], code[k, t, 2]
            op = kind[code[k, t, 0]]
            for side in range(0 if op == NUMBER else 2):
                operand, other = (left, right) if side == 0 else (right, left)
                if operand >= 0 or start[-1 - operand] == start[-1 - operand]:
                    continue
                if other >= columns.shape[0] and known < t:
                    forward_block(code[k], t, start, columns, 0, n, work)
                    known = t
                for i in range(n):
                    if other == operand or (other < 0 and start[-1 - other] != start[-1 - other]):
                        sibling[i] = 1.0
                    elif other < 0:
                        sibling[i] = start[-1 - other]
                    elif other < columns.shape[0]:
                        sibling[i] = columns[other, i]
                    else:
                        sibling[i] = work[other - columns.shape[0], i]
                c = -1 - operand
                start[c] = _draw_one(op, side == 0, in_wave[t], sibling, n, keys[k], number[j], c, scratch)


@njit(cache=True, nogil=True)
def _free_below(operand, n_columns, role, holds):
    if operand < 0:
        return 0 if role[-1 - operand] == FIXED else 1
    return 0 if operand < n_columns else holds[operand - n_columns]


@njit(cache=True, nogil=True)
def _count_free(program, length, n_columns, role, holds):
    for t in range(length):
        holds[t] = 0
        if program[t, 0] < -1:  # a number
            continue
        holds[t] = _free_below(program[t, 1], n_columns, role, holds)
        if program[t, 2] != program[t, 1]:
            holds[t] += _free_below(program[t, 2], n_columns, role, holds)


@njit(cache=True, nogil=True)
def _undo(op, on_left, other, theta, columns, work, z):
    """Solve z = op(unknown, other) for the unknown, in place; False if that has no one answer."""
    if op != SUM and op != DIFFERENCE and op != PRODUCT and op != QUOTIENT and not (op == POWER and on_left):
        return False
    for i in range(z.shape[0]):
        if other < 0:
            o = theta[-1 - other]
        elif other < columns.shape[0]:
            o = columns[other, i]
        else:
            o = work[other - columns.shape[0], i]
        if op == SUM:
            z[i] = z[i] - o
        elif op == DIFFERENCE:
            z[i] = z[i] + o if on_left else o - z[i]
        elif op == PRODUCT:
            z[i] = z[i] / o if o != 0.0 else np.nan
        elif op == QUOTIENT:
            z[i] = z[i] * o if on_left else (o / z[i] if z[i] != 0.0 else np.nan)
        else:
            z[i] = z[i] ** (1.0 / o) if z[i] > 0.0 and o != 0.0 else np.nan
    return True


@njit(
    f"void({_CODE}{_LENGTH}{_COLUMNS}{_VECTOR}{_KIND}{_LENGTH}{_ROLE}{_INDEX}{_TABLE}{_TABLE}{_LENGTH}{_TABLE}"
    f"{_TABLE[:-2]})",
    cache=True, nogil=True,
)  # fmt: skip
def peel(code, length, columns, y, kind, inverse, role, owner, theta, work, inner, target, root_weight):
    """What the innermost part that holds all free constants should be, were the whole to equal y.

    The layers around it are undone from the outside, as in y = 1/(a*x + b), where 1/y is linear in a and b:
    inverse [operators] is the opcode of the inverse function or -1; of two operands, the one without free
    constants is evaluated.  inner [J] becomes the number of instructions of the part, 0 if nothing was gained;
    target [J, n] its values, root_weight [J, n] 0 where they do not exist.  columns [D, n] and y [n]: n <= BLOCK.
    """
    steps, n = code.shape[1], columns.shape[1]
    holds = np.zeros(steps, np.int32)
    undo = np.zeros((1, 3), np.int32)
    undone = np.empty((1, BLOCK))
    nothing = np.zeros(1)
    for j in range(owner.shape[0]):
        k = owner[j]
        _count_free(code[k], length[k], columns.shape[0], role[k], holds)
        forward_block(code[k], length[k], theta[j], columns, 0, n, work)
        z = target[j : j + 1]
        z[0] = y
        t = length[k] - 1
        gained = False
        while True:
            op, left, right = code[k, t, 0], code[k, t, 1], code[k, t, 2]
            if left == right:
                if op < 0 or inverse[op] < 0:
                    break
                undo[0, 0] = inverse[op]
                forward_block(undo, 1, nothing, z, 0, n, undone)
                z[0] = undone[0, :n]
                gained = gained or kind[op] != SCALED
                below = left
            else:
                in_left = _free_below(left, columns.shape[0], role[k], holds)
                in_right = _free_below(right, columns.shape[0], role[k], holds)
                if in_left > 0 and in_right > 0:
                    break
                below, other = (left, right) if in_left > 0 else (right, left)
                if not _undo(kind[op], in_left > 0, other, theta[j], columns, work, z[0]):
                    break
                gained = gained or kind[op] == POWER or (kind[op] == QUOTIENT and in_right > 0)
            if below < columns.shape[0]:
                gained = False
                break
            t = below - columns.shape[0]
        inner[j] = t + 1 if gained else 0
        for i in range(n):
            root_weight[j, i] = 1.0 if abs(target[j, i]) < np.inf else 0.0
            if root_weight[j, i] == 0.0:
                target[j, i] = 0.0


# ---------------------------------------------------------------------------------------------------------------
# sums over rows
#
# `fit` = (program [T, 3], its length, columns [D, N], y [N], root_weight [N] or [0], unit): what a job fits;
# `space` = (work [T, BLOCK], adjoint [T, BLOCK], out [C, BLOCK], residual [BLOCK]): room to do it in.


@njit(cache=True, nogil=True)
def _forward(fit, theta, start, stop, space):
    """Residuals of one block of rows; returns their sum of squares."""
    program, length, columns, y, root_weight, unit = fit
    work, _, _, residual = space
    forward_block(program, length, theta, columns, start, stop, work)
    return _residuals(fit, start, stop, space)


@njit(cache=True, nogil=True)
def _residuals(fit, start, stop, space):
    program, length, columns, y, root_weight, unit = fit
    work, _, _, residual = space
    value = work[length - 1]
    for i in range(stop - start):
        residual[i] = y[start + i] - value[i] * unit
    if root_weight.shape[0] > 0:
        for i in range(stop - start):
            residual[i] *= root_weight[start + i]
    return _dot(residual, residual, stop - start)


@njit(cache=True, nogil=True)
def _misfit(fit, theta, space):
    """Sum of squared residuals; inf if any prediction is not finite."""
    rows = fit[3].shape[0]
    total = 0.0
    for start in range(0, rows, BLOCK):
        total += _forward(fit, theta, start, min(start + BLOCK, rows), space)
        if not total < np.inf:
            return np.inf
    return total


@njit(cache=True, nogil=True)
def _normal(fit, theta, members, p, size, resident, space, G, g):
    """Normal equations of the free constants `members[:p]`: G = J^T W J, g = J^T W r; returns r^T W r.

    Column a of J is the derivative by `theta[members[a]] / size[a]`.  Sizes are mended here when a column's
    squared norm leaves the comfortable range of a float; a column that is not finite gets size 0 and stays out.
    resident: `space` still holds the values of this very theta; otherwise it is a job's first point, where a norm of
    0 is looked into: it may be an underflow.
    """
    total = _accumulate(fit, theta, members, p, size, resident, space, G, g)
    if not total < np.inf:
        return np.inf
    comfortable = True
    for a in range(p):
        if size[a] != 0.0 and not SMALL < G[a, a] < LARGE and not (resident and G[a, a] == 0.0):
            comfortable = False
    if comfortable:
        return total
    _mend_sizes(fit, theta, members, p, size, space)
    return _accumulate(fit, theta, members, p, size, False, space, G, g)


@njit(cache=True, nogil=True)
def _accumulate(fit, theta, members, p, size, resident, space, G, g):
    program, length, columns, y, root_weight, unit = fit
    work, adjoint, out, residual = space
    rows = y.shape[0]
    total = 0.0
    G[:p, :p] = 0.0
    g[:p] = 0.0
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        n = stop - start
        if resident and rows <= BLOCK:
            total += _residuals(fit, start, stop, space)
        else:
            total += _forward(fit, theta, start, stop, space)
        reverse_block(program, length, theta, columns, start, stop, work, adjoint, out)
        for a in range(p):
            row = out[members[a]]
            if size[a] == 0.0:
                row[:n] = 0.0
            elif size[a] * unit != 1.0:
                for i in range(n):
                    row[i] = row[i] * size[a] * unit
            if root_weight.shape[0] > 0:
                for i in range(n):
                    row[i] *= root_weight[start + i]
            g[a] += _dot(row, residual, n)
            for b in range(a + 1):
                G[a, b] += _dot(row, out[members[b]], n)
    return total


@njit(cache=True, nogil=True)
def _mend_sizes(fit, theta, members, p, size, space):
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
            most = _largest(out[members[a]], stop - start)
            if not most <= size[a]:  # larger, or NaN for good
                size[a] = most
    for a in range(p):
        if size[a] > 0.0:
            exponent = np.round(-np.log2(size[a]) - np.log2(unit))
            size[a] = 2.0 ** min(max(exponent, -1020.0), 1020.0)
        elif size[a] == 0.0:
            size[a] = 1.0 / unit
        else:
            size[a] = 0.0


# ---------------------------------------------------------------------------------------------------------------
# Levenberg-Marquardt


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _move(here, members, p, step, size, trial):
    """trial = here + step, in the units of `size`; whether any constant changed."""
    trial[:] = here
    moved = False
    for a in range(p):
        trial[members[a]] += step[a] * size[a]
        moved = moved or trial[members[a]] != here[members[a]]
    return moved


@njit(cache=True, nogil=True)
def _project(fit, members, n_linear, size, theta, now, resident, space, system, trial):
    """Solve for the linear constants alone, the others held; changes `theta` if that helps much; the misfit."""
    G, g, _, _, A, norm, ridge, step = system
    fall = _solve(G, g, n_linear, n_linear, 0.0, A, norm, ridge, step)
    if not fall > 0.1 * now:
        return now
    _move(theta, members, n_linear, step, size, trial)
    there = _misfit(fit, trial, space)
    if there < now:
        theta[:] = trial
        return there
    return now


@njit(cache=True, nogil=True)
def _climb(fit, members, p, n_linear, max_steps, tolerance, enough, here, now, damping, space, system, size, spare):
    """Steps downhill from `here`, whose normal equations are in `system`; returns misfit, damping, state, passes.

    A trial point costs one pass over the data, its Jacobian two more, asked for only once it is accepted, or when
    the linear constants could still rescue it.
    """
    G, g, G_trial, g_trial, A, norm, ridge, step = system
    trial, size_trial = spare
    passes = 0
    for _ in range(max_steps):
        fall = _solve(G, g, p, n_linear, damping, A, norm, ridge, step)
        if fall <= tolerance * now or not _move(here, members, p, step, size, trial):
            return now, damping, CONVERGED if damping < 1.0 else STALLED, passes
        there = _misfit(fit, trial, space)
        passes += 1
        gain = (now - there) / fall
        if gain < 0.25 and there < np.inf and 0 < n_linear < p and now > enough:
            # the nonlinear constants are judged by the best that the linear ones can make of them
            size_trial[:] = size
            there = _normal(fit, trial, members, n_linear, size_trial, True, space, G_trial, g_trial)
            fall_linear = _solve(G_trial, g_trial, n_linear, n_linear, 0.0, A, norm, ridge, step)
            passes += 2
            if fall_linear > 0.1 * there and there - fall_linear < now:
                for a in range(n_linear):
                    trial[members[a]] += step[a] * size_trial[a]
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
            here[:] = trial
            return there, damping, EXACT, passes
        here[:] = trial
        damping = max(damping * 0.1, LEAST_DAMPING) if gain > 0.75 else damping * (4.0 if gain < 0.25 else 1.0)
        now = _normal(fit, here, members, p, size, True, space, G, g)
        passes += 2
    return now, damping, EXACT if now <= enough else RUNNING, passes


@njit(cache=True, nogil=True)
def _begin(fit, members, p, n_linear, here, fresh, space, system, size, trial):
    """Normal equations at `here`; a fresh job first sets its linear constants to their best."""
    G, g = system[0], system[1]
    now = _normal(fit, here, members, p, size, False, space, G, g)
    passes = 3
    if not now < np.inf and n_linear > 0:  # a huge factor may be all that is wrong
        for a in range(n_linear):
            here[members[a]] = 0.0
        now = _normal(fit, here, members, p, size, False, space, G, g)
        passes += 3
    if fresh and now < np.inf and 0 < n_linear < p:
        there = _project(fit, members, n_linear, size, here, now, True, space, system, trial)
        passes += 1
        if there < now:
            now = _normal(fit, here, members, p, size, True, space, G, g)
            passes += 2
    return now, passes


@njit(cache=True, nogil=True)
def _find_members(role, free_exponents, members):
    """The free constants, linear ones first; how many are linear, and how many there are."""
    p = 0
    for c in range(role.shape[0]):
        if role[c] == LINEAR:
            members[p] = c
            p += 1
    n_linear = p
    for c in range(role.shape[0]):
        if role[c] == NONLINEAR or (role[c] == EXPONENT and free_exponents):
            members[p] = c
            p += 1
    return n_linear, p


@njit(
    f"void({_CODE}{_LENGTH}{_COLUMNS}{_TABLE}{_TABLE}{_VECTOR}{_VECTOR}{_INDEX}{_INDEX}{_ROLE}b1, i8, f8, f8, "
    f"{_TABLE}{_TABLE}{_TABLE}{_TABLE}{_VECTOR}{_VECTOR}{_KIND}i8[::1])",
    cache=True, nogil=True,
)  # fmt: skip
def advance(code, length, columns, targets, root_weights, units, spreads, owner, target, role, free_exponents,
            max_steps, tolerance, exact, work, adjoint, out, theta, damping, misfit, state, passes):
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
    system = (np.empty((constants, constants)), np.empty(constants), np.empty((constants, constants)),
              np.empty(constants), np.empty((constants, constants)), np.empty(constants), np.empty(constants),
              np.empty(constants))
    size = np.empty(constants)
    here = np.empty(constants)
    spare = (np.empty(constants), np.empty(constants))
    members = np.empty(constants, np.int64)
    for j in range(owner.shape[0]):
        if state[j] > RUNNING:
            continue
        k, m = owner[j], target[j]
        fit = (code[k], length[j], columns, targets[m], root_weights[m], units[m])
        n_linear, p = _find_members(role[k], free_exponents, members)
        here[:] = theta[j]
        if p == 0:
            misfit[j] = _misfit(fit, here, space)
            passes[j] += 1
            state[j] = CONVERGED if misfit[j] < np.inf else NOT_FINITE
            continue
        fresh = state[j] == FRESH
        if fresh:
            damping[j] = FIRST_DAMPING
        size[:] = 1.0 / units[m]
        now, used = _begin(fit, members, p, n_linear, here, fresh, space, system, size, spare[0])
        if not now < np.inf:
            misfit[j] = np.inf
            state[j] = NOT_FINITE
        else:
            now, damping[j], state[j], more = _climb(
                fit, members, p, n_linear, max_steps, tolerance, exact * spreads[m], here, now, damping[j], space,
                system, size, spare)
            theta[j] = here
            misfit[j] = now
            used += more
        passes[j] += used
