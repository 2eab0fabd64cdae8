"""From the normal form back to an expression, as a scientist would write it.

Sums: the longest powers first, the constant last, and a positive term in front (`1 - x`, not `-x + 1`). Products:
one coefficient first, then columns, sums, functions; negative powers below one fraction line. Where a number can
stand in several places (`2*(x + 1/2)` or `2*x + 1`, `x/3` or `0.333*x`, `e*exp(x)` or `exp(x + 1)`), it stands
where the formula is shortest and its numbers are plainest.
"""

import math
from collections.abc import Collection
from fractions import Fraction
from functools import lru_cache

from nbsr.expression import CONST, Expression, Vocabulary, exact_form
from nbsr.simplify.nodes import (
    FUNCTION,
    NUMBER,
    PRODUCT,
    SUM,
    VARIABLE,
    Node,
    Number,
    Undefined,
    even_power,
    even_root,
    factors_of,
    split,
    tidy,
)
from nbsr.simplify.normal import ODD, Algebra

# Prefix text under construction: token ids, and constants as floats in their places.
Items = list


def ugliness(value: Number) -> float:
    """How reluctantly a person writes this number: 0 for a whole one."""
    if type(value) is int:
        return 0.0
    if type(value) is Fraction or len(repr(abs(value))) <= 6:
        return 0.1
    return 0.25 if exact_form(float(value)) is not None else 0.4


def plain(value: Number) -> bool:
    """Is this a number that a person would write: short, or with a name?"""
    if type(value) is float:
        return len(repr(abs(value))) <= 6 or exact_form(value) is not None
    return abs(value) < 1e6 and Fraction(value).denominator < 100


def as_float(value: Number) -> float:
    try:
        result = float(value)
    except OverflowError:
        raise Undefined from None
    if not math.isfinite(result):
        raise Undefined
    return named_neighbour(result) if type(value) is float else result


class Writer:
    """Writes nodes of a normal form as prefix items.

    Arguments:
        algebra: the rules by which the node was made.
        vocabulary: the operators that may be used.
        brief: prefer the fewest tokens over the usual look: log(x**2) to 2*log(x), 0.5/x to 1/(2*x).
        operators: names of those of the vocabulary that may be used; by default all.
    """

    def __init__(
        self,
        algebra: Algebra,
        vocabulary: Vocabulary,
        brief: bool = False,
        operators: Collection[str] | None = None,
    ):
        self.algebra = algebra
        self.vocabulary = vocabulary
        self.ids = vocabulary.operator_ids
        if operators is not None:
            self.ids = {name: token for name, token in self.ids.items() if name in operators}
        self.brief = brief

    def expression(self, node: Node) -> Expression:
        items = self.write(node)
        tokens = tuple(CONST if type(item) is float else item for item in items)
        constants = tuple(item for item in items if type(item) is float)
        return Expression(tokens, constants, self.vocabulary)

    # -- operators -------------------------------------------------------------------------------------------

    def op(self, name: str, *operands: Items) -> Items:
        token = self.ids.get(name)
        if token is None:
            return self._substitute(name, operands)
        items: Items = [token]
        for operand in operands:
            items += operand
        return items

    def _substitute(self, name: str, operands: tuple[Items, ...]) -> Items:
        """The same by other operators, where the vocabulary lacks one."""
        if name == "inv":
            return self.op("/", [1.0], *operands)
        if name.startswith("pow") and len(name) > 3:
            top, _, bottom = name[3:].partition("_")
            if not bottom and len(operands[0]) <= 3:
                return self._chain([operands[0]] * int(top))
            if "pow" in self.ids and int(bottom or 1) % 2 != 1 or not bottom:
                return self.op("pow", *operands, [float(Fraction(int(top), int(bottom or 1)))])
        raise Undefined

    # -- nodes -----------------------------------------------------------------------------------------------

    def write(self, node: Node) -> Items:
        kind = node[0]
        if kind == NUMBER:
            return [as_float(node[1])]
        if kind == VARIABLE:
            return [node[1]]
        if kind == FUNCTION:
            return self.function(node)
        if kind == SUM:
            return self.sum(node)
        negative, items = self.term(*split(node), alone=True)
        return self._negative(items) if negative else items

    def function(self, node: Node) -> Items:
        name, arguments = node[1], node[2]
        if name == "exp":
            coefficient, core = split(arguments[0])
            if self.brief and type(coefficient) is int and 2 <= coefficient <= 5:
                return self.op(f"pow{coefficient}", self.op("exp", self.write(core)))
            if core[0] == SUM:
                coefficient, core = self.algebra.content(core)
            if core[0] != NUMBER and type(coefficient) is float and abs(coefficient) < 100:
                base = rounded(math.exp(coefficient))
                if plain(base) and not plain(coefficient) and says(base, coefficient):
                    return self.op("pow", [as_float(base)], self.write(core))
        return self.op(name, *(self.write(argument) for argument in arguments))

    # -- sums ------------------------------------------------------------------------------------------------

    def sum(self, node: Node) -> Items:
        terms, constant = self._absorb_into_logarithm(list(node[1]), node[2])
        parts = [(-degree(term), order(term), term, c) for term, c in self._grouped(terms)]
        parts.sort(key=lambda part: part[:2])
        written = [self.term(c, term) for _, _, term, c in parts]
        if constant:
            written.append((constant < 0, [as_float(abs(constant))]))
        first = next((i for i, (negative, _) in enumerate(written) if not negative), None)
        if first is None:  # all are negative: let a number carry the first sign
            numbered = [
                i for i, (_, items) in enumerate(written) if type(items[self._leading(items)]) is float
            ]
            items = self._negative(written.pop(numbered[0] if numbered else 0)[1])
        else:
            items = written.pop(first)[1]
        for negative, term_items in written:
            items = self.op("-" if negative else "+", items, term_items)
        return items

    def _leading(self, items: Items) -> int:
        """Where the first operand of a chain of products and quotients stands."""
        chain = (self.ids.get("*"), self.ids.get("/"))
        i = 0
        while type(items[i]) is int and items[i] in chain:
            i += 1
        return i

    def _negative(self, items: Items) -> Items:
        """The items with the opposite sign, in the leading number if there is one."""
        i = self._leading(items)
        if type(items[i]) is float:
            return [*items[:i], -items[i], *items[i + 1 :]]
        if "neg" not in self.ids:
            return self.op("*", [-1.0], items)
        return [*items[:i], self.ids["neg"], *items[i:]]

    def _absorb_into_logarithm(
        self, terms: list[tuple[Node, Number]], constant: Number
    ) -> tuple[list[tuple[Node, Number]], Number]:
        """log(x) + 0.693 -> log(2*x)."""
        if not constant or plain(constant):
            return terms, constant
        logs = [i for i, (term, _) in enumerate(terms) if term[0] == FUNCTION and term[1] == "log"]
        if len(logs) != 1:
            return terms, constant
        term, coefficient = terms[logs[0]]
        exponent = float(constant) / float(coefficient)
        if abs(exponent) > 600:
            return terms, constant
        factor = rounded(math.exp(exponent))
        if not plain(factor):
            return terms, constant
        inner = self.algebra.scale(term[2][0], factor)
        terms = [*terms[: logs[0]], ((FUNCTION, "log", (inner,)), coefficient), *terms[logs[0] + 1 :]]
        return terms, 0

    def _grouped(self, terms: list[tuple[Node, Number]]) -> list[tuple[Node, Number]]:
        """Terms that share a factor, or a coefficient, brought under one: 2*x + 2*y -> 2*(x + y)."""
        if len(terms) > 2:
            terms = self._by_factor(terms)
        sizes: dict[Number, list[tuple[Node, Number]]] = {}
        for term, coefficient in terms:
            sizes.setdefault(abs(coefficient), []).append((term, coefficient))
        if len(sizes) == len(terms):
            return terms
        grouped: list[tuple[Node, Number]] = []
        for size, members in sizes.items():
            if size == 1 or len(members) == 1:
                grouped += members
            else:
                sign = 1 if any(c > 0 for _, c in members) else -1
                inner = tuple((term, 1 if c * sign > 0 else -1) for term, c in members)
                grouped.append(((PRODUCT, (((SUM, inner, 0), 1),), 1), size * sign))
        return grouped

    def _by_factor(self, terms: list[tuple[Node, Number]]) -> list[tuple[Node, Number]]:
        """x*y + x*z + w -> x*(y + z) + w."""
        while len(terms) > 2:
            counts: dict[tuple[Node, Number], int] = {}
            for term, _ in terms:
                factors = factors_of(term)
                if len(factors) > 1:
                    for factor in factors:
                        counts[factor] = counts.get(factor, 0) + 1
            best = max(counts, key=lambda f: (counts[f], f), default=None)
            if best is None or counts[best] < 2:
                break
            inside, outside = [], []
            for term, coefficient in terms:
                factors = factors_of(term)
                if best in factors and len(factors) > 1:
                    inside.append(
                        (self.algebra._product({b: e for b, e in factors if b != best[0]}, 1), coefficient)
                    )
                else:
                    outside.append((term, coefficient))
            if not outside:
                break
            inner = self.algebra.close(self.algebra.add(inside))
            joined = self.algebra.multiply((self.algebra.power(*best), inner))
            coefficient, core = split(joined)
            terms = [*outside, (core, coefficient)]
        return terms

    # -- products --------------------------------------------------------------------------------------------

    def term(self, coefficient: Number, core: Node, alone: bool = False) -> tuple[bool, Items]:
        """Whether coefficient * core begins with a minus, and the items of the rest.

        Arguments:
            alone: nothing stands before it, so a minus costs a token unless a number carries it.
        """
        factors = list(factors_of(core))
        coefficient, factors = self._place_coefficient(coefficient, factors)
        if coefficient < 0 and alone:
            coefficient, factors = self._hide_sign(coefficient, factors)
        negative, size = coefficient < 0, abs(coefficient)
        above = [(b, e) for b, e in factors if e > 0]
        below = [(b, -e) for b, e in factors if e < 0]
        if below and not above and len(below) == 1 and not self._short_power(below[0][1]):
            above, below = [(below[0][0], -below[0][1])], []  # x**-1.7
        divisor = None if self.brief and alone and negative else self._divisor(size, above, below)
        numerator = self._factors(above, 1 if divisor else size)
        denominator = self._factors(below, divisor or 1)
        if not numerator and not denominator:
            numerator = [[as_float(size)]]
        top = self._chain(numerator)
        if not denominator:
            return negative, top
        bottom = self._chain(denominator)
        return negative, self.op("/", top, bottom) if top else self.op("inv", bottom)

    def _divisor(self, size: Number, above: list, below: list) -> Number | None:
        """The number below the fraction line that says `size` better: x/3, x/(4*pi), 1/(2*x)."""
        if size == 1 or (self.brief and not above) or (not above and not below):
            return None
        if type(size) is Fraction and size.numerator == 1:
            return size.denominator
        if type(size) is float and (below or above):
            inverse = rounded(1 / size)
            if abs(1 / as_float(inverse) - size) <= 2.3e-16 * size:
                if type(inverse) is int and 1 < inverse < 1000 and inverse % 10:
                    return inverse
                if type(inverse) is float and exact_form(inverse) is not None and not plain(size):
                    return inverse
                named = exact_form(size)
                if (
                    named is not None
                    and named.text.startswith("1/")
                    and exact_form(as_float(inverse)) is not None
                ):
                    return inverse
        return None

    def _chain(self, parts: list[Items]) -> Items:
        if not parts:
            return []
        items = parts[0]
        for part in parts[1:]:
            items = self.op("*", items, part)
        return items

    def _factors(self, factors: list[tuple[Node, Number]], size: Number) -> list[Items]:
        """The items of each factor in reading order, a coefficient first."""
        parts: list[Items] = [] if size == 1 else [[as_float(size)]]
        if len(factors) > 1:
            factors = self._joined(factors)
            factors.sort(key=lambda f: (rank(f[0]), f))
        return parts + [self.power(base, exponent) for base, exponent in factors]

    def _joined(self, factors: list[tuple[Node, Number]]) -> list[tuple[Node, Number]]:
        """abs(x)*abs(y) -> abs(x*y), and sqrt(a)*sqrt(b) -> sqrt(a*b) for a, b >= 0."""
        groups: dict[tuple[bool, Number], list[Node]] = {}
        for base, exponent in factors:
            absolute = base[0] == FUNCTION and base[1] == "abs"
            root = type(exponent) is not int and even_root(exponent)
            if absolute or root:
                groups.setdefault((absolute, exponent), []).append(base)
        for (absolute, exponent), bases in groups.items():
            if len(bases) > 1:
                if absolute:
                    whole = (FUNCTION, "abs", (self.algebra.multiply([base[2][0] for base in bases]),))
                else:
                    whole = (PRODUCT, tuple((b, 1) for b in sorted(bases)), 1)
                factors = [f for f in factors if f[0] not in bases] + [(whole, exponent)]
        return factors

    def _short_power(self, exponent: Number) -> bool:
        """Is there an operator for it, or a chain of them?"""
        if type(exponent) is int:
            return 1 <= exponent <= 5
        return type(exponent) is Fraction and (exponent.numerator == 1 and exponent.denominator <= 5)

    def power(self, base: Node, exponent: Number) -> Items:
        if type(exponent) is Fraction and exponent.denominator % 2:
            return self._odd_root(base, exponent)
        inner = self.write(base)
        if exponent == 1:
            return inner
        if exponent == -1:
            return self.op("inv", inner)
        if self._short_power(exponent):
            top, bottom = Fraction(exponent).as_integer_ratio()
            return self.op(f"pow{top}" if bottom == 1 else f"pow1_{bottom}", inner)
        return self.op("pow", inner, [as_float(exponent)])

    def _odd_root(self, base: Node, exponent: Fraction) -> Items:
        items, bottom = self.write(base), exponent.denominator
        for root in (3, 5):
            while bottom % root == 0:
                bottom //= root
                items = self.op(f"pow1_{root}", items)
        if bottom != 1:
            raise Undefined
        top = exponent.numerator
        if top == 1:
            return items
        if 2 <= top <= 5:
            return self.op(f"pow{top}", items)
        return self.op("inv", items) if top == -1 else self.op("pow", items, [float(top)])

    def _place_coefficient(
        self, coefficient: Number, factors: list[tuple[Node, Number]]
    ) -> tuple[Number, list[tuple[Node, Number]]]:
        """Move the coefficient, or a part of it, into a sum or an exponential where it reads better."""
        coefficient, factors = self._place_in_sums(coefficient, factors)
        if type(coefficient) is float and not (plain(coefficient) and exact_form(coefficient) is None):
            for i, (base, exponent) in enumerate(factors):
                if type(exponent) is Fraction and base[0] != SUM and exponent.denominator % 2 == 0:
                    inside = self._root(abs(coefficient), exponent)
                    if inside is not None and type(inside) is not float:  # 1.414*sqrt(x) -> sqrt(2*x)
                        factors[i] = (self.algebra.scale(base, inside), exponent)
                        return (1 if coefficient > 0 else -1), factors
                if base[0] == FUNCTION and base[1] == "exp":
                    shift = rounded(math.log(abs(coefficient)))
                    if plain(shift):
                        argument = self.algebra.add(((base[2][0], 1), ((NUMBER, shift), 1)))
                        factors[i] = ((FUNCTION, "exp", (argument,)), exponent)
                        return (1 if coefficient > 0 else -1), factors
        return coefficient, factors

    def _place_in_sums(
        self, coefficient: Number, factors: list[tuple[Node, Number]]
    ) -> tuple[Number, list[tuple[Node, Number]]]:
        """Choose the multiple of each sum among the factors."""
        for i, (base, exponent) in enumerate(factors):
            if base[0] == SUM:
                coefficient, base = self._rescale(coefficient, base, exponent)
                factors[i] = (base, exponent)
        return coefficient, factors

    def _rescale(self, coefficient: Number, base: Node, exponent: Number) -> tuple[Number, Node]:
        """The multiple of a sum under a power that makes coefficient * sum**exponent plainest."""
        numbers = [c for _, c in base[1]] + ([base[2]] if base[2] else [])
        options: list[Number] = [1] + [
            scaled for c in numbers if abs(c) != 1 and (scaled := reciprocal(abs(c))) is not None
        ]
        if coefficient not in (1, -1):
            absorbed = self._root(abs(coefficient), exponent)
            if absorbed is not None:
                options.append(absorbed)
        denominators = [n.denominator for n in numbers if type(n) is Fraction]
        if denominators:
            options.append(math.lcm(*denominators))
        best, chosen = math.inf, (coefficient, base)
        for option in options:
            try:
                scaled = self.algebra.scale(base, option) if option != 1 else base
                if scaled[0] != SUM:  # its terms have vanished below the smallest number
                    continue
                scaled = with_units(scaled) if option != 1 else base
                outside = coefficient
                if option != 1:
                    outside = snapped_to_one(coefficient, self.algebra.number_power(option, exponent))
            except Undefined:
                continue
            cost = self._numbers_cost(scaled) + (0 if abs(outside) == 1 else 2.01 + ugliness(outside))
            if cost < best - 1e-9:
                best, chosen = cost, (outside, scaled)
        return chosen

    def _root(self, value: Number, exponent: Number) -> Number | None:
        """The number whose power is the value."""
        if exponent == 1:
            return value
        try:
            root = self.algebra.number_power(value, tidy(1 / Fraction(exponent)) if type(exponent) is not float
                                             else 1 / exponent)  # fmt: skip
        except (Undefined, OverflowError, ZeroDivisionError):
            return None
        return rounded(root)

    def _numbers_cost(self, node: Node) -> float:
        """Tokens that numbers take in a sum, and a little for each that is not plain."""
        cost = 0.0
        for _, c in node[1]:
            if abs(c) != 1:
                cost += 2 + ugliness(c)
        if node[2]:
            cost += ugliness(node[2]) + 0.15 * (abs(node[2]) != 1)
        return cost

    def _hide_sign(
        self, coefficient: Number, factors: list[tuple[Node, Number]]
    ) -> tuple[Number, list[tuple[Node, Number]]]:
        """-(x - y) -> y - x, -sin(x - y) -> sin(y - x), -log(x/y) -> log(y/x)."""
        for i, (base, exponent) in enumerate(factors):
            if even_root(exponent) or even_power(exponent):
                continue
            turned = None
            if coefficient != -1 and base[0] != SUM:
                continue
            if base[0] == SUM and mixed(base):
                turned = self.algebra.scale(base, -1)
            elif base[0] == FUNCTION and base[1] in ODD and self._takes_sign(base[2][0]):
                turned = (FUNCTION, base[1], (self.algebra.scale(base[2][0], -1),))
            elif base[0] == FUNCTION and base[1] == "log" and base[2][0][0] == PRODUCT and base[2][0][2] == 1:
                inner = base[2][0][1]
                if any(e < 0 for _, e in inner):
                    turned = (FUNCTION, "log", ((PRODUCT, tuple((b, -e) for b, e in inner), 1),))
            if turned is not None:
                factors[i] = (turned, exponent)
                return -coefficient, factors
        return coefficient, factors

    def _takes_sign(self, argument: Node) -> bool:
        """Can a minus vanish in the argument of an odd function?"""
        if argument[0] == SUM:
            return mixed(argument)
        return self.brief and argument[0] == PRODUCT and argument[2] != 1


# -- reading order and numbers --------------------------------------------------------------------------------


def mixed(node: Node) -> bool:
    """Has a sum terms (or a constant) of both signs?"""
    numbers = [c for _, c in node[1]] + [node[2]]
    return any(c > 0 for c in numbers) and any(c < 0 for c in numbers)


def degree(node: Node) -> float:
    """How far in front a term stands: the sum of its powers, for a polynomial its degree."""
    return float(sum(e for _, e in factors_of(node)))


def order(node: Node) -> tuple:
    """Among terms of one degree: x**2 before x*y before y**2, columns before functions."""
    factors = factors_of(node)
    return tuple(sorted((rank(base), base, -e) for base, e in factors))


def rank(base: Node) -> int:
    return {VARIABLE: 0, PRODUCT: 1, SUM: 2}.get(base[0], 3)


def says(base: Number, exponent: float) -> bool:
    """Whether a base is e to this power to the last digits: 1 is not exp(1e-19)."""
    return math.isclose(math.log(base), exponent, rel_tol=1e-12)


def rounded(value: Number) -> Number:
    """A float within rounding of a plain number becomes that number."""
    if type(value) is not float:
        return value
    if value == 0 or not math.isfinite(value):
        return value
    near = round(value)
    if near and abs(value - near) <= 4e-16 * abs(value) * 4 and abs(value) < 1e6:
        return near
    short = float(f"{value:.12g}")
    if abs(value - short) <= 8e-16 * abs(value) and len(repr(abs(short))) <= 8:
        return short
    return named_neighbour(value)


@lru_cache(maxsize=4096)
def named_neighbour(value: float) -> float:
    """The named constant (2*pi, sqrt(2) ...) a few units of rounding away, or the value itself."""
    for candidate in (value, math.nextafter(value, 0), math.nextafter(value, 2 * value)):
        if exact_form(candidate) is not None:
            return candidate
    return value


def with_units(node: Node) -> Node:
    """A sum in which coefficients within rounding of 1 and -1 are that."""
    return (SUM, tuple((term, snapped_to_one(c, 1)) for term, c in node[1]), snapped_to_one(node[2], 1))


def reciprocal(value: Number) -> Number | None:
    if type(value) is float:
        inverse = 1 / value if abs(value) > 1e-300 else math.inf
        return rounded(inverse) if math.isfinite(inverse) else None
    return tidy(1 / Fraction(value)) if value else None


def snapped_to_one(a: Number, b: Number) -> Number:
    """a / b, exactly +-1 if it is that up to rounding."""
    if b == 0:
        raise Undefined
    if type(a) is not float and type(b) is not float:
        return tidy(Fraction(a) / b)
    quotient = float(a) / float(b)
    if not math.isfinite(quotient) or (quotient == 0 and a != 0):
        raise Undefined
    for whole in (1, -1):
        if abs(quotient - whole) < 1e-15:
            return whole
    return rounded(quotient)
