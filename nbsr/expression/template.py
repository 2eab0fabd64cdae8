"""A form with places for laws that are not known: `f(x1)*exp(-c*t) + g(x2)`.

The places stand in it like columns.  A law of this form is an ordinary law; what it has in each place is read off its
tokens, since the rest of them is the template's.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression.parse import CONSTANT_NAMES, SHORTHANDS
from nbsr.expression.tree import FREE, Expression
from nbsr.expression.vocabulary import CONST, Vocabulary, subtree_end
from nbsr.operators import resolve

_CALL = re.compile(r"([^\W\d]\w*)\s*\(")
_QUOTED = re.compile(r"`(?:[^`]|``)*`")
_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Template:
    """A form with places: `Template.parse(text, columns)`.

    Attributes:
        text: as typed.
        form: over the columns and the places; its free constants are NaN.
        places: name of each place -> the columns that the law there is of.
        constants: names of the free constants, in the form's order; "" for a number that was typed.
    """

    text: str
    form: Expression
    places: Mapping[str, tuple[str, ...]]
    constants: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, columns: Sequence[str]) -> "Template":
        """Read the right side of a formula against the names of the columns.

        Raises UsageError, with the place, where it cannot be read, holds no unknown, or names a column or an unknown
        twice.
        """
        places, plain = _places(text, columns)
        names = _constants(plain, columns, places)
        vocabulary = Vocabulary((*columns, *places, *names))
        try:
            form = Expression.parse(plain, vocabulary)
        except UsageError as slip:
            raise UsageError(slip.message, text=text, position=slip.position) from None
        told, values, tokens = [], [], []
        own = iter(form.constants)
        for token in form.tokens:
            name = vocabulary.name(token) if vocabulary.is_variable(token) else ""
            free = token == CONST or name in names
            if free and name in told:
                raise UsageError(
                    f"The constant {name} stands twice; give each of them a name of its own.",
                    text=text, position=text.rfind(name),
                )  # fmt: skip
            if free:
                told.append(name)
                values.append(FREE if name else next(own))
            tokens.append(CONST if free else token)
        smaller = Vocabulary((*columns, *places), vocabulary.operators)
        form = Expression(tuple(tokens), tuple(values), smaller)
        for name in places:
            count = sum(form.vocabulary.name(t) == name for t in form.tokens if t >= smaller.first_variable)
            if count != 1:
                raise UsageError(
                    f"The unknown {name} stands {count} times; write each of them once.", text=text,
                    position=text.rfind(name),
                )  # fmt: skip
        return cls(text, form, places, tuple(told))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of the table."""
        variables = self.form.vocabulary.variables
        return variables[: len(variables) - len(self.places)]

    @cached_property
    def fixed(self) -> tuple[bool, ...]:
        """Which of the form's constants are numbers that were typed."""
        return tuple(not math.isnan(value) for value in self.form.constants)

    @cached_property
    def _of(self) -> dict[int, tuple[str, frozenset[int]]]:
        """Of the token of each place its name, and the tokens of the columns that may not be there."""
        ids = self.form.vocabulary.variable_ids
        columns = frozenset(ids[name] for name in self.columns)
        return {
            ids[name]: (name, columns - {ids[column] for column in own}) for name, own in self.places.items()
        }

    def spans(self, tokens: Sequence[int]) -> dict[str, tuple[int, int]] | None:
        """Where a law over the columns, in tokens, holds each place; None where it is not of this form."""
        arities, found, at, size = self.form.vocabulary.arities, {}, 0, len(tokens)
        for token in self.form.tokens:
            if at >= size:
                return None
            if token in self._of:
                name, foreign = self._of[token]
                end = subtree_end(tokens, at, arities)
                if not foreign.isdisjoint(tokens[at:end]):
                    return None
                found[name] = (at, end)
                at = end
            elif tokens[at] == token:
                at += 1
            else:
                return None
        return found if at == size else None

    def parts(self, law: Expression) -> dict[str, Expression] | None:
        """What a law of this form holds in each place, and the constants by name; None where it is of another."""
        spans = self.spans(law.tokens)
        if spans is None:
            return None
        parts = {name: law.part(start) for name, (start, _) in spans.items()}
        own = self.own_constants(law.tokens)
        values = (law.constants[place] for place in own)
        told = {
            n: Expression.constant(v, law.vocabulary)
            for n, v in zip(self.constants, values, strict=True)
            if n
        }
        return {**parts, **told}

    def own_constants(self, tokens: Sequence[int]) -> list[int]:
        """The places, among the constants of a law of this form, of those that the template has itself."""
        spans = self.spans(tokens)
        assert spans is not None
        inside = [range(*span) for span in spans.values()]
        at = [i for i, token in enumerate(tokens) if token == CONST]
        return [place for place, i in enumerate(at) if not any(i in span for span in inside)]

    def composed(self, parts: Mapping[str, Expression], constants: Sequence[float]) -> Expression:
        """The law with these in its places, and these numbers for the template's own constants."""
        law = self.form.with_constants(constants).substitute(
            {name: parts[name].to(self.form.vocabulary) for name in self.places}
        )
        return law.to(Vocabulary(self.columns, self.form.vocabulary.operators))


def _looks_like(name: str, columns: Sequence[str]) -> bool:
    """Whether a name seems to be meant for a column: `tme` for time, or x3 where there are x1 and x2."""
    stem = name.rstrip("0123456789")
    numbered = name != stem and stem != "c"
    return bool(difflib.get_close_matches(name, columns, n=1, cutoff=0.66)) or any(
        numbered and column != stem and column.rstrip("0123456789") == stem for column in columns
    )


def _places(text: str, columns: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], str]:
    """The unknowns with their columns, and the text with each as a plain name, every character at its place."""
    places: dict[str, tuple[str, ...]] = {}
    used: dict[str, str] = {}
    plain = text
    covered = [match.span() for match in _QUOTED.finditer(text)]
    for call in _CALL.finditer(text):
        name, start = call.group(1), call.start()
        if any(a <= start < b for a, b in covered) or resolve(name) is not None or name in SHORTHANDS:
            continue
        if name in columns:
            raise UsageError(
                f"'{name}' is a column, so call the unknown law otherwise.", text=text, position=start
            )
        end = text.find(")", call.end())
        if end < 0:
            raise UsageError("This parenthesis is never closed.", text=text, position=call.end() - 1)
        if name in places:
            raise UsageError(
                f"The unknown {name} stands twice; give each of them a name of its own.",
                text=text,
                position=start,
            )
        places[name] = _arguments(text, call.end(), end, name, columns)
        for column in places[name]:
            if column in used:
                whose = "twice in it" if used[column] == name else f"in {used[column]} already"
                raise UsageError(
                    f"Each unknown has columns of its own, and '{column}' is {whose}.",
                    text=text,
                    position=start,
                )
            used[column] = name
        plain = plain[: start + len(name)] + " " * (end + 1 - start - len(name)) + plain[end + 1 :]
    if not places:
        raise UsageError(
            "The template holds no unknown law; write one as in f(x1)*exp(-c*t), or list the columns with +.",
            text=text, position=0,
        )  # fmt: skip
    return places, plain


def _arguments(text: str, start: int, end: int, name: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns between the parentheses of an unknown; one that stands twice is left in twice."""
    found, at = [], start
    for piece in text[start:end].split(","):
        column = piece.strip()
        column = column[1:-1] if len(column) > 1 and column[0] == column[-1] == "`" else column
        if column not in columns:
            near = did_you_mean(column, columns)
            came = f"'{column}' is none" if column else "there is none"
            raise UsageError(
                f"An unknown law is of columns, as in {name}(x1, x2), and {came}.{near}",
                text=text,
                position=at,
            )
        if column in found:
            raise UsageError(
                f"Each unknown has columns of its own, and '{column}' is twice in it.", text=text, position=at
            )
        found.append(column)
        at += len(piece) + 1
    return tuple(found)


def _constants(plain: str, columns: Sequence[str], places: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names that are constants to be fitted: c, c0, c1, ... and whatever looks like no column."""
    names: dict[str, None] = {}
    text = _QUOTED.sub(lambda quoted: " " * len(quoted.group()), plain)
    for match in _NAME.finditer(text):
        name = match.group()
        called = text[match.end() :].lstrip().startswith("(")
        number = match.start() > 0 and (text[match.start() - 1].isdigit() or text[match.start() - 1] == ".")
        if called or number or name in columns or name in places or name in CONSTANT_NAMES or resolve(name):
            continue
        if name != "c" and _looks_like(name, columns):
            raise UsageError(
                f"There is no column '{name}'.{did_you_mean(name, columns)} A constant is called c, c0, c1, ...",
                text=plain, position=match.start(),
            )  # fmt: skip
        names[name] = None
    return tuple(names)
