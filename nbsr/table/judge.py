"""What is fit for a search: which inputs, rows and weights; every verdict is a sentence that names the
column."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbsr.errors import UsageError
from nbsr.table.formula import TRANSFORMS, Formula, quoted
from nbsr.table.frame import numbers_of
from nbsr.table.groups import MIN_GROUP_ROWS, Groups, too_small
from nbsr.table.words import counted, list_names, shown

MIN_ROWS = 3  # fewer rows than this say nothing about a law
LARGEST, SMALLEST = 1e50, 1e-50  # magnitudes beyond these are scaled by a power of two
MOSTLY_MISSING = 0.5  # a column that only `.` names may lack this share of its values


@dataclass(frozen=True)
class Dropped:
    """Rows that were left out, and why."""

    count: int
    reason: str


def usable_inputs(
    formula: Formula, values: np.ndarray, names: list[str], refusals: Mapping[str, str]
) -> tuple[list[str], list[str]]:
    """The inputs that are numbers, and a note on those that only `.` named and that are not."""
    for name in names:
        if name in refusals and name not in formula.by_dot:
            raise UsageError(refusals[name])
    notes = [f"Left out: {refusals[name]}" for name in list(refusals)[:5]]
    if len(refusals) > 5:
        notes.append(f"Left out, as not numbers either: {list_names(list(refusals)[5:])}.")
    numeric = [name for name in formula.inputs if name not in refusals]
    place = {name: i for i, name in enumerate(names)}
    loose = [place[name] for name in numeric if name in formula.by_dot]
    missing = np.isnan(values[:, as_slice(loose)]).mean(axis=0) if loose else np.empty(0)
    sparse = {names[loose[i]] for i in np.flatnonzero(missing > MOSTLY_MISSING)}
    if sparse:
        listed = [name for name in numeric if name in sparse]
        notes.append(
            f"Left out, since most of their values are missing: {list_names(listed)}; name them in the "
            f"formula to "
            "use the rows that have them."
        )
    inputs = [name for name in numeric if name not in sparse]
    if not inputs:
        reason = next(iter(refusals.values()), "Most of their values are missing.")
        raise UsageError(f"No column is left to explain {shown(formula.target)}: {reason}")
    return inputs, notes


def judge_weights(weights: Any, n_rows: int, column: str | None) -> np.ndarray | None:
    if weights is None:
        return None
    what = "The weights" if column is None else f"The weights {shown(column)}"
    values = numbers_of(weights, what)
    if values.shape != (n_rows,):
        raise UsageError(
            f"{what} must be one number for each of the {n_rows:,} rows; got shape {values.shape}."
        )
    for bad, saying in (
        (np.isnan(values), "missing"),
        (np.isinf(values), "infinite"),
        (values < 0, "negative"),
    ):
        if bad.any():
            raise UsageError(
                f"{what} must be numbers from 0 up; {counted(int(bad.sum()), 'row')} have one that is "
                f"{saying} "
                f"(the first is row {int(bad.argmax())}), so leave such rows out."
            )
    if not values.any():
        raise UsageError(
            f"{what} are all 0, so no row counts; give at least {MIN_ROWS} rows a weight above 0."
        )
    largest = values.max()
    relative = values * 2.0 ** float(np.clip(-np.frexp(largest)[1], -1000, 1000))
    return relative * 2.0 ** -int(np.frexp(relative.mean())[1])


def usable_rows(
    X: np.ndarray,
    target: np.ndarray,
    y: np.ndarray,
    names: tuple[str, ...],
    formula: Formula,
    weights: np.ndarray | None,
    groups: Groups | None = None,
) -> tuple[np.ndarray, tuple[Dropped, ...]]:
    """Which rows have a number everywhere, and for the others one reason each, most frequent first."""
    keep = np.ones(len(y), dtype=bool)
    dropped: list[Dropped] = []

    def leave_out(rows: np.ndarray, reason: str) -> None:
        count = int(np.count_nonzero(rows & keep))
        if count:
            dropped.append(Dropped(count, reason))
            keep[rows] = False

    if not np.isfinite(y).all():
        leave_out(np.isnan(target), f"{shown(formula.target)} is missing")
        leave_out(np.isinf(target), f"{shown(formula.target)} is infinite")
    if formula.transform is not None and not np.isfinite(y).all():
        leave_out(
            ~np.isfinite(y),
            f"{shown(formula.response)} is not a number, since it needs a {shown(formula.target)} that "
            f"{TRANSFORMS[formula.transform].domain}",
        )
    complete = np.isfinite(X).all(axis=0)
    for i in np.flatnonzero(~complete):
        leave_out(np.isnan(X[:, i]), f"{shown(names[i])} is missing")
        leave_out(np.isinf(X[:, i]), f"{shown(names[i])} is infinite")
    if weights is not None:
        leave_out(weights == 0, "its weight is 0")
    if groups is not None:
        leave_out(groups.codes < 0, f"{shown(groups.column)} is missing")
        small = too_small(groups, keep)
        few = groups.take(small).used()
        leave_out(
            small, f"the group ({list_names(map(str, few.labels), 3)}) has fewer than {MIN_GROUP_ROWS} rows"
        )
    return keep, tuple(sorted(dropped, key=lambda entry: -entry.count))


def refuse_few_rows(n_rows: int, kept: int, dropped: tuple[Dropped, ...]) -> None:
    if not dropped:
        raise UsageError(f"A law needs at least {MIN_ROWS} rows; got {counted(n_rows, 'row')}.")
    worst = dropped[0]
    raise UsageError(
        f"Only {kept} of {counted(n_rows, 'row')} can be used, and a law needs at least {MIN_ROWS}: in "
        f"{counted(worst.count, 'row')} {worst.reason}; fill such values or leave that column out."
    )


def informative(
    X: np.ndarray, y: np.ndarray, names: tuple[str, ...], formula: Formula, notes: list[str]
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """The columns that vary and do not repeat an earlier one, with every column's smallest and largest
    value."""
    smallest, largest = X.min(axis=0), X.max(axis=0)
    constant = smallest == largest
    if constant.any():
        listed = [names[i] for i in np.flatnonzero(constant)]
        if len(listed) == len(names):
            raise UsageError(
                f"Every input is constant ({list_names(listed)}), so none can explain {shown(formula.response)}; "
                "choose columns that vary."
            )
        subject = "Column" if len(listed) == 1 else "Columns"
        notes.append(
            f"{subject} {list_names(listed)} never change{'s' if len(listed) == 1 else ''}, so the search "
            f"leaves "
            f"{'it' if len(listed) == 1 else 'them'} out; a constant of the law stands for such a value."
        )
    columns, repeats, equal = _distinct(X, y, np.flatnonzero(~constant), smallest, largest)
    if repeats:
        told = ", ".join(f"{shown(names[i])} repeats {shown(names[j])}" for i, j in repeats[:6])
        more = f", and {len(repeats) - 6:,} more" if len(repeats) > 6 else ""
        notes.append(f"The search leaves out columns that repeat another: {told}{more}.")
    if equal is not None and formula.transform is None:
        notes.append(
            f"Column {shown(names[equal])} equals the target in every row; leave it out with "
            f"{shown('- ' + quoted(names[equal]))} to find another law."
        )
    return columns, smallest, largest


def _distinct(
    X: np.ndarray, y: np.ndarray, varying: np.ndarray, smallest: np.ndarray, largest: np.ndarray
) -> tuple[list[int], list[tuple[int, int]], int | None]:
    """The first of all columns with the same values; the others, each with its first; the one that equals y.

    Only columns that agree in their extremes and in three rows are compared as a whole.
    """
    middle = len(y) // 2
    rows = (smallest, largest, X[0], X[middle], X[-1])
    first_of: dict[tuple, list[int]] = {}
    columns: list[int] = []
    repeats: list[tuple[int, int]] = []
    content: dict[int, bytes] = {}
    for i, key in zip(
        varying.tolist(), zip(*(row[varying].tolist() for row in rows), strict=True), strict=True
    ):
        alike = first_of.setdefault(key, [])
        twin = _twin(X, i, alike, content)
        if twin is None:
            alike.append(i)
            columns.append(i)
        else:
            repeats.append((i, twin))
    like_y = first_of.get((float(y.min()), float(y.max()), float(y[0]), float(y[middle]), float(y[-1])), [])
    return columns, repeats, next((i for i in like_y if np.array_equal(X[:, i], y)), None)


def _twin(X: np.ndarray, i: int, alike: list[int], content: dict[int, bytes]) -> int | None:
    """The earlier column with the same values. Hashes are kept only where many columns look alike (say,
    0/1)."""
    if not alike:
        return None
    if len(X) > 100_000:
        return next((j for j in alike if np.array_equal(X[:, i], X[:, j])), None)
    for j in (*alike[:1], i) if len(alike) == 1 else (i,):
        content[j] = hashlib.blake2b(X[:, j].tobytes(), digest_size=16).digest()
    return next((j for j in alike if content[j] == content[i]), None)


def powers_of_two(size: np.ndarray) -> np.ndarray:
    """For each largest magnitude the power of two that brings it near 1; 1 unless it is beyond the limits."""
    exponent = np.clip(np.frexp(size)[1], -1000, 1000)
    extreme = (size > LARGEST) | ((size < SMALLEST) & (size > 0))
    return np.where(extreme, np.ldexp(1.0, -exponent), 1.0)


def as_slice(columns: list[int]) -> slice | list[int]:
    """A slice for a run of neighbours, since indexing by a slice copies nothing."""
    run = columns and columns == list(range(columns[0], columns[0] + len(columns)))
    return slice(columns[0], columns[-1] + 1) if run else columns
