"""Laws in the shapes in which people know them, at the price of a node or two.

`Writer` looks for the shortest text. A person knows a saturating curve as `V*x/(K + x)` and reads K off it, a logistic
one as `L/(1 + exp(-k*(x - m)))`, and would not print the shorter `10.7/(exp(-0.268*x) + 0.0044)`: its constants mean
something only after some arithmetic. `Hand` writes these shapes wherever the normal form of a law holds them:

    L/(1 + exp(-k*(x - m)))      a logistic curve, also of several columns, also under another power (Richards)
    V*x/(K + x)                  Michaelis-Menten, Langmuir, Monod, Balmer; x may be any part of the law
    V/(1 + (K/x)**n)             Hill; with x/K where it falls
    a/(b + x)                    a hyperbola
    A*exp(-k*x), A*exp(-B/x)     and no power of an odd number such as 0.1018**x
    A*(1 - exp(-k*x))            one amplitude, told once
    A*sin(w*x + p)               A > 0, and p within half a turn of 0

`expanded` multiplies a product of sums out, for polynomials.
"""

import math
from fractions import Fraction

from nbsr.expression import Vocabulary
from nbsr.simplify.emit import Items, Writer, as_float, plain, rounded, says, snapped_to_one
from nbsr.simplify.nodes import (
    FUNCTION,
    NUMBER,
    PRODUCT,
    SUM,
    VARIABLE,
    Node,
    Number,
    Undefined,
    factors_of,
    split,
    times,
)
from nbsr.simplify.normal import Algebra

__all__ = ["Hand", "expanded"]

_WRITTEN = 5  # a kind of node: (_WRITTEN, items), a part that is written already
_HALF_TURN = {"sin": math.pi, "cos": math.pi, "tan": math.pi / 2}
_WAVES = ("sin", "cos")
# a wave with so many quarters of a turn in its phase, without them, and its sign
_QUARTERS = {
    "sin": (("sin", 1), ("cos", 1), ("sin", -1), ("cos", -1)),
    "cos": (("cos", 1), ("sin", -1), ("cos", -1), ("sin", 1)),
}
_MOST_TERMS = 12  # of a product that is multiplied out


class Hand(Writer):
    """Writes nodes of a normal form in known shapes.

    Arguments:
        algebra, vocabulary, operators: as of `Writer`.
        nonzero: ids of columns that are 0 on no row, by which a number may be divided.
    """

    def __init__(self, algebra: Algebra, vocabulary: Vocabulary, operators=None, nonzero=()):
        super().__init__(algebra, vocabulary, operators=operators)
        self.nonzero = frozenset(nonzero)

    def write(self, node: Node) -> Items:
        if node[0] == _WRITTEN:
            return list(node[1])
        if node[0] == FUNCTION and node[1] in _WAVES and node[2][0][0] == SUM:
            negative, items = self.term(1, node, alone=True)
            return self._negative(items) if negative else items
        return super().write(node)

    # -- sums ------------------------------------------------------------------------------------------------

    def sum(self, node: Node) -> Items:
        """As `Writer`, but an amplitude that a constant shares with a term is told once: A*(1 - exp(-k*x))."""
        size = abs(node[2])
        if type(size) is float:
            sharing = [
                (term, c)
                for term, c in node[1]
                if type(c) is float and math.isclose(abs(c), size, rel_tol=1e-14)
            ]
            if sharing:
                sign = 1 if node[2] > 0 else -1
                inner = tuple((term, 1 if (c > 0) == (node[2] > 0) else -1) for term, c in sharing)
                whole = (PRODUCT, (((_WRITTEN, tuple(super().sum((SUM, inner, 1)))), 1),), 1)
                rest = tuple((term, c) for term, c in node[1] if (term, c) not in sharing)
                if not rest:
                    negative, items = self.term(sign * size, whole, alone=True)
                    return self._negative(items) if negative else items
                return super().sum((SUM, (*rest, (whole, sign * size)), 0))
        return super().sum(node)

    def constant_first(self, node: Node) -> Items:
        """A sum as it stands below a fraction line: K + x."""
        if not node[2] > 0:
            return self.sum(node)
        items: Items = [as_float(node[2])]
        for term, c in self._grouped(list(node[1])):
            negative, more = self.term(c, term)
            items = self.op("-" if negative else "+", items, more)
        return items

    # -- functions -------------------------------------------------------------------------------------------

    def function(self, node: Node) -> Items:
        name, arguments = node[1], node[2]
        if name == "exp":
            coefficient, _ = split(arguments[0])
            if arguments[0][0] != SUM and type(coefficient) is float:
                base = rounded(math.exp(coefficient)) if abs(coefficient) < 100 else 0.0
                if not (_named(base) and says(base, coefficient)):
                    return self.op("exp", self.write(arguments[0]))
        return super().function((FUNCTION, name, (_turned(name, arguments[0]), *arguments[1:])))

    # -- products --------------------------------------------------------------------------------------------

    def term(self, coefficient: Number, core: Node, alone: bool = False) -> tuple[bool, Items]:
        """As `Writer`, but a phase takes the sign of a wave, and quarters of a turn are none: -sin(x + 1) ->
        sin(x - 2.14), cos(x - pi/2) -> sin(x)."""
        factors = list(factors_of(core))
        for i, (base, exponent) in enumerate(factors):
            if exponent == 1 and base[0] == FUNCTION and base[1] in _WAVES and base[2][0][0] == SUM:
                sign, base = self._wave(base[1], _turned(base[1], base[2][0]), coefficient < 0)
                coefficient, factors[i] = sign * coefficient, ((_WRITTEN, tuple(self.function(base))), 1)
        return super().term(coefficient, _product(factors), alone)

    def _wave(self, name: str, argument: Node, negative: bool) -> tuple[int, Node]:
        """A wave by its sign and the rest; where it is `negative`, its phase may turn by half a turn."""
        phase = float(argument[2])
        quarters = round(phase / (math.pi / 2))
        if abs(phase - quarters * math.pi / 2) <= 1e-15:
            name, sign = _QUARTERS[name][quarters % 4]
            return sign, (FUNCTION, name, (self.algebra._sum(dict(argument[1]), 0),))
        if negative and type(argument[2]) is float and not plain(argument[2]):
            return -1, (FUNCTION, name, ((SUM, argument[1], phase - math.copysign(math.pi, phase)),))
        return 1, (FUNCTION, name, (argument,))

    def _place_in_sums(
        self, coefficient: Number, factors: list[tuple[Node, Number]]
    ) -> tuple[Number, list[tuple[Node, Number]]]:
        """A saturating sum below the fraction line gets its known shape, any other sum its shortest."""
        if "exp" in self.ids:
            factors = [self._spelled(base, exponent) for base, exponent in factors]
        for i, (base, exponent) in enumerate(factors):
            if base[0] != SUM or not base[2] or not (exponent < 0 or type(exponent) is float):
                continue
            if _whole(base) and type(coefficient) is not float and base[2] > 0:
                factors = self._replaced(factors, i, self.constant_first(base))
                continue
            shaped = self._exponential(base, exponent, factors, i) or self._saturating(
                base, exponent, factors, i
            )
            if shaped is not None:
                unit, factors = shaped
                power = self.algebra.number_power(unit, exponent)
                if not power:
                    raise Undefined
                coefficient = snapped_to_one(times(coefficient, power), 1)
        for i, (base, exponent) in enumerate(factors):
            if base[0] == SUM:
                coefficient, base = self._rescale(coefficient, base, exponent)
                factors[i] = (base, exponent)
        return coefficient, factors

    def _spelled(self, base: Node, exponent: Number) -> tuple[Node, Number]:
        """sigmoid(u) -> 1/(1 + exp(-u))."""
        if base[0] == FUNCTION and base[1] == "sigmoid":
            return (_WRITTEN, tuple(self._logistic((base[2][0], -1), 0.0))), -exponent
        return base, exponent

    def _numbers_cost(self, node: Node) -> float:
        """As `Writer`, but a person takes a whole number and a node more for a fraction: 3*x/(2*x + 1)."""
        fractions = sum(type(c) is Fraction for c in (node[2], *(c for _, c in node[1])))
        return super()._numbers_cost(node) + fractions

    def _root(self, value: Number, exponent: Number) -> Number | None:
        """As `Writer`, but a measured coefficient stays outside of a power: a*(x - b)**2."""
        root = super()._root(value, exponent)
        return None if exponent != 1 and type(root) is float and not plain(root) else root

    def _exponential(
        self, base: Node, exponent: Number, factors: list[tuple[Node, Number]], i: int
    ) -> tuple[Number, list[tuple[Node, Number]]] | None:
        """c0 + c*exp(u) -> c0*(1 + exp(u + ln(c/c0))), and what stands outside of it: its unit and the factors."""
        if len(base[1]) != 1:
            return None
        (core, c), c0 = base[1][0], base[2]
        if not (core[0] == FUNCTION and core[1] == "exp"):
            return None
        above = [k for k, (b, e) in enumerate(factors) if k != i and b == core and e == 1]
        u: tuple[Node, int] = (core[2][0], 1)
        if above and exponent == -1:  # exp(u)/(c0 + c*exp(u)) -> 1/(c + c0*exp(-u))
            factors = [f for k, f in enumerate(factors) if k != above[0]]
            i -= above[0] < i
            u, c, c0 = (core[2][0], -1), c0, c
        share = float(c) / float(c0)
        if not 0 < share < math.inf:
            return None
        return c0, self._replaced(factors, i, self._logistic(u, math.log(share)))

    def _logistic(self, u: tuple[Node, int], shift: float) -> Items:
        """1 + exp(+-u + shift), with the middle told: 1 + exp(-k*(x - m))."""
        argument = self.algebra.scale(*u)
        terms = self.algebra.add(((argument, 1), ((NUMBER, rounded(shift)), 1)))
        if terms[0] == SUM and len(terms[1]) == 1 and terms[2]:
            core, k = terms[1][0]
            middle = snapped_to_one(terms[2], k)
            inside = self.op("+" if middle > 0 else "-", self.write(core), [as_float(abs(middle))])
            if abs(k) != 1:
                inside = self.op("*", [as_float(k)], inside)
            elif k < 0:
                inside = (
                    self.op("-", [as_float(-middle)], self.write(core))
                    if middle < 0
                    else self._negative(inside)
                )
            return self.op("+", [1.0], self.op("exp", inside))
        return self.op("+", [1.0], self.op("exp", self.write(terms)))

    def _saturating(
        self, base: Node, exponent: Number, factors: list[tuple[Node, Number]], i: int
    ) -> tuple[Number, list[tuple[Node, Number]]] | None:
        """The sum scaled so that the part of it that also stands above, or its only column, has no coefficient."""
        powers = {_power(b, e): k for k, (b, e) in enumerate(factors) if k != i and e > 0}
        shared = next(((term, c) for term, c in base[1] if term in powers), None)
        if shared is not None and exponent == -1:
            term, unit = shared
            level = float(base[2]) / float(unit)
            (core, n), *more = factors_of(term)
            if len(base[1]) == 1 and n != 1 and not more and level > 0 and core[0] == VARIABLE:
                if core[1] in self.nonzero and core[1] in self.algebra.positive:
                    half = self._ratio(_root(level, float(n)), core)
                    factors = [f for k, f in enumerate(factors) if k != powers[term]]
                    i -= powers[term] < i
                    return unit, self._replaced(factors, i, self.op("+", [1.0], self._raised(half, n)))
        elif len(base[1]) == 1:
            term, unit = base[1][0]
            (core, n), *more = factors_of(term)
            level = float(base[2]) / float(unit)
            if (type(n) is float or n < 0 and n != -1) and not more and level > 0:  # 1 + (x/K)**n
                scale = rounded(_root(level, abs(float(n))))
                inside = (
                    self.op("/", self.write(core), [as_float(scale)])
                    if n > 0
                    else self._ratio(1 / scale, core)
                )
                return base[2], self._replaced(factors, i, self.op("+", [1.0], self._raised(inside, abs(n))))
            if n != 1 or more or type(exponent) is not int or core[0] != VARIABLE:
                return None
        else:
            return None
        scaled = self.algebra.scale(base, snapped_to_one(1, unit))
        terms = tuple((t, 1 if t == term else c) for t, c in scaled[1])
        return unit, self._replaced(factors, i, self.constant_first((SUM, terms, scaled[2])))

    def _replaced(
        self, factors: list[tuple[Node, Number]], i: int, items: Items
    ) -> list[tuple[Node, Number]]:
        return [((_WRITTEN, tuple(items)) if k == i else b, e) for k, (b, e) in enumerate(factors)]

    def _ratio(self, value: Number, core: Node) -> Items:
        return self.op("/", [as_float(rounded(value))], self.write(core))

    def _raised(self, items: Items, exponent: Number) -> Items:
        return self.power((_WRITTEN, tuple(items)), exponent)


def _root(level: float, power: float) -> float:
    """The number whose power is a positive level; raises Undefined where it is too small to be one."""
    root = level ** (1 / power)
    if not root:
        raise Undefined
    return root


def _power(base: Node, exponent: Number) -> Node:
    return base if exponent == 1 else (PRODUCT, ((base, exponent),), 1)


def _whole(node: Node) -> bool:
    """Are all numbers of a sum exact ones?"""
    return type(node[2]) is not float and all(type(c) is not float for _, c in node[1])


def _named(base: Number) -> bool:
    """Is this a number that people raise to a power, such as 2, 10 or 1/2?"""
    return type(base) is not float and base != 0 or plain(base) and 0 < base < 1e6 and len(repr(base)) <= 4


def _product(factors: list[tuple[Node, Number]]) -> Node:
    return factors[0][0] if len(factors) == 1 and factors[0][1] == 1 else (PRODUCT, tuple(factors), 1)


def _turned(name: str, argument: Node) -> Node:
    """The argument of a wave with its phase within half a turn of 0."""
    half = _HALF_TURN.get(name)
    if half is None or argument[0] != SUM or not argument[2]:
        return argument
    phase = float(argument[2])
    if abs(phase) <= half or (plain(argument[2]) and abs(phase) <= 2 * half):
        return argument
    turns = math.floor((phase + half) / (2 * half))
    return (SUM, argument[1], math.fsum((phase, -2 * half * turns)))


def expanded(node: Node, algebra: Algebra) -> Node:
    """Products of sums multiplied out, but not within functions; a product that would have many terms stays.

    The terms are not put together again: x**2 + x stays a sum.
    """
    if node[0] == SUM:
        parts = [(expanded(term, algebra), c) for term, c in node[1]]
        return algebra.add([*parts, ((NUMBER, node[2]), 1)])
    if node[0] != PRODUCT:
        return node
    whole: Node = (NUMBER, node[2])
    for base, exponent in node[1]:
        base = expanded(base, algebra)
        if base[0] == SUM and type(exponent) is int and 1 <= exponent <= 4:
            for _ in range(exponent):
                whole = _times(whole, base, algebra)
        else:
            whole = _times(whole, algebra.power(base, exponent), algebra)
    return whole


def _times(a: Node, b: Node, algebra: Algebra) -> Node:
    pairs = [(_terms(a)), (_terms(b))]
    if len(pairs[0]) * len(pairs[1]) > _MOST_TERMS:
        raise Undefined
    return algebra.add([(algebra.multiply((s, t)), 1) for s in pairs[0] for t in pairs[1]])


def _terms(node: Node) -> list[Node]:
    if node[0] != SUM:
        return [node]
    found: list[Node] = [(PRODUCT, factors_of(t), c) if c != 1 else t for t, c in node[1]]
    return [*found, (NUMBER, node[2])] if node[2] else found
