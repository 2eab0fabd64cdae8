"""The LaTeX of an expression, for math mode."""

import re
from collections.abc import Sequence

from nbsr.expression.layout import GREEK, Joint, Name, Word, Writer
from nbsr.expression.vocabulary import Vocabulary
from nbsr.operators import Operator

_ESCAPES = {
    "\\": r"\backslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"{\wedge}", "~": r"{\sim}", "<": r"{\lt}", ">": r"{\gt}", "`": r"{\backprime}", "'": r"{\prime}",
}  # fmt: skip
_SYMBOLS = {"π": r"\pi", "∞": r"\infty"}
_PLACE = re.compile(r"#([12])")
# TeX itself leaves room round brackets, fractions and functions.
_JOINTS = {Joint.NOTHING: " ", Joint.LOOSE: " ", Joint.SPACE: r" \, ", Joint.DOT: r" \cdot "}


def _word(word: Word) -> str:
    if word.text in GREEK:
        return f"\\{GREEK[word.text]}"
    if not word.upright:
        return word.text
    escaped = (_ESCAPES.get(c, "\\ " if c.isspace() else c) for c in word.text)
    return rf"\mathrm{{{''.join(escaped)}}}"


class Latex:
    """The notation of LaTeX."""

    def number(self, mantissa: str, exponent: int | None) -> str:
        if exponent is None:
            return mantissa
        power = f"10^{{{exponent}}}"
        return rf"{mantissa} \times {power}" if mantissa else power

    def symbol(self, symbol: str) -> str:
        return _SYMBOLS.get(symbol, symbol)

    def name(self, name: Name) -> str:
        if not name.subscripts:
            return _word(name.head)
        return f"{_word(name.head)}_{{{','.join(map(_word, name.subscripts))}}}"

    def row(self, texts: Sequence[str], joints: Sequence[Joint]) -> str:
        return texts[0] + "".join(_JOINTS[gap] + text for gap, text in zip(joints, texts[1:]))

    def sum(self, left: str, minus: bool, right: str) -> str:
        return f"{left} {'-' if minus else '+'} {right}"

    def negated(self, text: str) -> str:
        return f"-{text}"

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}"

    def root(self, inside: str, index: int) -> str:
        return rf"\sqrt{'' if index == 2 else f'[{index}]'}{{{inside}}}"

    def brackets(self, inside: str) -> str:
        return rf"\left({inside}\right)"

    def bars(self, inside: str) -> str:
        return rf"\left|{inside}\right|"

    def call(self, row: Operator, operands: Sequence[str], exponent: str = "") -> str:
        template = r"\exp\left(#1\right)" if row.name == "exp" else row.latex
        if exponent:
            head, left, rest = template.partition(r"\left(")
            template = f"{head}^{{{exponent}}}{left}{rest}"
        return _PLACE.sub(lambda match: operands[int(match[1]) - 1], template)


def latex(
    tokens: Sequence[int], constants: Sequence[float], vocabulary: Vocabulary, digits: int | None = 4
) -> str:
    """LaTeX of a prefix expression, for math mode; None for `digits` prints constants in full."""
    return Writer(constants, vocabulary, digits, Latex()).whole(tokens)
