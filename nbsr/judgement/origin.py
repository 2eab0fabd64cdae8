"""Does a law depend on where the zero of a quantity lies?

Degrees, calendar years and logarithms are counted from a zero that somebody chose; another choice adds a number to all
values.  `c0*exp(c1*t)` and `c0 + c1*t` remain what they are, with other constants; `c0*t**2` becomes something else.
(Stevens, Science 103, 1946, calls such scales interval scales, and what survives the change permissible.)
"""

from functools import cache

import numpy as np
from jaxtyping import Float

from nbsr.evaluate import compile_programs, evaluate, jacobian
from nbsr.expression import CONST, Expression, Vocabulary
from nbsr.simplify import generic

__all__ = ["depends"]

_POINTS = 48
_STEP = 1e-4  # of a column, to tell slopes
_SAME = 1e-5  # of a slope: what is left of it is rounding


@cache
def depends(tokens: tuple[int, ...], vocabulary: Vocabulary) -> tuple[bool, ...]:
    """Of each column, then of the law's value, whether the form changes if its zero is moved.

    It does not where the constants can make up for a small move: where the slope along the column, or a 1 for the
    value, is a sum of the slopes along the constants.  What cannot be told counts as one that does not.

    Args:
        tokens: of the form; all its constants are free.
        vocabulary: whose variables are the columns.
    """
    law = generic(Expression(tokens, (1.0,) * tokens.count(CONST), vocabulary))
    count = len(vocabulary.variables)
    X = np.random.default_rng(0).uniform(0.5, 2.5, (_POINTS, count))
    programs = compile_programs(np.array([tokens]), vocabulary)
    constants = np.array([law.constants], dtype=float).reshape(1, -1)
    moves = []
    with np.errstate(all="ignore"):
        _, slopes = jacobian(programs, constants, X)
        for move in _STEP * np.eye(count):
            above, below = (evaluate(programs, constants, X + sign * move)[0] for sign in (1, -1))
            moves.append((above - below) / (2 * _STEP))
    moves.append(np.ones(_POINTS))
    told = np.isfinite(slopes[0]).all(axis=0) & np.isfinite(moves).all(axis=0)
    if told.sum() < constants.shape[1] + count + 2:
        return (False,) * (count + 1)
    by_constant = slopes[0][:, told].T
    by_constant = by_constant / np.maximum(np.linalg.norm(by_constant, axis=0), 1e-300)
    return tuple(_beyond(by_constant, move[told]) for move in moves)


def _beyond(slopes: Float[np.ndarray, "points constants"], move: Float[np.ndarray, " points"]) -> bool:
    """Whether a move is more than a sum of slopes."""
    left = move - slopes @ np.linalg.lstsq(slopes, move, rcond=1e-12)[0]
    return bool(np.linalg.norm(left) > _SAME * np.linalg.norm(move))
