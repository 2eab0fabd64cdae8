"""What the normal form is made of: nested tuples, and numbers that know whether they are exact.

An expression becomes a nested tuple in which commutativity, associativity, subtraction, division and the
"hyper-operators" (mult2, div3, pow1_2 ...) have disappeared, so that equal formulas become equal tuples:

    (NUMBER, value)
    (VARIABLE, token id)
    (FUNCTION, name, (argument, ...))
    (PRODUCT, ((base, exponent), ...), coefficient)     factors sorted, no exponent is 0
    (SUM, ((term, coefficient), ...), constant)         terms sorted, no coefficient is 0

Numbers are `int` or `Fraction` where they are exact (integers, exponents of roots, hyper-operators) and `float`
where they were measured. That difference carries two jobs. An exponent 1/3 that is a Fraction is the odd root,
which is real for negative numbers; the float 0.333 is a general power, which is not. And `Algebra(abstract=True)`
turns every constant into a distinct generic float that never becomes exact again, so that the same algebra
yields skeletons: `C*(x + C)` and `C*x + C` meet, `x + C*y` and `C*x + C*y` do not.
"""

import math
from fractions import Fraction
from typing import Any

NUMBER, VARIABLE, FUNCTION, PRODUCT, SUM = range(5)
Node = tuple[Any, ...]
Number = int | Fraction | float

ZERO: Node = (NUMBER, 0)
ONE: Node = (NUMBER, 1)
HALF = Fraction(1, 2)


class Undefined(ArithmeticError):
    """A constant part of the expression has no finite value."""


def exact(value: float) -> Number:
    """The number as an integer or a small fraction when it is exactly the float nearest to it."""
    if value != value or value in (math.inf, -math.inf):
        raise Undefined
    if value == math.floor(value):
        return int(value) if abs(value) < 1e15 else value
    for denominator in (2, 3, 4, 5, 6, 8):
        numerator = value * denominator
        if numerator.is_integer() and numerator / denominator == value and abs(numerator) < 1e6:
            return Fraction(int(numerator), denominator)
    return value


def tidy(value: Number) -> Number:
    """Fractions that are whole become integers."""
    if type(value) is Fraction and value.denominator == 1:
        return value.numerator
    return value


def even_root(exponent: Number) -> bool:
    """Is a power with this exponent defined for bases >= 0 only?"""
    return type(exponent) is float or (type(exponent) is Fraction and exponent.denominator % 2 == 0)


def even_power(exponent: Number) -> bool:
    """Is a power with this exponent an even function of its base, defined everywhere (but perhaps at 0)?"""
    if type(exponent) is int:
        return exponent % 2 == 0
    return type(exponent) is Fraction and exponent.denominator % 2 == 1 and exponent.numerator % 2 == 0


def split(node: Node) -> tuple[Number, Node]:
    """A node as (coefficient, the rest with coefficient 1)."""
    if node[0] == PRODUCT and node[2] != 1:
        return node[2], unscaled(node)
    if node[0] == NUMBER:
        return node[1], ONE
    return 1, node


def unscaled(product: Node) -> Node:
    factors = product[1]
    if len(factors) == 1 and factors[0][1] == 1:
        return factors[0][0]
    return (PRODUCT, factors, 1)


def factors_of(node: Node) -> tuple[tuple[Node, Number], ...]:
    return node[1] if node[0] == PRODUCT else ((node, 1),)


def plus(a: Number, b: Number) -> Number:
    """a + b, where what is left of a cancellation is nothing but rounding counts as 0."""
    total = a + b
    if type(total) is float:
        if abs(total) <= 4e-16 * abs(a):
            return 0
        return finite(total)
    return total


def finite(value: Number) -> Number:
    """The number itself; raises Undefined where it overflowed, or vanished."""
    if type(value) is float and not (2.3e-308 < abs(value) < math.inf):
        if value == 0:
            return 0
        raise Undefined
    return value


def times(a: Number, b: Number) -> Number:
    """a * b; raises Undefined where it overflowed, or vanished though neither is 0."""
    product = finite(tidy(a * b))
    if not product and a and b:
        raise Undefined
    return product


def ratio(a: Number, b: Number) -> Number:
    """a / b, exact where both are, and where it is 1 or -1; raises Undefined as `times` does."""
    if type(a) is float or type(b) is float:
        if abs(a) == abs(b):
            return 1 if a == b else -1
        quotient = finite(float(a) / float(b))
        if not quotient and a:
            raise Undefined
        return quotient
    return tidy(Fraction(a) / b)


def add_exponents(a: Number, b: Number) -> Number:
    if not a:
        return b
    return tidy(plus(a, b))


def common_divisor(values: list[Fraction]) -> Fraction:
    """The largest number of which all are integer multiples."""
    numerator, denominator = 0, 1
    for value in values:
        numerator = math.gcd(numerator * value.denominator, value.numerator * denominator)
        denominator = denominator * value.denominator
    return Fraction(numerator, denominator)
