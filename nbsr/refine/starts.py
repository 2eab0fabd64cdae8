"""Where constants start: near the scale of what stands beside them, with both signs and over decades."""

import numpy as np

from nbsr.evaluate.blocks import forward_block
from nbsr.evaluate.program import BLOCK
from nbsr.refine.compiled import CODE, COLUMNS, INDEX, KIND, LENGTH, ROLE, TABLE, jit, largest
from nbsr.refine.structure import (
    DIFFERENCE,
    EXTREME,
    FIXED,
    LINEAR,
    LINEAR_DIVISOR,
    NUMBER,
    OTHER,
    PERIODIC,
    POWER,
    PRODUCT,
    QUOTIENT,
    SUM,
)

EXPONENTS = (2.0, 0.5, -1.0, 1.5, -0.5, 3.0, -2.0, 1.0, -1.5, -3.0)
ATTEMPTS = 12  # at a start whose values are finite


@jit()
def _uniform(key, number, constant):
    """A number in [0, 1) that depends on its three arguments alone (splitmix64)."""
    z = np.uint64(key) + np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(constant) * np.uint64(0xD1342543DE82EF95)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@jit()
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


@jit()
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


@jit()
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


@jit()
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


@jit()
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


@jit()
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


@jit()
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


@jit(f"void({CODE}{LENGTH}{COLUMNS}{KIND}{LENGTH}{ROLE}u8[::1], {INDEX}{INDEX}{TABLE}{TABLE[:-2]})")
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
            if largest(work[length[k] - 1], n) < np.inf:
                break
