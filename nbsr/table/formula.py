"""`target ~ inputs | groups` or `target ~ template`: what is to be explained by what, and a target's transforms."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nbsr.errors import UsageError
from nbsr.operators import resolve
from nbsr.table.words import list_names, shown, spoken_type, suggestion


@dataclass(frozen=True)
class Transform:
    """A function of the target: the law is found for `apply(y)`, and `undo` leads back to y (real branch, y
    >= 0 for `square`). `domain` says where `apply` is defined."""

    apply: Callable[[np.ndarray], np.ndarray]
    undo: Callable[[np.ndarray], np.ndarray]
    domain: str


def _inverse(values: np.ndarray) -> np.ndarray:
    return np.divide(1.0, values, out=np.full(np.shape(values), np.nan), where=np.asarray(values) != 0)


TRANSFORMS: dict[str, Transform] = {
    "log": Transform(np.log, np.exp, "is above 0"),
    "log2": Transform(np.log2, np.exp2, "is above 0"),
    "log10": Transform(np.log10, lambda v: np.power(10.0, v), "is above 0"),
    "exp": Transform(np.exp, np.log, "is small enough for exp to be a finite number"),
    "sqrt": Transform(np.sqrt, np.square, "is not below 0"),
    "inv": Transform(_inverse, _inverse, "is not 0"),
    "square": Transform(np.square, np.sqrt, "is small enough for its square to be a finite number"),
}
_TRANSFORM_ALIASES = {"ln": "log", "sq": "square", "inverse": "inv", "pow2": "square", "pow1_2": "sqrt"}
_TRANSFORMS_SPOKEN = "log(y), log2(y), log10(y), exp(y), sqrt(y), square(y) or 1/y"


def transformed(y: np.ndarray, transform: str | None) -> np.ndarray:
    if transform is None:
        return y
    with np.errstate(all="ignore"):
        return np.asarray(TRANSFORMS[transform].apply(y), dtype=np.float64)


@dataclass(frozen=True)
class Formula:
    """`target ~ inputs | group`, read against the columns of a table."""

    text: str  # as typed
    target: str  # column to be explained
    transform: str | None  # key of TRANSFORMS, or None
    inputs: tuple[str, ...]  # columns that may explain it, in the order named
    by_dot: frozenset[str]  # those of the inputs that only `.` brought in
    group: str | None = None  # column whose values are the groups with constants of their own
    template: str | None = None  # the right side, where it is a form with unknown laws: "f(x1)*exp(-c*t)"

    @property
    def response(self) -> str:
        """The left side: `y` or `log(y)`."""
        return self.target if self.transform is None else f"{self.transform}({quoted(self.target)})"


@dataclass(frozen=True)
class _Token:
    kind: str  # "name", "quoted", "number", "mark", or "end"
    text: str
    position: int


def _starts_name(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isidentifier()


def _continues_name(character: str) -> bool:
    return character == "_" or character.isalnum() or ("_" + character).isidentifier()


def is_plain_name(name: str) -> bool:
    """Whether a column can be written in a formula without backticks."""
    return bool(name) and _starts_name(name[0]) and all(map(_continues_name, name))


def quoted(name: str) -> str:
    """The column's name as a formula wants it: in backticks unless it is plain."""
    return name if is_plain_name(name) else f"`{name}`"


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(text):
        start, character = position, text[position]
        if character.isspace():
            position += 1
            continue
        if character == "`":
            end = text.find("`", position + 1)
            if end < 0:
                raise UsageError("This backtick is never closed.", text=text, position=start)
            position = end + 1
            tokens.append(_Token("quoted", text[start + 1 : end], start))
            continue
        if _starts_name(character):
            kind = "name"
            while position < len(text) and (
                _continues_name(text[position])
                or (text[position] == "." and text[position + 1 : position + 2].strip() != ""
                    and _continues_name(text[position + 1]))
            ):  # fmt: skip
                position += 1
        elif character.isdecimal():
            kind = "number"
            while position < len(text) and (_continues_name(text[position]) or text[position] == "."):
                position += 1
        else:
            kind = "mark"
            position += 2 if text.startswith("**", position) else 1
        tokens.append(_Token(kind, text[start:position], start))
    return tokens


def parse_formula(text: Any, columns: Sequence[str], reserved: Iterable[str] = ()) -> Formula:
    """Read `target ~ a + b - c | group` against the names of the columns.

    `.` on the right stands for every other column except `reserved` ones (such as the column of weights),
    `-` takes a column away, names that are not plain stand in backticks, and the target may be wrapped in
    one of TRANSFORMS. With an unknown law, as in `f(a)*exp(-c*b)`, the right side is a template. Anything else
    raises UsageError with the position of the slip.
    """
    if not isinstance(text, str):
        raise UsageError(f"A formula is a text such as 'y ~ x1 + x2'; got {spoken_type(text)}.")
    known = dict.fromkeys(columns)
    tokens = _tokens(text)
    tildes = [i for i, token in enumerate(tokens) if token.text == "~" and token.kind == "mark"]
    if len(tildes) != 1:
        position = tokens[tildes[1]].position if tildes else None
        equals = next((t.position for t in tokens if t.kind == "mark" and t.text == "="), None)
        if not tildes and equals is not None:
            raise UsageError("Write ~ instead of =, as in 'y ~ x1 + x2'.", text=text, position=equals)
        raise UsageError(
            "A formula has one ~ between the target and the inputs, as in 'y ~ x1 + x2' or 'y ~ .'.",
            text=text,
            position=position,
        )
    end = _Token("end", "", len(text.rstrip()))
    left, right = tokens[: tildes[0]], tokens[tildes[0] + 1 :]
    tilde = tokens[tildes[0]]
    target, transform, position = _parse_target(left, tilde, text, known)
    if _has_unknown(right):
        inputs = _columns_of_template(right, target, text, known)
        return Formula(text, target, transform, inputs, frozenset(), None, text[tilde.position + 1 :].strip())
    bar = next((i for i, t in enumerate(right) if t.text == "|" and t.kind == "mark"), None)
    group = None if bar is None else _parse_group(right[bar:], target, text, known)
    kept = frozenset(reserved) if group is None else frozenset((*reserved, group))
    side = [*right, end] if bar is None else [*right[:bar], _Token("end", "", right[bar].position)]
    inputs, by_dot = _parse_inputs(side, target, kept, text, known)
    if group in inputs:
        raise UsageError(
            f"{shown(group)} is an input and the column of groups at once; name it on one side of the | only.",
            text=text,
            position=right[bar or 0].position,
        )
    return Formula(text, target, transform, inputs, by_dot, group)


def _has_unknown(tokens: Sequence[_Token]) -> bool:
    """Whether an unknown law stands there: a name before a parenthesis that no function has."""
    return any(
        name.kind == "name" and follower.text == "(" and resolve(name.text) is None
        for name, follower in pairwise(tokens)
    )


def _columns_of_template(
    tokens: Sequence[_Token], target: str, text: str, known: Mapping[str, None]
) -> tuple[str, ...]:
    """The columns that a template names, in its order; all else in it is read when the search begins."""
    named: dict[str, None] = {}
    for token, follower in zip(tokens, [*tokens[1:], _Token("end", "", len(text))], strict=True):
        if token.kind not in ("name", "quoted") or (token.kind == "name" and follower.text == "("):
            if token.text == "|":
                raise UsageError(
                    "A template knows no groups; leave out what stands after the |.",
                    text=text,
                    position=token.position,
                )
            continue
        if token.kind == "quoted" or token.text in known:
            name = _resolve(token, text, known)
            if name == target:
                raise UsageError(
                    f"{shown(name)} is the target, so it cannot explain itself; take it out of the template.",
                    text=text, position=token.position,
                )  # fmt: skip
            named[name] = None
    if not named:
        raise UsageError(
            f"The template names no column; they are {list_names(known)}.",
            text=text,
            position=tokens[0].position,
        )
    return tuple(named)


def _parse_group(tokens: list[_Token], target: str, text: str, known: Mapping[str, None]) -> str:
    """The column behind the bar, which is the first of the tokens."""
    bar, rest = tokens[0], tokens[1:]
    if not rest:
        raise UsageError(
            "The column of groups is missing after the |, as in 'y ~ x | subject'.",
            text=text,
            position=bar.position,
        )
    if len(rest) > 1 and all(token.kind in ("name", "quoted") for token in rest):
        _refuse_missing_quotes(rest, text, known)
    if len(rest) > 1 or rest[0].kind not in ("name", "quoted"):
        raise UsageError(
            "One column of groups stands after the |; make one column of several first.",
            text=text,
            position=rest[min(1, len(rest) - 1)].position,
        )
    name = _resolve(rest[0], text, known)
    if name == target:
        raise UsageError(
            f"{shown(name)} is the target, so it cannot also say the groups.",
            text=text,
            position=rest[0].position,
        )
    return name


def _resolve(token: _Token, text: str, known: Mapping[str, None]) -> str:
    for name in (token.text, " ".join(token.text.split())):
        if name in known:
            return name
    called = shown(token.text) if token.text else "with an empty name"
    listed = "" if len(known) > 8 else f" The columns are {list_names(known)}."
    hint = suggestion(token.text, known)
    message = f"There is no column {called}.{hint}{listed if not hint else ''}"
    raise UsageError(message, text=text, position=token.position)


def _parse_target(
    tokens: list[_Token], tilde: _Token, text: str, known: Mapping[str, None]
) -> tuple[str, str | None, int]:
    if not tokens:
        raise UsageError(
            "The column to be explained is missing before the ~.", text=text, position=tilde.position
        )
    kinds = [token.kind if token.kind != "quoted" else "name" for token in tokens]
    marks = [token.text if token.kind != "quoted" else "" for token in tokens]
    if kinds == ["name"]:
        return _resolve(tokens[0], text, known), None, tokens[0].position
    if kinds == ["name", "mark", "name", "mark"] and marks[1] == "(" and marks[3] == ")":
        transform = _TRANSFORM_ALIASES.get(marks[0], marks[0])
        if transform not in TRANSFORMS:
            hint = suggestion(tokens[0].text, [*TRANSFORMS, *_TRANSFORM_ALIASES])
            raise UsageError(
                f"The target cannot be transformed by {shown(tokens[0].text)}; it may be "
                f"{_TRANSFORMS_SPOKEN}.{hint}",
                text=text,
                position=tokens[0].position,
            )
        return _resolve(tokens[2], text, known), transform, tokens[2].position
    if kinds == ["number", "mark", "name"] and marks[:2] == ["1", "/"]:
        return _resolve(tokens[2], text, known), "inv", tokens[2].position
    if kinds == ["name", "mark", "number"] and marks[1] in ("**", "^") and marks[2] == "2":
        return _resolve(tokens[0], text, known), "square", tokens[0].position
    if all(kind == "name" for kind in kinds):
        _refuse_missing_quotes(tokens, text, known)
        raise UsageError(
            "One column stands before the ~; got two names.", text=text, position=tokens[1].position
        )
    raise UsageError(
        f"The target is one column or {_TRANSFORMS_SPOKEN}; compute anything else as a column of its own "
        f"first.",
        text=text,
        position=tokens[0].position,
    )


def _refuse_missing_quotes(tokens: Sequence[_Token], text: str, known: Mapping[str, None]) -> None:
    """`my price ~ x` when there is a column 'my price'."""
    words = " ".join(token.text for token in tokens)
    if words in known:
        raise UsageError(
            f"A name with spaces stands in backticks: `{words}`.", text=text, position=tokens[0].position
        )


_NOT_A_SUM = {
    "*": "nbsr finds interactions itself; list the variables with +.",
    "**": "nbsr finds powers itself; list the variables with +.",
    "^": "nbsr finds powers itself; list the variables with +.",
    ":": "nbsr finds interactions itself; list the variables with +.",
    "/": "nbsr finds quotients itself; list the variables with +.",
    "|": "What stands after | is the one column of groups, at the end of the formula.",
    ",": "The variables are listed with +, not with commas.",
    "(": "nbsr finds functions itself; list the variables with +.",
    ")": "nbsr finds functions itself; list the variables with +.",
}


def _parse_inputs(
    tokens: list[_Token], target: str, reserved: frozenset[str], text: str, known: Mapping[str, None]
) -> tuple[tuple[str, ...], frozenset[str]]:
    chosen: dict[str, bool] = {}  # name -> whether only `.` brought it in
    sign, index = "+", 0
    if tokens[0].kind == "end":
        raise UsageError(
            "The inputs are missing after the ~; 'y ~ .' takes every other column.",
            text=text,
            position=tokens[0].position,
        )
    while True:
        token = tokens[index]
        if token.kind in ("name", "quoted"):
            follower = tokens[index + 1]
            if follower.kind == "mark" and follower.text == "(":
                raise UsageError(
                    f"'{token.text}(...)' cannot stand among the inputs: {_NOT_A_SUM['(']}",
                    text=text,
                    position=token.position,
                )
            if follower.kind in ("name", "quoted"):
                _refuse_missing_quotes(tokens[index : index + 2], text, known)
            name = _resolve(token, text, known)
            if sign == "-":
                chosen.pop(name, None)
            elif name == target:
                raise UsageError(
                    f"{shown(name)} is the target, so it cannot explain itself; take it away from the inputs.",
                    text=text,
                    position=token.position,
                )
            else:
                chosen[name] = False
        elif token.kind == "mark" and token.text == ".":
            for name in known:
                if name == target or name in reserved:
                    continue
                if sign == "-":
                    chosen.pop(name, None)
                else:
                    chosen.setdefault(name, True)
        else:
            _refuse_term(token, text, known)
        separator = tokens[index + 1]
        if separator.kind == "end":
            break
        if separator.kind != "mark" or separator.text not in "+-":
            _refuse_separator(separator, text)
        sign, index = separator.text, index + 2
    if not chosen:
        raise UsageError(
            f"No input is left to explain {shown(target)}.", text=text, position=tokens[0].position
        )
    return tuple(chosen), frozenset(name for name, by_dot in chosen.items() if by_dot)


def _refuse_term(token: _Token, text: str, known: Mapping[str, None]) -> None:
    if token.kind == "end":
        message = "A column is missing at the end."
    elif token.kind == "number" and token.text in known:
        message = f"A name that starts with a digit stands in backticks: `{token.text}`."
    elif token.kind == "number":
        message = f"{shown(token.text)} is a number; nbsr finds constants itself, so list only columns."
    elif token.text in "+-":
        message = f"A column is missing before this {shown(token.text)}."
    else:
        message = _NOT_A_SUM.get(
            token.text, f"{shown(token.text)} cannot stand in a formula; quote names with backticks."
        )
    raise UsageError(message, text=text, position=token.position)


def _refuse_separator(token: _Token, text: str) -> None:
    if token.kind == "mark":
        message = _NOT_A_SUM.get(
            token.text, f"{shown(token.text)} cannot stand in a formula; quote names with backticks."
        )
    else:
        message = f"A + or - is missing before {shown(token.text)}."
    raise UsageError(message, text=text, position=token.position)
