"""What a person knows of a law beforehand: signs, limits, rising and falling, symmetry, values at points.

    bounds: c0 > 0, 0 < law < 1, increasing in x1, even in x2, f(0) = 0

A law is looked at on the rows, between them and somewhat beyond them.  What does not hold there is told in a sentence.
"""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nbsr.errors import UsageError, did_you_mean
from nbsr.expression.template import Template
from nbsr.expression.tree import Expression

__all__ = ["Bounds"]

_MARGIN = 0.1  # of the range of a column, beyond the rows
_ROWS, _INSIDE, _LINES, _ALONG = 100, 200, 60, 25
_CORNERS = 6  # columns, up to which all corners are looked at
_ROUNDING = 1e-7  # of the spread of the law, that counts as nothing

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NAME = r"[^\W\d]\w*"
_ABOVE = re.compile(rf"({_NAME})\s*(<=|>=|<|>)\s*({_NUMBER})")
_BELOW = re.compile(rf"({_NUMBER})\s*(<=|>=|<|>)\s*({_NAME})")
_BETWEEN = re.compile(rf"({_NUMBER})\s*(<=?)\s*({_NAME})\s*(<=?)\s*({_NUMBER})")
_SHAPE = re.compile(r"(increasing|decreasing|even|odd)\s+in\s+(`[^`]+`|\S+)")
_POINT = re.compile(rf"({_NAME})\s*\(([^()]*)\)\s*=\s*({_NUMBER})")
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_SIDE = {"increasing": 1.0, "decreasing": -1.0}


class _Range(NamedTuple):
    """From `low` to `high`, which themselves may be allowed or not."""

    low: float = -math.inf
    high: float = math.inf
    with_low: bool = True
    with_high: bool = True

    def cut(self, sign: str, number: float) -> "_Range":
        """What `sign number`, such as > 0, leaves of it."""
        inclusive = sign.endswith("=")
        if sign.startswith(">"):
            tighter = number > self.low or (number == self.low and not inclusive)
            return self._replace(low=number, with_low=inclusive) if tighter else self
        tighter = number < self.high or (number == self.high and not inclusive)
        return self._replace(high=number, with_high=inclusive) if tighter else self

    @property
    def empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and not (self.with_low and self.with_high))

    def holds(self, values: Float[np.ndarray, " values"]) -> np.ndarray:
        """Which values are in it; NaN is not."""
        above = values >= self.low if self.with_low else values > self.low
        below = values <= self.high if self.with_high else values < self.high
        return above & below

    def said(self, name: str) -> str:
        """As a person would type it."""
        left = "" if self.low == -math.inf else f"{self.low:g} {'<=' if self.with_low else '<'} "
        right = "" if self.high == math.inf else f" {'<=' if self.with_high else '<'} {self.high:g}"
        if left and not right:
            return f"{name} {'>=' if self.with_low else '>'} {self.low:g}"
        return f"{left}{name}{right}"


@dataclass(frozen=True)
class _Point:
    """The value of the law, or of an unknown, at one point of its columns."""

    subject: str
    columns: tuple[str, ...]
    at: tuple[float, ...]
    value: float

    @property
    def said(self) -> str:
        return f"{self.subject}({', '.join(f'{a:g}' for a in self.at)}) = {self.value:g}"


class Bounds:
    """What every law of a search has to keep: `Bounds.read(texts, X, names, template, guesses)`.

    Attributes:
        ranges: of the law, unknowns and constants, by name; "constants" stands for all of them.
        shapes: of the columns: increasing, decreasing, even, odd.
        points: values at points.
    """

    def __init__(
        self,
        ranges: Mapping[str, _Range],
        shapes: Mapping[str, tuple[str, ...]],
        points: Sequence[_Point],
        X: Float[np.ndarray, "rows columns"],
        names: Sequence[str],
        template: Template | None,
        guesses: Sequence[tuple[Expression, tuple[str, ...]]],
    ):
        self.ranges, self.shapes, self.points = ranges, shapes, points
        self.names, self.template = tuple(names), template
        self.guesses = {law.tokens: constants for law, constants in guesses}
        self.grid, self.box = _grid(X)
        rng = np.random.default_rng(0)
        some = self.grid[np.sort(rng.permutation(len(self.grid))[:_LINES])]
        self.lines = {name: self._along(name, some) for name in shapes}

    @classmethod
    def read(
        cls,
        texts: Iterable[str],
        X: Float[np.ndarray, "rows columns"],
        names: Sequence[str],
        template: Template | None = None,
        guesses: Sequence[tuple[Expression, tuple[str, ...]]] = (),
    ) -> "Bounds | None":
        """Read what a person typed; None where that is nothing.

        Arguments:
            X, names: the rows and the names of their columns.
            guesses: laws to start from, with the names of their constants.

        Raises UsageError where a text cannot be read, names something unknown, or contradicts another.
        """
        ranges: dict[str, _Range] = {}
        shapes: dict[str, tuple[str, ...]] = {}
        points: list[_Point] = []
        told = [text.strip() for text in texts if text.strip()]
        places = {} if template is None else template.places
        constants = {name for _, known in guesses for name in known}
        constants |= set() if template is None else {name for name in template.constants if name}
        for text in told:
            if match := _SHAPE.fullmatch(text):
                column = _column(match.group(2).strip("`"), names, text)
                shapes[column] = (*shapes.get(column, ()), match.group(1))
            elif match := _POINT.fullmatch(text):
                points.append(_point(match, names, places, text))
            else:
                for name, sign, number in _comparisons(text):
                    if name not in ("law", "constants", *places, *constants):
                        raise _unknown(name, places, constants, text)
                    ranges[name] = ranges.get(name, _Range()).cut(sign, number)
        if not told:
            return None
        bounds = cls(ranges, shapes, points, X, names, template, guesses)
        bounds._check()
        return bounds

    def _check(self) -> None:
        """Refuse what contradicts itself."""
        for name, range_ in self.ranges.items():
            if range_.empty:
                raise UsageError(
                    f"The bounds of {name} contradict each other: nothing is {range_.said(name)}."
                )
        for column, words in self.shapes.items():
            if (
                len(set(words)) > 1
                and set(words) != {"odd", "increasing"}
                and set(words) != {"odd", "decreasing"}
            ):
                raise UsageError(
                    f"Only a law without '{column}' is {' and '.join(dict.fromkeys(words))} in it; forbid the column "
                    "instead, or leave one of the two out."
                )
        law = self.ranges.get("law", _Range())
        odd = [column for column, words in self.shapes.items() if "odd" in words]
        if odd and (law.low >= 0 or law.high <= 0):
            raise UsageError(
                f"A law that is odd in '{odd[0]}' has both signs, so {law.said('law')} contradicts that."
            )
        for point in self.points:
            allowed = self.ranges.get("law" if point.subject not in self._places else point.subject, _Range())
            if point.value < allowed.low or point.value > allowed.high:
                raise UsageError(f"{point.said} contradicts {allowed.said(point.subject)}.")
            if point.subject not in self._places and any(
                point.at[point.columns.index(column)] == 0 and point.value != 0 for column in odd
            ):
                raise UsageError(
                    f"A law that is odd in '{odd[0]}' is 0 at 0, so {point.said} contradicts that."
                )
        for one, other in itertools.combinations(self.points, 2):
            if (one.subject, one.at) == (other.subject, other.at) and one.value != other.value:
                raise UsageError(f"{one.said} and {other.said} contradict each other.")

    @property
    def _places(self) -> Mapping[str, tuple[str, ...]]:
        return {} if self.template is None else self.template.places

    # -- judging a law

    def broken(self, law: Expression) -> str:
        """What a law, in the person's units, does not keep, in a sentence; empty where it keeps everything."""
        return self._numbers(law) or self._values(law) or self._shape(law) or self._at_points(law)

    def _numbers(self, law: Expression) -> str:
        """The constants."""
        named: dict[str, float] = {}
        if self.template is not None and (parts := self.template.parts(law)) is not None:
            named = {name: parts[name].constants[0] for name in self.template.constants if name}
        for name, value in zip(self.guesses.get(law.tokens, ()), law.constants, strict=False):
            named[name] = value
        for name, range_ in self.ranges.items():
            if name in named and not range_.holds(np.array([named[name]]))[0]:
                return f"Its constant {name} is {named[name]:.4g}, and {range_.said(name)} was asked for."
        all_of = self.ranges.get("constants")
        if all_of is not None:
            outside = [c for c in law.constants if not all_of.holds(np.array([c]))[0]]
            if outside:
                return (
                    f"One of its constants is {outside[0]:.4g}, and {all_of.said('constants')} was asked for."
                )
        return ""

    def _values(self, law: Expression) -> str:
        for name, range_ in self.ranges.items():
            subject = law if name == "law" else self._part(law, name)
            if subject is None or (name != "law" and name not in self._places):
                continue
            values = _values_of(subject, self.grid)
            inside = range_.holds(values)
            if not inside.all():
                at = int(np.argmin(inside))
                what = f"is {values[at]:.4g}" if np.isfinite(values[at]) else "has no value"
                where = self._spoken(self.grid[at])
                return f"{_subject(name)} {what} where {where}, and {range_.said(name)} was asked for."
        return ""

    def _shape(self, law: Expression) -> str:
        for column, words in self.shapes.items():
            if column not in law.variables and "odd" not in words:
                continue
            lines = self.lines[column]
            values = _values_of(law, lines.reshape(-1, lines.shape[2])).reshape(lines.shape[:2])
            nothing = _ROUNDING * max(_spread(values), 1e-300)
            for word in words:
                with np.errstate(invalid="ignore"):  # what has no finite value is neither
                    if word in _SIDE:
                        steps = np.diff(values, axis=1) * _SIDE[word]
                        bad = ~(steps >= -nothing)
                    else:
                        sign = 1.0 if word == "even" else -1.0
                        bad = ~(np.abs(values - sign * values[:, ::-1]) <= 10 * nothing)[:, :-1]
                if bad.any():
                    line, step = np.unravel_index(int(np.argmax(bad)), bad.shape)
                    return f"It is not {word} in {column}, as near {self._spoken(lines[line, step])}."
        return ""

    def _at_points(self, law: Expression) -> str:
        for point in self.points:
            subject = self._part(law, point.subject) if point.subject in self._places else law
            if subject is None:
                continue
            there = np.zeros((1, len(self.names)))
            for column, value in zip(point.columns, point.at, strict=True):
                there[0, self.names.index(column)] = value
            found = float(_values_of(subject, there)[0])
            spread = _spread(_values_of(subject, self.grid))
            if not abs(found - point.value) <= _ROUNDING * max(spread, abs(point.value)):
                what = f"is {found:.4g}" if math.isfinite(found) else "has no value"
                return f"{_subject(point.subject)} {what} there, and {point.said} was asked for."
        return ""

    def _part(self, law: Expression, name: str) -> Expression | None:
        parts = None if self.template is None else self.template.parts(law)
        return None if parts is None else parts.get(name)

    def _spoken(self, point: np.ndarray) -> str:
        return ", ".join(f"{name} = {value:.4g}" for name, value in zip(self.names, point, strict=True))

    def _along(self, name: str, base: np.ndarray) -> Float[np.ndarray, "lines steps columns"]:
        """Lines along one column, through the box; for a symmetry through its mirror image."""
        column = self.names.index(name)
        low, high = self.box[column]
        if {"even", "odd"} & set(self.shapes[name]):
            high = max(abs(low), abs(high))
            low = -high
        lines = np.repeat(base[:, None], _ALONG, axis=1)
        lines[:, :, column] = np.linspace(low, high, _ALONG)
        return lines


def _values_of(law: Expression, X: np.ndarray) -> Float[np.ndarray, " points"]:
    with np.errstate(all="ignore"):
        return law.predict(X)


def _spread(values: np.ndarray) -> float:
    """From the least to the largest, as far as there are values."""
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if len(finite) else 0.0


def _subject(name: str) -> str:
    return "It" if name == "law" else name


def _grid(X: Float[np.ndarray, "rows columns"]) -> tuple[np.ndarray, np.ndarray]:
    """Points on the rows, between and beyond them; and the box they are in, `[columns, 2]`.

    A column that is positive on all rows stays so.
    """
    low, high = X.min(axis=0), X.max(axis=0)
    room = _MARGIN * (high - low)
    low, high = (
        np.where((low > 0) & (low - room <= 0), low / 2, low - room),
        np.where((high < 0) & (high + room >= 0), high / 2, high + room),
    )
    box = np.stack([low, high], axis=1)
    rows = X[np.unique(np.linspace(0, len(X) - 1, min(len(X), _ROWS)).astype(int))]
    inside = np.random.default_rng(0).uniform(low, high, (_INSIDE, X.shape[1]))
    corners = np.array(list(itertools.product(*box))) if X.shape[1] <= _CORNERS else np.stack([low, high])
    return np.concatenate([rows, corners, inside]), box


def _column(name: str, names: Sequence[str], text: str) -> str:
    if name not in names:
        raise UsageError(
            f"There is no column '{name}'.{did_you_mean(name, names)}", text=text, position=text.rfind(name)
        )
    return name


def _comparisons(text: str) -> list[tuple[str, str, float]]:
    """What a text says: name, sign and number, once or twice."""
    if match := _BETWEEN.fullmatch(text):
        low, first, name, second, high = match.groups()
        return [(name, _TURNED[first], float(low)), (name, second, float(high))]
    if match := _ABOVE.fullmatch(text):
        return [(match.group(1), match.group(2), float(match.group(3)))]
    if match := _BELOW.fullmatch(text):
        return [(match.group(3), _TURNED[match.group(2)], float(match.group(1)))]
    raise UsageError(
        "A bound reads like c0 > 0, 0 < law < 1, constants > 0, increasing in x1, decreasing in x1, even in x1, "
        "odd in x1 or f(0) = 0.",
        text=text, position=0,
    )  # fmt: skip


def _point(
    match: re.Match[str], names: Sequence[str], places: Mapping[str, tuple[str, ...]], text: str
) -> _Point:
    """`f(0) = 0`; where no unknown is called so, f is the law."""
    subject, inside, value = match.groups()
    columns = places.get(subject, tuple(names))
    if subject not in places and (places and subject != "law"):
        raise _unknown(subject, places, set(), text)
    try:
        at = tuple(float(number) for number in inside.split(","))
    except ValueError:
        raise UsageError(
            f"A point is numbers, as in {subject}(0) = 0, and '{inside.strip()}' came.",
            text=text,
            position=match.start(2),
        ) from None
    if len(at) != len(columns):
        raise UsageError(
            f"{subject} is of {', '.join(columns)}, so a point has {len(columns)} numbers, and {len(at)} came.",
            text=text, position=match.start(2),
        )  # fmt: skip
    return _Point(subject if subject in places else "law", columns, at, float(value))


def _unknown(name: str, places: Iterable[str], constants: Iterable[str], text: str) -> UsageError:
    known = ["law", "constants", *places, *sorted(constants)]
    hint = did_you_mean(name, known) or f" There are {', '.join(known)}."
    nameless = not constants and re.fullmatch(r"c\d*", name)
    more = " Constants have names in a template or in a law to start from." if nameless else ""
    return UsageError(
        f"There is nothing called '{name}' to be bounded.{hint}{more}",
        text=text,
        position=max(0, text.find(name)),
    )
