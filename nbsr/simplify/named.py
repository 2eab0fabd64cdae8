"""Known constants of nature found again in fitted numbers: 8.98755e16*m is m*c**2.

Like pi, a known constant takes the place of a fitted one where the data determine that to more digits than it costs to
say the name.  A fitted constant is compared with the products of a few powers of the known ones, times a simple number;
where units are known, only those of its own unit count, of which there is hardly ever more than one.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nbsr.expression import CONST, Expression, Vocabulary
from nbsr.simplify.numbers import FREE_PRICE, exponents, simple_numbers

__all__ = ["Naming", "namings"]

_POWERS = (1, -1, 2, -2, 0.5, -0.5, 3, -3, 4, -4)
_MOST = 3  # known constants in one product
_NAME_PRICE, _POWER_PRICE = 2.5, 0.7  # nats: for a name, and for each further power of it, or half of one
_FAR = 2.0  # standard errors
_LEAST = 1e-12  # relative error of a constant that nothing but rounding limits
_CLEAR = 2.0  # nats that a reading has to win, and by which it has to be the plainest
_PLAINEST = 8.0  # nats of the simple number beside the names


@dataclass(frozen=True)
class Naming:
    """A law with a product of known constants in the place of a fitted one.

    Attributes:
        law: in a vocabulary in which the known constants are columns.
        gain: nats by which it is shorter to say.
    """

    law: Expression
    gain: float


@dataclass(frozen=True)
class _Reading:
    """A simple number times powers of known constants."""

    number: float
    powers: tuple[tuple[str, float], ...]
    gain: float


def namings(
    law: Expression,
    errors: Sequence[float],
    constants: Mapping[str, float],
    vocabulary: Vocabulary,
    may_be: Callable[[int, Mapping[str, float]], bool] = lambda place, powers: True,
) -> list[Naming]:
    """The law with one fitted constant named, the likeliest first.

    Arguments:
        law: with fitted constants.
        errors: their standard errors; 0 where one is a simple number, NaN or inf where the data say nothing of it.
        constants: the known ones, none of them 0.
        vocabulary: of the result: the columns of the law, and the known constants beside them.
        may_be: whether the constant at a place may have the unit of such powers.
    """
    wide = law.to(vocabulary)
    out = []
    places = [k for k, token in enumerate(law.tokens) if token == CONST]
    exponent = exponents(law)
    for number, place in enumerate(places):
        value, error = law.constants[number], errors[number]
        if not math.isfinite(error) or number in exponent or not value:
            continue
        readings = _readings(value, error, constants, lambda powers, k=number: may_be(k, powers))
        if readings and (len(readings) == 1 or readings[0].gain - readings[1].gain >= _CLEAR):
            out.append(Naming(_replaced(wide, place, number, readings[0]), readings[0].gain))
    return sorted(out, key=lambda naming: -naming.gain)


def _readings(
    value: float, error: float, constants: Mapping[str, float], may_be: Callable[[Mapping[str, float]], bool]
) -> list[_Reading]:
    """What a value may be, with the nats that are won by it, the largest first."""
    relative = max(error / abs(value), _LEAST)
    free = FREE_PRICE + math.log(1 / relative)
    if error == 0 and (simple := simple_numbers(value, 0.0)):
        free = simple[0][1]
    found = []
    for count in range(1, min(_MOST, len(constants)) + 1):
        for names in itertools.combinations(constants, count):
            for powers in itertools.product(_POWERS, repeat=count):
                price = sum(_NAME_PRICE + _POWER_PRICE * max(abs(e) - 1, 2 * (e % 1)) for e in powers)
                size = sum(e * math.log(abs(constants[n])) for n, e in zip(names, powers, strict=True))
                left = math.log(abs(value)) - size
                if price > free or abs(left) > 20:
                    continue
                if any(e % 1 and constants[n] < 0 for n, e in zip(names, powers, strict=True)):
                    continue
                sign = math.prod(
                    math.copysign(1.0, constants[n]) ** e for n, e in zip(names, powers, strict=True)
                )
                ratio = math.copysign(math.exp(left), value * sign)
                offers = simple_numbers(ratio, _FAR * relative * abs(ratio))
                offers = [(s, p) for s, p in offers if p <= _PLAINEST]
                if not offers:
                    continue
                plain, cost = offers[0]
                cost = 0.0 if plain == 1 else cost
                far = abs(ratio - plain) / abs(ratio) / relative
                gain = free - price - cost - far**2 / 2
                named: dict[str, float] = dict(zip(names, powers, strict=True))
                if gain >= _CLEAR and may_be(named):
                    found.append(_Reading(plain, tuple(named.items()), gain))
    return sorted(found, key=lambda reading: -reading.gain)


def _replaced(law: Expression, place: int, number: int, reading: _Reading) -> Expression:
    """The law with what a constant is read as in its place."""
    vocabulary = law.vocabulary

    def product(powers: Sequence[tuple[str, float]], factor: float) -> Expression | None:
        whole = None if factor == 1 else Expression.constant(factor, vocabulary)
        for name, exponent in powers:
            part = Expression.variable(name, vocabulary)
            if exponent != 1:
                part = Expression.apply("sqrt" if exponent == 0.5 else f"pow{exponent}", part)
            whole = part if whole is None else Expression.apply("*", whole, part)
        return whole

    above = product([(n, e) for n, e in reading.powers if e > 0], reading.number)
    below = product([(n, -e) for n, e in reading.powers if e < 0], 1.0)
    if above is None:
        above = Expression.constant(1.0, vocabulary)
    part = above if below is None else Expression.apply("/", above, below)
    return Expression(
        (*law.tokens[:place], *part.tokens, *law.tokens[place + 1 :]),
        (*law.constants[:number], *part.constants, *law.constants[number + 1 :]),
        vocabulary,
    )
