"""Two formulas, one skeleton? Two rows of numbers, one shape? Keys under which duplicates meet."""

import numpy as np
from jaxtyping import Float, Int64

from nbsr.expression import Expression
from nbsr.simplify.nodes import FUNCTION, NUMBER, PRODUCT, VARIABLE, Node, Number, Undefined
from nbsr.simplify.normal import Algebra

_COMMUTATIVE = frozenset(("max", "min"))


def canonical(expression: Expression) -> str:
    """The skeleton of an expression: equal for expressions that say the same up to the values of constants.

    It does not see the order of operands, how sums and products are nested, the difference between a - b and
    a + (-1)*b or between x*x and pow2(x), nor the values of the constants: `2.5*(x + 1)`, `x*3 + 4` and
    `c0*x + c1` are one skeleton, `x + c1` is another, and so is `mult2(x)`, whose 2 cannot be fitted.

    Returns:
        A short text, to be compared and hashed; it is not meant for people. All expressions with a part that
        has no value anywhere, such as 1/(x - x), are "undefined".
    """
    algebra = Algebra(abstract=True)
    try:
        return skeleton(algebra.build(expression), algebra)
    except Undefined:
        return "undefined"
    except (OverflowError, RecursionError):
        return "unknown " + " ".join(map(str, expression.tokens))


def generic(expression: Expression) -> Expression:
    """The expression with constants that are like no others, so that none of them vanishes or joins another."""
    return expression.with_constants([1.371 + 0.731 * i for i in range(len(expression.constants))])


def skeleton(node: Node, algebra: Algebra) -> str:
    """The text of a node whose floats are free constants."""
    kind = node[0]
    if kind == VARIABLE:
        return f"v{node[1]}"
    if kind == NUMBER:
        return number(node[1])
    if kind == FUNCTION:
        arguments = [skeleton(argument, algebra) for argument in node[2]]
        if node[1] in _COMMUTATIVE:
            arguments.sort()
        return f"{node[1]}({','.join(arguments)})"
    if kind == PRODUCT:
        factors = [
            skeleton(b, algebra) if e == 1 else f"{skeleton(b, algebra)}^{number(e)}" for b, e in node[1]
        ]
        factors.sort()
        if node[2] != 1:
            factors.insert(0, number(node[2]))
        return f"({'*'.join(factors)})"
    return _sum(node, algebra)


def _sum(node: Node, algebra: Algebra) -> str:
    """Terms with their coefficients; coefficients that are one free constant share a mark."""
    sizes = [abs(c) for _, c in node[1] if type(c) is float]
    if type(node[2]) is float:
        sizes.append(abs(node[2]))
    shared = {size for size in sizes if sizes.count(size) > 1} if len(sizes) > 1 else ()
    lead = {size: next(c for _, c in node[1] if abs(c) == size) for size in shared}
    parts = []
    for term, coefficient in node[1]:
        text = skeleton(term, algebra)
        if coefficient != 1:
            mark = number(coefficient)
            if abs(coefficient) in lead:
                mark = "S" if coefficient == lead[abs(coefficient)] else "-S"
            text = f"{mark}*{text}"
        parts.append(text)
    if node[2]:
        mark = number(node[2])
        if abs(node[2]) in lead:
            mark = "S" if node[2] == lead[abs(node[2])] else "-S"
        parts.append(mark)
    parts.sort()
    return f"({'+'.join(parts)})"


def number(value: Number) -> str:
    return "C" if type(value) is float else str(value)


def image_hashes(
    values: Float[np.ndarray, "candidates rows"], digits: int = 7
) -> Int64[np.ndarray, " candidates"]:
    """A key for the values of each candidate on the rows: equal for values that are equal up to scale and offset.

    Each row of values is centred, scaled to one, and seen from four random directions; the views are rounded and
    mixed into one number. Two functions share a key by chance about once in 1e20; one function computed in two
    ways is told apart about once in 1e5, when a view falls on the edge of rounding.

    Arguments:
        values: on the same rows for all candidates.
        digits: decimals to which the views are rounded; about 3 for values computed in float32.

    Returns:
        The keys; 0 where a value is not finite, 1 where all values are equal.
    """
    with np.errstate(all="ignore"):
        size = np.max(np.abs(values), axis=1, keepdims=True).astype(float)
        scaled = values / np.where(size > 0, size, 1.0)
        centred = scaled - scaled.mean(axis=1, keepdims=True)
        norm = np.sqrt(np.sum(centred * centred, axis=1, keepdims=True))
        directions = np.random.default_rng(0).normal(size=(values.shape[1], 4))
        views = centred / norm @ directions
        views *= np.where(views[:, :1] < 0, -1.0, 1.0)
        cells = np.round(views * 10.0**digits)
    finite = np.isfinite(cells).all(axis=1)
    steps = np.where(finite[:, None], cells, 0.0).astype(np.int64).view(np.uint64)
    keys = np.zeros(len(values), np.uint64)
    for column in steps.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    keys = keys.view(np.int64)
    constant = np.isfinite(size[:, 0]) & (norm[:, 0] <= 10.0**-digits * 1e-5 * np.sqrt(values.shape[1]))
    return np.where(constant, 1, np.where(finite, keys, 0))
