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

from nbsr.expression import CONST, Expression, exact_constants, subtree_end

# What it costs to have a constant that is not simple, besides its digits.
FREE_PRICE = 3.0
_SYMBOL_PRICE = 2.5  # pi, e, sqrt: one of about a dozen signs
_LARGEST_WHOLE = 1_000_000
_MOST_DIGITS = 10
# No constant moves by more than this many standard errors, however plain the number, if the data are noisy.
MOST_ERRORS = 2.0
_EXPECTED = 2.0  # nats by which a simple number is less surprising in an exponent
# Within so many errors of a measured constant no other number may be as plain.
_NEIGHBOURHOOD = 8.0
# What it costs beside its price that a measured constant is 5/pi and not the number beside it, and to how many parts in
# a whole it has to be known for anybody to say so.
_ODD_PRICE = 3.0
_ODD_PARTS = 300.0


def whole_price(n: int) -> float:
    return 0.7 + 2 * math.log(n) if n > 1 else 0.7


def named_price(number: float) -> float:
    """What it costs to say a number that has a name, or that is whole."""
    if number == 0:
        return whole_price(1)
    offers = simple_numbers(number, 0.0)
    if offers:
        return offers[0][1]
    return 3.0 + 2.303 * len(f"{abs(number):.16e}".partition("e")[0].rstrip("0").replace(".", ""))


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


def readings(value: float, error: float, exponent: bool, exact: bool) -> list[tuple[float, float, float]]:
    """Simple numbers that a fitted constant may be: (nats gained by saying so, number, price).

    Named numbers and odd fractions lie so close together that some are always near; of a measured constant they have to
    be met exactly.  No measured exponent is a multiple of pi.

    Arguments:
        value: a fitted constant, not 0.
        error: its standard error, above 0.
        exponent: whether it is the exponent of a power, of which simple numbers are expected.
        exact: whether nothing but rounding keeps the law from the data.
    """
    now = FREE_PRICE + math.log(max(1.0, min(abs(value) / error, 1e300)))
    numbers = simple_numbers(value, 5 * error)[:4] if exact else _outstanding(value, error, exponent)
    found = []
    for number, price in numbers:
        far = abs(number - value) / error
        if far > MOST_ERRORS and not exact:
            continue
        price = max(0.5, price - _EXPECTED) if exponent else price
        gain = now - price - (min(far, 3.0) ** 2 / 2 if math.isfinite(far) else 0.0)
        if gain > 0:
            found.append((gain, number, price))
    return found


def _outstanding(value: float, error: float, exponent: bool) -> list[tuple[float, float]]:
    """The simple number that a measured constant may be, and its price: the plainest around, by far."""
    around = simple_numbers(value, _NEIGHBOURHOOD * error)
    if not around or not (len(around) == 1 or around[1][1] > around[0][1] + 1.0):
        return []
    number, price = around[0]
    if exponent and not float(60 * number).is_integer():
        return []
    if price > whole_price(10) and not float(10 * number).is_integer():
        if abs(value) < _ODD_PARTS * error:
            return []
        price += _ODD_PRICE
    return [(number, price)]


def exponents(law: Expression) -> set[int]:
    """Which constants of a law are exponents of a power, by their numbers."""
    power = law.vocabulary.operator_ids.get("pow")
    arities = law.vocabulary.arities
    places = {
        subtree_end(law.tokens, at + 1, arities) for at, token in enumerate(law.tokens) if token == power
    }
    constants = [place for place, token in enumerate(law.tokens) if token == CONST]
    return {number for number, place in enumerate(constants) if place in places}
