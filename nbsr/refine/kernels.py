"""The compiled part of refinement: which constants are linear, where to start, Levenberg-Marquardt steps.

Everything here works on jobs.  A job is one candidate from one start: `owner[j]` names its program, `theta[j]`
holds its constants, `role[j]` what may be done to each of them.  A job's outcome depends on nothing but itself,
so jobs can be split over threads and batches at will, and `advance` can be called again to go on where it stopped.

Residuals are kept in units of a power of two near the largest |y|, and every column of the Jacobian in units of
its own size, so that data from 1e-300 to 1e300 neither overflow nor vanish when squared.
"""

from functools import partial

import numpy as np
from numba import njit

from nbsr.evaluate.blocks import forward_block, reverse_block
from nbsr.evaluate.program import BLOCK
from nbsr.refine import structure
from nbsr.refine.structure import (
    DIFFERENCE,
    DIVISOR,
    EXPONENT,
    EXTREME,
    FIXED,
    LINEAR,
    LINEAR_DIVISOR,
    NONLINEAR,
    NUMBER,
    OTHER,
    PERIODIC,
    POWER,
    PRODUCT,
    QUOTIENT,
    SCALED,
    SUM,
)

# how far a job is
FRESH, RUNNING, CONVERGED, EXACT, STALLED, NOT_FINITE = 0, 1, 2, 3, 4, 5

DEPENDENT = 1e-13  # a Cholesky pivot below this share of its column's norm: the column adds nothing
FIRST_DAMPING = 1e-3
LEAST_DAMPING = 1e-12
EXPONENTS = (2.0, 0.5, -1.0, 1.5, -0.5, 3.0, -2.0, 1.0, -1.5, -3.0)
ATTEMPTS = 12  # at a start whose values are finite
SMALL, LARGE = 1e-120, 1e120  # squared column norms outside ask for new units

_jit = partial(njit, cache=True, nogil=True, error_model="numpy")
# explicit signatures: one compilation each, whatever the layout of the caller's columns
_CODE, _LENGTH, _COLUMNS, _KIND, _ROLE = "i4[:,:,::1], ", "i4[::1], ", "f8[:,:], ", "i1[::1], ", "i1[:,::1], "
_INDEX, _VECTOR, _TABLE = "i8[::1], ", "f8[::1], ", "f8[:,::1], "

find_roles = _jit(f"void({_CODE}{_LENGTH}{_LENGTH}i8, {_KIND}b1[:,::1], {_ROLE[:-2]})")(structure.find_roles)


_REASSOCIATE = {"reassoc", "contract", "nsz"}  # lets sums run in vector lanes; NaN and inf keep their meaning


@_jit(fastmath=_REASSOCIATE)
def _dot(a, b, n):
    total = 0.0
    for i in range(n):
        total += a[i] * b[i]
    return total


@_jit()
def _copy(source, target):
    """Numbers one by one: numba's own assignment of arrays takes long to compile."""
    for i in range(target.shape[0]):
        target[i] = source[i]


@_jit()
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


@_jit()
def _uniform(key, number, constant):
    """A number in [0, 1) that depends on its three arguments alone (splitmix64)."""
    z = np.uint64(key) + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(constant) * np.uint64(0xD1342543DE82EF95)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@_jit()
def _scale_and_range(values, n, ordered):
    """Median of the finite |values| and the width of their range; 1 where there is none."""
    count = 0
    low, high = np.inf, -np.inf
    for i in range(n):
        v = values[i]
        if not abs(v) < np.inf:
            continue
        low = min(low, v)
        high = max(high, v)
        place = count  # insertion: n is small
        while place > 0 and ordered[place - 1] > abs(v):
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = abs(v)
        count += 1
    if count == 0:
        return 1.0, 1.0
    median = ordered[count // 2]
    if not median > 0.0:
        median = ordered[count - 1]
    if not median > 0.0:
        median = 1.0
    width = high - low
    return median, width if 0.0 < width < np.inf else median


@_jit()
def _draw_one(op, on_left, wave, sibling, n, key, number, wild, c, scratch):
    """A start for constant c, whose neighbour below the same operator has the values `sibling`.

    wave: 0 outside of periodic functions, else which frequency of the formula this is, from 1.
    """
    u = _uniform(key, number, 4 * c)
    magnitude = 10.0 ** (3.0 * u - 1.5) if wild else 1.0
    negative = wild and _uniform(key, number, 4 * c + 1) < 0.5
    median, width = _scale_and_range(sibling, n, scratch)
    if op == POWER:
        if on_left:
            return np.exp((2.0 * u - 1.0) / median)
        return EXPONENTS[(number - 1) % len(EXPONENTS)]
    if op == PRODUCT or op == QUOTIENT:
        if wave == 1 and wild:  # half periods over the range, each number its own, with both signs
            value = np.pi * (abs(number - 2) // 2 + 0.5 + 0.5 * u) / width
            negative = number % 2 == 1
        elif wave > 1 and wild:
            value = np.pi * (0.5 + 40.0 * u * u) / width
        else:
            value = magnitude / median
        if op == QUOTIENT:
            value = median * magnitude if on_left else 1.0 / value
    elif op == SUM or op == DIFFERENCE or op == EXTREME:
        if wave > 0:
            return 2.0 * np.pi * u
        kind_of_start = _uniform(key, number, 4 * c + 2) if wild else 0.0
        if kind_of_start > 0.6:  # a zero of the sum somewhere in the data: centres, thresholds, poles
            pick = sibling[int(u * n)]
            if abs(pick) < np.inf:
                return -pick if op == SUM else pick
        value = 1.0 if kind_of_start > 0.4 else median * magnitude
    else:
        value = magnitude
    return -value if negative else value


@_jit()
def _find_waves(program, length, n_columns, kind, in_wave):
    """Which instructions are arguments of a periodic function, but for sums and factors on the way."""
    for t in range(length):
        in_wave[t] = False
    for t in range(length - 1, -1, -1):
        op = kind[program[t, 0]]
        if op == PERIODIC or (in_wave[t] and op != OTHER and op != POWER and op != NUMBER):
            for side in range(1, 3):
                if program[t, side] >= n_columns:
                    in_wave[program[t, side] - n_columns] = True


@_jit()
def _user_of(program, length, t, side, n_columns, inverse):
    """The instruction that decides on a constant's scale, on which side of it, and what must be undone first.

    In x/pow2(c) that is the quotient: what is drawn there is the square of c.
    """
    if program[t, 1] == program[t, 2] and program[t, 0] >= 0 and inverse[program[t, 0]] >= 0:
        for user in range(t + 1, length):
            for user_side in range(1, 3):
                alone = program[user, 1] == program[user, 2]
                if program[user, 0] >= 0 and program[user, user_side] == t + n_columns and not alone:
                    return user, user_side, np.int64(inverse[program[t, 0]])
    return np.int64(t), np.int64(side), np.int64(-1)


@_jit()
def _undone(opcode, value):
    """One function of one number; of its negative where it has no value at the number, else 1."""
    program = np.zeros((1, 3), np.int32)
    program[0, 0] = opcode
    cell, room, nothing = np.empty((1, 16)), np.empty((1, BLOCK)), np.zeros(1)
    for sign in (1.0, -1.0):
        cell[0, 0] = sign * value
        forward_block(program, 1, nothing, cell, 0, 1, room)
        if abs(room[0, 0]) < np.inf:
            return room[0, 0]
    return 1.0


@_jit()
def _sibling_values(other, start, columns, work, sibling):
    """Values of an operand; of a constant not yet drawn, ones."""
    n_columns = columns.shape[0]
    for i in range(columns.shape[1]):
        if other >= n_columns:
            sibling[i] = work[other - n_columns, i]
        elif other >= 0:
            sibling[i] = columns[other, i]
        elif start[-1 - other] == start[-1 - other]:
            sibling[i] = start[-1 - other]
        else:
            sibling[i] = 1.0


@_jit()
def _draw_all(program, length, columns, kind, inverse, in_wave, wanted, key, number, wild, work, sibling, scratch,
              start):  # fmt: skip
    """Draw the wanted constants of one start, in the order in which the program uses them."""
    n, n_columns = columns.shape[1], columns.shape[0]
    for c in range(start.shape[0]):
        if wanted[c]:
            start[c] = np.nan
    known = 0  # instructions whose values are in `work`
    waves = 0
    for t in range(length):
        for side in range(1, 1 if kind[program[t, 0]] == NUMBER else 3):
            operand = program[t, side]
            if operand >= 0 or start[-1 - operand] == start[-1 - operand]:
                continue
            user, user_side, undo = _user_of(program, length, t, side, n_columns, inverse)
            op, other = kind[program[user, 0]], program[user, 3 - user_side]
            if other >= n_columns and known < user:
                forward_block(program, user, start, columns, 0, n, work)
                known = user if user == t else 0
            _sibling_values(other, start, columns, work, sibling)
            if in_wave[user] and (op == PRODUCT or op == QUOTIENT):
                waves += 1
            wave = max(waves, 1) if in_wave[user] else 0
            c = -1 - operand
            value = _draw_one(op, user_side == 1, wave, sibling, n, key, number, wild, c, scratch)
            start[c] = _undone(undo, value) if undo >= 0 else value


@_jit(
    f"void({_CODE}{_LENGTH}{_COLUMNS}{_KIND}{_LENGTH}{_ROLE}u8[::1], {_INDEX}{_INDEX}{_TABLE}{_TABLE[:-2]})"
)
def draw(code, length, columns, kind, inverse, role, keys, owner, number, work, theta):
    """Fill in the constants of theta [J, C] that are NaN.

    number [J] counts a candidate's starts: 0 is all ones, 1 natural scales, the rest are random, each a function
    of its number and its candidate's key [K] alone.  A constant's natural scale comes from what stands beside it:
    c*u starts near 1/median|u|, u + c near median|u| or minus a value of u, exponents at small powers, and a
    frequency anywhere up to as many periods over the data as there are starts.  columns [D, n]: few rows, n <= BLOCK.
    """
    n = columns.shape[1]
    sibling = np.empty(BLOCK)
    scratch = np.empty(BLOCK)
    in_wave = np.zeros(code.shape[1], np.bool_)
    wanted = np.zeros(theta.shape[1], np.bool_)
    for j in range(owner.shape[0]):
        k, start = owner[j], theta[j]
        curved = False
        for c in range(start.shape[0]):
            wanted[c] = start[c] != start[c]
            if wanted[c]:
                start[c] = 1.0
                wanted[c] = number[j] > 0 and role[k, c] != LINEAR and role[k, c] != LINEAR_DIVISOR
                wanted[c] = wanted[c] and role[k, c] != FIXED
                curved = curved or wanted[c]
        if not curved:
            continue
        _find_waves(code[k], length[k], columns.shape[0], kind, in_wave)
        for attempt in range(ATTEMPTS):
            _draw_all(code[k], length[k], columns, kind, inverse, in_wave, wanted, keys[k] + np.uint64(attempt << 32),
                      number[j], number[j] > 1 or attempt > 0, work, sibling, scratch, start)  # fmt: skip
            forward_block(code[k], length[k], start, columns, 0, n, work)
            if _largest(work[length[k] - 1], n) < np.inf:
                break


@_jit()
def _free_below(operand, n_columns, role, holds):
    if operand < 0:
        return 0 if role[-1 - operand] == FIXED else 1
    return 0 if operand < n_columns else holds[operand - n_columns]


@_jit()
def _count_free(program, length, n_columns, role, holds):
    for t in range(length):
        holds[t] = 0
        if program[t, 0] < -1:  # a number
            continue
        holds[t] = _free_below(program[t, 1], n_columns, role, holds)
        if program[t, 2] != program[t, 1]:
            holds[t] += _free_below(program[t, 2], n_columns, role, holds)


@_jit()
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


@_jit(
    f"void({_CODE}{_LENGTH}{_COLUMNS}{_VECTOR}{_KIND}{_LENGTH}{_ROLE}{_INDEX}{_TABLE}{_TABLE}{_LENGTH}{_TABLE}"
    f"{_TABLE[:-2]})"
)
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
        _copy(y, z[0])
        t = length[k] - 1
        gained = False
        while True:
            op, left, right = code[k, t, 0], code[k, t, 1], code[k, t, 2]
            if left == right:
                if op < 0 or inverse[op] < 0:
                    break
                undo[0, 0] = inverse[op]
                forward_block(undo, 1, nothing, z, 0, n, undone)
                _copy(undone[0], z[0])
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


@_jit()
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
    return _dot(residual, residual, stop - start)


@_jit()
def _misfit(fit, theta, space):
    """Sum of squared residuals; inf if any prediction is not finite."""
    rows = fit[3].shape[0]
    total = 0.0
    for start in range(0, rows, BLOCK):
        total += _forward(fit, theta, start, min(start + BLOCK, rows), space)
        if not total < np.inf:
            return np.inf
    return total


@_jit()
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


@_jit()
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
            total += _dot(residual, residual, n)
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
            g[a] += _dot(row, residual, n)
            for b in range(a + 1):
                G[a, b] += _dot(row, out[members[b]], n)
    return total


@_jit()
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
            most = _largest(out[members[a]], stop - start)
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


@_jit()
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


@_jit()
def _move(here, members, divides, p, step, size, trial):
    """trial = here + step, in the units of `size`; whether any constant changed.

    The step of a divisor is the relative change of its reciprocal.
    """
    _copy(here, trial)
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


@_jit()
def _project(fit, members, divides, n_linear, size, theta, now, resident, space, system, trial):
    """Solve for the linear constants alone, the others held; changes `theta` if that helps much; the misfit."""
    G, g, _, _, A, norm, ridge, step = system
    fall = _solve(G, g, n_linear, n_linear, 0.0, A, norm, ridge, step)
    if not fall > 0.1 * now:
        return now
    _move(theta, members, divides, n_linear, step, size, trial)
    there = _misfit(fit, trial, space)
    if there < now:
        _copy(trial, theta)
        return there
    return now


@_jit()
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
                    _copy(trial, here)
                    now = there
            return now, damping, CONVERGED if damping < 1.0 else STALLED, passes
        there = _misfit(fit, trial, space)
        passes += 1
        gain = (now - there) / fall
        if gain < 0.25 and there < np.inf and 0 < n_linear < p and now > enough:
            # the nonlinear constants are judged by the best that the linear ones can make of them
            _copy(size, size_trial)
            there = _normal(fit, trial, members, divides, n_linear, size_trial, True, space, G_trial, g_trial)
            fall_linear = _solve(G_trial, g_trial, n_linear, n_linear, 0.0, A, norm, ridge, step)
            passes += 2
            if fall_linear > 0.1 * there and there - fall_linear < now:
                _copy(trial, rescued)
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
            _copy(trial, here)
            return there, damping, EXACT, passes
        _copy(trial, here)
        damping = (
            max(damping * 0.1, LEAST_DAMPING) if gain > 0.75 else damping * (4.0 if gain < 0.25 else 1.0)
        )
        now = _normal(fit, here, members, divides, p, size, True, space, G, g)
        passes += 2
    return now, damping, EXACT if now <= enough else RUNNING, passes


@_jit()
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


@_jit()
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


@_jit(
    f"void({_CODE}{_LENGTH}{_COLUMNS}{_TABLE}{_TABLE}{_VECTOR}{_VECTOR}{_INDEX}{_INDEX}{_ROLE}b1, i8, f8, f8, "
    f"{_TABLE}{_TABLE}{_TABLE}{_TABLE}{_VECTOR}{_VECTOR}{_KIND}i8[::1])"
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
        _copy(theta[j], here)
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
            _copy(here, theta[j])
            misfit[j] = now
            used += more
        passes[j] += used
