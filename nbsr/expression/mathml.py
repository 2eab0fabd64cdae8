"""The MathML of an expression, which browsers typeset by themselves: no script, no fonts, no network.

MathML Core, well-formed as XML and as HTML, without named entities. Whatever a column is called, its name is text:
markup in it is escaped, and a dollar or a backslash stands in an element of its own, so that a page that typesets
what lies between dollars finds no pair of them in one text.
"""

import html
import re
from collections.abc import Sequence

from nbsr.expression.layout import LETTERS, Joint, Name, Word, Writer
from nbsr.expression.vocabulary import Vocabulary
from nbsr.operators import Operator

_TIMES, _APPLY = "<mo>&#x2062;</mo>", "<mo>&#x2061;</mo>"  # both invisible, for those who listen
_MINUS = "<mo>\N{MINUS SIGN}</mo>"
_THIN = '<mspace width="0.17em"/>'
_JOINTS = {
    Joint.NOTHING: _TIMES,
    Joint.LOOSE: _TIMES + _THIN,
    Joint.SPACE: _TIMES + _THIN,
    Joint.DOT: "<mo>\N{DOT OPERATOR}</mo>",
}
# Characters that XML cannot hold, and those that turn the direction of the text around them.
_UNFIT = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TYPESETTERS_SIGNS = re.compile(r"([$\\])")
_FUNCTION = re.compile(
    r"(?:\\(?:operatorname|mathrm|text)\{(?P<word>(?:[^{}\\]|\\_)+)\}|\\(?P<command>[A-Za-z]+)|(?P<letters>[A-Za-z]+))"
    r"(?:\\left)?\(#1(?:, #2)?(?:\\right)?\)"
)


def _group(*items: str) -> str:
    return f"<mrow>{''.join(items)}</mrow>"


def _identifier(text: str, upright: bool) -> str:
    """Letters as one identifier; upright also where there is only one of them."""
    text = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"\s", "\N{NO-BREAK SPACE}", text))
    pieces = [piece for piece in _TYPESETTERS_SIGNS.split(text) if piece]
    mark = ' mathvariant="normal"' if upright else ""
    marked = [f"<mi{mark}>{html.escape(piece)}</mi>" for piece in pieces]
    return marked[0] if len(marked) == 1 else _group(*marked)


def _word(word: Word) -> str:
    if word.text.isdigit():
        return f"<mn>{html.escape(word.text)}</mn>"
    return _identifier(word.text, word.upright)


def function_name(row: Operator) -> str:
    """What a function is called in a typeset formula: "arcsin", or one Greek letter; its own name where its LaTeX
    is not simply a name with brackets behind it."""
    match = _FUNCTION.fullmatch(row.latex)
    if match is None:
        return row.name
    if command := match["command"]:
        return LETTERS.get(command, command)
    return (match["word"] or match["letters"]).replace(r"\_", "_")


class MathML:
    """The notation of MathML; every text is one element."""

    def number(self, mantissa: str, exponent: int | None) -> str:
        if exponent is None:
            return f"<mn>{mantissa}</mn>"
        size = f"<mn>{abs(exponent)}</mn>"
        power = f"<msup><mn>10</mn>{self.negated(size) if exponent < 0 else size}</msup>"
        return (
            _group(f"<mn>{mantissa}</mn>", "<mo>\N{MULTIPLICATION SIGN}</mo>", power) if mantissa else power
        )

    def symbol(self, symbol: str) -> str:
        return f"<mi>{symbol}</mi>"

    def name(self, name: Name) -> str:
        head = _word(name.head)
        if not name.subscripts:
            return head
        below = "<mo>,</mo>".join(map(_word, name.subscripts))
        return f"<msub>{head}{below if len(name.subscripts) == 1 else _group(below)}</msub>"

    def row(self, texts: Sequence[str], joints: Sequence[Joint]) -> str:
        return _group(texts[0], *(_JOINTS[gap] + text for gap, text in zip(joints, texts[1:])))

    def sum(self, left: str, minus: bool, right: str) -> str:
        return _group(left, _MINUS if minus else "<mo>+</mo>", right)

    def negated(self, text: str) -> str:
        return _group(_MINUS, text)

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac>{above}{below}</mfrac>"

    def power(self, base: str, exponent: str) -> str:
        return f"<msup>{base}{exponent}</msup>"

    def root(self, inside: str, index: int) -> str:
        return f"<msqrt>{inside}</msqrt>" if index == 2 else f"<mroot>{inside}<mn>{index}</mn></mroot>"

    def brackets(self, inside: str) -> str:
        return _group("<mo>(</mo>", inside, "<mo>)</mo>")

    def bars(self, inside: str) -> str:
        bar = '<mo stretchy="true">|</mo>'
        return _group(bar, inside, bar)

    def call(self, row: Operator, operands: Sequence[str], exponent: str = "") -> str:
        name = function_name(row)
        head = _identifier(name, upright=len(name) > 1)
        if exponent:
            head = f"<msup>{head}{exponent}</msup>"
        return _group(head, _APPLY, self.brackets("<mo>,</mo>".join(operands)))


def mathml(
    tokens: Sequence[int], constants: Sequence[float], vocabulary: Vocabulary, digits: int | None = 4
) -> str:
    """MathML of a prefix expression, the inside of a <math> element; None for `digits` prints constants in full."""
    return Writer(constants, vocabulary, digits, MathML()).whole(tokens)
