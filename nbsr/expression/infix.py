"""The text form: exact and readable at once, or rounded for the eye."""

import math
import re
from collections.abc import Sequence

from nbsr.expression.constants import decimal, exact_form
from nbsr.expression.parse import CONSTANT_NAMES, SHORTHANDS
from nbsr.expression.vocabulary import CONST, WILDCARD, Vocabulary, fold
from nbsr.operators import ALIASES, ATOM, OPERATORS, PRODUCT, UNARY

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
    taken = frozenset(vocabulary.variables) & {"pi", "e"}
    free = [i for i, value in enumerate(constants) if math.isnan(value)]
    names = dict(zip(free, free_names(vocabulary, len(free))))
    rows = vocabulary.rows

    def number(value: float) -> Piece:
        exact = exact_form(value, taken)
        short = decimal(value)
        if exact is not None and (value == int(value) or len(short) > 7):
            return exact.text, exact.precedence, True
        if digits is not None:
            short = f"{value:.{digits}g}".replace("e+", "e").replace("e0", "e").replace("e-0", "e-")
        return short, UNARY if short.startswith("-") else ATOM, True

    def leaf(token: int, index: int) -> tuple[Piece, float | None]:
        if token == CONST:
            if index in names:
                return (names[index], ATOM, False), None
            return number(constants[index]), constants[index]
        text = "?" if token == WILDCARD else quote(vocabulary.variables[token - vocabulary.first_variable])
        return (text, ATOM, False), None

    def node(token: int, operands: tuple[tuple[Piece, float | None], ...]) -> tuple[Piece, float | None]:
        row = rows[token - 2]
        pieces = [piece for piece, _ in operands]
        values = [value for _, value in operands]
        template, precedence = row.infix, row.precedence
        if digits is not None:
            if row.name in _PLAIN:
                template, precedence = _PLAIN[row.name]
            if row.name in "+-" and pieces[1][0].startswith("-") and pieces[1][1] >= PRODUCT:
                template = "{a:1} - {b:2}" if row.name == "+" else "{a:1} + {b:2}"
                pieces[1] = (pieces[1][0][1:], pieces[1][1], pieces[1][2])
        elif row.name in _COMPUTED and None not in values:
            texts = [decimal(value) for value in values if value is not None]
            pieces = [(text, UNARY if text[0] == "-" else ATOM, True) for text in texts]
            if row.name == "neg":
                return (f"-({pieces[0][0]})", UNARY, False), None
        elif row.name == "pow" and values[1] in _EXPONENTS:
            pieces[1] = (decimal(values[1]), ATOM, True)
        return (fill(template, pieces), precedence, False), None

    return fold(tokens, vocabulary.arities, leaf, node)[0][0]
