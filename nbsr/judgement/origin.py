"""Does a law depend on where the zero of a quantity lies?

Degrees, calendar years and logarithms are counted from a zero that somebody chose; another choice adds a number to all
values.  `c0*exp(c1*t)` and `c0 + c1*t` remain what they are, with other constants; `c0*t**2` becomes something else.
(Stevens, Science 103, 1946, calls such scales interval scales, and what survives the change permissible.)
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from nbsr.expression import CONST, Expression, Vocabulary
from nbsr.simplify import generic

__all__ = ["depends"]

_POINTS = 48
_STEP = 1e-4  # to tell slopes
_SAME = 1e-5  # of a slope: what is left of it is rounding


@lru_cache(4096)
def depends(tokens: tuple[int, ...], vocabulary: Vocabulary) -> tuple[bool, ...]:
    """Of each column, then of the law's value, whether the form changes if its zero is moved.

    It does not where the constants can make up for a small move: where the slope along the column, or a 1 for the
    value, is a sum of the slopes along the constants.  What cannot be told counts as one that does not.

    Args:
        tokens: of the form; all its constants are free.
        vocabulary: whose variables are the columns.
    """
    law = generic(Expression(tokens, (1.0,) * tokens.count(CONST), vocabulary))
    free, count = np.array(law.constants), len(vocabulary.variables)
    X = np.random.default_rng(0).uniform(0.5, 2.5, (_POINTS, count))
    with np.errstate(all="ignore"):
        slopes = [
            law.with_constants((free + move).tolist()).predict(X)
            - law.with_constants((free - move).tolist()).predict(X)
            for move in _STEP * np.eye(len(free))
        ]
        moves = [law.predict(X + move) - law.predict(X - move) for move in _STEP * np.eye(count)]
    moves.append(np.ones(_POINTS))
    told = np.isfinite(slopes + moves).all(axis=0)
    if told.sum() < len(free) + count + 2:
        return (False,) * (count + 1)
    by_constant = _of_one_size(np.array(slopes).reshape(len(free), _POINTS)[:, told])
    return tuple(_beyond(by_constant.T, move) for move in _of_one_size(np.array(moves)[:, told]))


def _of_one_size(slopes: Float[np.ndarray, "some points"]) -> Float[np.ndarray, "some points"]:
    """Each divided by its largest value, so that none overflows; what is 0 remains so."""
    return slopes / np.maximum(np.max(np.abs(slopes), axis=1, keepdims=True), 1e-300)


def _beyond(slopes: Float[np.ndarray, "points constants"], move: Float[np.ndarray, " points"]) -> bool:
    """Whether a move is more than a sum of slopes."""
    left = move - slopes @ np.linalg.lstsq(slopes, move, rcond=1e-12)[0]
    return bool(np.linalg.norm(left) > _SAME * np.linalg.norm(move))
