"""Queries of laws: `sin(_*x1)+_`, `complexity < 9 and "exp" not in law`, and both together.

    query := both ("or" both)*       both := negated ("and" negated)*       negated := "not" negated | one
    one := "(" query ")" | side ("<" | "<=" | ">" | ">=" | "==" | "=" | "!=" | ["not"] "in") side | pattern

A side is a number, a quoted text or one of `FIELDS`.  A pattern is a formula in which `_` or `?` stands for anything
and a number for any constant; it holds for laws that are so, or of which a part is so.  Nothing of a query is executed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression import Expression, Vocabulary
from nbsr.result.candidate import Candidate

__all__ = ["FIELDS", "SORTS", "condition", "query"]

Value: TypeAlias = float | str
Condition: TypeAlias = Callable[[Candidate], bool]

FIELDS: dict[str, Callable[[Candidate], Value]] = {
    "complexity": lambda law: law.complexity,
    "fvu": lambda law: law.fvu,
    "score": lambda law: law.score,
    "born": lambda law: law.elapsed,
    "source": lambda law: law.source,
    "law": lambda law: law.expression.infix(digits=4),
    "constants": lambda law: law.n_constants,
    "pinned": lambda law: float(law.pinned),
}
SORTS: dict[str, Callable[[Candidate], Value]] = {
    name: FIELDS[name] for name in ("fvu", "complexity", "score", "born", "source", "law")
}
LONGEST = 2_000  # characters of a query
DEEPEST = 50
_COMPARISON = re.compile(r"<=|>=|==|!=|<|>|=|\bnot\s+in\b|\bin\b")
_EXAMPLE = (
    'A query is a pattern such as sin(_*x1)+_ or a condition such as complexity < 9 and "exp" not in law.'
)


def query(text: str, laws: Sequence[Candidate], names: Sequence[str]) -> list[Candidate]:
    """The laws that a query holds for, in their order.

    text: the query; an empty one holds for all.
    laws: of one search.
    names: its columns.

    Raises UsageError, with the position, where the text is no query.
    """
    vocabulary = laws[0].expression.vocabulary if laws else Vocabulary(tuple(names))
    holds = condition(text, vocabulary)
    return [law for law in laws if holds(law)]


def condition(text: str, vocabulary: Vocabulary) -> Condition:
    """The query as a function of a law.  Raises UsageError where it is none."""
    if len(text) > LONGEST:
        raise UsageError(f"A query has {LONGEST:,} characters at most; this one has {len(text):,}.")
    if not text.strip():
        return lambda law: True
    return _Reader(text, vocabulary).read(0, len(text), 0)


class _Reader:
    """Takes a query apart; every slip is told with its place in the text."""

    def __init__(self, text: str, vocabulary: Vocabulary):
        self.text, self.vocabulary = text, vocabulary
        self.depths = self._depths()  # of each character; -1 within quotes

    def _depths(self) -> list[int]:
        depth, quote, opened, out = 0, "", [], []
        for place, character in enumerate(self.text):
            if quote:
                out.append(-1)
                quote = "" if character == quote else quote
                continue
            if character in "\"'`":
                quote = character
                opened_quote = place
                out.append(-1)
                continue
            if character == "(":
                opened.append(place)
                out.append(depth)
                depth += 1
            elif character == ")":
                if not depth:
                    raise self._slip("This parenthesis was never opened.", place)
                opened.pop()
                depth -= 1
                out.append(depth)
            else:
                out.append(depth)
        if quote:
            raise self._slip("This quote is never closed.", opened_quote)
        if opened:
            raise self._slip("This parenthesis is never closed.", opened[-1])
        return out

    def _slip(self, message: str, place: int) -> UsageError:
        return UsageError(message, self.text, place)

    def read(self, start: int, end: int, nested: int) -> Condition:
        """The condition in `text[start:end]`."""
        start, end = self._stripped(start, end)
        if nested > DEEPEST:
            raise self._slip("This query is nested too deeply.", start)
        if start == end:
            raise self._slip(f"Something is missing here. {_EXAMPLE}", start)
        for word, join in (("or", any), ("and", all)):
            pieces = list(self._split(start, end, word))
            if len(pieces) > 1:
                parts = [self.read(*piece, nested + 1) for piece in pieces]
                return lambda law, parts=parts, join=join: join(part(law) for part in parts)
        if negated := re.compile(r"not\b(?!\s+in\b)").match(self.text, start, end):
            inner = self.read(negated.end(), end, nested + 1)
            return lambda law: not inner(law)
        if self._is_group(start, end):
            return self.read(start + 1, end - 1, nested + 1)
        comparisons = [m for m in _COMPARISON.finditer(self.text, start, end) if self._at(m, start)]
        if comparisons:
            if len(comparisons) > 1:
                raise self._slip(
                    "Two comparisons in one; join them with `and` or `or`.", comparisons[1].start()
                )
            return self._compared(start, end, comparisons[0])
        return self._pattern(start, end)

    def _stripped(self, start: int, end: int) -> tuple[int, int]:
        while start < end and self.text[start].isspace():
            start += 1
        while start < end and self.text[end - 1].isspace():
            end -= 1
        return start, end

    def _at(self, match: re.Match[str], start: int) -> bool:
        """Whether something stands outside quotes and parentheses of its own."""
        return self.depths[match.start()] == self._level(start)

    def _level(self, start: int) -> int:
        """How many parentheses are open before a place."""
        before = [self.text[p] for p in range(start) if self.depths[p] >= 0]
        return before.count("(") - before.count(")")

    def _split(self, start: int, end: int, word: str) -> Iterator[tuple[int, int]]:
        first = start
        for match in re.compile(rf"\b{word}\b").finditer(self.text, start, end):
            if self._at(match, start):
                yield first, match.start()
                first = match.end()
        yield first, end

    def _is_group(self, start: int, end: int) -> bool:
        """Whether all of it stands in one pair of parentheses that holds conditions, not a formula."""
        if self.text[start] != "(" or self.text[end - 1] != ")" or self.depths[start] < 0:
            return False
        level = self.depths[start]
        closes = next(p for p in range(start + 1, end) if self.text[p] == ")" and self.depths[p] == level)
        return closes == end - 1

    def _compared(self, start: int, end: int, match: re.Match[str]) -> Condition:
        left, right = self._side(start, match.start()), self._side(match.end(), end)
        sign = re.sub(r"\s+", " ", match.group())
        if sign in ("in", "not in"):
            wanted = sign == "in"
            return lambda law: (str(left(law)) in str(right(law))) == wanted
        compare: Callable[[Value, Value], bool] = {
            "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
            "==": lambda a, b: a == b, "=": lambda a, b: a == b, "!=": lambda a, b: a != b,
        }[sign]  # fmt: skip

        def holds(law: Candidate) -> bool:
            one, other = left(law), right(law)
            if isinstance(one, str) != isinstance(other, str):
                return sign == "!="
            return compare(one, other)

        return holds

    def _side(self, start: int, end: int) -> Callable[[Candidate], Value]:
        start, end = self._stripped(start, end)
        word = self.text[start:end]
        if not word:
            raise self._slip(f"One side of this comparison is missing. {_EXAMPLE}", start)
        if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
            return lambda law: word[1:-1]
        if word in FIELDS:
            return FIELDS[word]
        try:
            number = float(word.replace("_", " "))
        except ValueError:
            near = did_you_mean(word, FIELDS) or f" There are {', '.join(FIELDS)}."
            raise self._slip(f"There is no column {word!r} of laws.{near}", start) from None
        return lambda law: number

    def _pattern(self, start: int, end: int) -> Condition:
        text = self.text[start:end]
        anything = re.compile(r"`[^`]*`|(?<!\w)_(?!\w)")
        shown = anything.sub(lambda match: "?" if match.group() == "_" else match.group(), text)
        try:
            pattern = Expression.parse(shown, self.vocabulary, pattern=True)
        except UsageError as slip:
            place = start + (slip.position or 0)
            raise self._slip(f"{slip.message.rstrip()} {_EXAMPLE}", place) from None
        return lambda law: law.expression.contains(pattern)
