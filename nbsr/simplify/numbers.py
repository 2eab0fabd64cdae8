"""Simple numbers, and what each costs to say: the candidates to which a fitted constant may be snapped.

The price is a description length in nats. Whole numbers n cost about 2 ln(n), fractions what their two parts
cost, a named number (pi, e, sqrt(2)) a few nats more, and a decimal ln(10) a digit. A constant known to a
relative error s costs ln(1/s) when it is left as it is, so a simple number close to it is worth taking just
when its price is below that: with exact data almost any, with noisy data only the plainest.
"""

import math
import re
from bisect import bisect_left, bisect_right
from functools import cache

from nbsr.expression import exact_constants

# What it costs to have a constant that is not simple, besides its digits.
FREE_PRICE = 3.0
_SYMBOL_PRICE = 2.5  # pi, e, sqrt: one of about a dozen signs
_LARGEST_WHOLE = 1_000_000
_MOST_DIGITS = 10


def whole_price(n: int) -> float:
    return 0.7 + 2 * math.log(n) if n > 1 else 0.7


def price_of_text(text: str) -> float:
    """The price of a named number by the numbers and symbols of which its name is made."""
    symbols = len(re.findall(r"pi|sqrt|\be\b|\*\*", text))
    return (
        0.7 + _SYMBOL_PRICE * symbols + sum(whole_price(int(n)) for n in re.findall(r"\d+", text) if n != "1")
    )


@cache
def _catalogue() -> tuple[list[float], list[float]]:
    """Values (ascending) and prices of the named numbers and of powers of ten."""
    prices = {value: price_of_text(entry.text) for value, entry in exact_constants().items()}
    for exponent in range(-30, 31):
        if exponent:
            prices[float(f"1e{exponent}")] = 2.0 + whole_price(abs(exponent))
    values = sorted(prices)
    return values, [prices[value] for value in values]


def simple_numbers(value: float, width: float) -> list[tuple[float, float]]:
    """Simple numbers within `width` of a value, as (number, price), cheapest first.

    Arguments:
        value: a fitted constant, not 0.
        width: how far from it the number may lie; up to infinity for a constant that nothing determines.
    """
    sign, size = math.copysign(1.0, value), abs(value)
    low, high = size - width, size + width
    found: dict[float, float] = {}

    def offer(number: float, price: float) -> None:
        if low <= number <= high and price < found.get(number, math.inf):
            found[number] = price

    values, prices = _catalogue()
    first, last = bisect_left(values, low), bisect_right(values, high)
    for i in sorted(range(first, last), key=prices.__getitem__)[:4]:
        offer(values[i], prices[i])
    for n in {1, max(1, math.ceil(low)) if low > 0 else 1, round(min(size, 2.0**53)) or 1}:
        if n <= _LARGEST_WHOLE:
            offer(float(n), whole_price(n))
    if size < 1e300:
        for digits in range(1, _MOST_DIGITS + 1):
            number = float(f"{size:.{digits - 1}e}")
            if low <= number <= high:
                exponent = abs(math.floor(math.log10(number))) if number else 0
                offer(number, 3.0 + 2.303 * digits + math.log1p(exponent))
                break
    return sorted(((sign * number, price) for number, price in found.items()), key=lambda item: item[1])
