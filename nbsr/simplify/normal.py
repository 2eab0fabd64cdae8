"""The normal form: sums of terms with coefficients, products of powers with exponents.

Every step keeps the value wherever the expression was defined. It may extend the domain (x/x -> 1,
sqrt(x)**2 -> x, log(x) + log(y) -> log(x*y)), and never shrinks it.
"""

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

from nbsr.expression import CONST, Expression, Vocabulary
from nbsr.simplify.nodes import (
    FUNCTION,
    NUMBER,
    ONE,
    PRODUCT,
    SUM,
    VARIABLE,
    ZERO,
    Node,
    Number,
    Undefined,
    add_exponents,
    common_divisor,
    even_power,
    even_root,
    exact,
    factors_of,
    finite,
    plus,
    ratio,
    split,
    tidy,
    times,
    unscaled,
)

ODD = frozenset("sin tan asin atan sinh tanh asinh atanh erf sign".split())
EVEN = frozenset("cos cosh".split())
NOT_NEGATIVE = frozenset("abs exp cosh sigmoid acosh acos".split())
# outer(inner(a)) == a wherever the left side is defined
UNDONE_BY = {
    "sin": "asin", "cos": "acos", "tan": "atan", "sinh": "asinh", "cosh": "acosh", "tanh": "atanh",
    "asinh": "sinh", "atanh": "tanh",
}  # fmt: skip
# quotient of the first two == the third
TANGENTS = (("sin", "cos", "tan"), ("sinh", "cosh", "tanh"))
_MERGING = frozenset("exp abs sin cos tan sinh cosh tanh".split())

VALUE: dict[str, Callable[..., Any]] = {
    "abs": abs, "sin": math.sin, "cos": math.cos, "tan": math.tan, "asin": math.asin, "acos": math.acos,
    "atan": math.atan, "sinh": math.sinh, "cosh": math.cosh, "tanh": math.tanh, "asinh": math.asinh,
    "acosh": math.acosh, "atanh": math.atanh, "exp": math.exp, "log": math.log, "erf": math.erf,
    "max": max, "min": min,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a > -700 else 0.0,
    "sign": lambda a: (a > 0) - (a < 0),
}  # fmt: skip


class Algebra:
    """The rules. `abstract`: constants stand for any value. `positive`: ids of variables known to be > 0."""

    def __init__(self, abstract: bool = False, positive: Iterable[int] = ()):
        self.abstract = abstract
        self.positive = frozenset(positive)
        self._generic = 0

    # -- from expressions ------------------------------------------------------------------------------------

    def build(self, expression: Expression) -> Node:
        """The normal form of an expression. Raises Undefined where a constant part has no value."""
        table = _rules(expression.vocabulary)
        stack: list[Node] = []
        constant = len(expression.constants)
        for token in reversed(expression.tokens):
            rule = table[token]
            if rule is None:
                if token == CONST:
                    constant -= 1
                    stack.append((NUMBER, self.constant(expression.constants[constant])))
                else:
                    stack.append((VARIABLE, token))
                continue
            arity, method, argument = rule
            a = stack.pop()
            b = stack.pop() if arity == 2 else None
            stack.append(getattr(self, method)(a, b, argument))
        (node,) = stack
        return self.close(node) if node[0] == SUM else node

    def constant(self, value: float) -> Number:
        if not self.abstract:
            return exact(float(value))
        generic = self.fresh()
        return -generic if value < 0 else generic

    def fresh(self) -> float:
        """A float that stands in no simple relation to any other constant."""
        self._generic += 1
        return 0.31 + (math.sin(self._generic) * 43758.5453) % 1.0 * 1.1

    # one method for each kind of token: (a, b or None, argument of the rule)
    def _plus(self, a: Node, b: Node, sign: int) -> Node:
        return self.add(((a, 1), (b, sign)))

    def _times(self, a: Node, b: Node, _: object) -> Node:
        return self.multiply((a, b))

    def _over(self, a: Node, b: Node, _: object) -> Node:
        return self.multiply((a, self.power(b, -1)))

    def _scaled(self, a: Node, _: None, factor: Number) -> Node:
        return self.scale(a, factor)

    def _powered(self, a: Node, _: None, exponent: Number) -> Node:
        return self.power(a, exponent)

    def _general_power(self, a: Node, b: Node, _: object) -> Node:
        if b[0] == NUMBER:
            exponent = b[1]
            if type(exponent) is Fraction and exponent.denominator % 2:
                exponent = float(exponent)  # a general power: no odd root
            return self.power(a, exponent)
        if a[0] == NUMBER and a[1] > 0:
            if a[1] == 1:
                return ONE
            log = self.fresh() if self.abstract and type(a[1]) is float else math.log(a[1])
            return self.function("exp", (self.scale(b, log),))
        if a[0] == FUNCTION and a[1] == "exp":
            return self.function("exp", (self.multiply((a[2][0], b)),))
        return (FUNCTION, "pow", (self.close(a), self.close(b)))

    def _called(self, a: Node, b: Node | None, name: str) -> Node:
        return self.function(name, (a,) if b is None else (a, b))

    # -- sums ------------------------------------------------------------------------------------------------

    def add(self, items: Iterable[tuple[Node, Number]]) -> Node:
        """The sum of coefficient * node, like terms collected."""
        terms: dict[Node, Number] = {}
        constant: Number = 0
        for node, factor in items:
            kind = node[0]
            if kind == SUM:
                for term, coefficient in node[1]:
                    terms[term] = plus(terms.get(term, 0), factor * coefficient)
                constant = plus(constant, factor * node[2])
            elif kind == NUMBER:
                constant = plus(constant, factor * node[1])
            else:
                coefficient, term = split(node)
                terms[term] = plus(terms.get(term, 0), factor * coefficient)
        return self._sum(terms, constant)

    def _sum(self, terms: dict[Node, Number], constant: Number) -> Node:
        kept = [(term, tidy(coefficient)) for term, coefficient in terms.items() if coefficient]
        if not kept:
            return (NUMBER, tidy(constant))
        if len(kept) == 1 and not constant:
            return self.scale(*kept[0])
        kept.sort()
        return (SUM, tuple(kept), tidy(constant))

    def scale(self, node: Node, factor: Number) -> Node:
        """factor * node; a factor of a sum is distributed over its terms."""
        if factor == 1:
            return node
        if not factor:
            return ZERO
        kind = node[0]
        if kind == NUMBER:
            return (NUMBER, times(factor, node[1]))
        if kind == SUM:
            terms = tuple((term, times(coefficient, factor)) for term, coefficient in node[1])
            return (SUM, terms, times(node[2], factor))
        if kind == PRODUCT:
            coefficient = times(node[2], factor)
            return unscaled(node) if coefficient == 1 else (PRODUCT, node[1], coefficient)
        return (PRODUCT, ((node, 1),), factor)

    def close(self, node: Node) -> Node:
        """A sum that is complete: logarithms joined, sin**2 + cos**2 -> 1, a factor common to all terms taken out.

        Done only when a sum becomes part of something else, since a factor taken out too early would hide
        terms that cancel later.
        """
        if node[0] != SUM:
            return node
        names = {base[1] for term, _ in node[1] for base, _ in factors_of(term) if base[0] == FUNCTION}
        if names:
            if "log" in names:
                node = self._join_logarithms(node)
            if node[0] == SUM and ("cos" in names or "sin" in names or "cosh" in names):
                node = self._pythagoras(node)
            if node[0] != SUM:
                return node
        return node if node[2] else self._common_factor(node)

    def _join_logarithms(self, node: Node) -> Node:
        """log(x) - log(y) -> log(x/y), 2*log(x) + log(y) -> log(x**2*y)."""
        groups: dict[object, list[tuple[Node, Number]]] = {}
        for term, coefficient in node[1]:
            if term[0] == FUNCTION and term[1] == "log":
                group = abs(coefficient) if type(coefficient) is float else "exact"
                groups.setdefault(group, []).append((term, coefficient))
        terms, joined = dict(node[1]), []
        for members in groups.values():
            if len(members) < 2:
                continue
            unit = abs(members[0][1])
            if type(unit) is not float:
                unit = tidy(common_divisor([Fraction(c) for _, c in members]))
            powers = [self.power(term[2][0], ratio(c, unit)) for term, c in members]
            for term, _ in members:
                del terms[term]
            joined.append((self.function("log", (self.multiply(powers),)), unit))
        if not joined:
            return node
        return self.add([*terms.items(), *joined, ((NUMBER, node[2]), 1)])

    def _pythagoras(self, node: Node) -> Node:
        """k*sin(a)**2 + k*cos(a)**2 -> k, k - k*sin(a)**2 -> k*cos(a)**2; the same for cosh**2 - sinh**2."""
        terms, constant = dict(node[1]), node[2]
        changed = False
        for term, coefficient in node[1]:
            if terms.get(term) != coefficient:
                continue
            for base, exponent in factors_of(term):
                if exponent != 2 or base[0] != FUNCTION or base[1] not in ("sin", "cos", "cosh", "sinh"):
                    continue
                other, sign = {
                    "sin": ("cos", 1),
                    "cos": ("sin", 1),
                    "cosh": ("sinh", -1),
                    "sinh": ("cosh", -1),
                }[base[1]]
                rest = tuple(f for f in factors_of(term) if f[0] != base)
                cofactor = self.multiply([self.power(b, e) for b, e in rest]) if rest else ONE
                partner = self.multiply((cofactor, self.power((FUNCTION, other, base[2]), 2)))
                whole = coefficient if base[1] != "sinh" else -coefficient
                if terms.get(partner) == sign * coefficient:
                    del terms[term], terms[partner]
                    if rest:
                        terms[cofactor] = plus(terms.get(cofactor, 0), whole)
                    else:
                        constant = plus(constant, whole)
                    changed = True
                    break
                # k - k*sin(a)**2; cosh**2 - 1 -> sinh**2, 1 + sinh**2 -> cosh**2
                present = terms.get(cofactor, 0) if rest else constant
                if present and present == -whole:
                    del terms[term]
                    if rest:
                        del terms[cofactor]
                    else:
                        constant = 0
                    terms[partner] = plus(terms.get(partner, 0), -sign * coefficient)
                    changed = True
                    break
        return self._sum(terms, constant) if changed else node

    def _common_factor(self, node: Node) -> Node:
        """x*y + x*z -> x*(y + z); not x**2 + x, which reads better as it is."""
        common = dict(factors_of(node[1][0][0]))
        for term, _ in node[1][1:]:
            here = dict(factors_of(term))
            for base in list(common):
                e, f = common[base], here.get(base)
                if f is None or (e != f and not (e > 0 and f > 0)):
                    del common[base]
                elif e != f:
                    if type(e) is not int or type(f) is not int:
                        del common[base]
                    else:
                        common[base] = min(e, f)
            if not common:
                return node
        rest = {}
        for term, coefficient in node[1]:
            left = [(base, tidy(e - common.get(base, 0))) for base, e in factors_of(term)]
            left = [(base, e) for base, e in left if e]
            if left:
                key = left[0][0] if len(left) == 1 and left[0][1] == 1 else (PRODUCT, tuple(left), 1)
                rest[key] = coefficient
            else:
                rest[ONE] = coefficient
        uneven = any(dict(factors_of(term))[base] != e for base, e in common.items() for term, _ in node[1])
        if ONE in rest and uneven:
            return node
        inner = self._sum({t: c for t, c in rest.items() if t != ONE}, rest.get(ONE, 0))
        return self.multiply([self.power(base, e) for base, e in common.items()] + [inner])

    # -- products --------------------------------------------------------------------------------------------

    def multiply(self, nodes: Iterable[Node]) -> Node:
        """The product, like bases collected."""
        coefficient: Number = 1
        powers: dict[Node, Number] = {}
        sums: list[Node] = []
        for node in nodes:
            kind = node[0]
            if kind == NUMBER:
                coefficient = times(coefficient, node[1])
            elif kind == PRODUCT:
                coefficient = times(coefficient, node[2])
                for base, exponent in node[1]:
                    powers[base] = add_exponents(powers.get(base, 0), exponent)
            elif kind == SUM:
                sums.append(node)
            else:
                powers[node] = add_exponents(powers.get(node, 0), 1)
        if not coefficient:
            return ZERO
        if not powers and len(sums) == 1:
            return self.scale(sums[0], coefficient)
        for node in sums:
            closed = self.close(node)
            content, core = (
                self.content(closed, type(coefficient) is float) if closed[0] == SUM else split(closed)
            )
            coefficient = times(coefficient, content)
            for base, exponent in factors_of(core):
                powers[base] = add_exponents(powers.get(base, 0), exponent)
        merged = self._merge(powers)
        parted = self._parted(merged) if len(merged) > 1 else None
        if parted is None:
            return self._product(merged, coefficient)
        return self.multiply([*parted, (NUMBER, coefficient)])

    def _parted(self, powers: dict[Node, Number]) -> list[Node] | None:
        """(x + y*z)/z -> x/z + y: a factor goes into the sum of which a term loses it by that; None where none does."""
        for base, exponent in powers.items():
            if base[0] != SUM or type(exponent) is not int or exponent < 1:
                continue
            for factor, power in powers.items():
                share = tidy(Fraction(power) / exponent) if type(power) is not float else 0
                if factor == base or not share:
                    continue
                if not any((factor, -share) in factors_of(term) for term, _ in base[1]):
                    continue
                inside = self.power(factor, share)
                terms = [(self.multiply((inside, term)), c) for term, c in base[1]]
                whole = self.add([*terms, (inside, base[2])])
                rest = [self.power(b, e) for b, e in powers.items() if b not in (base, factor)]
                return [*rest, self.power(whole, exponent)]
        return None

    def _product(self, powers: dict[Node, Number], coefficient: Number) -> Node:
        for base in [b for b in powers if b[0] == NUMBER]:  # left by a merge
            coefficient = times(coefficient, self.number_power(base[1], powers.pop(base)))
        factors = [(base, exponent) for base, exponent in powers.items() if exponent]
        if not factors:
            return (NUMBER, coefficient)
        if len(factors) == 1 and factors[0][1] == 1:
            return self.scale(factors[0][0], coefficient)
        factors.sort()
        return (PRODUCT, tuple(factors), coefficient)

    def _merge(self, powers: dict[Node, Number]) -> dict[Node, Number]:
        """Factors that are different bases and yet belong together: exponentials, roots, sine over cosine."""
        names: list[str] = []
        roots = 0
        for base, exponent in powers.items():
            if base[0] == FUNCTION and base[1] in _MERGING:
                names.append(base[1])
            elif type(exponent) is not int and even_root(exponent):
                roots += 1
        if names:
            if "abs" in names:
                self._merge_absolute(powers)
            if "exp" in names:
                self._merge_exponentials(powers)
            if len(names) > 1:
                self._merge_tangents(powers)
        if roots > 1:
            self._merge_roots(powers)
        return powers

    def _merge_absolute(self, powers: dict[Node, Number]) -> None:
        for base in [b for b in powers if b[0] == FUNCTION and b[1] == "abs"]:
            if even_power(powers[base]):
                exponent = powers.pop(base)
                self._insert(powers, self.power(base[2][0], exponent))

    def _merge_exponentials(self, powers: dict[Node, Number]) -> None:
        bases = [b for b in powers if b[0] == FUNCTION and b[1] == "exp"]
        if len(bases) == 1 and powers[bases[0]] == 1:
            return
        argument = self.add([(base[2][0], powers.pop(base)) for base in bases])
        self._insert(powers, self.function("exp", (argument,)))

    def _merge_tangents(self, powers: dict[Node, Number]) -> None:
        for sine, cosine, tangent in TANGENTS:
            for base in [b for b in powers if b[0] == FUNCTION and b[1] in (sine, tangent)]:
                exponent = powers.get(base)
                over = (FUNCTION, cosine, base[2])
                below = powers.get(over)
                if not exponent or below is None:
                    continue
                if base[1] == sine and below == -exponent:
                    del powers[base], powers[over]
                    self._insert(powers, self.power((FUNCTION, tangent, base[2]), exponent))
                elif base[1] == tangent and below == exponent:
                    del powers[base], powers[over]
                    self._insert(powers, self.power((FUNCTION, sine, base[2]), exponent))

    def _merge_roots(self, powers: dict[Node, Number]) -> None:
        """sqrt(x)*sqrt(y) -> sqrt(x*y), sqrt(x)/sqrt(y) -> sqrt(x/y).

        Not for what is >= 0 anyway: `power` takes that out of a root.
        """
        groups: dict[Number, list[Node]] = {}
        for base, exponent in powers.items():
            if type(exponent) is not int and even_root(exponent) and not self.not_negative(base):
                groups.setdefault(abs(exponent), []).append(base)
        for exponent, bases in groups.items():
            if len(bases) > 1:
                inner = self.multiply([self.power(b, 1 if powers.pop(b) > 0 else -1) for b in bases])
                self._insert(powers, self.power(inner, exponent))

    def _insert(self, powers: dict[Node, Number], node: Node) -> None:
        coefficient, core = split(node)
        if core[0] != NUMBER:
            for base, exponent in factors_of(core):
                powers[base] = add_exponents(powers.get(base, 0), exponent)
        if coefficient != 1:
            number = (NUMBER, coefficient)
            powers[number] = powers.get(number, 0) + 1

    def content(self, node: Node, free: bool = False) -> tuple[Number, Node]:
        """A sum as number * sum, the same for all multiples of it: 4*x + 2 -> 4 * (x + 1/2).

        The number is the size that most of its numbers share, else the first coefficient. With abstract
        constants, exact coefficients set the scale (x + C*y is not C*x + C*y), unless a free factor stands
        before the sum anyway.
        """
        sizes = [coefficient for _, coefficient in node[1]]
        if node[2]:
            sizes.append(node[2])
        if self.abstract:
            fixed = [size for size in sizes if type(size) is not float]
            if fixed and not (free and len(fixed) == 1):
                sizes = fixed
        unit = abs(sizes[0])
        if len(sizes) > 2:
            counts: dict[Number, int] = {}
            for size in sizes:
                counts[abs(size)] = counts.get(abs(size), 0) + 1
            unit = max(counts, key=counts.__getitem__)
        if node[1][0][1] < 0:
            unit = -unit
        if unit == 1:
            return 1, node
        terms = tuple((term, ratio(coefficient, unit)) for term, coefficient in node[1])
        return unit, (SUM, terms, ratio(node[2], unit))

    # -- powers ----------------------------------------------------------------------------------------------

    def power(self, node: Node, exponent: Number) -> Node:
        """node ** exponent. An exact exponent with an odd denominator is an odd root."""
        if type(exponent) is float and not self.abstract and (4 * exponent).is_integer():
            exponent = exact(exponent)
        if exponent == 1:
            return node
        if exponent == 0:
            return ONE
        kind = node[0]
        if kind == NUMBER:
            return (NUMBER, self.number_power(node[1], exponent))
        if kind == SUM:
            node = self.close(node)
            if node[0] != SUM:
                return self.power(node, exponent)
            unit, core = self.content(node)
            if unit < 0 and even_root(exponent):
                unit, core = -unit, self.scale(core, -1)
            return (PRODUCT, ((core, exponent),), self.number_power(unit, exponent))
        if kind == PRODUCT:
            return self._power_of_product(node, exponent)
        if kind == FUNCTION:
            if node[1] == "exp":
                return self.function("exp", (self.scale(node[2][0], exponent),))
            if node[1] == "abs" and even_power(exponent):
                return self.power(node[2][0], exponent)
        return (PRODUCT, ((node, exponent),), 1)

    def _power_of_product(self, node: Node, exponent: Number) -> Node:
        coefficient = node[2]
        if not even_root(exponent):
            powers = [self._power_of_power(base, e, exponent) for base, e in node[1]]
            return self.multiply([(NUMBER, self.number_power(coefficient, exponent)), *powers])
        outside: list[Node] = [(NUMBER, self.number_power(abs(coefficient), exponent))]
        inside: list[tuple[Node, Number]] = []
        for base, e in node[1]:
            if even_power(e) or even_root(e) or self.not_negative(base):
                outside.append(self._power_of_power(base, e, exponent))
            else:
                inside.append((base, e))
        if coefficient > 0 and len(inside) == 1:
            base, e = inside[0]
            outside.append(self._power_of_power(base, e, exponent))
        elif inside:
            if exponent < 0:
                exponent, inside = -exponent, [(base, -e) for base, e in inside]
            sign = 1 if coefficient > 0 else -1
            outside.append((PRODUCT, (((PRODUCT, tuple(inside), sign), exponent),), 1))
        elif coefficient < 0:
            raise Undefined
        return self.multiply(outside)

    def _power_of_power(self, base: Node, inner: Number, outer: Number) -> Node:
        """(base ** inner) ** outer, with abs() where an even power loses the sign: sqrt(x**2) -> abs(x)."""
        exponent = tidy(inner * outer)
        if type(outer) is int or not even_power(inner) or even_power(exponent) or self.not_negative(base):
            return self.power(base, exponent)
        return self.power(self.function("abs", (base,)), exponent)

    def number_power(self, value: Number, exponent: Number) -> Number:
        if exponent == 1:
            return value
        if self.abstract and type(value) is float:
            size = finite(abs(value) ** float(exponent))
            return -size if value < 0 and not even_power(exponent) else size
        try:
            if type(exponent) is int and type(value) is not float and abs(exponent) <= 64:
                if value == 0 and exponent < 0:
                    raise Undefined
                power = Fraction(value) ** exponent
                if abs(power.numerator) < 10**15 and power.denominator < 10**6:
                    return tidy(power)
            if value < 0 and even_root(exponent):
                raise Undefined
            size = abs(float(value)) ** float(exponent)
        except (OverflowError, ZeroDivisionError):
            raise Undefined from None
        power = finite(-size if value < 0 and not even_power(exponent) else size)
        return exact(float(power)) if type(value) is not float else power

    def not_negative(self, node: Node) -> bool:
        """Is the node >= 0 wherever it is defined?"""
        kind = node[0]
        if kind == VARIABLE:
            return node[1] in self.positive
        if kind == FUNCTION:
            return node[1] in NOT_NEGATIVE
        if kind == NUMBER:
            return node[1] >= 0
        if kind == PRODUCT:
            return node[2] > 0 and all(
                even_power(e) or even_root(e) or self.not_negative(base) for base, e in node[1]
            )
        return node[2] >= 0 and all(c > 0 and self.not_negative(term) for term, c in node[1])

    # -- functions -------------------------------------------------------------------------------------------

    def function(self, name: str, arguments: tuple[Node, ...]) -> Node:
        if all(a[0] == NUMBER for a in arguments):
            known = self._function_of_numbers(name, [a[1] for a in arguments])
            if known is not None:
                return known
        arguments = tuple(self.close(a) if a[0] == SUM else a for a in arguments)
        if len(arguments) == 2:
            return self._binary(name, *arguments)
        a = arguments[0]
        if a[0] == FUNCTION and UNDONE_BY.get(name) == a[1]:
            return a[2][0]
        rule = getattr(self, "_" + name, None) if name in ("exp", "log", "abs", "acosh") else None
        if rule is not None:
            return rule(a)
        if name in ODD or name in EVEN:
            if name == "sign":
                coefficient, core = split(a)
                return self.scale((FUNCTION, name, (core,)), 1 if coefficient > 0 else -1)
            if self.leading_sign(a) < 0:
                flipped = (FUNCTION, name, (self.scale(a, -1),))
                return flipped if name in EVEN else self.scale(flipped, -1)
        return (FUNCTION, name, (a,))

    def leading_sign(self, node: Node) -> int:
        """The sign of a product, or of the first term of a sum; a free constant has none."""
        if node[0] == PRODUCT:
            lead = node[2]
        elif node[0] == SUM:
            lead = node[1][0][1]
        else:
            return 1
        return -1 if lead < 0 and not (self.abstract and type(lead) is float) else 1

    def _function_of_numbers(self, name: str, values: list[Number]) -> Node | None:
        if self.abstract and any(type(v) is float for v in values):
            return (NUMBER, self.fresh())
        if name not in VALUE:
            return None
        try:
            value = VALUE[name](*values)
        except (ValueError, OverflowError):
            raise Undefined from None
        if type(value) is float:
            value = finite(value)
            if type(value) is float and value.is_integer():
                value = exact(value)
        return (NUMBER, value)

    def _binary(self, name: str, a: Node, b: Node) -> Node:
        if name in ("max", "min"):
            if a == b:
                return a
            return (FUNCTION, name, (a, b) if a <= b else (b, a))
        return (FUNCTION, name, (a, b))

    def _exp(self, a: Node) -> Node:
        """exp(a + log(b) + 2) -> exp(2) * b * exp(a)."""
        coefficient, core = split(a)
        terms, constant = (a[1], a[2]) if a[0] == SUM else (((core, coefficient),), 0)
        out: list[Node] = []
        kept: list[tuple[Node, Number]] = []
        for term, coefficient in terms:
            logs = [b for b, e in factors_of(term) if e == 1 and b[0] == FUNCTION and b[1] == "log"]
            if len(logs) == 1:
                rest = self._product({b: e for b, e in factors_of(term) if b != logs[0]}, coefficient)
                out.append(self._general_power(logs[0][2][0], rest, None))
            else:
                kept.append((term, coefficient))
        if constant and abs(constant) < 300:
            out.append((NUMBER, math.exp(constant)))
        elif constant:
            kept.append(((NUMBER, constant), 1))
        if not out:
            return (FUNCTION, "exp", (a,))
        if kept:
            out.append((FUNCTION, "exp", (self.close(self.add(kept)),)))
        return self.multiply(out)

    def _log(self, a: Node) -> Node:
        """log(2*x) -> log(x) + log(2), log(x*exp(y)) -> log(x) + y, log(x**3) -> 3*log(x)."""
        if a[0] == FUNCTION and a[1] == "exp":
            return a[2][0]
        if a[0] == SUM:
            unit, core = self.content(a)
            if unit < 0:
                unit, core = -unit, self.scale(core, -1)
            return self._log_of(unit, [(core, 1)], 1)
        if a[0] == PRODUCT:
            return self._log_of(abs(a[2]), a[1], 1 if a[2] > 0 else -1)
        return (FUNCTION, "log", (a,))

    def _log_of(self, size: Number, factors: Iterable[tuple[Node, Number]], sign: int) -> Node:
        items: list[tuple[Node, Number]] = []
        kept = []
        for base, exponent in factors:
            if base[0] == FUNCTION and base[1] == "exp":
                items.append((base[2][0], exponent))
            else:
                kept.append((base, exponent))
        if size != 1:
            log = self.fresh() if self.abstract and type(size) is float else math.log(size)
            items.append(((NUMBER, log), 1))
        if len(kept) == 1 and sign == 1 and (not even_power(kept[0][1]) or self.not_negative(kept[0][0])):
            base, exponent = kept[0]
            inner = self.function("log", (base,)) if exponent != 1 else (FUNCTION, "log", (base,))
            items.append((inner, exponent))
        elif kept:
            turned = 1 if kept[0][1] > 0 else -1  # log(1/(x*y)) -> -log(x*y)
            inner = self._product({base: exponent * turned for base, exponent in kept}, sign)
            items.append(((FUNCTION, "log", (inner,)), turned))
        elif sign < 0:
            raise Undefined
        return self.add(items)

    def _abs(self, a: Node) -> Node:
        if self.not_negative(a):
            return a
        if a[0] == PRODUCT:
            parts: list[Node] = [(NUMBER, abs(a[2]))]
            for base, exponent in a[1]:
                plain = even_power(exponent) or even_root(exponent) or self.not_negative(base)
                parts.append(self.power(base if plain else self._abs(base), exponent))
            return self.multiply(parts)
        if a[0] == SUM:
            unit, core = self.content(a)
            return self.scale((FUNCTION, "abs", (core,)), abs(unit))
        return (FUNCTION, "abs", (a,))

    def _acosh(self, a: Node) -> Node:
        if a[0] == FUNCTION and a[1] == "cosh":
            return self._abs(a[2][0])
        return (FUNCTION, "acosh", (a,))


@lru_cache(maxsize=64)
def _rules(vocabulary: Vocabulary) -> list[tuple[int, str, object] | None]:
    """For each token id: (arity, method of Algebra, its argument), or None for a leaf."""
    named: dict[str, tuple[int, str, object]] = {
        "+": (2, "_plus", 1),
        "-": (2, "_plus", -1),
        "*": (2, "_times", None),
        "/": (2, "_over", None),
        "pow": (2, "_general_power", None),
        "neg": (1, "_scaled", -1),
        "inv": (1, "_powered", -1),
    }
    for k in range(2, 6):
        named[f"mult{k}"] = (1, "_scaled", k)
        named[f"div{k}"] = (1, "_scaled", Fraction(1, k))
        named[f"pow{k}"] = (1, "_powered", k)
        named[f"pow1_{k}"] = (1, "_powered", Fraction(1, k))
    rules: list[tuple[int, str, object] | None] = []
    for token in range(vocabulary.size):
        arity = int(vocabulary.arity[token])
        if arity == 0:
            rules.append(None)
        else:
            name = vocabulary.name(token)
            rules.append(named.get(name, (arity, "_called", name)))
    return rules
