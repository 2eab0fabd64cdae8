"""From what a person types to tokens.

A shunting yard with a stack of its own instead of recursion, so that no input is too deep for it.
"""

import math
import re
import unicodedata
from dataclasses import dataclass

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression.vocabulary import CONST, WILDCARD, Vocabulary
from nbsr.operators import ALIASES, POWER, PRODUCT, SUM, UNARY, resolve

MOST_CHARACTERS = 50_000
MOST_NESTING = 2_000

CONSTANT_NAMES = {"pi": math.pi, "e": math.e, "π": math.pi}
_FREE_CONSTANT = re.compile(r"c[0-9]{1,4}")

_SUPERSCRIPTS = {
    "⁰": "0",
    "¹": "1",
    "²": "2",
    "³": "3",
    "⁴": "4",
    "⁵": "5",
    "⁶": "6",
    "⁷": "7",
    "⁸": "8",
    "⁹": "9",
}
_SYMBOLS = {
    "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "^": "**",
    "+": "+", "-": "-", "*": "*", "/": "/", "(": "(", ")": ")", ",": ",", "?": "?", "√": "√",
}  # fmt: skip
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORD = re.compile(r"[^\W\d]\w*")
_WHOLE_POWERS = {2.0: "pow2", 3.0: "pow3", 4.0: "pow4", 5.0: "pow5"}
_ROOT_POWERS = {1 / 2: "pow1_2", 1 / 3: "pow1_3", 1 / 4: "pow1_4", 1 / 5: "pow1_5"}
_BINDING = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "**": POWER}

# What people type that is more than one operator, in the parser's own notation.
SHORTHANDS = {
    "log10": "log(a)/2.302585092994046",
    "log2": "log(a)/0.6931471805599453",
    "log1p": "log(1.0 + a)",
    "expm1": "exp(a) - 1.0",
    "cot": "inv(tan(a))",
    "sec": "inv(cos(a))",
    "csc": "inv(sin(a))",
    "hypot": "sqrt(a**2 + b**2)",
}


@dataclass(frozen=True)
class Lexeme:
    kind: str  # "number", "word", "quoted", "end", or the symbol itself
    text: str
    start: int


@dataclass(frozen=True)
class Node:
    """A piece of the expression read so far.

    `exact` is the value of a piece made of exact numbers only; `literal` says that the piece is one decimal
    number as it was typed, with nothing round it, so that a minus before it belongs to the number.
    """

    tokens: tuple[int, ...]
    constants: tuple[float, ...]
    exact: float | None = None
    literal: bool = False


@dataclass
class Frame:
    """A pending operator, or an open parenthesis with the function before it."""

    kind: str  # "binary", "unary", "root", "open"
    name: str
    start: int
    binding: int = 0
    arguments: int = 0


def lex(text: str, columns: dict[str, int]) -> list[Lexeme]:
    """Split into lexemes; quoted names are unquoted, superscripts become `**` and a number."""
    lexemes: list[Lexeme] = []
    i, n = 0, len(text)
    while i < n:
        character = text[i]
        if character.isspace():
            i += 1
        elif text.startswith("**", i):
            lexemes.append(Lexeme("**", "**", i))
            i += 2
        elif character == "`":
            name, end = _quoted(text, i)
            lexemes.append(Lexeme("quoted", name, i))
            i = end
        elif (match := _NUMBER.match(text, i)) is not None:
            lexemes.append(Lexeme("number", match.group(), i))
            i = match.end()
        elif character in _SUPERSCRIPTS or character in "⁺⁻":
            i = _superscript(text, i, lexemes)
        elif (match := _WORD.match(text, i)) is not None:
            word = match.group()
            if word not in columns:
                word = re.split("[⁰¹²³⁴⁵⁶⁷⁸⁹]", word)[0]
            lexemes.append(Lexeme("word", word, i))
            i += len(word)
        elif character in _SYMBOLS:
            symbol = _SYMBOLS[character]
            lexemes.append(Lexeme(symbol, symbol, i))
            i += 1
        else:
            raise _unreadable(text, i)
    lexemes.append(Lexeme("end", "", n))
    return lexemes


def _quoted(text: str, start: int) -> tuple[str, int]:
    """The name between backticks (a backtick inside is doubled) and the place behind it."""
    i, name = start + 1, ""
    while True:
        end = text.find("`", i)
        if end < 0:
            raise UsageError("A backtick opens a column's name and none closes it.", text, start)
        name += text[i:end]
        if not text.startswith("``", end):
            return name, end + 1
        name, i = name + "`", end + 2


def _superscript(text: str, start: int, lexemes: list[Lexeme]) -> int:
    i, digits = start, ""
    sign = text[i] if text[i] in "⁺⁻" else ""
    i += len(sign)
    while i < len(text) and text[i] in _SUPERSCRIPTS:
        digits += _SUPERSCRIPTS[text[i]]
        i += 1
    if not digits:
        raise UsageError("A raised sign has no raised number behind it.", text, start)
    lexemes.append(Lexeme("**", "**", start))
    if sign == "⁻":
        lexemes.append(Lexeme("-", "-", start))
    lexemes.append(Lexeme("number", digits, start))
    return i


def _unreadable(text: str, i: int) -> UsageError:
    hints = {
        "=": "A formula here has no '='; write its right-hand side only.",
        "|": "For the absolute value write abs(x).",
        "[": "Use round parentheses.",
        "{": "Use round parentheses.",
        "]": "Use round parentheses.",
        "}": "Use round parentheses.",
        "%": "There is no operator for remainders.",
        "!": "There is no operator for factorials.",
        "~": "Write only the right-hand side of the formula here.",
        ".": "Quote column names with special characters by backticks: `a.b`.",
        "'": "Quote column names by backticks: `a b`.",
        '"': "Quote column names by backticks: `a b`.",
    }
    hint = hints.get(text[i], "Quote column names with special characters by backticks: `a b`.")
    return UsageError(f"The character {text[i]!r} means nothing here.", text, i, hint)


class Parser:
    """Reads one expression; `run` returns its tokens and constants."""

    def __init__(self, text: str, vocabulary: Vocabulary, free_constants: bool, pattern: bool):
        self.text = text
        self.vocabulary = vocabulary
        self.columns = vocabulary.variable_ids
        self.free_constants = free_constants
        self.pattern = pattern
        self.seen_free: set[str] = set()
        self.frames: list[Frame] = []
        self.nodes: list[Node] = []
        self.depth = 0

    def run(self) -> Node:
        if len(self.text) > MOST_CHARACTERS:
            raise UsageError(
                f"The expression has {len(self.text)} characters; at most {MOST_CHARACTERS} are read."
            )
        lexemes = lex(self.text, self.columns)
        if lexemes[0].kind == "end":
            raise UsageError("The expression is empty; write a formula such as 2*x + 1.", self.text, 0)
        i, after_operand = 0, False
        while True:
            lexeme = lexemes[i]
            if after_operand:
                if lexeme.kind == "end":
                    break
                after_operand = self.after(lexeme)
                i += 1
            else:
                used, after_operand = self.before(lexeme, lexemes[i + 1] if lexeme.kind != "end" else lexeme)
                i += used
        while self.frames:
            if self.frames[-1].kind == "open":
                raise self.error("This parenthesis is never closed.", self.frames[-1].start)
            self.reduce()
        return self.nodes[0]

    def error(self, message: str, start: int, hint: str = "") -> UsageError:
        return UsageError(message, self.text, start, hint)

    # -- where an operand is expected

    def before(self, lexeme: Lexeme, following: Lexeme) -> tuple[int, bool]:
        """Take what begins an operand; returns how many lexemes were used and whether an operand is complete."""
        kind = lexeme.kind
        if kind == "number":
            self.nodes.append(self.number(lexeme))
        elif kind == "word" and following.kind == "(" and self.is_function(lexeme):
            self.open(Frame("open", lexeme.text, lexeme.start))
            return 2, False
        elif kind in ("word", "quoted"):
            self.nodes.append(self.name(lexeme))
        elif kind == "?":
            if not self.pattern:
                raise self.error("'?' stands for any sub-expression, in patterns only.", lexeme.start)
            self.nodes.append(Node((WILDCARD,), ()))
        elif kind == "(":
            self.open(Frame("open", "", lexeme.start))
            return 1, False
        elif kind in ("-", "√"):
            unary = Frame("unary", "neg", lexeme.start, UNARY)
            self.open(unary if kind == "-" else Frame("root", "pow1_2", lexeme.start, POWER + 1))
            return 1, False
        elif kind == "+":
            return 1, False
        else:
            self.missing_operand(lexeme)
        return 1, True

    def open(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.depth += frame.kind != "binary"
        if self.depth > MOST_NESTING:
            raise self.error(f"The expression is nested more than {MOST_NESTING} deep here.", frame.start)

    def missing_operand(self, lexeme: Lexeme) -> None:
        if lexeme.kind == "end":
            raise self.error(
                "The expression ends where a number, a column or a function should follow.", lexeme.start
            )
        if lexeme.kind == ")" and self.frames and self.frames[-1].kind == "open":
            frame = self.frames[-1]
            inside = f"The function {frame.name}()" if frame.name else "The pair of parentheses"
            raise self.error(f"{inside} has nothing in it.", lexeme.start)
        raise self.error(
            f"'{lexeme.text}' stands where a number, a column or a function should stand.", lexeme.start
        )

    def number(self, lexeme: Lexeme) -> Node:
        value = float(lexeme.text)
        if math.isinf(value):
            raise self.error(
                f"The number {lexeme.text[:30]} is too large; at most 1.8e308 can be used.", lexeme.start
            )
        if value == 0 and re.search("[1-9]", re.split("[eE]", lexeme.text)[0]):
            raise self.error(
                f"The number {lexeme.text[:30]} is too small; it would be read as 0.", lexeme.start
            )
        whole = lexeme.text.isdigit()
        return Node((CONST,), (value,), value if whole else None, not whole)

    def name(self, lexeme: Lexeme) -> Node:
        word = lexeme.text
        token = self.columns.get(word)
        if token is None and lexeme.kind == "word":
            token = self.columns.get(self.same_letters(word))
        if token is not None:
            return Node((token,), ())
        if lexeme.kind == "quoted":
            close = did_you_mean(word, self.columns)
            raise self.error(f"There is no column '{word}'.{close}", lexeme.start, self.known())
        if word in CONSTANT_NAMES:
            value = CONSTANT_NAMES[word]
            return Node((CONST,), (value,), value)
        if _FREE_CONSTANT.fullmatch(word) and self.free_constants:
            if word in self.seen_free:
                raise self.error(
                    f"The free constant {word} is used twice; give every free constant a name of its own.",
                    lexeme.start,
                )
            self.seen_free.add(word)
            return Node((CONST,), (math.nan,))
        if self.is_function(lexeme):
            raise self.error(
                f"The function {word} needs its operand in parentheses: {word}(...).", lexeme.start
            )
        close = did_you_mean(word, [*self.columns, *self.vocabulary.operators, *ALIASES])
        raise self.error(f"There is no column or function '{word}'.{close}", lexeme.start, self.known())

    def same_letters(self, word: str) -> str:
        """The column that differs from `word` only by compatible characters, such as the two kinds of mu."""
        if word.isascii():
            return word
        plain = unicodedata.normalize("NFKC", word)
        same = [name for name in self.columns if unicodedata.normalize("NFKC", name) == plain]
        return same[0] if len(same) == 1 else word

    def known(self) -> str:
        names = list(self.columns)
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        return f"Columns are: {shown}." if names else "There are no columns."

    def is_function(self, lexeme: Lexeme) -> bool:
        word = lexeme.text
        return word in SHORTHANDS or resolve(word) in self.vocabulary.operator_ids

    # -- where an operator is expected

    def after(self, lexeme: Lexeme) -> bool:
        """Take what may follow an operand; returns whether an operand is complete after it."""
        kind = lexeme.kind
        if kind in _BINDING:
            binding = _BINDING[kind]
            while self.frames and self.frames[-1].kind != "open":
                top = self.frames[-1].binding
                if top < binding or (top == binding and kind == "**"):
                    break
                self.reduce()
            self.frames.append(Frame("binary", kind, lexeme.start, binding))
            return False
        if kind in (")", ","):
            while self.frames and self.frames[-1].kind != "open":
                self.reduce()
            if not self.frames:
                what = "closes nothing" if kind == ")" else "stands outside a function"
                raise self.error(f"This '{kind}' {what}.", lexeme.start)
            frame = self.frames[-1]
            frame.arguments += 1
            if kind == ",":
                if not frame.name:
                    raise self.error("A comma separates the operands of a function only.", lexeme.start)
                return False
            self.frames.pop()
            self.depth -= 1
            self.close(frame)
            return True
        raise self.unexpected(lexeme)

    def unexpected(self, lexeme: Lexeme) -> UsageError:
        shown = {"quoted": f"`{lexeme.text}`"}.get(lexeme.kind, lexeme.text)
        return self.error(
            f"An operator is missing before '{shown}'.", lexeme.start, "For a product write '*'."
        )

    def close(self, frame: Frame) -> None:
        """The operands of a function, or of plain parentheses, are complete."""
        if not frame.name:
            top = self.nodes.pop()
            self.nodes.append(Node(top.tokens, top.constants, top.exact))
            return
        operands = self.nodes[-frame.arguments :]
        del self.nodes[-frame.arguments :]
        if frame.name in SHORTHANDS:
            self.nodes.append(self.shorthand(frame, operands))
            return
        name = resolve(frame.name)
        assert name is not None
        arity = self.vocabulary.arities[self.vocabulary.operator_ids[name]]
        self.check_arity(frame, arity, len(operands))
        self.nodes.append(self.combine(name, operands, frame.start))

    def check_arity(self, frame: Frame, expected: int, came: int) -> None:
        if came != expected:
            noun = "operand" if expected == 1 else "operands"
            raise self.error(
                f"The function {frame.name} takes {expected} {noun}, but {came} came.", frame.start
            )

    def shorthand(self, frame: Frame, operands: list[Node]) -> Node:
        formula = SHORTHANDS[frame.name]
        letters = Vocabulary(("a", "b") if "b" in formula else ("a",), self.vocabulary.operators)
        self.check_arity(frame, len(letters.variables), len(operands))
        inner = Parser(formula, letters, False, False).run()
        tokens: list[int] = []
        constants: list[float] = []
        own = iter(inner.constants)
        for token in inner.tokens:
            if letters.is_variable(token):
                operand = operands[token - letters.first_variable]
                tokens.extend(operand.tokens)
                constants.extend(operand.constants)
            else:
                tokens.append(token)
                constants.extend([next(own)] if token == CONST else [])
        return Node(tuple(tokens), tuple(constants))

    def reduce(self) -> None:
        """Apply the pending operator on top to its operands."""
        frame = self.frames.pop()
        if frame.kind == "binary":
            right, left = self.nodes.pop(), self.nodes.pop()
            self.nodes.append(
                self.combine({"**": "pow"}.get(frame.name, frame.name), [left, right], frame.start)
            )
            return
        self.depth -= 1
        operand = self.nodes.pop()
        if frame.name == "neg" and operand.literal:
            self.nodes.append(Node((CONST,), (-operand.constants[0],)))
        else:
            self.nodes.append(self.combine(frame.name, [operand], frame.start))

    def combine(self, name: str, operands: list[Node], start: int) -> Node:
        """One operator on its operands, in the plainest tokens that say the same."""
        folded = exact_value(name, [operand.exact for operand in operands])
        if folded is not None:
            return Node((CONST,), (folded,), folded)
        if name == "pow" and operands[1].exact is not None:
            plain = _WHOLE_POWERS.get(operands[1].exact) or _ROOT_POWERS.get(operands[1].exact)
            if plain in self.vocabulary.operator_ids:
                name, operands = plain, operands[:1]
        token = self.vocabulary.operator_ids.get(name)
        if token is None:
            raise self.error(f"The operator {name} is not part of this vocabulary.", start)
        tokens = (token, *(t for operand in operands for t in operand.tokens))
        return Node(tokens, tuple(c for operand in operands for c in operand.constants))


def exact_value(name: str, operands: list[float | None]) -> float | None:
    """The value of an operator on exact numbers, or None where it is not one exact, finite number."""
    if None in operands:
        return None
    a, b = (*operands, 0.0)[:2]
    assert a is not None and b is not None
    try:
        if name == "pow":
            value = a**b
        else:
            value = {
                "+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b,
                "neg": lambda: -a, "pow1_2": lambda: math.sqrt(a),
            }[name]()  # fmt: skip
    except (KeyError, ZeroDivisionError, OverflowError, ValueError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


def parse(
    text: str, vocabulary: Vocabulary, free_constants: bool = False, pattern: bool = False
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Tokens and constants of an infix formula; see `Expression.parse`."""
    node = Parser(text, vocabulary, free_constants, pattern).run()
    return node.tokens, node.constants
