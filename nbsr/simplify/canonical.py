"""Two formulas, one skeleton? Keys under which duplicates meet."""

from nbsr.expression import Expression
from nbsr.simplify.normal import (
    FUNCTION,
    NUMBER,
    PRODUCT,
    VARIABLE,
    Algebra,
    Node,
    Number,
    Undefined,
)

_COMMUTATIVE = frozenset(("max", "min"))


def canonical(expression: Expression) -> str:
    """The skeleton of an expression: equal for expressions that say the same up to the values of constants.

    It does not see the order of operands, how sums and products are nested, the difference between a - b and
    a + (-1)*b or between x*x and pow2(x), nor the values of the constants: `2.5*(x + 1)`, `x*3 + 4` and
    `c0*x + c1` are one skeleton, `x + c1` is another, and so is `mult2(x)`, whose 2 cannot be fitted.

    Returns:
        A short text, to be compared and hashed; it is not meant for people.
    """
    algebra = Algebra(abstract=True)
    try:
        return skeleton(algebra.build(expression), algebra)
    except (Undefined, OverflowError, RecursionError):
        return "undefined " + " ".join(map(str, expression.tokens))


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
        factors = [skeleton(b, algebra) if e == 1 else f"{skeleton(b, algebra)}^{number(e)}" for b, e in node[1]]
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
