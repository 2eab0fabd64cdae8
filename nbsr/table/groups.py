"""Which row belongs to which group: subjects, batches, planets."""

import numbers
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from nbsr.errors import UsageError
from nbsr.table.words import counted, list_names, shown

MIN_GROUP_ROWS = 3  # a group of fewer rows says nothing about constants of its own

Label = str | int | float | bool


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a table's rows.

    column: that they come from.
    labels: their names, in order; what is neither text nor a number is its text.
    codes: of each row the place of its group among the labels, -1 where there is none.
    """

    column: str
    labels: tuple[Label, ...]
    codes: Int[np.ndarray, " rows"]

    @staticmethod
    def read(column: str, values: object) -> "Groups":
        """From a pandas column of anything that can be told apart; missing values belong to no group."""
        labels = _labels(values)
        known = dict.fromkeys(label for label in labels if label is not None)
        try:
            ordered = sorted(known)
        except TypeError:  # texts among numbers
            ordered = list(known)
        place = {label: code for code, label in enumerate(ordered)}
        codes = np.array([-1 if label is None else place[label] for label in labels], np.int64)
        return Groups(column, tuple(ordered), codes)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def counts(self) -> Int[np.ndarray, " groups"]:
        """Rows of each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels))

    def take(self, rows: Bool[np.ndarray, " rows"] | Int[np.ndarray, " some"]) -> "Groups":
        """The groups of these rows; the labels stay."""
        return replace(self, codes=self.codes[rows])

    def used(self) -> "Groups":
        """Only those groups that have rows."""
        present = np.flatnonzero(self.counts)
        place = np.full(len(self.labels) + 1, -1)
        place[present] = np.arange(len(present))
        return replace(self, labels=tuple(self.labels[i] for i in present), codes=place[self.codes])

    def codes_of(self, values: object) -> Int[np.ndarray, " others"]:
        """The codes of other rows, by a pandas column of labels; -1 where a label is missing.

        Raises UsageError for a group that is not among these.
        """
        place = {label: code for code, label in enumerate(self.labels)}
        labels = _labels(values)
        new = list(dict.fromkeys(label for label in labels if label is not None and label not in place))
        if new:
            raise UsageError(
                f"{'Group' if len(new) == 1 else 'Groups'} {list_names(map(str, new), 3)} of {shown(self.column)} "
                f"{'was' if len(new) == 1 else 'were'} not in the table that was searched, so the constants there are "
                "not known; result.refit(df) finds them."
            )
        return np.array([-1 if label is None else place[label] for label in labels], np.int64)


def _labels(values: object) -> list[Label | None]:
    """Texts and numbers as they are, None where there is nothing."""
    import pandas as pd

    column = pd.Series(values)
    missing = column.isna().to_numpy()
    return [None if gone else _label(value) for value, gone in zip(column.tolist(), missing, strict=True)]


def _label(value: object) -> Label:
    if isinstance(value, str | bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else str(value)


def too_small(groups: Groups, keep: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    """The kept rows whose group has too few of them for constants of its own.

    Raises UsageError where fewer than two groups are left.
    """
    counts = groups.take(keep).counts
    told = f"The groups of {shown(groups.column)}"
    present = int(np.count_nonzero(counts))
    if present == 1:
        raise UsageError(
            f"{told} are only one, so none differs from another; leave {shown('| ' + groups.column)} out."
        )
    if counts.max(initial=0) == 1:
        raise UsageError(
            f"{told} have one row each, which says nothing about constants of their own; name a column whose values "
            "repeat."
        )
    large = counts >= MIN_GROUP_ROWS
    if large.sum() < 2:
        raise UsageError(
            f"{told} need at least {MIN_GROUP_ROWS} rows each for constants of their own, and "
            f"{'none has' if not large.any() else 'only one has'} so many; the largest has "
            f"{counted(int(counts.max(initial=0)), 'row')}."
        )
    return keep & (groups.codes >= 0) & ~large[groups.codes]
