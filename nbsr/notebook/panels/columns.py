"""The columns of a table at a glance: which can take part in a law and why not, their range, and small pictures."""

from collections.abc import Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer

from ...errors import UsageError
from ...table.categories import Category
from ...table.frame import Frame, read_columns, refuse_repeated
from ...table.judge import MOSTLY_MISSING
from .shared import bars, dots, escaped, spoken

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 2000  # that a panel shows
_SAMPLE = 4000  # rows that are kept of each column
_DOTS = 250
_BINS = 24


@dataclass(frozen=True, eq=False)
class Column:
    """One column.

    refusal: why it holds no numbers, in a sentence; empty where it does.
    levels: the values of a column of text that a law may be told by columns of 0 and 1.
    missing, infinite: rows without a number; low, high: of the other rows, NaN where there are none.
    distinct: different values, of the sample alone where `more` says that there are further rows.
    sample: its values in some rows, the same ones for all columns of a table; of text the places of its values.
    """

    name: str
    refusal: str = ""
    levels: tuple[str, ...] = ()
    rows: int = 0
    missing: int = 0
    infinite: int = 0
    low: float = np.nan
    high: float = np.nan
    distinct: int = 0
    more: bool = False
    sample: Float[np.ndarray, " rows"] = field(default_factory=lambda: np.empty(0))

    @property
    def numeric(self) -> bool:
        """Whether it may be a target or weigh the rows."""
        return not self.refusal and not np.isnan(self.low)

    @property
    def usable(self) -> bool:
        """Whether it may take part in a law."""
        return self.numeric or bool(self.levels)

    @property
    def sparse(self) -> bool:
        """Whether most of its values are missing."""
        return self.missing > MOSTLY_MISSING * self.rows

    @property
    def facts(self) -> str:
        """Range, distinct values and missing rows, in words."""
        missing = [f"{self.missing:,} missing"] if self.missing else []
        if self.levels:
            return " · ".join([f"text of {len(self.levels)} values: {', '.join(self.levels)}", *missing])
        if self.refusal:
            return self.refusal
        if np.isnan(self.low):
            return "no value at all"
        told = [f"{spoken(self.low)} … {spoken(self.high)}"]
        if self.low == self.high:
            told = [f"always {spoken(self.low)}"]
        else:
            told.append(f"{'at least ' if self.more else ''}{self.distinct:,} distinct")
        told += missing
        told += [f"{self.infinite:,} infinite"] if self.infinite else []
        return " · ".join(told)

    def histogram(self) -> str:
        """Its values as SVG."""
        known = self.sample[np.isfinite(self.sample)]
        return bars(_counts(known), f"Histogram of {self.name}: {self.facts}") if len(known) else ""

    def against(self, target: "Column") -> str:
        """The target over its values, as SVG."""
        chosen = np.unique(np.linspace(0, max(len(self.sample) - 1, 0), _DOTS).astype(int))
        if not len(self.sample) or len(self.sample) != len(target.sample):
            return ""
        return dots(self.sample[chosen], target.sample[chosen], f"{target.name} over {self.name}")


def _counts(values: Float[np.ndarray, " rows"]) -> Integer[np.ndarray, " bins"]:
    low, high = values.min() / 2, values.max() / 2  # halves, whose difference cannot overflow
    if not low < high:
        return np.array([0, len(values), 0])
    place = ((values / 2 - low) / (high - low) * _BINS).astype(int)
    return np.bincount(np.minimum(place, _BINS - 1), minlength=_BINS)


def looked_at(frame: Frame) -> tuple[Column, ...]:
    """All columns of a frame, in its order; each is read whole, one after the other, and a sample is kept.

    Raises UsageError where a panel could not show them all.
    """
    names = list(frame.labels)
    if len(names) > MOST_COLUMNS:
        raise UsageError(
            f"The table has {len(names):,} columns, and a panel shows at most {MOST_COLUMNS:,}; give it those that "
            "matter: df[['y', 'x1', 'x2']]."
        )
    return tuple(_column(frame, name) for name in names)


def _column(frame: Frame, name: str) -> Column:
    try:
        refuse_repeated(frame, [name])
    except UsageError as slip:
        return Column(name, slip.message)
    selected = frame.select([name])
    values, refusals, _ = read_columns(selected, [name])
    if name in refusals:
        return _of_text(name, refusals[name], selected[name], frame)
    column = values[:, 0]
    finite = np.isfinite(column)
    known = column if finite.all() else column[finite]
    missing = int(np.isnan(column).sum())
    rows = _sampled(column)
    sample = column[rows]
    return Column(
        name,
        rows=len(column),
        missing=missing,
        infinite=len(column) - len(known) - missing,
        low=float(known.min()) if len(known) else np.nan,
        high=float(known.max()) if len(known) else np.nan,
        distinct=len(np.unique(sample[np.isfinite(sample)])),
        more=len(rows) < len(column),
        sample=sample,
    )


def _of_text(name: str, refusal: str, column: "pd.Series", frame: Frame) -> Column:
    category = Category.read(name, column, frame.labels)
    if category is None:
        return Column(name, refusal)
    rows = _sampled(column)
    return Column(
        name,
        refusal,
        category.levels,
        len(column),
        int(column.isna().sum()),
        sample=category.places(column)[rows],
    )


def _sampled(column: Sized) -> Integer[np.ndarray, " rows"]:
    """The rows that are kept of each column."""
    return np.unique(np.linspace(0, max(len(column) - 1, 0), min(len(column), _SAMPLE)).astype(int))


def shown(column: Column, target: Column | None) -> str:
    """A column as HTML beside its name: its histogram, the target over it, and the facts in words."""
    pictures = ""
    if column.usable:
        pictures = column.histogram() + ("" if target is None else column.against(target))
    facts = f"<span>{escaped(column.facts)}</span>"
    return (
        '<div style="display: flex; flex-wrap: wrap; gap: 2px 14px; align-items: center; line-height: 1.3">'
        f"{pictures}{facts}</div>"
    )
