"""Which constants of a formula are linear.

Given the others, linear constants have one best value that a small system of equations yields, so a search for them
would be wasted.  Runs as plain Python or inside compiled code.
"""

from functools import lru_cache

import numpy as np
from numba.extending import register_jitable

from nbsr.evaluate.program import COPY, LITERAL
from nbsr.operators import OPERATORS

# what a constant is to the fit; a divisor is fitted as its reciprocal, which is where it may be linear
NONLINEAR, LINEAR, FIXED, EXPONENT, DIVISOR, LINEAR_DIVISOR = 0, 1, 2, 3, 4, 5
# what an operator is to a constant below it
OTHER, SUM, DIFFERENCE, SCALED, PRODUCT, QUOTIENT, POWER, PERIODIC, EXTREME, NUMBER = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
)

_KINDS = {
    "+": SUM, "-": DIFFERENCE, "*": PRODUCT, "/": QUOTIENT, "neg": SCALED, "pow": POWER,
    "sin": PERIODIC, "cos": PERIODIC, "tan": PERIODIC, "max": EXTREME, "min": EXTREME,
    **{f"{word}{k}": SCALED for word in ("mult", "div") for k in range(2, 6)},
}  # fmt: skip
_INVERSES = [
    ("inv", "inv"), ("neg", "neg"), ("exp", "log"), ("sinh", "asinh"), ("cosh", "acosh"), ("tanh", "atanh"),
    *((f"pow{k}", f"pow1_{k}") for k in range(2, 6)), *((f"mult{k}", f"div{k}") for k in range(2, 6)),
]  # fmt: skip
_ONE_WAY = {"asin": "sin", "acos": "cos", "atan": "tan"}


@lru_cache(maxsize=8)
def operator_tables(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Kind [operators + 2] of each opcode and the opcode of its inverse function, -1 where it has none.

    The extra last entries serve the negative opcodes COPY and LITERAL.
    """
    kind = np.zeros(len(names) + 2, np.int8)
    kind[COPY], kind[LITERAL] = SCALED, NUMBER
    opcode = {name: row for row, name in enumerate(names)}
    for name, value in _KINDS.items():
        kind[opcode[name]] = value
    inverse = np.full(len(names) + 2, -1, np.int32)
    for name, other in (*_INVERSES, *((b, a) for a, b in _INVERSES), *_ONE_WAY.items()):
        inverse[opcode[name]] = opcode[other]
    return kind, inverse


def current_tables() -> tuple[np.ndarray, np.ndarray]:
    """`operator_tables` of the operators registered now."""
    return operator_tables(tuple(OPERATORS))


@register_jitable
def find_roles(code, length, n_constants, n_columns, kind, fixed, role):
    """What each constant is to the fit: role [K, C], out of code [K, T, 3] and fixed [K, C].

    A node "passes" if the formula is affine in it, with a factor free of other linear constants.  The root passes;
    sums pass to both sides; a product passes to that side which offers more linear constants, and what its other
    side holds is then nonlinear; a quotient passes to its numerator, or is the product with the reciprocal of a bare
    constant.  What is used twice (by the definition of a user's operator) never passes.
    """
    steps = code.shape[1]
    offers = np.zeros(steps, np.int64)  # linear constants that a node would give if it passed
    uses = np.zeros(steps, np.int64)
    passes = np.zeros(steps, np.bool_)
    used = np.zeros(role.shape[1], np.int64)
    for k in range(code.shape[0]):
        last = length[k] - 1
        for c in range(role.shape[1]):
            role[k, c] = FIXED if c >= n_constants[k] or fixed[k, c] else NONLINEAR
        _count_uses(code[k], last, n_columns, kind, uses, used)
        for c in range(role.shape[1]):
            if used[c] > 1 and role[k, c] == NONLINEAR:
                role[k, c] = -1  # not to be counted as an offer
        for t in range(last + 1):
            op, left, right = kind[code[k, t, 0]], code[k, t, 1], code[k, t, 2]
            if op == NUMBER:
                left, right = 0, 0
            in_left = _offered(left, n_columns, offers, role[k])
            in_right = _offered(right, n_columns, offers, role[k])
            passes[t] = False
            if op == SUM or op == DIFFERENCE:
                offers[t] = in_left + in_right
            elif op == SCALED:
                offers[t] = in_left
            elif op == PRODUCT:
                offers[t] = max(in_left, in_right)
            elif op == QUOTIENT:
                offers[t] = max(in_left, in_right) if right < 0 else in_left
            else:
                offers[t] = 0
            if uses[t] > 1:
                offers[t] = 0
        passes[last] = True
        for t in range(last, -1, -1):
            op, left, right = kind[code[k, t, 0]], code[k, t, 1], code[k, t, 2]
            if op == POWER and right < 0 and role[k, -1 - right] == NONLINEAR:
                role[k, -1 - right] = EXPONENT
            if op == QUOTIENT and right < 0 and role[k, -1 - right] == NONLINEAR:
                role[k, -1 - right] = DIVISOR
            if not passes[t] or offers[t] == 0 or op == NUMBER:
                continue
            to_left = op == SUM or op == DIFFERENCE or op == SCALED or op == QUOTIENT
            to_right = op == SUM or op == DIFFERENCE
            if op == PRODUCT or (op == QUOTIENT and right < 0):
                in_left = _offered(left, n_columns, offers, role[k])
                in_right = _offered(right, n_columns, offers, role[k])
                to_left = in_left > in_right or (in_left == in_right and left < 0)
                to_right = not to_left
            if op == QUOTIENT and to_right and right < 0 and role[k, -1 - right] == DIVISOR:
                role[k, -1 - right] = LINEAR_DIVISOR
            for operand, wanted in ((left, to_left), (right, to_right)):
                if wanted and operand < 0 and role[k, -1 - operand] == NONLINEAR:
                    role[k, -1 - operand] = LINEAR
                elif wanted and operand >= n_columns:
                    passes[operand - n_columns] = True
        for c in range(role.shape[1]):
            if role[k, c] == -1:
                role[k, c] = NONLINEAR


@register_jitable
def _count_uses(program, last, n_columns, kind, uses, used):
    uses[: last + 1] = 0
    used[:] = 0
    for t in range(last + 1):
        op = kind[program[t, 0]]
        if op == NUMBER:
            continue
        alone = op == OTHER or op == SCALED or op == PERIODIC  # one operand, written on both sides
        for side in range(1, 2 if alone else 3):
            operand = program[t, side]
            if operand < 0:
                used[-1 - operand] += 1
            elif operand >= n_columns:
                uses[operand - n_columns] += 1


@register_jitable
def _offered(operand, n_columns, offers, role):
    if operand < 0:
        return 1 if role[-1 - operand] == NONLINEAR or role[-1 - operand] == DIVISOR else 0
    return 0 if operand < n_columns else offers[operand - n_columns]
