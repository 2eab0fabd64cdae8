"""Numbers that have a name: 1/3, 2*pi, sqrt(2). Printed by it, and read back to the identical float.

In text, whole numbers, `pi` and `e` are exact, and arithmetic on nothing but exact numbers is again one exact
number: `2*pi/3` is a single constant. A number with a point or an exponent is a measured one and never merges.
"""

import math
from functools import cache
from typing import NamedTuple

from nbsr.operators import ATOM, POWER, PRODUCT, UNARY

# From here on a whole number is printed like any other.
LARGEST_WHOLE = 1e12


# How a number is typeset: digits or a letter, or ("fraction" | "power" | "sum" | "row" | "root", *shapes).
Shape = str | tuple


class Exact(NamedTuple):
    """How an exact constant is written.

    Attributes:
        value: the float that the text evaluates to, operation by operation.
        text: infix form.
        shape: the size of the number as it is typeset.
        precedence: how tightly the text binds.
    """

    value: float
    text: str
    shape: Shape
    precedence: int


def _multiples(value: float, text: str, shape: Shape, binding: int, top: int, bottom: tuple[int, ...]):
    """p*value/q for small p and q."""
    for q in (1, *bottom):
        for p in range(1, top + 1):
            if math.gcd(p, q) > 1:
                continue
            scaled = value if p == 1 else p * value
            shown = text if p == 1 else f"{p}*{text}"
            typeset = shape if p == 1 else ("row", str(p), shape)
            if q == 1:
                yield Exact(scaled, shown, typeset, binding if p == 1 else PRODUCT)
            else:
                yield Exact(scaled / q, f"{shown}/{q}", ("fraction", typeset, str(q)), PRODUCT)


def _reciprocals(value: float, text: str, shape: Shape, top: int, bottom: int):
    """p/(q*value) for small p and q."""
    for q in range(1, bottom + 1):
        for p in range(1, top + 1):
            if math.gcd(p, q) == 1:
                below, typeset = (text, shape) if q == 1 else (f"({q}*{text})", ("row", str(q), shape))
                quotient = p / (value if q == 1 else q * value)
                yield Exact(quotient, f"{p}/{below}", ("fraction", str(p), typeset), PRODUCT)


def _catalogue():
    pi, squared, square_shape = math.pi, math.pi**2, ("power", "π", "2")
    for q in range(2, 13):
        for p in range(1, 61):
            if math.gcd(p, q) == 1:
                yield Exact(p / q, f"{p}/{q}", ("fraction", str(p), str(q)), PRODUCT)
    yield from _multiples(pi, "pi", "π", ATOM, 16, (*range(2, 13), 180))
    yield Exact(math.e, "e", "e", ATOM)
    for k in range(2, 51):
        if math.isqrt(k) ** 2 != k:
            root = ("root", str(k))
            yield from _multiples(math.sqrt(k), f"sqrt({k})", root, ATOM, 1, (2, 3, 4, 5, 6))
            yield from _reciprocals(math.sqrt(k), f"sqrt({k})", root, 1, 1)
    yield from _reciprocals(pi, "pi", "π", 12, 12)
    yield from _multiples(squared, "pi**2", square_shape, POWER, 8, tuple(range(2, 13)))
    yield from _reciprocals(squared, "pi**2", square_shape, 6, 6)
    for inside, text, under in ((pi, "sqrt(pi)", "π"), (2 * pi, "sqrt(2*pi)", ("row", "2", "π"))):
        yield from _multiples(math.sqrt(inside), text, ("root", under), ATOM, 2, (2,))
        yield from _reciprocals(math.sqrt(inside), text, ("root", under), 2, 2)
    golden = ("fraction", ("sum", "1", ("root", "5")), "2")
    yield Exact((1 + math.sqrt(5)) / 2, "(1 + sqrt(5))/2", golden, PRODUCT)
    yield Exact(1 / math.e, "1/e", ("fraction", "1", "e"), PRODUCT)


@cache
def exact_constants() -> dict[float, Exact]:
    """The positive named constants that are not whole numbers, by value; the plainest name first."""
    known: dict[float, Exact] = {}
    for entry in _catalogue():
        if entry.value != int(entry.value):
            known.setdefault(entry.value, entry)
    return known


def decimal(value: float) -> str:
    """The shortest text that reads back as this float; it always has a point or an exponent."""
    return repr(float(value)).replace("e+", "e")


def exact_form(value: float, taken: frozenset[str] = frozenset()) -> Exact | None:
    """How `value` is written if it is exactly a whole number or a named constant, with its sign, else None.

    Arguments:
        value: the constant.
        taken: of "pi" and "e" those that are columns' names here, and so mean something else.
    """
    size = abs(value)
    if size == int(size) if size < LARGEST_WHOLE else False:
        if value == 0 and math.copysign(1, value) < 0:
            return None
        return Exact(value, str(int(value)), str(int(size)), ATOM if value >= 0 else UNARY)
    entry = exact_constants().get(size)
    if (
        entry is None
        or ("pi" in taken and "pi" in entry.text)
        or ("e" in taken and entry.text in ("e", "1/e"))
    ):
        return None
    if value > 0:
        return entry
    return Exact(value, f"-{entry.text}", entry.shape, min(UNARY, entry.precedence))
