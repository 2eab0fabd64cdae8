"""Undoing the outer layers of a formula, so that its inner part can be fitted by itself."""

import numpy as np

from nbsr.evaluate.blocks import forward_block
from nbsr.evaluate.program import BLOCK
from nbsr.refine.compiled import CODE, COLUMNS, INDEX, KIND, LENGTH, ROLE, TABLE, VECTOR, copy, jit
from nbsr.refine.structure import DIFFERENCE, FIXED, POWER, PRODUCT, QUOTIENT, SCALED, SUM


@jit()
def _free_below(operand, n_columns, role, holds):
    if operand < 0:
        return 0 if role[-1 - operand] == FIXED else 1
    return 0 if operand < n_columns else holds[operand - n_columns]


@jit()
def _count_free(program, length, n_columns, role, holds):
    for t in range(length):
        holds[t] = 0
        if program[t, 0] < -1:  # a number
            continue
        holds[t] = _free_below(program[t, 1], n_columns, role, holds)
        if program[t, 2] != program[t, 1]:
            holds[t] += _free_below(program[t, 2], n_columns, role, holds)


@jit()
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


@jit(
    f"void({CODE}{LENGTH}{COLUMNS}{VECTOR}{KIND}{LENGTH}{ROLE}{INDEX}{TABLE}{TABLE}{LENGTH}{TABLE}"
    f"{TABLE[:-2]})"
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
        copy(y, z[0])
        t = length[k] - 1
        gained = False
        while True:
            op, left, right = code[k, t, 0], code[k, t, 1], code[k, t, 2]
            if left == right:
                if op < 0 or inverse[op] < 0:
                    break
                undo[0, 0] = inverse[op]
                forward_block(undo, 1, nothing, z, 0, n, undone)
                copy(undone[0], z[0])
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
