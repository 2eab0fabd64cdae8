"""Values to as many digits as one likes: the second opinion where float64 cannot tell two formulas apart."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from nbsr.expression import CONST, Expression, Vocabulary
from nbsr.operators import OPERATORS

# Beyond these arguments the digits of a result are more than memory holds, or than data ever asked for.
LARGEST_EXPONENT = 1e8
LARGEST_ANGLE = 1e60


class Outside(ArithmeticError):
    """The point lies outside the expression's domain."""


class Precise:
    """Evaluates expressions with `digits` decimal digits, by the operators' own strings.

    Arguments:
        digits: working precision of all values.
    """

    def __init__(self, digits: int = 50):
        import mpmath

        self.context = context = mpmath.mp.clone()
        context.dps = digits
        zero, one = context.mpf(0), context.mpf(1)

        def limited(function: Callable, limit: float) -> Callable:
            def bounded(a):
                if abs(a) > limit:
                    raise Outside
                return function(a)

            return bounded

        def power(a, b):
            if a != zero and abs(b * context.log(abs(a))) > LARGEST_EXPONENT:
                raise Outside
            return context.power(a, b)

        def odd_root(degree: int) -> Callable:
            return lambda a: context.sign(a) * context.root(abs(a), degree)

        self._names = {
            "__builtins__": {},
            "nan": context.nan,
            "where": lambda condition, yes, no: yes if condition else no,
            "abs": abs,
            "sign": context.sign,
            "maximum": max,
            "minimum": min,
            "power": power,
            "sqrt": context.sqrt,
            "cbrt": odd_root(3),
            "root5": odd_root(5),
            "sigmoid": limited(lambda a: one / (one + context.exp(-a)), LARGEST_EXPONENT),
            "erf": limited(context.erf, 1e4),
            **{
                name: getattr(context, name)
                for name in ("log", "asin", "acos", "atan", "asinh", "acosh", "atanh")
            },
            **{
                name: limited(getattr(context, name), LARGEST_EXPONENT)
                for name in ("exp", "sinh", "cosh", "tanh")
            },
            **{name: limited(getattr(context, name), LARGEST_ANGLE) for name in ("sin", "cos", "tan")},
        }

    def number(self, value: float):
        """A float as it is, digit for digit."""
        return self.context.mpf(value)

    def value(self, expression: Expression, constants: Sequence, point: Sequence):
        """The expression's value.

        Arguments:
            constants: numbers of this precision, one for each constant in prefix order.
            point: the same, one for each column of the vocabulary.

        Raises:
            Outside: the point is not in its domain.
        """
        vocabulary = expression.vocabulary
        arities, first = vocabulary.arities, vocabulary.first_variable
        stack: list = []
        left = len(constants)
        try:
            for token in reversed(expression.tokens):
                if token == CONST:
                    left -= 1
                    stack.append(constants[left])
                elif token >= first:
                    stack.append(point[token - first])
                else:
                    a = stack.pop()
                    b = stack.pop() if arities[token] == 2 else None
                    stack.append(self._apply(vocabulary.operators[token - 2], a, b))
        except (ZeroDivisionError, ValueError, OverflowError):
            raise Outside from None
        return stack[0]

    def _apply(self, name: str, a, b):
        operator = OPERATORS[name]
        if operator.definition is not None:
            definition = _definition(operator.definition)
            constants = [self.number(c) for c in definition.constants]
            return self.value(definition, constants, (a, b))
        result = eval(_compiled(operator.value), self._names, {"a": a, "b": b})
        if not isinstance(result, self.context.mpf) or result != result or abs(result) == self.context.inf:
            raise Outside
        return result


@lru_cache(maxsize=256)
def _compiled(text: str):
    return compile(text, "<operator>", "eval")


@lru_cache(maxsize=256)
def _definition(formula: str) -> Expression:
    return Expression.parse(formula, Vocabulary(("a", "b")))
