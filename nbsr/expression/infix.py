"""The text form: exact and readable at once, or rounded for the eye."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from nbsr.expression.constants import decimal, exact_form
from nbsr.expression.parse import CONSTANT_NAMES, SHORTHANDS
from nbsr.expression.vocabulary import CONST, WILDCARD, Vocabulary, fold
from nbsr.operators import ALIASES, ATOM, OPERATORS, PRODUCT, SUM, UNARY

Piece = tuple[str, int, bool]  # text, how tightly it binds, whether it is one constant

_PLACE = re.compile(r"\{([ab])(?::([0-9]))?\}")
_BARE_NAME = re.compile(r"[^\W\d⁰¹²³⁴⁵⁶⁷⁸⁹][^\W⁰¹²³⁴⁵⁶⁷⁸⁹]*")
# The parser computes these on exact numbers, so constants below them are printed as decimals.
_COMPUTED = frozenset({"+", "-", "*", "/", "neg", "pow", "pow2", "pow3", "pow4", "pow5"} | {
    "pow1_2", "pow1_3", "pow1_4", "pow1_5"
})  # fmt: skip
_EXPONENTS = frozenset({2.0, 3.0, 4.0, 5.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5})
# Rounded text is for reading: it need not tell these apart from the plain forms.
_PLAIN = {
    "inv": ("1/{a:3}", PRODUCT),
    **{f"mult{k}": (f"{k}*{{a:3}}", PRODUCT) for k in range(2, 6)},
    **{f"div{k}": (f"{{a:2}}/{k}", PRODUCT) for k in range(2, 6)},
}


def quote(name: str) -> str:
    """A column's name as text: as it is where that can be read back, else in backticks."""
    reserved = name in OPERATORS or name in ALIASES or name in CONSTANT_NAMES or name in SHORTHANDS
    if _BARE_NAME.fullmatch(name) and not reserved and name not in ("I", "E"):
        return name
    return "`" + name.replace("`", "``") + "`"


def free_names(vocabulary: Vocabulary, count: int) -> list[str]:
    """`count` names c0, c1, ... for free constants, leaving out those that are columns."""
    names: list[str] = []
    i = 0
    while len(names) < count:
        if f"c{i}" not in vocabulary.variable_ids:
            names.append(f"c{i}")
        i += 1
    return names


def fill(template: str, operands: Sequence[Piece]) -> str:
    """Put operands into an infix template, in parentheses where they bind too weakly or begin with a sign."""

    def place(match: re.Match) -> str:
        text, precedence, _ = operands["ab".index(match[1])]
        needed = int(match[2] or 0)
        signed = match.start() > 0 and needed and text.startswith("-")
        return f"({text})" if precedence < needed or signed else text

    return _PLACE.sub(place, template)


def infix(
    tokens: Sequence[int], constants: Sequence[float], vocabulary: Vocabulary, digits: int | None = None
) -> str:
    """The text of a prefix expression; exact when `digits` is None, else rounded to so many digits."""
    if digits is None:
        exact = _Exact(constants, vocabulary)
        return fold(tokens, vocabulary.arities, exact.leaf, exact.node)[0][0]
    plain = _Plain(constants, vocabulary, digits)
    return plain.signed(fold(tokens, vocabulary.arities, plain.leaf, plain.node))[0]


class _Text:
    """What both forms share: the leaves and the numbers."""

    def __init__(self, constants: Sequence[float], vocabulary: Vocabulary):
        self.constants = constants
        self.vocabulary = vocabulary
        self.taken = frozenset(vocabulary.variables) & {"pi", "e"}
        free = [i for i, value in enumerate(constants) if math.isnan(value)]
        self.free = dict(zip(free, free_names(vocabulary, len(free))))

    def name(self, token: int, index: int) -> str:
        """Of a column, of a free constant, or of anything."""
        if token == CONST:
            return self.free[index]
        return "?" if token == WILDCARD else quote(self.vocabulary.name(token))

    def number(self, value: float, digits: int | None) -> Piece:
        exact = exact_form(value, self.taken)
        short = decimal(value)
        if exact is not None and (value == int(value) or len(short) > 7):
            return exact.text, exact.precedence, True
        if digits is not None:
            short = f"{value:.{digits}g}".replace("e+", "e").replace("e0", "e").replace("e-0", "e-")
        return short, UNARY if short.startswith("-") else ATOM, True


class _Exact(_Text):
    """Text that is read back to the identical expression. A node is its piece, and its value if it is a constant."""

    def leaf(self, token: int, index: int) -> tuple[Piece, float | None]:
        if token == CONST and index not in self.free:
            return self.number(self.constants[index], None), self.constants[index]
        return (self.name(token, index), ATOM, False), None

    def node(
        self, token: int, operands: tuple[tuple[Piece, float | None], ...]
    ) -> tuple[Piece, float | None]:
        row = self.vocabulary.operator(token)
        pieces = [piece for piece, _ in operands]
        values = [value for _, value in operands]
        if row.name in _COMPUTED and None not in values:
            texts = [decimal(value) for value in values if value is not None]
            pieces = [(text, UNARY if text[0] == "-" else ATOM, True) for text in texts]
            if row.name == "neg":
                return (f"-({pieces[0][0]})", UNARY, False), None
        elif row.name == "pow" and values[1] in _EXPONENTS:
            pieces[1] = (decimal(values[1]), ATOM, True)
        return (fill(row.infix, pieces), row.precedence, False), None


class _Signed(NamedTuple):
    """A piece, its sign apart, so that signs meet before they are written; `one`: the number 1 exactly."""

    piece: Piece
    negative: bool = False
    one: bool = False


class _Plain(_Text):
    """Rounded text, as plain as it can be: no two signs in a row, no factor 1."""

    def __init__(self, constants: Sequence[float], vocabulary: Vocabulary, digits: int):
        super().__init__(constants, vocabulary)
        self.digits = digits

    def leaf(self, token: int, index: int) -> _Signed:
        if token != CONST or index in self.free:
            return _Signed((self.name(token, index), ATOM, False))
        value = self.constants[index]
        return _Signed(self.number(abs(value), self.digits), math.copysign(1, value) < 0, abs(value) == 1)

    def signed(self, signed: _Signed) -> Piece:
        """The piece with its sign."""
        text, precedence, is_constant = signed.piece
        if not signed.negative:
            return signed.piece
        if precedence == SUM:
            return f"-({text})", UNARY, False
        return f"-{text}", min(UNARY, precedence), is_constant

    def node(self, token: int, operands: tuple[_Signed, ...]) -> _Signed:
        row = self.vocabulary.operator(token)
        a, b = operands[0], operands[-1]
        if row.name == "neg":
            return a._replace(negative=not a.negative)
        if row.name in "+-":
            minus = (row.name == "-") ^ b.negative
            template = "{a:1} - {b:2}" if minus else "{a:1} + {b:2}"
            return _Signed((fill(template, [self.signed(a), b.piece]), SUM, False))
        if row.name in "*/":
            negative = a.negative ^ b.negative
            if b.one or (a.one and row.name == "*"):
                return (a if b.one else b)._replace(negative=negative)
            return _Signed((fill(row.infix, [a.piece, b.piece]), PRODUCT, False), negative)
        if row.name == "inv" and a.one:
            return a
        if row.name in _PLAIN:
            template, precedence = _PLAIN[row.name]
            return _Signed((fill(template, [a.piece]), precedence, False), a.negative)
        if row.name == "pow" and b.one and not b.negative:
            return a
        pieces = [self.signed(operand) for operand in operands]
        return _Signed((fill(row.infix, pieces), row.precedence, False))
