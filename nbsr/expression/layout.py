"""How a physicist writes a formula: fractions, powers and roots, products without a sign, `- b` for `+ -1 b`.

The structure is decided here, once: what stands above and below a bar, which sign is drawn to the front, where
brackets are needed, and how far apart two factors stand. How that looks in LaTeX or MathML says a `Notation`.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from nbsr.expression.constants import Exact, Shape, exact_form
from nbsr.expression.infix import free_names
from nbsr.expression.vocabulary import CONST, WILDCARD, Vocabulary, fold
from nbsr.operators import ATOM, POWER, PRODUCT, SUM, Operator

# Greek letters by their names in LaTeX, and the other way round.
LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ",
    "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "upsilon": "υ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
    "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ", "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Upsilon": "Υ",
    "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
GREEK = {letter: name for name, letter in LETTERS.items()}
_SCALING = re.compile(r"(mult|div)([2-5])")
_ROOT = re.compile(r"pow1_([2-5])")
# Short decimals that read better as fractions.
_FRACTIONS = frozenset({0.25, 0.5, 0.75, 1.5})
# Exponents of more than so many characters are written on the line, as exp(...).
_LONG_EXPONENT = 20


class Edge(Enum):
    """What a piece begins or ends with, as far as its neighbour cares."""

    DIGIT = "the digits of a number"
    LETTER = "a letter"
    WORD = "a name of several letters"
    FRACTION = "a fraction of numbers, which would read as a mixed number after digits"
    LOOSE = "what keeps its distance by itself: the name of a function, a bracket, a fraction"
    OTHER = "anything else"


class Joint(Enum):
    """What stands between two factors."""

    NOTHING = "the factors touch: 2x"
    LOOSE = "typesetters leave a little room there by themselves: x sin(y)"
    SPACE = "a thin space: 0.5 mass"
    DOT = "a dot: 2 . 3, mass . speed"


def joint(left: Edge, right: Edge) -> Joint:
    """What has to stand between two factors, so that they do not run together."""
    if right is Edge.DIGIT or (left is Edge.DIGIT and right is Edge.FRACTION):
        return Joint.DOT
    if Edge.WORD in (left, right):
        other = right if left is Edge.WORD else left
        if other in (Edge.WORD, Edge.LETTER):
            return Joint.DOT
        return Joint.SPACE if other in (Edge.DIGIT, Edge.OTHER) else Joint.LOOSE
    loose = (Edge.LOOSE, Edge.FRACTION)
    return Joint.LOOSE if left in loose or right in loose else Joint.NOTHING


class Word(NamedTuple):
    """One part of a column's name; upright: letters that belong together, else a letter, a number, or both."""

    text: str
    upright: bool


class Name(NamedTuple):
    """A column's name as it is typeset."""

    head: Word
    subscripts: tuple[Word, ...] = ()


def name_parts(name: str) -> Name:
    """`x1` is x with the subscript 1, `log_price` has a subscript, `alpha` is the letter, all else is one word."""
    words = name.split("_")
    if all(words) and len(words) > 1:
        head, *subscripts = words
        return Name(_word(head, True), tuple(_word(word) for word in subscripts))
    match = re.fullmatch(r"([^\W\d_]+)([0-9]+)", name)
    if match and (len(match[1]) == 1 or match[1] in LETTERS):
        return Name(_word(match[1]), (Word(match[2], False),))
    return Name(_word(name))


def _word(word: str, has_subscript: bool = False) -> Word:
    letter = LETTERS.get(word) or unicodedata.normalize("NFKC", word)  # there are two kinds of mu
    if letter in GREEK:
        return Word(letter, False)
    single = word.isdigit() or (len(word) == 1 and word.isalpha())
    numbered = re.fullmatch(r"[^\W\d_][0-9]+", word) and not has_subscript
    return Word(word, not (single or numbered))


@runtime_checkable
class Notation(Protocol):
    """How the parts of a formula are written; texts in, text out."""

    def number(self, mantissa: str, exponent: int | None) -> str:
        """mantissa times 10 to the exponent; a mantissa of "" is left out."""
        ...

    def symbol(self, symbol: str) -> str:
        """One letter that is no column: pi, e, infinity, or "?"."""
        ...

    def name(self, name: Name) -> str: ...

    def row(self, texts: Sequence[str], joints: Sequence[Joint]) -> str:
        """Factors side by side; joints[i] stands between texts[i] and texts[i + 1]."""
        ...

    def sum(self, left: str, minus: bool, right: str) -> str: ...

    def negated(self, text: str) -> str: ...

    def fraction(self, above: str, below: str) -> str: ...

    def power(self, base: str, exponent: str) -> str: ...

    def root(self, inside: str, index: int) -> str: ...

    def brackets(self, inside: str) -> str: ...

    def bars(self, inside: str) -> str: ...

    def call(self, row: Operator, operands: Sequence[str], exponent: str = "") -> str:
        """A function of one or two operands; the exponent, if any, stands behind its name, as in sin^2(x)."""
        ...


@dataclass(frozen=True)
class Piece:
    """A piece of a formula, kept apart far enough that the pieces above can be written well.

    A product is the numbers and factors `above` a fraction bar and those `below` it; any other piece has its
    text in `text`.

    Attributes:
        negative: a minus stands before it.
        numbers, under: constants above and below the bar; they are written first.
        above, below: the other factors.
        text: of a piece that is no product.
        precedence: how tightly `text` binds.
        opens, closes: what `text` begins and ends with.
        length: how many characters a reader sees in `text`, about.
        is_number: whether it is one constant.
        plain: the digits of a number that is written with digits alone.
        aside: whether it is a number that is easier to read before a fraction bar than above it.
        called: the function and its operands, if a whole power may be written behind the function's name.
    """

    negative: bool = False
    numbers: tuple["Piece", ...] = ()
    under: tuple["Piece", ...] = ()
    above: tuple["Piece", ...] = ()
    below: tuple["Piece", ...] = ()
    text: str = ""
    precedence: int = ATOM
    opens: Edge = Edge.OTHER
    closes: Edge = Edge.OTHER
    length: int = 0
    is_number: bool = False
    plain: str = ""
    aside: bool = False
    called: tuple[Operator, tuple[str, ...]] | None = None

    @property
    def is_product(self) -> bool:
        return not self.text

    @property
    def binding(self) -> int:
        """How tightly the piece binds as it is written, sign included."""
        if self.negative:
            return SUM
        return PRODUCT if self.is_product else self.precedence


def _parts(piece: Piece) -> Piece:
    """The piece as a product."""
    if piece.is_product:
        return piece
    bare = replace(piece, negative=False)
    if piece.is_number:
        return Piece(piece.negative, numbers=() if piece.plain == "1" else (bare,))
    return Piece(piece.negative, above=(bare,))


def product(a: Piece, b: Piece) -> Piece:
    a, b = _parts(a), _parts(b)
    sign = a.negative ^ b.negative
    return Piece(sign, a.numbers + b.numbers, a.under + b.under, a.above + b.above, a.below + b.below)


def quotient(a: Piece, b: Piece) -> Piece:
    a, b = _parts(a), _parts(b)
    sign = a.negative ^ b.negative
    return Piece(sign, a.numbers + b.under, a.under + b.numbers, a.above + b.below, a.below + b.above)


class Writer:
    """Turns the nodes of one expression into pieces.

    Arguments:
        constants, vocabulary: of the expression.
        digits: significant digits of constants that have no name; None prints them in full.
        notation: how the pieces are written.
    """

    def __init__(
        self, constants: Sequence[float], vocabulary: Vocabulary, digits: int | None, notation: Notation
    ):
        self.constants = constants
        self.vocabulary = vocabulary
        self.digits = digits
        self.notation = notation
        self.taken = frozenset(vocabulary.variables) & {"pi", "e"}
        free = [i for i, value in enumerate(constants) if math.isnan(value)]
        self.free = dict(zip(free, free_names(vocabulary, len(free))))

    def whole(self, tokens: Sequence[int]) -> str:
        """The text of the expression."""
        return self.signed(fold(tokens, self.vocabulary.arities, self.leaf, self.node)).text

    # -- pieces as they are written

    def signed(self, piece: Piece) -> Piece:
        """The piece with its sign."""
        plain = self.unsigned(piece)
        if not piece.negative:
            return plain
        return Piece(
            text=self.notation.negated(plain.text),
            precedence=SUM,
            closes=plain.closes,
            length=plain.length + 1,
        )

    def unsigned(self, piece: Piece) -> Piece:
        """The piece without its sign, such that a minus may be put before it."""
        if not piece.is_product:
            bare = replace(piece, negative=False)
            return self.bracketed(bare) if piece.negative and piece.precedence == SUM else bare
        if not (piece.under or piece.below):
            return self.row((*piece.numbers, *piece.above))
        aside = tuple(n for n in piece.numbers if n.aside) if piece.above else ()
        above = self.row((*(n for n in piece.numbers if n not in aside), *piece.above))
        below = self.row((*piece.under, *piece.below))
        return self.row((*aside, self.fraction(above, below)))

    def row(self, factors: Sequence[Piece]) -> Piece:
        """Factors side by side; no factors are 1."""
        if not factors:
            return self.digit("1")
        if len(factors) == 1:
            return factors[0]
        pieces = [self.bracketed(factor) if factor.binding <= SUM else factor for factor in factors]
        joints = [joint(left.closes, right.opens) for left, right in zip(pieces, pieces[1:])]
        return Piece(
            text=self.notation.row([piece.text for piece in pieces], joints),
            precedence=PRODUCT,
            opens=pieces[0].opens,
            closes=pieces[-1].closes,
            length=sum(piece.length for piece in pieces) + sum(gap is Joint.DOT for gap in joints),
        )

    def bracketed(self, piece: Piece) -> Piece:
        return Piece(
            text=self.notation.brackets(piece.text),
            opens=Edge.LOOSE,
            closes=Edge.LOOSE,
            length=piece.length + 2,
        )

    def fraction(self, above: Piece, below: Piece) -> Piece:
        return Piece(
            text=self.notation.fraction(above.text, below.text),
            precedence=PRODUCT,
            opens=Edge.FRACTION if above.plain else Edge.LOOSE,
            closes=Edge.LOOSE,
            length=above.length + below.length,
        )

    # -- leaves

    def leaf(self, token: int, index: int) -> Piece:
        if token == WILDCARD:
            return Piece(text=self.notation.symbol("?"), length=1)
        if token != CONST:
            return self.column(self.vocabulary.name(token))
        if index in self.free:
            return self.column(self.free[index])
        value = self.constants[index]
        return replace(self.number(abs(value)), negative=math.copysign(1, value) < 0, is_number=True)

    def column(self, name: str) -> Piece:
        parts = name_parts(name)
        edge = Edge.WORD if parts.head.upright else Edge.LETTER
        length = len(parts.head.text) + sum(len(word.text) for word in parts.subscripts)
        return Piece(text=self.notation.name(parts), opens=edge, closes=edge, length=length)

    def digit(self, digits: str) -> Piece:
        return Piece(
            text=self.notation.number(digits, None),
            opens=Edge.DIGIT,
            closes=Edge.DIGIT,
            length=len(digits),
            is_number=True,
            plain=digits,
        )

    def number(self, size: float) -> Piece:
        """A number that is not negative; powers of ten as such."""
        exact = exact_form(size, self.taken)
        if exact is not None and (size in _FRACTIONS or size == int(size) or len(repr(size)) > 7):
            return self.exact(exact)
        if math.isinf(size):
            return Piece(text=self.notation.symbol("∞"), opens=Edge.LETTER, closes=Edge.LETTER, length=1)
        text = repr(size) if self.digits is None else f"{size:.{self.digits}g}"
        mantissa, _, exponent = text.partition("e")
        mantissa = mantissa.removesuffix(".0")
        if not exponent:
            return replace(self.digit(mantissa), aside="." in mantissa)
        mantissa = "" if mantissa == "1" else mantissa
        return Piece(
            text=self.notation.number(mantissa, int(exponent)),
            precedence=PRODUCT if mantissa else POWER,
            opens=Edge.DIGIT,
            length=len(mantissa) + len(exponent) + 3,
            aside=True,
        )

    def exact(self, exact: Exact) -> Piece:
        """A whole number or one with a name."""
        shape = exact.shape
        if isinstance(shape, str):
            return self.digit(shape) if shape.isdigit() else replace(self.shaped(shape), precedence=ATOM)
        return replace(self.shaped(shape), precedence=exact.precedence, aside=shape[0] == "fraction")

    def shaped(self, shape: Shape) -> Piece:
        if isinstance(shape, str):
            if shape.isdigit():
                return self.digit(shape)
            return Piece(text=self.notation.symbol(shape), opens=Edge.LETTER, closes=Edge.LETTER, length=1)
        kind, *inner = shape
        parts = [self.shaped(part) for part in inner]
        if kind == "fraction":
            return self.fraction(*parts)
        if kind == "root":
            return self.root(parts[0], 2)
        if kind == "power":
            return self.power(*parts)
        return self.sum(*parts, minus=False) if kind == "sum" else self.row(parts)

    # -- operators

    def node(self, token: int, operands: tuple[Piece, ...]) -> Piece:
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
            return quotient(Piece(), a)
        if match := _SCALING.fullmatch(row.name):
            factor = self.digit(match[2])
            return product(factor, a) if match[1] == "mult" else quotient(a, factor)
        if row.name == "pow":
            return self.power(a, self.signed(b))
        if row.name in ("pow2", "pow3", "pow4", "pow5"):
            return self.power(a, self.digit(row.name[3:]))
        if match := _ROOT.fullmatch(row.name):
            return self.root(self.signed(a), int(match[1]))
        if row.name == "abs":
            inside = self.signed(a)
            text = self.notation.bars(inside.text)
            return Piece(text=text, opens=Edge.LOOSE, closes=Edge.LOOSE, length=inside.length + 2)
        return self.call(row, [self.signed(operand) for operand in operands])

    def sum(self, a: Piece, b: Piece, minus: bool) -> Piece:
        # a sign that was pulled out of the right side turns the operator round; a sum behind a minus is bracketed
        minus ^= b.negative
        left, right = self.signed(a), self.unsigned(b)
        if minus and not b.negative and b.binding == SUM:
            right = self.bracketed(right)
        text = self.notation.sum(left.text, minus, right.text)
        return Piece(text=text, precedence=SUM, length=left.length + right.length + 1)

    def power(self, base: Piece, exponent: Piece) -> Piece:
        if base.called is not None and not base.negative and exponent.plain.isdigit():
            row, operands = base.called
            text = self.notation.call(row, operands, exponent.text)
            return replace(
                base, text=text, precedence=POWER, length=base.length + exponent.length, called=None
            )
        written = self.signed(base)
        if base.binding != ATOM:
            written = self.bracketed(written)
        return Piece(
            text=self.notation.power(written.text, exponent.text),
            precedence=POWER,
            opens=written.opens,
            closes=Edge.OTHER if written.closes is Edge.DIGIT else written.closes,
            length=written.length + exponent.length,
        )

    def root(self, inside: Piece, index: int) -> Piece:
        return Piece(text=self.notation.root(inside.text, index), length=inside.length + 1)

    def call(self, row: Operator, operands: Sequence[Piece]) -> Piece:
        if row.name == "exp" and operands[0].length <= _LONG_EXPONENT:
            e = Piece(text=self.notation.symbol("e"), opens=Edge.LETTER, closes=Edge.LETTER, length=1)
            return self.power(e, operands[0])
        texts = tuple(operand.text for operand in operands)
        own = row.definition is not None
        return Piece(
            text=self.notation.call(row, texts),
            precedence=POWER if row.name == "exp" else ATOM,
            # what stands before a letter's bracket is a factor like any other
            opens=Edge.LETTER if own or row.name == "sigmoid" else Edge.LOOSE,
            closes=Edge.LOOSE,
            length=len(row.name) + 2 + sum(operand.length for operand in operands),
            called=None if own or row.name in ("exp", "log") else (row, texts),
        )
