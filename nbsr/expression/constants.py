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


class Exact(NamedTuple):
    """How an exact constant is written.

    Attributes:
        value: the float that the text evaluates to, operation by operation.
        text: infix form.
        latex: the same for LaTeX.
        precedence: how tightly the text binds.
    """

    value: float
    text: str
    latex: str
    precedence: int


def _multiples(value: float, text: str, latex: str, binding: int, top: int, bottom: tuple[int, ...]):
    """p*value/q for small p and q."""
    for q in (1, *bottom):
        for p in range(1, top + 1):
            if math.gcd(p, q) > 1:
                continue
            scaled = value if p == 1 else p * value
            shown = text if p == 1 else f"{p}*{text}"
            shown_latex = latex if p == 1 else f"{p} {latex}"
            if q == 1:
                yield Exact(scaled, shown, shown_latex, binding if p == 1 else PRODUCT)
            else:
                yield Exact(scaled / q, f"{shown}/{q}", rf"\frac{{{shown_latex}}}{{{q}}}", PRODUCT)


def _reciprocals(value: float, text: str, latex: str, top: int, bottom: int):
    """p/(q*value) for small p and q."""
    for q in range(1, bottom + 1):
        for p in range(1, top + 1):
            if math.gcd(p, q) == 1:
                below, below_latex = (text, latex) if q == 1 else (f"({q}*{text})", f"{q} {latex}")
                quotient = p / (value if q == 1 else q * value)
                yield Exact(quotient, f"{p}/{below}", rf"\frac{{{p}}}{{{below_latex}}}", PRODUCT)


def _catalogue():
    pi, squared = math.pi, math.pi**2
    for q in range(2, 13):
        for p in range(1, 61):
            if math.gcd(p, q) == 1:
                yield Exact(p / q, f"{p}/{q}", rf"\frac{{{p}}}{{{q}}}", PRODUCT)
    yield from _multiples(pi, "pi", r"\pi", ATOM, 16, (*range(2, 13), 180))
    yield Exact(math.e, "e", "e", ATOM)
    for k in range(2, 51):
        if math.isqrt(k) ** 2 != k:
            yield from _multiples(math.sqrt(k), f"sqrt({k})", rf"\sqrt{{{k}}}", ATOM, 1, (2, 3, 4, 5, 6))
            yield from _reciprocals(math.sqrt(k), f"sqrt({k})", rf"\sqrt{{{k}}}", 1, 1)
    yield from _reciprocals(pi, "pi", r"\pi", 12, 12)
    yield from _multiples(squared, "pi**2", r"\pi^{2}", POWER, 8, tuple(range(2, 13)))
    yield from _reciprocals(squared, "pi**2", r"\pi^{2}", 6, 6)
    for inside, text, latex in ((pi, "sqrt(pi)", r"\sqrt{\pi}"), (2 * pi, "sqrt(2*pi)", r"\sqrt{2 \pi}")):
        yield from _multiples(math.sqrt(inside), text, latex, ATOM, 2, (2,))
        yield from _reciprocals(math.sqrt(inside), text, latex, 2, 2)
    yield Exact((1 + math.sqrt(5)) / 2, "(1 + sqrt(5))/2", r"\frac{1 + \sqrt{5}}{2}", PRODUCT)
    yield Exact(1 / math.e, "1/e", r"\frac{1}{e}", PRODUCT)


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
        return Exact(value, str(int(value)), str(int(value)), ATOM if value >= 0 else UNARY)
    entry = exact_constants().get(size)
    if (
        entry is None
        or ("pi" in taken and "pi" in entry.text)
        or ("e" in taken and entry.text in ("e", "1/e"))
    ):
        return None
    if value > 0:
        return entry
    return Exact(value, f"-{entry.text}", f"-{entry.latex}", min(UNARY, entry.precedence))
