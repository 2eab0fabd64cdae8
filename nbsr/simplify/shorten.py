"""Algebraic simplification: the same function, never longer, in the order in which a scientist writes."""

from collections.abc import Collection, Iterable

from nbsr.expression import CONST, Expression
from nbsr.simplify.emit import Writer
from nbsr.simplify.nodes import Undefined
from nbsr.simplify.normal import Algebra

_SCALINGS = {f"mult{k}": ("*", float(k)) for k in range(2, 6)} | {
    f"div{k}": ("/", float(k)) for k in range(2, 6)
}


def simplify(
    expression: Expression, positive: Iterable[str] = (), operators: Collection[str] | None = None
) -> Expression:
    """The same function in a shorter, ordered form.

    The value is kept, up to rounding, wherever the expression was defined; the domain may grow (x/x -> 1,
    sqrt(x)**2 -> x) and never shrinks. The result has at most as many tokens as the expression, counting
    mult2(x) .. div5(x) as what they stand for, 2*x .. x/5: that is how they are written in the result.
    An expression with free constants, or with a part that has no value, comes back as it is.

    Arguments:
        expression: any expression.
        positive: names of columns known to be > 0 on the data, for which sqrt(x**2) is x.
        operators: those that the result may use, besides what the expression has; by default its vocabulary's.
    """
    ids = expression.vocabulary.variable_ids
    algebra = Algebra(positive=[ids[name] for name in positive])
    if operators is not None:
        operators = {*operators, *expression.operators, "*", "/"}
    short = without_scalings(expression)
    for _ in range(4):  # what one pass has brought together, the next may simplify
        before, short = short, rewritten(short, algebra, operators)
        if short == before:
            break
    return short


def rewritten(expression: Expression, algebra: Algebra, operators: Collection[str] | None) -> Expression:
    """One pass through the normal form; the expression itself where that would be longer."""
    try:
        node = algebra.build(expression)
        for brief in (False, True):
            short = Writer(algebra, expression.vocabulary, brief, operators).expression(node)
            if len(short.tokens) <= len(expression.tokens):
                return short
    except (Undefined, OverflowError, RecursionError):
        pass
    return expression


def without_scalings(expression: Expression) -> Expression:
    """mult2(x) -> 2*x, div3(x) -> x/3."""
    vocabulary = expression.vocabulary
    ids = vocabulary.operator_ids
    scalings = {ids[name]: rule for name, rule in _SCALINGS.items() if name in ids and rule[0] in ids}
    if not any(token in scalings for token in expression.tokens):
        return expression
    stack: list[tuple[tuple[int, ...], tuple[float, ...]]] = []
    constant = len(expression.constants)
    for token in reversed(expression.tokens):
        if token == CONST:
            constant -= 1
            stack.append(((CONST,), (expression.constants[constant],)))
            continue
        operands = [stack.pop() for _ in range(vocabulary.arities[token])]
        if token in scalings:
            sign, value = scalings[token]
            number = ((CONST,), (value,))
            operands = [number, *operands] if sign == "*" else [*operands, number]
            token = ids[sign]
        stack.append(
            ((token, *(t for o in operands for t in o[0])), tuple(c for o in operands for c in o[1]))
        )
    return Expression(*stack[0], vocabulary)
