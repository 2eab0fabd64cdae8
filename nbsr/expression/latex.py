"""LaTeX as a physicist writes it: fractions, powers and roots, products without a sign, `- b` for `+ -1 b`."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nbsr.expression.constants import exact_form
from nbsr.expression.infix import free_names
from nbsr.expression.vocabulary import CONST, WILDCARD, Vocabulary, fold
from nbsr.operators import ATOM, POWER, PRODUCT, SUM, Operator

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()
_ESCAPES = {
    "\\": r"\backslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"{\wedge}", "~": r"{\sim}", "<": r"{\lt}", ">": r"{\gt}", "`": r"{\backprime}", "'": r"{\prime}",
}  # fmt: skip
_UNICODE_GREEK = {
    unicodedata.lookup(
        f"GREEK {'CAPITAL' if name[0].isupper() else 'SMALL'} LETTER {name.upper()}"
    ): f"\\{name}"
    for name in (*(n for n in _GREEK if n not in ("lambda", "Lambda")), "lamda", "Lamda")
}
_UNICODE_GREEK = {letter: tex.replace("amda", "ambda") for letter, tex in _UNICODE_GREEK.items()}
_UNICODE_GREEK["\N{MICRO SIGN}"] = r"\mu"
_PLACE = re.compile(r"#([12])")
_SCALING = re.compile(r"(mult|div)([2-5])")
# Short decimals that read better as fractions.
_FRACTIONS = frozenset({0.25, 0.5, 0.75, 1.5})
# Exponents with longer LaTeX than this are written on the line, as exp(...).
_LONG_EXPONENT = 60


def name_latex(name: str) -> str:
    r"""A column's name: `x1` is x_{1}, `log_price` has a subscript, `alpha` is \alpha, all else is escaped."""
    words = name.split("_")
    if all(words) and len(words) > 1:
        head, *subscripts = words
        return f"{_word(head, True)}_{{{','.join(_word(word) for word in subscripts)}}}"
    match = re.fullmatch(r"([^\W\d_]+)([0-9]+)", name)
    if match and (len(match[1]) == 1 or match[1] in _GREEK):
        return f"{_word(match[1])}_{{{match[2]}}}"
    return _word(name)


def _word(word: str, has_subscript: bool = False) -> str:
    if word in _GREEK:
        return f"\\{word}"
    if word in _UNICODE_GREEK:
        return _UNICODE_GREEK[word]
    if word.isdigit() or (len(word) == 1 and word.isalpha()):
        return word
    match = re.fullmatch(r"([^\W\d_])([0-9]+)", word)
    if match and not has_subscript:
        return f"{match[1]}{match[2]}"
    return rf"\mathrm{{{''.join(_ESCAPES.get(c, chr(92) + ' ' if c.isspace() else c) for c in word)}}}"


def number_latex(value: float, digits: int | None) -> str:
    """A number that is not negative, to so many significant digits; powers of ten as such."""
    if math.isinf(value):
        return r"\infty"
    text = repr(value) if digits is None else f"{value:.{digits}g}"
    mantissa, _, exponent = text.partition("e")
    mantissa = mantissa.removesuffix(".0")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \times {power}"


@dataclass(frozen=True)
class Tex:
    """A piece of a formula, kept apart far enough that the pieces above can be written well.

    A product is the numbers and factors `above` a fraction bar and those `below` it; any other piece has its
    text in `text`.

    Attributes:
        negative: a minus stands before it.
        numbers, under: constants above and below the bar; they are written first.
        above, below: the other factors.
        text: of a piece that is no product.
        precedence: how tightly `text` binds.
        is_number: whether it is one constant.
        head: the leading part of `text` that takes a power, as in sin^2(x).
    """

    negative: bool = False
    numbers: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    above: tuple["Tex", ...] = ()
    below: tuple["Tex", ...] = ()
    text: str = ""
    precedence: int = ATOM
    is_number: bool = False
    head: str = ""

    @property
    def is_product(self) -> bool:
        return not self.text

    @property
    def binding(self) -> int:
        """How tightly the piece binds as it is written, sign included."""
        if self.negative:
            return SUM
        return PRODUCT if self.is_product else self.precedence


def bracket(text: str) -> str:
    return rf"\left({text}\right)"


def written(piece: Tex) -> str:
    """The piece with its sign."""
    return ("-" if piece.negative else "") + unsigned(piece)


def unsigned(piece: Tex) -> str:
    """The piece without its sign, such that a minus may be put before it."""
    if not piece.is_product:
        return bracket(piece.text) if piece.negative and piece.precedence == SUM else piece.text
    if not (piece.under or piece.below):
        return _row(piece.numbers, piece.above) or "1"
    # measured numbers and small fractions are easier to read before the bar than above it
    aside = [n for n in piece.numbers if "." in n or "10^" in n or "frac" in n] if piece.above else []
    above = _row([n for n in piece.numbers if n not in aside], piece.above) or "1"
    fraction = rf"\frac{{{above}}}{{{_row(piece.under, piece.below)}}}"
    return _row([*aside, fraction], ())


def _row(numbers: Sequence[str], factors: Sequence[Tex]) -> str:
    """Factors side by side, with a dot only where two numbers would run together."""
    alone = len(numbers) + len(factors) == 1
    texts = [
        *numbers,
        *(bracket(written(f)) if f.binding <= SUM and not alone else written(f) for f in factors),
    ]
    row = ""
    for text in texts:
        crowded = row and (text[0].isdigit() or (text.startswith(r"\frac{1}") and row[-1].isdigit()))
        row += (r" \cdot " if crowded else " " if row else "") + text
    return row


def _parts(piece: Tex) -> Tex:
    """The piece as a product."""
    if piece.is_product:
        return piece
    if piece.is_number:
        return Tex(piece.negative, numbers=() if piece.text == "1" else (piece.text,))
    return Tex(piece.negative, above=(replace(piece, negative=False),))


def product(a: Tex, b: Tex) -> Tex:
    a, b = _parts(a), _parts(b)
    sign = a.negative ^ b.negative
    return Tex(sign, a.numbers + b.numbers, a.under + b.under, a.above + b.above, a.below + b.below)


def quotient(a: Tex, b: Tex) -> Tex:
    a, b = _parts(a), _parts(b)
    sign = a.negative ^ b.negative
    return Tex(sign, a.numbers + b.under, a.under + b.numbers, a.above + b.below, a.below + b.above)


class Writer:
    """Turns the nodes of one expression into pieces."""

    def __init__(self, constants: Sequence[float], vocabulary: Vocabulary, digits: int | None):
        self.constants = constants
        self.vocabulary = vocabulary
        self.digits = digits
        self.taken = frozenset(vocabulary.variables) & {"pi", "e"}
        free = [i for i, value in enumerate(constants) if math.isnan(value)]
        self.free = {i: name_latex(name) for i, name in zip(free, free_names(vocabulary, len(free)))}

    def leaf(self, token: int, index: int) -> Tex:
        if token == WILDCARD:
            return Tex(text="?")
        if token != CONST:
            return Tex(text=name_latex(self.vocabulary.name(token)))
        if index in self.free:
            return Tex(text=self.free[index])
        value = self.constants[index]
        return replace(self.number(abs(value)), negative=math.copysign(1, value) < 0, is_number=True)

    def number(self, size: float) -> Tex:
        exact = exact_form(size, self.taken)
        if exact is not None and (size in _FRACTIONS or size == int(size) or len(repr(size)) > 7):
            return Tex(text=exact.latex, precedence=exact.precedence)
        text = number_latex(size, self.digits)
        return Tex(text=text, precedence=PRODUCT if r"\times" in text else POWER if "10^" in text else ATOM)

    def node(self, token: int, operands: tuple[Tex, ...]) -> Tex:
        row = self.vocabulary.operator(token)
        a, b = operands[0], operands[-1]
        if row.name in ("+", "-"):
            return self.sum(a, b, row.name == "-")
        if row.name == "*":
            return product(a, b)
        if row.name == "/":
            return quotient(a, b)
        if row.name == "neg":
            return replace(a, negative=not a.negative)
        if row.name == "inv":
            return quotient(Tex(), a)
        if match := _SCALING.fullmatch(row.name):
            factor = Tex(text=match[2], is_number=True)
            return product(factor, a) if match[1] == "mult" else quotient(a, factor)
        if row.name == "pow":
            return self.power(a, written(b))
        if row.name in ("pow2", "pow3", "pow4", "pow5"):
            return self.power(a, row.name[3:])
        return self.call(row, operands)

    def sum(self, a: Tex, b: Tex, minus: bool) -> Tex:
        # a sign that was pulled out of the right side turns the operator round; a sum behind a minus is bracketed
        minus ^= b.negative
        right = unsigned(b)
        if minus and not b.negative and b.binding == SUM:
            right = bracket(right)
        return Tex(text=f"{written(a)} {'-' if minus else '+'} {right}", precedence=SUM)

    def power(self, base: Tex, exponent: str) -> Tex:
        if base.head and not base.negative and exponent.isdigit():
            return Tex(text=f"{base.head}^{{{exponent}}}{base.text[len(base.head) :]}", precedence=POWER)
        text = written(base) if base.binding == ATOM else bracket(written(base))
        return Tex(text=f"{text}^{{{exponent}}}", precedence=POWER)

    def call(self, row: Operator, operands: tuple[Tex, ...]) -> Tex:
        texts = [written(operand) for operand in operands]
        if row.name == "exp" and len(texts[0]) > _LONG_EXPONENT:
            return Tex(text=rf"\exp{bracket(texts[0])}")
        text = _PLACE.sub(lambda match: texts[int(match[1]) - 1], row.latex)
        head, left, _ = row.latex.partition(r"\left(#1")
        takes_power = bool(left) and row.definition is None and head != r"\ln"
        return Tex(
            text=text, precedence=POWER if row.name == "exp" else ATOM, head=head if takes_power else ""
        )


def latex(
    tokens: Sequence[int], constants: Sequence[float], vocabulary: Vocabulary, digits: int | None = 4
) -> str:
    """LaTeX of a prefix expression, for math mode; None for `digits` prints constants in full."""
    writer = Writer(constants, vocabulary, digits)
    return written(fold(tokens, vocabulary.arities, writer.leaf, writer.node))
